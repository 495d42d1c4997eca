"""A run goes on with the data that it was begun with: whatever else is refused, and the folder stays as it was."""

import json
import shutil

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import CONFIG, train_tiny
from tfdisent import plugins, run
from tfdisent.data.dataset import SPLITS, Dataset
from tfdisent.errors import RunError
from tfdisent.training.same_data import described, refuse_other_data


def changed(dataset: Dataset, what: str) -> Dataset:
  """The same data set but for one thing."""
  splits = {split: dict(dataset[split]) for split in SPLITS}
  names = {"label": tuple("abcdefghij")}
  if what == "an image":
    splits["train"]["image"] = splits["train"]["image"] ^ np.uint8(np.arange(64) == 3)[:, None, None, None]
  if what == "a label":
    splits["validation"]["label"] = splits["validation"]["label"][::-1].copy()
  if what == "the order":
    splits["train"] = {name: column[::-1].copy() for name, column in splits["train"].items()}
  if what == "a number of images":
    splits["test"] = {name: column[:-1] for name, column in splits["test"].items()}
  if what == "a column":
    splits = {split: {**columns, "age": np.zeros(len(columns["image"]))} for split, columns in splits.items()}
  if what == "the size":
    splits = {split: {**columns, "image": columns["image"][:, :, 2:]} for split, columns in splits.items()}
  if what == "a class":
    names = {"label": (*"abcdefghi", "z")}
  return Dataset(**splits, name="changed", class_names=names)


WORDS = {
  "an image": "the images or the values of train are others",
  "a label": "the images or the values of validation are others",
  "the order": "the images or the values of train are others",
  "a number of images": "'test' had 64 images and has 63",
  "a column": "the column 'age' is new",
  "the size": "images were 28x28x3 and are 28x26x3",
  "a class": r"the classes of 'label' were a, b, c, d, e, … \(10\) and are",
}


@pytest.fixture
def begun(few_digits, tmp_path):
  """A run folder that says what it was begun with."""
  run.write_description(
    tmp_path, CONFIG, {"image_shape": [28, 28, 3]}, {}, {"data": described(changed(few_digits, ""))}
  )
  return tmp_path


@pytest.mark.parametrize("what", WORDS)
def test_what_differs_is_named(few_digits, begun, what):
  refuse_other_data(begun, described(changed(few_digits, "")))
  with pytest.raises(RunError, match=WORDS[what]) as error:
    refuse_other_data(begun, described(changed(few_digits, what)))
  assert "\n" not in str(error.value) and "Use another --run_dir" in str(error.value)


def test_a_training_is_refused_before_anything_is_written(few_digits, digit_run, tmp_path):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  files = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
  with pytest.raises(RunError, match="begun with other data"):
    train_tiny(folder, changed(few_digits, "a label"), describe=lambda: CONFIG, epochs=4)
  assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == files


def test_a_run_of_an_older_version_is_known_by_its_classes_and_its_shape(few_digits, begun):
  (begun / "run.json").write_text('{"dataset": null}')
  refuse_other_data(begun, described(changed(few_digits, "a label")))
  refuse_other_data(begun, described(changed(few_digits, "a class")))  # it has no names
  (begun / "class_names.json").write_text(json.dumps({"label": list("abcdefghij")}))
  refuse_other_data(begun, described(changed(few_digits, "")))
  for what in ("a class", "the size"):
    with pytest.raises(RunError, match=WORDS[what].replace("x3", r"x3")):
      refuse_other_data(begun, described(changed(few_digits, what)))


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
  data=st.recursive(
    st.none() | st.integers() | st.text(max_size=3), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
  )
)
def test_a_damaged_description_refuses_nothing(few_digits, tmp_path_factory, data):
  folder = tmp_path_factory.mktemp("run")
  now = described(changed(few_digits, ""))
  (folder / "run.json").write_text(json.dumps({"data": data}))
  refuse_other_data(folder, now)
  (folder / "run.json").write_text(json.dumps({"data": {**now, "splits": data, "columns": data}}))
  refuse_other_data(folder, now)


def test_columns_of_any_name_are_no_modules(few_digits):
  splits = {split: {**few_digits[split], "module": few_digits[split]["label"]} for split in SPLITS}
  assert list(plugins.modules(described(Dataset(**splits, name="x")))) == []
