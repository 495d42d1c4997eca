"""Signals that ask a training to stop: noted, so that the step in hand is finished first."""

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator

from tfdisent.console import say


@contextlib.contextmanager
def noting_signals() -> Iterator[Callable[[], bool]]:
  """Gives a function that tells whether Ctrl-C, SIGTERM or SIGHUP (of a closed terminal) has come; it stops nothing.

  A second signal does what it did before: Ctrl-C raises `KeyboardInterrupt`, the others end the process. One that is
  ignored stays so: a shell's script lets what runs in its background ignore the Ctrl-C of the foreground, and `nohup`
  the SIGHUP.
  """
  before, came = {}, []

  def restore():
    for number, handler in before.items():
      signal.signal(number, handler)

  def note(number, frame):
    came.append(number)
    restore()
    if number == signal.SIGINT:
      with contextlib.suppress(RuntimeError):  # it may have come while another line was written
        say("\nStopping after this step; Ctrl-C once more stops at once.", file=sys.stderr)

  try:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
      if signal.getsignal(number) is not signal.SIG_IGN:
        before[number] = signal.signal(number, note)
  except ValueError:  # Python sets signals in the main thread alone; in another one the caller has to
    pass
  try:
    yield lambda: bool(came)
  finally:
    restore()
