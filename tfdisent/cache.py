"""The folder in which trained judges and prepared images are kept: `$TFDISENT_CACHE`, or `~/.cache/tfdisent`.

It may be emptied at any time, since what is missing is made again. It is kept below `$TFDISENT_CACHE_GB` gigabytes
(20 unless that is set): once something new is written, what was not used for longest is removed.
"""

import contextlib
import fcntl
import math
import os
import pathlib
import re
import shutil
import time

from tfdisent.console import say
from tfdisent.errors import ConfigError, shown

DEFAULT_GB = 20.0
GB = 10**9
MAKING = "making-"
"""The beginning of the names of folders in which something is being made."""
STALE_S = 24 * 3600
"""What was being made for longer than this was left by a process that has ended."""

_KEPT = re.compile(r"([\w-]+-[0-9a-f]{16})\.(uint8|npz|weights\.h5)")  # other files of the folder are not ours


def cache_folder() -> pathlib.Path:
  """The folder of the cache; it need not exist yet.

  Raises:
    ConfigError: the user has no home folder, and TFDISENT_CACHE names none.
  """
  named = os.environ.get("TFDISENT_CACHE")
  try:
    return pathlib.Path(named).expanduser() if named else pathlib.Path.home() / ".cache" / "tfdisent"
  except RuntimeError as error:
    raise ConfigError(f"there is no home folder for the cache ({error}): set TFDISENT_CACHE to a folder.") from error


def limit_bytes() -> float:
  """How large the cache may become; raises `ConfigError` unless TFDISENT_CACHE_GB is a positive number."""
  said = os.environ.get("TFDISENT_CACHE_GB") or DEFAULT_GB
  try:
    limit = float(said) * GB
  except ValueError:
    limit = math.nan
  if not limit > 0:
    raise ConfigError(
      f"TFDISENT_CACHE_GB = {shown(said)} must be a positive number of gigabytes, as in {DEFAULT_GB:g}."
    )
  return limit


def used(path: pathlib.Path) -> None:
  """Notes that a file of the cache is used now; its modification time stays, since judges are kept under it."""
  with contextlib.suppress(OSError):  # the folder may be read-only
    os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))


def hold(file) -> None:
  """Keeps an open file of the cache from being removed by any process, as long as it, or a map of it, is open."""
  with contextlib.suppress(OSError):  # some network drives have no locks
    fcntl.flock(file, fcntl.LOCK_SH)


def make_room(newest: pathlib.Path) -> None:
  """Removes what was not used for longest, until the cache is within its limit.

  Files that a process has mapped stay, and so does what `newest` belongs to.

  Args:
    newest: a file that was just written.
  """
  folder, limit = newest.parent, limit_bytes()
  for unfinished in folder.glob(f"{MAKING}*"):
    with contextlib.suppress(OSError):
      if time.time() - unfinished.stat().st_mtime > STALE_S:
        shutil.rmtree(unfinished)
  entries: dict[str, list[pathlib.Path]] = {}
  for path in folder.iterdir():
    if kept := _KEPT.fullmatch(path.name):
      entries.setdefault(kept[1], []).append(path)
  states = {name: [state for path in paths if (state := _state(path))] for name, paths in entries.items()}
  size = {name: sum(state.st_size for state in of_name) for name, of_name in states.items()}
  last_use = {
    name: max((max(s.st_atime_ns, s.st_mtime_ns) for s in of_name), default=0) for name, of_name in states.items()
  }
  total, removed = sum(size.values()), 0
  for name in sorted(entries, key=last_use.get):
    if total - removed <= limit:
      break
    if newest not in entries[name] and _removed(entries[name]):
      removed += size[name]
  if removed:
    say(
      f"{removed / GB:.3g} GB that were not used for longest were removed from {folder}, which may hold "
      f"{limit / GB:g} GB (TFDISENT_CACHE_GB)."
    )


def _state(path: pathlib.Path) -> os.stat_result | None:
  """Of a file that another process may remove meanwhile."""
  try:
    return path.stat()
  except OSError:
    return None


def _removed(paths: list[pathlib.Path]) -> bool:
  """Removes files, unless one of them is held."""
  with contextlib.ExitStack() as stack:
    try:
      for path in paths:
        fcntl.flock(stack.enter_context(path.open("rb")), fcntl.LOCK_EX | fcntl.LOCK_NB)
      for path in paths:
        path.unlink()
    except OSError:
      return False
  return True
