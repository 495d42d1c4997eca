"""Which kind each column of a table is found to be, with known answers for every rule."""

import numpy as np
import pytest

from tfdisent.data.detect import find, natural_order
from tfdisent.errors import ConfigError, DataError

HALF = np.float32(0.5)


def found(values, kind=None, name="a"):
  """The column, its values as a list, and the reason if it is left out, of a table of one column."""
  of_all = find({name: values}, {name: kind} if kind else ())
  column = of_all.columns.get(name)
  return column, None if column is None else of_all.values[name].tolist(), of_all.left_out.get(name)


@pytest.mark.parametrize(
  ("values", "names", "code"),
  [
    (["1", "0", "1"], ("0", "1"), [1, 0, 1]),
    (["1.0", "0", "1"], ("0", "1"), [1, 0, 1]),
    ([1, 0.0, True], ("false", "true"), [1, 0, 1]),
    (["True", "false", "TRUE"], ("false", "true"), [1, 0, 1]),
    (["Yes", "no", "yes"], ("no", "yes"), [1, 0, 1]),
    (["on", "off", "on"], ("off", "on"), [1, 0, 1]),
    (["true", "0", "no"], ("false", "true"), [1, 0, 0]),
    (["Y", "no", "N", "yes"], ("false", "true"), [1, 0, 0, 1]),
    (["T", "f", "true", "F"], ("false", "true"), [1, 0, 1, 0]),
    (["Y", "F"], ("f", "y"), [1, 0]),
    (["male", "female", "male"], ("female", "male"), [1, 0, 1]),
    (["-1", "1", "-1"], ("-1", "1"), [0, 1, 0]),
    (["10", "2", "10"], ("2", "10"), [1, 0, 1]),
    (np.array([True, False]), ("false", "true"), [1, 0]),
    (np.array([1.0, 0.0], np.float32), ("0", "1"), [1, 0]),
    (np.array([[1], [0]]), ("0", "1"), [1, 0]),
    ([b"ja", "nein"], ("ja", "nein"), [0, 1]),
  ],
)
def test_two_values_are_an_attribute(values, names, code):
  column, of_column, _ = found(values)
  assert (column.kind, column.class_names, of_column) == ("attribute", names, code)


@pytest.mark.parametrize(
  ("values", "names"),
  [
    (["10", "2", "1"], ("1", "2", "10")),
    (["10.0", "2", "1.0"], ("1", "2", "10")),
    ([10, 2, 1], ("1", "2", "10")),
    (np.array([10.0, 2.0, 1.0], np.float32), ("1", "2", "10")),
    (["obj10", "obj2", "obj1"], ("obj1", "obj2", "obj10")),
    (["eel", "cat", "dog"], ("cat", "dog", "eel")),
    (["Y", "N", "F"], ("F", "N", "Y")),
    (["yes", "t", "no"], ("no", "t", "yes")),
    (["N", "F", "off"], ("F", "N", "off")),
    (["eel ", " cat", "dog"], ("cat", "dog", "eel")),
    (np.array(["eel", "cat", "dog"]), ("cat", "dog", "eel")),
  ],
)
def test_few_values_are_a_category_in_natural_order(values, names):
  column, code, _ = found(np.tile(np.ravel(values), 3) if isinstance(values, np.ndarray) else values * 3)
  assert (column.kind, column.class_names, column.sources) == ("category", names, ("a",))
  as_names = [str(v).strip().removesuffix(".0") for v in np.ravel(values)] * 3
  assert [names[c] for c in code] == as_names


@pytest.mark.parametrize(
  ("values", "kind"),
  [
    (list(range(20)) * 3, "category"),
    (list(range(20)) * 2, "number"),  # two rows of each value
    ([*range(21)] * 3, "number"),  # more than 20 values
    ([-1, 0, 1] * 3, "number"),
    ([0.5, 0.25, 0.125] * 3, "number"),
    (["0.5", "1e3", " 7 "] * 3, "number"),
    ([f"w{i}" for i in range(100)] * 3, "category"),
    ([f"w{i}" for i in range(101)] * 3, None),
    (["a", "b", "c"] * 2, None),  # two rows of each word
    ([18, 40, 99, 40, 63, 21], "number"),
  ],
)
def test_how_few_is_few(values, kind):
  column, _, reason = found(values)
  assert (column and column.kind) == kind
  assert bool(reason) == (kind is None)


def test_numbers_keep_their_values():
  column, values, _ = found(["0.5", "-2", "1e3"])
  assert (column.kind, column.class_names, values) == ("number", (), [0.5, -2.0, 1000.0])


@pytest.mark.parametrize(
  ("name", "values", "reason"),
  [
    ("a", [f"cat{i % 3}.PNG" for i in range(9)], "it names files"),
    ("a", [f"Portrait {i}" for i in range(9)], "it has 9 different texts in 9 rows: names or free text; 'a:category'"),
    ("a", ["x"] * 9, "it has one value, 'x'"),
    ("a", [1, 1.0, "1", True], "it has one value"),
    ("a", ["1", None, "0"], "it has empty cells"),
    ("a", ["1", "  ", "0"], "it has empty cells"),
    ("a", [1.5, float("nan"), 2.5], "it has empty cells"),
    ("a", list(range(30)), "it numbers the rows"),
    ("a", list(range(129, 99, -1)), "it numbers the rows"),
    ("person_id", [i // 2 for i in range(100)], "it numbers the rows or what is in them; 'person_id:number' takes it"),
    ("", [3 * i for i in range(30)], "it numbers the rows"),
    ("a", ["01_02", "01_03", "01_04"], "it has 3 different texts"),
  ],
)
def test_what_is_no_feature_is_left_out_with_the_reason(name, values, reason):
  column, _, said = found(values, name=name)
  assert column is None and said.startswith(reason)


# --- Colours ---


def test_three_columns_are_a_colour_under_their_common_name():
  table = {"skin_b": ["0.25", "0"], "x": [5.5, 6.5], "skin_r": ["1", "0.5"], "skin_g": ["0", "0"]}
  of_all = find(table)
  assert list(of_all.columns) == ["skin", "x"]
  assert (of_all.columns["skin"].kind, of_all.columns["skin"].sources) == ("color", ("skin_r", "skin_g", "skin_b"))
  np.testing.assert_array_equal(of_all.values["skin"], np.float32([[1, 0, 0.25], [0.5, 0, 0]]))


def test_a_colour_up_to_255_is_divided_in_all_channels_alike():
  values = find({"c_r": [0, 1], "c_g": [51, 1], "c_b": [1, 255]}).values["c"]
  np.testing.assert_array_equal(values, np.array([[0, 51, 1], [1, 1, 255]], np.float64).astype(np.float32) / 255)
  assert values.dtype == np.float32


@pytest.mark.parametrize("red", [[0.5, -0.5, 3.5], [0.5, 256, 3.5], ["x", "y", "z"]])
def test_three_columns_that_are_no_colour_are_columns_of_their_own(red):
  of_all = find({"c_r": red, "c_g": [0.5, 1.5, 7.5], "c_b": [0.5, 1.5, 7.5]})
  assert "c" not in of_all.columns and {"c_g", "c_b"} <= set(of_all.columns)


def test_a_colour_does_not_replace_words_of_its_name_unless_it_is_asked_for():
  table = {"skin": ["pale", "dark"] * 2, **{f"skin_{c}": [0.5, 0.25] * 2 for c in "rgb"}}
  assert {name: c.kind for name, c in find(table).columns.items()} == {"skin": "attribute", "skin_rgb": "color"}
  assert {name: c.kind for name, c in find(table, ("skin:color",)).columns.items()} == {"skin": "color"}
  alone = find(table, ("skin_r:number",)).columns
  assert {name: c.kind for name, c in alone.items()} == {
    "skin": "attribute",
    "skin_r": "number",
    "skin_g": "attribute",
    "skin_b": "attribute",
  }


@pytest.mark.parametrize("values", [["#ff0033", "#000000"], ["#FF0033", "#000000"], np.array(["#ff0033", "#000000"])])
def test_hexadecimal_texts_are_a_colour(values):
  column, rgb, _ = found(values)
  assert column.kind == "color"
  np.testing.assert_array_equal(np.float32(rgb), np.float32([[1, 0, 0.2], [0, 0, 0]]))


@pytest.mark.parametrize(
  ("values", "expected"),
  [
    (np.array([[255, 0, 51]], np.uint8), [[1, 0, HALF * 0.4]]),
    (np.array([[1.0, 0, 0.5]]), [[1, 0, 0.5]]),
    ([[0, 0, 1], [0.5, 0, 0]], [[0, 0, 1], [0.5, 0, 0]]),
  ],
)
def test_an_array_of_three_is_a_colour(values, expected):
  column, rgb, _ = found(values)
  assert column.kind == "color"
  np.testing.assert_allclose(rgb, expected, atol=1e-7)


@pytest.mark.parametrize("values", [np.zeros([2, 4]), np.full([2, 3], 256), np.full([2, 3], -1), np.zeros([2, 3, 1])])
def test_another_shape_is_refused(values):
  with pytest.raises(DataError, match=r"column 'a' has the shape \[2, .*give one value for each image, or colours"):
    found(values)


# --- Kinds that are forced ---


@pytest.mark.parametrize(
  ("values", "word", "kind", "expected"),
  [
    ([18.0, 40, 18], "category", "category", [0, 1, 0]),
    ([10, 9, 2, 2], "category", "category", [2, 1, 0, 0]),
    ([2, 0, 1] * 3, "number", "number", [2.0, 0, 1] * 3),
    (["true", "no"], "number", "number", [1.0, 0.0]),
    ([0, 90, 270], "angle=360", "angle", [0.0, 90.0, 270.0]),
    ([f"cat{i}.png" for i in (10, 9)], "category", "category", [1, 0]),
    ([3, 4], "attribute", "attribute", [0, 1]),
    (["yes", "1"], "attribute", "attribute", [1, 0]),
    ([7, 7], "category", "category", [0, 0]),
    (list(range(30)), "number", "number", list(range(30))),
  ],
)
def test_a_kind_is_forced(values, word, kind, expected):
  column, of_column, _ = found(values, word)
  assert (column.kind, of_column) == (kind, expected)
  assert column.turn == (360.0 if kind == "angle" else 0.0)


@pytest.mark.parametrize(
  ("values", "word", "words"),
  [
    (
      ["1", "cat"],
      "number",
      "column 'a' is to be of the kind 'number', and 'cat' is no number .row 2.. The kinds are attribute, cat",
    ),
    (["1", "inf"], "angle=360", "column 'a' is to be of the kind 'angle', and 'inf' is no number"),
    ([1, 2, 3], "attribute", "column 'a' is to be an attribute, which has two values, and has 3: 1, 2, 3. The kinds"),
    (["Y", "N", "F"], "attribute", "column 'a' is to be an attribute, which has two values, and has 3: F, N, Y"),
    (
      ["#ff0033", "red"],
      "color",
      "column 'a' is to be a color, and 'red' is none: write #rrggbb .row 2.. The kinds are",
    ),
    (["1", None, "2", ""], "number", "column 'a' has 2 empty cells; the first is in row 2: fill them in"),
    (np.zeros([2, 3]), "number", "column 'a' has the shape"),
  ],
)
def test_values_that_are_not_of_the_forced_kind_are_named(values, word, words):
  with pytest.raises(DataError, match=words):
    found(values, word)


def test_three_columns_that_are_asked_for_as_a_colour_must_be_one():
  with pytest.raises(ConfigError, match=r"no column 'skin' \(kinds\): the columns are a, b"):
    find({"a": [1, 2], "b": [3, 4]}, ("skin:color",))
  with pytest.raises(DataError, match="skin_r, skin_g, skin_b are no color: all three must be within"):
    find({f"skin_{c}": [0, 300] for c in "rgb"}, ("skin:color",))


def test_natural_order_is_that_of_numbers_and_of_numbers_within_words():
  assert natural_order(["10", "2", "-1.5"]) == ["-1.5", "2", "10"]
  assert natural_order(["a10", "a2", "b1", "2", "10"]) == ["2", "10", "a2", "a10", "b1"]
  assert natural_order(["a02", "a2"]) == natural_order(["a2", "a02"])
