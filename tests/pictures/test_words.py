"""Values in words."""

import math

import numpy as np
import pytest

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from features.number import Number
from features.pose import Pose, Rotation, Viewpoint
from features.rgb import Rgb
from tfdisent.checkpoints import Checkpoint
from tfdisent.pictures.words import feature_words, file_name, listed, names_of, part_words, run_words, value_words

AGE = Number("age", mean=40.0, scale=10.0)


@pytest.mark.parametrize(
  ("feature", "natural", "classes", "words"),
  [
    (DigitLabel(), [3, 0], (), ["3", "0"]),
    (Category(column="hair", num_classes=3), [2, 0, 1], ("black", "blond"), ["2", "black", "blond"]),
    (Attribute(("smile",)), [0, 1], (), ["no", "yes"]),
    (Attribute(("smile",)), [0, 1], ("0", "1"), ["no", "yes"]),
    (Attribute(("smile",)), [1, 0], ("serious", "smiling"), ["smiling", "serious"]),
    (Attribute(("label",)), [0, 1], ("0", "1"), ["0", "1"]),  # folders that are called so
    (Color(), [[1, 0.5, 0], [0, 0, 0.2]], (), ["#ff8000", "#000033"]),
    (Rgb("hair"), [[0.1, 0.2, 1.0]], (), ["#1a33ff"]),
    (AGE, [18.0, 60.0, 33.26], (), ["18", "60", "33"]),
    (AGE, [33.26, 33.5], (), ["33.26", "33.50"]),
    (Rotation("azimuth", 360.0), [45.0, -90.0], (), ["45°", "-90°"]),
    (Rotation("angle"), [math.pi / 4, -math.pi / 2], (), ["45°", "-90°"]),
    (Rotation("steps", 18.0), [4.5, -2.0], (), ["4.5", "-2.0"]),
    (Pose(), [math.pi / 6, -math.pi / 6], (), ["30°", "-30°"]),
    (Viewpoint(turn=360.0), [[45.0, 8.0], [90.0, 0.0]], (), ["45°, 8", "90°, 0"]),
  ],
)
def test_a_value_of_each_kind(feature, natural, classes, words):
  assert part_words(feature, feature.to_vector(np.array(natural)), classes) == words


def test_numbers_have_as_many_digits_as_their_range_wants():
  for values, words in (
    ([0.0, 1e-3], ["0.0000", "0.0010"]),
    ([1234.0, 99999.0], ["1234", "99999"]),
    ([5.0], ["5.0"]),
    ([80.0], ["80"]),
    ([0.0], ["0.0"]),
    ([-0.01, 4.0], ["0.0", "4.0"]),
    ([0.0, 3e9], ["0", "3e+09"]),
  ):
    assert value_words(np.array(values)) == words


def test_each_part_has_a_line():
  feature = Composite((DigitLabel(), Color()))
  f = feature.to_vector({"digit_label": [3, 0], "color": [[0.5, 0.0, 1.0], [1.0, 1.0, 0.25]]})
  names = {"label": [f"class {k}" for k in range(10)]}
  lines = ["digit_label: class 3\ncolor: #8000ff", "digit_label: class 0\ncolor: #ffff40"]
  assert feature_words(feature, f, names) == lines
  assert feature_words(feature, f, {}, parts=[1]) == ["#8000ff", "#ffff40"]


def test_of_many_parts_some_are_told():
  feature = Attribute(tuple("abcdefgh"))
  (words,) = feature_words(feature, np.eye(8)[:1], {})
  assert words.split("\n") == ["a: yes", "b: no", "c: no", "d: no", "e: no", "and 3 more"]


def test_names_of_features():
  assert names_of(Category(column="hair", num_classes=3)) == ["hair"] and names_of(DigitLabel()) == ["digit_label"]
  assert names_of(Composite((DigitLabel(), AGE), part_names=("digit", "years"))) == ["digit", "years"]
  assert (listed(["a"]), listed(["a", "b"]), listed(["a", "b", "c"])) == ("a", "a and b", "a, b and c")
  assert listed(["a"] * 40) == "40 features"


def test_a_title_says_the_run_and_its_checkpoint():
  assert run_words("photos", Checkpoint("best", 12, 0)) == "photos · best checkpoint, after epoch 12"
  assert run_words("", Checkpoint("last", 2, 7)) == "last checkpoint, after epoch 2, step 7 of the next"
  assert run_words("photos") == "photos"


def test_the_name_of_a_file_is_one():
  assert file_name("fusion", "hair/colour 2") == "fusion_hair_colour_2.png" and file_name("grid") == "grid.png"
