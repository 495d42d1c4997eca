"""A trained model from its run folder: of data alone, so that no code of the folder runs."""

import json
import pathlib
from collections.abc import Sequence

from tfdisent import checkpoints, plugins, shipped
from tfdisent.arguments import checked
from tfdisent.data.pixels import WHITE, as_background
from tfdisent.errors import RunError, TfdisentError
from tfdisent.hardware import has_bfloat16
from tfdisent.inference import TrainedModel
from tfdisent.model.vae import DisentangledVAE
from tfdisent.paths import quoted
from tfdisent.run import CLASS_NAMES_FILE, MODEL_FILE, RUN_FILE, read_description


@checked("load")
def load(run_dir: str | pathlib.Path, which: str = "best", trust: Sequence[str] = ()) -> TrainedModel:
  """The trained model of a run folder; nothing but the folder is needed.

  A run folder may come from anybody, so no code in it is run: only its JSON and its numbers are read, and only known
  plug-ins are imported.

  A model that was trained in `mixed_bfloat16` computes in float32, with the same weights, where the processor has no
  instructions for bfloat16.

  Args:
    run_dir: the run folder, `--run_dir` of the training; or the name of a model of the package: `tfdisent.models()`.
    which: the weights: "best", of the lowest validation loss, or "last".
    trust: packages that may be imported besides; see `tfdisent.plugins.check_import`.

  Raises:
    RunError: the folder holds no trained model, or a damaged one.
    ConfigError: the model needs a plug-in of a package that is not known.
    CheckpointError: no checkpoint can be read.
  """
  run_dir = shipped.found(run_dir)
  file = run_dir / MODEL_FILE
  if not file.is_file():
    raise RunError(
      f"{run_dir} holds no trained model: there is no {MODEL_FILE} in it. "
      f"Train one with `tfdisent --gin_file=… --run_dir={quoted(run_dir)}`"
      + (f", or take one of the package: {', '.join(shipped.names())}." if shipped.names() else ".")
    )
  try:
    description = json.loads(file.read_text(encoding="utf-8"))
    plugins.check_model(description, str(file), trust)
    if description.get("precision") == "mixed_bfloat16" and not has_bfloat16():
      description["precision"] = "float32"  # the weights are the same, and G decodes 15 times as fast
    model = DisentangledVAE.from_config(description, trust)
    names = run_dir / CLASS_NAMES_FILE
    class_names = dict(json.loads(names.read_text(encoding="utf-8"))) if names.is_file() else {}
    told = read_description(run_dir) if (run_dir / RUN_FILE).is_file() else {}
    background = as_background(told.get("background", WHITE))
  except TfdisentError:
    raise
  except (ValueError, KeyError, TypeError, AttributeError) as error:  # no UTF-8, no JSON, or JSON of something else
    raise RunError(
      f"{file} is damaged ({error}). Start the training again with the same command to write it anew."
    ) from error
  checkpoint = checkpoints.restore(run_dir, which, model=model)
  return TrainedModel(model, class_names=class_names, checkpoint=checkpoint, background=background, run_dir=run_dir)
