"""A trained model in use: NumPy in, NumPy out, from a run folder alone."""

import copy
import json
import pickle
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from features.color import Color
from features.digit_label import DigitLabel
from tests.conftest import TINY, in_new_process
from tfdisent.errors import CheckpointError, DataError, FeatureError, RunError, TfdisentError
from tfdisent.examples import load_feature_examples, save_feature_examples
from tfdisent.inference import TrainedModel, load
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


# --- From a run folder ------------------------------------------------------------------------------------------------


def test_a_loaded_model_is_the_trained_one_to_the_bit(digit_run, few_digits):
  loaded, trained = load(digit_run.folder), digit_run.trained
  x, label = few_digits.test["image"], few_digits.test["label"]
  assert (loaded.feature, loaded.image_shape) == (trained.feature, trained.image_shape)
  for a, b in zip(loaded.encode(x), trained.encode(x)):
    np.testing.assert_array_equal(a, b)
  floats = x / np.float32(255)
  np.testing.assert_array_equal(loaded.fuse(floats, floats[::-1]), trained.fuse(floats, floats[::-1]))
  np.testing.assert_array_equal(loaded.control(floats, label), trained.control(floats, label))


def test_the_last_weights_can_be_had_as_well(digit_run):
  reader = tf.train.load_checkpoint(str(digit_run.folder / "checkpoints/last/epoch-3"))
  bias = load(str(digit_run.folder), "last").model.G.get_weights()[-1]
  np.testing.assert_array_equal(bias, reader.get_tensor("G/G.Soutput.Sbias/.ATTRIBUTES/VARIABLE_VALUE"))
  assert load(str(digit_run.folder), "last").checkpoint == ("last", 3, 0)
  assert load(digit_run.folder).checkpoint == digit_run.trained.checkpoint
  kind, epoch, step = digit_run.trained.checkpoint
  assert (kind, step) == ("best", 0) and (digit_run.folder / f"checkpoints/best/epoch-{epoch}.index").is_file()
  with pytest.raises(CheckpointError, match="'newest'"):
    load(digit_run.folder, "newest")


def test_a_run_folder_is_enough_anywhere_and_its_plugin_is_imported(digit_run, few_digits, tmp_path):
  folder = shutil.copytree(digit_run.folder, tmp_path / "moved")
  x, label = few_digits.test["image"], few_digits.test["label"]
  np.savez(tmp_path / "in.npz", x=x, label=label)
  printed = in_new_process(f"""
import sys
import numpy as np
import tfdisent
print("features.digit_label" in sys.modules)
trained = tfdisent.load({str(folder)!r})
names = ("features.digit_label", "features.color", "tfdisent.data.color_mnist")
print(*(name in sys.modules for name in names))
given = np.load({str(tmp_path / "in.npz")!r})
np.save({str(tmp_path / "out.npy")!r}, trained.control(given["x"], given["label"]))
""")
  assert printed.splitlines() == ["False", "True False False"]
  difference = np.load(tmp_path / "out.npy").astype(int) - digit_run.trained.control(x, label)
  assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("which", ["no folder", "no model.json"])
def test_a_folder_without_a_model_is_refused(tmp_path, which):
  folder = tmp_path if which == "no model.json" else tmp_path / "none"
  with pytest.raises(RunError, match=r"holds no trained model: there is no model\.json") as error:
    load(folder)
  assert str(folder) in str(error.value)


def test_a_run_without_a_checkpoint_is_refused(digit_run, tmp_path):
  shutil.copy(digit_run.folder / "model.json", tmp_path)
  with pytest.raises(CheckpointError, match="no checkpoint under checkpoints/best"):
    load(tmp_path)


@pytest.mark.parametrize(
  "damage",
  [
    lambda text: b"",
    lambda text: text[: len(text) // 2],
    lambda text: text.replace(b"image_shape", b"image_shap\xe5"),
    lambda text: text.replace(b"image_shape", b"image_shapf"),
    lambda text: text.replace(b'"feature"', b'"feauure"'),
    lambda text: text.replace(b'"lambda3"', b'"lambda9"'),
    lambda text: b"null",
  ],
  ids=["empty", "cut", "not UTF-8", "unknown argument", "no feature", "unknown weight", "null"],
)
def test_a_damaged_description_of_the_model_is_refused(digit_run, tmp_path, damage):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  file = folder / "model.json"
  damaged = damage(file.read_bytes())
  assert damaged != file.read_bytes()
  file.write_bytes(damaged)
  with pytest.raises(RunError, match=r"model\.json is damaged"):
    load(folder)


def test_a_plugin_that_is_not_installed_is_named(digit_run, tmp_path):
  config = json.loads((digit_run.folder / "model.json").read_text())
  config["feature"] = {"module": "my_package.smile", "name": "smile", "arguments": {}}
  (tmp_path / "model.json").write_text(json.dumps(config))
  with pytest.raises(FeatureError, match=r"'smile' of the module 'my_package\.smile'.*Install"):
    load(tmp_path, trust=["my_package"])


def test_examples_of_the_feature_are_kept_for_the_samples(tmp_path):
  f = np.array([[0.25, 1.0], [0.1, 0.0]], np.float32)
  save_feature_examples(tmp_path, f)
  kept = load_feature_examples(tmp_path)
  np.testing.assert_array_equal(kept, f)
  assert kept.dtype == np.float32


def test_examples_of_the_feature_that_are_missing_or_damaged_are_an_unfinished_training(tmp_path):
  with pytest.raises(RunError, match="its training has not ended"):
    load_feature_examples(tmp_path)
  (tmp_path / "feature_examples.json").write_text("[[0.25,")
  with pytest.raises(RunError, match="its training has not ended"):
    load_feature_examples(tmp_path)


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
