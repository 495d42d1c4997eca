"""A column of classes as a discrete feature: the folder of an image, an object's name in a table."""

import dataclasses

import tensorflow as tf

from tfdisent import DISCRETE, Feature, register_feature
from tfdisent.feature import convert


@register_feature("category")
@dataclasses.dataclass(frozen=True)
class Category(Feature):
  """f(x) = the class in `column`, as a one-hot vector; in its natural form an int [B] in [0, num_classes).

  A class is not a function of pixels here: z2 is trained with L_f1, and read back with q(z̃2 | z1, x̂).
  """

  num_classes: int = 10
  column: str = "label"

  kind = DISCRETE

  @property
  def width(self) -> int:
    return self.num_classes

  @property
  def natural(self):
    return convert.Classes(self.num_classes)

  def of_example(self, example):
    return tf.constant(self.to_vector(example[self.column]))
