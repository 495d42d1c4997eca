"""The contract of a feature: what a plug-in that breaks it is told, and that it survives a config."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from features.pose import Pose
from tfdisent.errors import FeatureError, RegistryError
from tfdisent.feature import convert
from tfdisent.feature.contract import Feature, check_gradient, feature_from_config, feature_values
from tfdisent.registry import FEATURES


@dataclasses.dataclass(frozen=True)
class Brightness(Feature):
  """A sound feature; those below break the contract in one point each."""

  kind = "continuous"
  width = 1

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])[:, None]


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


class Nothing(Feature):
  kind = "continuous"
  width = 1


class Complaining(Brightness):
  def of_image(self, image):
    raise FeatureError("only for landscapes")


class OnTheCircle(Feature):
  """(cos, sin) of the brightness: of length 1, so that the gradient of ‖f‖² is zero."""

  kind = "continuous"
  width = 2

  def of_image(self, image):
    angle = tf.reduce_mean(image, [1, 2, 3])
    return tf.stack([tf.cos(angle), tf.sin(angle)], axis=1)


def gray(*levels):
  """Plain images of these grey levels (0 to 255)."""
  return {"image": np.broadcast_to(np.array(levels, np.uint8)[:, None, None, None], (len(levels), 4, 4, 3))}


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


class WrongInPixelsAlone(Brightness):
  """Its f(x) of examples is right, that of pixels has no axis for the width."""

  def of_example(self, example):
    return super().of_image(example["image"])

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])


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


def test_a_part_is_a_slice_of_the_vector():
  f = Composite((DigitLabel(num_classes=3), Color()))
  vector = np.arange(12).reshape(2, 6)
  first, second = f.split(vector)
  np.testing.assert_array_equal(first, [[0, 1, 2], [6, 7, 8]])
  np.testing.assert_array_equal(second, [[3, 4, 5], [9, 10, 11]])
  (whole,) = Color().split(vector[:, :3])
  np.testing.assert_array_equal(whole, vector[:, :3])


def test_what_a_feature_says_of_itself_unless_it_knows_better():
  f = Brightness()
  assert (f.name, f.parts, f.part_names, f.weights, f.adversary_weights) == (
    "Brightness",
    (f,),
    ("Brightness",),
    (1,),
    (1,),
  )
  assert (f.networks, f.column, f.code, f.unit, f.as_known) == ({}, None, "one_hot", "", f)
  assert f.build((4, 4, 3)) is None and f.check_fitted() is None and f.has_pixels
  assert f.of_dataset(None) is f
  assert f.served == tf.TensorSpec([None, 1], tf.float32)
  np.testing.assert_array_equal(f.of_served(tf.constant([[0.5]])), [[0.5]])
  np.testing.assert_allclose(
    OnTheCircle().error(np.array([[1.0, 2.0], [0, 0]]), np.array([[0.0, 0.0], [0, -3]])), [1.5] * 2
  )
  assert f.get_config() == {"module": __name__, "name": "Brightness", "arguments": {}}


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


def test_what_is_no_array_of_numbers_is_refused():
  with pytest.raises(FeatureError, match="'Brightness' takes an array of numbers, not a str"):
    Brightness().to_vector("bright")
  with pytest.raises(FeatureError, match="'Brightness' was given NaN or infinite"):
    Brightness().to_vector([[np.inf]])


def test_l_f2_refuses_a_gradient_that_is_zero_everywhere():
  class Saturated(Brightness):
    def of_image(self, image):
      return tf.nn.relu(super().of_image(image) - 1)

  with pytest.raises(FeatureError, match="'Saturated' has a gradient of zero"):
    check_gradient(Saturated(), np.full([2, 4, 4, 3], 0.25, np.float32))


def test_a_feature_without_of_image_has_no_pixels():
  assert Color().has_pixels and not DigitLabel().has_pixels
  with pytest.raises(FeatureError, match="'digit_label' cannot be computed from pixels"):
    DigitLabel().of_image(tf.zeros([1, 4, 4, 3]))


def test_the_natural_form_is_the_vector_unless_the_feature_says_otherwise():
  np.testing.assert_array_equal(Brightness().to_vector([[0.5], [1.0]]), np.array([[0.5], [1.0]], np.float32))
  np.testing.assert_array_equal(Brightness().to_natural(np.array([[0.5]])), [[0.5]])
  with pytest.raises(FeatureError, match=r"'Brightness' takes values of shape \[B, 1\], not \[2\]"):
    Brightness().to_vector([0.5, 1.0])
  with pytest.raises(FeatureError, match="'Brightness' was given NaN"):
    Brightness().to_vector([[np.nan]])


def test_a_plug_in_may_give_a_natural_form_or_the_four_methods():
  class Percent(Brightness):
    """With the methods, as every plug-in of version 0.1."""

    def to_vector(self, value):
      return super().to_vector(np.asarray(value)[:, None] / 100)

    def to_natural(self, vector):
      return 100 * super().to_natural(vector)[:, 0]

    @property
    def served(self):
      return tf.TensorSpec([None], tf.float32)

    def of_served(self, value):
      return value[:, None] / 100

  class Level(Brightness):
    @property
    def natural(self):
      return convert.Linear(-100.0, 100.0)

  for feature in (Percent(), Level()):
    assert feature.served == tf.TensorSpec([None], tf.float32)
    np.testing.assert_allclose(feature.to_vector([0.0, 50.0]), [[0], [0.5]])
    np.testing.assert_allclose(feature.of_served(tf.constant([0.0, 50.0])), [[0], [0.5]])
    np.testing.assert_allclose(feature.to_natural(np.array([[0.0], [0.5]])), [0, 50])


@pytest.mark.parametrize("feature", [DigitLabel(num_classes=26), Color(), Pose(roundness=0.25)])
def test_a_feature_survives_its_config_as_json(feature):
  config = json.loads(json.dumps(feature.get_config()))
  assert config["name"] == feature.name and config["module"] == type(feature).__module__
  assert feature_from_config(config) == feature


def test_a_config_imports_the_plug_in_that_is_not_registered_yet(tmp_path, monkeypatch):
  (tmp_path / "plugin_of_test_feature.py").write_text(
    "import dataclasses\n"
    "import tfdisent\n"
    "@tfdisent.register_feature('feature_of_test_feature')\n"
    "@dataclasses.dataclass(frozen=True)\n"
    "class F(tfdisent.Feature):\n"
    "  gain: float = 1.0\n"
  )
  monkeypatch.syspath_prepend(tmp_path)
  config = {"module": "plugin_of_test_feature", "name": "feature_of_test_feature", "arguments": {"gain": 2.0}}
  with FEATURES.temporary():
    feature = feature_from_config(config)
    assert feature.gain == 2.0 and feature.get_config() == config


def test_a_config_of_a_missing_module_names_the_feature_and_the_module():
  config = {"module": "package_that_is_not_here.moods", "name": "mood", "arguments": {}}
  with pytest.raises(FeatureError, match=r"'mood' of the module 'package_that_is_not_here.moods'.* Install"):
    feature_from_config(config)


def test_a_config_may_name_a_module_of_before():
  for module in ("tfdisent.learned", "tfdisent.datasets.color_mnist"):
    with pytest.raises(RegistryError, match="unknown feature 'mood'"):  # it was imported, and has none
      feature_from_config({"module": module, "name": "mood", "arguments": {}})


def test_a_config_whose_module_registers_no_such_feature_is_refused():
  with pytest.raises(RegistryError, match="unknown feature 'Brightness'"):
    feature_from_config(Brightness().get_config())
