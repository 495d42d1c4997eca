"""Errors that a user can correct.

The command line prints only their message. Any other exception is a bug and keeps its traceback.
"""

import re
import reprlib

_CONTROL = r"[\x00-\x1f\x7f-\x9f\u2028\u2029]"
"""What ends a line, or makes a terminal do something else."""


def shown(value: object) -> str:
  """A value in a message: one line, and not more than a line can hold."""
  line = re.sub(rf"\s*{_CONTROL}\s*", " ", _short.repr(value))
  return line if len(line) <= 120 else f"{line[:117]}…"


_short = reprlib.Repr()
_short.maxstring = _short.maxother = 100
_short.maxlong = 24


class TfdisentError(Exception):
  """Base of every error that tfdisent raises on purpose.

  Args:
    message: one line: a line break in what it quotes is written as "\\n".
    details: lines that are shown below it, as the commands that failed.
  """

  ag_pass_through = True  # otherwise AutoGraph turns the error into a StagingError when it traces a function

  def __init__(self, message: object = "", details: str = ""):
    super().__init__(message)
    self.details = details

  def __str__(self):
    line = re.sub(_CONTROL, lambda found: repr(found[0])[1:-1], str(self.args[0]))
    return f"{line}\n{self.details}" if self.details else line


class ConfigError(TfdisentError, ValueError):
  """A flag, a gin binding or an argument that cannot work."""


class RegistryError(ConfigError, LookupError):
  """A plug-in that is not registered, or that is registered twice."""


class DataError(TfdisentError, ValueError):
  """A data set that cannot be read or downloaded, or images, labels and columns that break the contract."""


class FeatureError(TfdisentError, ValueError):
  """A feature f(x) that breaks its contract."""


class RunError(TfdisentError, RuntimeError):
  """A run folder that is missing or incomplete, or that has another configuration."""


class Interrupted(TfdisentError, KeyboardInterrupt):
  """A training that was asked to stop (Ctrl-C, SIGTERM) and has written a checkpoint. The same call goes on from it.

  It is a `KeyboardInterrupt`, too, as which scripts and notebooks expect it.
  """

  def _render_traceback_(self) -> list[str]:
    """The lines that IPython shows in place of a traceback: nothing has failed."""
    return [f"{type(self).__name__}: {self}"]


class CheckpointError(RunError):
  """A checkpoint that cannot be read, or that belongs to another model."""


class NonFiniteLossError(TfdisentError, ArithmeticError):
  """A loss term that became NaN or infinite during training."""
