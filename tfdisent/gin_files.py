"""How gin files are found and read: beside the file that includes them, and with the names of today for older ones.

It does not import gin: `tfdisent.config` alone does, and gives gin the readers that `readers` makes of gin's own.
"""

import contextlib
import io
import logging
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from tfdisent import moved

Reader = tuple[Callable[[str], Any], Callable[[str], bool]]
"""What opens a file by its path, and whether it is there."""


_told: set[str] = set()


def tell(old: str, new: str) -> None:
  """Prints once that a name is an old one."""
  if old not in _told:
    _told.add(old)
    print(f"{old} is called {new} now.", file=sys.stderr, flush=True)


def _with_new_names(reader):
  """A reader of gin files that gives the texts of `reader` with the names of today: see `tfdisent.moved`."""

  @contextlib.contextmanager
  def read_renamed(path):
    with reader(path) as file:
      text = io.StringIO(moved.renamed(file.read(), tell))
    text.name = path  # gin names it where the syntax is wrong
    _folders.append(os.path.dirname(os.path.abspath(file.name)))
    try:
      yield text
    finally:
      _folders.pop()

  return read_renamed


_folders: list[str] = []
"""Of the files that are being read, the one that is included last."""


def _beside(path: str) -> str:
  """The path of an included file as seen from the file that includes it."""
  return os.path.join(*_folders[-1:], os.path.expanduser(path))


def _quietly(exists):
  """The same question, without a line of log where the answer is no."""

  def ask(path):
    logging.disable(logging.ERROR)
    try:
      return exists(path)
    finally:
      logging.disable(logging.NOTSET)

  return ask


def readers(of_gin: Sequence[Reader]) -> list[Reader]:
  """The readers of files that replace gin's own, in the order in which they are tried.

  A file that is included is looked for in the current folder, beside the file that includes it, and where else gin
  looks. All of gin's readers are replaced, so that old names are known in included files, too.
  """
  plain, *others = of_gin
  beside = (lambda path: open(_beside(path), encoding="utf-8"), lambda path: os.path.isfile(_beside(path)))  # noqa: SIM115
  return [(_with_new_names(reader), _quietly(exists)) for reader, exists in (plain, beside, *others)]
