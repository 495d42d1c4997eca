"""Paths as users write them: `~` is their home, and a text in a message can be pasted into a shell."""

import os
import pathlib
import re
import shlex

from tfdisent.errors import ConfigError

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/", re.IGNORECASE)  # pathlib makes one stroke of two


def expanded(path: str | os.PathLike) -> pathlib.Path:
  """A path with the user's home in place of `~`.

  Raises:
    ConfigError: nobody knows the home: HOME is not set, and the system does not know this user, as in some containers.
      Or it is an address.
  """
  refuse_addresses(path)
  try:
    return pathlib.Path(path).expanduser()
  except RuntimeError as error:
    raise ConfigError(f"{path}: there is no home folder for '~'. Set HOME, or write the whole path.") from error


def refuse_addresses(path: str | os.PathLike) -> None:
  """Raises `ConfigError` if a path is an address, as of object storage, of which pathlib would make a folder `gs:`."""
  if _ADDRESS.match(str(path)):
    raise ConfigError(
      f"{path} is an address, and it must be a folder of a file system, which can lock and rename files: use a disk, "
      "or one that all hosts share (NFS, Lustre, Filestore, EFS), and copy to object storage what has ended."
    )


def quoted(path: str | os.PathLike) -> str:
  """A path as a shell takes it: in quotes, if it has spaces or other signs that a shell reads."""
  return shlex.quote(str(path))
