"""f(x) of real examples: what a plug-in whose values or gradient break the contract is told."""

import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.digit_label import DigitLabel
from features.pose import Pose
from tests.feature.test_contract import Brightness, Nothing, OnTheCircle, gray
from tfdisent.errors import FeatureError
from tfdisent.feature.values import check_gradient, feature_values


class TooWide(Brightness):
  width = 2


class WithoutAxis(Brightness):
  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])


class OfTheWholeBatch(Brightness):
  def of_image(self, image):
    return tf.reduce_mean(image)[None, None]


class LogBrightness(Brightness):
  def of_image(self, image):
    return tf.math.log(super().of_image(image))


class RootOfBrightnessMinusAHalf(Brightness):
  def of_image(self, image):
    return tf.sqrt(super().of_image(image) - 0.5)


class WrongInPixelsAlone(Brightness):
  """Its f(x) of examples is right, that of pixels has no axis for the width."""

  def of_example(self, example):
    return super().of_image(example["image"])

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])


class Seven(Brightness):
  def of_image(self, image):
    return tf.fill([tf.shape(image)[0], 1], 7.0)


class DiscreteBrightness(Brightness):
  kind = "discrete"


class Bright(Brightness):
  kind = "discrete"

  def of_image(self, image):
    return tf.round(super().of_image(image))


class OfAnimal(Brightness):
  def of_example(self, example):
    return example["animal"][:, None]


class Complaining(Brightness):
  def of_image(self, image):
    raise FeatureError("only for landscapes")


def test_values_are_those_of_every_example_in_order_whatever_the_batch_size():
  examples = gray(*range(0, 255, 51))
  for batch_size in (2, 5, 512):
    values = feature_values(Brightness(), examples, batch_size)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, [[0.0], [0.2], [0.4], [0.6], [0.8]], rtol=1e-6)


def test_values_see_the_other_columns_as_stored():
  examples = {**gray(0, 0), "animal": np.array([1.5, -2.0], np.float32)}
  np.testing.assert_array_equal(feature_values(OfAnimal(), examples), [[1.5], [-2.0]])


def test_a_discrete_feature_of_zeros_and_ones_is_accepted():
  np.testing.assert_array_equal(feature_values(Bright(), gray(0, 255)), [[0], [1]])


@pytest.mark.parametrize(
  ("feature", "words"),
  [
    (TooWide(), r"'TooWide' says width 2 .*\[3, 1\].*expected \[3, 2\]"),
    (WithoutAxis(), r"'WithoutAxis' says width 1 .*\[3\].*expected \[3, 1\]"),
    (OfTheWholeBatch(), r"'OfTheWholeBatch' .*\[1, 1\].*expected \[3, 1\]"),
    (LogBrightness(), "'LogBrightness' is NaN or infinite for 1 examples, the first of them number 1"),
    (RootOfBrightnessMinusAHalf(), "'RootOfBrightnessMinusAHalf' is NaN or infinite for 2 examples, .* number 0"),
    (Seven(), r"'Seven' has the same value, \[7.0\], for all 3 examples"),
    (DiscreteBrightness(), "'DiscreteBrightness' says it is discrete, but its values are not all 0 or 1"),
    (OfAnimal(), "'OfAnimal' needs the column 'animal' and the data set has image"),
    (Nothing(), "'Nothing' cannot be computed from pixels"),
    (Complaining(), "^only for landscapes"),
  ],
)
def test_a_feature_that_breaks_the_contract_is_named_with_what_is_wrong(feature, words):
  with pytest.raises(FeatureError, match=words):
    feature_values(feature, gray(102, 0, 255))


def test_a_single_example_is_not_a_constant_feature():
  np.testing.assert_array_equal(feature_values(Seven(), gray(0)), [[7.0]])


@pytest.mark.parametrize(("label", "words"), [([0, 10], "given 0 to 10"), ([0, -1], "given -1 to 0")])
def test_labels_out_of_range_are_refused(label, words):
  with pytest.raises(FeatureError, match=f"digit_label takes labels from 0 to 9 .*{words}"):
    feature_values(DigitLabel(), {**gray(0, 255), "label": np.array(label)})


@pytest.mark.parametrize("feature", [Color(), Pose()])
def test_l_f2_accepts_features_with_a_gradient(feature, few_digits):
  check_gradient(feature, few_digits.train["image"][:8].astype(np.float32) / 255)


def test_l_f2_accepts_a_feature_of_unit_length():
  check_gradient(OnTheCircle(), np.linspace(0, 1, 2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3))


@pytest.mark.parametrize(
  ("feature", "words"),
  [
    (DigitLabel(), "'digit_label' cannot be used with L_f2: it is not computed from pixels.* Use L_f1"),
    (Bright(), "'Bright' has no gradient.* or use L_f1"),
    (Seven(), "'Seven' has no gradient"),
    (RootOfBrightnessMinusAHalf(), "'RootOfBrightnessMinusAHalf' has a gradient with NaN or infinity"),
  ],
)
def test_l_f2_refuses_a_feature_without_a_finite_gradient(feature, words):
  with pytest.raises(FeatureError, match=words):
    check_gradient(feature, np.full([2, 4, 4, 3], 0.25, np.float32))


def test_l_f2_refuses_values_of_pixels_that_would_spread_over_the_batch():
  """[B] minus [B, 1] is [B, B], whose mean is no distance of anything."""
  feature, image = WrongInPixelsAlone(), np.float32(gray(0, 51, 255)["image"] / 255)
  f = feature_values(feature, gray(0, 51, 255))  # as it should be
  words = r"'WrongInPixelsAlone' says width 1, .*`of_image` .*shape \[3\] for 3 images; expected \[3, 1\]"
  with pytest.raises(FeatureError, match=words):
    feature.loss_f2(tf.constant(image), tf.constant(f))
  with pytest.raises(FeatureError, match=words):
    tf.function(feature.loss_f2).get_concrete_function(tf.constant(image), tf.constant(f))
  with pytest.raises(FeatureError, match=words):
    check_gradient(feature, image)
  with pytest.raises(FeatureError, match=r"'OfTheWholeBatch' .*shape \[1, 1\] .*expected \[3, 1\]"):
    check_gradient(OfTheWholeBatch(), image)
  np.testing.assert_allclose(Brightness().loss_f2(tf.constant(image), tf.constant(f)), [0, 0, 0], atol=1e-12)
  np.testing.assert_allclose(
    Brightness().loss_f2(tf.constant(image), f + np.float32([[0.5], [1], [2]])), [0.25, 1, 4], rtol=1e-5
  )


@pytest.mark.parametrize(
  ("gives", "words"),
  [
    (lambda example: object(), r"'Gives' gave a object, not float32 \[B, 1\]"),
    (lambda example: 1 / 0, "'Gives' cannot be computed: division by zero"),
    (lambda example: example["image"][:2, 0, 0, :1], r"shape \[2, 1\] for 3 examples; expected \[3, 1\]"),
  ],
)
def test_what_a_plug_in_gives_is_a_vector_of_every_example(gives, words):
  class Gives(Brightness):
    def of_example(self, example):
      return gives(example)

  with pytest.raises(FeatureError, match=words):
    feature_values(Gives(), gray(102, 0, 255))


def test_l_f2_refuses_a_gradient_that_is_zero_everywhere():
  class Saturated(Brightness):
    def of_image(self, image):
      return tf.nn.relu(super().of_image(image) - 1)

  with pytest.raises(FeatureError, match="'Saturated' has a gradient of zero"):
    check_gradient(Saturated(), np.full([2, 4, 4, 3], 0.25, np.float32))
