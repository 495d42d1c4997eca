"""TFDS's image sets, on mock data: their columns, their splits, and the whole path from the set to the figures."""

import functools

import numpy as np
import pytest
import tensorflow_datasets as tfds

from features.category import Category
from tfdisent.dataset import SPLITS
from tfdisent.datasets.tfds_images import KINDS, tfds_images
from tfdisent.errors import ConfigError, DataError
from tfdisent.evaluation import evaluate, protocol
from tfdisent.feature import feature_values
from tfdisent.pictures import fusion_grid

from .conftest import train_tiny

NAMES = [name if name != "emnist" else "emnist/digits" for name in KINDS]


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def mocked(monkeypatch):
  """Twenty examples of noise a split, in the shapes and with the columns of the real sets."""
  monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda self, **keywords: None)
  with tfds.testing.mock_data(num_examples=20):
    yield


COLUMNS = {
  "mnist": {"label": "i"},
  "celeb_a": {"Smiling": "i", "Eyeglasses": "i", "lefteye_x": "f", "nose_y": "f"},
  "shapes3d": {"label_shape": "i", "label_orientation": "i", "value_orientation": "f"},
  "dsprites": {"label_shape": "i", "value_x_position": "f"},
  "smallnorb": {"label_category": "i", "label_azimuth": "i", "label_elevation": "i", "instance": "i"},
}


@pytest.mark.parametrize("name", NAMES)
def test_every_set_has_four_splits_with_its_factors(name, mocked):
  dataset = tfds_images(name)
  for column, kind in COLUMNS.get(name, {"label": "i"}).items():
    assert all(dataset[split][column].shape == dataset[split]["image"].shape[:1] for split in SPLITS)
    assert dataset.train[column].dtype == {"i": np.int64, "f": np.float32}[kind]
  assert sum(len(dataset[split]["image"]) for split in SPLITS) == 20 * len(KINDS[name.split("/")[0]].splits)
  assert all(judge.column in dataset.train for judge in dataset.judges)


@pytest.mark.parametrize("name", NAMES)
def test_every_set_goes_the_whole_way(name, mocked, tmp_path, monkeypatch):
  """Two training steps, the quick evaluation, and a picture."""
  column = "Smiling" if name == "celeb_a" else KINDS[name.split("/")[0]].judged[0]
  monkeypatch.setattr(protocol, "Oracle", lambda dataset, column: lambda image: np.zeros(len(image), int))
  monkeypatch.setattr(protocol, "Estimator", lambda dataset, column, turn: lambda image: np.zeros(len(image)))
  dataset = tfds_images(name, size=32, channels=3, probe_fraction=0.2, validation_fraction=0.2)
  feature = Category(num_classes=10, column=column)
  trained = train_tiny(tmp_path / "run", dataset, feature, epochs=1, batch_size=4, evaluate_every=0)
  metrics = evaluate(trained, dataset, "validation", quick=True, progress=None)
  assert "quality/psnr" in metrics
  for angle in KINDS[name.split("/")[0]].angles:
    assert f"complement/{angle}_median_error" in metrics
  f = feature_values(feature, dataset.train)
  grid = fusion_grid(trained, dataset.train["image"][:2], dataset.train["image"][:3], f[:3])
  assert grid.dtype == np.uint8 and grid.ndim == 3


def test_images_are_prepared_once(mocked, monkeypatch):
  first = tfds_images("celeb_a", size=(16, 12), channels=1)
  assert first.image_shape == (16, 12, 1) and isinstance(first.train["image"], np.memmap)
  monkeypatch.setattr(tfds, "as_numpy", None)
  again = tfds_images("celeb_a", size=(16, 12), channels=1)
  for split in SPLITS:
    np.testing.assert_array_equal(first[split]["image"], again[split]["image"])
    np.testing.assert_array_equal(first[split]["Smiling"], again[split]["Smiling"])


def test_what_tfds_lacks_is_taken_from_train_and_what_it_has_is_kept(mocked):
  whole = functools.partial(tfds_images, test_fraction=0.3, probe_fraction=0.1, validation_fraction=0.2)
  counts = {name: [len(whole(name)[split]["image"]) for split in SPLITS] for name in ("shapes3d", "mnist", "celeb_a")}
  assert counts == {"shapes3d": [8, 2, 4, 6], "mnist": [14, 2, 4, 20], "celeb_a": [18, 2, 20, 20]}


def test_published_images_are_turned_and_brightened(mocked):
  raw = {
    name: next(iter(tfds.as_numpy(tfds.load(name, split="train", shuffle_files=False))))["image"]
    for name in ("emnist/digits", "dsprites")
  }
  first = {name: tfds_images(name, probe_fraction=0.06).probe["image"][0] for name in raw}
  np.testing.assert_array_equal(first["emnist/digits"], raw["emnist/digits"].transpose(1, 0, 2))
  np.testing.assert_array_equal(first["dsprites"], raw["dsprites"] * np.uint8(255))


def test_the_real_mnist_is_that_of_color_mnist(mnist_dir):
  dataset = tfds_images("mnist", data_dir=str(mnist_dir), limit=300)
  assert dataset.test["image"].shape == (300, 28, 28, 1) and set(dataset.test["label"]) == set(range(10))
  test = tfds.load("mnist", split="test[:300]", data_dir=mnist_dir, batch_size=-1, shuffle_files=False)
  np.testing.assert_array_equal(dataset.test["image"], test["image"])


@pytest.mark.parametrize(
  ("arguments", "error", "words"),
  [
    ({"channels": 2}, ConfigError, "channels = 2"),
    ({"test_fraction": 0.9}, ConfigError, "leave a rest"),
    ({"name": "no_such_set"}, DataError, "'no_such_set' is not in"),
    ({"name": "imdb_reviews"}, DataError, "has no images"),
    ({"name": "cats_vs_dogs"}, ConfigError, "many sizes"),
  ],
)
def test_a_mistake_is_named(arguments, error, words, mocked):
  with pytest.raises(error, match=words):
    tfds_images(**arguments)
