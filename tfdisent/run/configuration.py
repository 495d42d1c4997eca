"""By what two runs are told apart, and whether a run folder may be gone on with: its configuration and its epochs."""

import pathlib

from tfdisent import moved
from tfdisent.errors import RunError
from tfdisent.run.description import read_description
from tfdisent.run.files import CONFIG_FILE

NOT_COMPARED = ("#", "train.data_dir ", "strategy.", "sweep.")
"""How lines begin in which two configurations of the same run may differ: comments, the place of the data, devices."""


_EPOCHS = "train.epochs = "


def bindings(config: str) -> set[str]:
  """The lines of a configuration by which two runs are told apart.

  An old name and its new one (`tfdisent.moved`) give the same line.
  """
  lines = moved.renamed(config).replace("\\\n", " ").splitlines()
  lines = {" ".join(line.split()) for line in lines if line.strip() and not line.startswith(NOT_COMPARED)}
  return {line for line in lines - moved.ALWAYS_SO if not line.endswith(moved.ALWAYS_SO_OF_LEARNED)}


def differences(there: set[str], wanted: set[str]) -> str:
  """The bindings that are in one of two sets only, a line each: "  - there" and "  + wanted"; "" if there are none."""
  lines = [f"  - {line}" for line in sorted(there - wanted)] + [f"  + {line}" for line in sorted(wanted - there)]
  return "\n".join(lines)


def refuse_another(run_dir: pathlib.Path, config: str) -> None:
  """Raises `RunError` if the run folder was begun with another configuration, apart from its epochs.

  An empty one is that of a run which an older version trained from Python, and tells nothing.
  """
  if not read_config(run_dir):
    return
  there, wanted = (
    {line for line in bindings(text) if not line.startswith(_EPOCHS)} for text in (read_config(run_dir), config)
  )
  if lines := differences(there, wanted):
    raise RunError(
      f"{run_dir} holds a run of another configuration (- there, + asked for): use another --run_dir, or the same "
      "configuration.",
      lines,
    )


def refuse_fewer_epochs(run_dir: pathlib.Path, epochs: int) -> int:
  """Raises `RunError` if the run was begun with more than `epochs`; gives the number that it was begun with.

  It is 0 if there is no run yet, or if an older version began it from Python and so wrote no number down.
  """
  try:
    begun_with = read_description(run_dir).get("epochs")
  except RunError:  # none, or a damaged one, which is written anew
    begun_with = None
  if not isinstance(begun_with, int):
    lines = [line for line in bindings(read_config(run_dir)) if line.startswith(_EPOCHS)]
    begun_with = next((int(number) for line in lines if (number := line.removeprefix(_EPOCHS)).isdecimal()), 0)
  if begun_with > epochs:
    raise RunError(
      f"{run_dir} holds a run of {begun_with} epochs, and {epochs} are asked for: nothing is changed. Ask for "
      f"{begun_with} epochs or more, or use another --run_dir."
    )
  return begun_with


def read_config(run_dir: pathlib.Path) -> str:
  """The configuration of a run as text, for people; "" where there is none."""
  file = run_dir / CONFIG_FILE
  return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
