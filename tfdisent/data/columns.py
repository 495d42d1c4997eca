"""What is known of each property of the images: its kind, the names of its classes, the full turn of an angle.

| kind | in the examples |
|---|---|
| attribute | int64 [N], 0 or 1 |
| category | int64 [N], the place in `Column.class_names` |
| number | float32 [N] |
| color | float32 [N, 3] in [0, 1] |
| angle | float32 [N], in the unit of `Column.turn` |

`tfdisent.data.detect` finds the kinds in a table. A word such as "age:category" forces one.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from tfdisent.errors import ConfigError, DataError, shown

KINDS = ("attribute", "category", "number", "color", "angle")
DISCRETE_KINDS = ("attribute", "category")
Kinds = Mapping[str, str] | Sequence[str]
"""Kinds that are forced: {"age": "category", "azimuth": "angle=360"}, or the words ("age:category", …)."""


@dataclasses.dataclass(frozen=True)
class Column:
  """What is known of one property of the images.

  Attributes:
    name: its name in the examples.
    kind: "attribute", "category", "number", "color" or "angle"; the table above says what its array is.
    class_names: of a category or an attribute, the names in the order of the codes, which is natural: 2 before 10.
    turn: of an angle, a full turn in its unit: 360 for degrees.
    sources: the columns of the table that it was read from, as in ("skin_r", "skin_g", "skin_b").
  """

  name: str
  kind: str
  class_names: tuple[str, ...] = ()
  turn: float = 0.0
  sources: tuple[str, ...] = ()

  @property
  def is_discrete(self) -> bool:
    """Whether its values are classes."""
    return self.kind in DISCRETE_KINDS


def kind_of_classes(names: Sequence[str]) -> str:
  """The kind of a column of classes: two are an attribute."""
  return "attribute" if len(names) == 2 else "category"


class Asked(NamedTuple):
  """What a word such as "azimuth:angle=360" asks for."""

  name: str
  kind: str | None = None
  turn: float = 0.0


def parse(word: str) -> Asked:
  """What "age", "age:category" or "azimuth:angle=360" asks for; without a kind it is None, and is found.

  Raises:
    ConfigError: there is no such kind, or an angle has no full turn; the message names the column.
  """
  name, colon, said = str(word).rpartition(":")
  if not colon:
    return Asked(said.strip())
  name, (kind, equals, turn) = name.strip(), said.strip().partition("=")
  kind = {"colour": "color", "rgb": "color"}.get(kind.strip().lower(), kind.strip().lower())
  if kind not in KINDS or (equals and kind != "angle"):
    kinds = ", ".join(KINDS[:-1])
    raise ConfigError(
      f"{shown(word)}: column '{name}' cannot be of the kind '{said.strip()}': the kinds are {kinds} and "
      f"angle=<a full turn>, as in '{name}:number' or '{name}:angle=360'."
    )
  if kind != "angle":
    return Asked(name, kind)
  try:
    full = float(turn)
  except ValueError:
    full = 0.0
  if not 0 < full < math.inf:
    raise ConfigError(f"column '{name}': an angle needs a full turn in its unit, as in '{name}:angle=360' for degrees.")
  return Asked(name, kind, full)


def asked(kinds: Mapping[str, str] | Sequence[str]) -> dict[str, Asked]:
  """What is asked for each column, by its name, from {"age": "number"} or from ("age:number",)."""
  if isinstance(kinds, Mapping):
    kinds = [f"{name}:{kind}" for name, kind in kinds.items()]
  if not isinstance(kinds, (str, Sequence)):
    raise ConfigError(f"kinds = {shown(kinds)}: write words, as in ('age:number',), or {{'age': 'number'}}.")
  found: dict[str, Asked] = {}
  for of in map(parse, [kinds] if isinstance(kinds, str) else kinds):
    if of != found.setdefault(of.name, of):
      raise ConfigError(f"column '{of.name}' is asked for as '{found[of.name].kind}' and as '{of.kind}': choose one.")
  return found


def check_column(column: Column, values: np.ndarray, what: str) -> None:
  """Raises `DataError` unless an array is what `column` says of it; the message begins with `what`."""
  if column.kind not in KINDS:
    raise DataError(f"{what} has the kind {shown(column.kind)}. The kinds are {', '.join(KINDS)}.")
  shape, dtype = ((3,) if column.kind == "color" else ()), (np.int64 if column.is_discrete else np.float32)
  if values.dtype != dtype or values.shape[1:] != shape:
    raise DataError(
      f"{what} is of the kind '{column.kind}' and must be {np.dtype(dtype)} {['N', *shape]}, not {values.dtype} "
      f"{list(values.shape)}.".replace("'N'", "N")
    )
  if column.is_discrete:
    names = column.class_names
    most = 2 if column.kind == "attribute" else len(names) or math.inf
    if not 0 <= values.min() <= values.max() < most or (column.kind == "attribute" and len(names) not in (0, 2)):
      raise DataError(
        f"{what} is of the kind '{column.kind}' with the class names {names}, and has values from {values.min()} to "
        f"{values.max()}: each must be the place of its name."
      )
  if column.kind == "color" and (values.min() < 0 or values.max() > 1):
    raise DataError(f"{what} has colours from {values.min():.4g} to {values.max():.4g}: they must be in [0, 1].")
  if column.kind == "angle" and not column.turn > 0:
    raise DataError(f"{what} is an angle of turn = {column.turn}: set it to a full turn in its unit.")
