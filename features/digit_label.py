"""The class label of an image as a discrete feature: the digit on MNIST, the garment on Fashion-MNIST."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfdisent import DISCRETE, Feature, FeatureError, register_feature


@register_feature("digit_label")
@dataclasses.dataclass(frozen=True)
class DigitLabel(Feature):
  """f(x) = the label, as a one-hot vector; in its natural form an int label [B] in [0, num_classes).

  A label is not a function of pixels: z2 is trained with L_f1, and read back with q(z̃2 | z1, x̂).
  """

  num_classes: int = 10

  kind = DISCRETE
  column = "label"

  @property
  def width(self) -> int:
    return self.num_classes

  def of_example(self, example):
    return tf.constant(self.to_vector(example[self.column]))

  def to_vector(self, value):
    value = self._array(value)
    if value.ndim != 1 or value.dtype.kind not in "iu":
      raise FeatureError(f"{self.name} takes int labels of shape [B], not {value.dtype} {list(value.shape)}.")
    if value.size and not (value.min() >= 0 and value.max() < self.num_classes):
      raise FeatureError(
        f"{self.name} takes labels from 0 to {self.num_classes - 1} (num_classes = {self.num_classes}), "
        f"and was given {value.min()} to {value.max()}."
      )
    return np.eye(self.num_classes, dtype=np.float32)[value]

  @property
  def served(self):
    return tf.TensorSpec([None], tf.int64)

  def of_served(self, value):
    words = f"labels lie in 0 to {self.num_classes - 1}"
    tf.debugging.assert_non_negative(value, words)
    tf.debugging.assert_less(value, tf.constant(self.num_classes, tf.int64), words)
    return tf.one_hot(value, self.num_classes)

  def to_natural(self, vector):
    return np.argmax(vector, axis=1)
