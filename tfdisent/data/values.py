"""What one cell of a table means: a text, a number, or nothing."""

import math
import numbers
import re
from collections.abc import Iterable

import numpy as np

from tfdisent.errors import DataError

MISSING = frozenset(("", "?", "na", "n/a", "#n/a", "nan", "nat", "<na>", "null"))
"""Texts that stand for a missing value, in any case."""
SPACE = " \t\r\n\xa0"
"""What is cut off at both ends of a cell. Other control characters belong to its value."""
LARGEST = float(np.finfo(np.float32).max)

_WHOLE = re.compile(r"([+-]?)(0|[1-9][0-9]*)(?:\.0*)?")
_TRUTH = {"true": 1.0, "yes": 1.0, "false": 0.0, "no": 0.0}


def as_text(value) -> str:
  """A value as a text that is the same for 1, 1.0 and "1", and for True and "true"; "" if it is missing."""
  if value is None:
    return ""
  if isinstance(value, (bool, np.bool_)):
    return "true" if value else "false"
  if isinstance(value, bytes):
    value = value.decode(errors="replace")
  if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral) and float(value).is_integer():
    value = int(value)
  text = str(value).strip(SPACE)
  if whole := _WHOLE.fullmatch(text):  # not by `int`, which refuses texts of more than 4,300 digits
    return ("-" if whole[1] == "-" and whole[2] != "0" else "") + whole[2]
  return "" if text.lower() in MISSING else text


def as_number(text: str) -> float:
  """The number that a text means, NaN if it is none or infinite as float32; truth values are 0 and 1."""
  try:
    value = math.nan if "_" in text else float(text)  # Python reads the name "01_02" as the number 102
  except ValueError:
    value = _TRUTH.get(text.lower(), math.nan)
  return value if abs(value) <= LARGEST else math.nan


def natural_order(texts: Iterable[str]) -> list[str]:
  """Texts in the order that people expect: by value where all are numbers, else with 2 before 10 within them."""
  texts = list(texts)
  values = {text: as_number(text) for text in texts if text.lower() not in _TRUTH}
  if len(values) == len({*texts}) and all(map(math.isfinite, values.values())):
    return sorted(texts, key=lambda text: (values[text], text))
  return sorted(texts, key=lambda text: (_parts(text), text))


def _parts(text: str) -> list:
  """Words and numbers of a text in turn; a number counts by its digits, of which there may be very many."""
  parts = re.split(r"(\d+)", text)
  return [(len(digits := part.lstrip("0")), digits) if i % 2 else part for i, part in enumerate(parts)]


def printable(name: str) -> str:
  """A name of a class for a message of one line."""
  return name if name.isprintable() else repr(name)[1:-1]


def as_array(values, name: str = "values") -> np.ndarray:
  """A column as an array [N], or [N, K] if its cells are lists of numbers; those must be of one length."""
  if isinstance(values, np.ndarray):
    return values
  values = list(values)
  if values and all(isinstance(value, (list, tuple, np.ndarray)) for value in values):
    try:
      return np.asarray(values)
    except ValueError as error:
      raise DataError(f"column '{name}' has lists of different lengths: give each image as many values.") from error
  array = np.empty(len(values), object)  # `np.asarray` would make texts of numbers that stand beside a text
  for row, value in enumerate(values):
    array[row] = value
  return array


def coded(values: np.ndarray) -> tuple[list[str], np.ndarray]:
  """The different values of a column [N] as texts, and the number of the text for each row, [N]."""
  if values.dtype.kind in "biuf":
    different, row = np.unique(values, return_inverse=True)
  else:
    first: dict[str, int] = {}  # `as_text` is slow, and most texts are there many times
    row = [first.setdefault(value if type(value) is str else as_text(value), len(first)) for value in values]
    different = list(first)
  places: dict[str, int] = {}
  code = np.array([places.setdefault(as_text(value), len(places)) for value in different], int)
  return list(places), code[row]
