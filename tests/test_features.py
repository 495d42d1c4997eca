"""Every plug-in of `features/`: those of the folder against the contract, and those we know against values by hand."""

import dataclasses
import importlib
import json
import math
import pathlib

import gin
import numpy as np
import pytest
import tensorflow as tf

import features
from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from features.number import Number
from features.pose import HeadPose, Pose, Rotation, Viewpoint
from features.rgb import Rgb
from tfdisent import config
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, FeatureError
from tfdisent.evaluation import strokes
from tfdisent.feature.check import check_feature
from tfdisent.feature.contract import Feature, feature_from_config
from tfdisent.feature.learned import LearnedFeature
from tfdisent.feature.values import check_gradient, feature_values
from tfdisent.registry import FEATURES

NAMES = sorted(file.stem for file in pathlib.Path(features.__file__).parent.glob("*.py") if file.stem != "__init__")
for _name in NAMES:
  importlib.import_module(f"features.{_name}")


def make(name):
  """The plug-in with its defaults, where it has some that fit digits."""
  arguments = {
    "attribute": {"names": ("is_even",)},
    "composite": {"parts": ("digit_label", "color")},
    "number": {"columns": ("label",), "mean": (4.5,), "scale": (3.0,)},
  }
  return FEATURES[name](**arguments.get(name, {}))


CONTINUOUS = [name for name in NAMES if FEATURES[name].kind == "continuous"]
LEARNED = [name for name in NAMES if issubclass(FEATURES[name], LearnedFeature)]
WITH_PIXELS = [name for name in NAMES if make(name).has_pixels and name not in LEARNED]
FORMULAS = [name for name in CONTINUOUS if name not in LEARNED]


@pytest.fixture
def some(few_digits):
  return {**few_digits.train, "is_even": (few_digits.train["label"] + 1) % 2}


def as_tensors(examples, rows=slice(None)):
  columns = {name: tf.constant(column[rows]) for name, column in examples.items()}
  return {**columns, "image": tf.image.convert_image_dtype(columns["image"], tf.float32)}


def bar(degrees, height=28, width=28, center=(0.0, 0.0), color=(1.0, 1.0, 1.0)):
  """A straight, soft-edged stroke of 18 x 3 pixels, [1, H, W, 3]; `center` (x, y) counts from the middle, y upward."""
  x = np.arange(width) - (width - 1) / 2 - center[0]
  y = (height - 1) / 2 - np.arange(height)[:, None] - center[1]
  cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
  along, across = cos * x + sin * y, -sin * x + cos * y
  ink = np.clip(9.5 - np.abs(along), 0, 1) * np.clip(2 - np.abs(across), 0, 1)
  return (ink[None, :, :, None] * np.array(color)).astype(np.float32)


def blobs(count=4):
  """Tilted blobs in which no two channels of a pixel are near one another, so that every maximum is smooth."""
  random_state = np.random.default_rng(0)
  blob = np.exp(-((np.arange(28)[:, None] - np.arange(28)) ** 2) / 50)[None, :, :, None]
  return (blob * [0.6, 0.4, 0.2] + [0.25, 0.15, 0.05] + random_state.uniform(0, 0.02, (count, 28, 28, 3))).astype("f4")


def degrees_between_axes(a, b):
  """Angles between undirected axes, in degrees."""
  return np.abs((np.degrees(a - b) + 90) % 180 - 90)


# --- Every plug-in ---


def test_the_folder_has_the_features_of_the_paper():
  assert {"digit_label", "color", "pose"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_plug_in_registers_a_feature_under_the_name_of_its_file(name):
  feature = make(name)
  assert isinstance(feature, Feature)
  assert feature.name == name
  assert feature.kind in ("discrete", "continuous", "composite")
  assert isinstance(feature.width, int) and feature.width >= 1
  assert all(part.has_pixels or part.kind == "discrete" for part in feature.parts)


@pytest.mark.parametrize("name", NAMES)
def test_a_plug_in_keeps_the_contract_on_digits(name, some):
  check_feature(make(name), some)
  values = feature_values(make(name), some)
  assert values.dtype == np.float32 and values.shape == (64, make(name).width)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_depends_on_its_example_alone(name, some):
  feature = make(name)
  whole = feature.of_example(as_tensors(some)).numpy()
  np.testing.assert_array_equal(feature.of_example(as_tensors(some)), whole)
  backwards = feature.of_example(as_tensors(some, slice(None, None, -1)))
  np.testing.assert_allclose(backwards[::-1], whole, atol=1e-6)
  for i in (0, 7, 63):
    np.testing.assert_allclose(feature.of_example(as_tensors(some, slice(i, i + 1))), whole[i : i + 1], atol=1e-6)


@pytest.mark.parametrize("name", WITH_PIXELS)
@pytest.mark.parametrize("level", [0.0, 1e-4, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(28, 28), (16, 24)])
def test_plain_images_have_finite_values_and_gradients(name, level, shape):
  feature, image = make(name), tf.fill([2, *shape, 3], level)
  with tf.GradientTape() as tape:
    tape.watch(image)
    value = feature.of_image(image)
  assert value.dtype == tf.float32 and value.shape == (2, feature.width)
  assert np.isfinite(value).all()
  assert np.isfinite(tape.gradient(value, image)).all()


@pytest.mark.parametrize("name", FORMULAS)
def test_l_f2_can_train_with_a_continuous_plug_in(name, few_digits):
  check_gradient(make(name), as_tensors(few_digits.train)["image"].numpy())


@pytest.mark.parametrize("name", FORMULAS)
def test_gradients_are_those_of_finite_differences(name):
  feature, image = make(name), blobs()
  random_state, epsilon = np.random.default_rng(1), 1e-2
  weights = random_state.standard_normal((len(image), feature.width)).astype(np.float32)

  def weighted(images):
    return float(tf.reduce_sum(tf.cast(feature.of_image(images) * weights, tf.float64)))

  with tf.GradientTape() as tape:
    tape.watch(x := tf.constant(image))
    value = tf.reduce_sum(feature.of_image(x) * weights)
  gradient = tape.gradient(value, x).numpy()
  slopes, differences = [], []
  for _ in range(10):
    # half along the gradient, so that the slope stands out from the rounding
    direction = random_state.uniform(-1, 1, image.shape).astype(np.float32)
    direction = 0.5 * direction + 0.5 * gradient / np.abs(gradient).max()
    slopes.append(np.sum(gradient.astype(np.float64) * direction))
    differences.append((weighted(image + epsilon * direction) - weighted(image - epsilon * direction)) / (2 * epsilon))
  np.testing.assert_allclose(differences, slopes, rtol=2e-3)


@pytest.mark.parametrize("name", NAMES)
def test_to_vector_and_to_natural_are_inverse(name, some):
  feature = make(name)
  natural = feature.to_natural(feature_values(feature, some))
  vector = feature.to_vector(natural)
  assert vector.dtype == np.float32 and vector.shape == (64, feature.width)
  tf.nest.map_structure(
    lambda again, value: np.testing.assert_allclose(again, value, atol=1e-5), feature.to_natural(vector), natural
  )


@pytest.mark.parametrize("name", NAMES)
def test_to_vector_refuses_what_is_no_batch_of_values(name):
  for shape in ((), (2, 2, 2, 2)):
    with pytest.raises(FeatureError, match=name):
      make(name).to_vector(np.zeros(shape, np.float32))


@pytest.mark.parametrize("name", CONTINUOUS)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_to_vector_refuses_what_is_not_finite(name, bad, few_digits):
  feature = make(name)
  natural = np.array(feature.to_natural(feature_values(feature, few_digits.train)))
  natural[3] = bad
  with pytest.raises(FeatureError, match=name), np.errstate(invalid="ignore"):
    feature.to_vector(natural)


# --- digit_label ---


def test_digit_label_is_one_hot():
  f = DigitLabel(num_classes=3)
  example = {"image": tf.zeros([2, 4, 4, 3]), "label": tf.constant([2, 0], tf.int64)}
  np.testing.assert_array_equal(f.of_example(example), [[0, 0, 1], [1, 0, 0]])
  np.testing.assert_array_equal(f.to_vector([2, 0]), [[0, 0, 1], [1, 0, 0]])
  np.testing.assert_array_equal(f.to_natural(np.array([[0.1, 0.2, 0.7], [0.5, 0.3, 0.2]])), [2, 0])
  assert f.width == 3


def test_digit_label_is_discrete_of_the_label_column():
  f = DigitLabel()
  assert (f.kind, f.width, f.column) == ("discrete", 10, "label")
  assert (Category().num_classes, Category().column, Category(column="hat").name) == (10, "label", "category")
  assert isinstance(f, Category)


def test_the_column_of_a_digit_label_is_no_binding_and_no_argument_of_its_configuration():
  """The configuration of a run that is resumed has to stay what it was."""
  assert [field.name for field in dataclasses.fields(DigitLabel)] == ["num_classes"]
  assert [field.name for field in dataclasses.fields(Category)] == ["column", "num_classes"]
  assert DigitLabel().get_config() == {
    "module": "features.digit_label",
    "name": "digit_label",
    "arguments": {"num_classes": 10},
  }
  with pytest.raises(TypeError, match="column"):
    DigitLabel(column="hat")


@pytest.mark.parametrize(
  ("value", "words"),
  [
    ([[1, 2]], r"int labels of shape \[B\]"),
    ([1.0, 2.0], "int labels .* not float64"),
    ([0, 10], "from 0 to 9 .*was given 0 to 10"),
    ([-1, 3], "from 0 to 9 .*was given -1 to 3"),
  ],
)
def test_digit_label_refuses_other_labels(value, words):
  with pytest.raises(FeatureError, match=words):
    DigitLabel().to_vector(value)


# --- color ---


@pytest.mark.parametrize("color", [(1.0, 0.0, 0.0), (0.2, 0.6, 0.4), (0.9, 0.9, 0.1), (0.05, 0.05, 0.1)])
def test_color_is_that_of_the_ink_of_a_drawing(color):
  np.testing.assert_allclose(Color().of_image(bar(30, color=color)), [color], atol=0.04 * max(color))


def test_color_of_digits_is_the_one_they_were_painted_in(digits):
  measured, painted = feature_values(Color(), digits.test), digits.test["color"]
  assert np.abs(measured - painted).mean() < 0.03
  # What is off is the brightness, of faint strokes; never the hue and the saturation.
  assert (measured < painted + 0.01).all()
  np.testing.assert_allclose(
    measured / measured.sum(1, keepdims=True), painted / painted.sum(1, keepdims=True), atol=0.005
  )


def test_color_weighs_pixels_with_the_fourth_power_of_their_largest_channel():
  image = tf.constant([[1.0, 0.0, 0.0], [0.0, 0.5, 0.0]], shape=[1, 1, 2, 3])
  # weights 1 and 1/16
  np.testing.assert_allclose(Color().of_image(image), [[16 / 17, 0.5 / 17, 0]], rtol=1e-6)


def test_color_of_an_image_without_ink_is_black():
  np.testing.assert_array_equal(Color().of_image(tf.zeros([1, 8, 8, 3])), [[0, 0, 0]])


def test_color_takes_rgb_from_0_to_1():
  assert (Color().kind, Color().width, Color().column) == ("continuous", 3, "color")
  np.testing.assert_array_equal(Color().to_vector([[0, 0.5, 1]]), [[0, 0.5, 1]])
  np.testing.assert_array_equal(Color().to_natural(np.array([[-0.1, 0.5, 1.2]])), [[0, 0.5, 1]])
  for value, words in (
    ([[0, 0.5, 1.5]], "RGB in .* was given 0 to 1.5"),
    ([[-0.5, 0, 1]], "RGB in .* was given -0.5 to 1"),
    ([[0.5, 0.5]], r"shape \[B, 3\], not \[1, 2\]"),
    ([0.5, 0.5, 0.5], r"shape \[B, 3\], not \[3\]"),
  ):
    with pytest.raises(FeatureError, match=words):
      Color().to_vector(value)


# --- pose ---


@pytest.mark.parametrize("degrees", [0, 20, 45, 70, 90, 110, 135, 160])
@pytest.mark.parametrize("center", [(0, 0), (3, -4)])
def test_pose_is_the_angle_of_a_drawn_bar_counted_from_the_x_axis_upwards(degrees, center):
  angle = Pose().to_natural(Pose().of_image(bar(degrees, center=center)).numpy())
  assert degrees_between_axes(angle, math.radians(degrees)) < 2


@pytest.mark.parametrize(("height", "width"), [(24, 48), (48, 24)])
def test_pose_keeps_angles_in_an_image_that_is_not_square(height, width):
  angle = Pose().to_natural(Pose().of_image(bar(30, height, width)).numpy())
  assert degrees_between_axes(angle, math.radians(30)) < 2


@pytest.mark.parametrize("shape", [(8, 32), (32, 8), (16, 16), (1, 9)])
def test_pose_is_the_axis_that_the_judge_measures(shape):
  """A diagonal of pixels, whose axis is at 45° however many pixels the image has beside it."""
  image = np.zeros([1, *shape, 1], np.float32)
  for k in range(min(shape)):
    image[0, min(shape) - 1 - k, 2 + k if shape[1] > min(shape) else k] = 1
  axis = math.degrees(Pose().to_natural(Pose().of_image(tf.constant(image)).numpy())[0])
  assert min(shape) == 1 or axis == pytest.approx(45, abs=0.01)
  assert axis == pytest.approx(strokes.axis(np.uint8(255 * image))[0], abs=0.01)


def test_pose_does_not_see_the_color():
  np.testing.assert_allclose(
    Pose().of_image(bar(30, color=(0.1, 0.6, 0.3))), Pose().of_image(bar(30, color=(0.6, 0.6, 0.6))), atol=1e-5
  )


def test_pose_of_a_clear_axis_has_length_1_and_that_of_a_figure_without_axis_0():
  assert 0.99 < np.linalg.norm(Pose().of_image(bar(20))) <= 1
  cross = np.maximum(bar(20), bar(110))
  assert np.linalg.norm(Pose().of_image(cross)) < 0.1


def test_pose_shrinks_as_the_axis_does_against_the_roundness():
  image = np.zeros([1, 3, 3, 3], np.float32)
  image[:, 1, ::2], image[:, ::2, 1] = 0.7, 0.3  # μ_xx = 0.7, μ_yy = 0.3, μ_xy = 0
  # r = √(0.4² + 0.3²)
  np.testing.assert_allclose(Pose(roundness=0.3).of_image(image), [[0.8, 0]], atol=1e-6)


def test_pose_takes_angles_and_gives_them_back_up_to_half_a_turn():
  assert (Pose().kind, Pose().width) == ("continuous", 2)
  np.testing.assert_allclose(Pose().to_vector(np.radians([0, 45, 90])), [[1, 0], [0, 1], [-1, 0]], atol=1e-6)
  natural = Pose().to_natural(Pose().to_vector(np.radians([-80, -10, 0, 60, 200])))
  np.testing.assert_allclose(np.degrees(natural), [-80, -10, 0, 60, 20], atol=1e-4)
  with pytest.raises(FeatureError, match=r"angles in radians of shape \[B\], not \[1, 2\]"):
    Pose().to_vector([[0.0, 1.0]])


# --- rotation, viewpoint, head_pose: what is known of an example ---


def test_rotation_turns_once_in_a_turn_of_its_column():
  f = Rotation(column="azimuth", turn=360.0)
  example = {"azimuth": np.array([0.0, 90.0, 180.0, -90.0])}
  np.testing.assert_allclose(f.of_example(example), [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-6)
  np.testing.assert_allclose(f.to_natural(f.to_vector([30.0, -170.0])), [30, -170], atol=1e-4)
  assert (Rotation().column, Rotation().turn, Rotation().kind, Rotation().unit) == (
    "angle",
    2 * math.pi,
    "continuous",
    "degrees",
  )
  with pytest.raises(FeatureError, match=r"rotation takes angles of shape \[B\], not \[1, 2\]"):
    f.to_vector([[0.0, 1.0]])


@pytest.mark.parametrize(
  ("given", "principal"),
  [(0, 0), (90, 90), (179, 179), (180, 180), (-180, 180), (181, -179), (270, -90), (-90, -90), (540, 180), (350, -10)],
)
def test_an_angle_comes_back_as_its_principal_value_whichever_the_feature(given, principal):
  """In (-turn/2, turn/2], where one feature gave 270° as -90° and another as 270°; an axis has a turn of 180°."""
  azimuth, degrees = Viewpoint(turn=360.0), Rotation(turn=360.0)
  found = [
    *degrees.to_natural(degrees.to_vector([given])),
    azimuth.to_natural(azimuth.to_vector([[given, 3.0]]))[0, 0],
    *np.degrees(Rotation().to_natural(Rotation().to_vector(np.radians([given])))),
    *np.degrees(2 * Pose().to_natural(Pose().to_vector(np.radians([given]) / 2))),
  ]
  np.testing.assert_allclose(found, [principal] * 4, atol=2e-4)


@pytest.mark.parametrize("sine", [0.0, -0.0, -1e-8])
def test_half_a_turn_is_positive_whatever_the_sign_of_a_sine_of_nothing(sine):
  assert Rotation(turn=18.0).to_natural(np.array([[-1.0, sine]], np.float32)) == pytest.approx(9.0)
  assert Pose().to_natural(np.array([[-1.0, sine]], np.float32)) == pytest.approx(math.pi / 2)


def test_the_error_of_a_rotation_is_the_shorter_way_round():
  f = Rotation(turn=360.0)
  np.testing.assert_allclose(f.error(f.to_vector([170.0, 10.0]), f.to_vector([-170.0, 40.0])), [20, 30], atol=1e-3)


def test_the_error_of_a_pose_is_that_of_an_axis():
  f = Pose()
  np.testing.assert_allclose(
    f.error(f.to_vector(np.radians([85.0])), f.to_vector(np.radians([-85.0]))), [10], atol=1e-3
  )


def test_viewpoint_has_the_azimuth_on_a_circle_and_the_elevation_on_a_line():
  f = Viewpoint()
  example = {"label_azimuth": np.array([0, 9]), "label_elevation": np.array([0, 8])}
  np.testing.assert_allclose(f.of_example(example), [[1, 0, -1], [-1, 0, 1]], atol=1e-6)
  np.testing.assert_allclose(f.to_natural(f.to_vector([[17.0, 2.0], [3.0, 8.0]])), [[-1, 2], [3, 8]], atol=1e-5)
  np.testing.assert_allclose(f.to_vector([[4.5, 6.0]]), [[0, 1, 0.5]], atol=1e-6)
  wide = Viewpoint(lowest=-30.0, highest=60.0, turn=360.0)
  np.testing.assert_allclose(wide.to_vector([[90.0, 0.0]]), [[0, 1, -1 / 3]], atol=1e-6)
  np.testing.assert_allclose(wide.to_natural(wide.to_vector([[90.0, 7.0]])), [[90, 7]], atol=1e-4)
  with pytest.raises(FeatureError, match=r"viewpoint takes azimuths and elevations, \[B, 2\], not \[4\]"):
    f.to_vector(np.zeros(4))


@pytest.mark.parametrize(
  ("eyes", "nose", "yaw", "roll"),
  [
    (((60, 110), (100, 110)), (80, 130), 0, 0),
    (((100, 110), (60, 110)), (80, 130), 0, 0),  # named after the person's own left
    (((60, 110), (100, 110)), (90, 130), 26.565, 0),  # a quarter of the eyes' distance, at a depth of a half
    (((60, 110), (100, 110)), (70, 130), -26.565, 0),
    (((60, 130), (100, 90)), (80, 110), 0, 45),  # the right of the image is higher
  ],
)
def test_head_pose_of_landmarks(eyes, nose, yaw, roll):
  places = {"lefteye": eyes[0], "righteye": eyes[1], "nose": nose}
  example = {f"{name}_{axis}": np.array([place["xy".index(axis)]]) for name, place in places.items() for axis in "xy"}
  f = HeadPose()
  np.testing.assert_allclose(np.degrees(f.of_example(example)), [[yaw, roll]], atol=1e-3)
  np.testing.assert_allclose(f.error(np.radians([[3.0, 0.0]]), np.radians([[0.0, -1.0]])), [2.0])


SERVED = [
  (DigitLabel(num_classes=3), [2, 0], [[0, 0, 1], [1, 0, 0]]),
  (Category(num_classes=2), [1], [[0, 1]]),
  (Attribute(("a",)), [0, 1], [[0], [1]]),
  (Color(), [[0.0, 0.5, 1.0]], [[0, 0.5, 1]]),
  (Pose(), [0.0, math.pi / 8, math.pi / 2], [[1, 0], [0.5**0.5, 0.5**0.5], [-1, 0]]),
  (Rotation(turn=360.0), [0.0, 60.0, 270.0, 450.0], [[1, 0], [0.5, 0.75**0.5], [0, -1], [0, 1]]),
  (Viewpoint(), [[4.5, 6.0], [9.0, 0.0]], [[0, 1, 0.5], [-1, 0, -1]]),
  (HeadPose(), [[0.5, -0.25]], [[0.5, -0.25]]),
  (Number(("age",), mean=40.0, scale=20.0), [40.0, 60.0, -20.0], [[0], [1], [-3]]),
  (Number(("x", "y"), mean=(0.0, 5.0), scale=(1.0, 10.0)), [[0.5, 0.0]], [[0.5, -0.5]]),
  (Rgb(), [[0.0, 0.5, 1.0]], [[0, 0.5, 1]]),
]


@pytest.mark.parametrize(("feature", "value", "vector"), SERVED, ids=lambda value: getattr(value, "name", ""))
def test_a_natural_form_is_the_same_vector_in_numpy_and_in_the_graph(feature, value, vector):
  np.testing.assert_allclose(feature.to_vector(value), vector, atol=1e-6)
  served = tf.function(feature.of_served, input_signature=[feature.served])
  result = served(tf.constant(value, feature.served.dtype))
  assert result.dtype == tf.float32
  np.testing.assert_allclose(result, vector, atol=1e-6)
  assert feature.served.dtype == (tf.int64 if feature.kind == "discrete" else tf.float32)


@pytest.mark.parametrize(
  ("feature", "value", "words"),
  [
    (DigitLabel(num_classes=3), [3], "labels lie in 0 to 2"),
    (DigitLabel(num_classes=3), [-1], "labels lie in 0 to 2"),
    (Attribute(("a",)), [2], "an attribute is 0 or 1"),
    (Attribute(("a",)), [-1], "an attribute is 0 or 1"),
    (Color(), [[0.0, 1.5, 0.0]], r"RGB lies in \[0, 1\]"),
    (Color(), [[0.0, -0.5, 0.0]], r"RGB lies in \[0, 1\]"),
  ],
)
def test_the_graph_refuses_what_numpy_refuses(feature, value, words):
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    feature.of_served(tf.constant(value, feature.served.dtype))


@pytest.mark.parametrize(
  ("feature", "f", "asked", "error"),
  [
    (Color(), [[0.1, 0.2, 0.3]], [[0.0, 0.0, 0.0]], 0.2),
    (Pose(), [[1.0, 0.0]], [[0.0, 1.0]], 45),
    (Rotation(), [[1.0, 0.0]], [[-1.0, 0.0]], 180),
    (Rotation(), [[0.0, 2.0]], [[-1.0, 0.0]], 90),
    (Viewpoint(), [[1.0, 0.0, 0.5]], [[0.0, 0.0, -0.5]], 2 / 3),
    (HeadPose(), [[0.5, 0.0]], [[0.0, 0.1]], math.degrees(0.3)),
    (Number(("age",), mean=40.0, scale=20.0), [[0.5]], [[-1.0]], 30),  # years
    (Number(("x", "y"), mean=(0.0, 0.0), scale=(1.0, 10.0)), [[1.0, 0.0]], [[0.0, 0.5]], 3),
    (Rgb(), [[0.1, 0.2, 0.3]], [[0.0, 0.0, 0.0]], 0.2),
  ],
)
def test_the_error_of_a_feature_by_hand(feature, f, asked, error):
  np.testing.assert_allclose(feature.error(np.array(f), np.array(asked)), [error], rtol=1e-5)
  assert feature.unit == ("degrees" if isinstance(feature, Pose | Rotation | HeadPose) else "")


def test_pose_of_three_pixels_by_hand():
  image = np.zeros([1, 3, 5, 3], np.float32)
  image[0, 0, 4], image[0, 1, 2], image[0, 2, 0] = (0.2, 0.5, 0.1), 0.5, (0.5, 0.0, 0.2)  # each of ink 0.5
  # on [-1, 1] x [-0.5, 0.5]: (1, 0.5), (0, 0), (-1, -0.5): μ_xx = 2/3, μ_yy = 1/6, μ_xy = 1/3
  axis = np.array([1 / 2, 2 / 3])
  r = np.sqrt((axis**2).sum() + (0.05 * 5 / 6) ** 2)
  np.testing.assert_allclose(Pose().of_image(image), [axis / r], rtol=1e-5)


# --- number, rgb, and what a feature takes from a data set ---


def people(**columns) -> Dataset:
  """Four images a split, all with the same columns but the last, which is of the test split."""
  random_state = np.random.default_rng(0)
  splits = {}
  for split in ("train", "probe", "validation", "test"):
    image = random_state.integers(256, size=(4, 8, 8, 3), dtype=np.uint8)
    splits[split] = {"image": image, "age": np.float32([20, 30, 50, 60]), "hair": np.array([0, 1, 1, 0]), **columns}
  splits["test"]["hair"] = np.array([0, 1, 2, 4])
  return Dataset(**splits, name="people", class_names={"eyes": ("blue", "brown", "grey")})


def test_a_number_is_standardised_by_the_training_split_and_keeps_its_range():
  data = people(height=np.array([150, 160, 170, 180]))
  f = Number(("age", "height")).of_dataset(data)
  assert f.mean == (40.0, 165.0) and f.scale == pytest.approx((math.sqrt(250), math.sqrt(125)))
  assert (f.lowest, f.highest) == ((20.0, 150.0), (60.0, 180.0))
  f_train = f.of_example(data.train).numpy()
  np.testing.assert_allclose(f_train.mean(0), [0, 0], atol=1e-6)
  np.testing.assert_allclose(f_train.std(0), [1, 1], rtol=1e-6)
  np.testing.assert_allclose(f.to_natural(f_train)[:, 1], data.train["height"], rtol=1e-6)
  assert feature_from_config(json.loads(json.dumps(f.get_config()))) == f and f.of_dataset(people()) is f
  assert (f.column, Number("age").column, Number("age").columns) == (None, "age", ("age",))
  np.testing.assert_allclose(Number("age").of_dataset(data).to_natural(np.array([[0.0]])), [40])


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"columns": ()}, "one or more columns"),
    ({"mean": (1.0, 2.0), "scale": (1.0, 1.0)}, r"number\.mean = \(1.0, 2.0\) must hold 1 numbers"),
    ({"mean": (1.0,)}, "of all of them or of none"),
    ({"mean": (1.0,), "scale": (0.0,)}, "each scale positive"),
  ],
)
def test_a_number_that_is_none_is_refused(arguments, words):
  with pytest.raises(FeatureError, match=words):
    Number(**arguments)


@pytest.mark.parametrize(
  ("feature", "words"),
  [
    (Number("aeg"), "'aeg', which 'people' lacks. Did you mean 'age'[?] There are: age, hair, name, one, pair."),
    (Number("name"), "'name', which is not of numbers"),
    (Number("pair"), "'pair', which is not of numbers"),
    (Number("one"), "'one' has the same value"),
    (Category("hiar", None), "Did you mean 'hair'"),
  ],
)
def test_a_data_set_that_lacks_what_a_feature_takes_is_refused(feature, words):
  data = people(name=np.array(list("abcd")), pair=np.zeros([4, 2]), one=np.zeros(4))
  with pytest.raises(FeatureError, match=words):
    feature.of_dataset(data)


def test_what_no_data_set_has_told_yet_is_told_to_be_missing():
  with pytest.raises(FeatureError, match=r"number\.mean is not known.*of_dataset"):
    Number("age").to_vector([40.0])
  with pytest.raises(FeatureError, match=r"category\.num_classes is None.*of_dataset"):
    Category(num_classes=None).width  # noqa: B018


def test_a_category_counts_its_classes_in_all_splits_or_by_their_names():
  data = people(eyes=np.array([0, 1, 0, 1]))
  assert Category("hair", None).of_dataset(data) == Category("hair", 5)  # the class 4 is in `test` alone
  assert Category("eyes", None).of_dataset(data) == Category("eyes", 3)
  assert DigitLabel(None).of_dataset(people(label=np.array([2, 1, 0, 0]))) == DigitLabel(3)
  given = Category("hair", 7)
  assert given.of_dataset(data) is given
  assert Category("eyes", 3).of_dataset(data) == Category("eyes", 3)


@pytest.mark.parametrize("number", [2, 4, 10])
def test_a_number_of_classes_that_is_not_that_of_the_data_is_refused(number):
  words = rf"category.num_classes = {number}, and the column 'eyes' has 3 classes \(.*\): bind category.num_classes = 3"
  with pytest.raises(FeatureError, match=words):
    Category("eyes", number).of_dataset(people(eyes=np.array([0, 1, 0, 1])))


def test_a_composite_passes_the_data_set_on_and_stays_itself_where_nothing_is_taken():
  parts = (Category("hair", None), Number("age"), Attribute(("a", "b")))
  f = Composite(parts, weights=(1, 2, 3), part_names=("hair", "age", "a", "b")).of_dataset(people())
  assert f.parts[0].num_classes == 5 and f.parts[1].mean == (40.0,)
  assert f.part_names == ("hair", "age", "a", "b") and f.weights == (1, 2, 3, 3) and f.width == 8
  assert f.of_dataset(people()) is f


def test_a_colour_of_a_column_comes_back_within_its_range():
  f = Rgb(column="skin")
  np.testing.assert_array_equal(f.of_example({"skin": np.float32([[0.25, 0.5, 1.0]])}), [[0.25, 0.5, 1.0]])
  np.testing.assert_array_equal(f.to_natural(np.array([[-0.5, 0.5, 1.5]])), [[0, 0.5, 1]])
  with pytest.raises(FeatureError, match=r"rgb takes RGB in \[0, 1\], and was given 0 to 255"):
    f.of_example({"skin": np.float32([[0, 128, 255]])})


# --- attribute ---


def test_attributes_are_bits_of_their_columns_and_parts_of_their_own():
  f = Attribute(("Smiling", "Eyeglasses"))
  example = {"Smiling": np.array([1, 0, 1]), "Eyeglasses": np.array([0, 0, 1])}
  np.testing.assert_array_equal(f.of_example(example), [[1, 0], [0, 0], [1, 1]])
  assert [(part.column, part.width, part.code) for part in f.parts] == [
    ("Smiling", 1, "bernoulli"),
    ("Eyeglasses", 1, "bernoulli"),
  ]
  assert f.part_names == ("Smiling", "Eyeglasses")
  np.testing.assert_array_equal(f.to_vector(example), f.of_example(example))
  assert {name: bits.tolist() for name, bits in f.to_natural(f.to_vector(example)).items()} == {
    "Smiling": [1, 0, 1],
    "Eyeglasses": [0, 0, 1],
  }
  np.testing.assert_array_equal(Attribute(("Smiling",)).to_vector([0, 1]), [[0], [1]])


@pytest.mark.parametrize(
  ("names", "value", "words"),
  [
    (("a",), [0.5], r"attribute takes 0 or 1 of shape \[B\], not float64 \[1\]"),
    (("a",), [[0, 1]], r"takes 0 or 1 of shape \[B\], not int64 \[1, 2\]"),
    (("a", "b"), [0, 1], "a dict of a, b"),
    (("a", "b"), {"a": [1], "c": [0]}, "a dict of a, b, not of a, c"),
  ],
)
def test_what_is_no_attribute_is_refused(names, value, words):
  with pytest.raises(FeatureError, match=words):
    Attribute(names).to_vector(value)


def test_names_that_are_none_are_refused():
  with pytest.raises(FeatureError, match=r"must be one or more names of columns: \('Smiling',\)"):
    Attribute(())
  with pytest.raises(ConfigError, match=r"attribute.names = 'Smiling' must be .* did you mean \('Smiling',\)\?"):
    Attribute("Smiling")


# --- composite ---


def test_a_composite_has_its_parts_side_by_side(few_digits):
  f, some = Composite(("digit_label", "color"), weights=(1, 100)), few_digits.train
  values = feature_values(f, some)
  np.testing.assert_array_equal(f.split(values)[0], feature_values(DigitLabel(), some))
  np.testing.assert_array_equal(f.split(values)[1], feature_values(Color(), some))
  assert (f.width, f.part_names, f.weights, f.adversary_weights) == (13, ("digit_label", "color"), (1, 100), (1, 1))
  natural = f.to_natural(values)
  np.testing.assert_array_equal(natural["digit_label"], some["label"])
  assert natural["color"].shape == (64, 3)


def test_a_composite_is_made_again_from_its_configuration():
  f = Composite((DigitLabel(num_classes=4), Color()), adversary_weights=(2.0, 3.0), part_names=("kind", "ink"))
  again = feature_from_config(json.loads(json.dumps(f.get_config())))
  assert again.parts == f.parts and again.part_names == ("kind", "ink") and again.adversary_weights == (2.0, 3.0)


def test_a_composite_is_made_again_from_a_configuration_of_before():
  """Version 0.1 called the weights of the adversary `leakage_weights`."""
  f = Composite((DigitLabel(num_classes=4), Color()), adversary_weights=(2.0, 3.0))
  config = json.loads(json.dumps(f.get_config()))
  config["arguments"]["leakage_weights"] = config["arguments"].pop("adversary_weights")
  assert feature_from_config(config) == f


def test_several_attributes_are_parts_beside_the_others():
  f = Composite((Color(), Attribute(("a", "b"))), weights=(3.0, 2.0))
  assert f.part_names == ("color", "a", "b") and f.weights == (3.0, 2.0, 2.0) and f.width == 5
  again = feature_from_config(json.loads(json.dumps(f.get_config())))
  assert again.parts == f.parts and again.part_names == f.part_names and again.weights == f.weights
  natural = {"color": np.zeros([2, 3]), "a": [0, 1], "b": [1, 1]}
  np.testing.assert_array_equal(f.to_vector(natural)[:, 3:], [[0, 1], [1, 1]])


def test_a_composite_is_of_pixels_and_learned_as_its_parts_are():
  f, image = Composite((Pose(), Color(), Rotation()), adversary_weights=(1, 2, 3)), blobs(2)
  assert f.adversary_weights == (1, 2, 3) and f.kind == "composite" and f.has_pixels
  assert not Composite((Color(), DigitLabel())).has_pixels
  with pytest.raises(FeatureError, match=r"'rotation' is learned, and rotation\.fitted does not say"):
    f.check_fitted()
  assert Composite((Color(),)).check_fitted() is None
  with pytest.raises(FeatureError, match="'rotation' has no network yet"):
    f.of_image(image)
  f.build((28, 28, 3))
  assert set(f.networks) == {"rotation/network"}
  values = f.of_image(tf.constant(image)).numpy()
  for value, part in zip(f.split(values), f.parts):
    np.testing.assert_allclose(value, part.of_image(tf.constant(image)), atol=1e-6)


def test_a_rotation_that_is_read_in_pixels_is_a_direction():
  known, read = Rotation(), Rotation(from_pixels=True)
  known.build((28, 28, 3))
  object.__setattr__(read, "_network", known.networks["network"])
  image = tf.constant(blobs(2))
  outputs = known.of_image(image).numpy()
  np.testing.assert_allclose(read.of_image(image), outputs / np.linalg.norm(outputs, axis=1)[:, None], rtol=1e-5)
  np.testing.assert_allclose(read.of_example({"image": image}), read.of_image(image), rtol=1e-5)


def test_a_category_reads_its_own_column_and_several_attributes_have_none():
  example = {"hat": np.array([1, 0]), "label": np.array([0, 0])}
  np.testing.assert_array_equal(Category(column="hat", num_classes=2).of_example(example), [[0, 1], [1, 0]])
  assert Attribute(("a", "b")).column is None and Attribute(("a",)).column == "a" and Attribute(("a",)).width == 1
  f = Composite((Color(), Attribute(("a", "b"))), adversary_weights=(3.0, 2.0))
  assert f.adversary_weights == (3.0, 2.0, 2.0)


def test_head_pose_of_eyes_at_one_place_is_finite():
  example = {f"{eye}_{axis}": np.array([5]) for eye in ("lefteye", "righteye", "nose") for axis in "xy"}
  np.testing.assert_array_equal(HeadPose().of_example(example), [[0, 0]])


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"parts": ()}, "must name one or more"),
    ({"parts": ("color", "color")}, "each once.*scope"),
    ({"parts": ("color", "digit_label"), "weights": (1,)}, "weights = .* must hold 2 numbers"),
    ({"parts": ("color",), "adversary_weights": (-1,)}, "adversary_weights = .* must hold 1 numbers.* none negative"),
    ({"parts": ("color",), "weights": (math.nan,)}, r"weights = \(nan,\) must be a tuple of numbers"),
  ],
)
def test_a_composite_that_is_none_is_refused(arguments, words):
  with pytest.raises(ConfigError, match=words):
    Composite(**arguments)


def test_a_part_in_a_scope_has_the_bindings_of_the_scope():
  config.read([], ["hat/category.column = 'hat'", "category.num_classes = 3"])
  try:
    f = Composite(("hat/category", "digit_label"))
  finally:
    gin.clear_config()
  assert f.part_names == ("hat", "digit_label")
  assert (f.parts[0].column, f.parts[0].num_classes) == ("hat", 3)


def test_a_composite_takes_a_dict_of_all_parts_of_one_length():
  f = Composite(("digit_label", "color"))
  for value, words in (
    (np.zeros([2, 13]), "a dict of digit_label, color, not ndarray"),
    ({"digit_label": [1]}, "not of digit_label"),
    ({"digit_label": [1, 2], "color": np.zeros([3, 3])}, "2 of digit_label, 3 of color"),
  ):
    with pytest.raises(FeatureError, match=words):
      f.to_vector(value)
