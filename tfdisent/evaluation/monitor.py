"""What TensorBoard shows of a training: curves, a grid of fusions, and the quick figures of validation images."""

import pathlib
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent import pictures, run
from tfdisent.console import say
from tfdisent.data.dataset import Dataset
from tfdisent.data.pixels import as_png
from tfdisent.distribution import Worker
from tfdisent.evaluation.best import MEASUREMENTS as SCORE_NEEDS
from tfdisent.evaluation.best import score
from tfdisent.evaluation.measurement import Metrics, printed_figures, without_part
from tfdisent.evaluation.protocol import evaluate
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel
from tfdisent.registry import MEASUREMENTS
from tfdisent.run import FUSION_FILE, MAKE_ROOM, writing

EVALUATED_IMAGES = 2000


class TensorBoard(keras.callbacks.Callback):
  """Writes every term, gradient norm and learning rate, and a fusion grid of validation images, after each epoch.

  The grid is also `fusion.png` beside the folder, for whoever has no TensorBoard. Of several workers, the chief alone
  does so.

  Args:
    folder: gets the event files.
    dataset: its validation split is shown and evaluated.
    epochs: how many epochs the training has.
    evaluate_every: after so many epochs, and after the last one, the quick subset of the evaluation is run on
      `EVALUATED_IMAGES` validation images; 0 for never.
    measurements: taken in the evaluation, besides its own.
    scores: whether the evaluation gives a score too (`evaluation.best`). It is put into the logs as `score`, on every
      worker the same, for whatever chooses by it.
  """

  def __init__(
    self,
    folder: pathlib.Path,
    dataset: Dataset,
    epochs: int,
    evaluate_every: int = 0,
    measurements: Sequence = (),
    scores: bool = False,
  ):
    super().__init__()
    taken = {type(measurement) for measurement in measurements}
    more = [MEASUREMENTS.create(name) for name in SCORE_NEEDS if MEASUREMENTS[name] not in taken] if scores else []
    self._measurements, self._scores = (*measurements, *more), scores
    self._folder, self._dataset = folder, dataset
    self._picture = pathlib.Path(folder).parent / FUSION_FILE
    self._epochs, self._evaluate_every = epochs, evaluate_every

  def on_train_begin(self, logs=None):
    self._worker = Worker(self.model.distribute_strategy)
    self._is_chief = self._worker.is_chief
    if not self._is_chief:
      return
    with writing("the curves for TensorBoard"):
      self._writer = tf.summary.create_file_writer(str(self._folder))
    f, images = feature_values(self.model.feature, self._dataset.validation), self._dataset.validation["image"]
    columns = pictures.pick(f, self.model.feature, pictures.SIDE)
    self._fused = images[: pictures.SIDE], images[columns], f[columns], f[: pictures.SIDE]
    self._trained = TrainedModel(self.model, class_names=self._dataset.class_names)

  def on_epoch_end(self, epoch, logs=None):
    metrics = self._show(epoch, logs) if self._is_chief else {}
    if self._scores and self._is_evaluated(epoch + 1):
      logs["score"] = self._worker.of_chief(metrics["score"]["value"] if self._is_chief else 0.0)

  def _show(self, epoch: int, logs: Mapping[str, float]) -> Metrics:
    """Writes the picture and the curves of an epoch; returns the figures of its evaluation, if it has one."""
    title = f"{self._folder.absolute().parent.name} · after epoch {epoch + 1} of {self._epochs}"
    picture = pictures.fusion_grid(self._trained, *self._fused).titled(title).draw()
    metrics = self._evaluate() if self._is_evaluated(epoch + 1) else {}
    with writing(f"the picture {self._picture}"):
      run.replace(self._picture, as_png(picture))
    with writing("the curves for TensorBoard"), self._writer.as_default(step=epoch + 1):
      for name, value in logs.items():
        tf.summary.scalar(_tag(name), value)
      tf.summary.scalar("learning_rate", self.model.optimizer.learning_rate)
      tf.summary.image("fusion", picture[None])
      for name, figure in metrics.items():
        tf.summary.scalar(f"evaluation/{name}", figure["value"])
      self._writer.flush()
    return metrics

  def on_train_end(self, logs=None):
    if self._is_chief:
      self._writer.close()

  def _is_evaluated(self, epoch: int) -> bool:
    return bool(self._evaluate_every) and (epoch % self._evaluate_every == 0 or epoch == self._epochs)

  def _evaluate(self) -> Metrics:
    metrics = evaluate(
      self._trained,
      self._dataset,
      "validation",
      quick=True,
      limit=EVALUATED_IMAGES,
      progress=None,
      measurements=self._measurements,
    )
    if self._scores:
      metrics |= score(metrics)
    printed = printed_figures()
    figures = ", ".join(
      f"{key} {figure['value']:.3f}"
      for key, figure in metrics.items()
      if without_part(key) in printed or key.startswith("score")
    )
    say(f"validation images: {figures}" if figures else "")
    return metrics


def _tag(name: str) -> str:
  """What TensorBoard calls a number that Keras logs as `name`."""
  if name.startswith("val_"):
    return f"validation/{name[4:]}"
  return name if name.startswith("gradient_norm/") else f"train/{name}"


def write_scalars(folder: pathlib.Path, scalars: Mapping[str, float]) -> None:
  """Writes single figures for TensorBoard, in place of those that the folder holds."""
  with writing(f"the figures for TensorBoard in {folder}", MAKE_ROOM):
    for file in folder.glob("events.out.tfevents.*"):
      file.unlink()
    with tf.summary.create_file_writer(str(folder)).as_default(step=0):
      for name, value in scalars.items():
        tf.summary.scalar(name, value)
