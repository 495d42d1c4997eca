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
from tfdisent.feature.contract import Feature, feature_from_config
from tfdisent.registry import FEATURES


@dataclasses.dataclass(frozen=True)
class Brightness(Feature):
  """A sound feature; those below break the contract in one point each."""

  kind = "continuous"
  width = 1

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])[:, None]


class Nothing(Feature):
  kind = "continuous"
  width = 1


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


def test_what_is_no_array_of_numbers_is_refused():
  with pytest.raises(FeatureError, match="'Brightness' takes an array of numbers, not a str"):
    Brightness().to_vector("bright")
  with pytest.raises(FeatureError, match="'Brightness' was given NaN or infinite"):
    Brightness().to_vector([[np.inf]])
