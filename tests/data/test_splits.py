"""Fractions, channels and sizes: which are refused; and which rows a split gets."""

import numpy as np
import pytest

from tfdisent.data.columns import Column
from tfdisent.data.splits import (
  absent_classes,
  check_channels,
  check_fractions,
  divide,
  height_and_width,
  stratified,
)
from tfdisent.errors import ConfigError


@pytest.mark.parametrize(
  ("wholes", "named"),
  [
    ([{"a": 0.0, "b": 0.5}], "zoo: a = 0.0 and b = 0.5"),
    ([{"a": 0.5, "b": 0.5}], "zoo: a = 0.5 and b = 0.5"),
    ([{"a": 0.2, "b": float("nan")}], "zoo: a = 0.2 and b = nan"),
    ([{"a": 1.0}, {"b": 0.1, "c": 0.1}], "zoo: a = 1.0, b = 0.1 and c = 0.1"),
    ([{"a": 0.1}, {"b": 0.5, "c": -0.1}], "zoo: a = 0.1, b = 0.5 and c = -0.1"),
  ],
)
def test_fractions_are_positive_and_leave_a_rest_of_each_whole(wholes, named):
  with pytest.raises(ConfigError, match=f"^{named} must be positive and leave a rest to train on: below 1 together.$"):
    check_fractions("zoo", *wholes)
  check_fractions("zoo", {"a": 0.9}, {"b": 0.5, "c": 0.4})


@pytest.mark.parametrize(
  ("fractions", "at_least", "lengths"),
  [((0.2, 0.35), 0, [2, 4, 4]), ((0.01,), 0, [0, 10]), ((0.01, 0.04), 1, [1, 1, 8]), ((), 1, [10])],
)
def test_rows_are_divided_in_their_order_without_a_copy(fractions, at_least, lengths):
  rows = np.arange(10)[::-1]
  parts = divide(rows, fractions, at_least)
  assert [len(part) for part in parts] == lengths
  np.testing.assert_array_equal(np.concatenate(parts), rows)
  assert all(np.shares_memory(part, rows) for part in parts if len(part))


def test_channels_are_1_or_3_or_none_where_none_has_a_meaning():
  for channels in (1, 3):
    check_channels("zoo", channels)
  check_channels("zoo", None, may_be_none=True)
  with pytest.raises(ConfigError, match=r"^zoo.channels = None: choose 1 \(grey\) or 3 \(RGB\)\.$"):
    check_channels("zoo", None)
  with pytest.raises(ConfigError, match=r"^zoo.channels = 2: choose 1 \(grey\), 3 \(RGB\) or None\.$"):
    check_channels("zoo", 2, may_be_none=True)


def test_a_size_is_one_number_or_two():
  assert height_and_width("zoo", 5) == (5, 5)
  assert height_and_width("zoo", (4, 6)) == height_and_width("zoo", [4, 6]) == (4, 6)
  for size in (0, (8, 0), (8,), (8, 8, 3), 2.5, (2.5, 2), "64", None):
    with pytest.raises(
      ConfigError, match=r"^zoo.size = .* must be at least 1 and at most 16384: a whole number of pixels for both"
    ):
      height_and_width("zoo", size)


# --- Stratified splits ---


def test_without_classes_rows_are_shuffled_and_divided():
  parts = stratified(np.zeros((40, 0), int), (0.1, 0.25), np.random.default_rng(0))
  assert [len(part) for part in parts] == [4, 10, 26]
  assert sorted(np.concatenate(parts)) == list(range(40)) != np.concatenate(parts).tolist()


def test_every_class_is_as_frequent_in_every_part():
  random_state = np.random.default_rng(0)
  classes = np.stack([random_state.permutation(np.arange(1000) % k) for k in (2, 5, 10)], 1)
  classes[:, 1] += 3  # classes need not begin at 0
  parts = stratified(classes, (0.1, 0.2), random_state)
  assert sorted(np.concatenate(parts)) == list(range(1000))
  for part, share in zip(parts, (0.1, 0.2, 0.7)):
    assert abs(len(part) - 1000 * share) <= 10
    for column, least in zip(classes.T, (0, 3, 0)):
      whole, of_part = (np.bincount(rows - least) for rows in (column, column[part]))
      np.testing.assert_allclose(of_part, whole * share, atol=4)


def test_one_column_is_divided_exactly_and_in_a_random_order():
  classes = np.repeat([0, 1], [80, 20])[:, None]
  parts = stratified(classes, (0.1, 0.1), np.random.default_rng(0))
  assert [np.bincount(classes[part, 0]).tolist() for part in parts] == [[8, 2], [8, 2], [64, 16]]
  assert all((np.diff(part) < 0).any() for part in parts)
  again, other = (stratified(classes, (0.1, 0.1), np.random.default_rng(seed)) for seed in (0, 1))
  assert all(map(np.array_equal, parts, again)) and not all(map(np.array_equal, parts, other))


def test_a_rare_class_is_in_every_part_if_it_can_be():
  rare = np.zeros(500, int)
  rare[[3, 33, 333]] = 1
  rare[[5, 55]] = 2
  classes = np.stack([rare, np.arange(500) % 7], 1)
  parts = stratified(classes, (0.1, 0.1), np.random.default_rng(0))
  counts = np.array([np.bincount(rare[part], minlength=3) for part in parts])
  assert counts[:, 1].tolist() == [1, 1, 1]
  assert counts[:, 2].sum() == 2


def test_a_rare_class_is_not_dealt_out_by_the_needs_of_a_common_one():
  digit = np.arange(60) % 12
  parts = stratified(np.stack([digit % 2, digit], 1), (0.1, 0.1, 0.1), np.random.default_rng(0))
  assert [np.bincount(digit[part]).tolist() for part in parts] == [[1] * 12] * 3 + [[2] * 12]


def test_classes_that_a_split_lacks_are_told_by_name():
  columns = [Column("a", "category", ("x", "y", "z", "u", "v")), Column("n", "number"), Column("b", "category")]
  splits = {
    "train": {"a": np.array([0, 1, 2, 3, 4]), "b": np.array([7, 8])},
    "probe": {"a": np.array([1]), "b": np.array([8, 7])},
    "test": {"a": np.array([1, 1]), "b": np.array([7])},
  }
  assert absent_classes(columns, splits) == [
    "'a': no image in probe, test is x, z, u and 1 more",
    "'b': no image in test is 8",
  ]
