"""The speed of the training step: alone, fed by the pipeline, and within `fit`."""

import contextlib
import io
import pathlib
import tempfile
import time
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdisent.arguments import checked
from tfdisent.benchmark import machine
from tfdisent.benchmark.presets import make_model, preset_of
from tfdisent.benchmark.rounds import interleaved, peer, told
from tfdisent.cache import cache_folder
from tfdisent.checkpoints import Checkpoints
from tfdisent.data.batches import training_batches
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, shown
from tfdisent.feature.contract import Feature
from tfdisent.model.ahead import Ahead
from tfdisent.model.graphs import found_once, in_graph, sums_in_order
from tfdisent.model.vae import DisentangledVAE
from tfdisent.training.callbacks import Progress, SaveCheckpoints, StopOnNonFinite

SAVED_EVERY = 500
"""Steps of a training after which it writes a checkpoint."""


@checked("bench")
def bench(
  strategy: tf.distribute.Strategy | None = None,
  preset: str = "reference",
  precision: str = "float32",
  batch_size: int | None = None,
  image_size: int | None = None,
  networks: str | None = None,
  images: int = 10_000,
  on_disk: bool = False,
  steps: int = 50,
  warmup: int = 10,
  rounds: int = 5,
  jit_compile: bool = False,
  peer_command: str | None = None,
) -> dict:
  """Times the training step of a preset on random RGB images, in interleaved rounds.

  For 28x28 pixels ("reference") E1, q and D have 4x4 stride-2 convolutions of 32 and 64 channels and a dense layer of
  128, and G mirrors them. z1 has 16 numbers, and z2 is one-hot of 10. See `tfdisent.benchmark.presets`.

  Args:
    strategy: of `tf.distribute`; None is the current one.
    preset: "reference", "plain64", "residual64", "residual128", or "avatars", the networks of avatars_small.gin.
    precision: "float32" or "mixed_bfloat16".
    batch_size: images of a step, for each replica; None for the preset's.
    image_size: height and width of the images; None for the preset's.
    networks: another family of networks than the preset's, with its own defaults: see `tfdisent.networks`.
    images: the number of images of the data set.
    on_disk: whether the images are read from a file, as those of a set that is larger than memory are.
    steps: steps of a reading.
    warmup: steps before the first round, which are not timed.
    rounds: how often each reading is taken, by turns.
    jit_compile: whether XLA compiles the step.
    peer_command: another program, which is run once in each round; it ends with a line of JSON with `images_per_s`.

  Returns:
    A dict of figures and of the settings. Those marked * are dicts of the `median` over the rounds, the `low` and
    `high` of its interval of 93 % or more (`tfdisent.benchmark.rounds.interval`), and the readings, `rounds`:

    - `step_images_per_s` *: of the step alone, on one batch in memory, all replicas together;
    - `fed_images_per_s` *: of the step that reads its batches from the pipeline; `waiting` *: the share of the time in
      which it waits for them;
    - `fit_images_per_s` *: within Keras's `fit` with the callbacks of a training, from the end of its first step on;
      `fit_start_s` *: what is before that;
    - `fit_lost` *: the share of the step's speed that `fit` loses, by round;
    - `peer_images_per_s` *, and `over_peer` *, the step's speed in units of the peer's, by round;
    - `checkpoint_s` *: of writing a checkpoint, which a training does after every 500 steps and every epoch;
    - `flops_per_image`: by TensorFlow's profiler; None for several replicas, or with XLA;
    - `share_of_peak` *: of the step, in the speed of a matrix product, `peak_gflops` *;
    - `seconds_to_first_step`: since the process was started; `first_step_s`: of it, with the graph that it traces;
    - `peak_memory_mb`, and `memory_growth` over the rounds;
    - `share_of_cores` *: of the processor's time that the process got when it asked for all of it; `loaded`: whether
      that was less than 95 % at any time, so that the speeds are too low.
  """
  strategy = strategy or tf.distribute.get_strategy()
  _check(images=images, steps=steps, warmup=warmup, rounds=rounds)
  chosen = preset_of(preset, batch_size=batch_size, image_size=image_size, networks=networks)
  batch = chosen.batch_size * strategy.num_replicas_in_sync
  with contextlib.ExitStack() as stack:
    folder = pathlib.Path(stack.enter_context(_folder()))
    examples = {"image": _random_images(images, chosen.image_size, folder if on_disk else None)}
    f = np.eye(10, dtype=np.float32)[np.random.default_rng(0).integers(10, size=images)]
    with strategy.scope():
      model = make_model(chosen, precision, jit_compile)
    batches = strategy.distribute_datasets_from_function(
      lambda context: training_batches(examples, f, batch, seed=0, context=context)
    )
    timed = _Timed(model, batches, batch, steps, folder)
    first = timed.begin(warmup)
    measures = [timed.step, timed.fed, timed.fit, lambda: {"peak_gflops": machine.matrix_peak(precision) / 1e9}]
    if peer_command:
      measures.append(peer(peer_command))
    memory = machine.resident()
    readings, shares = interleaved(measures, rounds)
  growth = machine.resident() / memory - 1
  return {
    **_figures(readings, timed.flops / batch if timed.flops else None),
    "flops_per_image": round(timed.flops / batch) if timed.flops else None,
    **first,
    "peak_memory_mb": round(machine.peak_memory() / 2**20),
    "memory_growth": round(growth, 4),
    "share_of_cores": told(shares, 3),
    "loaded": min(shares) < machine.LOADED,
    **{"preset": preset, "precision": precision, "networks": chosen.networks, "image_size": chosen.image_size},
    **{"batch": batch, "replicas": strategy.num_replicas_in_sync, "images": images, "on_disk": on_disk},
    **{"steps": steps, "rounds": rounds, "jit_compile": jit_compile, "peer": peer_command},
  }


def _check(**counts: int) -> None:
  """Raises `ConfigError` unless each of the arguments is a whole number of at least 1, or of 2 for `steps`."""
  for name, count in counts.items():
    least = 2 if name == "steps" else 1
    if not isinstance(count, int) or count < least:
      raise ConfigError(f"bench.{name} = {shown(count)} must be a whole number of at least {least}.")


def _figures(readings: Mapping[str, list[float]], flops: float | None) -> dict:
  """What `bench` tells of the readings; `flops` of an image."""
  readings = dict(readings)
  step = np.array(readings["step_images_per_s"])
  readings["fit_lost"] = list(1 - np.array(readings["fit_images_per_s"]) / step)
  if "peer_images_per_s" in readings:
    readings["over_peer"] = list(step / readings["peer_images_per_s"])
  if flops:
    readings["share_of_peak"] = list(step * flops / 1e9 / readings["peak_gflops"])
  return {name: told(values, 1 if "per_s" in name or "gflops" in name else 4) for name, values in readings.items()}


class _Timed:
  """One training, of which each reading takes some more steps.

  Args:
    model, batches: the compiled model, and the batches of its strategy.
    batch: images of a step.
    steps: of a reading.
    folder: for checkpoints.

  Attributes:
    flops: of a step; None where they are not counted.
  """

  def __init__(self, model: DisentangledVAE, batches, batch: int, steps: int, folder: pathlib.Path):
    strategy = model.distribute_strategy
    self._model, self._batches, self._batch, self._steps, self._folder = model, batches, batch, steps, folder
    self._local, self._iterator, self.flops = strategy.experimental_local_results, iter(batches), None

    def step(of_replicas):
      return strategy.run(model.update, args=(of_replicas,))

    self._graph = tf.function(step, autograph=False, jit_compile=model.jit_compile)
    self._step, self._ahead = sums_in_order()(found_once(self._graph)), Ahead()  # as `fit` calls it

  def begin(self, warmup: int) -> dict[str, float]:
    """Takes the first steps; returns how long the first one took, and when it ended."""
    self._kept, start = next(self._iterator), time.perf_counter()
    self._finish(self._step(self._kept))
    first = {"seconds_to_first_step": round(machine.age(), 2), "first_step_s": round(time.perf_counter() - start, 2)}
    if self._model.distribute_strategy.num_replicas_in_sync == 1 and not self._model.jit_compile:
      concrete = self._graph.get_concrete_function(self._kept)
      self.flops = machine.flops(concrete.graph, concrete.outputs)
    self._run(warmup, next)
    self._fit(2)  # traces its own graph
    return first

  def step(self) -> dict[str, float]:
    """Reads the speed of the step alone."""
    return {"step_images_per_s": self._rate(*self._run(self._steps, lambda _: self._kept))[0]}

  def fed(self) -> dict[str, float]:
    """Reads the speed of the step with its pipeline, and how long it waits."""
    rate, waiting = self._rate(*self._run(self._steps, self._ahead.next))
    return {"fed_images_per_s": rate, "waiting": waiting}

  def fit(self) -> dict[str, float]:
    """Reads the speed of `fit`, its start, and the time of a checkpoint."""
    clock, checkpoint = self._fit(self._steps)
    seconds = clock.last - clock.first
    rate = self._batch * (self._steps - 1) / seconds
    return {"fit_images_per_s": rate, "fit_start_s": clock.first - clock.begun, "checkpoint_s": checkpoint}

  def _fit(self, count: int) -> tuple["_Clock", float]:
    clock, checkpoints = _Clock(), Checkpoints(self._folder, self._model)
    callbacks = [Progress(), StopOnNonFinite(self._folder), _WithinEpochs(checkpoints, SAVED_EVERY), clock]
    with contextlib.redirect_stdout(io.StringIO()):  # the figures are one line of JSON
      self._model.fit(self._batches, epochs=1, steps_per_epoch=count, shuffle=False, verbose=0, callbacks=callbacks)
    start = time.perf_counter()
    checkpoints.save_step(count)
    return clock, time.perf_counter() - start

  def _run(self, count: int, batch_of: Callable) -> tuple[float, float]:
    """Takes so many steps; returns the seconds of all, and those in which they waited for a batch."""
    begun, waited = time.perf_counter(), 0.0
    for _ in range(count):
      start = time.perf_counter()
      batch = batch_of(self._iterator)
      waited += time.perf_counter() - start
      terms = self._step(batch)
    self._finish(terms)
    return time.perf_counter() - begun, waited

  def _rate(self, seconds: float, waited: float) -> tuple[float, float]:
    return self._batch * self._steps / seconds, waited / seconds

  def _finish(self, terms) -> None:
    self._local(terms["L"])[0].numpy()  # the steps have run once their result is here


class _WithinEpochs(SaveCheckpoints):
  """Does what is done after each step; after an epoch there is no validation here, by which to choose the best."""

  def on_epoch_end(self, epoch, logs=None):
    pass


class _Clock(keras.callbacks.Callback):
  """Notes when `fit` began, and when its first and its last step ended."""

  def __init__(self):
    super().__init__()
    self.begun, self.first = time.perf_counter(), 0.0

  def on_train_batch_end(self, batch, logs=None):
    self.last = time.perf_counter()
    self.first = self.first or self.last


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
  f = np.zeros([len(rows), feature.width], np.float32)  # a rare class may be in none of these images, and takes no time
  batches = iter(training_batches(examples, f, len(rows), seed=0))
  step, times = in_graph(model.update), []
  for _ in range(steps):
    batch, start = next(batches), time.perf_counter()
    step(batch)["L"].numpy()
    times.append(time.perf_counter() - start)
  return min(times)


def _folder() -> tempfile.TemporaryDirectory:
  """A folder of the cache, since the usual one for temporary files may lie in memory."""
  cache_folder().mkdir(parents=True, exist_ok=True)
  return tempfile.TemporaryDirectory(dir=cache_folder())


def _random_images(count: int, size: int, folder: pathlib.Path | None) -> np.ndarray:
  """Random images, uint8 [count, size, size, 3], in memory, or where there is a `folder`, mapped from a file in it."""
  random_state, shape = np.random.default_rng(0), (count, size, size, 3)
  if not folder:
    return random_state.integers(256, size=shape, dtype=np.uint8)
  path = pathlib.Path(folder, "images.uint8")
  with path.open("wb") as file:
    for start in range(0, count, 1000):
      file.write(random_state.bytes(min(1000, count - start) * size * size * 3))
  return np.memmap(path, np.uint8, "r", shape=shape)
