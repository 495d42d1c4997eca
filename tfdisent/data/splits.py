"""The arguments that several data sets have: the fractions of the splits, and the size and channels of images."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfdisent.data.columns import Column
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


def stratified(classes: np.ndarray, fractions: Sequence[float], random_state: np.random.Generator) -> list[np.ndarray]:
  """Row numbers for each fraction and for the rest, in which every class is as frequent as in all rows.

  This is iterative stratification (Sechidis, Tsoumakas, Vlahavas 2011): rows of the rarest class are dealt out first,
  each to the part that needs its class most. A part gets at least one row of every class of which there is one for each
  part.

  Args:
    classes: int [N, C], the classes of C columns, from 0 on. With C = 0 the rows are only shuffled and divided.
    fractions: each in (0, 1), of all rows; their sum is below 1.
    random_state: draws the order of rows.

  Returns:
    For each fraction, and for the rest, row numbers in a random order; their counts are near to the fractions of N.
  """
  count, columns = classes.shape
  order = random_state.permutation(count)
  if not columns:
    return divide(order, fractions, at_least=1)
  shares = np.array([*fractions, 1 - sum(fractions)])
  classes = classes[order] + np.concatenate([[0], np.cumsum(classes.max(0) + 1)[:-1]])  # each class has its own number
  left = np.bincount(classes.ravel())
  need = left[:, None] * shares
  enough = left >= len(shares)
  need[enough, :-1] = np.maximum(need[enough, :-1], 1)
  need[:, -1] = left - need[:, :-1].sum(1)
  room = count * shares
  part = np.full(count, -1)
  while left.any():
    rarest = int(np.argmin(np.where(left > 0, left, count + 1)))
    for row in np.flatnonzero((classes == rarest).any(1) & (part < 0)):
      neediest = need[rarest] >= need[rarest].max() - 1e-9
      part[row] = chosen = int(np.argmax(np.where(neediest, room, -np.inf)))
      need[classes[row], chosen] -= 1
      left[classes[row]] -= 1
      room[chosen] -= 1
  return [order[part == number] for number in range(len(shares))]


def absent_classes(columns: Iterable[Column], splits: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
  """A warning for each column and split in which a class that other splits have is missing."""
  warnings = []
  for column in columns:
    if column.is_discrete:
      present = {split: set(np.unique(examples[column.name]).tolist()) for split, examples in splits.items()}
      for split, here in present.items():
        if absent := [str(c) for c in sorted(set().union(*present.values()) - here)]:
          names = [column.class_names[int(c)] if column.class_names else c for c in absent]
          more = f" and {len(names) - 3} more" if len(names) > 3 else ""
          warnings.append(f"'{column.name}': the split '{split}' has no image of {', '.join(names[:3])}{more}")
  return warnings


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
