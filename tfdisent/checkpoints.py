"""Checkpoints of a run: the last two, and the best two on validation.

A checkpoint has all networks, with those of a learned feature, both optimizers, the epoch, and within an epoch the step
and the running means of the loss. Of a model with `ema` the networks have the averages, and the weights that they are
the averages of are there besides. A training goes on from it exactly, since the noise and the order of the data are
functions of the seed, which is an argument of the model, and of the step, which the optimizer counts
(`tfdisent.model`, `tfdisent.data.batches`).

A run that was made small (`tfdisent.serving.compact`) has the weights of one checkpoint alone, as float16, in a file of
NumPy, `weights.npz`.
"""

import io
import pathlib
import re
import tempfile
import zipfile
import zlib
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfdisent.errors import CheckpointError
from tfdisent.model.vae import DisentangledVAE
from tfdisent.run import CHECKPOINTS_FOLDER, WEIGHTS_FILE, write

KINDS = ("last", "best")
COUNT = 2  # checkpoints of each kind that stay


class Checkpoint(NamedTuple):
  """Names weights of a run: of the kind "last" or "best", after `epoch` epochs and `step` steps of the next one."""

  kind: str
  epoch: int
  step: int


class Checkpoints:
  """Writes and restores the checkpoints of a compiled model.

  Args:
    run_dir: the run folder; checkpoints are `checkpoints/{last,best}/epoch-<number>`, and within the epoch after that
      `checkpoints/last/epoch-<number>-step-<number>`.
    model: a compiled model.
    writes: whether this process keeps checkpoints. Of several workers all must take part in writing one, and the chief
      alone keeps it.

  Attributes:
    epoch: number of whole epochs trained so far.
    step: number of steps trained of the next epoch.
    best_loss: the lowest so far of what `save` was given; infinite as long as it is not known of any epoch.
  """

  def __init__(self, run_dir: str, model: DisentangledVAE, writes: bool = True):
    self._run_dir, self._model, self._writes = run_dir, model, writes
    self._epoch, self._step = tf.Variable(0, dtype=tf.int64), tf.Variable(0, dtype=tf.int64)
    self._best_loss = tf.Variable(float("inf"), dtype=tf.float64)
    self._means = {f"{m.name}/{index}": v.value for m in model.metrics for index, v in enumerate(m.variables)}
    self._content = {
      **weights_of(model),
      "optimizer": _numbered(model.optimizer.variables),
      "optimizer_d": _numbered(model.optimizer_d.variables),
      "means": self._means,
      "epoch": self._epoch,
      "step": self._step,
      "best_loss": self._best_loss,
    }
    if model.averages:
      self._content["trained"] = _numbered(model.averages.others)
    self._checkpoint = tf.train.Checkpoint(**self._content)

  @property
  def epoch(self) -> int:
    return int(self._epoch.numpy())

  @property
  def step(self) -> int:
    return int(self._step.numpy())

  @property
  def newest(self) -> tuple[int, int]:
    """Epoch and step of the newest checkpoint in the folder; zeros if there is none."""
    return max(_found(self._run_dir, "last"), default=(0, 0))

  @property
  def best_loss(self) -> float:
    return float(self._best_loss.numpy())

  def save(self, epoch: int, loss: float) -> None:
    """Writes the checkpoint of `epoch` as the last one, and as the best one if `loss` is the lowest yet.

    Args:
      epoch: number of whole epochs trained so far.
      loss: on validation images; infinite if it is not known of this epoch, which is then the best one only as long as
        it is known of none: a run always has weights to use.
    """
    improved = loss < self.best_loss or self.best_loss == float("inf")
    self._epoch.assign(epoch)
    self._step.assign(0)
    for mean in self._means.values():
      mean.assign(tf.zeros_like(mean))  # the next epoch has means of its own
    if improved:
      self._best_loss.assign(loss)
      self._write("best")
    self._write("last")

  def save_step(self, step: int) -> None:
    """Writes the last checkpoint, after `step` steps of the current epoch."""
    self._step.assign(step)
    self._write("last")

  def _write(self, kind):
    folder = pathlib.Path(self._run_dir, CHECKPOINTS_FOLDER, kind)
    name = f"epoch-{self.epoch}" + (f"-step-{self.step}" if self.step else "")
    with self._model.showing_averages():
      if not self._writes:
        with tempfile.TemporaryDirectory() as scratch:
          self._checkpoint.write(str(pathlib.Path(scratch, name)))
        return
      self._checkpoint.write(str(folder / name))
    for old in _paths(self._run_dir, kind)[COUNT:]:
      # The index goes first: an index without its data, as a kill in between would leave, is a damaged checkpoint.
      for file in sorted(folder.glob(f"{pathlib.Path(old).name}.*"), reverse=True):
        file.unlink()

  def restore_last(self) -> bool:
    """Restores the newest readable checkpoint; returns False if there is none."""
    if not _paths(self._run_dir, "last"):
      return False
    _restore(self._run_dir, "last", self._content)
    self._restored_means = {name: mean.numpy() for name, mean in self._means.items()}
    return True

  def restore_means(self) -> None:
    """Gives the model the restored running means of the current epoch once more: `fit` resets them as it begins."""
    for name, value in self._restored_means.items():
      self._means[name].assign(value)


def restore(run_dir: str, which: str, model: DisentangledVAE) -> Checkpoint:
  """Restores the weights of `model` from the newest readable checkpoint of a run, of the kind "best" or "last".

  Raises:
    CheckpointError: no checkpoint can be read, they belong to another architecture, or the run has none of this kind.
  """
  if which not in KINDS:
    raise CheckpointError(f"unknown checkpoint '{which}': choose one of {', '.join(KINDS)}.")
  if not _paths(run_dir, which):
    if pathlib.Path(run_dir, WEIGHTS_FILE).is_file():
      return _restore_weights(pathlib.Path(run_dir, WEIGHTS_FILE), which, model)
    raise CheckpointError(
      f"{run_dir} has no checkpoint under {CHECKPOINTS_FOLDER}/{which}: its training has not finished an epoch yet."
    )
  return Checkpoint(which, *_restore(run_dir, which, weights_of(model)))


def weights_of(model: DisentangledVAE) -> dict[str, dict[str, tf.Variable]]:
  """The weights of all networks of a model, with those of a learned feature, by symbol and path."""
  networks = model.networks | {f"f/{name}": network for name, network in model.feature.networks.items()}
  return {symbol: _named(network) for symbol, network in networks.items()}


def save_weights(
  folder: pathlib.Path, model: DisentangledVAE, checkpoint: Checkpoint, dtype: type[np.floating] = np.float16
) -> None:
  """Writes `weights.npz`, the weights of the networks that a trained model is used with, in float16 or float32.

  Raises:
    CheckpointError: a weight is too large for the type.
    RunError: the file cannot be written.
  """
  arrays = {f"{symbol}/{path}": v.numpy() for symbol, of in _used(model).items() for path, v in of.items()}
  with np.errstate(over="ignore"):  # it is refused below
    rounded = {name: array.astype(dtype) for name, array in arrays.items()}
  if large := next((name for name, array in rounded.items() if not np.isfinite(array).all()), None):
    raise CheckpointError(
      f"the weight '{large}' has numbers that {np.dtype(dtype)} cannot hold: this model cannot be made small."
    )
  file = io.BytesIO()
  np.savez_compressed(file, **rounded, **{"": np.array([checkpoint.kind, checkpoint.epoch, checkpoint.step])})
  write(folder / WEIGHTS_FILE, file.getvalue())


def _restore_weights(file: pathlib.Path, which: str, model: DisentangledVAE) -> Checkpoint:
  """Gives the model the weights of a `weights.npz`; the other networks keep what they have.

  Where "last" is asked for, they must be those. "best" is what all ask for who say nothing, and takes what is there.
  """
  try:
    with np.load(file, allow_pickle=False) as arrays:
      kind, epoch, step = arrays[""].tolist()
      values = {name: arrays[name] for name in arrays.files}
  except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
    raise CheckpointError(f"{file} is damaged ({error}). Get the folder anew from where it came.") from error
  if which == "last" != kind:
    raise CheckpointError(
      f"{file.parent} is a run that was made small, and has the {kind} weights alone: leave --checkpoint=last (from "
      "Python, 'last'), or take the whole run."
    )
  for symbol, of_network in _used(model).items():
    for path, variable in of_network.items():
      value = values.get(f"{symbol}/{path}")
      if value is None or value.shape != variable.shape:
        raise CheckpointError(f"{file} belongs to a model of another architecture: see '{symbol}/{path}'.")
      variable.assign(value.astype(np.float32))
  return Checkpoint(kind, int(epoch), int(step))


def _used(model) -> dict[str, dict[str, tf.Variable]]:
  """The weights of the networks that fuse images and read f, by symbol and path."""
  used = ("E1", "E2", "G", "q", "f")
  return {symbol: of for symbol, of in weights_of(model).items() if symbol.split("/")[0] in used}


def _named(network: keras.Model) -> dict[str, tf.Variable]:
  """The weights of a network by their path, from its own name on ("E1/conv_0/kernel").

  A checkpoint of a whole Keras model would lack the layers that the model keeps in a list, without an error. What is
  before its name is a scope that Keras was interrupted in and has left open: all later weights of a notebook have it in
  their paths, and a run that goes on there would not find its own.
  """
  paths = [variable.path for variable in network.weights]
  scope, _, _ = f"/{next(iter(paths), '')}".rpartition(f"/{network.name}/")  # all of them have the same one
  return {path[len(scope) :]: variable.value for path, variable in zip(paths, network.weights)}


def _numbered(variables) -> dict[str, tf.Variable]:
  """Variables of an optimizer by their index.

  Their paths cannot name them: some are the same, and they count the optimizers of the process ("adam_2/…").
  """
  return {str(index): variable.value for index, variable in enumerate(variables)}


def _paths(run_dir, kind) -> list[str]:
  """The paths of the checkpoints of a kind, the newest first."""
  return [path for _, path in sorted(_found(run_dir, kind).items(), reverse=True)]


def _found(run_dir, kind) -> dict[tuple[int, int], str]:
  """The paths of the checkpoints of a kind, by epoch and step.

  From the names of the files: a list in a file of its own could be damaged as well.
  """
  found = {}
  for file in pathlib.Path(run_dir, CHECKPOINTS_FOLDER, kind).glob("epoch-*.index"):
    if match := re.fullmatch(r"epoch-(\d+)(?:-step-(\d+))?\.index", file.name):
      found[int(match[1]), int(match[2] or 0)] = str(file.with_suffix(""))
  return found


def _restore(run_dir, kind, content) -> tuple[int, int]:
  """Restores the newest checkpoint that can be read; returns its epoch and step."""
  for epoch_and_step, path in sorted(_found(run_dir, kind).items(), reverse=True):
    try:
      status = tf.train.Checkpoint(**content).read(path)
      status.assert_existing_objects_matched()
      status.expect_partial()  # a model that is not trained leaves the optimizers in the file
      return epoch_and_step
    except (tf.errors.OpError, IndexError) as error:  # wrong checksums, a missing file; IndexError: a file cut short
      logging.warning("The checkpoint %s cannot be read (%s). Trying the one before.", path, str(error).splitlines()[0])
    except (ValueError, AssertionError) as error:
      raise CheckpointError(
        f"the checkpoint {path} belongs to a model of another architecture: {str(error).splitlines()[0]}"
      ) from error
  other = next(other for other in KINDS if other != kind)
  whole = next((path for path in _paths(run_dir, other) if _is_whole(path)), None)
  raise CheckpointError(
    f"none of the checkpoints of {run_dir} can be read: {', '.join(_paths(run_dir, kind))}. "
    + (f"{whole} can be: pass --checkpoint={other} (from Python, '{other}'). " if whole else "")
    + f"Restore them from a backup, or remove the folder {pathlib.Path(run_dir, CHECKPOINTS_FOLDER)} and train anew "
    "with the same command."
  )


def _is_whole(path: str) -> bool:
  """Whether every number of a checkpoint can be read."""
  try:
    reader = tf.train.load_checkpoint(path)
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)
  except Exception:  # TensorFlow's, of many types, and IndexError
    return False
  return True
