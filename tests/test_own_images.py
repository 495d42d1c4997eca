"""The user's own images: what becomes of files, folders and tables, and what is said of those that are broken."""

import json
import shutil

import numpy as np
import PIL.Image
import pytest

from features.category import Category
from tfdisent.dataset import SPLITS, Judge, training_batches
from tfdisent.datasets import own_images
from tfdisent.datasets.own_images import decoded, image_folder, image_table
from tfdisent.errors import ConfigError, DataError, RunError
from tfdisent.export import export
from tfdisent.feature import feature_values
from tfdisent.inference import load

from .conftest import train_tiny


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))
  return tmp_path / "cache"


def save(path, color, size=(8, 8)):
  """An image of one colour."""
  path.parent.mkdir(parents=True, exist_ok=True)
  PIL.Image.new("RGB", size, color).save(path)


COLORS = {"cat": (200, 0, 0), "dog": (0, 100, 0), "eel": (0, 0, 50)}


@pytest.fixture
def folder(tmp_path):
  """Twenty images of each of three classes; the place in the class is in the least bits of the last channel."""
  for name, (r, g, b) in COLORS.items():
    for i in range(20):
      save(tmp_path / "images" / name / f"{i:02}.png", (r, g, b + i))
  return tmp_path / "images"


def all_of(dataset, column):
  return np.concatenate([dataset[split][column] for split in SPLITS])


def test_every_image_is_in_one_split_with_the_label_of_its_folder(folder):
  dataset = image_folder(folder, size=8)
  assert [len(dataset[split]["image"]) for split in SPLITS] == [44, 5, 5, 6]
  pixel, label = all_of(dataset, "image")[:, 0, 0], all_of(dataset, "label")
  assert len({tuple(p) for p in pixel}) == 60
  np.testing.assert_array_equal(label, np.select([pixel[:, 0] > 0, pixel[:, 1] > 0], [0, 1], 2))
  assert dataset.judges == (Judge("label", "label", "classifier"),)
  assert dataset.class_names == {"label": ("cat", "dog", "eel")}


def test_splits_follow_the_seed_alone(folder):
  a, b, other = (image_folder(folder, size=8, seed=seed).train["image"] for seed in (0, 0, 1))
  np.testing.assert_array_equal(a, b)
  assert (a != other).any()


def test_a_folder_of_splits_keeps_its_test(folder, tmp_path):
  shutil.copytree(folder, tmp_path / "tfds" / "train")
  for name, color in COLORS.items():
    save(tmp_path / "tfds" / "test" / name / "x.png", tuple(c + 1 for c in color))
  dataset = image_folder(tmp_path / "tfds", size=8)
  np.testing.assert_array_equal(
    sorted(map(tuple, dataset.test["image"][:, 0, 0])), sorted(tuple(c + 1 for c in color) for color in COLORS.values())
  )
  assert sum(len(dataset[split]["image"]) for split in SPLITS) == 63


def test_images_are_cropped_at_their_centre_and_resized(tmp_path):
  wide = np.zeros((10, 30, 3), np.uint8)
  wide[:, 10:20] = (10, 200, 30)
  PIL.Image.fromarray(wide).save(tmp_path / "wide.png")
  image, _ = decoded([tmp_path / "wide.png"], (5, 5, 3))
  np.testing.assert_allclose(image[0, 1:4, 1:4], np.broadcast_to([10.0, 200.0, 30.0], (3, 3, 3)), atol=3)
  assert image[0, :, 0, 1].min() > 150  # nothing of the black sides but their blur
  grey, _ = decoded([tmp_path / "wide.png"], (5, 15, 1))
  assert grey.shape == (1, 5, 15, 1) and grey[0, 2, 7, 0] == round(0.299 * 10 + 0.587 * 200 + 0.114 * 30)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK", "I;16"])
def test_any_kind_of_pixels_becomes_rgb(mode, tmp_path):
  file = tmp_path / ("a.tif" if mode in ("CMYK", "I;16") else "a.png")
  image = PIL.Image.fromarray(np.full((6, 6), 40_000, np.uint16)) if mode == "I;16" else PIL.Image.new(mode, (6, 6), 0)
  image.save(file)
  assert decoded([file], (6, 6, 3))[0].shape == (1, 6, 6, 3)


def test_a_camera_that_was_turned_is_turned_back(tmp_path):
  pixels = np.zeros((4, 4, 3), np.uint8)
  pixels[:2] = 255  # white above
  exif = PIL.Image.Exif()
  exif[0x0112] = 3  # upside down
  PIL.Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
  image, _ = decoded([tmp_path / "a.png"], (4, 4, 1))
  assert image[0, 0, 0, 0] == 0 and image[0, 3, 0, 0] == 255


def test_images_are_decoded_once_and_again_when_a_file_changes(folder, own_cache, monkeypatch):
  first = image_folder(folder, size=8)
  assert isinstance(first.train["image"], np.memmap) and len(list(own_cache.iterdir())) == 2
  with monkeypatch.context() as patch:
    patch.setattr(own_images.PIL.Image, "open", None)
    np.testing.assert_array_equal(image_folder(folder, size=8).train["image"], first.train["image"])
  save(folder / "cat" / "00.png", (255, 255, 255), size=(9, 9))
  assert (all_of(image_folder(folder, size=8), "image") == 255).all((1, 2, 3)).sum() == 1


def test_a_broken_image_is_named_and_refused_or_skipped(folder, own_cache, caplog):
  whole = (folder / "dog" / "03.png").read_bytes()
  (folder / "dog" / "03.png").write_bytes(whole[:30])
  (folder / "eel" / "04.jpg").write_bytes(b"no image at all")
  with pytest.raises(DataError, match=r"03\.png cannot be read as an image|04\.jpg cannot be read"):
    image_folder(folder, size=8)
  assert not list(own_cache.iterdir())
  dataset = image_folder(folder, size=8, broken="skip")
  assert len(all_of(dataset, "image")) == 59
  pixel, label = all_of(dataset, "image")[:, 0, 0], all_of(dataset, "label")
  np.testing.assert_array_equal(label, np.select([pixel[:, 0] > 0, pixel[:, 1] > 0], [0, 1], 2))  # none is shifted


def test_nothing_but_broken_images_is_refused(tmp_path):
  for name in ("a", "b"):
    (tmp_path / name).write_bytes(b"")
  with pytest.raises(DataError, match="no images among 2 images"):
    decoded([tmp_path / "a", tmp_path / "b"], (8, 8, 3), "skip")


@pytest.fixture
def table(folder):
  """The same images in a table, with a number each."""
  rows = [("file", "animal", "age")]
  rows += [(f"{name}/{i:02}.png", name, i / 2) for name in COLORS for i in range(20)]
  (folder / "table.csv").write_text("\n".join(",".join(map(str, row)) for row in rows), encoding="utf-8")
  return folder


def test_a_table_names_files_and_columns(table):
  dataset = image_table(table, discrete=("animal",), continuous=("age",), size=8)
  pixel = all_of(dataset, "image")[:, 0, 0].astype(int)
  kind = all_of(dataset, "animal")
  np.testing.assert_array_equal(kind, np.select([pixel[:, 0] > 0, pixel[:, 1] > 0], [0, 1], 2))
  np.testing.assert_allclose(all_of(dataset, "age"), (pixel[:, 2] - np.array([0, 0, 50])[kind]) / 2)
  assert dataset.judges == (Judge("animal", "animal", "classifier"), Judge("age", "age", "number"))


def test_json_lines_are_a_table_as_well(table):
  rows = [{"file": f"{name}/00.png", "animal": name, "age": 1} for name in COLORS] * 10
  (table / "table.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
  dataset = image_table(table, "table.jsonl", discrete=("animal",), continuous=("age",), size=8)
  assert len(all_of(dataset, "image")) == 30 and set(all_of(dataset, "age")) == {1.0}


def test_an_angle_of_a_table_is_judged_as_one(table):
  dataset = image_table(table, angles={"age": 30.0}, size=8)
  assert dataset.judges == (Judge("age", "age", "angle", 30.0),)
  assert all_of(dataset, "age").dtype == np.float32
  assert dataset.name != image_table(table, angles={"age": 360.0}, size=8).name  # another estimator


def test_classes_that_look_the_same_from_all_sides_are_not_judged_by_an_angle(table):
  arguments = {"discrete": ("animal",), "angles": {"age": 30.0}, "size": 8}
  dataset = image_table(table, **arguments, symmetric={"animal": tuple(COLORS)[1:]})
  names = dataset.class_names["animal"]
  classes = tuple(names.index(name) for name in tuple(COLORS)[1:])
  assert dataset.judges[1] == Judge("age", "age", "angle", 30.0, (("animal", classes),))
  assert dataset.name == image_table(table, **arguments).name  # the same judges


def test_every_third_row_can_be_the_test_split(table):
  dataset = image_table(table, continuous=("age",), test_every=3, size=8)
  expected = [i / 2 for _ in COLORS for i in range(20)][::3]
  assert sorted(dataset.test["age"]) == sorted(expected)


@pytest.mark.parametrize(
  ("arguments", "error", "words"),
  [
    ({"data_dir": None}, ConfigError, "--data_dir"),
    ({"data_dir": "/nowhere"}, DataError, "no folder /nowhere"),
    ({"table": "no.csv"}, DataError, "no.csv cannot be read"),
    ({"discrete": ("size",)}, DataError, "row 1 .* has no 'size'; its columns are file, animal, age"),
    ({"continuous": ("animal",)}, DataError, "'animal' .* not of numbers"),
    ({"angles": {"animal": 360.0}}, DataError, "'animal' .* not of numbers"),
    ({"angles": {"age": 0.0}}, ConfigError, "a full turn must be positive"),
    ({"discrete": ("animal",), "symmetric": {"animal": ("yak",)}}, ConfigError, "'yak' is no class of 'animal'"),
    ({"symmetric": {"animal": ("dog",)}}, ConfigError, "'dog' is no class of 'animal'"),
    ({"discrete": ("animal",), "symmetric": {"animal": ("cat", "dog", "eel")}}, ConfigError, "every class of 'animal'"),
    ({"channels": 4}, ConfigError, "channels = 4"),
    ({"broken": "ignore"}, ConfigError, "broken = 'ignore'"),
    ({"size": 0}, ConfigError, "size = 0"),
    ({"probe_fraction": 0.5, "validation_fraction": 0.5}, ConfigError, "leave a rest"),
  ],
)
def test_a_mistake_is_named(table, arguments, error, words):
  with pytest.raises(error, match=words):
    image_table(**{"data_dir": table, **arguments})


def test_a_file_of_the_table_that_is_missing_is_named(table):
  (table / "cat" / "07.png").unlink()
  with pytest.raises(DataError, match=r"07\.png"):
    image_table(table, size=8)
  assert len(all_of(image_table(table, size=8, broken="skip"), "image")) == 59


def test_a_folder_without_images_is_explained(tmp_path):
  with pytest.raises(DataError, match="a folder for each class"):
    image_folder(tmp_path)


def test_batches_read_the_images_from_the_disk(folder):
  dataset = image_folder(folder, size=8)
  memory = {"image": np.array(dataset.train["image"])}
  f = feature_values(Category(num_classes=3), dataset.train)
  for a, b in zip(
    training_batches(dataset.train, f, 8, seed=3).take(7), training_batches(memory, f, 8, seed=3).take(7)
  ):
    for name, value in a.items():
      np.testing.assert_array_equal(value, b[name])


def test_a_model_is_trained_on_them(folder, tmp_path):
  dataset = image_folder(folder, size=8, validation_fraction=0.2)
  trained = train_tiny(tmp_path / "run", dataset, Category(num_classes=3), epochs=1, batch_size=8, evaluate_every=0)
  assert trained.control(dataset.test["image"], np.array([0, 1, 2, 0, 1, 2])).shape == (6, 8, 8, 3)
  assert load(tmp_path / "run").class_names == {"label": ["cat", "dog", "eel"]}
  described = export(load(tmp_path / "run"), tmp_path / "export" / "photos") / "assets" / "feature.json"
  assert json.loads(described.read_text())["feature"]["classes"] == ["cat", "dog", "eel"]
  (tmp_path / "run" / "class_names.json").write_text("[1")
  with pytest.raises(RunError, match="damaged"):
    load(tmp_path / "run")
