"""From names of columns to a feature: an attribute, a category, a number, a colour or an angle, or several at once.

The kind of a column is that of the data set. A kind can be forced, and an angle needs its full turn:

    choose(["smile", "age", "hair"], dataset)
    choose("azimuth:angle=360,object:category", dataset)
"""

import importlib
from collections.abc import Sequence
from typing import Any

from tfdisent.data.columns import parse
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, shown
from tfdisent.feature.contract import Feature
from tfdisent.feature.naming import columns, unknown
from tfdisent.registry import FEATURES

KINDS = {
  "attribute": ("features.attribute", "attribute"),
  "category": ("features.category", "category"),
  "number": ("features.number", "number"),
  "color": ("features.rgb", "rgb"),
  "angle": ("features.pose", "rotation"),
}
"""The module and the registered name of the feature for each kind of column."""
_SAME_VALUES = ({"attribute", "category"}, {"number", "angle"})
"""Kinds of which the examples hold the same values."""


def choose(names: Sequence[str] | str | Feature, dataset: Dataset) -> Feature:
  """The feature of some columns of a data set.

  Args:
    names: names of columns, each with a kind if it is to be forced: "age:category", "azimuth:angle=360". A text may
      have several, with commas. A name that is no column may be that of a registered feature. A feature is given back.
    dataset: tells the kinds of its columns, by `Dataset.columns`, or else by its judges.

  Returns:
    The feature of one column; of several, a composite whose parts have the names of the columns.

  Raises:
    ConfigError: a name or a kind is unknown, or the column holds values of another kind.
  """
  if isinstance(names, Feature):
    return names
  asked = names.split(",") if isinstance(names, str) and names not in dataset.train else names
  asked = [asked] if isinstance(asked, str) else [name.strip() for name in asked]
  if not asked:
    raise ConfigError(f"no feature is named. {unknown('', columns(dataset.train))}")
  chosen = [_of_column(text, dataset, names) for text in asked]
  if len(chosen) == 1:
    return chosen[0][1]
  part_names = [name for column, feature in chosen for name in (feature.part_names if column is None else (column,))]
  if len(set(part_names)) < len(part_names):
    raise ConfigError(f"{', '.join(asked)}: name each feature once.")
  return _made("features.composite", "composite", parts=tuple(part for _, part in chosen), part_names=tuple(part_names))


def _of_column(text: str, dataset: Dataset, names: Sequence[str] | str) -> tuple[str | None, Feature]:
  """A column and its feature; None and a registered feature, if there is no such column; `names` are all of them."""
  name, forced, turn = (text, None, 0.0) if text in dataset.train else parse(text)
  if name not in columns(dataset.train):
    if FEATURES.find(text):
      return None, FEATURES.create(text)
    told = "" if text in ([names] if isinstance(names, str) else names) else f" (features = {shown(names)})"
    raise ConfigError(f"the data set has no column '{name}'{told}. {unknown(name, columns(dataset.train))}")
  found, found_turn = _known(name, dataset)
  kind = forced or found
  if kind is None:
    raise ConfigError(f"the column '{name}' may be of any kind ({', '.join(KINDS)}): say it, as in '{name}:number'.")
  if found and found != kind and not any({kind, found} <= same for same in _SAME_VALUES):
    raise ConfigError(
      f"'{text}': the column '{name}' was read as {found}, and its values are not those of {kind}. Give the kind where "
      "the data is read."
    )
  turn = turn or found_turn
  if kind == "angle" and not turn > 0:
    raise ConfigError(f"'{text}': an angle needs its full turn in the unit of the column, as in '{name}:angle=360'.")
  arguments: dict[str, dict[str, Any]] = {
    "attribute": {"names": (name,)},
    "category": {"column": name, "num_classes": None},
    "number": {"columns": (name,)},
    "color": {"column": name},
    "angle": {"column": name, "turn": turn},
  }
  return name, _made(*KINDS[kind], **arguments[kind])


def _made(module: str, name: str, **arguments) -> Feature:
  importlib.import_module(module)
  return FEATURES.create(name, **arguments)


def _known(name: str, dataset: Dataset) -> tuple[str | None, float]:
  """The kind of a column, None where nothing tells it, and the full turn of an angle."""
  if column := dataset.columns.get(name):
    return column.kind, column.turn
  kinds = {"classifier": "category", "angle": "angle", "number": "number", "color": "color"}
  judges = [judge for judge in dataset.judges if judge.column == name and judge.kind in kinds]
  return (kinds[judges[0].kind], judges[0].turn) if judges else (None, 0.0)
