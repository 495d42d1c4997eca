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
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfdisent.data.columns import KINDS, Asked, Column, asked
from tfdisent.errors import ConfigError, DataError

FEW_NUMBERS, FEW_WORDS = 20, 100
"""The most classes that are taken for a category without being told."""
ROWS_OF_A_CLASS = 3
"""Values that are in fewer rows than this on average are no classes."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff")
"""Of image files."""

_FALSE, _TRUE = frozenset(("0", "false", "no", "off", "n", "f")), frozenset(("1", "true", "yes", "on", "y", "t"))
_MISSING = frozenset(("", "nan", "<na>"))
_HEX = re.compile(r"#[0-9a-f]{6}", re.IGNORECASE)
_WHOLE = re.compile(r"([+-]?)(0|[1-9]\d*)(?:\.0*)?")
_CHANNEL = re.compile(r"(.+)_([rgb])")
_ROW_NUMBER = re.compile(r"(.*[_\s])?(id|idx|index|uid|uuid)|unnamed: \d+|", re.IGNORECASE)


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


def natural_order(texts) -> list[str]:
  """Texts in the order that people expect: by value where all are numbers, else with 2 before 10 within them."""
  try:
    return sorted(texts, key=float)
  except ValueError:
    return sorted(
      texts, key=lambda text: ([int(p) if i % 2 else p for i, p in enumerate(re.split(r"(\d+)", text))], text)
    )


def find(table: Mapping[str, Sequence | np.ndarray], kinds: Mapping[str, str] | Sequence[str] = ()) -> Found:
  """Finds the kind of each column of a table.

      find({"digit": [3, 1, …], "ink": ["#ff0000", …], "t": [0.1, …]}, ("digit:number",))

  Args:
    table: for each column its N values: texts, numbers, booleans or None, [N]; or colours, [N, 3].
    kinds: kinds that are forced: {"age": "category", "azimuth": "angle=360"}, or the words ("age:category", …).

  Raises:
    ConfigError: a word is wrong, or names no column.
    DataError: the values of a column are not of the kind that is forced; the message names both.
  """
  wanted = asked(kinds)
  colors = _triples(table, wanted)
  channels = {channel: name for name, (of_color, _) in colors.items() for channel in of_color}
  if unknown := [name for name in wanted if name not in table and name not in colors]:
    raise ConfigError(f"there is no column '{unknown[0]}': the columns are {', '.join([*table, *colors])}.")
  found = Found({}, {}, {})
  for name, values in table.items():
    if name in channels:
      color = channels[name]
      if color not in found.columns:
        sources, found.values[color] = colors[color]
        found.columns[color] = Column(color, "color", sources=sources)
    elif name not in colors:  # a colour of this name replaces the words for it, since it was asked for
      _find_one(name, values, wanted.get(name, Asked(name)), found)
  return found


def _find_one(name, values, wish: Asked, found: Found) -> None:
  """Adds one column to what was found."""
  values = _array(values)
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
  texts, code = _coded(values)
  kind, reason = (wish.kind, "") if wish.kind else _kind(name, texts, len(code))
  if kind is None:
    found.left_out[name] = reason
    return
  if "" in texts:
    raise DataError(f"column '{name}' has {int((code == texts.index('')).sum())} empty cells: fill them in.")
  class_names, of_text = _read(name, kind, texts)
  found.columns[name] = Column(name, kind, class_names, wish.turn, (name,))
  found.values[name] = np.asarray(of_text)[code]


def _kind(name: str, texts: Sequence[str], count: int) -> tuple[str | None, str]:
  """The kind of a column from its different values, or None and the reason why it is left out."""
  if "" in texts:
    return None, "it has empty cells"
  folded = {text.lower() for text in texts}
  if len(texts) == 1 or folded <= _FALSE or folded <= _TRUE:
    return None, f"it has one value, {texts[0]!r}"
  if all(map(_HEX.fullmatch, texts)):
    return "color", ""
  if len(texts) == 2 or folded <= _FALSE | _TRUE:
    return "attribute", ""
  values = [_float(text) for text in texts]
  return (
    _kind_of_numbers(name, values, count) if all(map(math.isfinite, values)) else _kind_of_words(name, texts, count)
  )


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
  return (
    None,
    f"it has {len(texts):,} different texts in {count:,} rows: names or free text; '{name}:category' takes it",
  )


def _read(name: str, kind: str, texts: Sequence[str]) -> tuple[tuple[str, ...], np.ndarray | list]:
  """The class names of a column, and the value of each of its different texts."""
  if kind == "color":
    if wrong := next((text for text in texts if not _HEX.fullmatch(text)), None):
      raise DataError(f"column '{name}' is to be a color, and {wrong!r} is none: write #rrggbb. {_kinds()}")
    return (), np.array([[int(text[i : i + 2], 16) / 255 for i in (1, 3, 5)] for text in texts], np.float32)
  if kind in ("number", "angle"):
    values = [_float(text) for text in texts]
    if wrong := next((text for text, value in zip(texts, values) if not math.isfinite(value)), None):
      raise DataError(f"column '{name}' is to be of the kind '{kind}', and {wrong!r} is no number. {_kinds()}")
    return (), np.array(values, np.float32)
  if kind == "attribute" and all(text.lower() in _FALSE | _TRUE for text in texts):
    names = sorted({text.lower() for text in texts}, key=_TRUE.__contains__)
    values = np.array([text.lower() in _TRUE for text in texts], np.int64)
    if len(set(values)) == 2:
      return tuple(names) if len(names) == 2 else ("false", "true"), values
  names = natural_order(texts)
  if kind == "attribute" and len(names) != 2:
    raise DataError(
      f"column '{name}' is to be an attribute, which has two values, and has {len(names)}: {_some(names)}. {_kinds()}"
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
  texts, code = _coded(_array(values))
  of_text = np.array([_float(text) for text in texts])
  return of_text[code] if np.isfinite(of_text).all() else None


def _array(values) -> np.ndarray:
  if isinstance(values, np.ndarray):
    return values
  if all(isinstance(value, (list, tuple, np.ndarray)) for value in values):
    return np.asarray(values)
  array = np.empty(len(values), object)  # `np.asarray` would make texts of numbers that stand beside a text
  array[:] = values
  return array


def _coded(values: np.ndarray) -> tuple[list[str], np.ndarray]:
  """The different values of a column as texts, and the number of the text for each row, [N]."""
  if values.dtype.kind in "biuf":
    different, row = np.unique(values, return_inverse=True)
  else:
    first: dict[str, int] = {}  # `as_text` is slow, and most texts are there many times
    row = [first.setdefault(value if type(value) is str else as_text(value), len(first)) for value in values]
    different = list(first)
  places: dict[str, int] = {}
  code = np.array([places.setdefault(as_text(value), len(places)) for value in different], int)
  return list(places), code[row]


def as_text(value) -> str:
  """A value as a text that is the same for 1, 1.0 and "1", and for True and "true"; "" if it is missing."""
  if value is None:
    return ""
  if isinstance(value, (bool, np.bool_)):
    return "true" if value else "false"
  if isinstance(value, bytes):
    value = value.decode(errors="replace")
  if isinstance(value, numbers.Real) and float(value).is_integer():
    return str(int(value))
  text = str(value).strip()
  if whole := _WHOLE.fullmatch(text):
    return str(int(whole[1] + whole[2]))
  return "" if text.lower() in _MISSING else text


def _float(text: str) -> float:
  """The number that a text means, NaN if none; truth values are 0 and 1."""
  try:
    return math.nan if "_" in text else float(text)  # Python reads the name "01_02" as the number 102
  except ValueError:
    return {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}.get(text.lower(), math.nan)


def _some(names: Sequence[str]) -> str:
  return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _kinds() -> str:
  return f"The kinds are {', '.join(KINDS)}."
