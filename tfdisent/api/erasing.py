"""Erasing from z1 what a linear reader finds of f, in a run folder of its own."""

import pathlib
from collections.abc import Sequence

import numpy as np

from tfdisent import erasure, loading, run, shipped
from tfdisent.api.trained_run import TrainedRun
from tfdisent.arguments import checked
from tfdisent.console import Progress, say
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError
from tfdisent.feature.values import feature_values
from tfdisent.paths import quoted
from tfdisent.serving import compact


@checked("erase")
def erase(
  run_dir: str | pathlib.Path,
  dataset: Dataset | None = None,
  checkpoint: str = "best",
  data_dir: str | None = None,
  trust: Sequence[str] = (),
  progress: Progress = say,
) -> TrainedRun:
  """Writes RUN_DIR/erased, the run whose z1 tells a linear reader nothing of f: see `tfdisent.erasure.leace`.

      m = tfdisent.erase("runs/faces")  # then tfdisent.evaluate("runs/faces/erased")

  The mean of q(z1 | x) is changed by the affine map that changes it least, computed from the split `train`. G and the
  other networks stay as they are. `RUN_DIR/erased` is a run folder of weights alone (see `tfdisent.serving.compact`)
  without figures, which are no longer true; the run itself stays, and can go on.

  Args:
    run_dir: the run folder.
    dataset: that it was trained on; None for the one that the folder names.
    checkpoint: "best" (on validation) or "last".
    data_dir: where the data lies; None for where it lay in training.
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    progress: told what was changed, as lines.

  Raises:
    RunError: the folder holds no trained model, or the new one cannot be written.
    DataError: there is no data, or too little.
    ConfigError: the E1 of the model's family has no dense layer at its end; or nothing of z1 would be left.
  """
  with shipped.unpacked(run_dir) as folder:
    trained = loading.load(folder, checkpoint, trust)
    train = (dataset or run.read_dataset(folder, data_dir, trust)).train
    z1, _ = trained.encode_z1(train["image"])
    erased = erasure.leace(z1, feature_values(trained.feature, train))
    erasure.fold(trained.model.E1, erased)
    expected, new = erased(z1), trained.encode_z1(train["image"][: trained.batch_size])[0]
    if not np.allclose(new, expected[: len(new)], atol=1e-3 * np.abs(expected).max()):
      raise ConfigError("E1 changes what its `output_layer` gives, so that the erasure cannot go into that layer.")
    # float16 would bring back some of f, along directions in which z1 varies little.
    path = compact.write(trained, folder / run.ERASED_FOLDER, with_figures=False, dtype=np.float32)
  share = np.square(expected - z1).sum() / np.square(z1 - z1.mean(0)).sum()
  progress(f"Erased from z1, by {len(z1)} training images: {share:.1%} of its variance.")
  progress(f"The run without it: {path}\nMeasure it: tfdisent --mode=eval --split=validation --run_dir={quoted(path)}")
  return TrainedRun(trained, path, dataset, trust)
