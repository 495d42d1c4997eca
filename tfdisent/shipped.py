"""Models that come with the package, small trained ones, to be tried at once:

    m = tfdisent.load("digits")
    tfdisent.models()  # what there is, with figures

Each is a run folder without optimizers: see `tfdisent.serving.compact`. `README.md` in it says of which data it was
made, under which licence, and by which command.
"""

import json
import os
import pathlib
import shutil

from tfdisent.console import say
from tfdisent.errors import RunError
from tfdisent.paths import expanded

FOLDER = pathlib.Path(__file__).parent / "models"
ABOUT_FILE = "about.json"
"""One line about the model, and its few figures, for `models`."""


def names() -> list[str]:
  """The names of the models that come with the package, in order."""
  return sorted(file.parent.name for file in FOLDER.glob(f"*/{ABOUT_FILE}"))


def models() -> dict[str, dict]:
  """The models that come with the package, by name: what each is, and its figures.

  tfdisent.models()["digits"]
  # {"about": "…", "features": ["digit_label"], "image_shape": [28, 28, 3], "figures": {"control, %": 99.8, …}}
  """
  return {name: json.loads((FOLDER / name / ABOUT_FILE).read_text(encoding="utf-8")) for name in names()}


def found(run_dir: str | os.PathLike) -> pathlib.Path:
  """The folder of a run that is read: itself, or that of a model of the package, where `run_dir` is its name."""
  folder = expanded(run_dir)
  return FOLDER / folder.name if _is_shipped(run_dir, folder) else folder


def unpacked(run_dir: str | os.PathLike) -> pathlib.Path:
  """The folder of a run into which something is written: of a model of the package it is a copy, ./NAME.

  Raises:
    RunError: the copy cannot be written.
  """
  folder = expanded(run_dir)
  if _is_shipped(run_dir, folder):
    try:
      partial = folder.with_name(f"{folder.name}.partial")
      shutil.copytree(FOLDER / folder.name, partial, dirs_exist_ok=True)
      partial.replace(folder)
    except OSError as error:
      raise RunError(
        f"the model '{folder}' cannot be copied into this folder: {error}. Make room, or go elsewhere."
      ) from error
    say(f"The model '{folder}' of the package was copied into {folder.absolute()}.")
  return folder


def _is_shipped(run_dir, folder) -> bool:
  """Whether a path is the bare name of a model, and nothing else has that name here."""
  return str(run_dir) == folder.name and folder.name in names() and not folder.exists()
