"""Models that come with the package, small trained ones, to be tried at once:

    m = tfdisent.load("glyphs")
    tfdisent.models()  # what there is, with figures

Each is a run folder without optimizers: see `tfdisent.serving.compact`. `README.md` in it says of which data it was
made, under which licence, and by which command.
"""

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Iterator

from tfdisent.console import say
from tfdisent.errors import RunError
from tfdisent.paths import expanded

FOLDER = pathlib.Path(__file__).parent / "models"
MODEL_FILE, README_FILE, FIGURES = "model.json", "README.md", "metrics*.json"


def names() -> list[str]:
  """The names of the models that come with the package, in order."""
  return sorted(file.parent.name for file in FOLDER.glob(f"*/{MODEL_FILE}"))


def models() -> dict[str, dict]:
  """The models that come with the package, by name: what each is, the shape of its images, and its figures by split.

      >>> glyphs = tfdisent.models()["glyphs"]
      >>> glyphs["image_shape"]
      (64, 64, 1)
      >>> glyphs["figures"]["validation"]["control/accuracy_mean"] > 0.9
      True

  The figures are those of `tfdisent.evaluate`.
  """
  return {name: _model(FOLDER / name) for name in names()}


def _model(folder: pathlib.Path) -> dict:
  figures = {}
  for file in sorted(folder.glob(FIGURES)):
    there = json.loads(file.read_text(encoding="utf-8"))
    figures[there["provenance"]["split"]] = {name: figure["value"] for name, figure in there["metrics"].items()}
  about = (folder / README_FILE).read_text(encoding="utf-8").split("\n\n")[1]
  shape = json.loads((folder / MODEL_FILE).read_text(encoding="utf-8"))["image_shape"]
  return {"about": " ".join(about.split()), "image_shape": tuple(shape), "figures": figures}


def found(run_dir: str | os.PathLike) -> pathlib.Path:
  """The folder of a run that is read: itself, or that of a model of the package, where `run_dir` is its name."""
  folder = expanded(run_dir)
  return FOLDER / folder.name if _is_shipped(run_dir, folder) else folder


@contextlib.contextmanager
def unpacked(run_dir: str | os.PathLike) -> Iterator[pathlib.Path]:
  """The folder of a run into which something is written: of a model of the package it is a copy, ./NAME.

  Where what is done with it fails, the copy is gone again.

  Raises:
    RunError: the copy cannot be written.
  """
  folder = expanded(run_dir)
  if not _is_shipped(run_dir, folder):
    yield folder
    return
  try:
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.copytree(FOLDER / folder.name, partial, dirs_exist_ok=True)
    partial.replace(folder)
  except OSError as error:
    raise RunError(
      f"the model '{folder}' cannot be copied into this folder: {error}. Make room, or go elsewhere."
    ) from error
  try:
    yield folder
  except BaseException:
    shutil.rmtree(folder, ignore_errors=True)
    raise
  say(f"The model '{folder}' of the package was copied into {folder.absolute()}.")


def _is_shipped(run_dir, folder) -> bool:
  """Whether a path is the bare name of a model, and nothing else has that name here."""
  return str(run_dir) == folder.name and folder.name in names() and not folder.exists()
