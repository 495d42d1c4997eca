"""A trained model in use: NumPy in, NumPy out, from a run folder alone."""

import copy
import pickle

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from features.color import Color
from features.digit_label import DigitLabel
from tests.conftest import TINY
from tfdisent.errors import DataError, FeatureError, TfdisentError
from tfdisent.hardware import batch_size_for
from tfdisent.inference import TrainedModel
from tfdisent.loading import load
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE


def lively(feature, batch_size=4, **objective) -> TrainedModel:
  """A model that was not trained, with weights so large that every input tells in the image."""
  keras.utils.set_random_seed(1)
  model = DisentangledVAE((28, 28, 3), feature, Objective(**objective), **TINY)
  for network in model.networks.values():
    network.set_weights([3 * weight for weight in network.get_weights()])
  return TrainedModel(model, batch_size)


@pytest.fixture(scope="module")
def colors() -> TrainedModel:
  return lively(Color(), lambda4=0.0)


@pytest.fixture(scope="module")
def labels() -> TrainedModel:
  """A q that reads the label k from an image of brightness k / 10."""
  trained = lively(DigitLabel(), lambda4=0.0)
  trained.model.q.call = lambda z1, x: tf.one_hot(tf.cast(tf.round(10 * tf.reduce_mean(x, [1, 2, 3])), tf.int32), 10)
  return TrainedModel(trained.model, 4)


@pytest.fixture(scope="module")
def x(few_digits) -> np.ndarray:
  """Ten images."""
  return few_digits.test["image"][:10]


RGB = np.linspace(0, 1, 30, dtype=np.float32).reshape(10, 3)


def flat(label) -> np.ndarray:
  """Images in which `labels` sees the labels."""
  return np.broadcast_to(np.float32(label).reshape(-1, 1, 1, 1) / 10, (len(label), 28, 28, 3))


# --- What comes out ---------------------------------------------------------------------------------------------------


def test_encode_gives_the_posterior_and_measures_a_colour(colors, x):
  encoding = colors.encode(x)
  posterior = colors.model.posterior_z1(x / np.float32(255))
  np.testing.assert_allclose(encoding.z1_mean, posterior.mean(), atol=1e-5)
  np.testing.assert_allclose(encoding.z1_stddev, posterior.stddev(), atol=1e-5)
  np.testing.assert_allclose(encoding.feature, Color().of_image(x / np.float32(255)), atol=1e-6)


def test_encode_reads_a_label_with_q(labels):
  label = np.array([3, 0, 9, 5, 5])
  np.testing.assert_array_equal(labels.encode(flat(label)).feature, label)


def test_reconstruct_decodes_the_means_of_both_codes(colors, x):
  real = x / np.float32(255)
  model = colors.model
  expected = model.decode(model.posterior_z1(real).mean(), model.mean_z2(Color().of_image(real)))
  np.testing.assert_allclose(colors.reconstruct(real), expected, atol=1e-5)


def test_fuse_and_control_are_the_same_for_a_colour_that_is_measured(colors, x):
  fusions = colors.fuse(x, x[::-1])
  np.testing.assert_array_equal(fusions, colors.control(x, colors.encode(x[::-1]).feature))
  assert (fusions != colors.reconstruct(x)).any(axis=(1, 2, 3)).all()


def test_fuse_and_control_are_the_same_for_a_label_that_q_reads(labels, x):
  label = np.arange(10)[::-1].copy()
  fusions = labels.fuse(x / np.float32(255), flat(label))
  np.testing.assert_allclose(fusions, labels.control(x / np.float32(255), label), atol=1e-6)
  others = labels.control(x / np.float32(255), (label + 1) % 10)
  assert (np.abs(fusions - others).max(axis=(1, 2, 3)) > 1e-3).all()


def test_reconstruct_reads_the_label_with_q(labels):
  label = np.array([7, 2])
  np.testing.assert_allclose(labels.reconstruct(flat(label)), labels.control(flat(label), label), atol=1e-6)


def test_generate_is_a_function_of_the_feature_and_the_seed(colors):
  images = colors.generate(RGB, seed=5)
  assert images.dtype == np.uint8 and images.shape == (10, 28, 28, 3)
  np.testing.assert_array_equal(images, colors.generate(RGB, seed=5))
  for other in (colors.generate(RGB, seed=6), colors.generate(RGB), colors.generate(RGB[::-1], seed=5)):
    assert (images != other).any(axis=(1, 2, 3)).all()


def test_each_image_follows_its_own_seed(colors, monkeypatch):
  seeds = [4, 2**40, 4, -9]
  images = colors.generate(RGB[:4], seed=seeds)
  for row, seed in enumerate(seeds):
    alone = colors.generate(RGB[row : row + 1], seed=np.array([seed], np.int64))[0]
    assert np.abs(images[row].astype(int) - alone).max() <= 1  # a level, at rounding
  seen = []
  monkeypatch.setattr(colors, "decode", lambda z1, z2: seen.append(z1) or np.zeros([len(z1), 28, 28, 3]))
  colors.generate(RGB[:4], seed=seeds)
  colors.generate(RGB[:4], seed=4)
  colors.generate(RGB[:2], seed=4)
  expected = [tf.random.stateless_normal([colors.model.z1_width], [seed, 0]) for seed in seeds]
  np.testing.assert_allclose(seen[0], expected, atol=1e-6)
  np.testing.assert_allclose(seen[1][0], expected[0], atol=1e-6)  # the first image has the seed itself
  np.testing.assert_array_equal(seen[2], seen[1][:2])
  assert len(np.unique(np.round(seen[1], 6), axis=0)) == 4  # and the others seeds of their own


@pytest.mark.parametrize("seed", [[1, 2], [[1, 2, 3]], 1.0, [1.0, 2.0, 3.0], "7", None, 2**63], ids=str)
def test_seeds_that_are_none_are_named(colors, seed):
  with pytest.raises(DataError, match="seed is an int of 64 bits, or one for each of the 3 images"):
    colors.generate(RGB[:3], seed=seed)


def test_generate_decodes_draws_from_the_prior(colors, monkeypatch):
  seen = []
  monkeypatch.setattr(colors, "decode", lambda z1, z2: seen.append((z1, z2)) or np.zeros([len(z1), 28, 28, 3]))
  colors.generate(np.tile(RGB[:1], (4000, 1)))
  ((z1, z2),) = seen
  np.testing.assert_allclose([z1.mean(), z1.std()], [0, 1], atol=0.03)
  np.testing.assert_allclose(z2[7], colors.encode_z2(RGB[:1])[0], atol=1e-6)


def test_sample_z1_scatters_about_the_mean_with_the_stddev(colors, x):
  many = np.tile(x[:1], (2000, 1, 1, 1))
  encoding, samples = colors.encode(x[:1]), colors.sample_z1(many, seed=1)
  score = (samples - encoding.z1_mean) / encoding.z1_stddev
  np.testing.assert_allclose([score.mean(), score.std()], [0, 1], atol=0.05)
  assert (samples != colors.sample_z1(many, seed=2)).any()
  np.testing.assert_array_equal(samples, colors.sample_z1(many, seed=1))


USES = {
  "reconstruct": lambda trained, x: trained.reconstruct(x),
  "fuse": lambda trained, x: trained.fuse(x, x[::-1]),
  "control": lambda trained, x: trained.control(x, RGB[: len(x)]),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_images_come_back_in_the_kind_they_came_in(colors, x, use):
  images = use(colors, x)
  for dtype in (np.float32, np.float64):
    floats = use(colors, (x / 255).astype(dtype))
    assert floats.dtype == dtype and floats.shape == x.shape
    np.testing.assert_allclose(images, 255 * floats, atol=0.51)
  assert images.dtype == np.uint8


@pytest.mark.parametrize("use", USES.values(), ids=USES)
def test_many_images_are_as_one_by_one(colors, x, use):
  """Ten images, in batches of four."""
  x = x / np.float32(255)
  together = use(colors, x)
  alone = {
    "reconstruct": lambda i: colors.reconstruct(x[i : i + 1]),
    "fuse": lambda i: colors.fuse(x[i : i + 1], x[9 - i : 10 - i]),
    "control": lambda i: colors.control(x[i : i + 1], RGB[i : i + 1]),
  }[next(name for name in USES if USES[name] is use)]
  np.testing.assert_allclose(together, np.concatenate([alone(i) for i in range(10)]), atol=1e-5)
  assert (np.ptp(together, axis=0) > 0.01).any()


def test_no_images_give_no_images(colors, x):
  for use in USES.values():
    assert use(colors, x[:0]).shape == (0, 28, 28, 3)
  assert colors.generate(RGB[:0]).shape == (0, 28, 28, 3)
  assert [len(part) for part in colors.encode(x[:0])] == [0, 0, 0]


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("images", "words"),
  [
    (np.zeros([2, 32, 32, 3], np.uint8), r"images .*\[32, 32, 3\].*\[28, 28, 3\]"),
    (np.zeros([2, 28, 28, 1], np.uint8), r"images .*\[28, 28, 1\].*\[28, 28, 3\]"),
    (np.zeros([28, 28, 3], np.uint8), r"images must have the shape \[B, H, W, C\]"),
    (np.zeros([2, 28, 28, 3], int), r"images must be uint8, or float in \[0, 1\], not int64"),
    (np.full([2, 28, 28, 3], 1.5), r"images .*must lie in \[0, 1\]; .* to 1.5"),
    (np.full([2, 28, 28, 3], -0.1), r"must lie in \[0, 1\]; .* from -0.1"),
    (np.full([2, 28, 28, 3], np.nan), r"must lie in \[0, 1\]"),
    ([["a"]], "images must have the shape"),
  ],
)
def test_images_of_another_shape_or_range_are_refused(colors, images, words):
  for use in (colors.encode, colors.reconstruct, lambda x: colors.control(x, RGB[:2]), lambda x: colors.fuse(x, x)):
    with pytest.raises(DataError, match=words):
      use(images)


def test_floats_that_miss_the_range_by_rounding_are_clipped(colors, x):
  floats = x / np.float32(x.max())
  wide = np.where(floats == floats.max(), np.float32(1.0000003), floats) - np.float32(1e-6) * (floats == 0)
  np.testing.assert_array_equal(colors.reconstruct(wide), colors.reconstruct(floats))
  with pytest.raises(DataError, match=r"it has values from 1\.0002 to 1\.0002\d*\.$"):
    colors.reconstruct(np.full_like(floats, 1.0002))


def test_files_are_read_as_the_training_reads_them(colors, tmp_path):
  PIL.Image.new("RGBA", (40, 30), (255, 0, 255, 0)).save(tmp_path / "clear.png")
  ground = np.full((1, 28, 28, 3), 255, np.uint8)
  for given in (tmp_path / "clear.png", [str(tmp_path / "clear.png")], PIL.Image.open(tmp_path / "clear.png")):
    for use in (colors.reconstruct, lambda x: colors.control(x, RGB[:1]), lambda x: colors.fuse(x, x)):
      images = use(given)
      assert images.dtype == np.uint8
      np.testing.assert_array_equal(images, use(ground))
  with pytest.raises(DataError, match=r"images cannot be read: .*none\.png is no image"):
    colors.encode(tmp_path / "none.png")


@pytest.mark.parametrize("images", [[np.zeros((28, 28, 3)), np.zeros((8, 8, 3))], ["a", 1], object()])
def test_what_is_no_array_of_images_is_an_error_that_names_it(colors, images):
  with pytest.raises(TfdisentError, match="images "):
    colors.encode(images)


def test_nothing_that_is_asked_leaves_the_image_as_it_is(colors, labels, x):
  np.testing.assert_array_equal(colors.control(x, {}), colors.reconstruct(x))
  label = np.array([3, 0, 9])
  np.testing.assert_array_equal(labels.control(flat(label), {}), labels.control(flat(label), label))
  with pytest.raises(FeatureError, match=r"generate must be told the feature: give {color: …}"):
    colors.generate({})


def test_an_empty_list_is_no_images(colors, labels, x):
  assert colors.generate([]).shape == labels.generate([]).shape == (0, 28, 28, 3)
  assert colors.control(x[:0], []).shape == labels.control(x[:0], []).shape == (0, 28, 28, 3)
  with pytest.raises(DataError, match="images and feature must be of the same length, not 10 and 0"):
    colors.control(x, [])


def test_images_that_give_the_feature_are_refused_by_their_own_name(colors, x):
  with pytest.raises(DataError, match="feature_images have the shape"):
    colors.fuse(x, np.zeros([10, 8, 8, 3], np.uint8))


def test_lengths_that_differ_are_refused(colors, x):
  with pytest.raises(DataError, match="images and feature_images must be of the same length, not 10 and 3"):
    colors.fuse(x, x[:3])
  with pytest.raises(DataError, match="images and feature must be of the same length, not 10 and 4"):
    colors.control(x, RGB[:4])


@pytest.mark.parametrize(
  ("label", "words"),
  [([10], "0 to 9.*10"), ([-1], "0 to 9.*-1"), ([1.0], "int labels"), ([[1]], "int labels"), (["1"], "int labels")],
)
def test_labels_that_are_none_are_refused(labels, label, words):
  for use in (labels.generate, lambda f: labels.control(flat([0]), f)):
    with pytest.raises(FeatureError, match=f"digit_label .*{words}"):
      use(np.array(label))


@pytest.mark.parametrize(
  ("color", "words"),
  [([[0, 0, 2]], r"color .*\[0, 1\]"), ([[0, 0]], r"color.*\[B, 3\]"), ([[0, 0, np.nan]], "color.*NaN")],
)
def test_colours_that_are_none_are_refused(colors, color, words):
  with pytest.raises(FeatureError, match=words):
    colors.generate(np.array(color))


def test_a_label_without_q_can_be_set_and_not_read(x):
  trained = lively(DigitLabel(), lambda3=0.0, lambda4=0.0)
  assert trained.control(x, np.arange(10)).shape == x.shape
  for use in (trained.reconstruct, lambda x: trained.fuse(x, x)):
    with pytest.raises(FeatureError, match=r"'digit_label' cannot be computed from pixels.*as in `control"):
      use(x)


@pytest.mark.parametrize("again", [copy.deepcopy, lambda trained: pickle.loads(pickle.dumps(trained))])
def test_a_copy_of_a_loaded_model_is_a_model_of_its_own(digit_run, few_digits, again):
  trained = load(digit_run.folder)
  other = again(trained)
  x = few_digits.test["image"][:3]
  np.testing.assert_array_equal(other.control(x, 7), trained.control(x, 7))
  np.testing.assert_array_equal(other.reconstruct(x), trained.reconstruct(x))
  assert (other.checkpoint, other.class_names) == (trained.checkpoint, trained.class_names)
  before = trained.reconstruct(x)
  other.model.G.set_weights([0 * weight for weight in other.model.G.get_weights()])
  np.testing.assert_array_equal(trained.reconstruct(x), before)


def test_images_of_unequal_sizes_are_refused_by_name(digit_run):
  unequal = [np.zeros([28, 28, 3], np.uint8), np.zeros([27, 28, 3], np.uint8)]
  for call in (digit_run.trained.encode, lambda images: digit_run.trained.control(images, 1)):
    with pytest.raises(TfdisentError, match=r"images = .* must be an array"):
      call(unequal)
  with pytest.raises(DataError, match="seed is an int of 64 bits"):
    digit_run.trained.generate([1, 2], seed=True)


def test_as_many_images_in_a_call_as_stay_in_the_caches_of_a_processor(monkeypatch):
  assert [batch_size_for((size, size, 3)) for size in (28, 64, 256, 1024)] == [167, 32, 2, 1]
  assert TrainedModel(lively(DigitLabel()).model).batch_size == 167
  monkeypatch.setattr("tfdisent.hardware.has_accelerator", lambda: True)
  assert batch_size_for((64, 64, 3)) == 500
