"""The speed of an exported model."""

import pathlib
import time

import numpy as np
import tensorflow as tf

from tfdisent.arguments import checked
from tfdisent.inference import TrainedModel
from tfdisent.serving.signatures import signature


@checked("bench_export")
def bench_export(
  path: pathlib.Path, trained: TrainedModel, requests: int = 1000, batch_size: int = 128, repeats: int = 5
) -> dict:
  """Times `control` of an exported SavedModel, and by turns the same function traced in Python.

  Args:
    path: the folder of a version of the exported model.
    trained: the model that was exported.
    requests: the number of requests of one image, which give the latencies; a tenth as many before are not timed.
    batch_size: images of the larger requests, which give the throughput.
    repeats: turns, among which the requests are divided; the throughput is the median over the turns.

  Returns:
    A dict of the settings and of these figures, of the SavedModel and, as `concrete_…`, of the function in Python:

    - `p50_ms`, `p99_ms`: percentiles of the latency of one image, in milliseconds;
    - `images_per_s`: throughput at `batch_size`.
  """
  functions = {"": tf.saved_model.load(str(path)).signatures["control"], "concrete_": signature(trained, "control")}
  one, many = _request(functions[""], 1), _request(functions[""], batch_size)
  latencies, rates = ({name: [] for name in functions} for _ in range(2))
  for turn in range(repeats + 1):  # turn 0 warms up
    for name in list(functions)[:: 1 if turn % 2 else -1]:
      count = requests // repeats if turn else requests // 10
      of_one = [_seconds(functions[name], one) for _ in range(max(count, 1))]
      of_many = [_seconds(functions[name], many) for _ in range(max(requests // (repeats * batch_size), 5))]
      if turn:
        latencies[name] += of_one
        rates[name].append(batch_size / np.median(of_many))
  figures = {}
  for name in functions:
    p50, p99 = np.percentile(latencies[name], [50, 99]) * 1000
    rate = float(np.median(rates[name]))
    figures |= {f"{name}p50_ms": round(p50, 3), f"{name}p99_ms": round(p99, 3), f"{name}images_per_s": round(rate, 1)}
  return {**figures, "model": str(path), "requests": requests, "batch": batch_size, "repeats": repeats}


def _request(function, count: int) -> dict[str, tf.Tensor]:
  """Inputs of `count` examples for a signature: random images, and zeros for the features."""
  specs, random_state = function.structured_input_signature[1], np.random.default_rng(0)
  shapes = {name: [count, *spec.shape[1:]] for name, spec in specs.items()}
  return {
    name: tf.constant(random_state.integers(256, size=shapes[name], dtype=np.uint8))
    if name == "image"
    else tf.zeros(shapes[name], spec.dtype)
    for name, spec in specs.items()
  }


def _seconds(function, inputs) -> float:
  """The time of one call, until its images are in NumPy."""
  start = time.perf_counter()
  function(**inputs)["image"].numpy()
  return time.perf_counter() - start
