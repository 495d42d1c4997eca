"""The arguments that several data sets have: the fractions of the splits, and the size and channels of images."""

from collections.abc import Iterable, Mapping

import numpy as np

from tfdisent.errors import ConfigError


def check_fractions(dataset: str, *wholes: Mapping[str, float]) -> None:
  """Raises `ConfigError` unless all fractions are positive and leave images to train on.

  Args:
    dataset: the name of the data set, for the message.
    wholes: for each set of images that is divided, the fractions of it that are taken away, by the argument's name.
  """
  if all(min(whole.values()) > 0 and sum(whole.values()) < 1 for whole in wholes):
    return
  *most, last = (f"{name} = {fraction}" for whole in wholes for name, fraction in whole.items())
  raise ConfigError(f"{dataset}: {', '.join(most)} and {last} must be positive and leave a rest to train on.")


def divide(rows: np.ndarray, fractions: Iterable[float], at_least: int = 0) -> list[np.ndarray]:
  """Consecutive parts of `rows` [N, ...], one for each fraction of N, and the rest as the last part.

  Args:
    rows: row numbers or a column. The parts are views, so that a part of a mapped file stays in the file.
    fractions: each in (0, 1).
    at_least: rows of each part but the rest.
  """
  counts = [max(at_least, round(fraction * len(rows))) for fraction in fractions]
  return np.split(rows, np.cumsum(counts))


def check_channels(dataset: str, channels: int | None, may_be_none: bool = False) -> None:
  """Raises `ConfigError` unless images of `channels` channels can be made."""
  if channels not in ((None, 1, 3) if may_be_none else (1, 3)):
    choices = "1 (grey), 3 (RGB) or None" if may_be_none else "1 (grey) or 3 (RGB)"
    raise ConfigError(f"{dataset}.channels = {channels!r}: choose {choices}.")


def height_and_width(dataset: str, size: int | tuple[int, int]) -> tuple[int, int]:
  """(height, width) in pixels; raises `ConfigError` unless `size` is one number for both, or two numbers."""
  pair = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, (tuple, list)) else ()
  if len(pair) != 2 or not all(isinstance(pixels, int) and pixels >= 1 for pixels in pair):
    raise ConfigError(f"{dataset}.size = {size!r} must be at least 1: a number of pixels, or (height, width).")
  return pair
