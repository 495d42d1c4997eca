"""The contract of an exporter as a test, for the suites of those who write one.

from tfdisent.serving.check import check_exporter

def test_my_exporter_keeps_the_contract(trained, tmp_path):
  check_exporter(my_exporter, trained, tmp_path / "export" / "my_model")
"""

import contextlib
import inspect
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import BinaryIO

import numpy as np

from tfdisent.errors import ConfigError, RunError, shown
from tfdisent.inference import TrainedModel

UNFINISHED = (".partial", ".part", ".tmp", ".temp", "~")
"""How names of files end that are not whole yet."""


def check_exporter(exporter: Callable[..., pathlib.Path], trained: TrainedModel, folder: pathlib.Path) -> None:
  """Checks that others can read what an exporter writes, at any time.

  The exporter is called with a configuration, again without one, and with a model that cannot be read. It must

  - make the folders that are missing, and return the path of what it wrote, inside of the export folder;
  - leave the weights of the model as they are;
  - leave no file behind that is half written;
  - write into no file of an export before, and remove none, since a server may be reading it: a new version gets a
    folder of its own, or the new file is renamed to the old one's name;
  - raise if it fails, and then leave all files as they were.

  Args:
    exporter: the function `(trained, folder, config="") -> path`.
    trained: any model, best a small one.
    folder: <export folder>/<name of the model>; neither need exist. What is exported stays there, dated 1970.

  Raises:
    ConfigError: what is wrong, and what to do about it.
  """
  name, weights = getattr(exporter, "__qualname__", repr(exporter)), trained.model.get_weights()
  try:
    inspect.signature(exporter).bind(trained=trained, folder=folder)
    inspect.signature(exporter).bind(trained=trained, folder=folder, config="")
  except TypeError as error:
    raise ConfigError(f'exporter {name} must take (trained, folder, config=""): {error}.') from error
  with contextlib.ExitStack() as stack:
    first = exporter(trained=trained, folder=folder, config="train.epochs = 1\n")
    _check_path(name, first, folder)
    before = _open_files(folder.parent, stack)
    _check_finished(name, before, folder.parent)
    second = exporter(trained=trained, folder=folder)
    _check_path(name, second, folder)
    _check_kept(name, before)
    after = _open_files(folder.parent, stack)
    _check_finished(name, after, folder.parent)
    for path in after.keys() - before.keys():
      if path != second and second not in path.parents:
        raise ConfigError(f"exporter {name} leaves {path} behind at each export: remove it, or give it one name.")
    if not all(map(np.array_equal, weights, trained.model.get_weights())):
      raise ConfigError(f"exporter {name} changes the weights of the model: work on a copy.")
    try:
      exporter(trained=_Unreadable(), folder=folder)
    except Exception:  # a plug-in may raise anything
      _check_kept(name, after)
      for path in _open_files(folder.parent, stack).keys() - after.keys():
        raise ConfigError(
          f"exporter {name} leaves {path} behind when it fails: write it once the model is converted."
        ) from None
    else:
      raise ConfigError(f"exporter {name} returns though the model could not be read: let the error through.")


class _Unreadable:
  """Stands in for a trained model in an export that fails."""

  def __getattr__(self, name):
    raise RunError("a model that cannot be read, of `check_exporter`")


def _open_files(folder: pathlib.Path, stack: contextlib.ExitStack) -> dict[pathlib.Path, BinaryIO]:
  """All files below a folder, opened as a server may have them open, and dated 1970 so that a write into one shows."""
  files = {}
  for path in folder.rglob("*"):
    if path.is_file():
      files[path] = stack.enter_context(path.open("rb"))
      os.utime(path, (0, 0))
  return files


def _check_path(name: str, path: pathlib.Path, folder: pathlib.Path) -> None:
  if not isinstance(path, pathlib.Path) or not path.exists():
    raise ConfigError(f"exporter {name} returns {shown(path)}: it must return the pathlib.Path of what it wrote.")
  if folder.parent.resolve() not in path.resolve().parents:
    raise ConfigError(f"exporter {name} writes to {path}: it must write inside of {folder.parent}.")
  if not any(file.stat().st_size for file in [path, *path.rglob("*")] if file.is_file()):
    raise ConfigError(f"exporter {name} returns {path}, which is empty: it must return the path of what it wrote.")


def _check_finished(name: str, paths: Iterable[pathlib.Path], folder: pathlib.Path) -> None:
  for path in paths:
    if any(part.endswith(UNFINISHED) for part in path.relative_to(folder).parts):
      raise ConfigError(f"exporter {name} leaves {path} half written: rename it once it is whole.")


def _check_kept(name: str, files: Mapping[pathlib.Path, BinaryIO]) -> None:
  """Files that were opened are still there, and were replaced whole if they were written."""
  for path, file in files.items():
    if not path.exists():
      raise ConfigError(f"exporter {name} removes {path}, which may be in use: write a new version beside it.")
    if os.fstat(file.fileno()).st_mtime != 0:
      raise ConfigError(
        f"exporter {name} writes into {path}, which may be in use: write another file and rename it, as "
        "tfdisent.run.replace does."
      )
