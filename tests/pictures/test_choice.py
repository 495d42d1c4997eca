"""Which examples and which values are shown."""

import numpy as np

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.digit_label import DigitLabel
from features.number import Number
from features.pose import Rotation
from tfdisent.pictures.choice import path, pick

LABELS = DigitLabel()


def test_columns_show_each_class_once_in_order():
  label = np.array([3, 3, 1, 0, 3, 7, 1, 0, 9])
  rows = pick(np.eye(10)[label], LABELS)
  assert label[rows].tolist() == [0, 1, 3, 7, 9]
  bits = np.float32([[1], [0], [1]])
  assert bits[pick(bits, Attribute(("smile",)))].tolist() == [[0], [1]]


def test_of_too_many_classes_some_are_left_out_evenly():
  label = np.arange(26)
  assert label[pick(np.eye(26)[label], Category(num_classes=26), count=6)].tolist() == [0, 5, 10, 15, 20, 25]
  assert label[pick(np.eye(26)[label], Category(num_classes=26), count=1)].tolist() == [0]


def test_the_seed_picks_the_examples_of_the_classes():
  f = np.eye(10)[np.arange(200) % 10]
  assert (pick(f, LABELS, seed=0) == pick(f, LABELS, seed=0)).all()
  assert (pick(f, LABELS, seed=0) != pick(f, LABELS, seed=1)).any()


def test_columns_of_a_continuous_feature_lie_far_apart_and_in_order():
  corners = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32)
  crowd = 0.5 + 0.01 * np.random.default_rng(0).random((50, 3), np.float32)
  f = np.concatenate([crowd, corners])
  rows = pick(f, Color(), count=5)
  assert sum(row >= 50 for row in rows) == 4 and len(set(rows)) == 5
  assert [tuple(f[row]) for row in rows] == sorted(tuple(f[row]) for row in rows)


def test_of_fewer_examples_than_columns_all_are_shown():
  f = np.array([[0.3], [0.1], [0.2]])
  assert pick(f, Color()).tolist() == [1, 2, 0]


def test_several_attributes_at_once_are_picked_by_their_vectors():
  f = np.float32([[1, 0], [0, 1], [0, 1], [1, 1]])
  assert f[pick(f, Attribute(("a", "b")))].tolist() == [[0, 1], [1, 0], [1, 1]]


# --- Paths ------------------------------------------------------------------------------------------------------------


def test_a_path_goes_through_all_classes_even_those_without_an_example():
  some = np.eye(4, dtype=np.float32)[[1, 1]]
  np.testing.assert_array_equal(path(Category(num_classes=4), some), np.eye(4))
  assert np.argmax(path(Category(num_classes=26), np.eye(26)[:1], 6), 1).tolist() == [0, 5, 10, 15, 20, 25]
  assert path(Attribute(("smile",)), np.float32([[1]])).tolist() == [[0], [1]]


def test_a_path_goes_around_a_whole_turn():
  turn = Rotation("azimuth", 360.0)
  angles = turn.to_natural(path(turn, turn.to_vector(np.float32([0, 1])), 8))
  np.testing.assert_allclose(angles, np.arange(-135, 181, 45), atol=1e-3)


def test_a_path_of_a_number_is_even_from_the_lowest_to_the_highest():
  age = Number("age", mean=40.0, scale=10.0)
  ages = age.to_natural(path(age, age.to_vector(np.float32([30, 20, 21, 60])), 5))
  np.testing.assert_allclose(ages, [20, 30, 40, 50, 60], rtol=1e-5)


def test_a_path_of_colors_passes_distant_ones_evenly():
  f = np.float32([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0.5, 0, 0]])
  np.testing.assert_allclose(path(Color(), f[:3], 5), [[0, 0, 0], [0.5, 0, 0], [1, 0, 0], [1, 0.5, 0], [1, 1, 0]])
  assert len(path(Color(), f[:1], 5)) == 5  # of one colour alone
