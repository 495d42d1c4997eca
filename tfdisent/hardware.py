"""What a training has to know of the machine that it runs on: its allocator of memory, and its arithmetic."""

import ctypes
import functools
import os
import sys
import time

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""The parameters of `mallopt`, as <malloc.h> numbers them."""
SETTINGS = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 << 20}
"""In bytes: the largest that glibc takes, the largest number of its type, and a whole heap of a thread."""


def keep_freed_memory() -> bool:
  """Has this process keep the memory that it frees, up to 2 GB, in place of giving it back to the system at once.

  A step of training frees all of its tensors and asks for the same sizes again. glibc gives large ones back, so that
  each page of them is asked for, and cleared, in every step: half of the time of a step where a virtual machine is slow
  at that. No number changes.

  Nothing is done where there is no glibc, or where the environment sets its allocator already (`MALLOC_…`,
  `GLIBC_TUNABLES`; a library of `LD_PRELOAD` such as tcmalloc has an allocator of its own).

  Returns:
    Whether it was set.
  """
  if sys.platform != "linux" or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
    return False
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  return mallopt is not None and all(mallopt(parameter, value) for parameter, value in SETTINGS.items())


SLOW = 2.0
"""A gradient in bfloat16 that takes so many times as long as in float32 is computed in software."""


@functools.cache
def slowdown_of_bfloat16() -> float:
  """How many times as long the gradient of a convolution takes in bfloat16 as in float32, measured once, in 0.1 s.

  It is below 1 on processors that have instructions for it (AVX-512 BF16, AMX), and 15 was measured on one that has
  not; there only the way forward is as fast as in float32. Accelerators are taken to have them: 1.
  """
  import tensorflow as tf

  if any(device.device_type != "CPU" for device in tf.config.list_logical_devices()):
    return 1.0
  seconds = {}
  for dtype in (tf.float32, tf.bfloat16):
    gradient, kernel = tf.ones([4, 16, 16, 64], dtype), tf.ones([4, 4, 32, 64], dtype)
    times = []
    for _ in range(4):  # the first one prepares
      start = time.perf_counter()
      tf.raw_ops.Conv2DBackpropInput(
        input_sizes=[4, 32, 32, 32], filter=kernel, out_backprop=gradient, strides=[1, 2, 2, 1], padding="SAME"
      ).numpy()
      times.append(time.perf_counter() - start)
    seconds[dtype] = min(times)
  return seconds[tf.bfloat16] / seconds[tf.float32]


def has_bfloat16() -> bool:
  """Whether computing in bfloat16 pays here, or at least costs little: see `slowdown_of_bfloat16`."""
  return slowdown_of_bfloat16() < SLOW
