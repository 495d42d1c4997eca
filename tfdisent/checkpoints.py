"""Checkpoints of a run: the last two and the best two on validation.

Each has every network, those of a learned feature among them, both optimizers, the epoch, and within one the step and
the running means of the loss. The noise and the order of the data are functions of the seed and the step
(`tfdisent.model`, `tfdisent.dataset`): the seed is part of the model, the step of its optimizer, so nothing else is
needed to go on exactly, from the end of an epoch or from any step.
"""

import pathlib
import re
import tempfile
from typing import NamedTuple

import tensorflow as tf
from absl import logging

from tfdisent.errors import CheckpointError
from tfdisent.model.vae import DisentangledVAE

FOLDER = "checkpoints"
KINDS = ("last", "best")
KEPT = 2  # of each


class Checkpoint(NamedTuple):
  """Which weights of a run: of the kind "last" or "best", after `epoch` epochs and `step` steps of the next."""

  kind: str
  epoch: int
  step: int


class Checkpoints:
  """Writes and restores the checkpoints of a compiled model.

  Args:
    run_dir: the run folder; checkpoints are `checkpoints/{last,best}/epoch-<number>`, and within the epoch after that
      `checkpoints/last/epoch-<number>-step-<number>`.
    model: a compiled model.
    writes: whether the checkpoints are kept. Of several workers all must take part in writing one, and the chief keeps
      it.

  Attributes:
    epoch: whole epochs trained so far.
    step: steps trained of the epoch after them.
    best_loss: the lowest validation loss so far.
  """

  def __init__(self, run_dir: str, model: DisentangledVAE, writes: bool = True):
    self._run_dir, self._writes = run_dir, writes
    self._epoch, self._step = tf.Variable(0, dtype=tf.int64), tf.Variable(0, dtype=tf.int64)
    self._best_loss = tf.Variable(float("inf"), dtype=tf.float64)
    self._means = {f"{m.name}/{place}": v.value for m in model.metrics for place, v in enumerate(m.variables)}
    self._parts = {
      **_networks(model),
      "optimizer": _numbered(model.optimizer.variables),
      "optimizer_d": _numbered(model.optimizer_d.variables),
      "means": self._means,
      "epoch": self._epoch,
      "step": self._step,
      "best_loss": self._best_loss,
    }
    self._checkpoint = tf.train.Checkpoint(**self._parts)

  @property
  def epoch(self) -> int:
    return int(self._epoch.numpy())

  @property
  def step(self) -> int:
    return int(self._step.numpy())

  @property
  def newest(self) -> tuple[int, int]:
    """Epoch and step of the newest checkpoint in the folder; zeros where there is none."""
    return max(_found(self._run_dir, "last"), default=(0, 0))

  @property
  def best_loss(self) -> float:
    return float(self._best_loss.numpy())

  def save(self, epoch: int, validation_loss: float) -> None:
    """Writes the checkpoint of `epoch` as the last one, and as the best one if `validation_loss` is the lowest yet."""
    improved = validation_loss < self.best_loss
    self._epoch.assign(epoch)
    self._step.assign(0)
    for mean in self._means.values():
      mean.assign(tf.zeros_like(mean))  # they begin anew with the epoch
    if improved:
      self._best_loss.assign(validation_loss)
      self._write("best")
    self._write("last")

  def save_step(self, step: int) -> None:
    """Writes the last checkpoint after `step` steps of the epoch under way."""
    self._step.assign(step)
    self._write("last")

  def _write(self, kind):
    folder = pathlib.Path(self._run_dir, FOLDER, kind)
    name = f"epoch-{self.epoch}" + (f"-step-{self.step}" if self.step else "")
    if not self._writes:
      with tempfile.TemporaryDirectory() as scratch:
        self._checkpoint.write(str(pathlib.Path(scratch, name)))
      return
    self._checkpoint.write(str(folder / name))
    for old in _paths(self._run_dir, kind)[KEPT:]:
      for file in sorted(folder.glob(f"{pathlib.Path(old).name}.*"), reverse=True):  # the index first, that names it
        file.unlink()

  def restore_last(self) -> bool:
    """Restores the newest readable checkpoint, if there is any; returns whether there was one."""
    if not _paths(self._run_dir, "last"):
      return False
    _restore(self._run_dir, "last", self._parts)
    self._restored = {name: mean.numpy() for name, mean in self._means.items()}
    return True

  def restore_means(self) -> None:
    """Gives the model the running means of the epoch under way again, which `fit` forgets as it begins."""
    for name, value in self._restored.items():
      self._means[name].assign(value)


def restore(run_dir: str, which: str, model: DisentangledVAE) -> Checkpoint:
  """Restores the weights of `model` from the newest readable checkpoint of a run, "best" or "last"; tells which it was.

  Raises:
    CheckpointError: none can be read, or they belong to another architecture.
  """
  if which not in KINDS:
    raise CheckpointError(f"unknown checkpoint '{which}': choose one of {', '.join(KINDS)}.")
  if not _paths(run_dir, which):
    raise CheckpointError(
      f"{run_dir} has no checkpoint under {FOLDER}/{which}: its training has not finished an epoch yet."
    )
  return Checkpoint(which, *_restore(run_dir, which, _networks(model)))


def _networks(model) -> dict[str, dict[str, tf.Variable]]:
  networks = model.networks | {f"f/{name}": network for name, network in model.feature.networks.items()}
  return {symbol: _named(network.weights) for symbol, network in networks.items()}


def _named(variables) -> dict[str, tf.Variable]:
  """Variables by their path ("E1/conv_0/kernel").

  They are named one by one, since TensorFlow does not see the layers that a Keras model keeps in a list, and would
  leave them out of a checkpoint in silence.
  """
  return {variable.path: variable.value for variable in variables}


def _numbered(variables) -> dict[str, tf.Variable]:
  """Variables of an optimizer by their place.

  Their paths count the optimizers that the process has made ("adam_2/…"), and some share one.
  """
  return {str(place): variable.value for place, variable in enumerate(variables)}


def _paths(run_dir, kind) -> list[str]:
  """Checkpoints, newest first."""
  return [path for _, path in sorted(_found(run_dir, kind).items(), reverse=True)]


def _found(run_dir, kind) -> dict[tuple[int, int], str]:
  """Checkpoints by epoch and step; read off the files, since a list beside them could be damaged as well."""
  found = {}
  for file in pathlib.Path(run_dir, FOLDER, kind).glob("epoch-*.index"):
    if match := re.fullmatch(r"epoch-(\d+)(?:-step-(\d+))?\.index", file.name):
      found[int(match[1]), int(match[2] or 0)] = str(file.with_suffix(""))
  return found


def _restore(run_dir, kind, parts) -> tuple[int, int]:
  """Restores the newest that can be read; returns its epoch and step."""
  for place, path in sorted(_found(run_dir, kind).items(), reverse=True):
    try:
      status = tf.train.Checkpoint(**parts).read(path)
      status.assert_existing_objects_matched()
      status.expect_partial()  # a model in use has no optimizers
      return place
    except (tf.errors.OpError, IndexError) as error:  # flipped bits (there are checksums) or no file; a file cut short
      logging.warning("The checkpoint %s cannot be read (%s). Trying the one before.", path, str(error).splitlines()[0])
    except (ValueError, AssertionError) as error:
      raise CheckpointError(
        f"the checkpoint {path} belongs to a model of another architecture: {str(error).splitlines()[0]}"
      ) from error
  raise CheckpointError(
    f"none of the checkpoints of {run_dir} can be read: {', '.join(_paths(run_dir, kind))}. "
    f"Remove the folder {FOLDER}/{kind} to start the training over, or restore it from a backup."
  )
