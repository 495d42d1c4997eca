"""Errors that a user can mend.

The command line prints their message alone; anything else is a bug and keeps its traceback.
"""


class TfdisentError(Exception):
  """Base of every error that tfdisent raises on purpose."""

  ag_pass_through = True  # AutoGraph would make a StagingError of it where a function is traced


class ConfigError(TfdisentError, ValueError):
  """A flag, a gin binding or an argument that cannot work."""


class RegistryError(ConfigError, LookupError):
  """A feature or data set that is not registered, or registered twice."""


class DataError(TfdisentError, ValueError):
  """A data set that cannot be had, or images, labels and columns that break the contract."""


class FeatureError(TfdisentError, ValueError):
  """A feature f(x) that breaks its contract."""


class RunError(TfdisentError, RuntimeError):
  """A run folder that is missing, incomplete or of another configuration."""


class Interrupted(TfdisentError):
  """A training that was asked to stop (SIGTERM), has written a checkpoint, and can go on."""


class CheckpointError(RunError):
  """A checkpoint that cannot be read, or that belongs to another model."""


class NonFiniteLossError(TfdisentError, ArithmeticError):
  """A loss term that became NaN or infinite during training."""
