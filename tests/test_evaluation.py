"""The evaluation on models of which the right answers are known."""

import dataclasses
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.digit_label import DigitLabel
from tfdisent import evaluation
from tfdisent.dataset import Dataset, Judge
from tfdisent.evaluation import Oracle, evaluate, measured_color, other_feature, peak_signal_to_noise_ratio
from tfdisent.feature import Feature

BANDS = DigitLabel(num_classes=4)


def draw(label, color):
  """Images [B, 8, 8, 3] in [0, 1], black but for a band of flat ink, two pixels wide: the first to the fourth."""
  ink = np.arange(8) // 2 == np.reshape(label, (-1, 1))
  return ink[:, None, :, None] * np.ones((1, 8, 1, 1)) * np.reshape(color, (-1, 1, 1, 3))


def read_label(image):
  return np.argmax(image.reshape(-1, 8, 4, 2, 3).sum((1, 3, 4), dtype=float), axis=1)


def read_color(image):
  return image.max((1, 2))


def bands(count, seed):
  random_state = np.random.default_rng(seed)
  label, color = random_state.integers(4, size=count), random_state.integers(64, 256, size=(count, 3)) / 255
  image = np.rint(draw(label, color) * 255).astype(np.uint8)
  return {"image": image, "label": label, "color": color.astype(np.float32)}


@pytest.fixture(scope="module")
def dataset():
  judges = (Judge("band", "label", "classifier"), Judge("color", "color", "color"))
  return Dataset(bands(1000, 0), bands(8, 1), bands(40, 2), bands(50, 3), name="bands", judges=judges)


class Fake:
  """A trained model, as far as the evaluation needs it: z1 is the image itself, z2 is f, and `draw_fusion` is G."""

  def __init__(self, feature, draw_fusion):
    self.feature, self._draw = feature, draw_fusion

  def encode_z1(self, x):
    z1 = np.float32(x / 255).reshape(len(x), -1)
    return z1, np.zeros_like(z1)

  def sample_z1(self, x, seed):
    return self.encode_z1(x)[0]

  def encode_z2(self, f):
    return f

  def decode(self, z1, z2):
    return np.clip(self._draw(z1.reshape(-1, 8, 8, 3), z2), 0, 1)


def swaps_color(x, f):
  return draw(read_label(x), f)


def swaps_band(x, f):
  return draw(np.argmax(f, 1), np.abs(read_color(x)))


def swaps_nothing(x, f):
  return x


@pytest.fixture
def oracle(monkeypatch):
  """A judge that takes every fourth band for the first, and is right about the others."""

  def make(dataset, column):
    assert column == "label"
    return lambda image: read_label(image) % 3

  monkeypatch.setattr(evaluation, "Oracle", make)


def share_below_the_fourth(dataset, split="test"):
  return np.mean(dataset[split]["label"] < 3)


# --- Control and complement -------------------------------------------------------------------------------------------


def test_a_perfect_swap_of_the_colour(dataset, oracle):
  metrics = evaluate(Fake(Color(), swaps_color), dataset)
  right = share_below_the_fourth(dataset)
  assert metrics == {
    "control/mae_mean": pytest.approx(0, abs=1e-6),
    "control/mae_sample": pytest.approx(0, abs=1e-6),
    "control/mae_prior": pytest.approx(0, abs=1e-6),
    "complement/band_accuracy": pytest.approx(right),
    "oracle/test_accuracy": pytest.approx(right),
    "quality/psnr": math.inf,
  }
  assert 0.5 < right < 1


def test_no_swap_of_the_colour_is_as_far_off_as_the_pairs_are_apart(dataset, oracle):
  metrics = evaluate(Fake(Color(), swaps_nothing), dataset, seed=5)
  color = dataset.test["color"]
  partner = other_feature(Color().of_image(tf.constant(dataset.test["image"] / 255)).numpy(), np.random.default_rng(5))
  apart = np.abs(color - color[partner]).mean()
  assert metrics["control/mae_mean"] == metrics["control/mae_sample"] == pytest.approx(apart, rel=1e-4)
  assert apart > 0.1
  assert metrics["complement/band_accuracy"] == metrics["oracle/test_accuracy"]


def test_a_perfect_swap_of_the_band(dataset, oracle):
  metrics = evaluate(Fake(BANDS, swaps_band), dataset)
  assert metrics["control/accuracy_mean"] == metrics["control/accuracy_sample"] == metrics["control/accuracy_prior"]
  assert 0.5 < metrics["control/accuracy_mean"] < 1  # wrong on each that is asked to be the fourth
  assert metrics["complement/color_mae"] == pytest.approx(0, abs=1e-6)


def test_no_swap_of_the_band_never_hits(dataset, monkeypatch):
  monkeypatch.setattr(evaluation, "Oracle", lambda dataset, column: read_label)
  metrics = evaluate(Fake(BANDS, swaps_nothing), dataset)
  assert metrics["oracle/test_accuracy"] == 1
  assert metrics["control/accuracy_mean"] == metrics["control/accuracy_sample"] == 0
  assert metrics["complement/color_mae"] == 0


def test_a_swap_that_spoils_the_rest_shows_in_the_complement(dataset, monkeypatch):
  monkeypatch.setattr(evaluation, "Oracle", lambda dataset, column: read_label)
  metrics = evaluate(Fake(Color(), lambda x, f: draw((read_label(x) + 1) % 4, f)), dataset)
  assert metrics["control/mae_mean"] == pytest.approx(0, abs=1e-6) and metrics["complement/band_accuracy"] == 0
  half = evaluate(Fake(BANDS, lambda x, f: draw(np.argmax(f, 1), read_color(x) / 2)), dataset)
  assert half["control/accuracy_mean"] == 1
  assert half["complement/color_mae"] == pytest.approx(dataset.test["color"].mean() / 2, abs=0.003)


@dataclasses.dataclass(frozen=True)
class Brightness(Feature):
  kind, width = "continuous", 1

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])[:, None]


def test_a_feature_without_a_judge_is_compared_by_itself(dataset, oracle):
  perfect = evaluate(Fake(Brightness(), lambda x, f: np.broadcast_to(f[:, None, None], x.shape)), dataset)
  nothing = evaluate(Fake(Brightness(), swaps_nothing), dataset)
  assert {"complement/band_accuracy", "complement/color_mae", "control/own_f_mae_prior"} < set(perfect)
  for name in ("mean", "sample", "prior"):
    assert perfect[f"control/own_f_mae_{name}"] < 0.5 / 255 + 1e-6
  f = dataset.test["image"].mean((1, 2, 3), keepdims=True)[:, 0, 0] / 255
  partner = other_feature(np.float32(f), np.random.default_rng(0))
  assert nothing["control/own_f_mae_mean"] == pytest.approx(np.abs(f - f[partner]).mean(), rel=0.05)


def test_the_split_and_the_limit_are_kept(dataset, oracle):
  seen = []
  model = Fake(Color(), swaps_color)
  encode = model.encode_z1
  model.encode_z1 = lambda x: (seen.append(x), encode(x))[1]
  metrics = evaluate(model, dataset, split="validation", limit=10)
  np.testing.assert_array_equal(seen[0], dataset.validation["image"][:10])
  assert metrics["oracle/validation_accuracy"] == np.mean(dataset.validation["label"][:10] < 3)


def test_the_quality_is_the_mean_psnr_of_the_reconstructions(dataset, oracle):
  """Each of them misses by 51 levels in one pixel of 8x8x3 numbers."""

  def spoil_a_corner(x, f):
    x = x.copy()
    x[:, 0, 0, 0] = np.where(x[:, 0, 0, 0] > 0.5, x[:, 0, 0, 0] - 0.2, x[:, 0, 0, 0] + 0.2)
    return x

  metrics = evaluate(Fake(Color(), spoil_a_corner), dataset)
  assert metrics["quality/psnr"] == pytest.approx(10 * math.log10(255**2 / (51**2 / 192)), abs=1e-3)


# --- What it is made of -----------------------------------------------------------------------------------------------


def test_measured_color_is_that_of_the_ink():
  image = np.rint(draw([0, 3], [[1, 0.2, 0], [0.4, 0.4, 0.8]]) * 255).astype(np.uint8)
  np.testing.assert_allclose(measured_color(image), [[1, 0.2, 0], [0.4, 0.4, 0.8]], atol=1e-6)


def test_measured_color_weighs_a_pixel_by_its_largest_channel():
  image = np.zeros([1, 1, 4, 3], np.uint8)
  image[0, 0, 0], image[0, 0, 1] = [255, 0, 0], [0, 51, 0]
  np.testing.assert_allclose(measured_color(image), [[1 / 1.2, 0.2 * 0.2 / 1.2, 0]], atol=1e-6)
  np.testing.assert_array_equal(measured_color(np.zeros([1, 4, 4, 3], np.uint8)), [[0, 0, 0]])  # no ink


def test_psnr_by_hand():
  x = np.zeros([3, 2, 2, 1], np.uint8)
  x_rec = x.copy()
  x_rec[0] = 51
  x_rec[1, 0, 0] = 102
  # mean squared errors 51² and 102² / 4, of 255²
  np.testing.assert_allclose(peak_signal_to_noise_ratio(x, x_rec)[:2], [20 * math.log10(5)] * 2, rtol=1e-5)
  assert peak_signal_to_noise_ratio(x, x_rec)[2] == math.inf


def test_psnr_of_more_images_than_one_batch():
  x = np.zeros([2001, 1, 1, 1], np.uint8)
  x_rec = (np.arange(2001) % 255 + 1).astype(np.uint8).reshape(x.shape)
  expected = 20 * np.log10(255 / x_rec.ravel().astype(float))
  np.testing.assert_allclose(peak_signal_to_noise_ratio(x, x_rec), expected, atol=1e-3)


@pytest.mark.parametrize("f", [np.eye(3)[[0] * 90 + [1] * 9 + [2]], np.random.default_rng(0).random((100, 2))])
def test_the_other_feature_is_another_one_for_every_row(f):
  for seed in range(5):
    partner = other_feature(f, np.random.default_rng(seed))
    assert partner.shape == (100,) and (f != f[partner]).any(1).all()
  assert (partner != other_feature(f, np.random.default_rng(99))).any()
  np.testing.assert_array_equal(partner, other_feature(f, np.random.default_rng(seed)))


def test_partners_come_from_all_other_examples():
  f = np.eye(2)[np.arange(40) % 2]
  drawn = {int(row) for seed in range(30) for row in other_feature(f, np.random.default_rng(seed))[:1]}
  assert len(drawn) > 10 and all(row % 2 == 1 for row in drawn)


def test_one_feature_for_all_has_no_other():
  with pytest.raises(ValueError, match="same feature"):
    other_feature(np.ones([5, 2]), np.random.default_rng(0))


# --- The oracle -------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))
  return tmp_path / "cache"


@pytest.fixture
def trainings(monkeypatch):
  """How often an oracle was asked to be trained; it is not."""
  calls = []
  monkeypatch.setattr(keras.Sequential, "fit", lambda self, *arguments, **keywords: calls.append(self))
  return calls


def test_an_oracle_learns_the_classes_and_is_kept(dataset, own_cache, monkeypatch):
  oracle = Oracle(dataset, epochs=1)
  x, label = dataset.test["image"], dataset.test["label"]
  assert np.mean(oracle(x) == label) > 0.95
  monkeypatch.setattr(keras.Sequential, "fit", None)
  np.testing.assert_array_equal(Oracle(dataset, epochs=1)(x), oracle(x))
  assert [path.suffixes[-2:] for path in own_cache.iterdir()] == [[".weights", ".h5"]]


def test_another_data_set_has_an_oracle_of_its_own(dataset, own_cache, trainings):
  Oracle(dataset)
  Oracle(dataset)
  assert len(trainings) == 1
  Oracle(dataclasses.replace(dataset, name="bands of another seed"))
  Oracle(dataset, epochs=7)
  assert len(trainings) == 3


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-100], lambda content: content[::-1]])
def test_a_damaged_cache_is_trained_again(dataset, own_cache, trainings, damage):
  Oracle(dataset)
  (file,) = own_cache.iterdir()
  whole = file.read_bytes()
  file.write_bytes(damage(whole))
  Oracle(dataset)
  assert len(trainings) == 2 and len(file.read_bytes()) == len(whole)
  Oracle(dataset)
  assert len(trainings) == 2
