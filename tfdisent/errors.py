"""Errors that a user can correct.

The command line prints only their message. Any other exception is a bug and keeps its traceback.
"""


class TfdisentError(Exception):
  """Base of every error that tfdisent raises on purpose."""

  ag_pass_through = True  # otherwise AutoGraph turns the error into a StagingError when it traces a function


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


class Interrupted(TfdisentError):
  """A training that was asked to stop (Ctrl-C, SIGTERM) and has written a checkpoint. The same call goes on from it."""

  def _render_traceback_(self) -> list[str]:
    """The lines that IPython shows in place of a traceback: nothing has failed."""
    return [f"{type(self).__name__}: {self}"]


class CheckpointError(RunError):
  """A checkpoint that cannot be read, or that belongs to another model."""


class NonFiniteLossError(TfdisentError, ArithmeticError):
  """A loss term that became NaN or infinite during training."""
