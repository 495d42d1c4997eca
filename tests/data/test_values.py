"""What one cell means, over generated cells: a number is one text, and the order of classes is that of people."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdisent.data.values import MISSING, as_array, as_number, as_text, coded, natural_order, printable
from tfdisent.errors import DataError

quickly = settings(max_examples=60, deadline=None, derandomize=True)
TEXTS = st.text(max_size=6) | st.sampled_from(["1", "01", "1.0", "NA", "nan", "2a", "10a", "-0", "٣", "true", "1e3"])


@quickly
@given(st.integers(-(10**12), 10**12))
def test_a_whole_number_is_one_text_in_all_its_forms(number):
  forms = [number, float(number), np.int64(number), np.float64(number), str(number), f" {number}.00 ", f"{number:+d}"]
  assert {as_text(form) for form in forms} == {str(number)}
  assert as_number(as_text(number)) == number


@quickly
@given(st.floats(-1e30, 1e30))
def test_a_float_keeps_its_value(value):
  assert as_number(as_text(value)) == value == as_number(as_text(repr(value)))


def test_truth_values_are_those_of_json():
  assert [as_text(value) for value in (True, np.True_, False)] == ["true", "true", "false"]
  assert [as_number(text) for text in ("true", "Yes", "no", "FALSE")] == [1, 1, 0, 0]


@quickly
@given(st.sampled_from(sorted(MISSING)), st.sampled_from([str.upper, str.lower, str.title]), st.sampled_from(["", " "]))
def test_what_stands_for_nothing_is_missing_in_any_case(text, case, space):
  assert as_text(space + case(text) + space) == ""


def test_nothing_is_missing_and_other_words_are_not():
  assert [as_text(value) for value in (None, np.nan, float("nan"), "none", "\x1cx", "a?")] == [
    "", "", "", "none", "\x1cx", "a?",
  ]  # fmt: skip


@pytest.mark.parametrize("text", ["inf", "-inf", "1e39", "nan", "1_0", "1,5", "", "x", "9" * 5000])
def test_what_is_no_number_as_float32_is_none(text):
  assert np.isnan(as_number(text))


@quickly
@given(st.lists(TEXTS, unique=True), st.integers(0, 99))
def test_the_order_is_of_the_texts_alone(texts, seed):
  shuffled = random.Random(seed).sample(texts, len(texts))
  assert natural_order(texts) == natural_order(shuffled) and sorted(natural_order(texts)) == sorted(texts)


@quickly
@given(st.lists(st.integers(0, 10**6), unique=True), st.sampled_from(["", "obj", "a.b "]))
def test_numbers_and_numbers_within_words_are_in_their_order(numbers, word):
  assert natural_order(f"{word}{number}" for number in numbers) == [f"{word}{number}" for number in sorted(numbers)]


def test_very_long_numbers_and_fractions_are_in_order():
  assert natural_order(["a" + "9" * 5000, "a2", "a10"]) == ["a2", "a10", "a" + "9" * 5000]
  assert natural_order(["0.5", "-2", "1e2", "3"]) == ["-2", "0.5", "3", "1e2"]
  assert natural_order(["yes", "no", "3"]) == ["3", "no", "yes"]


@quickly
@given(st.lists(st.none() | st.booleans() | st.integers() | st.floats() | TEXTS))
def test_codes_give_back_the_texts(values):
  texts, code = coded(as_array(values))
  assert [texts[c] for c in code] == [as_text(value) for value in values] and len(set(texts)) == len(texts)


def test_lists_of_other_lengths_are_refused_by_name():
  assert as_array([[1, 2], [3, 4]]).shape == (2, 2) and as_array([[1], "x"]).shape == (2,)
  with pytest.raises(DataError, match="column 'rgb' has lists of different lengths"):
    as_array([[1, 2], [3]], "rgb")


def test_a_name_of_two_lines_is_shown_in_one():
  assert (printable("Käse"), printable("big\ncat"), printable("it's\t")) == ("Käse", "big\\ncat", "it's\\t")
