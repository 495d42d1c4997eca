"""How fast the training step is, of reference networks on random images; and how fast an exported model answers."""

import contextlib
import pathlib
import resource
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from tfdisent.cache import cache_folder
from tfdisent.data.batches import training_batches
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.serving.signatures import signature


class Label(Feature):
  """A one-hot label of ten classes, as far as the step needs it."""

  kind, width = DISCRETE, 10

  def get_config(self):
    return {"module": __name__, "name": "label", "arguments": {}}


def bench(
  strategy: tf.distribute.Strategy | None = None,
  precision: str = "float32",
  batch_size: int = 128,
  image_size: int = 28,
  images: int = 10_000,
  on_disk: bool = False,
  steps: int = 200,
  warmup: int = 20,
  repeats: int = 3,
  jit_compile: bool = False,
) -> dict:
  """Times the training step of the reference networks: random RGB images, z1 of 16, one-hot z2 of 10.

  For 28x28 pixels E1, q and D have 4x4 stride-2 convolutions of 32 and 64 channels and a dense layer of 128, G mirrors
  them; the loss is squared error + KL(z1) + L_f1 + L_GAN for encoder and generator, L_D for the discriminator, Adam for
  both.

  Args:
    strategy: of `tf.distribute`; None is the current one.
    precision: "float32" or "mixed_bfloat16".
    batch_size: images a step, for each replica.
    image_size: height and width of the images.
    images: how many there are.
    on_disk: whether they lie in a file, and are read from there, as a set that is larger than memory.
    steps: timed steps of each repeat.
    warmup: steps before, not timed.
    repeats: how often each is timed; the median counts.
    jit_compile: whether XLA compiles the step.

  Returns:
    `images_per_s` of the step, all replicas together; `waiting`, the share of that time in which it waits for data;
    `fit_images_per_s` of the same step with its metrics inside `fit`; `memory_growth`, of the process's resident memory
    from the end of the warm-up to the end, as a share; and the settings.
  """
  strategy = strategy or tf.distribute.get_strategy()
  replicas = strategy.num_replicas_in_sync
  with contextlib.ExitStack() as stack:
    examples = {"image": _random_images(images, image_size, stack.enter_context(_folder()) if on_disk else None)}
    f = np.eye(10, dtype=np.float32)[np.random.default_rng(0).integers(10, size=images)]
    keras.utils.set_random_seed(0)
    with strategy.scope():
      model = DisentangledVAE(
        (image_size, image_size, 3), Label(), Objective(stddev=0.5**0.5, lambda3=1.0), precision=precision
      )
      model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-4, beta_1=0.5), jit_compile=jit_compile)
    batches = strategy.distribute_datasets_from_function(
      lambda context: training_batches(examples, f, batch_size * replicas, seed=0, context=context)
    )
    iterator, waiting = iter(batches), []

    @tf.function(jit_compile=jit_compile)
    def step(batch):
      return strategy.run(model.update, args=(batch,))

    def run(count):
      waited = 0.0
      for _ in range(count):
        start = time.perf_counter()
        batch = next(iterator)
        waited += time.perf_counter() - start
        terms = step(batch)
      strategy.experimental_local_results(terms["L"])[0].numpy()
      waiting.append(waited)

    def fit(count):
      model.fit(batches, epochs=1, steps_per_epoch=count, shuffle=False, verbose=0)

    rates, shares, memory = {}, [], 0
    for name, function in (("images_per_s", run), ("fit_images_per_s", fit)):
      function(warmup)
      memory = memory or _resident()
      times = []
      for _ in range(repeats):
        start = time.perf_counter()
        function(steps)
        times.append(time.perf_counter() - start)
      rates[name] = round(batch_size * replicas * steps / float(np.median(times)), 1)
      shares = shares or [waited / time for waited, time in zip(waiting[1:], times)]
    growth = _resident() / memory - 1
  return {
    **rates,
    "waiting": round(float(np.median(shares)), 4),
    "memory_growth": round(growth, 4),
    "precision": precision,
    "batch": batch_size,
    "replicas": replicas,
    "image_size": image_size,
    "images": images,
    "on_disk": on_disk,
    "steps": steps,
    "repeats": repeats,
  }


def bench_export(
  path: pathlib.Path, trained: TrainedModel, requests: int = 1000, batch_size: int = 128, repeats: int = 5
) -> dict:
  """Times `control` of an exported model, and the same function as it is traced in Python, by turns.

  Args:
    path: of a version of the exported model.
    trained: the model that was exported.
    requests: of one image, for the latencies; a tenth more before, not timed.
    batch_size: images of a request, for the throughput.
    repeats: turns; the requests are dealt out to them, and the median of the throughputs counts.

  Returns:
    Of the SavedModel and of the concrete function (`concrete_…`): `p50_ms` and `p99_ms`, latencies of one image, and
    `images_per_s` at `batch_size`; and the settings.
  """
  functions = {"": tf.saved_model.load(str(path)).signatures["control"], "concrete_": signature(trained, "control")}
  one, many = _request(functions[""], 1), _request(functions[""], batch_size)
  latencies, rates = ({name: [] for name in functions} for _ in range(2))
  for repeat in range(repeats + 1):
    for name in list(functions)[:: 1 if repeat % 2 else -1]:
      function, of_turn = functions[name], []
      for _ in range(max(requests // 10 if not repeat else requests // repeats, 1)):
        of_turn.append(_seconds(function, one))
      batches = [_seconds(function, many) for _ in range(max(requests // (repeats * batch_size), 5))]
      if repeat:  # the first turn warms up
        latencies[name] += of_turn
        rates[name].append(batch_size / np.median(batches))
  figures = {}
  for name in functions:
    p50, p99 = np.percentile(latencies[name], [50, 99]) * 1000
    rate = float(np.median(rates[name]))
    figures |= {f"{name}p50_ms": round(p50, 3), f"{name}p99_ms": round(p99, 3), f"{name}images_per_s": round(rate, 1)}
  return {**figures, "model": str(path), "requests": requests, "batch": batch_size, "repeats": repeats}


def _request(function, count: int) -> dict[str, tf.Tensor]:
  """Inputs of `count` examples for a signature: random images, features of 0."""
  specs, random_state = function.structured_input_signature[1], np.random.default_rng(0)
  shapes = {name: [count, *spec.shape[1:]] for name, spec in specs.items()}
  return {
    name: tf.constant(random_state.integers(256, size=shapes[name], dtype=np.uint8))
    if name == "image"
    else tf.zeros(shapes[name], spec.dtype)
    for name, spec in specs.items()
  }


def _seconds(function, inputs) -> float:
  start = time.perf_counter()
  function(**inputs)["image"].numpy()
  return time.perf_counter() - start


def _folder():
  cache_folder().mkdir(parents=True, exist_ok=True)
  return tempfile.TemporaryDirectory(dir=cache_folder())


def _random_images(count: int, size: int, folder: str | None) -> np.ndarray:
  """Random images, uint8 [count, size, size, 3], in memory, or mapped from a file in `folder`."""
  random_state, shape = np.random.default_rng(0), (count, size, size, 3)
  if not folder:
    return random_state.integers(256, size=shape, dtype=np.uint8)
  path = pathlib.Path(folder, "images.uint8")
  with path.open("wb") as file:
    for start in range(0, count, 1000):
      file.write(random_state.bytes(min(1000, count - start) * size * size * 3))
  return np.memmap(path, np.uint8, "r", shape=shape)


def _resident() -> int:
  """Resident memory of this process, in bytes."""
  with open("/proc/self/statm", encoding="ascii") as file:
    return int(file.read().split()[1]) * resource.getpagesize()
