"""Drawing what the model of a run does, into its folder."""

import pathlib
from collections.abc import Sequence

from tfdisent import loading, pictures, run, shipped
from tfdisent.arguments import checked
from tfdisent.console import Progress, say
from tfdisent.data.dataset import Dataset


@checked("sample")
def sample(
  run_dir: str | pathlib.Path,
  seed: int = 0,
  checkpoint: str = "best",
  trust: Sequence[str] = (),
  progress: Progress = say,
  what: str = "samples",
  features: str | Sequence[str] = (),
  data_dir: str | None = None,
  dataset: Dataset | None = None,
) -> pathlib.Path:
  """Draws a picture of what a model does into the folder of its run.

      path = tfdisent.api.sample("runs/color", seed=7)  # runs/color/samples.png
      path = tfdisent.api.sample("runs/faces", what="morph", features="hair")  # runs/faces/morph_hair.png

  Args:
    run_dir: the run folder.
    seed: of z1, and of which images are taken.
    checkpoint: "best" (on validation) or "last".
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    progress: told where the picture is, as a line.
    what: "samples", "swap", "strip", "grid" or "morph": see `tfdisent.pictures.samples.WHAT`.
    features: the names of the features that change; () for all, of a morph the first.
    data_dir: where to take the images from that are changed. None takes those that the run has kept, else those of its
      data set, else new ones.
    dataset: to take them from, in place of a folder.

  Returns:
    The path of the picture.

  Raises:
    ConfigError: `what` is none of these, or does not go with `features`.
    FeatureError: the model has no feature of such a name.
    RunError: the folder holds no trained model, or neither images nor a training that has ended.
    DataError: there is no data in `data_dir`.
  """
  pictures.check_what(what)
  features = [features] if isinstance(features, str) else features
  with shipped.unpacked(run_dir) as folder:
    run.check_writable(folder)
    trained = loading.load(folder, checkpoint, trust)
    path, line = pictures.write_sample(folder, trained, what, features, seed, data_dir, trust, dataset)
  progress(line)
  return path
