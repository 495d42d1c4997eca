"""The protocol on models of which the right answers are known."""

import dataclasses
import functools
import math

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tfdisent.errors import DataError
from tfdisent.evaluation import evaluate, other_feature, protocol
from tfdisent.feature import Feature

from .bands import (
  MARKS,
  Fake,
  bands_dataset,
  draw,
  marked_bands_dataset,
  marks,
  read_color,
  read_label,
  swaps_band,
  swaps_color,
  swaps_nothing,
)

BANDS = DigitLabel(num_classes=4)


def measure(*arguments, **keywords):
  """The values of the quick subset."""
  metrics = evaluate(*arguments, **{"quick": True, **keywords})
  return {key: figure["value"] for key, figure in metrics.items()}


@pytest.fixture(scope="module")
def dataset():
  return bands_dataset()


@pytest.fixture
def oracle(monkeypatch):
  """A judge that takes every fourth band for the first, and is right about the others."""

  def make(dataset, column):
    assert column == "label"
    return lambda image: read_label(image) % 3

  monkeypatch.setattr(protocol, "Oracle", make)


def share_below_the_fourth(dataset, split="test"):
  return np.mean(dataset[split]["label"] < 3)


# --- Control and complement -------------------------------------------------------------------------------------------


def test_a_perfect_swap_of_the_colour(dataset, oracle):
  metrics = measure(Fake(Color(), swaps_color), dataset)
  right = share_below_the_fourth(dataset)
  assert {key: value for key, value in metrics.items() if not key.startswith("complement_chance/")} == {
    "control/mae_mean": pytest.approx(0, abs=1e-6),
    "control/mae_sample": pytest.approx(0, abs=1e-6),
    "control/mae_prior": pytest.approx(0, abs=1e-6),
    "complement/band_accuracy": pytest.approx(right),
    "complement/ink_iou": 1,
    "complement/slant_mae": pytest.approx(0, abs=1e-4),
    "complement/stroke_mae": pytest.approx(0, abs=1e-4),
    "oracle/test_accuracy": pytest.approx(right),
    "quality/psnr": math.inf,
  }
  assert 0.5 < right < 1


def test_no_swap_of_the_colour_is_as_far_off_as_the_pairs_are_apart(dataset, oracle):
  metrics = measure(Fake(Color(), swaps_nothing), dataset, seed=5)
  color = dataset.test["color"]
  partner = other_feature(Color().of_image(tf.constant(dataset.test["image"] / 255)).numpy(), np.random.default_rng(5))
  apart = np.abs(color - color[partner]).mean()
  assert metrics["control/mae_mean"] == metrics["control/mae_sample"] == pytest.approx(apart, rel=1e-4)
  assert apart > 0.1
  assert metrics["complement/band_accuracy"] == metrics["oracle/test_accuracy"]


def test_a_perfect_swap_of_the_band(dataset, oracle):
  metrics = measure(Fake(BANDS, swaps_band), dataset)
  assert metrics["control/accuracy_mean"] == metrics["control/accuracy_sample"] == metrics["control/accuracy_prior"]
  assert 0.5 < metrics["control/accuracy_mean"] < 1  # wrong on each that is asked to be the fourth
  assert metrics["complement/color_mae"] == pytest.approx(0, abs=1e-6)


def test_no_swap_of_the_band_never_hits(dataset, monkeypatch):
  monkeypatch.setattr(protocol, "Oracle", lambda dataset, column: read_label)
  metrics = measure(Fake(BANDS, swaps_nothing), dataset)
  assert metrics["oracle/test_accuracy"] == 1
  assert metrics["control/accuracy_mean"] == metrics["control/accuracy_sample"] == 0
  assert metrics["complement/color_mae"] == 0


def test_a_swap_that_spoils_the_rest_shows_in_the_complement(dataset, monkeypatch):
  monkeypatch.setattr(protocol, "Oracle", lambda dataset, column: read_label)
  metrics = measure(Fake(Color(), lambda x, f: draw((read_label(x) + 1) % 4, f)), dataset)
  assert metrics["control/mae_mean"] == pytest.approx(0, abs=1e-6) and metrics["complement/band_accuracy"] == 0
  half = measure(Fake(BANDS, lambda x, f: draw(np.argmax(f, 1), read_color(x) / 2)), dataset)
  assert half["control/accuracy_mean"] == 1
  assert half["complement/color_mae"] == pytest.approx(dataset.test["color"].mean() / 2, abs=0.003)


@dataclasses.dataclass(frozen=True)
class Brightness(Feature):
  kind, width = "continuous", 1

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])[:, None]


def test_a_feature_without_a_judge_is_compared_by_itself(dataset, oracle):
  perfect = measure(Fake(Brightness(), lambda x, f: np.broadcast_to(f[:, None, None], x.shape)), dataset)
  nothing = measure(Fake(Brightness(), swaps_nothing), dataset)
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
  metrics = measure(model, dataset, split="validation", limit=10)
  rows = [i * (len(dataset.validation["label"]) - 1) // 9 for i in range(10)]  # evenly spaced
  np.testing.assert_array_equal(seen[0], dataset.validation["image"][rows])
  assert metrics["oracle/validation_accuracy"] == np.mean(dataset.validation["label"][rows] < 3)


def test_the_quality_is_the_mean_psnr_of_the_reconstructions(dataset, oracle):
  """Each of them misses by 51 levels in one pixel of 8x8x3 numbers."""

  def spoil_a_corner(x, f):
    x = x.copy()
    x[:, 0, 0, 0] = np.where(x[:, 0, 0, 0] > 0.5, x[:, 0, 0, 0] - 0.2, x[:, 0, 0, 0] + 0.2)
    return x

  metrics = measure(Fake(Color(), spoil_a_corner), dataset)
  assert metrics["quality/psnr"] == pytest.approx(10 * math.log10(255**2 / (51**2 / 192)), abs=1e-3)


# --- The whole protocol -----------------------------------------------------------------------------------------------


@pytest.fixture
def whole(monkeypatch):
  """All of the protocol, with a perfect oracle and a distance that is not trained."""
  monkeypatch.setattr(protocol, "TRAINING_FUSIONS", 400)
  for name in ("read_images", "information_bound"):
    monkeypatch.setattr(protocol, name, functools.partial(getattr(protocol, name), epochs=3))
  monkeypatch.setattr(protocol, "Oracle", lambda dataset, column: read_label)
  dataset, lines = bands_dataset(probe=400, validation=100, test=200), []

  class Pixels:
    name = "mean colour"

    def __call__(self, image):
      return image.mean((1, 2)) / 255

  monkeypatch.setattr(protocol, "FIDExtractor", lambda dataset, column: Pixels())
  monkeypatch.setattr(protocol, "plain_vae", lambda model, dataset: Fake(model.feature, swaps_nothing))
  return lambda model, **keywords: evaluate(model, dataset, progress=lines.append, **keywords), lines


KEYS = {
  *(f"leakage/{probe}_{kind}" for probe in ("linear", "mlp", "trees") for kind in ("mean", "sample")),
  *(f"leakage/{name}" for name in ("worst", "chance", "image")),
  *(f"leakage/control_{name}" for name in ("shuffled", "pixels", "untrained", "plain_vae")),
  *(f"quality/{name}" for name in ("psnr", "ssim", "fid", "kid", "fid_floor")),
  *(f"bound/{name}" for name in ("nats", "ceiling_nats", "ratio")),
  "oracle/test_accuracy",
}


def test_a_code_that_is_the_image_leaks_all_but_a_perfect_swap_hides_it(whole):
  evaluate_whole, lines = whole
  metrics = evaluate_whole(Fake(BANDS, swaps_band))
  assert KEYS | {f"control/accuracy_{kind}" for kind in ("mean", "sample", "prior")} < set(metrics)
  value = {key: figure["value"] for key, figure in metrics.items()}
  chance = value["leakage/chance"]
  assert value["control/accuracy_mean"] == 1 and all(value[f"control_by_class/{k}"] == 1 for k in range(4))
  assert value["leakage/worst"] == value["leakage/control_pixels"] == pytest.approx(1, abs=0.01)
  worst = metrics["leakage/worst"]
  assert worst == {**metrics[f"leakage/{worst['probe']}"], "probe": worst["probe"]}
  assert value["leakage/control_plain_vae"] == value["leakage/control_pixels"]  # which it encodes
  assert value["leakage/image"] < chance + 0.12  # the fusion shows the asked-for band alone
  assert value["leakage/control_shuffled"] < chance + 0.12 and value["leakage/control_untrained"] < chance + 0.12
  assert value["bound/ratio"] > 0.9 and value["bound/ceiling_nats"] == pytest.approx(math.log(4), abs=0.02)
  assert value["quality/fid"] < value["quality/fid_floor"] + 0.01  # the colours are those of the same images
  assert metrics["quality/fid"]["extractor"] == "mean colour" and metrics["quality/fid"]["images"] == 200
  assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in metrics.values() if "low" in figure)
  assert len(lines) > 8 and all(line.startswith("[") for line in lines)


def test_a_constant_code_leaks_nothing_and_no_swap_tells_nothing_of_the_partner(whole):
  evaluate_whole, _ = whole

  def nothing(x):
    return np.zeros((len(x), 192), np.float32)

  value = {key: figure["value"] for key, figure in evaluate_whole(Fake(BANDS, swaps_nothing, nothing)).items()}
  for probe in ("linear", "mlp", "trees"):
    assert value[f"leakage/{probe}_mean"] == value["leakage/chance"]
  assert value["leakage/image"] < value["leakage/chance"] + 0.1
  assert abs(value["bound/ratio"]) < 0.05


def test_a_continuous_feature_is_scored_by_r_squared(whole):
  evaluate_whole, _ = whole
  value = {key: figure["value"] for key, figure in evaluate_whole(Fake(Color(), swaps_color)).items()}
  assert {*KEYS, "complement/ink_iou", "complement/band_accuracy", "control/mae_mean"} < set(value)
  assert value["leakage/linear_mean"] > 0.95 and value["leakage/chance"] == 0
  assert abs(value["leakage/image"]) < 0.1 and abs(value["leakage/control_untrained"]) < 0.2
  assert value["bound/ratio"] > 0.4 and value["complement/ink_iou"] == 1


def test_of_several_features_each_is_measured_while_the_others_stay(whole):
  evaluate_whole, _ = whole
  both = Composite((BANDS, Color()), part_names=("band", "ink"))
  value = {
    key: figure["value"]
    for key, figure in evaluate_whole(Fake(both, lambda x, f: draw(np.argmax(f[:, :4], 1), f[:, 4:]))).items()
  }
  of_parts = {
    key.replace("/", f"/{part}/") for key in KEYS if key[:5] in ("leaka", "bound") for part in ("band", "ink")
  }
  assert of_parts < set(value) and not any(key in value for key in KEYS if key.startswith(("leakage", "bound")))
  assert value["control/band/accuracy_mean"] == 1 and value["control/ink/mae_mean"] < 0.01
  assert value["complement/band/color_mae"] < 0.01 and value["complement/ink/band_accuracy"] == 1
  assert value["leakage/band/image"] < value["leakage/band/chance"] + 0.12 and abs(value["leakage/ink/image"]) < 0.1
  only_the_band = Fake(both, lambda x, f: draw(np.argmax(f[:, :4], 1), read_color(x)))
  value = {key: figure["value"] for key, figure in evaluate_whole(only_the_band, quick=True).items()}
  assert value["control/band/accuracy_mean"] == 1 and value["control/ink/mae_mean"] > 0.1


def test_choices_on_validation_leave_the_test_split_alone(whole, monkeypatch):
  evaluate_whole, _ = whole
  monkeypatch.setattr(protocol, "read_images", lambda image, target, seed: np.eye(4)[target["test"]])
  monkeypatch.setattr(protocol, "information_bound", lambda z1, image, target, seed: {})
  seen = []
  model = Fake(BANDS, swaps_band)
  encode = model.encode_z1
  model.encode_z1 = lambda x: (seen.append(len(x)), encode(x))[1]
  metrics = evaluate_whole(model, split="validation")
  assert metrics["oracle/validation_accuracy"]["value"] == metrics["leakage/image"]["value"] == 1
  assert set(seen) == {320, 80, 100}  # four fifths and one fifth of probe; validation


# --- Which images go where --------------------------------------------------------------------------------------------


class Calls(dict):
  """What each function of the protocol was given: {"leakage": [(arguments, keywords), …], …}."""

  def spy(self, name, answer):
    self[name] = []
    return lambda *arguments, **keywords: (self[name].append((arguments, keywords)), answer(*arguments))[1]


@pytest.fixture
def calls(monkeypatch):
  """Replaces all that learns within the protocol, and notes what it is given."""
  calls = Calls()
  for name, answer in {
    "leakage": lambda representation, target, *_: {"value": 0.5},
    "read_images": lambda image, target, *_: np.eye(4)[np.zeros(len(target["test"]), int)],
    "information_bound": lambda *_: {"nats": {"value": 1.0}},
    "plain_vae": lambda model, dataset: Fake(model.feature, swaps_nothing),
    "Oracle": lambda dataset, column: read_label,
  }.items():
    monkeypatch.setattr(protocol, name, calls.spy(name, answer))
  monkeypatch.setattr(protocol, "TRAINING_FUSIONS", 60)

  def extractor(dataset, column):
    assert column == "label"
    features = calls.spy("features", lambda image: image.mean((1, 2)))
    features.name = "mean colour"
    return features

  monkeypatch.setattr(protocol, "FIDExtractor", extractor)
  return calls


def test_a_perfect_copy_is_as_far_from_the_reference_as_the_floor(calls):
  """The reference is the measured images alone; what is fused are others, each at most once, as many as those."""
  dataset = marked_bands_dataset(train=20, probe=25, validation=15, test=30)
  metrics = evaluate(Fake(BANDS, swaps_nothing), dataset, progress=None)
  real, others, fusions = (marks(arguments[0]) for arguments, _ in calls["features"])
  assert set(real[:, 0]) == {MARKS["test"]} and set(others[:, 0]) == {MARKS["probe"], MARKS["validation"]}
  np.testing.assert_array_equal(fusions, others)  # a copy shows what it was made from
  assert all(len(np.unique(rows, axis=0)) == 30 for rows in (real, others))
  assert metrics["quality/fid"] == metrics["quality/fid_floor"]
  assert {key: metrics["quality/fid"][key] for key in ("extractor", "images")} == {
    "extractor": "mean colour",
    "images": 30,
  }
  features = [arguments[0].mean((1, 2)) for arguments, _ in calls["features"]]
  assert metrics["quality/fid"]["value"] == pytest.approx(frechet(features[0], features[1]), rel=1e-6)


def frechet(a, b):
  """The Fréchet distance, by the matrix root of the product of the covariances itself."""
  root = scipy.linalg.sqrtm(np.cov(a.T) @ np.cov(b.T)).real
  return np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)


@pytest.mark.parametrize(
  "counts", [{"probe": 12, "validation": 5, "test": 30}, {"probe": 25, "validation": 15, "test": 9}]
)
def test_real_images_and_fusions_are_as_many_as_the_smaller_of_the_two(calls, monkeypatch, counts):
  dataset = marked_bands_dataset(train=20, **counts)
  few = min(counts["probe"] + counts["validation"], counts["test"])
  for limit in (few, 7):
    monkeypatch.setattr(protocol, "FID_IMAGES", limit)
    metrics = evaluate(Fake(BANDS, swaps_band), dataset, progress=None)
    assert [len(arguments[0]) for arguments, _ in calls["features"]] == [limit] * 3
    assert metrics["quality/kid"]["images"] == limit


def test_classes_of_discrete_features():
  f = {"train": np.float32([[0, 1], [1, 0]]), "test": np.float32([[0, 1]])}
  assert {part: y.tolist() for part, y in protocol.targets(f).items()} == {"train": [1, 0], "test": [1]}
  several = {"train": np.float32([[0, 0], [1, 1], [1, 0]]), "test": np.float32([[1, 1]])}
  assert protocol.targets(several)["train"].tolist() == [0, 2, 1] and protocol.targets(several)["test"].tolist() == [2]


def test_a_split_that_trained_something_is_refused(dataset, oracle):
  for split in ("train", "probe"):
    with pytest.raises(DataError, match="'validation'"):
      evaluate(Fake(Color(), swaps_color), dataset, split=split)


def test_a_property_is_not_judged_on_classes_that_do_not_show_it(dataset, monkeypatch):
  monkeypatch.setattr(protocol, "Oracle", lambda dataset, column: read_label)
  band, color = dataset.judges
  symmetric = dataclasses.replace(dataset, judges=(band, color._replace(symmetric=(("label", (3,)),))))

  def loses_the_colour_of_the_fourth(label, color):
    return draw(label, color * (label != 3)[:, None])

  for feature, draw_fusion, key in (
    (Color(), lambda x, f: loses_the_colour_of_the_fourth(read_label(x), f), "control/mae_mean"),
    (BANDS, lambda x, f: loses_the_colour_of_the_fourth(np.argmax(f, 1), read_color(x)), "complement/color_mae"),
  ):
    model = Fake(feature, draw_fusion)
    assert measure(model, dataset)[key] > 0.05
    assert measure(model, symmetric)[key] == pytest.approx(0, abs=1e-6)  # of the image that is shown


def test_the_fusions_that_the_training_never_shows_are_told_apart(dataset, monkeypatch):
  monkeypatch.setattr(protocol, "Oracle", lambda dataset, column: read_label)
  biased = dataclasses.replace(dataset, unseen=lambda examples, asked: (asked["label"] == 2) & (examples["label"] != 1))
  fails_on_the_third = Fake(BANDS, lambda x, f: draw(np.argmax(f, 1) % 2, read_color(x)))  # and on the fourth
  metrics = measure(fails_on_the_third, biased)
  assert metrics["control/accuracy_unseen"] == 0 < metrics["control/accuracy_mean"] < 1
  assert measure(Fake(BANDS, swaps_band), biased)["control/accuracy_unseen"] == 1
  assert "control/accuracy_unseen" not in measure(fails_on_the_third, dataset)
