"""Tables beside images: how they are read, which column names the files, and what the files are like."""

import pathlib
import shutil

import numpy as np
import PIL.Image
import pytest

from tfdisent.data import tables
from tfdisent.data.tables import (
  find_files,
  find_splits,
  find_table,
  look_at,
  notes_on,
  size_for,
)
from tfdisent.errors import ConfigError, DataError


def test_the_table_of_a_folder_is_found(tmp_path):
  with pytest.raises(DataError, match=r"has no table: name the table, as in .*table.csv' \(.csv, .tsv, .jsonl"):
    find_table(tmp_path)
  (tmp_path / "people.CSV").touch()
  assert find_table(tmp_path).name == "people.CSV"
  (tmp_path / "birds.jsonl").touch()
  with pytest.raises(DataError, match=r"several tables \(birds.jsonl, people.CSV\)"):
    find_table(tmp_path)
  (tmp_path / "Table.tsv").touch()
  assert find_table(tmp_path).name == "Table.tsv"


def test_a_folder_that_may_not_be_read_is_named(tmp_path, monkeypatch):
  def refuse(path):
    raise PermissionError(13, "Permission denied", str(path))

  monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
  with pytest.raises(DataError, match=r"the folder .* cannot be read: .*Permission denied"):
    find_table(tmp_path)


# --- The files ---


@pytest.fixture
def root(tmp_path):
  for name in ("a.png", "b.png"):
    for folder in (".", "images"):
      (tmp_path / folder).mkdir(exist_ok=True)
      (tmp_path / folder / name).touch()
  (tmp_path / "images" / "c.png").touch()
  return tmp_path


def test_the_column_of_files_is_found(root):
  table = {
    "n": ["1.5", "2"],
    "where": ["images", "images"],
    "picture": ["a.png", " b.png"],
    "other": ["b.png", "a.png"],
  }
  assert find_files(table, root) == ("picture", [root / "a.png", root / "b.png"])
  assert find_files(table, root, "other") == ("other", [root / "b.png", root / "a.png"])


def test_files_may_be_in_a_folder_within_and_rows_without_one_are_none(root):
  assert find_files({"f": ["a.png", "c.png", ""]}, root) == ("f", [*(root / "images" / f"{x}.png" for x in "ac"), None])
  absolute = find_files({"f": [str(root / "a.png"), None]}, root / "images")
  assert absolute == ("f", [root / "a.png", None])


def test_names_that_fit_several_folders_are_refused(root):
  for folder in ("depth", "rgb"):
    (root / folder).mkdir()
    (root / folder / "0.png").touch()
  words = r"'0.png', which is a file in the folder 'depth' and another one in 'rgb' of .*, as in 'rgb/0.png'"
  for column in (None, "f"):
    with pytest.raises(DataError, match=words):
      find_files({"f": ["0.png"]}, root, column)
  assert find_files({"f": ["rgb/0.png"]}, root).paths == [root / "rgb" / "0.png"]
  shutil.rmtree(root / "rgb")
  (root / "rgb").symlink_to(root / "depth")
  assert find_files({"f": ["0.png"]}, root).paths == [root / "depth" / "0.png"]
  (root / "0.png").touch()
  assert find_files({"f": ["0.png"]}, root).paths == [root / "0.png"]


def test_an_error_says_how_to_name_the_files(root):
  with pytest.raises(DataError, match=r"no column of the table names files .*columns are f, g. .*file_column='file'"):
    find_files({"f": ["x.png"], "g": ["x" * 5000 + ".png"]}, root)
  with pytest.raises(DataError, match=r"column 'f' names 'x.png', and there is no such file"):
    find_files({"f": ["x.png"]}, root, "f")
  with pytest.raises(ConfigError, match=r"no column 'file' \(file_column\): the columns are f, g"):
    find_files({"f": ["a.png"], "g": ["1"]}, root, "file")


def test_splits_have_their_usual_names_in_any_case():
  words = ["Train", "VAL", "test ", "training", "valid", "validation", "dev", "TESTING", "probe"]
  splits = ["train", "validation", "test", "train", "validation", "validation", "validation", "test", "probe"]
  assert find_splits(words).tolist() == splits
  assert find_splits(["left", "right"]) is None
  assert find_splits(["test", "test"]) is None
  for value in ("tset", None):
    words = f"column of splits has the value '{value or ''}' in row 2: write train, validation or"
    with pytest.raises(DataError, match=words):
      find_splits(["train", value])


# --- What they are like ---


def save(path, mode, size=(4, 3), color=0):
  PIL.Image.new(mode, size, color).save(path)
  return path


def test_sizes_are_read_and_grey_is_seen_in_headers_and_in_pixels(tmp_path):
  grey = [
    save(tmp_path / "l.png", "L", (5, 7)),
    save(tmp_path / "la.png", "LA"),
    save(tmp_path / "rgb.jpg", "RGB", color=(90, 90, 90)),
  ]
  sizes, is_grey = look_at(grey)
  assert (sizes.tolist(), is_grey) == ([[5, 7], [4, 3], [4, 3]], True)
  assert look_at(grey, with_channels=False)[1] is False
  coloured = save(tmp_path / "p.gif", "P")
  PIL.Image.new("RGB", (4, 3), (90, 90, 99)).convert("P", palette=PIL.Image.Palette.ADAPTIVE).save(coloured)
  assert look_at([*grey, coloured])[1] is False
  (tmp_path / "broken.png").write_text("no image")
  sizes, is_grey = look_at([tmp_path / "broken.png", tmp_path / "absent.png", grey[1]])
  assert (sizes.tolist(), is_grey) == ([[4, 3]], True)


def test_colour_is_looked_for_in_an_even_spread_of_files(tmp_path, monkeypatch):
  files = [save(tmp_path / f"{i:02}.png", "RGB", color=(90, 90, 90)) for i in range(50)]
  opened = []
  monkeypatch.setattr(tables, "MOST_OPENED", 10)
  has_color = tables._has_color
  monkeypatch.setattr(tables, "_has_color", lambda file: (opened.append(file), has_color(file))[1])
  assert look_at(files)[1] is True
  assert sorted(opened) == files[::5]
  save(files[45], "RGB", color=(90, 90, 99))
  assert look_at(files)[1] is False


def test_a_damaged_file_of_any_format_is_left_to_whoever_decodes_it(tmp_path):
  whole = save(tmp_path / "whole.dds", "RGB")
  content = bytearray(whole.read_bytes())
  content[80:84] = bytes(4)  # a format of pixels that Pillow does not implement
  (tmp_path / "damaged.dds").write_bytes(content)
  with pytest.raises(NotImplementedError):
    PIL.Image.open(tmp_path / "damaged.dds")
  assert look_at([tmp_path / "damaged.dds", whole])[0].tolist() == [[4, 3]]


@pytest.mark.parametrize(
  ("sizes", "expected"),
  [
    ([[64, 64]], 64),
    ([[63, 90]], 32),
    ([[128, 97]], 96),
    ([[28, 28]], 28),
    ([[4000, 3000]], 128),
    ([[8, 9]], 8),
    ([[100, 100]] * 19 + [[20, 20]], 96),
    ([[100, 100]] * 8 + [[40, 50]] * 2, 32),
  ],
)
def test_the_size_is_the_nearest_that_is_not_larger(sizes, expected):
  assert size_for(np.array(sizes)) == expected


def test_sizes_are_noted_and_very_different_aspect_ratios_are_a_warning():
  assert notes_on(np.array([[64, 64]]), (32, 48, 1)) == (
    ("the files have 64x64 pixels (width x height); the images are made 48x32 pixels, grey",),
    (),
  )
  (note,), (warning,) = notes_on(np.array([[100, 100], [100, 160]] * 9), (96, 96, 3))
  assert (
    note == "the files have 100x100 to 100x160 pixels (width x height); the images are made 96x96 pixels, in colour"
  )
  assert warning.startswith("the images have very different aspect ratios, of 0.62 to 1.00 (width / height)")
  assert notes_on(np.array([[100, 100], [100, 140]] * 9), (96, 96, 3))[1] == ()
