"""The protocol on models of which the right answers are known."""

import dataclasses
import functools
import math
import random

import keras
import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
from keras.src.backend.common import global_state

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.bands import (
  MARKS,
  Fake,
  Telling,
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
from tfdisent.data.dataset import Judge
from tfdisent.evaluation import bound, case, evaluate, judges, leaks, other_feature, probes, quality, strokes
from tfdisent.evaluation.measurement import BUILT_IN
from tfdisent.evaluation.quality import LARGEST_PSNR
from tfdisent.feature.contract import Feature
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.registry import MEASUREMENTS

BANDS = DigitLabel(num_classes=4)


def check_declared(metrics):
  """Every figure is of the record of a measurement."""
  figures = [figure for name in BUILT_IN for figure in MEASUREMENTS[name].figures]
  assert [key for key in metrics if not any(figure.matches(key) for figure in figures)] == []
  return metrics


def measure(*arguments, **keywords):
  """The values of the quick subset but for the sharpness, whose known answers are in `test_quality`."""
  metrics = check_declared(evaluate(*arguments, **{"quick": True, **keywords}))
  return {key: figure["value"] for key, figure in metrics.items() if not key.startswith("quality/sharpness")}


@pytest.fixture(scope="module")
def dataset():
  return bands_dataset()


@pytest.fixture
def oracle(monkeypatch):
  """A judge that takes every fourth band for the first, and is right about the others."""

  def make(dataset, column):
    assert column == "label"
    return lambda image: read_label(image) % 3

  monkeypatch.setattr(judges, "Oracle", make)


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
    "quality/psnr": LARGEST_PSNR,
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
  monkeypatch.setattr(judges, "Oracle", lambda dataset, column: read_label)
  metrics = measure(Fake(BANDS, swaps_nothing), dataset)
  assert metrics["oracle/test_accuracy"] == 1
  assert metrics["control/accuracy_mean"] == metrics["control/accuracy_sample"] == 0
  assert metrics["complement/color_mae"] == 0


def test_a_swap_that_spoils_the_rest_shows_in_the_complement(dataset, monkeypatch):
  monkeypatch.setattr(judges, "Oracle", lambda dataset, column: read_label)
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
  """All of the protocol, with a perfect oracle, a distance that is not trained, and short trainings of probes."""
  monkeypatch.setattr(case, "TRAINING_FUSIONS", 400)
  monkeypatch.setitem(probes._FITS, "trees", functools.partial(probes._fit_trees, iterations=10))
  for module, name in ((leaks, "read_parts"), (bound, "information_bounds")):
    monkeypatch.setattr(module, name, functools.partial(getattr(module, name), epochs=3))
  monkeypatch.setattr(judges, "Oracle", lambda dataset, column: read_label)
  dataset, lines = bands_dataset(probe=400, validation=100, test=200), []

  class Pixels:
    name = "mean colour"

    def __call__(self, image):
      return image.mean((1, 2)) / 255

  monkeypatch.setattr(quality, "FIDExtractor", lambda dataset, column: Pixels())
  monkeypatch.setattr(leaks, "plain_vae", lambda model, dataset: Fake(model.feature, swaps_nothing))
  return lambda model, **keywords: check_declared(evaluate(model, dataset, progress=lines.append, **keywords)), lines


KEYS = {
  *(f"leakage/{probe}_{kind}" for probe in ("linear", "mlp", "trees") for kind in ("mean", "sample")),
  *(f"leakage/{probe}_{kind}_nats" for probe in ("linear", "mlp", "trees") for kind in ("mean", "sample")),
  *(f"leakage/{name}" for name in ("worst", "worst_nats", "chance", "image")),
  *(f"leakage/control_{name}" for name in ("shuffled", "pixels", "untrained", "plain_vae")),
  *(f"quality/{name}" for name in ("psnr", "sharpness_rec", "sharpness_fusion", "ssim", "fid", "kid", "fid_floor")),
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
  assert value["leakage/worst_nats"] == pytest.approx(value["leakage/ceiling_nats"], abs=0.05)
  assert value["leakage/ceiling_nats"] == pytest.approx(math.log(4), abs=0.02)
  worst = metrics["leakage/worst"]
  assert worst == {**metrics[f"leakage/{worst['probe']}"], "probe": worst["probe"]}
  assert value["leakage/control_plain_vae"] == value["leakage/control_pixels"]  # which it encodes
  assert value["leakage/image"] < chance + 0.12  # the fusion shows the asked-for band alone
  assert value["leakage/control_shuffled"] < chance + 0.12 and value["leakage/control_untrained"] < chance + 0.12
  assert value["bound/ratio"] > 0.9 and value["bound/ceiling_nats"] == pytest.approx(math.log(4), abs=0.02)
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
    assert abs(value[f"leakage/{probe}_mean_nats"]) < 0.02
  assert value["leakage/image"] < value["leakage/chance"] + 0.1
  assert abs(value["bound/ratio"]) < 0.05


def test_a_continuous_feature_is_scored_by_r_squared(whole):
  evaluate_whole, _ = whole
  value = {key: figure["value"] for key, figure in evaluate_whole(Fake(Color(), swaps_color)).items()}
  assert {*KEYS, "complement/ink_iou", "complement/band_accuracy", "control/mae_mean"} < set(value)
  assert value["leakage/linear_mean"] > 0.95 and value["leakage/chance"] == 0
  assert value["leakage/linear_mean_nats"] > 4 and "leakage/ceiling_nats" not in value  # of three components
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


# --- Which images go where --------------------------------------------------------------------------------------------


class Calls(dict):
  """What each function of the protocol was given: {"leakage": [(arguments, keywords), …], …}."""

  def spy(self, name, answer):
    self[name] = []
    return lambda *arguments, **keywords: (self[name].append((arguments, keywords)), answer(*arguments, **keywords))[1]


SCORES = (0.3, 0.1, 0.9, 0.2, 0.5, 0.4, 0.91, 0.92, 0.93, 0.94)  # of the probes, in the order in which they are asked


@pytest.fixture
def calls(monkeypatch):
  """Replaces all that learns within the protocol, and notes what it is given."""
  calls, scores = Calls(), iter(SCORES)
  for module, name, answer in (
    (leaks, "leakage", lambda *_, seed=0: {"value": next(scores)}),
    (leaks, "leakage_and_nats", lambda *_: (dict(value=(accuracy := next(scores))), {"value": accuracy / 2})),
    (leaks, "read_parts", lambda image, targets, *_: [np.eye(4)[np.zeros(len(targets[0]["score"]), int)]]),
    (bound, "information_bounds", lambda *_: [{"nats": {"value": 1.0}}]),
    (leaks, "plain_vae", lambda model, dataset: Fake(model.feature, swaps_nothing)),
    (judges, "Oracle", lambda dataset, column: read_label),
  ):
    monkeypatch.setattr(module, name, calls.spy(name, answer))
  monkeypatch.setattr(case, "TRAINING_FUSIONS", 60)

  def extractor(dataset, column):
    assert column == "label"
    features = calls.spy("features", lambda image: image.mean((1, 2)))
    features.name = "mean colour"
    return features

  monkeypatch.setattr(quality, "FIDExtractor", extractor)
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


def test_fid_and_kid_do_not_depend_on_what_is_measured_before(calls):
  """They draw on from the random numbers of the pairs."""
  dataset = marked_bands_dataset(train=20, probe=25, validation=15, test=30)
  whole = evaluate(Fake(BANDS, swaps_band), dataset, progress=None)
  alone = evaluate(Fake(BANDS, swaps_band), dataset, quick=True, progress=None, measurements=("fid", "fid"))
  assert {key: whole[key] for key in alone} == alone and "quality/kid" in alone and "quality/ssim" not in alone


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
    calls["features"] = []
    monkeypatch.setattr(leaks, "leakage", lambda *_, **__: {"value": 0.5})
    monkeypatch.setattr(leaks, "leakage_and_nats", lambda *_: ({"value": 0.5}, {"value": 0.5}))
    monkeypatch.setattr(quality, "FID_IMAGES", limit)
    metrics = evaluate(Fake(BANDS, swaps_band), dataset, progress=None)
    assert [len(arguments[0]) for arguments, _ in calls["features"]] == [limit] * 3
    assert metrics["quality/kid"]["images"] == limit


OF_NO_PROBE = ("leakage/chance", "leakage/ceiling_nats")


def scores_of(label):
  """Every figure of leakage, from the scores that the doubles give, and the labels of each role."""
  names = [f"{probe}_{kind}" for probe in ("linear", "mlp", "trees") for kind in ("mean", "sample")]
  names += [f"control_{name}" for name in ("shuffled", "pixels", "untrained", "plain_vae")]
  frequency = np.bincount(label["fit"])[label["score"]] / len(label["fit"])
  return {
    **{f"leakage/{name}": score for name, score in zip(names, SCORES)},
    **{f"leakage/{name}_nats": score / 2 for name, score in zip(names[:6], SCORES)},
    "leakage/worst": 0.9,
    "leakage/worst_nats": 0.45,
    "leakage/ceiling_nats": pytest.approx(-np.log(frequency).mean()),
    "leakage/chance": np.mean(label["score"] == np.bincount(label["fit"]).argmax()),
    "leakage/image": np.mean(label["score"] == 0),  # what the double of `read_parts` reads
  }


@pytest.mark.parametrize(("split", "limit"), [("test", None), ("test", 10), ("validation", None)])
def test_which_images_each_probe_learns_stops_early_and_is_scored_on(calls, split, limit):
  """Neither the model's own training images nor, for choices on validation, the test images are ever encoded."""
  dataset = marked_bands_dataset(train=20, probe=25, validation=15, test=28)
  model = Telling(BANDS)
  metrics = evaluate(model, dataset, split, seed=3, limit=limit, progress=None)
  measured = [0, 3, 6, 9, 12, 15, 18, 21, 24, 27] if limit else range(28)
  of_role = {  # split and rows
    "test": {"fit": ("probe", range(25)), "select": ("validation", range(15)), "score": ("test", measured)},
    "validation": {"fit": ("probe", range(20)), "select": ("probe", range(20, 25)), "score": ("validation", range(15))},
  }[split]
  assert model.seen == {MARKS[of_split] for of_split, _ in of_role.values()}
  label = {role: dataset[of_split]["label"][list(rows)] for role, (of_split, rows) in of_role.items()}

  def expected(role, sign, count=None):
    of_split, rows = of_role[role]
    rows = np.resize(rows, count or len(rows))
    return np.stack([np.full(len(rows), MARKS[of_split]), rows, np.full(len(rows), sign)], axis=1)

  sample = {"score": 4, "fit": 5, "select": 6}  # 1 + the seed, of each role another one
  kinds = [dict.fromkeys(sample, 0), sample] * 3 + [dict.fromkeys(sample, 0)] * 4
  asked_of_probes = calls["leakage_and_nats"] + calls["leakage"]
  assert len(asked_of_probes) == len(kinds) and len(calls["leakage"]) == 4
  probes = ["linear", "linear", "mlp", "mlp", "trees", "trees", *["mlp"] * 4]
  for number, ((arguments, keywords), signs, probe) in enumerate(zip(asked_of_probes, kinds, probes)):
    representation, target = arguments[:2]
    assert [*arguments[2:], *keywords.values()] == ([probe, 3] if number < 6 else [3])
    for role in sample:
      np.testing.assert_array_equal(marks(representation[role]), expected(role, signs[role]))
      shuffled = number == 6 and role != "score"
      assert (target[role] == label[role]).all() != shuffled
      np.testing.assert_array_equal(np.sort(target[role]), np.sort(label[role]))

  (((fusion_of_mean, (source,), seed), _),) = calls["read_parts"]
  (((z1, fusion, (asked,), same_seed), _),) = calls["information_bounds"]
  assert seed == same_seed == 3
  assert 0.05 < np.mean(asked["fit"] == source["fit"]) < 0.6  # another image's, whatever its class is
  for role, sign in sample.items():
    count = 60 if role == "fit" else None  # few images are fused several times
    np.testing.assert_array_equal(marks(fusion_of_mean[role]), expected(role, 0, count))
    np.testing.assert_array_equal(source[role], np.resize(label[role], count or len(label[role])))
    for made_of_sample in (z1, fusion):
      np.testing.assert_array_equal(marks(made_of_sample[role]), expected(role, sign, count))
    np.testing.assert_array_equal(asked[role], fusion[role][:, 7, 6, 0])
    np.testing.assert_array_equal(asked[role], fusion_of_mean[role][:, 7, 6, 0])
    np.testing.assert_array_equal(np.sort(asked[role]), np.sort(source[role]))

  real, others, fused = (marks(arguments[0]) for arguments, _ in calls["features"])
  rows = {tuple(row) for row in expected("score", 0)}
  assert {tuple(row) for row in real} <= rows and len(real) == min(len(rows), len(label["fit"]) + len(label["select"]))
  pool = np.concatenate([expected(role, sample[role]) for role in ("fit", "select")])
  assert {tuple(row) for row in fused} <= {tuple(row) for row in pool}
  np.testing.assert_array_equal(others[:, :2], fused[:, :2])

  scores = {key: figure["value"] for key, figure in metrics.items() if key.startswith("leakage/")}
  assert scores == scores_of(label)
  counted = {key: metrics[key].get("probe_images") for key in scores}
  assert counted == {key: None if key in OF_NO_PROBE else len(of_role["fit"][1]) for key in scores}
  assert metrics["leakage/worst"]["probe"] == "mlp_mean" and metrics["bound/nats"] == {"value": 1.0}
  assert calls["Oracle"][0][0] == (dataset, "label") and calls["plain_vae"][0][0] == (model, dataset)


@pytest.mark.parametrize("split", ["test", "validation"])
def test_probes_of_all_training_images_stop_early_and_are_scored_on_held_out_ones(calls, split):
  dataset, model = marked_bands_dataset(train=20, probe=25, validation=15, test=28), Telling(BANDS)
  metrics = evaluate(model, dataset, split, quick=True, progress=None, measurements=("leakage_all_images",))
  select = ("validation", range(15)) if split == "test" else ("probe", range(20, 25))
  places = {"fit": ("train", range(20)), "select": select, "score": (split, range(len(dataset[split]["label"])))}
  assert [arguments[2] for arguments, _ in calls["leakage_and_nats"]] == ["linear"] * 2 + ["mlp"] * 2 + ["trees"] * 2
  for (z1, target, *_), _ in calls["leakage_and_nats"]:
    for role, (of_split, rows) in places.items():
      assert marks(z1[role])[:, :2].tolist() == [[MARKS[of_split], row] for row in rows]
      np.testing.assert_array_equal(target[role], dataset[of_split]["label"][list(rows)])
  found = {key: figure for key, figure in metrics.items() if key.startswith("leakage/")}
  names = [f"{probe}_{kind}" for probe in ("linear", "mlp", "trees") for kind in ("mean", "sample")] + ["worst"]
  assert set(found) == {f"leakage/{name}_all{unit}" for name in names for unit in ("", "_nats")}
  assert {figure["probe_images"] for figure in found.values()} == {20}
  assert (found["leakage/worst_all"]["value"], found["leakage/worst_all"]["probe"]) == (0.9, "mlp_mean")


def test_from_many_images_each_is_fused_once(calls, monkeypatch):
  monkeypatch.setattr(case, "TRAINING_FUSIONS", 10)
  evaluate(Telling(BANDS), marked_bands_dataset(train=20, probe=25, validation=15, test=28), progress=None)
  (((fusion, _, _), _),) = calls["read_parts"]
  assert marks(fusion["fit"])[:, 1].tolist() == list(range(25))


# --- Known answers ----------------------------------------------------------------------------------------------------


class Careless(Fake):
  """Samples z1 with the next band but seed, and half of the ink."""

  def sample_z1(self, x, seed):
    return np.float32(draw((read_label(x) + 1 + seed) % 4, read_color(x) / 510)).reshape(len(x), -1)


def of_seed(f, seed):
  """Partners, strangers, and z1 from the prior, in the order in which the protocol draws them."""
  random_state = np.random.default_rng(seed)
  return other_feature(f, random_state), random_state.permutation(len(f)), random_state.standard_normal((len(f), 192))


def test_every_figure_of_a_class(dataset, oracle, monkeypatch):
  """G never swaps the third band, and dims the ink; the red stands for the slant, the green for the thickness."""
  monkeypatch.setattr(strokes, "slant", lambda image: read_color(image)[:, 0].astype(float))
  monkeypatch.setattr(strokes, "stroke_thickness", lambda image: read_color(image)[:, 1].astype(float))
  keeps_the_third = Careless(
    BANDS, lambda x, f: draw(np.where(read_label(x) == 2, 2, np.argmax(f, 1)), 0.8 * read_color(x))
  )
  label, ink = dataset.test["label"], np.rint(dataset.test["color"] * 255)
  partner, stranger, noise = of_seed(np.eye(4)[label], 1)
  asked = label[partner]

  def right(source):
    return np.where(source == 2, 2, asked) % 3 == asked  # as the oracle reads

  dimmed = np.rint(0.8 * ink)
  expected = {
    "oracle/test_accuracy": np.mean(label < 3),
    "control/accuracy_mean": np.mean(right(label)),
    "control/accuracy_sample": np.mean(right((label + 2) % 4)),
    "control/accuracy_prior": np.mean(right(read_label(noise))),
    **{f"control_by_class/{k}": np.mean(right(label)[asked == k]) for k in range(4)},
    "complement/color_mae": np.mean((ink - dimmed) / 255),
    "complement_chance/color_mae": np.mean(np.abs(ink[stranger] - ink) / 255),
  }
  for channel, name in enumerate(("slant_mae", "stroke_mae")):
    usual = np.array([ink[label == k, channel].mean() for k in range(4)])
    real = ink[:, channel] - usual[label]
    expected[f"complement/{name}"] = np.mean(np.abs(dimmed[:, channel] - usual[asked] - real))
    expected[f"complement_chance/{name}"] = np.mean(np.abs(real[stranger] - real))
  rec = np.rint(255 * draw(label, 0.8 * ink / 255))  # all of its own class
  expected["quality/psnr"] = np.mean(10 * np.log10(255**2 / np.square(rec - dataset.test["image"]).mean((1, 2, 3))))
  assert len({expected[f"control/accuracy_{kind}"] for kind in ("mean", "sample", "prior")}) == 3
  assert measure(keeps_the_third, dataset, seed=1) == {
    key: pytest.approx(value, abs=1e-5) for key, value in expected.items()
  }


def test_every_figure_of_a_colour(dataset, oracle):
  third_to_fourth = Careless(
    Color(),
    lambda x, f: draw(
      np.where(read_label(x) == 2, 3, read_label(x)), 0.8 * f + read_color(x).mean(1, keepdims=True) / 49.497
    ),
  )
  label, ink = dataset.test["label"], np.rint(dataset.test["color"] * 255)
  f = Color().of_image(tf.constant(dataset.test["image"] / 255, tf.float32)).numpy()
  partner, stranger, noise = of_seed(f, 0)

  def missed(grey):
    got = np.rint(255 * np.clip(0.8 * ink[partner] / 255 + grey[:, None] / 49.497, 0, 1))
    return np.abs(got - ink[partner]).mean() / 255

  kept = np.where(label == 2, 3, label)
  values = measure(third_to_fourth, dataset)
  assert {key: value for key, value in values.items() if "slant" not in key and "stroke" not in key} == {
    key: pytest.approx(value, abs=2e-5)
    for key, value in {
      "oracle/test_accuracy": np.mean(label < 3),
      "control/mae_mean": missed(ink.mean(1) / 255),
      "control/mae_sample": missed(ink.mean(1) / 510),
      "control/mae_prior": missed(read_color(noise.reshape(-1, 8, 8, 3)).mean(1)),
      "complement/band_accuracy": np.mean(kept % 3 == label),
      "complement_chance/band_accuracy": np.mean(label[stranger] == label),
      "complement/ink_iou": np.mean(kept == label),
      "complement_chance/ink_iou": np.mean(label[stranger] == label),
      "quality/psnr": values["quality/psnr"],
    }.items()
  }


@dataclasses.dataclass(frozen=True)
class Turn(Feature):
  kind, width, column, unit = "continuous", 2, "turn", "degrees"

  def of_example(self, example):
    theta = np.radians(example["turn"])
    return np.stack([np.cos(theta), np.sin(theta)], 1)


def test_every_figure_of_an_angle(dataset, monkeypatch):
  """The angle is told by the red; its judge misses by more the lower the band, and so does it on the fusions."""

  def read_turn(image):
    return read_color(image)[:, 0] * (360 / 255) + 10.0 * read_label(image)

  splits = {split: {**dataset[split], "turn": dataset[split]["color"][:, 0] * 360} for split in MARKS}
  readers = (dataset.judges[0], Judge("turn", "turn", "angle", 360.0))
  turning = dataclasses.replace(dataset, **splits, judges=readers, class_names={"label": ("a", "b", "c", "d")})
  monkeypatch.setattr(case, "readers", lambda dataset: dict(zip(readers, (read_label, read_turn))))

  def turns(x, f):
    red = np.degrees(np.arctan2(f[:, 1], f[:, 0])) % 360 / 360
    return draw(read_label(x), np.stack([red, red, red], 1))

  label, turn = dataset.test["label"], turning.test["turn"].astype(float)
  theta = np.radians(turning.test["turn"])
  partner, stranger, noise = of_seed(np.float32(np.stack([np.cos(theta), np.sin(theta)], 1)), 0)
  red = np.rint(turn / 360 * 255)
  wrapped = np.abs((turn[stranger] - turn + 180) % 360 - 180)
  drawn = np.where(red[partner] == 255, 0, red[partner])  # 360 degrees are none
  off = np.abs(((drawn - red[partner]) * (360 / 255) + 10 * label + 180) % 360 - 180)
  assert np.allclose(off, 10 * label, atol=1e-4)
  expected = {
    "oracle/test_accuracy": 1.0,
    "oracle/test_turn_median_error": np.median(10 * label),
    "control/median_error_mean": np.median(10 * label),
    "control/median_error_sample": np.median(10 * ((label + 1) % 4)),
    "control/median_error_prior": np.median(10 * read_label(noise)),
    "complement/band_accuracy": 1.0,
    "complement_chance/band_accuracy": np.mean(label[stranger] == label),
    **{f"control_by_source/{name}": 10.0 * k for k, name in enumerate("abcd")},
    **{f"oracle_by_class/{name}": 10.0 * k for k, name in enumerate("abcd")},
  }
  values = measure(Careless(Turn(), turns), turning)
  values.pop("quality/psnr")
  assert values == {key: pytest.approx(value, abs=1e-3) for key, value in expected.items()}
  # of another angle, the complement of a class
  values = measure(Careless(BANDS, swaps_band), turning)
  asked = label[of_seed(np.eye(4)[label], 0)[0]]
  assert values["complement/turn_median_error"] == pytest.approx(np.median(10 * asked), abs=1e-3)
  stranger = of_seed(np.eye(4)[label], 0)[1]
  wrapped = np.abs((turn[stranger] - turn + 180) % 360 - 180)
  assert values["complement_chance/turn_median_error"] == pytest.approx(np.median(wrapped), abs=1e-3)


@dataclasses.dataclass(frozen=True)
class Warm(Feature):
  """Two attributes: much red, and much green."""

  kind, width, code, column = "discrete", 2, "bernoulli", "warmth"

  def of_image(self, image):
    return tf.cast(tf.reduce_max(image, [1, 2])[:, :2] > 0.6, tf.float32)


def test_a_discrete_feature_of_pixels_without_a_judge_is_compared_by_itself(dataset, oracle):
  """It was given no figure at all."""
  color = dataset.test["color"]
  f = np.float32(color[:, :2] > 0.6)
  partner, _, noise = of_seed(f, 0)

  def loses_green(x, f):  # where the source is of the first band
    on = f * np.stack([np.ones(len(f)), read_label(x) > 0], 1)
    return draw(read_label(x), np.concatenate([on, on[:, :1]], 1))

  lost = f[partner][:, 1] == 1
  values = measure(Careless(Warm(), loses_green), dataset)
  label = dataset.test["label"]
  for kind, source in (("mean", label), ("sample", (label + 1) % 4), ("prior", read_label(noise))):
    assert values[f"control/own_f_accuracy_{kind}"] == pytest.approx(np.mean(~(lost & (source == 0))))
    assert 0 < values[f"control/own_f_accuracy_{kind}"] < 1
  assert measure(Fake(Warm(), swaps_nothing), dataset)["control/own_f_accuracy_mean"] == 0
  same = measure(Fake(Warm(), lambda x, f: draw(0 * read_label(x), np.ones_like(x[:, 0, 0]))), dataset)
  assert same["control/own_f_accuracy_mean"] == pytest.approx(np.mean(f[partner].all(1)))  # one f for all: no error


@dataclasses.dataclass(frozen=True)
class Warmth(Feature):
  """The same, known of the examples alone."""

  kind, width, column = "discrete", 2, "warmth"

  def of_example(self, example):
    return np.eye(2, dtype=np.float32)[np.asarray(example["color"][:, 0] > 0.6, int)]


def test_a_feature_that_nothing_reads_is_said_to_have_no_control(dataset, oracle):
  lines = []
  metrics = evaluate(Fake(Warmth(), swaps_nothing), dataset, quick=True, progress=lines.append)
  assert not any(key.startswith("control/") for key in metrics)
  assert any("Warmth has no control: no judge reads the column 'warmth'" in line for line in lines)
  evaluate(Fake(Color(), swaps_nothing), dataset, quick=True, progress=lines.append)
  assert sum("no control" in line for line in lines) == 1


def test_the_random_numbers_of_the_caller_stay_as_they_are(calls, monkeypatch, tmp_path):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path))
  monkeypatch.setattr(leaks, "plain_vae", judges.plain_vae)
  monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: None)
  network = {"conv": (2,), "dense": (4,)}
  model = TrainedModel(DisentangledVAE((8, 8, 3), BANDS, Objective(), 2, E1=network, G=network, q=network, D=network))
  dataset = bands_dataset(train=20, probe=20, validation=10, test=10)

  def draw_some():
    return random.random(), np.random.rand(), float(tf.random.uniform([])), float(keras.random.uniform([]))

  def seed_all():
    keras.utils.set_random_seed(5)
    global_state.set_global_attribute("global_seed_generator", None)  # older versions of Keras leave it as it is

  seed_all()
  expected = [draw_some(), draw_some()]
  seed_all()
  first = draw_some()
  evaluate(model, dataset, progress=None)
  assert [first, draw_some()] == expected


def test_an_untrained_model_follows_its_seed_alone():
  network = {"conv": (2,), "dense": (4,)}
  keras.utils.set_random_seed(3)
  model = DisentangledVAE((8, 8, 3), BANDS, Objective(), 2, E1=network, G=network, q=network, D=network)
  weights = [TrainedModel(model).untrained(seed).model.get_weights() for seed in (3, 3, 0)]
  default = TrainedModel(model, batch_size=7).untrained()
  for same in (weights[0], weights[1]):  # the weights that training begins with
    assert all((a == b).all() for a, b in zip(same, model.get_weights(), strict=True))
  assert any((a != b).any() for a, b in zip(weights[2], model.get_weights()))
  assert all((a == b).all() for a, b in zip(weights[2], default.model.get_weights())) and default.batch_size == 7
