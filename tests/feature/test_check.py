"""`check_feature`: it passes the features of this repository, and names what is broken in ten that are."""

import dataclasses
from typing import ClassVar

import numpy as np
import pytest
import tensorflow as tf

from features.category import Category
from features.color import Color
from features.digit_label import DigitLabel
from features.pose import Pose
from tfdisent import CONTINUOUS, DISCRETE, Feature
from tfdisent.errors import FeatureError
from tfdisent.feature.check import check_feature
from tfdisent.registry import FEATURES


@pytest.fixture(scope="module")
def examples(digits):
  return {name: column[:16] for name, column in digits.train.items()}


@pytest.mark.parametrize("feature", [Color(), DigitLabel(), Category(), Pose(), Pose(roundness=0.2)], ids=repr)
def test_our_features_pass(feature, examples):
  check_feature(feature, examples)


def test_images_alone_are_enough_for_a_feature_of_pixels(examples):
  check_feature(Color(), examples["image"])
  check_feature(Color(), np.float32(examples["image"] / 255))


@dataclasses.dataclass(frozen=True)
class Brightness(Feature):
  """f(x) = the mean of the pixels: keeps the contract. What is broken below is broken by one change to it."""

  kind = CONTINUOUS
  width = 1

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])[:, None]


class WrongWidth(Brightness):
  width = 2


class NotANumber(Brightness):
  def of_image(self, image):
    return tf.math.log(tf.reduce_mean(image[:, :3, :3], [1, 2, 3]) * 0)[:, None] * 0


class NotDeterministic(Brightness):
  def of_image(self, image):
    return super().of_image(image) + 0.1 * tf.random.uniform([len(image), 1])


class NoGradient(Brightness):
  def of_image(self, image):
    return tf.stop_gradient(super().of_image(image))


class WrongGradient(Brightness):
  def of_image(self, image):
    value = super().of_image(image)
    return 3 * value - tf.stop_gradient(2 * value)


class ChangesItsInput(Brightness):
  def of_example(self, example):
    example["image"] = 1 - example["image"]
    return self.of_image(example["image"])


class ChangesAColumn(Brightness):
  def of_example(self, example):
    example["color"][:] = 0
    return self.of_image(example["image"])


class DependsOnTheBatch(Brightness):
  def of_image(self, image):
    value = super().of_image(image)
    return value - tf.reduce_mean(value)


class WrongDtype(Brightness):
  def of_image(self, image):
    return tf.cast(super().of_image(image), tf.float64)


class OutOfRange(Brightness):
  def of_image(self, image):
    return 255 * super().of_image(image)

  def to_vector(self, value):
    value = super().to_vector(value)
    if value.max() > 1:
      raise FeatureError(f"a brightness lies in [0, 1], and not at {value.max()}.")
    return value


class CutOff(Brightness):
  def to_natural(self, vector):
    return np.clip(vector, 0, 0.01)


class LiesAboutBeingDiscrete(Brightness):
  kind = DISCRETE


class NanOnBlack(Brightness):
  def of_image(self, image):
    return (tf.reduce_sum(image[..., 0], [1, 2]) / tf.reduce_sum(image, [1, 2, 3]))[:, None]


class FailsOnNothing(Brightness):
  def of_image(self, image):
    return tf.concat([tf.reduce_mean(one, [1, 2, 3]) for one in tf.split(image, len(image))], 0)[:, None]


class NotStored(Brightness):
  """Its factor is no field, so it is lost."""

  factors: ClassVar[list] = [2.0, 1.0]

  def __init__(self):
    object.__setattr__(self, "factor", self.factors.pop(0) if self.factors else 1.0)

  def of_image(self, image):
    return self.factor * super().of_image(image)


class WithoutAxis(Brightness):
  def of_example(self, example):
    return super().of_image(example["image"])

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])


class NanGradientOnWhite(Brightness):
  def of_image(self, image):
    return tf.sqrt(1 - super().of_image(image))


class NothingIsOne(Brightness):
  def of_example(self, example):
    value = self.of_image(example["image"])
    return value if len(value) else tf.zeros([1, 1])


class NotRegistered(Brightness):
  def get_config(self):
    return {**super().get_config(), "name": "nobody"}


class NoKind(Brightness):
  kind = "ordinal"


class NoWidth(Brightness):
  width = 0


@pytest.mark.parametrize(
  ("broken", "message"),
  [
    (WrongWidth, "says width 2 and gave values of shape"),
    (NotANumber, "is NaN or infinite for 16 examples"),
    (NotDeterministic, "is not deterministic"),
    (NoGradient, "has no gradient"),
    (WrongGradient, "has a wrong gradient: along it, f changes 0.333 times as fast"),
    (ChangesItsInput, "changes the examples that it is given"),
    (ChangesAColumn, "changes the examples that it is given"),
    (DependsOnTheBatch, "depends on the batch"),
    (WrongDtype, "gives float64: it must be float32"),
    (OutOfRange, "out of the range that its own `to_vector` takes"),
    (CutOff, "out of the range of its natural form"),
    (LiesAboutBeingDiscrete, "says it is discrete, but its values are not all 0 or 1"),
    (NanOnBlack, "is NaN or infinite on a black image"),
    (FailsOnNothing, "fails on an empty batch"),
    (NotStored, "made again from its configuration, gives other values"),
    (WithoutAxis, "'WithoutAxis' says width 1, and its `of_image` gives values of shape [2] for 2 images"),
    (NanGradientOnWhite, "has a gradient with NaN or infinity on a white image"),
    (NothingIsOne, "gives values of shape [1, 1] for an empty batch, not [0, 1]"),
    (NotRegistered, "cannot be made again from its configuration (unknown feature 'nobody'"),
    (NoKind, "NoKind.kind is 'ordinal': set it to 'discrete' or 'continuous'"),
    (NoWidth, "NoWidth.width is 0: set it to the number of components of f(x), at least 1"),
  ],
  ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_broken_is_named(broken, message, examples):
  with FEATURES.temporary():
    FEATURES._entries[broken.__name__] = broken
    with pytest.raises(FeatureError) as error:
      check_feature(broken(), {name: np.array(column) for name, column in examples.items()})
  assert message in str(error.value)


def test_what_is_whole_passes(examples):
  with FEATURES.temporary():
    FEATURES._entries["Brightness"] = Brightness
    check_feature(Brightness(), examples)
