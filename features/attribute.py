"""Attributes that an image has or has not, as Bernoulli features: any of CelebA's 40, or any column of 0 and 1."""

import dataclasses
from collections.abc import Sequence

import tensorflow as tf

from tfdisent import DISCRETE, Feature, FeatureError, register_feature
from tfdisent.errors import shown
from tfdisent.feature import convert


@register_feature("attribute")
@dataclasses.dataclass(frozen=True)
class Attribute(Feature):
  """f(x) = the columns `names`, each 0 or 1: `attribute.names = ('Smiling', 'Eyeglasses')`.

  Each attribute is a part: it has its own bit of z2, and is controlled, measured and shown by itself. The natural form
  is 0 or 1, [B], of one attribute, and a dict of these of several.
  """

  names: Sequence[str] = ("Smiling",)

  kind = DISCRETE
  code = "bernoulli"

  def __post_init__(self):
    if isinstance(self.names, str) or not self.names:
      raise FeatureError(f"attribute.names = {shown(self.names)} must be one or more names of columns: ('Smiling',).")
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

  @property
  def natural(self):
    return convert.Bit() if len(self.names) == 1 else convert.Named(self.names, self.parts)

  def of_example(self, example):
    columns = {name: example[name] for name in self.names}
    return tf.constant(self.to_vector(columns if len(self.names) > 1 else columns[self.names[0]]))
