"""Attributes that an image has or has not, as Bernoulli features: any of CelebA's 40, any column of 0 and 1."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfdisent import DISCRETE, Feature, FeatureError, register_feature


@register_feature("attribute")
@dataclasses.dataclass(frozen=True)
class Attribute(Feature):
  """f(x) = the columns `names`, each 0 or 1; in its natural form an int [B] of one attribute, a dict of several.

  `attribute.names = ('Smiling', 'Eyeglasses')`. Each is a part of its own: it has its own bit of z2, and is controlled,
  measured and shown apart.
  """

  names: Sequence[str] = ("Smiling",)

  kind = DISCRETE
  code = "bernoulli"

  def __post_init__(self):
    if isinstance(self.names, str) or not self.names:
      raise FeatureError(f"attribute.names = {self.names!r} must be one or more names of columns: ('Smiling',).")
    object.__setattr__(self, "names", tuple(self.names))  # a list, where it was read from a file

  @property
  def width(self) -> int:
    return len(self.names)

  @property
  def column(self) -> str | None:
    return self.names[0] if len(self.names) == 1 else None

  @property
  def parts(self):
    return (self,) if len(self.names) == 1 else tuple(Attribute((name,)) for name in self.names)

  @property
  def part_names(self):
    return tuple(self.names)

  def of_example(self, example):
    return tf.constant(np.stack([self._bits(example[name]) for name in self.names], 1))

  def to_vector(self, value):
    if isinstance(value, dict):
      if set(value) != set(self.names):
        raise FeatureError(f"{self.name} takes a dict of {', '.join(self.names)}, not of {', '.join(value)}.")
      return np.stack([self._bits(value[name]) for name in self.names], 1)
    if len(self.names) > 1:
      raise FeatureError(f"{self.name} takes a dict of {', '.join(self.names)}, not {type(value).__name__}.")
    return self._bits(value)[:, None]

  @property
  def served(self):
    return tf.TensorSpec([None], tf.int64)  # of one: several are parts

  def of_served(self, value):
    words = "an attribute is 0 or 1"
    tf.debugging.assert_non_negative(value, words)
    tf.debugging.assert_less(value, tf.constant(2, tf.int64), words)
    return tf.cast(value, tf.float32)[:, None]

  def to_natural(self, vector):
    values = {name: np.asarray(vector)[:, i].astype(int) for i, name in enumerate(self.names)}
    return values if len(self.names) > 1 else values[self.names[0]]

  def _bits(self, value):
    value = self._array(value)
    if value.ndim != 1 or not np.isin(value, (0, 1)).all():
      raise FeatureError(f"{self.name} takes 0 or 1 of shape [B], not {value.dtype} {list(value.shape)}.")
    return value.astype(np.float32)
