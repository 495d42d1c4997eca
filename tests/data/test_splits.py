"""Fractions, channels and sizes: which are refused, and which rows a split gets."""

import numpy as np
import pytest

from tfdisent.data.splits import check_channels, check_fractions, divide, height_and_width
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
  with pytest.raises(ConfigError, match=f"^{named} must be positive and leave a rest to train on.$"):
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
    with pytest.raises(ConfigError, match=r"^zoo.size = .* must be at least 1: a number of pixels, or \(height"):
      height_and_width("zoo", size)
