"""Natural forms of f(x): what a user gives and gets, such as labels [B], angles [B] or colours [B, 3].

A form is described once, for NumPy and for graphs: the dtype and the shape of one value, its range, and `convert`,
which makes vectors [B, width] of values [B, ...] with the operations of either. A feature says which form it has:

    @property
    def natural(self):
      return convert.Angle(turn=360.0)

| form      | a value                                       | its vector                                |
|-----------|-----------------------------------------------|-------------------------------------------|
| `Vector`  | float32 [width], in a range if there is one   | the value itself                          |
| `Classes` | an integer in [0, num_classes)                | one-hot                                   |
| `Bit`     | 0 or 1                                        | the value itself, [1]                     |
| `Angle`   | float32, of any turn                          | (cos θ, sin θ)                            |
| `Linear`  | float32                                       | [1]: `lowest` becomes -1, `highest` 1     |
| `Columns` | float32 [K], one number for each of K forms   | the vectors of the forms, side by side    |
| `Named`   | a dict of the values of named features        | the vectors of the features, side by side |
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdisent.errors import FeatureError
from tfdisent.feature.form import Form, as_array


@dataclasses.dataclass(frozen=True)
class Vector(Form):
  """float32 [B, width], the vector itself. It comes back within the range, if there is one."""

  width: int
  low: float | None = None
  high: float | None = None
  what: str = "values"

  subject = "feature '{}'"

  @property
  def shape(self):
    return (self.width,)

  def convert(self, value, xp):
    return value

  def to_natural(self, vector):
    return np.asarray(vector) if self.low is None else np.clip(vector, self.low, self.high)


class _Whole(Form):
  """Integers [B] from 0 on."""

  dtype = np.int64
  low = 0

  def _array(self, value, name):
    value = self._if_empty(as_array(value, name))  # without a dtype: 1.5 would become 1
    if not self._is_batch(value) or not self._is_whole(value):
      raise FeatureError(f"{name} takes {self._taken}, not {value.dtype} {list(value.shape)}.")
    return value

  def _is_whole(self, value):
    return value.dtype.kind in "iu"


@dataclasses.dataclass(frozen=True)
class Classes(_Whole):
  """int [B] in [0, num_classes), as one-hot vectors."""

  num_classes: int

  what = "int labels"

  @property
  def width(self):
    return self.num_classes

  @property
  def high(self):
    return self.num_classes - 1

  def convert(self, value, xp):
    is_class = xp.equal(value[:, None], np.arange(self.num_classes))
    return xp.where(is_class, np.float32(1), np.float32(0))

  def to_natural(self, vector):
    return np.argmax(vector, axis=1)

  @property
  def _taken_range(self):
    return f"labels from 0 to {self.high} (num_classes = {self.num_classes})"

  @property
  def _rule(self):
    return f"labels lie in 0 to {self.high}"


@dataclasses.dataclass(frozen=True)
class Bit(_Whole):
  """0 or 1, [B], of any dtype in NumPy; its vector is [B, 1]."""

  width = 1
  high = 1
  what = "0 or 1"
  _rule = "an attribute is 0 or 1"

  def convert(self, value, xp):
    return xp.where(xp.equal(value[:, None], 1), np.float32(1), np.float32(0))

  def to_natural(self, vector):
    return np.asarray(vector)[:, 0].astype(int)

  def _is_whole(self, value):
    return np.isin(value, (0, 1)).all()


@dataclasses.dataclass(frozen=True)
class Angle(Form):
  """An angle θ [B] of any turn, as (cos θ, sin θ); it comes back in (-turn/2, turn/2].

  Attributes:
    turn: a full turn: 2π in radians, 360 in degrees.
    what: the angles are called in messages.
  """

  turn: float = 2 * math.pi
  what: str = "angles"

  width = 2

  @property
  def for_people(self) -> tuple[str, float]:
    """The unit in which people are told it, and how many of that unit are 1: ("°", 180 / π) of radians."""
    if math.isclose(self.turn / math.pi, round(self.turn / math.pi)):
      return "°", 180 / math.pi
    return ("°" if self.turn % 90 == 0 else ""), 1.0

  def convert(self, value, xp):
    theta = value * np.float32(2 * math.pi / self.turn)
    return xp.stack([xp.cos(theta), xp.sin(theta)], axis=1)

  def to_natural(self, vector):
    cos, sin = np.float32(vector).T
    theta = np.arctan2(sin, cos)
    theta = np.where(theta < 1e-6 - np.pi, np.pi, theta)  # in float32, the sine of π is a little below 0
    return theta * np.float32(self.turn / (2 * math.pi))


@dataclasses.dataclass(frozen=True)
class Linear(Form):
  """A number [B], of which `lowest` becomes -1 and `highest` 1, [B, 1]. Numbers beyond them are taken as well."""

  lowest: float
  highest: float

  width = 1

  def convert(self, value, xp):
    return (2 * (value - self.lowest) / (self.highest - self.lowest) - 1)[:, None]

  def to_natural(self, vector):
    return self.lowest + (vector[:, 0] + 1) / 2 * (self.highest - self.lowest)


@dataclasses.dataclass(frozen=True)
class Columns(Form):
  """Numbers [B, K], the column k of which has the form `forms[k]`.

  Attributes:
    forms: each of one number, without a range.
    what: the columns are called in messages.
  """

  forms: Sequence[Form]
  what: str = "values"

  @property
  def shape(self):
    return (len(self.forms),)

  @property
  def width(self):
    return sum(form.width for form in self.forms)

  def convert(self, value, xp):
    concat = np.concatenate if xp is np else tf.concat
    return concat([form.convert(value[:, k], xp) for k, form in enumerate(self.forms)], 1)

  def to_natural(self, vector):
    return np.stack([form.to_natural(part) for form, part in zip(self.forms, split(vector, self.forms))], axis=1)

  @property
  def _taken(self):
    return f"{self.what}, [B, {len(self.forms)}]"


@dataclasses.dataclass(frozen=True)
class Named(Form):
  """A dict of what each of several features takes, {"digit_label": [B], "color": [B, 3]}, all of one length.

  Attributes:
    names: the keys, in the order of the vectors.
    features: one for each name. Their own methods convert, since a plug-in may override them.
  """

  names: Sequence[str]
  features: Sequence[Any]

  @property
  def width(self):
    return sum(feature.width for feature in self.features)

  def to_vector(self, value, name):
    names = ", ".join(self.names)
    if (isinstance(value, (list, tuple)) and not value) or (isinstance(value, np.ndarray) and value.shape[:1] == (0,)):
      value = dict.fromkeys(self.names, value)
    if not isinstance(value, Mapping):
      raise FeatureError(f"{name} takes a dict of {names}, not {type(value).__name__}.")
    if set(value) != set(self.names):
      raise FeatureError(f"{name} takes a dict of {names}, not of {', '.join(map(str, value)) or 'nothing'}.")
    vectors = [feature.to_vector(value[key]) for key, feature in zip(self.names, self.features)]
    if len({len(vector) for vector in vectors}) > 1:
      lengths = ", ".join(f"{len(vector)} of {key}" for key, vector in zip(self.names, vectors))
      raise FeatureError(f"{name} was given {lengths}: they must be of the same length.")
    return np.concatenate(vectors, 1)

  def to_natural(self, vector):
    parts = zip(self.names, self.features, split(vector, self.features))
    return {key: feature.to_natural(part) for key, feature, part in parts}

  @property
  def served(self):
    return {key: feature.served for key, feature in zip(self.names, self.features)}

  def of_served(self, value):
    return tf.concat([feature.of_served(value[key]) for key, feature in zip(self.names, self.features)], 1)


def split(vector, parts: Sequence) -> list:
  """Vectors [B, W], an array or a tensor, as a list of [B, part.width]: the widths of `parts` add up to W."""
  ends = np.cumsum([part.width for part in parts])
  return [vector[:, end - part.width : end] for part, end in zip(parts, ends)]
