"""Paths as users write them: `~` is their home, and a text in a message can be pasted into a shell."""

import os
import pathlib
import shlex

from tfdisent.errors import ConfigError


def expanded(path: str | os.PathLike) -> pathlib.Path:
  """A path with the user's home in place of `~`.

  Raises:
    ConfigError: nobody knows the home: HOME is not set, and the system does not know this user, as in some containers.
  """
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError as error:
    raise ConfigError(f"{path}: there is no home folder for '~'. Set HOME, or write the whole path.") from error


def quoted(path: str | os.PathLike) -> str:
  """A path as a shell takes it: in quotes, if it has spaces or other signs that a shell reads."""
  return shlex.quote(str(path))
