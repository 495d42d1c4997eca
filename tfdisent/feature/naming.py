"""Names in place of numbers: classes by their names, columns by theirs, and what was meant where a name is unknown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from tfdisent.data.dataset import Dataset, Examples
from tfdisent.errors import FeatureError, shown
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.registry import did_you_mean


def unknown(name: object, known: Iterable[str]) -> str:
  """The end of a message about a name that is unknown: what was meant, and what there is.

  unknown("blnod", ("black", "blond"))  # "Did you mean 'blond'? There are: black, blond."
  """
  known = list(map(str, known))
  return f"{did_you_mean(name, known)}There are: {', '.join(known) or 'none'}."


def check_column(dataset: Dataset, column: str, what: str) -> None:
  """Raises `FeatureError` unless a data set has the column; the message says that `what` reads it."""
  if column not in columns(dataset.train):
    raise FeatureError(
      f"{what} reads the column '{column}', which '{dataset.name}' lacks. {unknown(column, columns(dataset.train))}"
    )


def columns(examples: Examples) -> list[str]:
  """The columns that a feature may read, in order: all but the images."""
  return sorted(set(examples) - {"image"})


def natural_values(
  feature: Feature, value: Any, class_names: Mapping[str, Sequence[str]] | None = None, count: int | None = None
) -> Any:
  """What a user asks of f, as `Feature.to_vector` takes it: codes for names of classes, and arrays of one length.

      natural_values(feature, {"hair": "blond", "age": 60}, {"hair": ("black", "blond")}, 2)
      # {"hair": [1, 1], "age": [60, 60]}

  Args:
    feature: f.
    value: f in its natural form. Classes may be given by their names. One value stands for all images. Of several parts
      it may name some alone. A feature of one part takes a dict as well, {"age": 60}, of its name or its column. An
      empty list is no images, and {} names nothing.
    class_names: the names of the classes by column, in the order of the codes.
    count: the number of images; None for the length of the arrays in `value`, or 1 if there is none.

  Returns:
    The value; what is not understood is left as it is, for `to_vector` to refuse.

  Raises:
    FeatureError: a class or a part has another name, or a class another number; the message lists those that there are.
  """
  parts, is_one = dict(zip(feature.part_names, feature.parts)), len(feature.parts) == 1
  if is_one:
    (name,), (part,) = parts, feature.parts
    if isinstance(value, Mapping):
      if not value:
        return value
      known = list(dict.fromkeys(filter(None, (part.column, name))))
      if wrong := [given for given in value if given not in known]:
        raise FeatureError(f"the feature has no part {shown(wrong[0])}. {unknown(wrong[0], known)}")
      if len(value) > 1:
        raise FeatureError(f"{' and '.join(map(repr, value))} are the same part of the feature: give one of them.")
      (value,) = value.values()
    value = {name: value}
  elif not isinstance(value, Mapping):
    return value
  for name in value:
    if name not in parts:
      raise FeatureError(f"the feature has no part {shown(name)}. {unknown(name, parts)}")
  value = {name: _codes(parts[name], name, of_part, class_names or {}) for name, of_part in value.items()}
  if count is None:
    count = next((len(of_part) for name, of_part in value.items() if not _is_one(parts[name], of_part)), 1)
  value = {
    name: np.broadcast_to(of_part, (count, *np.shape(of_part))) if _is_one(parts[name], of_part) else of_part
    for name, of_part in value.items()
  }
  return next(iter(value.values())) if is_one else value


def _codes(part: Feature, part_name: str, value: Any, class_names: Mapping[str, Sequence[str]]) -> Any:
  """The codes of classes, where `value` has their names; raises `FeatureError` for a name or a code of no class."""
  names = list(class_names.get(part.column, ()))
  if part.kind != DISCRETE or not names:
    return value
  given = np.asarray(value, object)
  codes = [one for one in given.flat if isinstance(one, (int, np.integer))]
  if wrong := next((code for code in codes if not 0 <= code < len(names)), None):
    listed = ", ".join(f"{code} ({name})" for code, name in enumerate(names))
    as_text = f" Ask for class '{wrong}' as a text." if str(wrong) in names else ""
    raise FeatureError(f"'{part_name}' has no class {wrong}. There are: {listed}.{as_text}")
  if not given.size or not all(isinstance(one, str) for one in given.flat):
    return value
  if wrong := next((one for one in given.flat if one not in names), None):
    raise FeatureError(f"'{part_name}' has no class '{wrong}'. {unknown(wrong, names)}")
  return np.array([names.index(one) for one in given.flat], np.int64).reshape(given.shape)


def _is_one(part: Feature, value: Any) -> bool:
  """Whether `value` is that of one image, and has no batch axis."""
  try:
    return np.ndim(value) == part.served.shape.rank - 1 and np.shape(value) != (0,)
  except ValueError:  # NumPy makes no array of it, and `to_vector` says so
    return False
