"""What happens beside the steps of a training: progress, checks and checkpoints."""

import contextlib
import pathlib
import sys
from collections.abc import Callable

import keras
import numpy as np

from tfdisent.checkpoints import Checkpoints
from tfdisent.console import say
from tfdisent.errors import Interrupted, NonFiniteLossError
from tfdisent.run import writing


class Progress(keras.callbacks.Callback):
  """Prints a few terms of the loss: as Keras's bar in a terminal or a notebook, elsewhere as a line for each epoch."""

  def on_epoch_begin(self, epoch, logs=None):
    if self.params["epochs"] > 1:
      say(f"Epoch {epoch + 1}/{self.params['epochs']}")
    self._is_bar = sys.stdout.isatty() or _in_notebook()  # in a file, each update of a bar would be a line
    self._names = [*(term.name for term in self.model.records if term.is_shown), "psnr", "val_L_f", "val_psnr"]
    self._bar = keras.utils.Progbar(
      self.params["steps"],
      verbose=1 if self._is_bar else 2,
      stateful_metrics=self._names,  # Keras would average these means once more
    )

  def on_train_batch_end(self, batch, logs=None):
    if self._is_bar:
      self._update(batch + 1, logs, finalize=False)

  def on_epoch_end(self, epoch, logs=None):
    self._update(self.params["steps"], logs, finalize=True)

  def _update(self, step, logs, finalize):
    with contextlib.suppress(OSError):  # the window was closed: a checkpoint is to be written yet
      self._bar.update(step, [(name, logs[name]) for name in self._names if name in logs], finalize=finalize)


def _in_notebook() -> bool:
  """Whether this is Python of a notebook, or of IPython, which is not imported for this."""
  ipython = sys.modules.get("IPython")
  return ipython is not None and ipython.get_ipython() is not None


class StopOnNonFinite(keras.callbacks.Callback):
  """Raises `NonFiniteLossError` for the first step in which a term of the loss is NaN or infinite.

  The logs of a step are running means, which stay NaN or infinite until the epoch ends. So they are read once in
  `EVERY` steps, and whenever somebody asks for it by `check`: a step that is read is a step that is waited for. A term
  of the validation is checked after each epoch, before the epoch's checkpoint is written.
  """

  EVERY = 20

  def __init__(self, run_dir: pathlib.Path):
    super().__init__()
    self._run_dir, self._unread = run_dir, []

  def on_epoch_begin(self, epoch, logs=None):
    self._epoch, self._unread = epoch, []

  def on_train_batch_end(self, batch, logs=None):
    self._unread.append((batch, dict(logs)))
    if len(self._unread) == self.EVERY:
      self.check()

  def on_epoch_end(self, epoch, logs=None):
    self.check()
    self._check(logs, f"at the end of epoch {epoch + 1}")

  def check(self) -> None:
    """Reads the steps of which nothing has been read yet; to be called before their weights are kept."""
    unread, self._unread = self._unread, []
    if unread and _not_finite(unread[-1][1]):
      for batch, logs in unread:
        self._check(logs, f"in epoch {self._epoch + 1}, step {batch + 1} of the epoch")

  def _check(self, logs, when):
    if bad := _not_finite(logs):
      terms = [name for name in bad if name not in ("L", "val_L")] or bad
      raise NonFiniteLossError(
        f"{', '.join(terms)} became NaN or infinite {when}. "
        f"The checkpoints of the epochs before are kept in {self._run_dir}. "
        "Lower optimizer.learning_rate or the weight of that term, and train into another --run_dir."
      )


def _not_finite(logs) -> list[str]:
  """The names of the terms that are NaN or infinite and may not be."""
  return [
    name
    for name, value in logs.items()
    if not name.startswith("gradient_norm")
    and name not in ("psnr", "val_psnr")  # the PSNR of a perfect x' is infinite
    and not np.isfinite(value)
  ]


class NamesOfKeras(keras.callbacks.Callback):
  """Adds L to the logs as `loss` and `val_loss`: the callbacks of Keras, which come after this one, look for these."""

  def on_train_batch_end(self, batch, logs=None):
    logs["loss"] = logs["L"]

  def on_epoch_end(self, epoch, logs=None):
    logs |= {"loss": logs["L"], "val_loss": logs["val_L"]}


class SaveCheckpoints(keras.callbacks.Callback):
  """Writes a checkpoint after each epoch and after some steps of it.

  By "loss" the best one is that of the epoch with the lowest validation L, without the terms whose records say that
  they do not count. L_GAN and L_a do not count, since they depend on D and on the adversary as much as on the model.
  By another name it is that with the highest of these numbers in the logs. A callback that comes before this one puts
  them there, in the same epochs on every worker. The other epochs are only best as long as no number is known.

  Args:
    checkpoints: of the run.
    every: number of steps of an epoch after which a checkpoint is written; 0 for none within an epoch.
    must_stop: tells whether the training must stop. Then a checkpoint is written, and `Interrupted` is raised.
    best: "loss", or the name of what is highest in the best epoch.
    check: called before a checkpoint is written within an epoch; it raises an error where none may be.
  """

  def __init__(
    self,
    checkpoints: Checkpoints,
    every: int = 0,
    must_stop: Callable[[], bool] = lambda: False,
    best: str = "loss",
    check: Callable[[], None] = lambda: None,
  ):
    super().__init__()
    self._checkpoints, self._every, self._must_stop, self._best = checkpoints, every, must_stop, best
    self._check = check

  def on_epoch_begin(self, epoch, logs=None):
    self._steps_before = self._checkpoints.step  # steps of this epoch that an earlier process has trained
    if self._steps_before:
      self._checkpoints.restore_means()

  def on_train_batch_end(self, batch, logs=None):
    step, must_stop = self._steps_before + batch + 1, self._must_stop()
    is_last = batch + 1 == self.params["steps"]  # its checkpoint is that of the epoch
    if not is_last and (must_stop or (self._every and step % self._every == 0)):
      self._check()
      where = f"{step} steps after epoch {self._checkpoints.epoch}"
      with writing(f"the checkpoint of {where}"):
        self._checkpoints.save_step(step)
      if must_stop:
        raise _interrupted(where)

  def on_epoch_end(self, epoch, logs=None):
    loss = self._loss(logs) if self._best == "loss" else -logs.get(self._best, -np.inf)
    with writing(f"the checkpoint of epoch {epoch + 1}"):
      self._checkpoints.save(epoch + 1, loss)
    if self._must_stop():
      raise _interrupted(f"after epoch {epoch + 1}")

  def _loss(self, logs) -> float:
    loss = logs["val_L"]
    for term in self.model.records:
      if term.weight and not term.counts_for_best:
        loss -= term.weight * logs[f"val_{term.name}"]
    return loss


def _interrupted(where: str) -> Interrupted:
  return Interrupted(f"stopped as asked, {where}. The same command or call goes on from there.")
