"""The contract of a data set, and its fingerprint."""

import contextlib
import dataclasses
import hashlib
import time

import numpy as np
import pytest
import tensorflow as tf

from tfdisent.data import dataset as dataset_module
from tfdisent.data.columns import Column
from tfdisent.data.dataset import SPLITS, Dataset, check_disjoint, check_images, fingerprint
from tfdisent.errors import DataError


def examples(count=3, size=4, channels=3):
  return {
    "image": np.zeros([count, size, size, channels], np.uint8),
    "label": np.arange(count),
    "angle": np.zeros(count, np.float32),
  }


def with_split(split, **columns):
  """A sound data set but for these columns of one split; None leaves a column out."""
  broken = {name: column for name, column in {**examples(), **columns}.items() if column is not None}
  return Dataset(**{**{s: examples() for s in SPLITS}, split: broken}, name="of_a_test")


# --- The contract ---


def test_a_sound_data_set_gives_its_splits_and_its_image_shape():
  dataset = Dataset(**{split: examples(i + 1) for i, split in enumerate(SPLITS)}, name="of_a_test")
  assert [len(dataset[split]["image"]) for split in ("train", "probe", "validation", "test")] == [1, 2, 3, 4]
  assert dataset["probe"] is dataset.probe
  assert dataset.image_shape == (4, 4, 3)


def test_an_unknown_split_is_refused_with_the_known_ones():
  with pytest.raises(DataError, match="'tset': a data set has train, probe, validation, test"):
    with_split("train")["tset"]


@pytest.mark.parametrize("split", SPLITS)
@pytest.mark.parametrize(
  ("columns", "words"),
  [
    ({name: column[:0] for name, column in examples().items()}, "is empty"),
    ({"image": None}, "has no column 'image'; it has angle, label"),
    ({"image": np.zeros([3, 4, 4, 3], np.float32)}, "must be uint8, not float32"),
    ({"image": np.zeros([3, 4, 4, 3], np.int32)}, "must be uint8.* not int32"),
    ({"image": np.zeros([3, 4, 4], np.uint8)}, r"shape \[B, H, W, C\].* not \[3, 4, 4\]"),
    ({"image": np.zeros([3, 4, 4, 2], np.uint8)}, r"1 or 3 channels, not \[3, 4, 4, 2\]"),
    ({"label": np.arange(4)}, "has 3 images and 4 values of 'label'"),
    ({"angle": np.array([0, np.nan, 0])}, "'angle' .*has NaN or infinite values"),
    ({"color": np.full([3, 3], np.inf)}, "'color' .*has NaN or infinite values"),
  ],
)
def test_a_split_that_breaks_the_contract_is_named_with_what_is_wrong(split, columns, words):
  with pytest.raises(DataError, match=words) as error:
    with_split(split, **columns)
  assert f"split '{split}' of the data set 'of_a_test'" in str(error.value)


@pytest.mark.parametrize("split", SPLITS[1:])
def test_splits_with_images_of_another_shape_are_refused(split):
  with pytest.raises(DataError, match=rf"split '{split}' .* images of \(8, 8, 3\), 'train' of \(4, 4, 3\)"):
    with_split(split, image=np.zeros([3, 8, 8, 3], np.uint8))


@pytest.mark.parametrize("column", [[0, 1, 2], (0, 1, 2), tf.zeros([3])])
def test_a_column_is_an_array_of_numpy(column):
  with pytest.raises(DataError, match=f"column 'label' of split 'probe' .*, not a {type(column).__name__}"):
    with_split("probe", label=column)


def noise(count, seed=0):
  return np.random.default_rng(seed).integers(256, size=(count, 2, 2, 1), dtype=np.uint8)


@pytest.mark.parametrize(("split", "other"), [("train", "test"), ("probe", "validation"), ("validation", "test")])
def test_splits_that_share_memory_or_copies_of_their_images_are_refused(split, other):
  splits = {split: {"image": noise(100, seed)} for seed, split in enumerate(SPLITS)}
  Dataset(**splits, name="of_a_test")
  copies = splits[split]["image"][::-1].copy()
  for images in (splits[split]["image"], splits[split]["image"][3:4], copies, np.concatenate([noise(50, 9), copies])):
    with pytest.raises(DataError, match=f"'{split}' and '{other}' of the data set 'of_a_test' share images"):
      Dataset(**{**splits, other: {"image": images}}, name="of_a_test")


@pytest.mark.parametrize(("shared", "count", "refused"), [(63, 63, 0), (64, 64, 1), (64, 127, 1), (64, 128, 0)])
def test_a_few_duplicates_are_real_and_64_and_most_of_a_split_are_not(shared, count, refused):
  images = {"train": noise(1000), "test": np.concatenate([noise(1000)[500 : 500 + shared], noise(count - shared, 1)])}
  with pytest.raises(DataError, match="'test' and 'train'") if refused else contextlib.nullcontext():
    check_disjoint(images, "of_a_test")


def test_the_same_few_drawings_may_be_in_every_split():
  drawings = noise(100)
  check_disjoint({split: np.concatenate([drawings, drawings]) for split in SPLITS}, "of_a_test")
  check_disjoint({split: noise(400)[start::4] for start, split in enumerate(SPLITS)}, "of_a_test")


def test_of_many_images_only_some_are_compared(monkeypatch):
  a, b = noise(300), noise(300, 1)
  b[:128:2] = a[:128:2]  # 64 of 300; and 64 of the 150 that are compared, where twice as many would be found of all
  check_disjoint({"train": a, "test": b}, "of_a_test")
  assert dataset_module.BYTES_COMPARED == 256 * 1024**2
  monkeypatch.setattr(dataset_module, "BYTES_COMPARED", 2401)
  check_disjoint({"train": a, "test": b}, "of_a_test")
  monkeypatch.setattr(dataset_module, "BYTES_COMPARED", 2400)
  with pytest.raises(DataError, match="share images"):
    check_disjoint({"train": a, "test": b}, "of_a_test")
  b[0] = 255 - b[0]
  check_disjoint({"train": a, "test": b}, "of_a_test")


def test_images_are_uint8_or_float_from_0_to_1():
  check_images(np.full([1, 2, 2, 1], 255, np.uint8))
  check_images(np.ones([1, 2, 2, 3], np.float64))
  for image, words in (
    (np.full([1, 2, 2, 3], 1.5), "pictures is float .* from 1.5 to 1.5"),
    (np.full([1, 2, 2, 3], -0.5), r"pictures is float .*\[0, 1\]"),
    (np.full([1, 2, 2, 3], np.nan), r"pictures is float .*\[0, 1\]"),
    (np.ones([1, 2, 2, 3], bool), "pictures must be uint8.* not bool"),
    (np.ones([2, 2, 3], np.uint8), r"pictures must have the shape .* not \[2, 2, 3\]"),
    ([[1, 2], [3, 4]], r"pictures must have the shape .* not \[2, 2\]"),
  ):
    with pytest.raises(DataError, match=words):
      check_images(image, "pictures")


# --- The fingerprint ---


def test_a_fingerprint_is_the_hash_of_all_columns():
  """Known answer: name, type, shape and bytes of each, in the order of the names."""
  columns = {"label": np.int64([3, 1]), "image": np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)}
  text = b"image |u1 (2, 2, 2, 1) " + bytes(range(8)) + b"label <i8 (2,) " + np.int64([3, 1]).tobytes()
  assert fingerprint(columns) == hashlib.sha256(text).hexdigest()
  whole = Dataset(**{split: examples(i + 1) for i, split in enumerate(SPLITS)}, name="of_a_test")
  of_splits = " ".join(fingerprint(examples(i + 1)) for i in range(4))
  assert whole.fingerprint == hashlib.sha256(of_splits.encode()).hexdigest()


def test_a_fingerprint_changes_with_anything_in_any_split_and_not_with_the_name():
  found = {with_split("train").fingerprint}
  for split in SPLITS:
    image = np.zeros([3, 4, 4, 3], np.uint8)
    image[2, 3, 3, 2] = 1
    for columns in (
      {"image": image},
      {"label": np.int64([0, 1, 3])},
      {"label": np.int32([0, 1, 2])},
      {"label": np.arange(3).reshape(3, 1)},
      {"angle": None},
      {"angle": None, "slant": np.zeros(3, np.float32)},
      {"word": np.array(["a", "b", "c"])},
      {"word": np.array(["a", "b", "d"], object)},
      {"word": np.array(["a", "b", 7], object)},
    ):
      found.add(with_split(split, **columns).fingerprint)
      assert with_split(split, **columns).fingerprint in found
  assert len(found) == 1 + 9 * len(SPLITS)
  named = dataclasses.replace(with_split("train"), name="another name")
  assert named.fingerprint in found


def test_of_many_images_a_fingerprint_reads_some_evenly_spaced(monkeypatch):
  monkeypatch.setattr("tfdisent.data.dataset.FINGERPRINT_BYTES", 40)
  image = np.arange(11 * 12, dtype=np.uint8).reshape(11, 2, 2, 3)
  text = b"image |u1 (11, 2, 2, 3) " + b"".join(image[row].tobytes() for row in (0, 5, 10))
  assert fingerprint({"image": image}) == hashlib.sha256(text).hexdigest()
  label = np.arange(11)
  changed = np.where(label == 3, 0, label)
  assert fingerprint({"image": image, "label": label}) != fingerprint({"image": image, "label": changed})
  few = np.zeros([3, 8, 8, 1], np.uint8)  # each larger than the limit: the first and the last
  assert fingerprint({"image": few}) == hashlib.sha256(b"image |u1 (3, 8, 8, 1) " + bytes(128)).hexdigest()
  one = few[:1]
  assert fingerprint({"image": one}) == hashlib.sha256(b"image |u1 (1, 8, 8, 1) " + bytes(64)).hexdigest()


def test_a_fingerprint_of_a_large_split_is_quick():
  image = np.zeros([48_000, 28, 28, 3], np.uint8)
  start = time.process_time()
  fingerprint({"image": image, "label": np.zeros(48_000)})
  assert time.process_time() - start < 0.1


# --- What is known of columns ---


def known(**columns):
  return Dataset(**{split: examples() for split in SPLITS}, name="of_a_test", columns=columns)


def test_what_is_known_of_columns_fits_them():
  angle = Column("angle", "angle", turn=360.0)
  assert known(angle=angle, label=Column("label", "category", ("a", "b", "c"))).columns["angle"] == angle
  assert known().columns == {}


@pytest.mark.parametrize(
  ("columns", "words"),
  [
    ({"label": Column("digit", "category")}, "has 'digit' under 'label', and the columns of 'train' are angle, image"),
    ({"age": Column("age", "number")}, "has 'age' under 'age', and the columns of 'train'"),
    ({"label": Column("label", "attribute")}, "column 'label' of split 'train' of .* 'of_a_test' .*from 0 to 2"),
    ({"label": Column("label", "category", ("a", "b"))}, r"'label' .*\('a', 'b'\), and has values from 0 to 2"),
    ({"label": Column("label", "number")}, r"'label' .*must be float32 \[N\], not int64"),
    ({"angle": Column("angle", "angle")}, "'angle' .*set it to a full turn"),
  ],
)
def test_what_does_not_fit_a_column_is_named(columns, words):
  with pytest.raises(DataError, match=words):
    known(**columns)
