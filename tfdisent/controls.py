"""What a person can turn on a model: a control for each part of its feature, whoever draws it."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import PIL.ImageColor

from tfdisent.feature import convert
from tfdisent.feature.contract import Feature

MARGIN = 0.1
"""A range that nobody tells is that of some examples, and so much more at each end."""


@dataclasses.dataclass(frozen=True)
class Slider:
  """One number.

  Attributes:
    label: what it is, where a control has several; "" for the name of the control.
    low, high: its range, in `unit`.
    unit: "°", or "" for that of the column.
    scale: how many of `unit` are 1 of the feature's natural form: 180 / π for radians that are shown in degrees.
  """

  label: str
  low: float
  high: float
  unit: str = ""
  scale: float = 1.0

  @property
  def step(self) -> float:
    """A power of ten that divides the range into 100 steps or more."""
    return 10.0 ** math.floor(math.log10((self.high - self.low) / 100))


@dataclasses.dataclass(frozen=True)
class Control:
  """A control for one part of a feature.

  Its value is plain data: the name of a class (`choice`), True or False (`check`), a text "#rrggbb" (`color`), or a
  list with a number for each slider (`numbers`).

  Attributes:
    name: of the part.
    kind: of the value.
    choices: the names of all classes, in the order of their codes.
    sliders: of `numbers`.
  """

  name: str
  kind: Literal["choice", "check", "color", "numbers"]
  choices: tuple[str, ...] = ()
  sliders: tuple[Slider, ...] = ()

  def to_natural(self, value: Any) -> Any:
    """The value of the control in the part's natural form, without a batch axis: 3, 1, [0.5, 0, 1], 1.57."""
    if self.kind == "choice":
      return self.choices.index(str(value))
    if self.kind == "check":
      return int(value)
    if self.kind == "color":
      return [channel / 255 for channel in PIL.ImageColor.getrgb(value)[:3]]
    numbers = [number / slider.scale for number, slider in zip(value, self.sliders)]
    return numbers if self.is_vector else numbers[0]

  def of_natural(self, natural: Any) -> Any:
    """The inverse of `to_natural`; a number comes back within its range."""
    if self.kind == "choice":
      return self.choices[int(natural)]
    if self.kind == "check":
      return bool(natural)
    if self.kind == "color":
      return hexadecimal(natural)
    return [
      float(np.clip(number * slider.scale, slider.low, slider.high))
      for number, slider in zip(np.ravel(natural), self.sliders)
    ]

  @property
  def is_vector(self) -> bool:
    """Whether the natural form has an axis for its numbers."""
    return len(self.sliders) != 1 or bool(self.sliders[0].label)

  def path(self, count: int = 8) -> list[Any]:
    """Natural values from one end to the other: all classes, no and yes, colours around the wheel, or the first number
    in `count` steps while the others stay in the middle of their range.
    """
    if self.kind in ("choice", "check"):
      return list(range(len(self.choices) or 2))
    if self.kind == "color":
      hue = np.arange(count)[:, None] / count + np.array([0, 2 / 3, 1 / 3])
      return list(np.clip(np.abs(6 * (hue % 1) - 3) - 1, 0, 1).tolist())
    first, *others = self.sliders
    middles = [(slider.low + slider.high) / 2 for slider in others]
    return [self.to_natural([number, *middles]) for number in np.linspace(first.low, first.high, count).tolist()]


def hexadecimal(color: Sequence[float]) -> str:
  """RGB in [0, 1] as "#rrggbb"; what is beyond the range comes to its end."""
  return "#" + "".join(f"{round(255 * float(channel)):02x}" for channel in np.clip(color, 0, 1))


def controls_of(
  feature: Feature, class_names: Mapping[str, Sequence[str]] | None = None, examples: np.ndarray | None = None
) -> list[Control]:
  """A control for each part of a feature, in order.

      controls_of(trained.feature, trained.class_names)  # [Control("hair", "choice", ("black", "blond")), …]

  Args:
    feature: f.
    class_names: the names of the classes by column; a class without a name is called by its number.
    examples: values of f, [N, width], which tell the range of numbers that have none of their own; None for -1 to 1.
  """
  columns = feature.split(np.zeros([0, feature.width]) if examples is None else examples)
  parts = zip(feature.part_names, feature.parts, columns)
  return [_control(name, part, (class_names or {}).get(part.column, ()), f) for name, part, f in parts]


def _control(name: str, part: Feature, names: Sequence[str], f: np.ndarray) -> Control:
  form = part.natural
  if isinstance(form, convert.Bit):
    return Control(name, "check")
  if isinstance(form, convert.Classes):
    count = form.num_classes
    return Control(name, "choice", tuple(map(str, names)) if len(names) == count else tuple(map(str, range(count))))
  if isinstance(form, convert.Vector) and form.what == "RGB":
    return Control(name, "color")
  labels = _labels(part, form)
  values = np.asarray(part.to_natural(np.asarray(f, np.float32)), float).reshape(len(f), len(labels))
  forms = form.forms if isinstance(form, convert.Columns) else [form] * len(labels)
  known = [getattr(part, end, ()) for end in ("lowest", "highest")]
  ranges = list(zip(*known)) if all(len(np.ravel(end)) == len(labels) for end in known) else [None] * len(labels)
  sliders = [
    _slider(label, form, given, values[:, k]) for k, (label, form, given) in enumerate(zip(labels, forms, ranges))
  ]
  return Control(name, "numbers", sliders=tuple(sliders))


def _labels(part, form) -> list[str]:
  """A label for each number of a value; "" where a value is one number."""
  if not form.shape:
    return [""]
  count = form.shape[0]
  names = getattr(part, "columns", ())
  return list(names) if len(names) == count else [str(k + 1) for k in range(count)]


def _slider(label: str, form: convert.Form, given: tuple[float, float] | None, values: np.ndarray) -> Slider:
  """The slider of one number, in the range that is given, that its form tells, or that of examples."""
  if isinstance(form, convert.Angle):
    unit, scale = form.for_people
    half = form.turn / 2 * scale
    return Slider(label, -half, half, unit, scale)
  if given:
    return Slider(label, *map(float, given))
  if isinstance(form, convert.Linear):
    return Slider(label, form.lowest, form.highest)
  if form.low is not None and form.high is not None:
    return Slider(label, float(form.low), float(form.high))
  if len(values) and np.ptp(values):
    margin = MARGIN * float(np.ptp(values))
    return Slider(label, float(values.min()) - margin, float(values.max()) + margin)
  return Slider(label, -1.0, 1.0)
