"""Finds what kind of property each column of a table is, from its values.

| kind | where it is found |
|---|---|
| attribute | two values: 0 and 1, yes and no, or any two words |
| category | at most 20 whole numbers from 0 on, or at most 100 words, each in three rows on average |
| number | other numbers |
| color | three columns `x_r, x_g, x_b` (0 to 1, or 0 to 255), or texts `#rrggbb` |
| angle | nowhere; it must be said with its full turn, as in "azimuth:angle=360" |

Row numbers, file names, free text, and columns with empty cells or one value are left out, and the reason is kept.
"""

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfdisent.data.columns import KINDS, Asked, Column, asked
from tfdisent.data.values import as_array, as_number, coded, natural_order
from tfdisent.errors import ConfigError, DataError, shown

FEW_NUMBERS, FEW_WORDS = 20, 100
"""The most classes that are taken for a category without being told."""
ROWS_OF_A_CLASS = 3
"""Values that are in fewer rows than this on average are no classes."""
MOST_ODD = 0.1
"""Of fewer different values that are no number among numbers, each is taken for a mistake."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
"""Of image files."""

_FALSE, _TRUE = frozenset(("0", "false", "no", "off", "n", "f")), frozenset(("1", "true", "yes", "on", "y", "t"))
_LETTERS = (frozenset(("n", "no", "y", "yes")), frozenset(("f", "false", "t", "true")))
"""Letters stand for the words of their own pair alone: a column of Y, N and F has three values."""
_HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_CHANNEL = re.compile(r"(.+)_([rgb])")
_ROW_NUMBER = re.compile(r"(.*[_\s])?(id|idx|index|uid|uuid)|unnamed: \d+|", re.IGNORECASE)


Where = Callable[[int], str]
"""From a row number to the words for that row in messages: "row 6 (line 7) of people.csv"."""


def nth_row(row: int) -> str:
  """The words for a row of which nothing else is known."""
  return f"row {row + 1}"


class Found(NamedTuple):
  """What was found in a table.

  Attributes:
    columns: what is known of each column that can be a feature.
    values: their arrays, as in the table above.
    left_out: for each other column, the reason.
  """

  columns: dict[str, Column]
  values: dict[str, np.ndarray]
  left_out: dict[str, str]


def find(
  table: Mapping[str, Sequence | np.ndarray], kinds: Mapping[str, str] | Sequence[str] = (), where: Where = nth_row
) -> Found:
  """Finds the kind of each column of a table.

      find({"digit": [3, 1, …], "ink": ["#ff0000", …], "t": [0.1, …]}, ("digit:number",))

  Args:
    table: for each column its N values: texts, numbers, booleans or None, [N]; or colours, [N, 3].
    kinds: kinds that are forced: {"age": "category", "azimuth": "angle=360"}, or the words ("age:category", …).
    where: names a row in messages.

  Raises:
    ConfigError: a word is wrong, or names no column.
    DataError: a value of a column is missing, or is not of the kind that is forced; the message names its row.
  """
  wanted = asked(kinds)
  colors = _triples(table, wanted)
  channels = {channel: name for name, (of_color, _) in colors.items() for channel in of_color}
  if unknown := [name for name in wanted if name not in table and name not in colors]:
    raise ConfigError(f"there is no column '{unknown[0]}' (kinds): the columns are {', '.join([*table, *colors])}.")
  found = Found({}, {}, {})
  for name, values in table.items():
    if name in channels:
      color = channels[name]
      if color not in found.columns:
        sources, found.values[color] = colors[color]
        found.columns[color] = Column(color, "color", sources=sources)
    elif name not in colors:  # a colour of this name replaces the words for it, since it was asked for
      _find_one(name, values, wanted.get(name, Asked(name)), found, where)
  return found


def complete_rows(
  table: Mapping[str, Sequence | np.ndarray], names: Collection[str] | None, where: Where = nth_row
) -> tuple[np.ndarray, tuple[str, ...]]:
  """The numbers of the rows that lack no value, and a warning of those that do.

  Args:
    table: the columns, of which there is at least one.
    names: the columns that must have a value; None for each that can be a feature.
    where: names a row in messages.

  Raises:
    DataError: no row is complete.
  """
  complete, lacking = np.ones(len(next(iter(table.values()))), bool), []
  for name, values in table.items():
    if (names is not None and name not in names) or (values := as_array(values, name)).ndim != 1:
      continue
    texts, code = coded(values)
    here = np.array([bool(text) for text in texts])[code] if texts else complete
    others = [text for text in texts if text]
    channel = _CHANNEL.fullmatch(name)
    is_wanted = names is not None or (channel and all(f"{channel[1]}_{c}" in table for c in "rgb"))
    if not here.all() and (is_wanted or (others and _kind(name, others, int(here.sum()))[0])):
      complete &= here
      lacking.append(name)
  rows = np.flatnonzero(complete)
  if not len(rows):
    raise DataError(f"no row of the table has a value in each of the columns {', '.join(lacking)}.")
  if not lacking:
    return rows, ()
  words = f"{len(complete) - len(rows)} rows have no value of {', '.join(lacking)}, and are left out; the first is "
  return rows, (words + where(int(np.argmin(complete))),)


def read_column(name: str, values, wish: Asked, where: Where = nth_row) -> tuple[tuple[str, ...], np.ndarray]:
  """The class names of a column of the kind that is asked for, and its values as the table at the top says.

  Raises:
    DataError: a value is missing, or is not of this kind; the message names its row.
  """
  values = as_array(values, name)
  texts, code = coded(values)
  if "" in texts:
    rows = np.flatnonzero(code == texts.index(""))
    value = "" if values[rows[0]] is None else str(values[rows[0]]).strip()
    cells = f"{len(rows)} {'' if value else 'empty '}{'cell' if len(rows) == 1 else 'cells'}"
    what = f"{cells} without a value" if value else cells
    first = where(rows[0]) + (f" ({value})" if value else "")
    raise DataError(
      f"column '{name}' has {what}; the first is in {first}: fill them in, or bind missing = 'drop', which leaves such "
      "rows out."
    )
  class_names, of_text = read_texts(
    name, wish.kind, texts, lambda text: where(int(np.argmax(code == texts.index(text))))
  )
  return class_names, np.asarray(of_text)[code]


def _find_one(name, values, wish: Asked, found: Found, where: Where) -> None:
  """Adds one column to what was found."""
  if name == "image":
    if wish.kind:
      raise ConfigError(f"column '{name}' cannot be read, since the pixels have this name: rename it.")
    found.left_out[name] = "the pixels have this name; rename it"
    return
  values = as_array(values, name)
  if values.ndim == 2 and values.shape[1] == 1:
    values = values[:, 0]
  if values.ndim != 1:
    rgb = _rgb(values) if values.ndim == 2 and values.shape[1] == 3 and values.dtype.kind in "biuf" else None
    if rgb is None or wish.kind not in (None, "color"):
      raise DataError(
        f"column '{name}' has the shape {list(values.shape)}: give one value for each image, or colours [N, 3] of 0 to "
        "1 or of 0 to 255."
      )
    found.columns[name], found.values[name] = Column(name, "color", sources=(name,)), rgb
    return
  texts, code = coded(values)
  kind, reason = (wish.kind, "") if wish.kind else _kind(name, texts, len(code))
  if kind is None:
    first = f"; the first is {where(int(np.argmax(code == texts.index(''))))}" if "" in texts else ""
    found.left_out[name] = reason + first
    return
  class_names, found.values[name] = read_column(name, values, wish._replace(kind=kind), where)
  found.columns[name] = Column(name, kind, class_names, wish.turn, (name,))


def _kind(name: str, texts: Sequence[str], count: int) -> tuple[str | None, str]:
  """The kind of a column from its different values, or None and the reason why it is left out."""
  if "" in texts:
    return None, "it has empty cells (or NA, NaN, null, ?)"
  folded = {text.lower() for text in texts}
  if len(texts) == 1 or (_are_two(texts) and (folded <= _FALSE or folded <= _TRUE)):
    return None, f"it has one value, {shown(texts[0])}"
  if all(map(_HEX.fullmatch, texts)):
    return "color", ""
  if _are_two(texts):
    return "attribute", ""
  values = [as_number(text) for text in texts]
  return (
    _kind_of_numbers(name, values, count) if all(map(math.isfinite, values)) else _kind_of_words(name, texts, count)
  )


def _are_two(texts: Sequence[str]) -> bool:
  """Whether different texts are two, or spellings of two: "Yes", "yes" and "no"."""
  folded = {text.lower() for text in texts}
  words = {text for text in folded & (_FALSE | _TRUE) if text.isdigit() or len(text) > 1}
  return len(texts) == 2 or any(folded <= spellings for spellings in (words, *_LETTERS))


def _kind_of_numbers(name, values: Sequence[float], count) -> tuple[str | None, str]:
  whole = min(values) >= 0 and all(map(float.is_integer, values))
  if whole and len(values) <= min(FEW_NUMBERS, count // ROWS_OF_A_CLASS):
    return "category", ""
  if whole and (_ROW_NUMBER.fullmatch(name) or len(values) == count == max(values) - min(values) + 1):
    return None, f"it numbers the rows or what is in them; '{name}:number' takes it"
  return "number", ""


def _kind_of_words(name, texts: Sequence[str], count) -> tuple[str | None, str]:
  if any(text.lower().endswith(SUFFIXES) for text in texts):
    return None, "it names files"
  if len(texts) <= min(FEW_WORDS, count // ROWS_OF_A_CLASS):
    return "category", ""
  odd = [text for text in texts if math.isnan(as_number(text))]
  if len(odd) <= MOST_ODD * len(texts):
    return None, f"it has numbers, and {shown(odd[0])}, which is none; '{name}:number' says in which row"
  return (
    None,
    f"it has {len(texts):,} different texts in {count:,} rows: names or free text; '{name}:category' takes it",
  )


def read_texts(
  name: str, kind: str, texts: Sequence[str], where: Callable[[str], str] = repr
) -> tuple[tuple[str, ...], np.ndarray | list]:
  """The class names of a column, and the value of each of its different texts; `where` names the row of a text."""

  def wrong(text, what):
    return DataError(f"column '{name}' is to be {what} ({where(text)}). The kinds are {', '.join(KINDS)}.")

  if kind == "color":
    if (text := next((text for text in texts if not _HEX.fullmatch(text)), None)) is not None:
      raise wrong(text, f"a color, and {shown(text)} is none: write #rrggbb")
    return (), np.array([[int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)] for text in texts], np.float32)
  if kind in ("number", "angle"):
    values = np.array([as_number(text) for text in texts], np.float32)
    if np.isnan(values).any():
      text = texts[int(np.argmax(np.isnan(values)))]
      hint = f": write {text.replace(',', '.')}" if math.isfinite(as_number(text.replace(",", "."))) else ""
      raise wrong(text, f"of the kind '{kind}', and {shown(text)} is no number{hint}")
    return (), values
  if kind == "attribute" and _are_two(texts) and all(text.lower() in _FALSE | _TRUE for text in texts):
    names = sorted({text.lower() for text in texts}, key=_TRUE.__contains__)
    values = np.array([text.lower() in _TRUE for text in texts], np.int64)
    if len(set(values)) == 2:
      return tuple(names) if len(names) == 2 else ("false", "true"), values
  names = natural_order(texts)
  if kind == "attribute" and len(names) != 2:
    some = ", ".join(names[:5]) + (", …" if len(names) > 5 else "")
    raise DataError(
      f"column '{name}' is to be an attribute, which has two values, and has {len(names)}: {some}. The kinds are "
      f"{', '.join(KINDS)}."
    )
  place = {text: number for number, text in enumerate(names)}
  return tuple(names), np.array([place[text] for text in texts], np.int64)


def _triples(table, wanted: Mapping[str, Asked]) -> dict[str, tuple[tuple[str, str, str], np.ndarray]]:
  """For each colour that three columns hold: their names in the order red, green, blue, and the colours, [N, 3]."""
  stems = dict.fromkeys(match[1] for name in table if (match := _CHANNEL.fullmatch(str(name))))
  colors = {}
  for stem in stems:
    channels = tuple(f"{stem}_{channel}" for channel in "rgb")
    if not all(channel in table and channel not in wanted for channel in channels):
      continue
    is_asked = wanted.get(stem, Asked(stem)).kind == "color"
    values = [_numbers(table[channel]) for channel in channels]
    rgb = None if any(of_channel is None for of_channel in values) else _rgb(np.stack(values, 1))
    if rgb is not None:
      colors[stem if stem not in table or is_asked else f"{stem}_rgb"] = channels, rgb
    elif is_asked and stem not in table:
      raise DataError(f"{', '.join(channels)} are no color: all three must be within 0 to 1, or within 0 to 255.")
  return colors


def _rgb(values: np.ndarray) -> np.ndarray | None:
  """Colours [N, 3] in [0, 1] as float32, from 0 to 1 or from 0 to 255; None if they are neither."""
  low, high = (values.min(), values.max()) if values.size else (0, 0)
  if not (low >= 0 and high <= 255):  # also if there is a NaN
    return None
  return (values / (255 if high > 1 else 1)).astype(np.float32)


def _numbers(values) -> np.ndarray | None:
  """A column of numbers as float64 [N], or None if it has other values."""
  values = as_array(values)
  if values.ndim != 1:
    return None
  texts, code = coded(values)
  of_text = np.array([as_number(text) for text in texts])
  return of_text[code] if np.isfinite(of_text).all() else None
