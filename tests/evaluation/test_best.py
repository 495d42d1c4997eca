"""The score by which a training may keep its best checkpoint, on figures and models of which it is known."""

import dataclasses
import math

import numpy as np
import pytest

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.bands import Fake, bands_dataset, draw, read_label, swaps_band, swaps_color, swaps_nothing
from tfdisent.errors import ConfigError
from tfdisent.evaluation import best, evaluate, judges, psnr
from tfdisent.feature.contract import Feature

BANDS = DigitLabel(num_classes=4)
FIGURES = {
  "control/accuracy_mean": 0.91,
  "control_chance/accuracy_mean": 0.1,
  "leakage/linear_mean": 0.28,
  "leakage/chance": 0.1,
  "quality/psnr": 30.0,
  "quality_chance/psnr": 20.0,
}


def score(**figures):
  given = {**FIGURES, **{name.replace("__", "/"): value for name, value in figures.items()}}
  return {key: figure["value"] for key, figure in best.score({k: {"value": v} for k, v in given.items()}).items()}


def test_each_factor_is_a_share_of_the_way_from_chance_to_perfect():
  assert score() == pytest.approx(
    {
      "score": (0.9 * 0.8 * 0.9) ** (1 / 3),
      "score/control": 0.9,
      "score/forgetting": 0.8,
      "score/reconstruction": 0.9,  # a tenth of the squared error is left
    }
  )


@pytest.mark.parametrize(
  ("figures", "factor", "share"),
  [
    ({"control__accuracy_mean": 1.0}, "control", 1.0),
    ({"control__accuracy_mean": 0.05}, "control", best.LEAST),
    ({"leakage__linear_mean": 0.09}, "forgetting", 1.0),  # by luck below the majority class
    ({"leakage__linear_mean": 1.0}, "forgetting", 0.0),
    ({"leakage__chance": 0.0, "leakage__linear_mean": -0.5}, "forgetting", 1.0),  # an R²
    ({"leakage__chance": 1.0, "leakage__linear_mean": 1.0}, "forgetting", 1.0),  # there is nothing to tell
    ({"quality__psnr": np.inf}, "reconstruction", 1.0),
    ({"quality__psnr": 12.0}, "reconstruction", 0.0),
  ],
)
def test_what_is_perfect_and_what_is_hopeless(figures, factor, share):
  found = score(**figures)
  assert found[f"score/{factor}"] == pytest.approx(share)
  factors = [max(found[f"score/{name}"], best.LEAST) for name in ("control", "forgetting", "reconstruction")]
  assert found["score"] == pytest.approx(np.prod(factors) ** (1 / 3))


def test_an_error_is_better_the_smaller_it_is():
  figures = {key: value for key, value in FIGURES.items() if not key.startswith("control")}
  for name in ("mae_mean", "median_error_mean"):
    given = figures | {f"control/{name}": 0.07, f"control_chance/{name}": 0.28}
    assert best.score({k: {"value": v} for k, v in given.items()})["score/control"]["value"] == pytest.approx(0.75)


def test_of_several_parts_control_is_the_geometric_mean_and_the_worst_leak_counts():
  given = {"quality/psnr": 30.0, "quality_chance/psnr": 20.0}
  given |= {"control/a/accuracy_mean": 0.9, "control_chance/a/accuracy_mean": 0.0, "leakage/a/linear_mean": 0.2}
  given |= {"control/b/mae_mean": 0.6, "control_chance/b/mae_mean": 1.0, "leakage/b/linear_mean": 0.5}
  given |= {"leakage/a/chance": 0.0, "leakage/b/chance": 0.0}
  found = best.score({key: {"value": value} for key, value in given.items()})
  assert found["score/control"]["value"] == pytest.approx(0.6)  # of 0.9 and 0.4
  assert found["score/forgetting"]["value"] == 0.5


def test_without_a_judge_or_a_probe_there_is_no_score():
  for prefix in ("control", "leakage"):
    with pytest.raises(KeyError, match="control by a judge, or leakage by a linear probe"):
      best.score({key: {"value": value} for key, value in FIGURES.items() if not key.startswith(prefix)})


# --- Of models --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dataset():
  return bands_dataset(train=20, probe=500, validation=400, test=8)


@pytest.fixture(autouse=True)
def oracle(monkeypatch):
  monkeypatch.setattr(judges, "Oracle", lambda dataset, column: read_label)


def measured(dataset, feature, draw_fusion, encode):
  model = Fake(feature, draw_fusion, encode)
  metrics = evaluate(model, dataset, "validation", quick=True, progress=None, measurements=best.MEASUREMENTS)
  return metrics, {key: figure["value"] for key, figure in best.score(metrics).items()}


def nothing(x):
  return np.zeros((len(x), 192), np.float32)


def image(x):
  return np.float32(x / 255).reshape(len(x), -1)


def test_a_perfect_model_a_copy_and_one_that_draws_f_alone(dataset):
  _, leaky = measured(dataset, BANDS, swaps_band, image)  # z1 is the whole image
  assert leaky["score/control"] == 1 and leaky["score/reconstruction"] > 0.9999 and leaky["score/forgetting"] < 0.05
  _, copy = measured(dataset, BANDS, swaps_nothing, image)
  assert copy["score/control"] == pytest.approx(best.LEAST) and copy["score"] < 0.1
  _, blind = measured(dataset, BANDS, lambda x, f: draw(np.argmax(f, 1), 0.6 + 0 * f[:, :3]), nothing)
  assert blind["score/control"] == blind["score/forgetting"] == 1 and 0.5 < blind["score/reconstruction"] < 1
  grey = measured(dataset, BANDS, lambda x, f: draw(np.argmax(f, 1), 0.3 + 0 * f[:, :3]), nothing)[1]
  assert leaky["score"] < grey["score"] < blind["score"]


def test_chance_is_a_random_image_and_the_mean_of_all(dataset):
  both = Composite((BANDS, Color()), part_names=("band", "ink"))
  metrics, found = measured(dataset, both, lambda x, f: draw(np.argmax(f[:, :4], 1), f[:, 4:]), nothing)
  assert metrics["control_chance/band/accuracy_mean"]["value"] == pytest.approx(0.25, abs=0.08)
  colors = dataset.validation["color"]
  apart = np.abs(colors[:, None] - colors[None]).mean()
  assert metrics["control_chance/ink/mae_mean"]["value"] == pytest.approx(apart, rel=0.1)
  x = dataset.validation["image"]
  mean = np.broadcast_to(np.rint(x.mean(0)).astype(np.uint8), x.shape)
  assert metrics["quality_chance/psnr"]["value"] == pytest.approx(psnr(x, mean).mean())
  assert found["score"] == pytest.approx(1, abs=0.02)


def test_one_perfect_image_does_not_make_all_reconstructions_perfect(dataset):
  x = dataset.validation["image"]
  grey = np.full_like(x, 128)
  grey[0] = x[0]
  chance = float(psnr(x, np.broadcast_to(np.rint(x.mean(0)).astype(np.uint8), x.shape)).mean())
  figures = {"control/accuracy_mean": 1, "control_chance/accuracy_mean": 0, "leakage/linear_mean": 0.5}
  figures |= {"leakage/chance": 0.5, "quality/psnr": float(psnr(x, grey).mean()), "quality_chance/psnr": chance}
  metrics = {name: {"value": value} for name, value in figures.items()}
  assert math.isfinite(figures["quality/psnr"]) and best.score(metrics)["score/reconstruction"]["value"] < 0.9


# --- What is refused --------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class Slant(Feature):
  kind, width, column = "continuous", 1, "slant"


@pytest.mark.parametrize(
  ("feature", "every", "probe", "words"),
  [
    (BANDS, 0, 500, r"evaluate_every is 0: set it to 1 or more"),
    (Slant(), 1, 500, r"needs a judge of what is controlled, and none reads .* 'Slant' \('slant'\): use train.best"),
    (Composite((BANDS, Slant())), 1, 500, r"\('slant'\)"),
    (BANDS, 1, 62, r"needs at least 63 images to learn a probe from, and the split 'probe' has 62"),
  ],
)
def test_a_score_that_cannot_be_computed_is_refused_before_the_training(feature, every, probe, words):
  with pytest.raises(ConfigError, match=rf"train\.best = 'score'.*{words}"):
    best.check_score(feature, bands_dataset(probe=probe), every)


def test_what_can_be_computed_is_not_refused(dataset):
  least = bands_dataset(probe=63)
  best.check_score(BANDS, least, 5)
  best.check_score(Color(), least, 1)
  assert "score" in measured(least, Color(), swaps_color, image)[1]
