"""Natural forms: every one against vectors by hand, in NumPy and in a graph, and what each refuses."""

import math

import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.digit_label import DigitLabel
from tfdisent.errors import FeatureError
from tfdisent.feature import convert
from tfdisent.feature.convert import Angle, Bit, Classes, Columns, Linear, Named, Vector

VIEW = Columns((Angle(turn=18.0), Linear(0.0, 8.0)), "azimuths and elevations")
BOTH = Named(("digit", "ink"), (DigitLabel(num_classes=3), Color()))

FORMS = [
  (Vector(2), [[0.5, -3.0], [1e9, 0.0]], [[0.5, -3.0], [1e9, 0.0]]),
  (Vector(2, low=-1, high=2), [[-1.0, 2.0]], [[-1.0, 2.0]]),
  (Classes(3), [2, 0, 1], [[0, 0, 1], [1, 0, 0], [0, 1, 0]]),
  (Bit(), [0, 1], [[0], [1]]),
  (Angle(), [0.0, math.pi / 6, -math.pi / 2], [[1, 0], [0.75**0.5, 0.5], [0, -1]]),
  (Angle(turn=360.0), [90.0, 180.0, -60.0], [[0, 1], [-1, 0], [0.5, -(0.75**0.5)]]),
  (Linear(-30.0, 60.0), [-30.0, 15.0, 60.0, 105.0], [[-1], [0], [1], [2]]),
  (VIEW, [[4.5, 6.0], [9.0, 0.0]], [[0, 1, 0.5], [-1, 0, -1]]),
  (BOTH, {"digit": [1, 0], "ink": [[0.0, 0.5, 1.0], [1.0, 1.0, 0.0]]}, [[0, 1, 0, 0, 0.5, 1], [1, 0, 0, 1, 1, 0]]),
]
IDS = [type(form).__name__ for form, _, _ in FORMS]


def in_graph(form, value):
  """What an exported model computes."""
  value = tf.nest.map_structure(lambda spec, v: tf.constant(v, spec.dtype), form.served, flat(form, value))
  return tf.function(form.of_served, input_signature=[form.served])(value)


def flat(form, value):
  """A value with arrays for lists, which `tf.nest` would go into."""
  return {key: np.array(of_key) for key, of_key in value.items()} if isinstance(form, Named) else np.array(value)


@pytest.mark.parametrize(("form", "value", "vector"), FORMS, ids=IDS)
def test_a_value_has_its_vector_in_numpy_and_in_a_graph(form, value, vector):
  found = form.to_vector(value, "f")
  assert found.dtype == np.float32 and found.shape[1] == form.width
  np.testing.assert_allclose(found, vector, atol=1e-6)
  of_graph = in_graph(form, value)
  assert of_graph.dtype == tf.float32
  np.testing.assert_allclose(of_graph, vector, atol=1e-6)


@pytest.mark.parametrize(("form", "value", "vector"), FORMS, ids=IDS)
def test_a_vector_comes_back_as_its_value(form, value, vector):
  back = form.to_natural(np.float32(vector))
  tf.nest.map_structure(
    lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), flat(form, back), flat(form, value)
  )


@pytest.mark.parametrize(("form", "value", "vector"), FORMS, ids=IDS)
def test_of_no_values_there_are_no_vectors(form, value, vector):
  none = tf.nest.map_structure(lambda array: array[:0], flat(form, value))
  assert form.to_vector(none, "f").shape == (0, form.width)
  assert in_graph(form, none).shape == (0, form.width)


@pytest.mark.parametrize(
  ("form", "dtype", "shape"),
  [
    (Vector(3), tf.float32, [3]),
    (Classes(4), tf.int64, []),
    (Bit(), tf.int64, []),
    (Angle(), tf.float32, []),
    (Linear(0.0, 1.0), tf.float32, []),
    (VIEW, tf.float32, [2]),
  ],
)
def test_a_graph_takes_values_of_one_dtype_and_shape(form, dtype, shape):
  assert form.served == tf.TensorSpec([None, *shape], dtype)


def test_a_graph_takes_a_dict_of_named_values():
  assert BOTH.served == {"digit": tf.TensorSpec([None], tf.int64), "ink": tf.TensorSpec([None, 3], tf.float32)}


@pytest.mark.parametrize(
  ("form", "value", "words"),
  [
    (Vector(2), [0.5, 1.0], r"^feature 'f' takes values of shape \[B, 2\], not \[2\]\.$"),
    (Vector(2, what="points"), [[1.0]], r"^feature 'f' takes points of shape \[B, 2\], not \[1, 1\]\.$"),
    (Vector(1), 1.0, r"takes values of shape \[B, 1\], not \[\]\.$"),
    (Vector(1), "bright", r"^feature 'f' takes an array of numbers, not a str\.$"),
    (Classes(3), [[1]], r"^f takes int labels of shape \[B\], not int64 \[1, 1\]\.$"),
    (Classes(3), 1, r"^f takes int labels of shape \[B\], not int64 \[\]\.$"),
    (Classes(3), [1.0], r"^f takes int labels of shape \[B\], not float64 \[1\]\.$"),
    (Classes(3), ["1"], r"^f takes int labels of shape \[B\], not <U1 \[1\]\.$"),
    (Bit(), [[1]], r"^f takes 0 or 1 of shape \[B\], not int64 \[1, 1\]\.$"),
    (Bit(), [0.5], r"^f takes 0 or 1 of shape \[B\], not float64 \[1\]\.$"),
    (Angle(), [[1.0]], r"^f takes angles of shape \[B\], not \[1, 1\]\.$"),
    (Angle(what="turns"), 1.0, r"^f takes turns of shape \[B\], not \[\]\.$"),
    (Linear(0.0, 1.0), [[1.0]], r"^f takes values of shape \[B\], not \[1, 1\]\.$"),
    (VIEW, [1.0, 2.0], r"^f takes azimuths and elevations, \[B, 2\], not \[2\]\.$"),
    (BOTH, [1, 2], r"^f takes a dict of digit, ink, not list\.$"),
    (BOTH, {}, r"^f takes a dict of digit, ink, not of nothing\.$"),
    (BOTH, {"digit": [1], 3: [2]}, r"^f takes a dict of digit, ink, not of digit, 3\.$"),
    (BOTH, {"digit": [1], "ink": [[0, 0, 0]] * 2}, r"^f was given 1 of digit, 2 of ink: .* of the same length\.$"),
    (BOTH, {"digit": [1.0], "ink": [[0, 0, 0]]}, r"^digit_label takes int labels"),
  ],
)
def test_what_is_no_batch_of_values_is_refused(form, value, words):
  with pytest.raises(FeatureError, match=words):
    form.to_vector(value, "f")


OUT_OF_RANGE = [
  (
    Vector(2, low=-1, high=2),
    [[0.0, 2.5]],
    "f takes values in [-1, 2], and was given 0 to 2.5.",
    "values lie in [-1, 2]",
  ),
  (Vector(1, 0, 1, "RGB"), [[-0.5]], "f takes RGB in [0, 1], and was given -0.5 to -0.5.", "RGB lies in [0, 1]"),
  (Classes(3), [0, 3], "from 0 to 2 (num_classes = 3), and was given 0 to 3.", "labels lie in 0 to 2"),
  (Classes(3), [-1, 2], "from 0 to 2 (num_classes = 3), and was given -1 to 2.", "labels lie in 0 to 2"),
  (Bit(), [0, 2], "f takes 0 or 1 of shape [B], not int64 [2].", "an attribute is 0 or 1"),
  (Bit(), [-1], "f takes 0 or 1 of shape [B], not int64 [1].", "an attribute is 0 or 1"),
]


@pytest.mark.parametrize(("form", "value", "of_numpy", "of_graph"), OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused_in_numpy_and_in_a_graph(form, value, of_numpy, of_graph):
  with pytest.raises(FeatureError) as error:
    form.to_vector(value, "f")
  assert of_numpy in str(error.value)
  with pytest.raises(tf.errors.InvalidArgumentError) as error:
    in_graph(form, value)
  assert of_graph in str(error.value)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
  ("form", "value"),
  [(Vector(2), [[0.0, 1.0]]), (Angle(), [0.5]), (Linear(0.0, 1.0), [0.5]), (VIEW, [[1.0, 2.0]])],
)
def test_what_is_not_finite_is_refused(form, value, bad):
  value = np.array(value)
  value[..., -1] = bad
  with (
    pytest.raises(FeatureError, match=r"^feature 'f' was given NaN or infinite values"),
    np.errstate(invalid="ignore"),
  ):
    form.to_vector(value, "f")


def test_nan_within_a_range_is_not_finite():
  with pytest.raises(FeatureError, match=r"^feature 'f' was given NaN"):
    Vector(2, low=0, high=1).to_vector([[np.nan, 0.5]], "f")


def test_a_number_that_no_angle_of_float32_has_is_refused():
  """It is finite, but in radians it is not."""
  with pytest.raises(FeatureError, match="NaN or infinite"), np.errstate(all="ignore"):
    Angle(turn=1e-3).to_vector([3e38], "f")


def test_only_numpy_takes_other_integers_and_numbers_that_are_bits():
  np.testing.assert_array_equal(Classes(3).to_vector(np.array([2], np.uint8), "f"), [[0, 0, 1]])
  for bits in ([False, True], [0.0, 1.0], np.array([0, 1], np.int8)):
    np.testing.assert_array_equal(Bit().to_vector(bits, "f"), [[0], [1]])


def test_an_angle_of_any_turn_comes_back_as_its_principal_value():
  form = Angle(turn=360.0)
  np.testing.assert_allclose(
    form.to_natural(form.to_vector([270.0, -180.0, 540.0, 725.0], "f")), [-90, 180, 180, 5], 1e-4
  )
  assert Angle(turn=18.0).to_natural(np.array([[-1.0, -1e-8]], np.float32)) == pytest.approx(9.0)
  np.testing.assert_allclose(form.to_natural(np.array([[0.0, 0.3]])), [90])  # of any length


def test_what_is_read_comes_back_as_the_nearest_value():
  np.testing.assert_array_equal(Vector(2, low=0, high=1).to_natural(np.array([[-0.1, 1.5]])), [[0, 1]])
  np.testing.assert_array_equal(Vector(2).to_natural(np.array([[-0.1, 1.5]])), [[-0.1, 1.5]])
  np.testing.assert_array_equal(Classes(3).to_natural(np.array([[0.2, 0.5, 0.3]])), [1])


def test_named_features_convert_with_their_own_methods():
  """A plug-in may override them."""

  class Percent(Color):
    def to_vector(self, value):
      return super().to_vector(np.asarray(value) / 100)

    def of_served(self, value):
      return super().of_served(value / 100)

    def to_natural(self, vector):
      return 100 * super().to_natural(vector)

  form, value = Named(("ink",), (Percent(),)), {"ink": np.array([[0.0, 50.0, 100.0]])}
  np.testing.assert_allclose(form.to_vector(value, "f"), [[0, 0.5, 1]])
  np.testing.assert_allclose(in_graph(form, value), [[0, 0.5, 1]])
  np.testing.assert_allclose(form.to_natural(np.array([[0, 0.5, 1]]))["ink"], value["ink"])


def test_vectors_are_split_by_the_widths_of_their_parts():
  vector = np.arange(12).reshape(2, 6)
  first, second = convert.split(vector, [Classes(4), Angle()])
  np.testing.assert_array_equal(first, [[0, 1, 2, 3], [6, 7, 8, 9]])
  np.testing.assert_array_equal(second, [[4, 5], [10, 11]])
