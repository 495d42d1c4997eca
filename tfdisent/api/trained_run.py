"""A trained model that knows its run folder: what a training and loading give."""

import pathlib
import shutil
import weakref
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from tfdisent import loading, pictures, run, shipped
from tfdisent.api.exporting import export
from tfdisent.api.measuring import evaluate
from tfdisent.arguments import checked
from tfdisent.console import Progress, say
from tfdisent.data.dataset import Dataset
from tfdisent.evaluation.protocol import Metrics
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel
from tfdisent.paths import expanded


class TrainedRun(TrainedModel):
  """A trained model with its run folder: what `train` and `load` give.

  Args:
    trained: the model.
    run_dir: the run folder.
    dataset: that it was trained on; None for the one that the folder names.
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    is_temporary: whether the folder is removed once nobody holds this object.
  """

  run_dir: pathlib.Path

  def __init__(
    self,
    trained: TrainedModel,
    run_dir: str | pathlib.Path,
    dataset: Dataset | None = None,
    trust: Sequence[str] = (),
    is_temporary: bool = False,
  ):
    of_model = (trained.model, trained.batch_size, trained.class_names, trained.checkpoint, trained.background)
    super().__init__(*of_model, expanded(run_dir))
    self._dataset, self._trust = dataset, trust
    if is_temporary:
      weakref.finalize(self, shutil.rmtree, self.run_dir, ignore_errors=True)

  def evaluate(self, split: str = "test", measurements: Sequence = (), progress: Progress = say) -> Metrics:
    """`tfdisent.evaluate` of this run: figures of its weights, kept in its folder."""
    kind = self.checkpoint.kind
    return evaluate(
      self.run_dir, self._dataset, split, kind, measurements=measurements, trust=self._trust, progress=progress
    )

  def export(
    self,
    export_dir: str | pathlib.Path | None = None,
    format: str = "saved_model",
    model_name: str | None = None,
    progress: Progress = say,
  ) -> pathlib.Path:
    """`tfdisent.export` of this run, into EXPORT_DIR/MODEL_NAME."""
    kind = self.checkpoint.kind
    return export(self.run_dir, format, export_dir, model_name, kind, self._trust, progress=progress)

  def show_fusions(self, images: np.ndarray | None = None, feature_images: np.ndarray | None = None) -> Figure:
    """A figure of fusions, which a notebook shows: see `tfdisent.show_fusions`.

    Args:
      images: that give z1, [R, H, W, C]; None for eight of the validation split.
      feature_images: that give the feature, [K, H, W, C]; None for examples of the validation split that show its
        range, whose feature is known.

    Raises:
      RunError: images are missing, and the folder names no data set.
      FeatureError: `feature_images` are given, and f cannot be read from images.
    """
    feature = None
    if images is None or feature_images is None:
      examples = (self._dataset or run.read_dataset(self.run_dir, trust=self._trust)).validation
      if images is None:
        images = examples["image"][np.random.default_rng(1).permutation(len(examples["image"]))[:8]]
      if feature_images is None:
        f = feature_values(self.feature, examples)
        columns = pictures.pick(f, self.feature)
        feature_images, feature = examples["image"][columns], self.feature.to_natural(f[columns])
    return pictures.show_fusions(self, images, feature_images, feature)


@checked("load")
def load(run_dir: str | pathlib.Path, which: str = "best", trust: Sequence[str] = ()) -> TrainedRun:
  """The trained model of a run folder, or of the package, as `load("glyphs")`: see `tfdisent.loading.load`."""
  return TrainedRun(loading.load(run_dir, which, trust), shipped.found(run_dir), trust=trust)
