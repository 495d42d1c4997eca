"""Names in place of numbers: what a user asks of f, as `to_vector` takes it."""

import numpy as np
import pytest

from features.attribute import Attribute
from features.category import Category
from features.composite import Composite
from features.number import Number
from features.rgb import Rgb
from tfdisent.errors import FeatureError
from tfdisent.feature.naming import natural_values, unknown

NAMES = {"hair": ("black", "blond", "grey"), "smile": ("no", "yes")}
HAIR, AGE, SKIN = Category("hair", 3), Number("age", mean=40.0, scale=10.0), Rgb("skin")
ALL = Composite((HAIR, AGE, Attribute(("smile",)), SKIN), part_names=("hair", "age", "smile", "skin"))


def same(found, expected):
  assert set(found) == set(expected)
  for name, value in expected.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.mark.parametrize(
  ("feature", "value", "expected"),
  [
    (HAIR, "blond", [1, 1, 1]),
    (HAIR, ["grey", "black", "grey"], [2, 0, 2]),
    (HAIR, np.array(["grey", "black", "grey"], object), [2, 0, 2]),
    (HAIR, 2, [2, 2, 2]),
    (HAIR, [2, 1, 0], [2, 1, 0]),
    (HAIR, {"hair": "blond"}, [1, 1, 1]),  # by its column
    (HAIR, {"category": "blond"}, [1, 1, 1]),  # by its own name
    (HAIR, {}, {}),  # nothing is asked
    (Attribute(("smile",)), "yes", [1, 1, 1]),
    (AGE, 60, [60, 60, 60]),
    (AGE, {"age": [20, 40, 60]}, [20, 40, 60]),
    (SKIN, [0, 0.5, 1], [[0, 0.5, 1]] * 3),
  ],
)
def test_one_value_is_for_all_images_and_a_name_is_its_code(feature, value, expected):
  np.testing.assert_array_equal(natural_values(feature, value, NAMES, 3), expected)


def test_each_part_is_asked_by_its_own_names():
  found = natural_values(ALL, {"hair": ["grey", "blond"], "age": 60, "skin": [1, 0, 0], "smile": "no"}, NAMES)
  same(found, {"hair": [2, 1], "age": [60, 60], "skin": [[1, 0, 0]] * 2, "smile": [0, 0]})
  assert ALL.to_vector(found).shape == (2, 8)
  same(natural_values(ALL, {"age": 60, "smile": "yes"}, NAMES), {"age": [60], "smile": [1]})  # of one image
  same(natural_values(ALL, {}, NAMES, 3), {})


@pytest.mark.parametrize("feature", [HAIR, AGE, SKIN, Attribute(("smile",)), ALL], ids=lambda feature: feature.name)
@pytest.mark.parametrize("empty", [[], (), np.array([]), np.zeros(0, int)], ids=repr)
def test_an_empty_list_is_no_values(feature, empty):
  values = {name: empty for name in feature.part_names} if feature is ALL else empty
  for value, count in ((values, 0), (values, None), (empty, None)):
    assert feature.to_vector(natural_values(feature, value, NAMES, count)).shape == (0, feature.width)
  assert len(natural_values(HAIR, {"hair": empty}, NAMES, 3)) == 0  # not one for each image: their lengths are compared


@pytest.mark.parametrize(
  ("feature", "value", "words"),
  [
    (HAIR, "blnod", "'category' has no class 'blnod'. Did you mean 'blond'[?] There are: black, blond, grey.$"),
    (ALL, {"hair": ["grey", "x"]}, "'hair' has no class 'x'. There are: black"),
    (ALL, {"hiar": "grey"}, "no part 'hiar'. Did you mean 'hair'[?] There are: hair, age, smile, skin.$"),
    (HAIR, 3, r"no class 3. There are: 0 \(black\), 1 \(blond\), 2 \(grey\).$"),
    (HAIR, [0, -1], "no class -1. There are: 0"),
    (ALL, {"smile": [0, 2]}, r"no class 2. There are: 0 \(no\), 1 \(yes\).$"),
    (ALL, "grey", None),
    (HAIR, {"hat": "grey"}, "no part 'hat'.*There are: hair, category.$"),
    (HAIR, {"hair": "grey", "category": "grey"}, "the same part"),
    (HAIR, [[1, 2], [1]], None),
    (AGE, "old", None),
  ],
)
def test_what_is_unknown_is_refused_here_or_by_the_form(feature, value, words):
  if words:
    with pytest.raises(FeatureError, match=words):
      natural_values(feature, value, NAMES, 2)
  else:
    with pytest.raises(FeatureError, match="takes"):
      feature.to_vector(natural_values(feature, value, NAMES, 2))


def test_a_number_that_is_a_name_is_asked_for_as_a_text():
  names = {"hair": ("10", "20", "30")}
  np.testing.assert_array_equal(natural_values(HAIR, "20", names, 1), [1])
  np.testing.assert_array_equal(natural_values(HAIR, 2, names, 1), [2])
  for value in (20, [0, 20], np.array([20])):
    with pytest.raises(FeatureError, match=r"no class 20. There are: 0 \(10\), .*\. Ask for class '20' as a text"):
      natural_values(HAIR, value, names, 2)


def test_without_names_a_text_is_no_class():
  with pytest.raises(FeatureError, match="category takes int labels"):
    HAIR.to_vector(natural_values(HAIR, "blond", {}, 2))


def test_what_was_meant_is_told_where_something_is_near():
  assert unknown("zzz", ("age", "hair")) == "There are: age, hair."
  assert unknown("aeg", ("age", "hair")) == "Did you mean 'age'? There are: age, hair."
  assert unknown("a", ()) == "There are: none."
