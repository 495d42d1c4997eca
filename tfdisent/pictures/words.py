"""What stands along the edges of pictures: values of features, and of which run and checkpoint a picture is."""

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np

from tfdisent.checkpoints import Checkpoint
from tfdisent.controls import hexadecimal
from tfdisent.feature import convert
from tfdisent.feature.contract import Feature

MOST_PARTS = 6
"""Parts of f that are told in one label."""


def value_words(
  values: np.ndarray, classes: Sequence[str] = (), is_color: bool = False, turn: float = 0.0
) -> list[str]:
  """Each of the values [K] or [K, …] in words: the name of a class, where there are names, or numbers.

      value_words(np.array([[1, 0.5, 0]]), is_color=True)  # ["#ff8000"], which a `Sheet` shows as a colour

  Args:
    values: labels, numbers, colours or angles.
    classes: the names of the classes.
    is_color: whether the values are RGB [K, 3] in [0, 1].
    turn: a full turn, if the values are angles. Radians are told in degrees.
  """
  if is_color:
    return [hexadecimal(value) for value in values]
  if values.dtype.kind in "biu" and values.ndim == 1:
    return [str(classes[value]) if value < len(classes) else str(value) for value in map(int, values)]
  unit, scale = convert.Angle(turn).for_people if turn else ("", 1.0)
  columns = [[word + unit for word in _numbers(column * scale)] for column in values.reshape(len(values), -1).T]
  return [", ".join(words) for words in zip(*columns)]


def _numbers(values: np.ndarray) -> list[str]:
  """Numbers [K] with as many digits as tell eight of them in their range apart."""
  largest = float(np.abs(values).max(initial=0))
  digits = max(0, math.ceil(-math.log10((float(np.ptp(values)) or largest or 1) / 8)))
  if digits > 5 or largest >= 1e7:
    return [f"{value:.3g}" for value in values]
  return [f"{round(float(value), digits) + 0.0:.{digits}f}" for value in values]  # + 0.0: no "-0"


def part_words(part: Feature, f: np.ndarray, classes: Sequence[str] = ()) -> list[str]:
  """Each row of a part's f [K, width] in words: "cat", "yes", "45°", "#ff8000"."""
  form, values = part.natural, np.asarray(part.to_natural(f))
  if isinstance(form, convert.Bit) and tuple(classes) in ((), ("0", "1")) and part.column != "label":
    classes = ("no", "yes")  # of folders that are called 0 and 1, a label is that name
  if isinstance(form, convert.Columns):
    columns = [value_words(values[:, k], turn=getattr(of, "turn", 0.0)) for k, of in enumerate(form.forms)]
    return [", ".join(words) for words in zip(*columns)]
  is_color = isinstance(form, convert.Vector) and form.what == "RGB"
  return value_words(values, classes, is_color, getattr(form, "turn", 0.0))


def feature_words(
  feature: Feature, f: np.ndarray, class_names: Mapping[str, Sequence[str]], parts: Sequence[int] | None = None
) -> list[str]:
  """Each row of f [K, width] in words; where there are several parts, a line for each: "smile: yes\\nhair: #ff8000".

  Args:
    feature: f.
    f: its values.
    class_names: the names of the classes by column.
    parts: the indices of the parts that are told; None for all.
  """
  split, told = feature.split(f), range(len(feature.parts)) if parts is None else parts
  words = [part_words(feature.parts[k], split[k], class_names.get(feature.parts[k].column, ())) for k in told]
  if len(told) > 1:
    names = [feature.part_names[k] for k in told]
    words = [[f"{name}: {word}" for word in of_part] for name, of_part in zip(names, words)]
  if len(words) > MOST_PARTS:
    words = [*words[: MOST_PARTS - 1], [f"and {len(words) - MOST_PARTS + 1} more"] * len(f)]
  return ["\n".join(lines) for lines in zip(*words)]


def names_of(feature: Feature) -> list[str]:
  """What each part is called in a picture; a feature of one part has the name of its column, if that says something."""
  if len(feature.parts) > 1 or feature.parts[0].column in (None, "label"):
    return list(feature.part_names)
  return [feature.parts[0].column]


def listed(names: Sequence[str]) -> str:
  """ "hair", "smile and hair", "smile, age and hair"; of very many the number."""
  if len(names) > 2 * MOST_PARTS:
    return f"{len(names)} features"
  return " and ".join(filter(None, (", ".join(names[:-1]), names[-1])))


def run_words(name: str, checkpoint: Checkpoint | None = None) -> str:
  """The title of a picture: "photos · best checkpoint, after epoch 12"."""
  if checkpoint is None:
    return name
  step = f", step {checkpoint.step} of the next" if checkpoint.step else ""
  return " · ".join(filter(None, (name, f"{checkpoint.kind} checkpoint, after epoch {checkpoint.epoch}{step}")))


def file_name(*words: str) -> str:
  """The name of a picture's file: a column of a table may have a name that no file can have."""
  return "_".join(re.sub(r"[^\w.-]", "_", word) for word in words if word) + ".png"
