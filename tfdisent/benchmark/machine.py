"""What the machine can do and what else it does, what a graph asks of it, and what the process has taken."""

import hashlib
import os
import resource
import threading
import time
from collections.abc import Iterator

import tensorflow as tf

LOADED = 0.95
"""Below this share of its cores a process is beside other work."""


def share_of_cores(seconds: float = 0.2) -> float:
  """The spin test: which share of the processor's time this process gets that asks for all of it, in (0, 1].

  A thread for each core that the process may use computes hashes, which needs no lock of Python's.

  Args:
    seconds: for how long.
  """
  cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
  block, got = bytes(1 << 20), []
  end = time.perf_counter() + seconds

  def spin():
    start, used = time.perf_counter(), time.thread_time()
    while time.perf_counter() < end:
      hashlib.sha256(block)
    got.append((time.thread_time() - used) / (time.perf_counter() - start))

  threads = [threading.Thread(target=spin) for _ in range(cores)]
  for thread in threads:
    thread.start()
  for thread in threads:
    thread.join()
  return min(1.0, sum(got) / cores)


def matrix_peak(precision: str = "float32", size: int = 2048) -> float:
  """Floating-point operations per second of a product of square matrices, the fastest of three.

  Args:
    precision: of the networks: "mixed_bfloat16" multiplies bfloat16.
    size: rows of a matrix.
  """
  a = tf.random.stateless_uniform([size, size], [0, 0])
  a, times = tf.cast(a, tf.bfloat16 if precision == "mixed_bfloat16" else tf.float32), []
  product = tf.function(lambda: tf.reduce_sum(tf.cast(tf.matmul(a, a)[0, :1], tf.float32)), autograph=False)
  product().numpy()
  for _ in range(3):
    start = time.perf_counter()
    product().numpy()
    times.append(time.perf_counter() - start)
  return 2 * size**3 / min(times)


def operations(graph: tf.Graph, outputs: list[tf.Tensor]) -> Iterator[tf.Operation]:
  """The operations of a function's graph that run: those that its outputs or its changes of variables need.

  Gradients that nothing reads, as those of D's weights by L, are in the graph, and TensorFlow leaves them out.
  """
  left, seen = [tensor.op for tensor in outputs], set()
  left += [op for op in graph.get_operations() if op.type.startswith(("Assign", "Resource"))]
  while left:
    op = left.pop()
    if op.name not in seen:
      seen.add(op.name)
      yield op
      left += [*(tensor.op for tensor in op.inputs), *op.control_inputs]


def flops(graph: tf.Graph, outputs: list[tf.Tensor]) -> int:
  """Floating-point operations of a function's graph by TensorFlow's profiler, as far as they run.

  A branch of `tf.cond` does not count.

  Args:
    graph: of a concrete function whose shapes are all known.
    outputs: its results.
  """
  options = tf.compat.v1.profiler.ProfileOptionBuilder(tf.compat.v1.profiler.ProfileOptionBuilder.float_operation())
  told = tf.compat.v1.profiler.profile(graph, cmd="scope", options=options.with_empty_output().build())
  run, left, total = {op.name for op in operations(graph, outputs)}, [told], 0
  while left:
    node = left.pop()
    total += node.float_ops if node.name in run else 0
    left += node.children
  return total


def resident() -> int:
  """Resident memory of this process, in bytes."""
  with open("/proc/self/statm", encoding="ascii") as file:
    return int(file.read().split()[1]) * resource.getpagesize()


def peak_memory() -> int:
  """The most memory that this process has had, in bytes."""
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def age() -> float:
  """Seconds since this process was started."""
  with open("/proc/self/stat", encoding="ascii") as file:
    ticks = int(file.read().rpartition(")")[2].split()[19])
  return time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
