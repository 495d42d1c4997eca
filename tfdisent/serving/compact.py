"""The format `compact`: a run folder to be sent to others, without optimizers, D or other networks of losses.

What `tfdisent.load`, `--mode=sample`, `eval`, `export` and `demo` need is there, and the weights are float16:

    tfdisent --mode=export --export_format=compact --run_dir=runs/faces     # runs/faces/export/faces, to be sent
    tfdisent --mode=demo --run_dir=faces
"""

import pathlib
import shutil
import tempfile

import numpy as np

from tfdisent import checkpoints, run
from tfdisent.errors import RunError
from tfdisent.inference import TrainedModel
from tfdisent.registry import register_exporter

KEPT = (
  run.MODEL_FILE,
  run.RUN_FILE,
  run.CONFIG_FILE,
  run.CLASS_NAMES_FILE,
  run.FEATURE_EXAMPLES_FILE,
  run.EXAMPLES_FILE,
  run.JUDGES_FILE,
  run.TEST_READS_FILE,
)
"""Files of a run folder, as far as they are there; and its figures."""


@register_exporter("compact")
def export(trained: TrainedModel, folder: pathlib.Path, config: str = "") -> pathlib.Path:
  """Writes the model of a run folder into another one, `folder`; a compact run that is there is replaced.

  Raises:
    RunError: the model is of no run folder, the folder holds something else, or it cannot be written.
  """
  if trained.run_dir is None:
    raise RunError("the format 'compact' is a run folder, and this model is of none: give what tfdisent.load gives.")
  return write(trained, folder)


def write(
  trained: TrainedModel,
  folder: pathlib.Path,
  with_figures: bool = True,
  dtype: type[np.floating] = np.float16,
) -> pathlib.Path:
  """Writes the compact run `folder` of a model that knows its run folder; a compact run that is there is replaced.

  Args:
    trained: the model.
    folder: the new run folder.
    with_figures: whether the figures of the run go along, which are of its own weights.
    dtype: of the weights, float16 or float32.

  Raises:
    RunError: the folder holds something else, or it cannot be written.
    CheckpointError: a weight is too large for the type.
  """
  source = trained.run_dir
  if folder.exists() and not (folder / run.WEIGHTS_FILE).is_file():
    raise RunError(f"{folder} is there, and is no compact run. Remove it, or name another folder.")
  try:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
      new = pathlib.Path(scratch, folder.name)
      new.mkdir()
      figures = sorted(source.glob(f"{pathlib.PurePath(run.METRICS_FILE).stem}*.json")) if with_figures else []
      for file in [source / name for name in KEPT] + figures:
        if file.is_file():
          shutil.copy(file, new)
      checkpoints.save_weights(new, trained.model, trained.checkpoint, dtype)
      shutil.rmtree(folder, ignore_errors=True)
      new.replace(folder)
  except OSError as error:
    raise RunError(f"the model cannot be exported to {folder}: {error}.") from error
  return folder
