"""Which files of a folder are images of which class and split, over generated trees; and what is said of all others."""

import itertools
import os
import pathlib
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tfdisent.data import folders
from tfdisent.data.folders import image_suffixes, read_folder, root_folder
from tfdisent.errors import ConfigError, DataError

quickly = settings(
  max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
IMAGES = ["x.png", "y.JPG", "z.WebP", "deep/er/x.TIFF", "deep/x.bmp", "._no_image/../w.Ppm"]
HIDDEN = [
  "._x.png",
  ".hidden/x.png",
  "__MACOSX/x.png",
  "deep/.ipynb_checkpoints/x.png",
  "deep/__macosx/._x.png",
  "@eaDir/x.png",
]
OTHERS = ["notes.txt", "Thumbs.db", "deep/x.heic2", "png"]
CLASSES = ["cat", "NA", "10", "2", "train", "test set"]


@pytest.fixture
def root(tmp_path):
  return tmp_path / "photos"


def touch(root, *names):
  for name in names:
    path = pathlib.Path(os.path.normpath(root / name))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


@quickly
@given(st.dictionaries(st.sampled_from(CLASSES), st.sets(st.sampled_from(IMAGES + HIDDEN + OTHERS)), min_size=2))
def test_images_are_found_at_any_depth_and_what_is_hidden_is_not(root, tree):
  shutil.rmtree(root, ignore_errors=True)
  touch(root, *(f"{of_class}/{name}" for of_class, names in tree.items() for name in names))
  touch(root, "__MACOSX/cat/._x.png", ".DS_Store", ".git/x.png", "notes.txt")
  expected = {
    (os.path.normpath(root / of_class / name), of_class)
    for of_class, names in tree.items()
    for name in names & {*IMAGES}
  }
  for of_class in tree:
    (root / of_class).mkdir(exist_ok=True)
  if not expected:
    with pytest.raises(DataError, match=f"{root}.* has no images in folders: x wants a folder for each class"):
      read_folder(root, "x")
    return
  folder = read_folder(root, "x")
  assert {*zip(map(str, folder.files), folder.classes)} == expected and len(folder.files) == len(expected)
  assert folder.files == sorted(folder.files) and folder.splits is None
  for of_class, names in tree.items():
    is_empty = f"the class '{of_class}' in {root} has no images" in " ".join(folder.warnings)
    assert is_empty == (not names & {*IMAGES})


WORDS = dict.fromkeys(("val", "validation", "valid", "dev"), "validation") | {"train": "train", "test": "test"}


@quickly
@given(
  st.sets(st.sampled_from(sorted(WORDS)), min_size=1),
  st.sampled_from([str.lower, str.upper, str.title]),
  st.sampled_from(["", "photos/"]),
)
def test_folders_of_splits_are_known_in_any_case_and_combination(root, words, case, inner):
  shutil.rmtree(root, ignore_errors=True)
  words |= {"train"}
  touch(root, *(f"{inner}{case(word)}/{of_class}/{word}.png" for word in words for of_class in ("a", "b")))
  folder = read_folder(root, "x")
  found = {(path.stem, of_class, split) for path, of_class, split in zip(folder.files, folder.classes, folder.splits)}
  assert found == {(word, of_class, WORDS[word]) for word in words for of_class in ("a", "b")}
  assert bool(folder.warnings) == bool(inner)


def test_splits_without_one_to_train_on_are_refused(root):
  touch(root, "Test/a/1.png", "val/a/1.png")
  with pytest.raises(DataError, match=r"photos has the folders of splits val, Test, and none called 'train'"):
    read_folder(root, "x")


def test_what_lies_beside_splits_and_classes_is_told(root):
  touch(root, "train/a/1.png", "test/a/1.png", "docs/logo.png", "loose.png", "train/loose.png", "train/b/x.txt")
  assert read_folder(root, "x").warnings == (
    "beside the folders of splits, docs, loose.png is left out",
    f"1 images in {root}/train are in no folder of a class, and are left out: loose.png",
    f"the class 'b' in {root}/train has no images (1 files that Pillow does not read: .txt), and is left out",
  )


def test_an_archive_one_level_too_high_is_entered_and_told(root):
  touch(root, "photos/inner/cat/1.png", "photos/inner/dog/1.png", "__MACOSX/photos/._x")
  folder = read_folder(root, "x")
  assert folder.classes == ["cat", "dog"]
  assert [warning.split(" alone")[0] for warning in folder.warnings] == [
    f"{root} holds the folder 'photos'",
    f"{root}/photos holds the folder 'inner'",
  ]


def test_one_class_alone_and_a_class_called_train_stay_classes(root):
  touch(root, "cat/1.png")
  assert read_folder(root, "x") == ([root / "cat/1.png"], ["cat"], None, ())
  touch(root, "train/1.png")
  assert read_folder(root, "x").classes == ["cat", "train"]


def test_classes_within_classes_are_named(root):
  touch(root, "animals/cat/1.png", "animals/dog/1.png", "plants/1.png", "plants/dried/1.png")
  folder = read_folder(root, "x")
  assert folder.classes == ["animals"] * 2 + ["plants"] * 2
  assert folder.warnings == ("the folders animals/cat, animals/dog are taken as one class, 'animals'",)


def test_links_are_followed_and_those_in_a_loop_are_named(root):
  touch(root, "a/1.png", "b/2.png")
  touch(root.parent, "elsewhere/3.png")
  (root / "a" / "more").symlink_to(root.parent / "elsewhere")
  (root / "a" / "up").symlink_to(root)
  (root / "b" / "self").symlink_to(root / "b")
  (root / "c").symlink_to(root)
  (root / "d").symlink_to(root / "d")
  (root / "b" / "nowhere.png").symlink_to(root / "no")
  folder = read_folder(root, "x")
  names = [str(path.relative_to(root)) for path in folder.files]
  assert names == ["a/1.png", "a/more/3.png", "b/2.png", "b/nowhere.png"]  # the decoder names what cannot be read
  for link in ("a/up", "b/self", "c"):
    assert f"{root}/{link} links to a folder that holds it, and is left out" in folder.warnings


@pytest.mark.parametrize("folder", ["runs/one", "one", "cat/one", "deep/runs/one"])
def test_runs_and_comparisons_are_no_classes(root, folder):
  touch(root, "cat/1.png", "dog/1.png")
  before = read_folder(root, "x")
  touch(root, f"{folder}/run.json", f"{folder}/fusion.png", f"{folder}/export/more/1.png")
  touch(root, f"{folder}/../comparison/comparison.json", f"{folder}/../comparison/comparison.png")
  touch(root, f"{folder}/../fitted/feature.json")
  after = read_folder(root, "x")
  assert (after.files, after.classes) == (before.files, before.classes)
  is_deep = folder.startswith("deep")  # a folder of folders of runs is named, and no class
  assert [*after.warnings] == ([f"the class 'deep' in {root} has no images, and is left out"] if is_deep else [])


def test_a_run_beside_an_archive_that_is_one_level_too_high_hides_nothing(root):
  touch(root, "photos/cat/1.png", "photos/dog/1.png", "photos/one/run.json", "photos/one/1.png", "runs/two/run.json")
  assert read_folder(root, "x").classes == ["cat", "dog"]
  touch(root, "runs/2.png")
  assert read_folder(root, "x").classes == ["photos"] * 2 + ["runs"]


def test_images_without_folders_are_counted(root):
  touch(root, "1.png", "2.jpg")
  words = r"photos has no images in folders: x wants a folder .* It has 2 images that are in no folder"
  with pytest.raises(DataError, match=words):
    read_folder(root, "x")
  (root / "empty").mkdir()
  with pytest.raises(DataError, match=r"Note: the class 'empty' in .* has no images, and is left out"):
    read_folder(root, "x")


def test_a_folder_that_cannot_be_read_is_named(root, monkeypatch):
  touch(root, "a/1.png")
  iterdir = pathlib.Path.iterdir

  def refuse(path):
    if path.name == "a":
      raise PermissionError("not yours")
    return iterdir(path)

  monkeypatch.setattr(pathlib.Path, "iterdir", refuse)
  with pytest.raises(DataError, match=r"the folder .*/photos/a cannot be read: not yours"):
    read_folder(root, "x")


def test_the_root_is_a_folder(tmp_path):
  (tmp_path / "photos.zip").touch()
  with pytest.raises(DataError, match=r"photos.zip is a file, and x reads a folder: unpack it"):
    root_folder(tmp_path / "photos.zip", "x")
  for wrong in ("a\0b", 7, "~nobody-of-this-name/x", ["a"]):
    with pytest.raises((ConfigError, DataError)):
      root_folder(wrong, "x")
  assert root_folder(str(tmp_path), "x") == tmp_path


def test_suffixes_are_those_that_pillow_opens():
  assert {".png", ".jpg", ".jfif", ".webp", ".tif", ".ppm", ".tga", ".gif"} <= image_suffixes()
  assert not {".txt", ".pdf", ".h5", ".mpg", ".eps", ".csv"} & image_suffixes()
  assert all(suffix == suffix.lower() for suffix in itertools.islice(image_suffixes(), 99))


def test_a_link_that_may_not_be_looked_at_is_no_folder(tmp_path, monkeypatch):
  """As those of /proc, of other users' processes."""
  (tmp_path / "a").mkdir()
  (tmp_path / "secret").symlink_to(tmp_path / "a")
  stat = os.stat

  def denied(path, *arguments, **keywords):
    if str(path).endswith("secret"):
      raise PermissionError(13, "Permission denied", str(path))
    return stat(path, *arguments, **keywords)

  monkeypatch.setattr(os, "stat", denied)
  listing = folders._list(tmp_path)
  assert listing.folders == [tmp_path / "a"] and listing.others == [tmp_path / "secret"]
