"""Training a run: from a data set and a feature to a run folder."""

import contextlib
import math
import numbers
import pathlib
import signal
import sys
import threading
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdisent import pictures, run
from tfdisent.checkpoints import Checkpoints, restore
from tfdisent.dataset import Dataset, steps_per_epoch, training_batches, validation_steps
from tfdisent.distribution import Worker
from tfdisent.errors import ConfigError, DataError, Interrupted, NonFiniteLossError, RunError
from tfdisent.evaluation.protocol import evaluate, train_judges
from tfdisent.feature import Feature, check_gradient, feature_values
from tfdisent.inference import TrainedModel
from tfdisent.model import DisentangledVAE


def make_optimizer(
  steps: int,
  algorithm: str = "adam",
  learning_rate: float = 1e-3,
  decay: str | None = "cosine",
  warmup_steps: int = 0,
  arguments: Mapping | None = None,
) -> keras.optimizers.Optimizer:
  """A Keras optimizer by name.

  Args:
    steps: of the whole training, for the decay.
    algorithm: any name that `keras.optimizers.get` knows.
    learning_rate: the highest.
    decay: "cosine" to 2 % of the learning rate at the end, or None for a constant one.
    warmup_steps: the learning rate rises to its height over so many steps, in proportion.
    arguments: more arguments of the optimizer: {"beta_1": 0.5}. `train` refuses those that would make the training
      another than it seems: see `_check_gradients`.

  Raises:
    ConfigError: Keras knows no such optimizer or argument, or the learning rate is not a positive number.
  """
  if not (isinstance(learning_rate, numbers.Real) and 0 < learning_rate < math.inf):
    raise ConfigError(f"learning_rate = {learning_rate!r} of the optimizer '{algorithm}' must be a positive number.")
  if decay not in ("cosine", None):
    raise ConfigError(f"unknown decay {decay!r} of the learning rate: choose 'cosine' or None.")
  if not (isinstance(warmup_steps, int) and warmup_steps >= 0):
    raise ConfigError(
      f"warmup_steps = {warmup_steps!r} of the optimizer '{algorithm}' must be a whole number, 0 or more."
    )
  rate = learning_rate
  if decay or warmup_steps:
    schedule = keras.optimizers.schedules.CosineDecay(
      0.0 if warmup_steps else rate,
      max(1, steps - warmup_steps),
      alpha=0.02 if decay else 1.0,
      warmup_target=rate if warmup_steps else None,
      warmup_steps=warmup_steps,
    )
    rate = keras.optimizers.schedules.serialize(schedule)
  try:
    return keras.optimizers.get({"class_name": algorithm, "config": {"learning_rate": rate, **(arguments or {})}})
  except (TypeError, ValueError, AttributeError, KeyError) as error:  # KeyError: an optimizer that wraps another one
    raise ConfigError(f"optimizer '{algorithm}' with {arguments or {}}: {error}") from error


def train(
  run_dir: str,
  dataset: Dataset,
  feature: Feature,
  make_model: Callable[..., DisentangledVAE] = DisentangledVAE,
  make_optimizer_eg: Callable[[int], keras.optimizers.Optimizer] = make_optimizer,
  make_optimizer_d: Callable[[int], keras.optimizers.Optimizer] = lambda steps: make_optimizer(
    steps, learning_rate=2e-4, arguments={"beta_1": 0.5}
  ),
  epochs: int = 10,
  batch_size: int = 128,
  seed: int = 0,
  evaluate_every: int = 5,
  checkpoint_every: int = 500,
  jit_compile: bool = False,
  strategy: tf.distribute.Strategy | None = None,
  describe: Callable[[], str] = str,
  description: Mapping | None = None,
) -> TrainedModel:
  """Trains a model, or goes on with the training that `run_dir` holds; exactly, from the step of its last checkpoint.

  On SIGTERM the step in hand is finished and a checkpoint written.

  Args:
    run_dir: gets `config.gin`, `run.json`, `model.json`, `checkpoints/` and `tensorboard/`.
    dataset: what to train on, and to choose the best checkpoint on.
    feature: f.
    make_model: the model, from (image_shape, feature, seed=…).
    make_optimizer_eg, make_optimizer_d: the optimizers of the encoders, the generator and q, and of D; from the number
      of steps.
    epochs: how often the training split is seen.
    batch_size: of the global batch.
    seed: of everything random here.
    evaluate_every: after so many epochs, and at the end, the quick subset of the evaluation is run on validation
      images, for TensorBoard; 0 for never.
    checkpoint_every: after so many steps, and at the end of an epoch, a checkpoint is written; 0 for the latter alone.
    jit_compile: whether XLA compiles the step.
    strategy: of `tf.distribute`; None is the current one.
    describe: gives the configuration as text, once all is built; a run folder is only continued with the one it was
      begun with.
    description: what the run folder says of the run, as plain data: see `tfdisent.run.write_description`.

  Returns:
    The model with its best weights.

  Raises:
    TfdisentError: of a kind that says what is wrong: before training starts for all that can be known then.
    Interrupted: on SIGTERM, once all is written.
  """
  # --- Check everything that can be checked before hours are spent ---
  _check_counts(1, epochs=epochs, batch_size=batch_size)
  _check_counts(0, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
  feature.check_fitted()
  strategy = strategy or tf.distribute.get_strategy()
  worker = Worker(strategy)
  share = 2 * strategy.num_replicas_in_sync  # neighbours lend one another their z1
  if batch_size % share:
    raise ConfigError(
      f"train.batch_size = {batch_size} must be a multiple of {share}: an even number for each replica."
    )
  with strategy.scope():
    feature.build(dataset.image_shape)  # f(x) may be what a network reads
  values = {split: feature_values(feature, dataset[split]) for split in ("train", "validation")}
  steps = steps_per_epoch(dataset.train, batch_size)
  if len(dataset.validation["image"]) < 2:
    raise DataError("the validation split has 1 image, and a fusion is of two: give it more.")
  size = min(batch_size, share * validation_steps(dataset.validation, share))  # a small split is filled up to a share

  # --- Build ---
  keras.utils.set_random_seed(seed)
  with strategy.scope():
    model = make_model(dataset.image_shape, feature, seed=seed)
    model.compile(make_optimizer_eg(epochs * steps), make_optimizer_d(epochs * steps), jit_compile=jit_compile)
  _check_gradients(model, strategy, dataset.train["image"][:32])

  with contextlib.ExitStack() as stack:
    # --- Begin the run folder, or go on with it ---
    run_dir = pathlib.Path(run_dir)
    stack.enter_context(worker.naming_the_lost())
    if worker.is_chief:
      stack.enter_context(run.alone_in(run_dir))
    config = describe()
    run.refuse_another(run_dir, config)
    checkpoints = Checkpoints(run_dir, model, writes=worker.is_chief)
    worker.check_same(run_dir, **dict(zip(("epochs", "steps"), checkpoints.newest)))
    goes_on = checkpoints.restore_last()  # fails on another architecture, while the folder is as it was
    if worker.is_chief:
      run.write_description(run_dir, config, model.get_config(), dataset.class_names, description)
    if goes_on and worker.is_chief:
      where = f"epoch {checkpoints.epoch}" + (f" and {checkpoints.step} steps" if checkpoints.step else "")
      print(f"Going on with the run in {run_dir} after {where} of {epochs} epochs.")

    # --- Train ---
    def batches(*arguments, **keywords):
      return strategy.distribute_datasets_from_function(
        lambda context: training_batches(*arguments, context=context, **keywords)
      )

    if checkpoints.epoch < epochs:
      if evaluate_every:
        train_judges(dataset)  # by every worker: if only the chief did, the others would wait for it within a step
      asked_to_stop = stack.enter_context(_asked_to_stop())
      callbacks = [
        StopOnNonFinite(run_dir),
        SaveCheckpoints(checkpoints, checkpoint_every, lambda: worker.any(asked_to_stop())),
      ]
      if worker.is_chief:
        tensorboard = TensorBoard(
          run_dir / run.TENSORBOARD_FOLDER, dataset, values["validation"], epochs, evaluate_every
        )
        callbacks = [Progress(), callbacks[0], tensorboard, callbacks[1]]
      while checkpoints.epoch < epochs:  # first the rest of an epoch, if one was under way
        done = checkpoints.step
        first_step = checkpoints.epoch * steps + done
        model.fit(
          batches(dataset.train, values["train"], batch_size, seed, first_step=first_step),
          initial_epoch=checkpoints.epoch,
          epochs=checkpoints.epoch + 1 if done else epochs,
          steps_per_epoch=steps - done,
          validation_data=batches(dataset.validation, values["validation"], size, seed, shuffle=False),
          validation_steps=validation_steps(dataset.validation, size),
          verbose=0,  # `Progress` shows it
          shuffle=False,  # they are already
          callbacks=callbacks,
        )
    checkpoint = restore(run_dir, "best", model)
  return TrainedModel(model, class_names=dataset.class_names, checkpoint=checkpoint)


def _check_counts(least, **counts):
  for name, count in counts.items():
    if not isinstance(count, int) or count < least:
      raise ConfigError(f"train.{name} = {count!r} must be a whole number of at least {least}.")


_HARMFUL = {
  "use_ema": "Keras replaces the weights by their means as `fit` ends: after the last checkpoint, which does not hold "
  "them, and once more where a training goes on within an epoch",
  "gradient_accumulation_steps": "the noise of a step is drawn for the optimizer's count of steps, which stands still "
  "while gradients gather, so that batches share their noise. Raise train.batch_size instead",
  "loss_scale_factor": "the optimizer divides the gradients by it, and the losses are not multiplied by it. bfloat16 "
  "needs no scale",
}
_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


def _check_gradients(model: DisentangledVAE, strategy: tf.distribute.Strategy, image: np.ndarray) -> None:
  """Checks what becomes of the gradients.

  Raises:
    FeatureError: L_f2 needs the gradient of a part of f that has none on `image`, uint8 [B, H, W, C].
    ConfigError: an optimizer has an argument that Keras takes and that makes the training another than it seems.
  """
  for part, loss in zip(model.feature.parts, model.feature_losses):
    if loss == "f2" and model.objective.lambda3:
      check_gradient(part, image.astype(np.float32) / 255)
  harmful = dict(_HARMFUL)
  if strategy.num_replicas_in_sync > 1:
    harmful |= dict.fromkeys(_CLIPPING, "Keras clips the gradients of each replica before it sums them up")
  for name, optimizer in (("optimizer", model.optimizer), ("optimizer_d", model.optimizer_d)):
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
      raise ConfigError(f"{name} is a LossScaleOptimizer, which cannot work here: {_HARMFUL['loss_scale_factor']}.")
    for argument, why in harmful.items():
      if value := getattr(optimizer, argument):
        raise ConfigError(f"{name}.arguments = {{'{argument}': {value!r}}} cannot work here: {why}.")


@contextlib.contextmanager
def _asked_to_stop():
  """Gives a function that tells whether a SIGTERM has come, which then stops nothing by itself."""
  asked = threading.Event()
  try:
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
  except ValueError:  # not in the main thread: signals are somebody else's
    yield asked.is_set
    return
  try:
    yield asked.is_set
  finally:
    signal.signal(signal.SIGTERM, before)


class Progress(keras.callbacks.Callback):
  """Keras's progress bar with the few figures that tell how it goes: a line an epoch where there is no terminal."""

  SHOWN = ("L", "reconstruction", "KL_z1", "L_f", "L_GAN", "L_D", "L_mirror", "L_a", "psnr", "val_L_f", "val_psnr")

  def on_epoch_begin(self, epoch, logs=None):
    if self.params["epochs"] > 1:
      print(f"Epoch {epoch + 1}/{self.params['epochs']}", flush=True)
    self._is_bar = sys.stdout.isatty()  # logs are no place for one
    self._bar = keras.utils.Progbar(
      self.params["steps"],
      verbose=1 if self._is_bar else 2,
      stateful_metrics=self.SHOWN,  # they are means already
    )

  def on_train_batch_end(self, batch, logs=None):
    if self._is_bar:
      self._bar.update(batch + 1, self._shown(logs), finalize=False)

  def on_epoch_end(self, epoch, logs=None):
    self._bar.update(self.params["steps"], self._shown(logs), finalize=True)

  def _shown(self, logs):
    return [(name, logs[name]) for name in self.SHOWN if name in logs]


class StopOnNonFinite(keras.callbacks.Callback):
  """Stops with `NonFiniteLossError` at the first step in which a term of the loss is NaN or infinite.

  So it does after an epoch, before its checkpoint is written, if a term of the validation is.
  """

  def __init__(self, run_dir: pathlib.Path):
    super().__init__()
    self._run_dir = run_dir

  def on_epoch_begin(self, epoch, logs=None):
    self._epoch = epoch

  def on_train_batch_end(self, batch, logs=None):
    self._check(logs, f"in epoch {self._epoch + 1}, step {batch + 1} of the epoch")

  def on_epoch_end(self, epoch, logs=None):
    self._check(logs, f"at the end of epoch {epoch + 1}")

  def _check(self, logs, when):
    bad = [
      name
      for name, value in logs.items()
      if not np.isfinite(value)
      and not name.startswith("gradient_norm")
      and name not in ("psnr", "val_psnr")  # infinite on a perfect x'
    ]
    if bad:
      terms = [name for name in bad if name not in ("L", "val_L")] or bad
      raise NonFiniteLossError(
        f"{', '.join(terms)} became NaN or infinite {when}. "
        f"The checkpoints of the epochs before are kept in {self._run_dir}. "
        "Lower optimizer.learning_rate or the weight of that term, and train into another --run_dir."
      )


class SaveCheckpoints(keras.callbacks.Callback):
  """Writes the checkpoints, the best one being that of the lowest validation L - λ4 L_GAN + λ6 L_a.

  L_GAN and L_a are left out, since they tell of D and of the adversary as much as of the model.

  Args:
    checkpoints: where they are written.
    every: after so many steps within an epoch; 0 for none. After each epoch there is one.
    asked_to_stop: tells whether the training shall stop: then a checkpoint is written, and `Interrupted` raised.
  """

  def __init__(self, checkpoints: Checkpoints, every: int = 0, asked_to_stop: Callable[[], bool] = lambda: False):
    super().__init__()
    self._checkpoints, self._every, self._asked_to_stop = checkpoints, every, asked_to_stop

  def on_epoch_begin(self, epoch, logs=None):
    self._done = self._checkpoints.step  # of this epoch, before this process
    if self._done:
      self._checkpoints.restore_means()

  def on_train_batch_end(self, batch, logs=None):
    step, stop = self._done + batch + 1, self._asked_to_stop()
    if batch + 1 < self.params["steps"] and (stop or (self._every and step % self._every == 0)):
      self._write(f"{step} steps after epoch {self._checkpoints.epoch}", lambda: self._checkpoints.save_step(step))
      self._stop(stop, f"{step} steps after epoch {self._checkpoints.epoch}")

  def on_epoch_end(self, epoch, logs=None):
    o = self.model.objective
    loss = logs["val_L"] - o.lambda4 * logs.get("val_L_GAN", 0.0) + o.lambda6 * logs.get("val_L_a", 0.0)
    self._write(f"epoch {epoch + 1}", lambda: self._checkpoints.save(epoch + 1, loss))
    self._stop(self._asked_to_stop(), f"after epoch {epoch + 1}")

  def _write(self, what, save):
    with _writing(f"the checkpoint of {what}"):
      save()

  def _stop(self, stop, where):
    if stop:
      raise Interrupted(f"stopped as asked (SIGTERM), {where}. The same command goes on from there.")


@contextlib.contextmanager
def _writing(what: str):
  """Turns a full disk, or a folder that is gone, into a `RunError` that says what cannot be written."""
  try:
    yield
  except (OSError, tf.errors.OpError) as error:
    raise RunError(
      f"{what} cannot be written: {error}. The checkpoints before are kept; mended, the same command goes on."
    ) from error


class TensorBoard(keras.callbacks.Callback):
  """Writes every term, gradient norm and learning rate, and a fusion grid of validation images, after each epoch.

  So it does with the quick subset of the evaluation on validation images, after every `evaluate_every` epochs.
  """

  EVALUATED = 2000
  SHOWN = ("accuracy_mean", "mae_mean", "median_error_mean", "color_mae", "digit_accuracy")

  def __init__(
    self, folder: pathlib.Path, dataset: Dataset, f_validation: np.ndarray, epochs: int, evaluate_every: int = 0
  ):
    super().__init__()
    self._epochs = epochs
    self._folder, self._images, self._f = str(folder), dataset.validation["image"], f_validation
    self._dataset, self._evaluate_every = dataset, evaluate_every

  def on_train_begin(self, logs=None):
    with _writing("the curves for TensorBoard"):
      self._writer = tf.summary.create_file_writer(self._folder)
    self._columns = pictures.pick(self._f, self.model.feature)
    self._trained = TrainedModel(self.model)

  def on_epoch_end(self, epoch, logs=None):
    grid = pictures.fusion_grid(self._trained, self._images[:8], self._images[self._columns], self._f[self._columns])
    metrics = {}
    if self._evaluate_every and ((epoch + 1) % self._evaluate_every == 0 or epoch + 1 == self._epochs):
      metrics = evaluate(self._trained, self._dataset, "validation", quick=True, limit=self.EVALUATED, progress=None)
      shown = ", ".join(
        f"{name} {figure['value']:.3f}"
        for name, figure in metrics.items()
        if name.startswith(("control/", "complement/")) and name.split("/")[-1] in self.SHOWN
      )
      print(f"validation images: {shown}" if shown else "", flush=True)
    with _writing("the curves for TensorBoard"), self._writer.as_default(step=epoch + 1):
      for name, value in logs.items():
        tf.summary.scalar(
          f"validation/{name[4:]}"
          if name.startswith("val_")
          else name
          if name.startswith("gradient_norm/")
          else f"train/{name}",
          value,
        )
      tf.summary.scalar("learning_rate", self.model.optimizer.learning_rate)
      tf.summary.image("fusion", grid[None])
      for name, figure in metrics.items():
        tf.summary.scalar(f"evaluation/{name}", figure["value"])
      self._writer.flush()

  def on_train_end(self, logs=None):
    self._writer.close()


def write_scalars(folder: pathlib.Path, scalars: Mapping[str, float]) -> None:
  """Writes single figures for TensorBoard, in place of those that the folder holds."""
  for file in folder.glob("events.out.tfevents.*"):
    file.unlink()
  with tf.summary.create_file_writer(str(folder)).as_default(step=0):
    for name, value in scalars.items():
      tf.summary.scalar(name, value)
