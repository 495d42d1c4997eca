"""A data set of images in memory, with their properties as arrays."""

import numpy as np
import pytest

from tests.data.test_sources import COUNT, KINDS, all_of, counts, rows_of_table
from tfdisent.data.arrays import from_arrays
from tfdisent.errors import ConfigError, DataError


def arrays(count=COUNT):
  image = np.random.default_rng(0).integers(256, size=(count, 4, 4, 3), dtype=np.uint8)
  image[:, 0, 0, 1] = np.arange(count)
  return image


def test_arrays_are_a_data_set():
  image, rows = arrays(), list(rows_of_table())
  columns = {name: [row[name] for row in rows] for name in ("smile", "digit", "age")}
  columns |= {"azimuth": 6 * np.arange(COUNT), "ink": np.stack([np.full(60, 255), np.arange(60), np.zeros(60)], 1)}
  dataset = from_arrays(image, columns, KINDS)
  row = all_of(dataset, "image")[:, 0, 0, 1].astype(int)
  np.testing.assert_array_equal(all_of(dataset, "image"), image[row])
  np.testing.assert_array_equal(all_of(dataset, "digit"), row % 12)
  np.testing.assert_allclose(all_of(dataset, "ink")[:, 1], row / 255, rtol=1e-6)
  assert [judge.kind for judge in dataset.judges] == ["classifier", "classifier", "number", "angle", "number"]
  assert dataset.name.startswith("arrays((4, 4, 3), ")
  assert from_arrays(image, columns, KINDS).name == dataset.name
  assert from_arrays(image + 1, columns, KINDS).name != dataset.name != from_arrays(image, columns, KINDS, seed=1).name


@pytest.mark.parametrize(
  ("image", "columns", "words"),
  [
    ([np.zeros([2, 2, 3], np.uint8), np.zeros([3, 2, 3], np.uint8)], {}, "images must be of one size"),
    (arrays(), {"a": "x" * COUNT}, "column 'a' must have a value for each image"),
    (arrays(), {"a": np.array(3)}, "column 'a' must have a value for each image"),
    (arrays(), {"image": [1] * COUNT}, "a column cannot be called 'image'"),
    (arrays(), {7: [1] * COUNT}, "a column cannot be called 7"),
    (arrays(), {"a": [[1], [1, 2]] * (COUNT // 2)}, "column 'a' has lists of different lengths"),
    (arrays(0), {"a": []}, "from_arrays: there are no images"),
    (arrays(3), {"a": [0, 1, 0]}, "3 images are too few, since .* would have none"),
  ],
)
def test_columns_and_images_that_are_none_are_named(image, columns, words):
  with pytest.raises((ConfigError, DataError), match=words):
    from_arrays(image, columns)


def test_copies_in_several_splits_are_told(caplog):
  image = arrays()
  image[1] = image[50]
  splits = ["train"] * 40 + ["test"] * 20
  (warning,) = from_arrays(image, {"a": (np.arange(COUNT) + (np.arange(COUNT) > 40)) % 2}, split=splits).warnings
  assert "image 50 in test" in warning and "image 1 in " in warning and "several classes" not in warning
  assert f"{warning}." in caplog.messages


def test_one_array_is_the_label_and_grey_images_may_lack_their_channel():
  image = arrays()
  dataset = from_arrays(image[..., 0] / 255, np.arange(COUNT) % 3)
  assert dataset.image_shape == (4, 4, 1) and dataset.columns["label"].class_names == ("0", "1", "2")
  assert {i.tobytes() for i in all_of(dataset, "image")} == {i.tobytes() for i in image[..., 0]}


def test_a_data_frame_has_its_columns():
  pandas = pytest.importorskip("pandas")
  columns = {"digit": np.arange(COUNT) % 3, "sex": ["f", "m"] * (COUNT // 2)}
  dataset = from_arrays(arrays(), pandas.DataFrame(columns, index=range(7, 7 + COUNT)))
  assert dataset.name == from_arrays(arrays(), columns).name and [*dataset.columns] == ["digit", "sex"]


def test_arrays_keep_the_splits_that_are_given():
  dataset = from_arrays(arrays(), np.arange(COUNT) % 2, split=["train"] * 40 + ["dev"] * 20)
  assert set(dataset.validation["image"][:, 0, 0, 1]) == set(range(40, 60))
  assert counts(dataset) == [32, 4, 20, 4]
  with pytest.raises(ConfigError, match="split has no 'train'"):
    from_arrays(arrays(), np.arange(COUNT) % 2, split=["test"] * COUNT)


@pytest.mark.parametrize(
  ("image", "columns", "words"),
  [
    (arrays(), {"a": [1, 2]}, "column 'a' has 2 values, and there are 60 images"),
    (arrays().astype(float), {}, r"images is float and must lie in \[0, 1\]"),
    (np.zeros([3, 3]), {}, r"images must have the shape \[B, H, W, C\]"),
  ],
)
def test_arrays_that_do_not_fit_are_named(image, columns, words):
  with pytest.raises(DataError, match=words):
    from_arrays(image, columns)
