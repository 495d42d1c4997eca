"""A colour that a column tells, as a continuous feature: of skin, of hair, of a coat."""

import dataclasses

import tensorflow as tf

from tfdisent import CONTINUOUS, LearnedFeature, register_feature
from tfdisent.feature import convert


@register_feature("rgb")
@dataclasses.dataclass(frozen=True)
class Rgb(LearnedFeature):
  """f(x) = the RGB in `column`; of an image, what a fitted network reads in its pixels.

  The natural form is RGB [B, 3] in [0, 1]. The colour of ink on a black ground is `color`, which is measured instead.

  Attributes:
    column: the column that holds the colour, [N, 3] in [0, 1].
  """

  column: str = "color"

  kind = CONTINUOUS
  width = 3

  @property
  def natural(self):
    return convert.Vector(3, low=0, high=1, what="RGB")

  def known(self, example):
    return tf.constant(self.to_vector(example[self.column]))
