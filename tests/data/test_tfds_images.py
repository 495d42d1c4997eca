"""TFDS's image sets, on mock data: their columns, their splits, and the whole path from the set to the figures."""

import functools
import hashlib
import json
import math
import shutil
import sys

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.core.features.feature import FeatureConnector

from features.category import Category
from tests.conftest import train_tiny
from tfdisent.data.color_mnist import color_mnist
from tfdisent.data.dataset import SPLITS, Judge
from tfdisent.data.image_cache import PREPARATION
from tfdisent.data.tfds_images import KINDS, tfds_images
from tfdisent.errors import ConfigError, DataError
from tfdisent.evaluation import case, evaluate
from tfdisent.feature.values import feature_values
from tfdisent.pictures import fusion_grid

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


JUDGES = {
  "celeb_a": (),
  "shapes3d": (
    Judge("label_shape", "label_shape", "classifier"),
    Judge("value_orientation", "value_orientation", "angle", 360.0),
  ),
  "dsprites": (
    Judge("label_shape", "label_shape", "classifier"),
    Judge("value_orientation", "value_orientation", "angle", 2 * math.pi),
  ),
  "smallnorb": (
    Judge("label_category", "label_category", "classifier"),
    Judge("label_azimuth", "label_azimuth", "angle", 18.0),
  ),
}


@pytest.mark.parametrize("name", NAMES)
def test_every_set_has_four_splits_with_its_factors(name, mocked):
  dataset = tfds_images(name)
  for column, kind in COLUMNS.get(name, {"label": "i"}).items():
    assert all(dataset[split][column].shape == dataset[split]["image"].shape[:1] for split in SPLITS)
    assert dataset.train[column].dtype == {"i": np.int64, "f": np.float32}[kind]
  assert sum(len(dataset[split]["image"]) for split in SPLITS) == 20 * len(KINDS[name.split("/")[0]].splits)
  assert dataset.judges == JUDGES.get(name, (Judge("digit", "label", "classifier"),))


@pytest.mark.parametrize("name", NAMES)
def test_every_set_goes_the_whole_way(name, mocked, no_graphs, tmp_path, monkeypatch):
  """Some training steps of E1 and G, the quick evaluation, and a picture."""
  column = "Smiling" if name == "celeb_a" else KINDS[name.split("/")[0]].judged[0]
  monkeypatch.setattr(
    case, "readers", lambda dataset: dict.fromkeys(dataset.judges, lambda image: np.zeros(len(image)))
  )
  dataset = tfds_images(name, size=32, channels=3, probe_fraction=0.2, validation_fraction=0.2)
  feature = Category(num_classes=None, column=column).of_dataset(dataset)
  plain = {"lambda3": 0.0, "lambda4": 0.0}  # q and D see nothing of a set that these do not
  trained = train_tiny(tmp_path / "run", dataset, feature, plain, epochs=1, batch_size=8, evaluate_every=0)
  metrics = evaluate(trained, dataset, "validation", quick=True, progress=None)
  assert "quality/psnr" in metrics
  for angle in KINDS[name.split("/")[0]].angles:
    assert f"complement/{angle}_median_error" in metrics
  f = feature_values(feature, dataset.train)
  grid = fusion_grid(trained, dataset.train["image"][:2], dataset.train["image"][:3], f[:3]).draw()
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
    ({"test_fraction": 0.0}, ConfigError, "must be positive"),
    ({"probe_fraction": -0.1}, ConfigError, "must be positive"),
    ({"test_fraction": 0.5, "probe_fraction": 0.25, "validation_fraction": 0.25}, ConfigError, "leave a rest"),
    ({"size": 0}, ConfigError, "size = 0"),
    ({"size": (28, 0)}, ConfigError, r"size = \(28, 0\)"),
    ({"name": "no_such_set"}, DataError, "'no_such_set' is not in"),
    ({"name": "imdb_reviews"}, DataError, "has no images"),
    ({"name": "cats_vs_dogs"}, ConfigError, "many sizes"),
  ],
)
def test_a_mistake_is_named(arguments, error, words, mocked):
  with pytest.raises(error, match=words):
    tfds_images(**arguments)


# --- A set of which everything is known -------------------------------------------------------------------------------

RANDOM_STATE = np.random.default_rng(0)
IMAGES = {
  split: RANDOM_STATE.integers(256, size=(n, 4, 6, 3), dtype=np.uint8) for split, n in (("train", 20), ("test", 5))
}
FEATURES = {
  "image": tfds.features.Image(shape=(4, 6, 3)),
  "label": tfds.features.ClassLabel(names=["ape", "bee", "cow"]),
  "weight": np.float32,
  "tame": np.bool_,
  "position": {"x": np.int64, "turn": np.float32},
  "id": tfds.features.Text(),
  "box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
}


def columns(images):
  number = np.arange(len(images))
  return {
    "label": number % 3,
    "weight": (number / 4).astype(np.float32),
    "tame": number % 2 == 0,
    "position": {"x": number + 7, "turn": (30 * number).astype(np.float32)},
    "id": [f"number {i}" for i in number],
    "box": np.zeros([len(images), 4], np.float32),
  }


def store(folder, change=lambda columns: columns, images=IMAGES):
  """Writes the set `zoo` where TFDS finds it."""
  tfds.dataset_builders.store_as_tfds_dataset(
    name="zoo",
    version="1.2.3",
    data_dir=folder,
    features=tfds.features.FeaturesDict(FEATURES),
    split_datasets={
      split: tf.data.Dataset.from_tensor_slices({"image": some, **change(columns(some))})
      for split, some in images.items()
    },
    disable_shuffling=True,
  )
  return folder


@pytest.fixture(scope="module")
def zoo(tmp_path_factory):
  return str(store(tmp_path_factory.mktemp("zoo")))


def test_every_column_has_its_values_and_every_split_its_rows(zoo):
  dataset = tfds_images(
    "zoo", zoo, probe_fraction=0.15, validation_fraction=0.2, judged=["label"], angles={"turn": 360}
  )
  rows = {"probe": range(3), "validation": range(3, 7), "train": range(7, 20), "test": range(5)}
  for split in SPLITS:
    of_split, in_split = ("test" if split == "test" else "train"), list(rows[split])
    expected = columns(IMAGES[of_split])
    np.testing.assert_array_equal(dataset[split]["image"], IMAGES[of_split][in_split])
    assert sorted(dataset[split]) == ["image", "label", "tame", "turn", "weight", "x"]
    for name, values, dtype in (
      ("label", expected["label"], np.int64),
      ("tame", expected["tame"], np.int64),
      ("weight", expected["weight"], np.float32),
      ("x", expected["position"]["x"], np.float32),
      ("turn", expected["position"]["turn"], np.float32),
    ):
      np.testing.assert_array_equal(dataset[split][name], values[in_split])
      assert dataset[split][name].dtype == dtype
  assert dataset.judges == (Judge("label", "label", "classifier"), Judge("turn", "turn", "angle", 360))
  assert dataset.class_names == {"label": ("ape", "bee", "cow")}


def test_nothing_of_an_unknown_set_is_judged_by_default(zoo):
  dataset = tfds_images("zoo", zoo)
  assert dataset.judges == () and dataset.class_names == {}
  assert [len(dataset[split]["image"]) for split in SPLITS] == [16, 2, 2, 5]


def test_a_split_has_an_image_at_least_and_a_limit_is_of_each(zoo):
  dataset = tfds_images("zoo", zoo, limit=4, probe_fraction=0.01)
  assert [len(dataset[split]["image"]) for split in SPLITS] == [2, 1, 1, 4]
  np.testing.assert_array_equal(dataset.probe["image"], IMAGES["train"][:1])


@pytest.mark.parametrize(
  ("wrong", "words"),
  [
    *(({"limit": limit}, f"tfds_images.limit = {limit} must be at least 1, or None") for limit in (0, -1)),
    ({"limit": 2}, "tfds_images: 2 images of train are too few, since train would have none with probe_fraction = 0.1"),
    ({"angles": {"turn": 0}}, r"tfds_images.angles = \{'turn': 0\}: a full turn must be positive"),
    ({"angles": {"trun": 360}}, "tfds_images.angles: there is no such column 'trun': choose of .*turn"),
    ({"judged": ("lable",)}, "tfds_images.judged: there is no such column 'lable': choose of label, tame"),
    ({"judged": ("weight",)}, "tfds_images.judged: there is no such column 'weight'"),
    ({"test_fraction": 1.5}, "tfds_images: test_fraction = 1.5, .* must be positive and leave a rest"),
    *(({"size": size}, r"tfds_images.size = .* at least 1 and at most 16384") for size in (0, -1, 2**15, (3, 0))),
    ({"channels": 2}, "tfds_images.channels = 2: choose 1 .grey., 3 .RGB. or None"),
  ],
)
def test_what_is_out_of_its_range_is_named(zoo, wrong, words):
  with pytest.raises((ConfigError, DataError), match=f"^{words}"):
    tfds_images("zoo", zoo, **wrong)


def test_images_are_cropped_at_their_centre_and_made_grey(zoo):
  dataset = tfds_images("zoo", zoo, size=(4, 2), channels=1)
  r, g, b = np.moveaxis(IMAGES["test"][:, :, 2:4].astype(float), 3, 0)
  np.testing.assert_allclose(dataset.test["image"][..., 0], 0.299 * r + 0.587 * g + 0.114 * b, atol=0.51)
  assert tfds_images("zoo", zoo, size=3).image_shape == (3, 3, 3)
  wide = tfds_images("zoo", zoo, size=(2, 3)).test["image"]
  for image, whole in zip(wide, IMAGES["test"]):
    np.testing.assert_array_equal(image, PIL.Image.fromarray(whole).resize((3, 2), PIL.Image.Resampling.BICUBIC))


def test_the_same_set_gives_the_same_pixels_and_columns_or_the_version_of_the_preparation_is_raised(zoo):
  """Raise `PREPARATION` where the digest changes, and write down both: caches hold what the old code has prepared."""
  digest = hashlib.sha256()
  for arguments in ({}, {"size": (3, 5)}, {"channels": 1}, {"size": (7, 5), "channels": 1}):
    digest.update(tfds_images("zoo", zoo, **arguments).name.encode())  # it has a digest of pixels and columns
  image = np.random.default_rng(0).integers(256, size=(2, 3, 1), dtype=np.uint8)
  for name, kind in sorted(KINDS.items()):
    digest.update(f"{name} {kind.fix(image).tolist()}".encode())
  assert (PREPARATION, digest.hexdigest()[:16]) == (2, "92482e4852191ff3")


# --- Names and caches -------------------------------------------------------------------------------------------------


def test_the_name_tells_every_argument_that_changes_the_examples(zoo):
  arguments = [
    {},
    {"size": 3},
    {"channels": 1},
    {"limit": 4},
    {"test_fraction": 0.2},
    {"probe_fraction": 0.2},
    {"validation_fraction": 0.2},
    {"angles": {"turn": 360}},
    {"angles": {"turn": 180}},
  ]
  names = [tfds_images("zoo", zoo, **some).name for some in arguments]
  assert len(set(names)) == len(names) and names[0] == tfds_images("zoo", zoo).name


def test_two_folders_hold_two_sets_and_what_was_prepared_anew_is_read_anew(zoo, tmp_path):
  """Not images and labels of another folder, nor those of before the labels were mended."""
  other = {split: 255 - images for split, images in IMAGES.items()}
  here = store(tmp_path / "here", images=other)
  a, b = tfds_images("zoo", zoo), tfds_images("zoo", str(here))
  np.testing.assert_array_equal(a.test["image"], IMAGES["test"])
  np.testing.assert_array_equal(b.test["image"], other["test"])
  shutil.rmtree(here / "zoo")
  store(here, lambda columns: {**columns, "label": (columns["label"] + 1) % 3}, other)
  mended = tfds_images("zoo", str(here))
  np.testing.assert_array_equal(mended.test["label"], (b.test["label"] + 1) % 3)
  assert len({a.name, b.name, mended.name}) == 3


def test_the_same_set_in_two_folders_has_one_name(zoo, tmp_path):
  assert tfds_images("zoo", str(store(tmp_path))).name == tfds_images("zoo", zoo).name


# --- Attacks ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  "name",
  ["huggingface:mnist", "someone:mnist", "mnist:3.0.1", "mnist/split=train", "../mnist", "mnist/..", "/tmp/mnist", ""],
)
def test_a_name_that_is_more_than_a_set_and_its_configuration_is_refused(name, monkeypatch):
  monkeypatch.setattr(tfds, "builder", None)
  for read in (tfds_images, color_mnist):
    with pytest.raises(ConfigError, match=f"'{name}' is no name of a TFDS data set.* --data_dir=<its folder>"):
      read(name)


PAYLOAD = "payload_of_a_test.Feature"
PROTO = {"pythonClassName": PAYLOAD, "tensor": {"shape": {}, "dtype": "int64", "encoding": "none"}}
DICT = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
ATTACKS = {
  "itself": PROTO,
  "a column": {"pythonClassName": DICT, "featuresDict": {"features": {"image": PROTO}}},
  "the proto's own spelling": {"python_class_name": DICT, "features_dict": {"features": {"image": PROTO}}},
  "as it was written once": {"type": PAYLOAD, "content": {}},
  "a text within": {
    "pythonClassName": "tensorflow_datasets.core.features.sequence_feature.Sequence",
    "jsonFeature": {"json": json.dumps({"feature": {"type": PAYLOAD, "content": {}}, "length": None})},
  },
  "a name that begins alike": {**PROTO, "pythonClassName": "tensorflow_datasets_of_others.Feature"},
}


@pytest.mark.parametrize("features", ATTACKS.values(), ids=ATTACKS)
def test_the_files_of_a_set_run_no_code(features, tmp_path, monkeypatch):
  for module in ("payload_of_a_test", "tensorflow_datasets_of_others"):
    (tmp_path / f"{module}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
  monkeypatch.syspath_prepend(tmp_path)
  folder = tmp_path / "sets" / "evil" / "1.0.0"
  folder.mkdir(parents=True)
  (folder / "features.json").write_text(json.dumps(features))
  (folder / "dataset_info.json").write_text(json.dumps({"name": "evil", "version": "1.0.0", "fileFormat": "tfrecord"}))
  of_tfds = FeatureConnector.__dict__["cls_from_name"]
  for read in (tfds_images, color_mnist):
    with pytest.raises(
      DataError, match=r"'evil' has a column of the class '\w+\.Feature'.* outside of TensorFlow Datasets"
    ):
      read("evil", data_dir=str(tmp_path / "sets"))
  assert not (tmp_path / "ran").exists() and "payload_of_a_test" not in sys.modules
  assert FeatureConnector.__dict__["cls_from_name"] is of_tfds
