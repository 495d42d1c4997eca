"""The arguments that several data sets have: the fractions of the splits, and the size and channels of images."""

import math
import numbers
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from tfdisent.data.columns import Column
from tfdisent.data.values import printable
from tfdisent.errors import ConfigError, DataError, shown


def check_fractions(dataset: str, *wholes: Mapping[str, float]) -> None:
  """Raises `ConfigError` unless all fractions are positive and leave images to train on.

  Args:
    dataset: the name of the data set, for the message.
    wholes: for each set of images that is divided, the fractions of it that are taken away, by the argument's name.
  """
  is_number = lambda value: isinstance(value, numbers.Real) and not isinstance(value, bool)  # noqa: E731
  for name, fraction in ((name, fraction) for whole in wholes for name, fraction in whole.items()):
    if not is_number(fraction):
      raise ConfigError(f"{dataset}: {name} = {shown(fraction)} must be a number between 0 and 1, as in 0.1.")
  if all(min(whole.values()) > 0 and sum(whole.values()) < 1 for whole in wholes):
    return
  *most, last = (f"{name} = {fraction}" for whole in wholes for name, fraction in whole.items())
  raise ConfigError(
    f"{dataset}: {', '.join(most)} and {last} must be positive and leave a rest to train on: below 1 together."
  )


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
  """Row numbers for each fraction and for the rest, in which every class is about as frequent as in all rows.

  This is iterative stratification (after Sechidis, Tsoumakas, Vlahavas 2011). Rows of the rarest class are dealt out
  first. Each goes to the part that lacks most of what the row has, among the parts that lack the rarest of its classes.
  If a class has a row for each part, each part gets one.

  Args:
    classes: int [N, C], the classes of C columns, from 0 on. With C = 0 the rows are only shuffled and divided.
    fractions: each in (0, 1), of all rows; their sum is below 1.
    random_state: draws the order of rows.

  Returns:
    For each fraction, and for the rest, row numbers in an order that is random but for rare classes: the first rows of
    such a class were dealt to the fractions, so that the rest has it late. Counts are near to the fractions of N.
  """
  order = random_state.permutation(len(classes))
  shares = np.array([*fractions, 1 - sum(fractions)])
  classes = np.column_stack([classes[order], np.zeros(len(order), int)])  # all rows are a class: parts keep their size
  classes += np.concatenate([[0], np.cumsum(classes.max(0) + 1)[:-1]])  # each class has a number of its own
  counts = np.bincount(classes.ravel())
  wanted = counts[:, None] * shares
  enough = counts >= len(shares)
  wanted[enough, :-1] = np.maximum(wanted[enough, :-1], 1)
  wanted[:, -1] = np.maximum(counts - wanted[:, :-1].sum(1), shares[-1])
  wanted = np.maximum(wanted, 1e-9)  # some numbers are no class
  lacks, part = wanted.copy(), np.full(len(order), -1)
  for rarest in np.argsort(counts, kind="stable"):
    for row in np.flatnonzero((classes == rarest).any(1) & (part < 0)):
      lacks_rarest = lacks[rarest] >= min(0.5, lacks[rarest].max())
      of_row = (lacks[classes[row]] / wanted[classes[row]]).sum(0)
      part[row] = chosen = int(np.argmax(np.where(lacks_rarest, of_row, -np.inf)))
      lacks[classes[row], chosen] -= 1
  return [order[part == number] for number in range(len(shares))]


def absent_classes(columns: Iterable[Column], splits: Mapping[str, Mapping[str, np.ndarray]]) -> list[str]:
  """A warning for each column with a class that one split has and another one lacks."""
  warnings = []
  for column in columns:
    if column.is_discrete:
      present = {split: set(np.unique(examples[column.name]).tolist()) for split, examples in splits.items()}
      lacking: dict[tuple[int, ...], list[str]] = {}
      for split, here in present.items():
        lacking.setdefault(tuple(sorted(set().union(*present.values()) - here)), []).append(split)
      for absent, of_splits in lacking.items():
        if absent:
          names = [printable(column.class_names[c]) if column.class_names else str(c) for c in absent]
          more = f" and {len(names) - 3} more" if len(names) > 3 else ""
          warnings.append(f"'{column.name}': no image in {', '.join(of_splits)} is {', '.join(names[:3])}{more}")
  return warnings


def check_rows(dataset: str, rows: Mapping[str, Sequence], *wholes: Mapping[str, float]) -> None:
  """Raises `DataError` unless each split has an image; the message says how many images or which fraction it takes.

  Args:
    dataset: the name of the data set, for the message.
    rows: the row numbers of each split.
    wholes: as of `check_fractions`, those by which splits were drawn.
  """
  empty = [split for split, of_split in rows.items() if not len(of_split)]
  if not empty:
    return
  fractions = {name: fraction for whole in wholes for name, fraction in whole.items()}
  shares, rest = [], 1.0
  for whole in wholes:
    shares += [rest * fraction for fraction in whole.values()]
    rest -= rest * sum(whole.values())
  drawn = [split for split in rows if f"{split}_fraction" in fractions or split == "train"] if fractions else [*rows]
  count = f"{sum(len(rows[split]) for split in drawn)} images{' of train' if len(drawn) < len(rows) else ''}"
  needed = math.ceil(1 / max(1e-9, min([*shares, rest, 0.05])))  # a fraction may be too small to be inverted
  given = f" with {', '.join(f'{name} = {fraction:g}' for name, fraction in fractions.items())}" if fractions else ""
  to_raise = [name for name in fractions if name.removesuffix("_fraction") in empty]
  to_lower = [name for name in fractions if name not in to_raise]
  advice = [f"{verb} {', '.join(names)}" for verb, names in (("raise", to_raise), ("lower", to_lower)) if names]
  raise DataError(
    f"{dataset}: {count} are too few, since {', '.join(empty)} would have none{given}: "
    f"{'; '.join([f'add images (at least {needed} are needed, and 500 are seldom too many)', *advice])}."
  )


def check_turns(dataset: str, angles: Mapping[str, float]) -> None:
  """Raises `ConfigError` unless the full turn of each of the columns `angles` is positive."""
  if not all(turn > 0 for turn in angles.values()):
    raise ConfigError(f"{dataset}.angles = {shown(angles)}: a full turn must be positive, as in {{'azimuth': 360}}.")


def check_choice(dataset: str, argument: str, value, choices: Sequence[str]) -> None:
  """Raises `ConfigError` unless the value of an argument is one of `choices`."""
  if value not in choices:
    raise ConfigError(f"{dataset}.{argument} = {shown(value)}: choose {' or '.join(map(repr, choices))}.")


def check_size_and_channels(dataset: str, size, channels) -> tuple[int, int, int]:
  """(H, W, C) of the images; raises `ConfigError` if they cannot be made."""
  check_channels(dataset, channels)
  return (*height_and_width(dataset, size), channels)


def check_channels(dataset: str, channels: int | None, may_be_none: bool = False) -> None:
  """Raises `ConfigError` unless images of `channels` channels can be made."""
  if isinstance(channels, bool) or channels not in ((None, 1, 3) if may_be_none else (1, 3)):
    choices = "1 (grey), 3 (RGB) or None" if may_be_none else "1 (grey) or 3 (RGB)"
    raise ConfigError(f"{dataset}.channels = {shown(channels)}: choose {choices}.")


LARGEST = 2**14
"""Pixels of a side: what is larger is a slip of the finger, and no memory holds a batch of it."""


def height_and_width(dataset: str, size: int | tuple[int, int]) -> tuple[int, int]:
  """(height, width) in pixels; raises `ConfigError` unless `size` is one number for both, or two numbers."""
  is_whole = lambda pixels: isinstance(pixels, int) and not isinstance(pixels, bool)  # noqa: E731
  pair = (size, size) if is_whole(size) else tuple(size) if isinstance(size, (tuple, list)) else ()
  if len(pair) != 2 or not all(is_whole(pixels) and 1 <= pixels <= LARGEST for pixels in pair):
    raise ConfigError(
      f"{dataset}.size = {shown(size)} must be at least 1 and at most {LARGEST}: a whole number of pixels for both "
      "sides, or (height, width)."
    )
  return pair
