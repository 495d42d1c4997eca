"""The speed of the training step, of reference networks on random images, and the speed of an exported model."""

import contextlib
import pathlib
import resource
import tempfile
import time
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from tfdisent.arguments import checked
from tfdisent.cache import cache_folder
from tfdisent.data.batches import training_batches
from tfdisent.data.dataset import Dataset
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.serving.signatures import signature


class TenClasses(Feature):
  """Stands in for a label, since the library imports no plug-in: the training step needs its kind and width alone."""

  kind, width = DISCRETE, 10


@checked("bench")
def bench(
  strategy: tf.distribute.Strategy | None = None,
  precision: str = "float32",
  batch_size: int = 128,
  image_size: int = 28,
  networks: str = "plain",
  images: int = 10_000,
  on_disk: bool = False,
  steps: int = 200,
  warmup: int = 20,
  repeats: int = 3,
  jit_compile: bool = False,
) -> dict:
  """Times the training step of the reference networks on random RGB images, with z1 of 16 and a one-hot z2 of 10.

  For 28x28 pixels E1, q and D have 4x4 stride-2 convolutions of 32 and 64 channels and a dense layer of 128, and G
  mirrors them. The loss is squared error + KL(z1) + L_f1 + L_GAN for E1, G and q, and L_D for D; Adam minimises both.

  Args:
    strategy: of `tf.distribute`; None is the current one.
    precision: "float32" or "mixed_bfloat16".
    batch_size: images of a step, for each replica.
    image_size: height and width of the images.
    networks: the family of the networks: see `tfdisent.networks`.
    images: the number of images of the data set.
    on_disk: whether the images are read from a file, as those of a set that is larger than memory are.
    steps: steps of a repeat.
    warmup: steps before the first repeat, which are not timed.
    repeats: how often the steps are timed; the figures are medians over the repeats.
    jit_compile: whether XLA compiles the step.

  Returns:
    A dict of figures and of the settings:

    - `images_per_s`: speed of the step, all replicas together;
    - `fit_images_per_s`: likewise inside of Keras' `fit`, with metrics;
    - `waiting`: the fraction of the time of `images_per_s` in which the step waits for data;
    - `memory_growth`: how much the resident memory of the process grows after the warm-up, as a fraction.
  """
  strategy = strategy or tf.distribute.get_strategy()
  replicas = strategy.num_replicas_in_sync
  with contextlib.ExitStack() as stack:
    examples = {"image": _random_images(images, image_size, stack.enter_context(_folder()) if on_disk else None)}
    f = np.eye(10, dtype=np.float32)[np.random.default_rng(0).integers(10, size=images)]
    keras.utils.set_random_seed(0)
    with strategy.scope():
      model = _reference_model(image_size, networks, precision, jit_compile)
    batches = strategy.distribute_datasets_from_function(
      lambda context: training_batches(examples, f, batch_size * replicas, seed=0, context=context)
    )
    waits: list[float] = []  # seconds that each `run` waits for data
    run = _steps(model, batches, waits, jit_compile)

    def fit(count):
      model.fit(batches, epochs=1, steps_per_epoch=count, shuffle=False, verbose=0)

    rates, waiting, memory = {}, [], 0
    for name, function in (("images_per_s", run), ("fit_images_per_s", fit)):
      function(warmup)
      memory = memory or _resident()
      times = []
      for _ in range(repeats):
        start = time.perf_counter()
        function(steps)
        times.append(time.perf_counter() - start)
      rates[name] = round(batch_size * replicas * steps / float(np.median(times)), 1)
      waiting = waiting or [wait / seconds for wait, seconds in zip(waits[1:], times)]  # of `run`, without its warm-up
    growth = _resident() / memory - 1
  return {
    **rates,
    "waiting": round(float(np.median(waiting)), 4),
    "memory_growth": round(growth, 4),
    "precision": precision,
    "networks": networks,
    "batch": batch_size,
    "replicas": replicas,
    "image_size": image_size,
    "images": images,
    "on_disk": on_disk,
    "steps": steps,
    "repeats": repeats,
  }


def _reference_model(image_size: int, networks: str, precision: str, jit_compile: bool) -> DisentangledVAE:
  """The model that is timed, with its optimizers, in the scope of a strategy."""
  shape, objective = (image_size, image_size, 3), Objective(stddev=0.5**0.5, lambda3=1.0)
  model = DisentangledVAE(shape, TenClasses(), objective, networks=networks, precision=precision)
  model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-4, beta_1=0.5), jit_compile=jit_compile)
  return model


def _steps(model: DisentangledVAE, batches, waits: list[float], jit_compile: bool) -> Callable[[int], None]:
  """A function that takes so many training steps, and adds to `waits` the seconds in which it waited for data."""
  strategy, iterator = model.distribute_strategy, iter(batches)

  @tf.function(jit_compile=jit_compile)
  def step(batch):
    return strategy.run(model.update, args=(batch,))

  def run(count):
    wait = 0.0
    for _ in range(count):
      start = time.perf_counter()
      batch = next(iterator)
      wait += time.perf_counter() - start
      terms = step(batch)
    strategy.experimental_local_results(terms["L"])[0].numpy()  # the steps have run once their result is here
    waits.append(wait)

  return run


def seconds_per_step(
  make_model: Callable[..., DisentangledVAE],
  make_optimizer_eg: Callable[[int], keras.optimizers.Optimizer],
  make_optimizer_d: Callable[[int], keras.optimizers.Optimizer],
  dataset: Dataset,
  feature: Feature,
  batch_size: int,
) -> float:
  """Seconds of a training step of a model that is made for it, on this machine: the fastest of some steps.

  Args:
    make_model, make_optimizer_eg, make_optimizer_d: as of `tfdisent.train`.
    dataset: its first images are trained on.
    feature: f.
    batch_size: images of a step.
  """
  steps = 5  # the first of them traces the graph
  feature.build(dataset.image_shape)
  model = make_model(dataset.image_shape, feature, seed=0)
  model.compile(make_optimizer_eg(steps), make_optimizer_d(steps))
  rows = np.arange(min(batch_size, len(dataset.train["image"])))
  examples = {name: column[rows] for name, column in dataset.train.items()}
  batches = iter(training_batches(examples, feature_values(feature, examples), len(rows), seed=0))
  step, times = tf.function(model.update), []
  for _ in range(steps):
    batch, start = next(batches), time.perf_counter()
    step(batch)["L"].numpy()
    times.append(time.perf_counter() - start)
  return min(times)


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


def _folder() -> tempfile.TemporaryDirectory:
  """A folder of the cache, since the usual one for temporary files may lie in memory."""
  cache_folder().mkdir(parents=True, exist_ok=True)
  return tempfile.TemporaryDirectory(dir=cache_folder())


def _random_images(count: int, size: int, folder: str | None) -> np.ndarray:
  """Random images, uint8 [count, size, size, 3], in memory, or where there is a `folder`, mapped from a file in it."""
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
