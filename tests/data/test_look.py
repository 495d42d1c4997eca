"""What is said of a data set: its table, and the warnings of a careful colleague."""

import dataclasses

import numpy as np
import pytest

from tfdisent.data.arrays import from_arrays
from tfdisent.data.columns import Column
from tfdisent.data.look import association, describe

COUNT = 600


def images(count=COUNT):
  return np.random.default_rng(0).integers(256, size=(count, 2, 3, 1), dtype=np.uint8)


def independent(classes, count=COUNT, seed=1):
  """As many of each class, in a random order."""
  return np.random.default_rng(seed).permutation(np.arange(count) % classes)


def warnings_of(columns, **arguments):
  return describe(from_arrays(images(len(next(iter(columns.values())))), columns, **arguments)).warnings


def test_a_sound_data_set_has_a_table_and_no_warning():
  age = np.linspace(0, 1, COUNT)[np.random.default_rng(3).permutation(COUNT)]
  columns = {"smile": independent(2), "turn": np.arange(COUNT) % 360, "age": age}
  findings = describe(from_arrays(images(), columns, {"turn": "angle=360"}))
  assert findings.warnings == () and findings.notes == ()
  assert findings.title == "600 images of 3x2 pixels, grey: train 420, probe 60, validation 60, test 60"
  assert findings.header[:3] == ("column", "kind", "classes or range")
  assert findings.rows == (
    ("smile", "attribute", "0, 1", "50 50 %", "0: 210/30/30/30"),
    ("turn", "angle", "0 to 359, a full turn is 360", "", ""),
    ("age", "number", "0 to 1", "mean 0.5", ""),
  )
  lines = str(findings).splitlines()
  assert (
    lines[0] == findings.title and lines[2].startswith("column  kind ") and lines[4].startswith("smile   attribute")
  )


def test_many_classes_are_counted_and_some_named():
  digit = np.array([*range(10)] * 50 + [3] * 100)
  (row,) = describe(from_arrays(images(), {"digit": digit})).rows
  assert row[2:] == ("10 classes: 0, 1, 2, 3, …, 9", "8.3 to 25.0 %", "0: 35/5/5/5")


def test_what_was_left_out_and_seen_before_is_told():
  data = from_arrays(images(), {"a": independent(2), "id": np.arange(COUNT)})
  findings = describe(dataclasses.replace(data, warnings=("it rains",)))
  assert findings.warnings == ("it rains",)
  assert findings.notes == ("'id' is left out: it numbers the rows or what is in them; 'id:number' takes it",)
  assert str(findings).endswith("'id:number' takes it.\nWarning: it rains.")


def test_a_data_set_of_which_nothing_is_known_is_described():
  data = dataclasses.replace(from_arrays(images(), {}), columns={})
  assert "no columns of which anything is known" in str(describe(data))


def test_few_images_and_few_of_a_class_are_warned_of():
  few = np.array([0] * 300 + [1] * 180 + [2] * 19)
  of_all, of_class = warnings_of({"a": few})
  assert of_all.startswith("there are 499 images, and fewer than 500 are seldom enough: smaller networks help")
  assert of_class == "'a' has fewer than 20 images of 2 (19)"
  assert warnings_of({"a": np.array([0] * 300 + [1] * 180 + [2] * 20)}) == ()


def test_one_value_is_warned_of():
  words = "'a' has one value only: nothing can be learned of it"
  assert warnings_of({"a": [7] * COUNT}, kinds=("a:category",)) == (words,)
  assert warnings_of({"a": [7] * COUNT}, kinds=("a:number",)) == (words,)


def test_images_that_are_alike_are_warned_of():
  data = from_arrays(images(), {"a": independent(2)})
  white = {**data.train, "image": np.full_like(data.train["image"], 255)}
  (words,) = describe(dataclasses.replace(data, train=white)).warnings
  assert words.startswith("all 420 training images look the same (their grey levels are 255 to 255 of 255)")


def test_a_class_that_a_split_lacks_is_warned_of():
  split = ["train", "train", "test"] * 200
  label = [0 if s == "test" else i % 2 for i, s in enumerate(split)]
  assert warnings_of({"a": label}, split=split) == ("'a': no image in test is 1",)


def test_columns_that_tell_each_other_and_near_duplicates_are_warned_of():
  a, noise = independent(4), np.random.default_rng(2).normal(size=COUNT)
  said = warnings_of({"a": a, "of_a": a // 2, "x": a + 0.1 * noise, "y": noise, "same": 2 * noise + 1, "b": 3 - a})
  ends = ": if one is asked for, the other changes with it"
  assert said == (
    f"'a' and 'of_a' tell each other (Cramér's V 1.00){ends}",
    f"'a' and 'x' tell each other (correlation ratio 1.00){ends}",
    "'a' and 'b' are nearly the same (Cramér's V 1.00): ask for one of them",
    f"'of_a' and 'x' tell each other (correlation ratio 0.89){ends}",
    f"'of_a' and 'b' tell each other (Cramér's V 1.00){ends}",
    f"'x' and 'b' tell each other (correlation ratio 1.00){ends}",
    "'y' and 'same' are nearly the same (correlation 1.00): ask for one of them",
  )


CATEGORY, NUMBER = Column("c", "category"), Column("n", "number")
COLOR, ANGLE = Column("rgb", "color"), Column("turn", "angle", turn=4.0)


@pytest.mark.parametrize(
  ("a", "values_a", "b", "values_b", "expected"),
  [
    (CATEGORY, [0, 0, 1, 1], CATEGORY, [0, 0, 1, 1], (1.0, "Cramér's V")),
    (CATEGORY, [0, 0, 1, 1], CATEGORY, [0, 1, 0, 1], (0.0, "Cramér's V")),
    (CATEGORY, [0, 0, 0, 1, 1, 1], CATEGORY, [0, 0, 1, 1, 1, 0], (1 / 3, "Cramér's V")),
    (CATEGORY, [0, 5, 5, 0], CATEGORY, [2, 2, 2, 2], (0.0, "Cramér's V")),
    (CATEGORY, [0, 0, 2, 2], NUMBER, [1.0, 1.0, 3.0, 3.0], (1.0, "correlation ratio")),
    (NUMBER, [0.0, 2.0, 2.0, 4.0], CATEGORY, [0, 0, 1, 1], (0.5**0.5, "correlation ratio")),
    (NUMBER, [1.0, 1.0], CATEGORY, [0, 1], (0.0, "correlation ratio")),
    (NUMBER, [0.0, 1.0, 2.0], NUMBER, [5.0, 3.0, 1.0], (1.0, "correlation")),
    (NUMBER, [0.0, 1.0, 2.0], NUMBER, [1.0, 1.0, 1.0], (0.0, "correlation")),
    (NUMBER, [0.0, 1.0, 2.0], NUMBER, [1.0, 0.0, 1.0], (0.0, "correlation")),
    (NUMBER, [0.0, 1.0], COLOR, [[0.5, 0.5, 1.0], [0.5, 0.5, 0.0]], (1.0, "correlation")),
    (ANGLE, [0.0, 4.0, 2.0, -2.0], NUMBER, [1.0, 1.0, 0.0, 0.0], (1.0, "correlation")),
  ],
)
def test_associations_have_their_known_values(a, values_a, b, values_b, expected):
  def array(column, values):
    return np.array(values, np.int64 if column.is_discrete else np.float32)

  strength, measure = association(a, array(a, values_a), b, array(b, values_b))
  assert measure == expected[1]
  assert strength == pytest.approx(expected[0], abs=1e-6)
