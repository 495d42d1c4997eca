"""What is known of a column: the words that force a kind, and the arrays that a kind has."""

import numpy as np
import pytest

from tfdisent.data.columns import Asked, Column, asked, check_column, kind_of_classes, parse
from tfdisent.errors import ConfigError, DataError


@pytest.mark.parametrize(
  ("word", "expected"),
  [
    ("age", Asked("age", None, 0.0)),
    (" age : Category ", Asked("age", "category", 0.0)),
    ("class:number", Asked("class", "number", 0.0)),
    ("azimuth:angle=360", Asked("azimuth", "angle", 360.0)),
    ("turn:angle = 6.25", Asked("turn", "angle", 6.25)),
    ("a:b:attribute", Asked("a:b", "attribute", 0.0)),
    ("skin:colour", Asked("skin", "color", 0.0)),
    ("skin:rgb", Asked("skin", "color", 0.0)),
  ],
)
def test_a_word_names_a_column_and_may_force_a_kind(word, expected):
  assert parse(word) == expected


@pytest.mark.parametrize("word", ["age:categroy", "age:", "age:number=3", "age:color=1"])
def test_an_unknown_kind_is_refused_with_the_column_and_the_kinds(word):
  with pytest.raises(ConfigError, match=r"column 'age' .*attribute, category, number, color and angle=<a full turn>"):
    parse(word)


@pytest.mark.parametrize("word", ["age:angle", "age:angle=", "age:angle=all", "age:angle=0", "age:angle=-1"])
def test_an_angle_needs_a_full_turn(word):
  with pytest.raises(ConfigError, match=r"column 'age': an angle needs a full turn .*'age:angle=360'"):
    parse(word)


def test_kinds_are_words_or_a_dict():
  expected = {"age": Asked("age", "number"), "turn": Asked("turn", "angle", 360.0)}
  assert asked({"age": "number", "turn": "angle=360"}) == asked(("age:number", "turn:angle=360")) == expected
  assert asked("age:number") == {"age": Asked("age", "number")}


def test_two_classes_are_an_attribute():
  assert (kind_of_classes(("a", "b")), kind_of_classes("abc"), kind_of_classes(("a",))) == (
    "attribute",
    "category",
    "category",
  )


SOUND = [
  (Column("a", "attribute", ("no", "yes")), np.array([0, 1, 1])),
  (Column("a", "category", ("x", "y", "z")), np.array([0, 2, 1])),
  (Column("a", "category"), np.array([0, 7])),
  (Column("a", "number"), np.float32([-3, 5])),
  (Column("a", "color"), np.float32([[0, 0.5, 1]])),
  (Column("a", "angle", turn=360.0), np.float32([900])),
]


@pytest.mark.parametrize(("column", "values"), SOUND)
def test_an_array_fits_its_kind(column, values):
  check_column(column, values, "it")


@pytest.mark.parametrize(
  ("column", "values", "words"),
  [
    (Column("a", "attribute", ("no", "yes")), np.array([0, 2]), "values from 0 to 2: each must be the place"),
    (Column("a", "attribute"), np.array([0, 2]), "values from 0 to 2"),
    (Column("a", "attribute", ("no",)), np.array([0, 0]), "class names"),
    (Column("a", "category", ("x", "y", "z")), np.array([0, 3]), "'category' .*values from 0 to 3"),
    (Column("a", "category"), np.array([-1, 3]), "values from -1 to 3"),
    (Column("a", "category", ("x", "y")), np.float32([0, 1]), r"must be int64 \[N\], not float32 \[2\]"),
    (Column("a", "number"), np.array([0.0, 1.0]), r"must be float32 \[N\], not float64 \[2\]"),
    (Column("a", "number"), np.zeros([2, 3], np.float32), r"must be float32 \[N\], not float32 \[2, 3\]"),
    (Column("a", "color"), np.zeros([2], np.float32), r"must be float32 \[N, 3\], not float32 \[2\]"),
    (Column("a", "color"), np.float32([[0, 0, 255]]), r"from 0 to 255: they must be in \[0, 1\]"),
    (Column("a", "angle"), np.float32([1]), "an angle of turn = 0"),
    (Column("a", "age"), np.float32([1]), "the kind 'age'. The kinds are attribute, category, number, color, angle"),
  ],
)
def test_an_array_that_does_not_fit_is_refused(column, values, words):
  with pytest.raises(DataError, match=f"^it .*{words}"):
    check_column(column, values, "it")
