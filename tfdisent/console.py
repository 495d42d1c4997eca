"""Lines for people, which never end what they tell of."""

import contextlib
import sys
from collections.abc import Callable

Progress = Callable[[str], None]
"""Is told of each stage of a long work, as a line of text; `say` prints it."""


def say(line: str, end: str = "\n", file=None) -> None:
  """Prints a line at once. A sign that the terminal cannot show becomes "?", and a terminal that is gone stops nothing.

  Args:
    line: the text.
    end: what follows it.
    file: a text file; None is `sys.stdout` of now.
  """
  file = file or sys.stdout
  with contextlib.suppress(OSError):  # the window was closed, or who read the pipe has ended
    try:
      print(line, end=end, file=file, flush=True)
    except UnicodeEncodeError:
      encoding = file.encoding or "ascii"
      print(line.encode(encoding, "replace").decode(encoding), end=end, file=file, flush=True)
