"""What happens beside the steps of a training: progress, checks, checkpoints and curves."""

import contextlib
import pathlib
import sys
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdisent import pictures
from tfdisent.checkpoints import Checkpoints
from tfdisent.data.dataset import Dataset
from tfdisent.errors import Interrupted, NonFiniteLossError, RunError
from tfdisent.evaluation.protocol import evaluate
from tfdisent.inference import TrainedModel


class Progress(keras.callbacks.Callback):
  """Keras's progress bar with the few figures that tell how it goes: a line an epoch where there is no terminal."""

  def on_epoch_begin(self, epoch, logs=None):
    if self.params["epochs"] > 1:
      print(f"Epoch {epoch + 1}/{self.params['epochs']}", flush=True)
    self._is_bar = sys.stdout.isatty()  # logs are no place for one
    self._bar = keras.utils.Progbar(
      self.params["steps"],
      verbose=1 if self._is_bar else 2,
      stateful_metrics=self._names(),  # they are means already
    )

  def on_train_batch_end(self, batch, logs=None):
    if self._is_bar:
      self._bar.update(batch + 1, self._shown(logs), finalize=False)

  def on_epoch_end(self, epoch, logs=None):
    self._bar.update(self.params["steps"], self._shown(logs), finalize=True)

  def _shown(self, logs):
    return [(name, logs[name]) for name in self._names() if name in logs]

  def _names(self):
    return [*(term.name for term in self.model.records if term.is_shown), "psnr", "val_L_f", "val_psnr"]


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
  """Writes the checkpoints, the best one being that of the lowest validation L without what does not count for it.

  L_GAN and L_a do not count, since they tell of D and of the adversary as much as of the model: see `Term`.

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
    loss = logs["val_L"]
    for term in self.model.records:
      if term.weight and not term.counts_for_best:
        loss -= term.weight * logs[f"val_{term.name}"]
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
