"""Exporting the model of a run, in any registered format."""

import contextlib
import pathlib
from collections.abc import Sequence

from tfdisent import loading, run, serving, shipped
from tfdisent.arguments import checked
from tfdisent.console import Progress, say
from tfdisent.paths import expanded, quoted
from tfdisent.serving import compact as _registers_compact  # noqa: F401
from tfdisent.serving import saved_model, web


@checked("export")
def export(
  run_dir: str | pathlib.Path,
  format: str = "saved_model",
  export_dir: str | pathlib.Path | None = None,
  model_name: str | None = None,
  checkpoint: str = "best",
  trust: Sequence[str] = (),
  progress: Progress = say,
) -> pathlib.Path:
  """Exports the model of a run for a server, for phones and browsers, or in a format of a plug-in.

      path = tfdisent.export("runs/color", export_dir="models")  # models/color/1, for TensorFlow Serving

  Args:
    run_dir: the run folder.
    format: a registered one: "saved_model", which gets a new version in EXPORT_DIR/MODEL_NAME, "litert", which is the
      file EXPORT_DIR/MODEL_NAME.tflite, "web", a page in EXPORT_DIR/MODEL_NAME.web, "compact", a small run folder to be
      sent to others, or your own.
    export_dir: where models are; None for RUN_DIR/export.
    model_name: what the model is called; None for the name of the run folder.
    checkpoint: "best" (on validation) or "last".
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    progress: told where the model is, as lines.

  Returns:
    The path of what was exported.

  Raises:
    ConfigError: there is no such format, or a model cannot be called so.
    RunError: the folder holds no trained model, or the model cannot be written.
  """
  inside = export_dir is None
  with shipped.unpacked(run_dir) if inside else contextlib.nullcontext(shipped.found(run_dir)) as run_folder:
    folder = export_folder(run_folder, export_dir, model_name)
    trained = loading.load(run_folder, checkpoint, trust)
    path = serving.export(trained, folder, format, run.read_config(run_folder))
  notes = {
    "saved_model": f"SavedModel: {path}\nLook at its signatures: saved_model_cli show --all --dir {quoted(path)}",
    "litert": f"LiteRT: {path}, with the signatures `control` and `encode`",
    "compact": f"A small run folder: {path}\nTry it: tfdisent --mode=demo --run_dir={quoted(path)}",
    "web": f"A page: {path}, for any web server\nSee it: {web.command(path)}",
  }
  progress(notes.get(format, f"{format}: {path}"))
  if format == "saved_model" and not saved_model.has_warmup():
    progress("It has no warm-up requests: `pip install tfdisent[serving]` brings what writes them.")
  return path


def export_folder(
  run_dir: str | pathlib.Path, export_dir: str | pathlib.Path | None = None, model_name: str | None = None
) -> pathlib.Path:
  """The folder of the exported model of a run; the arguments are those of `export`.

  Raises:
    ConfigError: a model cannot be called so.
  """
  run_dir = expanded(run_dir)
  name = model_name or run_dir.absolute().name
  saved_model.check_name(name)
  return expanded(export_dir or run_dir / run.EXPORT_FOLDER) / name
