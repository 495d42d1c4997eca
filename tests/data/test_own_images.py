"""The user's own images: what becomes of files, folders and tables, and what is said of those that are broken."""

import hashlib
import json
import os
import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest

from features.category import Category
from tests.conftest import train_tiny
from tfdisent.data import decoding
from tfdisent.data.batches import training_batches
from tfdisent.data.dataset import SPLITS, Judge
from tfdisent.data.decoding import decoded
from tfdisent.data.image_cache import PREPARATION
from tfdisent.data.own_images import image_folder, image_table
from tfdisent.data.pixels import TWELVE
from tfdisent.data.sources import folder as folder_source
from tfdisent.errors import ConfigError, DataError, RunError
from tfdisent.feature.values import feature_values
from tfdisent.loading import load
from tfdisent.serving.saved_model import export


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
  """Twenty images of each of three classes; the index in the class is in the least bits of the last channel."""
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


def test_classes_are_folders_in_order_whatever_is_nested_in_them(tmp_path):
  for i, name in enumerate(("b/deep/er", "a", ".hidden", "c")):
    for j in range(10):
      save(tmp_path / name / f"{j}.{'JPEG' if j % 2 else 'webp'}", (40 * i, j, 0))
  (tmp_path / "a" / "notes.txt").write_text("no image")
  save(tmp_path / "of_no_class.png", (0, 0, 0))
  dataset = image_folder(tmp_path, size=2)
  assert dataset.class_names == {"label": ("a", "b", "c")}
  np.testing.assert_array_equal(np.bincount(all_of(dataset, "label")), [10, 10, 10])
  assert all_of(dataset, "label").dtype == np.int64
  assert dataset.image_shape == (2, 2, 3)


def test_the_defaults_are_64_pixels_in_colour_and_tenths(folder):
  dataset = image_folder(folder)
  assert dataset.image_shape == (64, 64, 3)
  table = "file,n\n" + "".join(f"{name}/{i:02}.png,{i}\n" for name in COLORS for i in range(20))
  (folder / "table.csv").write_text(table)
  of_table = image_table(folder, continuous=("n",))
  for some in (dataset, of_table):
    assert [len(some[split]["image"]) for split in SPLITS] == [44, 5, 5, 6]
    assert "(64, 3, 'refuse', 0.1, 0.1, 0.1, 0)" in some.name


def test_the_draw_of_the_splits_is_that_of_the_seed(folder):
  fractions = {"test_fraction": 0.2, "probe_fraction": 0.25, "validation_fraction": 0.125}
  dataset = image_folder(folder, size=8, seed=5, **fractions)
  order = np.random.default_rng(5).permutation(60)
  ends = {"test": order[:12], "probe": order[12:24], "validation": order[24:30], "train": order[30:]}
  pixel = np.concatenate([[(r, g, b + i) for i in range(20)] for r, g, b in COLORS.values()])
  for split, rows in ends.items():
    np.testing.assert_array_equal(dataset[split]["image"][:, 0, 0], pixel[rows])
    np.testing.assert_array_equal(dataset[split]["label"], rows // 20)


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


@pytest.mark.parametrize(
  ("size", "channels", "expected"),
  [
    ((2, 2), 3, [[[8, 1, 12], [9, 1, 13]], [[8, 2, 12], [9, 2, 13]]]),
    ((1, 2), 3, [[[8, 2, 12], [9, 2, 13]]]),
    ((1, 1), 3, [[[8, 2, 12]]]),
    ((2, 2), 1, [[[4], [5]], [[5], [5]]]),
  ],
)
def test_every_pixel_of_a_crop_is_known(size, channels, expected, tmp_path):
  """Of 2 rows and 6 columns: what stays is in the middle, and is averaged where it is made smaller."""
  pixels = np.zeros((2, 6, 3), np.uint8)
  pixels[..., 0] = np.arange(6, 12)
  pixels[..., 1] = [[1], [2]]
  pixels[..., 2] = np.arange(10, 16)
  PIL.Image.fromarray(pixels).save(tmp_path / "a.png")
  image, is_image = decoded([tmp_path / "a.png"], (*size, channels))
  assert is_image.tolist() == [True]
  np.testing.assert_allclose(image[0].astype(int), expected, atol=1)
  if size == (2, 2):
    np.testing.assert_array_equal(image[0], expected)


def test_height_comes_before_width_and_one_number_is_both(folder):
  assert image_folder(folder, size=(4, 6)).image_shape == (4, 6, 3)
  assert image_folder(folder, size=5, channels=1).image_shape == (5, 5, 1)


def test_images_are_cropped_at_their_centre_and_resized(tmp_path):
  wide = np.zeros((10, 30, 3), np.uint8)
  wide[:, 10:20] = (10, 200, 30)
  PIL.Image.fromarray(wide).save(tmp_path / "wide.png")
  image, _ = decoded([tmp_path / "wide.png"], (5, 5, 3))
  np.testing.assert_allclose(image[0, 1:4, 1:4], np.broadcast_to([10.0, 200.0, 30.0], (3, 3, 3)), atol=3)
  assert image[0, :, 0, 1].min() > 150  # nothing of the black sides but their blur
  grey, _ = decoded([tmp_path / "wide.png"], (5, 15, 1))
  assert grey.shape == (1, 5, 15, 1) and grey[0, 2, 7, 0] == round(0.299 * 10 + 0.587 * 200 + 0.114 * 30)


@pytest.mark.parametrize("make", [image_folder, folder_source])
def test_transparent_pixels_are_composed_on_the_ground_that_is_named(make, tmp_path):
  for i in range(40):
    (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
    PIL.Image.new("RGBA", (4, 4), (i, 0, 255, 0)).save(tmp_path / "ab"[i % 2] / f"{i}.png")
  for background, color in (({}, (255, 255, 255)), ({"background": "#102030"}, (16, 32, 48))):
    dataset = make(tmp_path, size=4, channels=3, **background)
    assert dataset.background == color and (all_of(dataset, "image") == color).all()
  with pytest.raises(ConfigError, match="background = 'no' is no colour"):
    make(tmp_path, background="no")


def test_what_is_unusual_in_files_is_told_once_with_the_first_of_them(tmp_path, caplog):
  for i in range(3):
    PIL.Image.fromarray(np.full((4, 4), 1000 * i, np.uint16)).save(tmp_path / f"{i}.png")
  PIL.Image.new("L", (4, 4)).save(tmp_path / "plain.png")
  decoded(sorted(tmp_path.iterdir()), (4, 4, 1))
  (message,) = caplog.messages
  assert message == f"{tmp_path / '0.png'}: {TWELVE} (2 other files likewise)."


def test_a_camera_that_was_turned_is_turned_back(tmp_path):
  pixels = np.zeros((4, 4, 3), np.uint8)
  pixels[:2] = 255  # white above
  exif = PIL.Image.Exif()
  exif[0x0112] = 3  # upside down
  PIL.Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
  image, _ = decoded([tmp_path / "a.png"], (4, 4, 1))
  assert image[0, 0, 0, 0] == 0 and image[0, 3, 0, 0] == 255


def test_the_same_files_give_the_same_pixels_or_the_version_of_the_preparation_is_raised(tmp_path):
  """Raise `PREPARATION` where the digest changes, and write down both: caches hold the pixels of the old code."""
  noise = PIL.Image.fromarray(np.random.default_rng(0).integers(256, size=(11, 17, 4), dtype=np.uint8))
  files = [tmp_path / f"{mode}.png" for mode in ("RGB", "RGBA", "L", "LA", "1")]
  for file in files:
    noise.convert(file.stem).save(file)
  exif = PIL.Image.Exif()
  exif[0x0112] = 6  # on its side
  noise.convert("RGB").save(tmp_path / "turned.png", exif=exif)
  digest = hashlib.sha256()
  for shape in ((11, 17, 3), (8, 5, 3), (6, 12, 1), (20, 20, 1)):
    digest.update(decoded([*files, tmp_path / "turned.png"], shape)[0].tobytes())
  of_pillow = {"6af4522fab0c8214", "a47b9e34a77cfd94"}  # before 12.3, and since; a cache tells them apart
  assert PREPARATION == 2 and digest.hexdigest()[:16] in of_pillow


def test_images_are_decoded_once_and_again_when_a_file_changes(folder, own_cache, monkeypatch):
  first = image_folder(folder, size=8)
  assert isinstance(first.train["image"], np.memmap) and len(list(own_cache.iterdir())) == 2
  with monkeypatch.context() as patch:
    patch.setattr(PIL.Image, "open", None)
    np.testing.assert_array_equal(image_folder(folder, size=8).train["image"], first.train["image"])
  save(folder / "cat" / "00.png", (255, 255, 255), size=(9, 9))
  assert (all_of(image_folder(folder, size=8), "image") == 255).all((1, 2, 3)).sum() == 1


def test_a_file_with_the_size_and_time_of_the_one_before_is_seen(tmp_path):
  file, other = tmp_path / "a.bmp", tmp_path / "b.bmp"
  save(file, (1, 2, 3))
  save(other, (4, 5, 6))
  assert decoded([file], (8, 8, 3))[0][0, 0, 0].tolist() == [1, 2, 3]
  before = file.stat()
  os.replace(other, file)
  os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
  assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
  assert decoded([file], (8, 8, 3))[0][0, 0, 0].tolist() == [4, 5, 6]


def test_equal_files_in_two_folders_are_two(tmp_path, monkeypatch):
  for name, color in (("a", (1, 2, 3)), ("b", (4, 5, 6))):
    save(tmp_path / name / "x.bmp", color)
    os.utime(tmp_path / name / "x.bmp", ns=(0, 0))
    monkeypatch.setattr(decoding, "state", lambda file: (1, 2, 3))
    monkeypatch.chdir(tmp_path / name)
    assert decoded([pathlib.Path("x.bmp")], (8, 8, 3))[0][0, 0, 0].tolist() == list(color)


# --- Names ---


OF_BOTH = (
  {"size": 9},
  {"channels": 1},
  {"test_fraction": 0.2},
  {"probe_fraction": 0.2},
  {"validation_fraction": 0.2},
  {"seed": 1},
)


def test_the_name_tells_every_argument_that_changes_the_examples(folder):
  arguments = [{}, *OF_BOTH]
  names = [image_folder(folder, **{"size": 8, **some}).name for some in arguments]
  assert len(set(names)) == len(names) and names[0] == image_folder(folder, size=8).name


def test_the_name_tells_images_that_were_replaced_and_not_those_that_were_touched(folder):
  name = image_folder(folder, size=8).name
  (folder / "cat" / "00.png").touch()
  assert image_folder(folder, size=8).name == name
  save(folder / "cat" / "00.png", (255, 255, 255))
  assert image_folder(folder, size=8).name != name
  save(folder / "cat" / "00.png", COLORS["cat"])
  assert image_folder(folder, size=8).name == name
  (folder / "cat").rename(folder / "ape")  # the classes keep their numbers, and have other names
  assert image_folder(folder, size=8).name != name


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


def test_the_name_tells_the_values_of_the_table(table):
  """A name that a fitted feature keeps would otherwise not tell whether the labels were those before a correction."""
  arguments = {"discrete": ("animal",), "continuous": ("age",), "size": 8}
  names, text = [image_table(table, **arguments).name], (table / "table.csv").read_text()
  for old, new in (("cat,0.0", "cat,0.25"), (",eel,0.0", ",dog,0.0"), (",cat,", ",ape,"), (",cat,", ",fox,")):
    (table / "table.csv").write_text(text.replace(old, new))
    names.append(image_table(table, **arguments).name)
  swapped = text.replace(",cat,", ",x,").replace(",dog,", ",cat,").replace(",x,", ",dog,")
  (table / "table.csv").write_text(swapped)
  names.append(image_table(table, **arguments).name)
  assert len(set(names)) == len(names)
  (table / "table.csv").write_text(text)
  assert image_table(table, **arguments).name == names[0]


def test_the_name_tells_every_argument_of_a_table(table):
  arguments = [
    {},
    {"continuous": ("age",)},
    {"discrete": ("age",)},
    {"discrete": ("animal",)},
    {"angles": {"age": 360.0}},
    {"angles": {"age": 180.0}},
    {"test_every": 5},
    *OF_BOTH,
  ]
  names = [image_table(table, **{"size": 8, **some}).name for some in arguments]
  assert len(set(names)) == len(names)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_ends_with_a_line_and_not_within_a_value(end, table):
  odd = ["a\x0bb", "form\x0cfeed", "next\x85line", "line\u2028separator", "\x1cfile", "plain"]
  files = [f"cat/{i:02}.png" for i in range(20)]
  quoted = f'"two{end}lines"'
  rows = [f"{file},{[*odd, quoted][i % 7]}" for i, file in enumerate(files)]
  (table / "odd.csv").write_bytes(end.join(["file,kind", *rows, ""]).encode())
  names = image_table(table, "odd.csv", discrete=("kind",), size=8).class_names["kind"]
  assert names == tuple(sorted([*odd, f"two{end}lines"]))
  rows = [json.dumps({"file": file, "kind": odd[i % 6]}, ensure_ascii=False) for i, file in enumerate(files)]
  (table / "odd.jsonl").write_bytes(end.join([*rows, "", " "]).encode())
  assert image_table(table, "odd.jsonl", discrete=("kind",), size=8).class_names["kind"] == tuple(sorted(odd))


@pytest.mark.parametrize("suffix", ["jsonl", "JSON", "ndjson"])
def test_a_table_may_begin_with_the_mark_of_utf_8(suffix, table):
  (table / "marked.csv").write_text("\ufeff" + (table / "table.csv").read_text(), encoding="utf-8")
  assert len(all_of(image_table(table, "marked.csv", discrete=("animal",), size=8), "animal")) == 60
  rows = [json.dumps({"file": f"cat/{i:02}.png"}) for i in range(20)]
  (table / f"marked.{suffix}").write_text("\ufeff" + "\n".join(rows), encoding="utf-8")
  assert len(all_of(image_table(table, f"marked.{suffix}", size=8), "image")) == 20


@pytest.mark.parametrize(
  ("name", "text", "words"),
  [
    ("a.csv", "file,x\n", "has no rows with named columns"),
    ("a.csv", "", "has no rows with named columns"),
    ("a.jsonl", "[1]\n", "has no rows with named columns"),
    ("a.jsonl", '{"file": 1}\n{"file"\n', "cannot be read"),
    (
      "a.csv",
      "file,x\ncat/00.png,1\ncat/01.png\n",
      r"row 2 \(line 3\) of .*a.csv .*: it has 1 values for the 2 columns file, x",
    ),
    (
      "a.csv",
      "file,x\ncat/00.png,1\n,2\n",
      r"column 'file' has 1 empty cell; the first is in row 2 \(line 3\) of a.csv: fill",
    ),
  ],
)
def test_a_table_that_cannot_be_used_is_named(name, text, words, table):
  (table / name).write_text(text)
  with pytest.raises(DataError, match=words):
    image_table(table, name, continuous=("x",))


def test_every_kind_of_column_has_its_values_and_its_judge(table):
  rows = ["path,kind,mass,turn,lid"] + [f"dog/{i:02}.png,k{i % 3},{i / 4},{18 * i},{i % 2}" for i in range(20)]
  (table / "all.csv").write_text("\n".join(rows))
  dataset = image_table(
    table,
    "all.csv",
    file_column="path",
    discrete=["kind", "lid"],
    continuous=["mass"],
    angles={"turn": 360},
    symmetric={"kind": ["k2", "k0"], "lid": ["1"]},
    size=8,
  )
  number = all_of(dataset, "image")[:, 0, 0, 2].astype(int)  # the index is in the blue of a dog
  for column, values, dtype in (
    ("kind", number % 3, np.int64),
    ("lid", number % 2, np.int64),
    ("mass", number / 4, np.float32),
    ("turn", 18 * number, np.float32),
  ):
    np.testing.assert_array_equal(all_of(dataset, column), values)
    assert dataset.train[column].dtype == dtype
  assert dataset.judges == (
    Judge("kind", "kind", "classifier"),
    Judge("lid", "lid", "classifier"),
    Judge("mass", "mass", "number"),
    Judge("turn", "turn", "angle", 360, (("kind", (2, 0)), ("lid", (1,)))),
  )
  assert dataset.class_names == {"kind": ("k0", "k1", "k2"), "lid": ("0", "1")}


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
  assert dataset.name != image_table(table, angles={"age": 360.0}, size=8).name


def test_classes_that_look_the_same_from_all_sides_are_not_judged_by_an_angle(table):
  arguments = {"discrete": ("animal",), "angles": {"age": 30.0}, "size": 8}
  dataset = image_table(table, **arguments, symmetric={"animal": tuple(COLORS)[1:]})
  names = dataset.class_names["animal"]
  classes = tuple(names.index(name) for name in tuple(COLORS)[1:])
  assert dataset.judges[1] == Judge("age", "age", "angle", 30.0, (("animal", classes),))
  assert dataset.name == image_table(table, **arguments).name  # the same examples


def test_every_third_row_can_be_the_test_split(table):
  dataset = image_table(table, continuous=("age",), test_every=3, size=8)
  expected = [i / 2 for _ in COLORS for i in range(20)][::3]
  assert sorted(dataset.test["age"]) == sorted(expected)
  assert [len(dataset[split]["image"]) for split in SPLITS] == [32, 4, 4, 20]


@pytest.mark.parametrize(
  ("arguments", "error", "words"),
  [
    ({"data_dir": None}, ConfigError, "--data_dir"),
    ({"data_dir": "/nowhere"}, DataError, "no folder /nowhere"),
    ({"table": "no.csv"}, DataError, "no.csv cannot be read"),
    ({"discrete": ("size",)}, DataError, "table.csv has no column 'size'; its columns are file, animal, age"),
    ({"continuous": ("animal",)}, DataError, r"'animal' .* 'cat' is no number \(row 1 \(line 2\) of table.csv\)"),
    ({"angles": {"animal": 360.0}}, DataError, "'animal' .* kind 'angle', and 'cat' is no number"),
    ({"angles": {"age": 0.0}}, ConfigError, "a full turn must be positive"),
    ({"discrete": ("animal",), "symmetric": {"animal": ("yak",)}}, ConfigError, "'yak' is no class of 'animal'"),
    ({"symmetric": {"animal": ("dog",)}}, ConfigError, "'dog' is no class of 'animal'"),
    ({"discrete": ("animal",), "symmetric": {"animal": ("cat", "dog", "eel")}}, ConfigError, "every class of 'animal'"),
    ({"channels": 4}, ConfigError, "channels = 4"),
    ({"broken": "ignore"}, ConfigError, "broken = 'ignore'"),
    ({"size": 0}, ConfigError, "size = 0"),
    ({"size": (8, 0)}, ConfigError, r"size = \(8, 0\) must be at least 1"),
    ({"channels": 2}, ConfigError, r"image_table.channels = 2: choose 1 \(grey\) or 3"),
    ({"angles": {"age": -1.0}}, ConfigError, "a full turn must be positive"),
    ({"test_fraction": 0.0}, ConfigError, "test_fraction = 0.0"),
    ({"test_fraction": 1.0}, ConfigError, "test_fraction = 1.0"),
    ({"probe_fraction": 0.0}, ConfigError, "probe_fraction = 0.0"),
    ({"validation_fraction": -0.1}, ConfigError, "validation_fraction = -0.1"),
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
  with pytest.raises(DataError, match=rf"{tmp_path} has no images .*a folder for each class.*{tmp_path}/cat/1.png"):
    image_folder(tmp_path)
  save(tmp_path / "train" / "cat" / "1.png", (0, 0, 0))
  (tmp_path / "test").mkdir()
  with pytest.raises(DataError, match=f"{tmp_path}/test has no images"):
    image_folder(tmp_path)


def test_a_folder_in_the_home_is_found(folder, monkeypatch):
  monkeypatch.setenv("HOME", str(folder.parent))
  assert len(image_folder("~/images", size=8).train["image"]) == 44


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


# --- What people really have ---


def test_folders_of_validation_and_test_are_kept(folder, tmp_path):
  shutil.copytree(folder, tmp_path / "sets" / "Train")
  for split, number in (("val", 1), ("TEST", 2)):
    for i, name in enumerate(COLORS):
      save(tmp_path / "sets" / split / name / "x.png", (number, number, 200 + i))
  dataset = image_folder(tmp_path / "sets", size=8)
  assert [len(dataset[split]["image"]) for split in SPLITS] == [54, 6, 3, 3]
  assert set(dataset.validation["image"][:, 0, 0, 0]) == {1} and set(dataset.test["image"][:, 0, 0, 0]) == {2}
  shutil.rmtree(tmp_path / "sets" / "TEST")
  assert [len(image_folder(tmp_path / "sets", size=8)[split]["image"]) for split in SPLITS] == [49, 5, 3, 6]


@pytest.mark.parametrize("names", [range(12), [f"obj{i}" for i in range(12)], [i / 2 for i in range(12)]])
def test_classes_are_in_their_natural_order(names, tmp_path):
  names = list(map(str, names))
  for i, name in enumerate(names):
    for j in range(5):
      save(tmp_path / name / f"{j}.png", (i, j, 9))
  of_folder = image_folder(tmp_path, size=2)
  rows = [f"{name}/{j}.png,{name}" for name in reversed(names) for j in range(5)]
  (tmp_path / "table.csv").write_text("\n".join(["file,label", *rows]))
  of_table = image_table(tmp_path, discrete=("label",), size=2)
  for dataset in (of_folder, of_table):
    np.testing.assert_array_equal(all_of(dataset, "label"), all_of(dataset, "image")[:, 0, 0, 0])
  assert of_folder.class_names["label"] == tuple(names)
  assert of_table.class_names["label"] == tuple(name.removesuffix(".0") for name in names)


def test_rows_that_lack_a_value_are_named_or_left_out(table):
  text = (table / "table.csv").read_text().replace("cat/03.png,cat,", "cat/03.png,NA,").replace("eel,9.5", "eel,")
  (table / "table.csv").write_text(text)
  arguments = {"discrete": ("animal",), "continuous": ("age",), "size": 8}
  words = r"column 'animal' has 1 cell without a value; the first is in row 4 \(line 5\) of table.csv \(NA\): fill"
  with pytest.raises(DataError, match=words):
    image_table(table, **arguments)
  words = r"column 'age' has 1 empty cell; the first is in row 60 \(line 61\)"
  with pytest.raises(DataError, match=words):
    image_table(table, continuous=("age",), size=8)
  dataset = image_table(table, **arguments, missing="drop")
  assert len(all_of(dataset, "age")) == 58 and dataset.class_names["animal"] == ("cat", "dog", "eel")
  (warning,) = dataset.warnings
  assert warning == (
    "2 rows have no value of animal, age, and are left out; the first is row 4 (line 5) of table.csv"
  )  # fmt: skip


@pytest.mark.parametrize("value", ["inf", "-INF", "1e40", "1,5", "x", "#REF!"])
def test_a_number_that_is_none_is_named_by_row_line_and_column(value, table):
  text = (table / "table.csv").read_text().replace("dog,1.5", f'dog,"{value}"')
  (table / "table.csv").write_text(text)
  words = rf"column 'age' .* '{value}' is no number.* \(row 24 \(line 25\) of table.csv\)"
  with pytest.raises(DataError, match=words):
    image_table(table, continuous=("age",), size=8)


def test_all_broken_files_are_listed_with_their_rows(table, caplog):
  for i in range(4, 18):
    (table / "cat" / f"{i:02}.png").write_text("no image")
  words = r"^14 of 60 files are broken: row \d+ \(line \d+\) of table.csv, .*cat/\d+.png cannot .*; and 4 more. Remove"
  with pytest.raises(DataError, match=words) as error:
    image_table(table, size=8)
  assert str(error.value).count("cannot be read as an image") == 10 and "\n" not in str(error.value)
  for _ in range(2):  # also when the images are in the cache
    (warning, *_) = image_table(table, size=8, broken="skip").warnings
    assert warning.startswith("14 of 60 files cannot be read as images, and are skipped: row 5 (line 6) of table.csv, ")
  for path in (table / "cat").iterdir():
    path.write_text("no image")
  with pytest.raises(DataError, match=r"no file of the class 'cat' \('animal'\) can be read"):
    image_table(table, discrete=("animal",), size=8, broken="skip")
  with pytest.raises(DataError, match="no file of the class 'cat'"):
    image_folder(table, size=8, broken="skip")


def test_an_image_that_is_named_twice_is_told(table):
  text = (table / "table.csv").read_text()
  (table / "table.csv").write_text(text + "\ncat/00.png,dog,1\ncat/00.png,cat,2")
  dataset = image_table(table, discrete=("animal",), size=8)
  (warning,) = dataset.warnings
  assert warning.startswith("1 images are there more than once") and "cat/00.png" in warning
  assert "1 of them have several classes of 'animal'" in warning


def test_what_is_told_of_a_small_set_is_logged(table, caplog):
  image_table(table, discrete=("animal",), size=8)
  assert any(
    message.startswith("there are 60 images, and fewer than 500 are seldom enough") for message in caplog.messages
  )


def test_too_few_images_say_how_many_are_needed(tmp_path):
  for name in ("a", "b"):
    save(tmp_path / name / "1.png", (len(name), ord(name), 0))
  words = "image_folder: 2 images are too few, since test, probe, validation would .*at least 20 .*; raise"
  with pytest.raises(DataError, match=words):
    image_folder(tmp_path, size=2)


@pytest.mark.parametrize(
  ("changed", "words"),
  [
    (
      {"test_fraction": 0.99},
      "60 images .* validation .* test_fraction = 0.99.*at least 1000 .*; raise .*; lower test_",
    ),
    ({"test_every": 100, "probe_fraction": 0.001}, "59 images of train are .* probe would have none with probe_"),
    (
      {"probe_fraction": 0.998, "validation_fraction": 0.001},
      ".* train, validation would have none.*; lower test_fraction, probe_fraction",
    ),
  ],
)
def test_too_few_images_for_fractions_are_told_with_the_fractions(table, changed, words):
  with pytest.raises(DataError, match=rf"image_table: {words}"):
    image_table(table, size=8, discrete=("animal",), **changed)


def test_a_column_that_names_no_files_is_told(table):
  words = r"image_table.file_column = 'age' names no files: .*, in row 1 \(line 2\) of table.csv, is not there"
  with pytest.raises(DataError, match=words):
    image_table(table, size=8, file_column="age")
  (table / "long.csv").write_text("file,words\n" + f"cat/00.png,{'x' * 5000}\n" * 3)
  with pytest.raises(DataError, match=r"image_table\.file_column = 'words' names no files"):
    image_table(table, "long.csv", "words", size=8)


def test_a_single_row_that_is_the_test_leaves_none_to_train_on(table):
  (table / "one.csv").write_text("file\ncat/00.png\n")
  with pytest.raises(DataError, match="image_table: 0 images of train are too few"):
    image_table(table, "one.csv", size=8, test_every=2)


@pytest.mark.parametrize(
  "wrong",
  [
    *({"discrete": names} for names in ("animal", 7, (1,))),
    *({"angles": angles} for angles in (("age",), {"age": "360"}, {"age": True}, {"age": float("inf")})),
    *({"symmetric": some} for some in (True, {"animal": "dog"}, ("animal",))),
    *({name: value} for name in ("test_fraction", "probe_fraction") for value in ("0.1", None, True, (0.1,))),
    *({"test_every": value} for value in (-1, 1.5, "2", True)),
    *({"seed": value} for value in (-1, 0.5, "0", None)),
    *({"size": value} for value in (32.0, "32", None, (32,), (32, 32, 3), True)),
    *({"channels": value} for value in (True, "3", 3.5, (3,))),
    *({name: value} for name in ("missing", "broken") for value in ("ignore", None, 1)),
    *({name: value} for name in ("table", "file_column") for value in (3, None, ("a",))),
  ],
)
def test_a_value_of_another_type_is_named(table, wrong):
  (name,) = wrong
  with pytest.raises((ConfigError, DataError), match=name) as error:
    image_table(**{"data_dir": table, "size": 8, "discrete": ("animal",), **wrong})
  assert "\n" not in str(error.value)


def test_a_column_that_is_asked_for_twice_is_refused(table):
  with pytest.raises(ConfigError, match="column 'age' is asked for twice"):
    image_table(table, discrete=("age",), continuous=("age",))
  with pytest.raises(ConfigError, match="a column cannot be called 'image'"):
    image_table(table, discrete=("image",))


def test_a_nul_in_the_name_of_a_file_is_one_line(table):
  (table / "table.csv").write_text("file,age\n" + "cat/00\0.png,1\n" * 30)
  words = (
    r"image_table.file_column = 'file' names no files: .*cat/00\\x00.png, in row 1 \(line 2\) of table.csv, is not"
  )
  with pytest.raises(DataError, match=words) as error:
    image_table(table, size=8)
  assert "\n" not in str(error.value)


def test_not_every_row_is_the_test(tmp_path):
  with pytest.raises(ConfigError, match=r"image_table.test_every = 1 must be .* k >= 2"):
    image_table(tmp_path, discrete=("label",), test_every=1)
