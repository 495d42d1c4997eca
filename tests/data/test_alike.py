"""Images that are alike: all of a set, nearly all, or copies in two splits, with known answers."""

import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdisent.data.alike import check_alike, refuse_alike, warning_of_copies
from tfdisent.data.columns import Column
from tfdisent.data.dataset import SPLITS, Dataset
from tfdisent.errors import DataError


def dataset_of(train):
  rest = np.random.default_rng(1).integers(256, size=(3, 4, *train.shape[1:]), dtype=np.uint8)
  splits = {split: {"image": image} for split, image in zip(SPLITS, (train, *rest))}
  return Dataset(**splits, name="x")


def noise(count, low=0, high=256):
  return np.random.default_rng(0).integers(low, high, size=(count, 8, 8, 1), dtype=np.uint8)


@pytest.mark.parametrize(
  "train", [np.full([30, 8, 8, 1], 255, np.uint8), np.zeros([2000, 8, 8, 3], np.uint8), noise(30, 254)]
)
def test_images_that_look_the_same_are_refused(train):
  with pytest.raises(DataError, match=r"all [\d,]+ training images look the same .*there is nothing to learn"):
    check_alike(dataset_of(train))


def test_images_that_nearly_look_the_same_are_warned_of(caplog):
  almost_white = np.concatenate([np.full([29, 8, 8, 1], 255, np.uint8), noise(1)])
  refuse_alike(dataset_of(almost_white))
  assert caplog.messages == ["97 % of the training images are the same one: look at the files."]
  assert check_alike(dataset_of(noise(30, 100, 103))).startswith(
    "the training images are nearly alike: they differ by 0.8"
  )
  assert check_alike(dataset_of(noise(30))) == check_alike(dataset_of(noise(1))) == ""
  dark = np.zeros([30, 8, 8, 1], np.uint8)
  dark[:, 2, 3, 0] = np.arange(30) * 8  # one pixel tells them
  assert check_alike(dataset_of(dark)) == ""


def warned(groups, labels=None):
  """What is said of images, one number for each, in the splits."""
  splits = {
    split: {
      "image": np.array(of_split, np.uint8).reshape(-1, 1, 1, 1),
      "label": np.array((labels or {}).get(split, [0] * len(of_split))),
    }
    for split, of_split in groups.items()
  }
  checks = np.array([zlib.crc32(image.tobytes()) for split in SPLITS for image in splits[split]["image"]])
  columns = {"label": Column("label", "category", ("a", "b"))}
  return warning_of_copies(splits, checks, columns, lambda split, row: f"{split[0]}{row}.png")


def test_copies_in_several_splits_and_of_several_classes_are_named():
  assert warned({"train": [1, 2, 3], "probe": [4], "validation": [5], "test": [6]}) == ()
  assert warned({"train": [1, 1, 3], "probe": [4], "validation": [5], "test": [6]}) == ()  # of one class, in one split
  (words,) = warned({"train": [1, 2, 3], "probe": [4], "validation": [2], "test": [6, 3]})
  assert words == (
    "2 images are there more than once, and 2 of them in several splits, whose figures are of images that are known "
    "then: t1.png in train and v0.png in validation; t2.png in train and t1.png in test. Remove the copies, or put "
    "them into one split"
  )
  (words,) = warned({"train": [1, 1, 3], "probe": [4], "validation": [5], "test": [6]}, {"train": [0, 1, 0]})
  assert words.startswith(
    "1 images are there more than once; 1 of them have several classes of 'label': t0.png and t1."
  )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.lists(st.lists(st.integers(0, 9), min_size=1, max_size=6), min_size=4, max_size=4))
def test_copies_are_counted(of_splits):
  said = warned(dict(zip(SPLITS, of_splits)))
  across = {number for number in range(10) if sum(number in of_split for of_split in of_splits) > 1}
  assert bool(said) == bool(across)
  assert not across or f", and {len(across)} of them in several splits" in said[0]


def test_equal_checks_of_other_images_are_no_copies():
  splits = {split: {"image": np.full([1, 1, 1, 1], number, np.uint8)} for number, split in enumerate(SPLITS)}
  assert warning_of_copies(splits, np.zeros(4), {}, lambda split, row: "") == ()
