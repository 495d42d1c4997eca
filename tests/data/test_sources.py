"""Data sets in one call: from a folder, a table, arrays, a data frame, TFDS; and the same as registered data sets."""

import inspect
import shutil

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tfdisent
from tfdisent.data.check import check_dataset
from tfdisent.data.columns import Column
from tfdisent.data.dataset import SPLITS, Judge
from tfdisent.data.own_images import image_folder, image_table
from tfdisent.data.sources import folder, from_dataframe, from_folder, from_table, from_tfds, table
from tfdisent.errors import ConfigError, DataError, TfdisentError
from tfdisent.registry import DATASETS

COUNT = 60


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))


def save(path, color, size=(8, 8), mode="RGB"):
  """An image of one colour."""
  path.parent.mkdir(parents=True, exist_ok=True)
  PIL.Image.new(mode, size, color).save(path)


def all_of(dataset, column):
  return np.concatenate([dataset[split][column] for split in SPLITS])


def counts(dataset):
  return [len(dataset[split]["image"]) for split in SPLITS]


# --- A folder ---


@pytest.fixture
def photos(tmp_path):
  """Twenty images of each of three classes; the number in the class is in the second channel."""
  for number, name in enumerate(("cat10", "cat2", "eel")):
    for i in range(20):
      save(tmp_path / "photos" / name / f"{i:02}.png", (50 * number, i, 0))
  return tmp_path / "photos"


def test_a_folder_for_each_class(photos):
  dataset = tfdisent.data.from_folder(photos)
  assert counts(dataset) == [42, 6, 6, 6]
  names = ("cat2", "cat10", "eel")
  assert dataset.columns == {"label": Column("label", "category", names, sources=("label",))}
  assert dataset.class_names == {"label": names}
  assert dataset.judges == (Judge("label", "label", "classifier"),)
  pixel, label = all_of(dataset, "image")[:, 0, 0], all_of(dataset, "label")
  np.testing.assert_array_equal(label, np.array([1, 0, 2])[pixel[:, 0] // 50])
  assert len({tuple(p) for p in pixel}) == COUNT
  assert [np.bincount(dataset[split]["label"]).tolist() for split in SPLITS] == [[14] * 3, [2] * 3, [2] * 3, [2] * 3]
  assert dataset.image_shape == (8, 8, 3)
  assert dataset.name.startswith(f"folder({photos.resolve()}, (8, 8, 3), (42, 6, 6, 6), ")


def test_two_folders_are_an_attribute_and_one_is_a_category(tmp_path):
  for name in ("cat", "dog"):
    for i in range(20):
      save(tmp_path / name / f"{i}.png", (i, 0, 0))
    kind = {"cat": "category", "dog": "attribute"}[name]
    assert from_folder(tmp_path).columns["label"].kind == kind


def test_folders_of_splits_are_kept_by_their_usual_names(photos, tmp_path, caplog):
  (tmp_path / "sets").mkdir()
  photos.rename(tmp_path / "sets" / "Train")
  for split, number in (("val", 200), ("test", 250)):
    for i, name in enumerate(("cat2", "eel")):
      save(tmp_path / "sets" / split / name / "1.png", (number, i, 0))
  save(tmp_path / "sets" / "docs" / "logo.png", (0, 0, 0))
  dataset = from_folder(tmp_path / "sets")
  assert counts(dataset) == [54, 6, 2, 2]
  assert set(dataset.validation["image"][:, 0, 0, 0]) == {200} and set(dataset.test["image"][:, 0, 0, 0]) == {250}
  assert dataset.warnings == ("beside the folders of splits, docs is left out",)
  assert "'label': no image in validation, test is cat10" in caplog.text


def test_classes_may_be_called_train_and_car(tmp_path):
  for name in ("train", "car"):
    for i in range(20):
      save(tmp_path / name / f"{i}.png", (i, 0, 0))
  assert from_folder(tmp_path).class_names == {"label": ("car", "train")}


@pytest.mark.parametrize(
  ("sizes", "mode", "arguments", "shape"),
  [
    ((70, 90), "L", {}, (64, 64, 1)),
    ((40, 30), "RGB", {}, (28, 28, 3)),
    ((70, 90), "L", {"channels": 3, "size": (4, 6)}, (4, 6, 3)),
    ((70, 90), "RGB", {"channels": 1, "size": 5}, (5, 5, 1)),
  ],
)
def test_size_and_channels_are_those_of_the_files_unless_they_are_given(sizes, mode, arguments, shape, tmp_path):
  for name in ("a", "b"):
    for i in range(6):
      save(tmp_path / name / f"{i}.png", (i, 0, 9) if mode == "RGB" else i, sizes, mode)
  dataset = folder(str(tmp_path), **arguments)
  assert dataset.image_shape == shape
  assert dataset.notes[0].startswith(f"the files have {sizes[0]}x{sizes[1]} pixels")


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"size": 0}, "folder.size = 0"),
    ({"channels": 2}, "folder.channels = 2: choose 1"),
    ({"broken": "mend"}, "folder.broken = 'mend'"),
    ({"test_fraction": 0.5, "probe_fraction": 0.5}, "test_fraction = 0.5, probe_fraction = 0.5 and validation_fract"),
  ],
)
def test_an_argument_out_of_its_range_is_named(photos, arguments, words):
  with pytest.raises(ConfigError, match=words):
    from_folder(photos, **arguments)


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
  with pytest.raises(ConfigError, match="folder needs the folder of your images"):
    folder()
  with pytest.raises(DataError, match=r"no folder .*absent: folder reads"):
    from_folder(tmp_path / "absent")
  with pytest.raises(DataError, match="has no images in folders: folder wants a folder for each class"):
    from_folder(tmp_path)


def test_a_broken_image_is_refused_or_skipped(photos):
  (photos / "eel" / "00.png").write_text("no image")
  with pytest.raises(DataError, match=r"00.png cannot be read as an image"):
    from_folder(photos)
  assert sum(counts(from_folder(photos, broken="skip"))) == COUNT - 1


# --- A table ---


def rows_of_table():
  for i in range(COUNT):
    yield {
      "file": f"{i:02}.png",
      "smile": "yes" if i % 2 else "no",
      "digit": str(i % 12),
      "age": str(20.5 + i),
      "azimuth": str(i * 6),
      "ink_r": "255",
      "ink_g": str(i),
      "ink_b": "0",
      "note": f"number {i}",
    }


@pytest.fixture
def people(tmp_path):
  """A table of 60 rows; the number of the row is in the second channel of its image."""
  rows = list(rows_of_table())
  for i, row in enumerate(rows):
    save(tmp_path / "people" / "images" / row["file"], (255, i, 0))
  text = "\n".join([",".join(rows[0]), *(",".join(row.values()) for row in rows)])
  (tmp_path / "people" / "table.csv").write_text(text)
  return tmp_path / "people"


KINDS = {"azimuth": "angle=360", "digit": "category"}


def check_people(dataset):
  """The values of each column are those of the row whose number is in the image."""
  row = all_of(dataset, "image")[:, 0, 0, 1].astype(int)
  assert sorted(row) == list(range(COUNT))
  np.testing.assert_array_equal(all_of(dataset, "smile"), row % 2)
  np.testing.assert_array_equal(all_of(dataset, "digit"), row % 12)
  np.testing.assert_array_equal(all_of(dataset, "age"), np.float32(row + 20.5))
  np.testing.assert_array_equal(all_of(dataset, "azimuth"), np.float32(6 * row))
  np.testing.assert_allclose(all_of(dataset, "ink")[:, 1], row / 255, rtol=1e-6)
  assert dataset.columns == {
    "smile": Column("smile", "attribute", ("no", "yes"), sources=("smile",)),
    "digit": Column("digit", "category", tuple(map(str, range(12))), sources=("digit",)),
    "age": Column("age", "number", sources=("age",)),
    "azimuth": Column("azimuth", "angle", turn=360.0, sources=("azimuth",)),
    "ink": Column("ink", "color", sources=("ink_r", "ink_g", "ink_b")),
  }
  assert dataset.judges == (
    Judge("smile", "smile", "classifier"),
    Judge("digit", "digit", "classifier"),
    Judge("age", "age", "number"),
    Judge("azimuth", "azimuth", "angle", 360.0),
    Judge("ink", "ink", "number"),
  )
  assert list(dataset.class_names) == ["smile", "digit"]


def test_a_table_beside_its_images(people):
  dataset = from_table(people, kinds=KINDS)
  check_people(dataset)
  for split in SPLITS:  # with five images of each digit, each split has one of each
    assert np.bincount(dataset[split]["digit"]).tolist() == [2 if split == "train" else 1] * 12
  assert dataset.notes[1].startswith("'note' is left out: it has 60 different texts in 60 rows")
  other = from_table(people / "table.csv", kinds=tuple(f"{name}:{kind}" for name, kind in KINDS.items()))
  assert other.name == dataset.name and other.fingerprint == dataset.fingerprint


def test_the_registered_table_is_the_same_and_keeps_the_contract(people):
  arguments = {"data_dir": str(people), "kinds": KINDS}
  created = DATASETS.create("table", **arguments)
  assert (created.name, created.fingerprint) == ((same := from_table(people, kinds=KINDS)).name, same.fingerprint)
  check_dataset(table, arguments, other={"seed": 1})


def test_the_registered_folder_keeps_the_contract(photos):
  check_dataset(folder, {"data_dir": str(photos), "size": [8, 8]}, other={"seed": 1})


def test_the_name_tells_kinds_and_values_and_fractions(people):
  all_arguments = ({}, {"kinds": {"digit": "number"}}, {"test_fraction": 0.3})
  names = {from_table(people, **arguments).name for arguments in all_arguments}
  path = people / "table.csv"
  path.write_text(path.read_text().replace("20.5", "21.5", 1))
  assert len(names | {from_table(people).name}) == 4


def test_columns_are_chosen_by_the_names_they_are_found_under(people):
  dataset = from_table(people, columns=["ink", "age"])
  assert [judge.name for judge in dataset.judges] == list(dataset.columns) == ["ink", "age"]
  assert set(dataset.train) == {"image", "ink", "age"}
  with pytest.raises(ConfigError, match=r"no column 'ink_r' \(columns\) to keep: there are smile, digit"):
    from_table(people, columns=["ink_r"])


def test_a_column_of_splits_is_kept(people):
  path = people / "table.csv"
  header, *rows = path.read_text().splitlines()
  splits = ["Train"] * 40 + ["VAL"] * 8 + ["test"] * 12
  path.write_text("\n".join([f"Split,{header}", *map(",".join, zip(splits, rows))]))
  dataset = from_table(people, kinds=KINDS)
  check_people(dataset)
  assert sorted(dataset.validation["image"][:, 0, 0, 1]) == list(range(40, 48))
  assert sorted(dataset.test["image"][:, 0, 0, 1]) == list(range(48, 60)) != dataset.test["image"][:, 0, 0, 1].tolist()
  assert max(dataset.probe["image"][:, 0, 0, 1]) < 40 and len(dataset.probe["image"]) >= 4
  moved = from_table(people, kinds=KINDS, split_column="none")
  assert moved.columns["Split"].class_names == ("Train", "VAL", "test")


def test_rows_without_a_file_are_left_out_with_a_warning(people, caplog):
  path = people / "table.csv"
  path.write_text(path.read_text().replace("\n07.png,", "\n,"))
  dataset = from_table(people)
  assert sum(counts(dataset)) == COUNT - 1 and 7 not in all_of(dataset, "image")[:, 0, 0, 1]
  assert dataset.warnings == ("1 rows have no value of 'file', and are left out",)
  assert dataset.warnings[0] in caplog.text


def test_very_different_aspect_ratios_are_a_warning(people):
  for i in range(20):
    save(people / "images" / f"{i:02}.png", (255, i, 0), size=(16, 8))
  (warning,) = from_table(people).warnings
  assert "very different aspect ratios, of 1.00 to 2.00" in warning


def test_a_data_frame_is_a_table(people):
  pandas = pytest.importorskip("pandas")
  frame = pandas.read_csv(people / "table.csv")
  frame["smile"] = frame["smile"] == "yes"
  dataset = from_dataframe(frame, root=people, kinds=KINDS)
  assert dataset.columns["smile"].class_names == ("false", "true")
  assert dataset.name.startswith(f"dataframe({people.resolve()}, (8, 8, 3), ")
  same = from_table(people, kinds=KINDS)
  for column in same.columns:
    np.testing.assert_array_equal(dataset.train[column], same.train[column])
  with pytest.raises(ConfigError, match="no column 'path'"):
    from_dataframe(frame, "path", people)


def test_a_frame_that_is_none_is_named(people):
  with pytest.raises(ConfigError, match="a data frame of pandas is needed, not a dict"):
    from_dataframe({"file": ["00.png"]}, root=people)


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "json", "parquet"])
def test_a_table_is_the_same_in_every_format(suffix, people):
  pandas = pytest.importorskip("pandas")
  frame = pandas.read_csv(people / "table.csv", dtype=str)
  same = from_table(people, kinds=KINDS)
  (people / "table.csv").unlink()
  write = {
    "csv": lambda path: frame.to_csv(path, sep=";", index=False, encoding="utf-16"),
    "jsonl": lambda path: frame.to_json(path, orient="records", lines=True),
    "json": frame.to_json,
    "parquet": frame.to_parquet,
  }
  write[suffix](people / f"people.{suffix}")
  dataset = from_table(people, kinds=KINDS)
  assert dataset.fingerprint == same.fingerprint and dataset.class_names == same.class_names
  assert ("the columns of people.csv are separated by semicolons" in dataset.notes) == (suffix == "csv")


def test_missing_values_are_named_left_out_or_dropped(people):
  path = people / "table.csv"
  header, *rows = path.read_text().splitlines()
  for i, old, new in ((3, ",yes,", ",NA,"), (7, "27.5", ""), (9, ",255,", ",,"), (11, "number 11", "")):
    rows[i] = rows[i].replace(old, new)
  path.write_text("\n".join([header, *rows]))
  dataset = from_table(people)
  assert set(dataset.columns) == {"digit", "azimuth"} and sum(counts(dataset)) == COUNT
  assert "'smile' is left out: it has empty cells (or NA, NaN, null, ?); the first is row 4 (line 5) of table.csv" in (
    dataset.notes
  )
  for arguments in ({"kinds": ("age:number",)}, {"columns": ("age",)}):
    with pytest.raises(DataError, match=r"column 'age' .*row 8 \(line 9\) of table.csv"):
      from_table(people, **arguments)
  for arguments, lost in (({}, {3, 7, 9}), ({"kinds": ("age:number",)}, {7}), ({"columns": ("ink",)}, {9})):
    dataset = from_table(people, missing="drop", **arguments)  # the notes are no feature, and one may be empty
    assert {*range(COUNT)} - {*all_of(dataset, "image")[:, 0, 0, 1].tolist()} == lost
    assert f"{len(lost)} rows have no value of " in dataset.warnings[0]
    assert f"; the first is row {min(lost) + 1} (line {min(lost) + 2}) of table.csv" in dataset.warnings[0]
  path.write_text("\n".join(["file,age", *(f"{i:02}.png," for i in range(9))]))
  with pytest.raises(DataError, match="no row of the table has a value in each of the columns age"):
    from_table(people, kinds=("age:number",), missing="drop")


def test_a_stray_table_beside_classes_is_told_to_be_moved(photos):
  for name, content in (("labels.csv", "id,name\n0,cat\n"), ("classes.json", '{"0": "cat"}')):
    (photos / name).write_text(content)
    with pytest.raises(DataError, match=r"Or move what is no table of these images out of .*photos: the folders in it"):
      table(str(photos))
    with pytest.raises(DataError) as named:
      table(str(photos), table=name)
    assert "Or move" not in str(named.value)  # who names a table means it
    (photos / name).unlink()
  (photos / "labels.csv").write_text("file,n\n00.png,1\n01.png,2\n")
  with pytest.raises(DataError, match=r"write the folder into the table, as in 'cat2/00.png'\.$"):
    table(str(photos))
  for name in ("cat2", "eel"):  # one folder alone is that of the images which the table names
    shutil.rmtree(photos / name)
  (photos / "labels.csv").write_text("id,name\n0,cat\n")
  with pytest.raises(DataError) as alone:
    table(str(photos))
  assert "no column of the table names files" in str(alone.value) and "Or move" not in str(alone.value)


def test_rows_of_train_that_all_lack_a_value_are_refused(people):
  lines = [f"{i:02}.png,{'' if i < 30 else i},{'train' if i < 30 else 'test'}" for i in range(COUNT)]
  (people / "table.csv").write_text("\n".join(["file,age,split", *lines]))
  words = r"no image of the split train is left: 30 rows have no value of age, .* first is row 1 .*\. Fill them in"
  with pytest.raises(DataError, match=words):
    from_table(people, kinds=("age:number",), missing="drop")


def test_a_folder_may_begin_with_two_strokes(photos):
  image = (photos / "eel" / "00.png").read_bytes()
  (photos / "eel" / "01.png").write_bytes(image)
  for number in range(2, 20):
    (photos / "eel" / f"more{number}.png").write_bytes(image)
  warnings = from_folder(f"/{photos}").warnings
  assert any("eel/" in warning and str(photos) not in warning for warning in warnings), warnings


def test_a_column_asked_for_as_two_kinds_and_one_called_image_are_refused(people):
  with pytest.raises(ConfigError, match="column 'age' is asked for as 'number' and as 'category': choose one"):
    from_table(people, kinds=("age:number", "age:category"))
  path = people / "table.csv"
  path.write_text(path.read_text().replace("digit", "image", 1))
  dataset = from_table(people)
  assert "'image' is left out: the pixels have this name; rename it" in dataset.notes
  with pytest.raises(ConfigError, match="column 'image' cannot be read, since the pixels have this name"):
    from_table(people, kinds=("image:category",))


def test_paths_of_windows_are_found(people):
  path = people / "table.csv"
  path.write_text(path.read_text().replace("\n", "\nimages\\"))
  assert sum(counts(from_table(people))) == COUNT


ANYTHING = st.one_of(
  st.none() | st.booleans() | st.integers(-3, 30) | st.floats(),
  st.sampled_from(["", "x", "a\0b", "~x", "0.1", "label", "age", "drop", "skip", "table.csv"]),
  st.lists(st.integers(-1, 9) | st.text(max_size=2) | st.none(), max_size=3).map(tuple),
  st.dictionaries(st.text(max_size=2) | st.just("age"), st.floats() | st.text(max_size=2), max_size=2),
)


@pytest.mark.parametrize("make", [image_folder, image_table, folder, table])
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_of_an_argument_gives_a_data_set_or_an_error_of_ours(make, people, data):
  if not (people / "a").exists():
    for i in range(24):
      save(people / "ab"[i % 2] / f"{i}.png", (i, 7, 7), (2, 2))
  names = sorted(set(inspect.signature(make).parameters) - {"data_dir"})
  arguments = {"data_dir": str(people)} | ({} if make in (table, folder) else {"size": 2})
  for name in sorted(data.draw(st.sets(st.sampled_from(names), min_size=1, max_size=2))):
    arguments[name] = data.draw(ANYTHING, name)
  try:
    make(**arguments)
  except TfdisentError as error:
    assert str(error) and "\n" not in str(error)


# --- TFDS ---


def test_a_data_set_of_tfds_has_a_judge_for_each_column(tmp_path, monkeypatch):
  # Patched before `mock_data` patches it, too: each gives back what it found.
  monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda self, **keywords: None)
  with tfds.testing.mock_data(num_examples=30):
    dataset = from_tfds("smallnorb", data_dir=str(tmp_path))
  kinds = {name: column.kind for name, column in dataset.columns.items()}
  assert kinds["label_category"] == "category" and kinds["label_azimuth"] == "category"
  assert sorted(judge.column for judge in dataset.judges) == sorted(dataset.columns)
  assert len(dataset.class_names["label_category"]) == 5


def test_importing_the_room_gives_the_functions():
  for name in ("from_folder", "from_table", "from_arrays", "from_dataframe", "from_tfds", "describe", "Column"):
    assert name in dir(tfdisent.data) and callable(getattr(tfdisent.data, name))
  with pytest.raises(AttributeError, match="no attribute 'from_video'"):
    _ = tfdisent.data.from_video
