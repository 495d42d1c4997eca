"""The score: what a user wants of a model, as one number of its quick figures, by which a training may keep its best.

  score = (C · F · R)^(1/3)

Each factor is the share of the way from what comes by chance to what is perfect, in [0, 1]. Of several parts of f, C is
the geometric mean, and F that of the part of which z1 tells most.

| factor | what it is | by chance | perfect |
|---|---|---|---|
| C, control | what a judge reads in fusions with z1 the mean; it learned from real images alone | a random real image | 1; an error of 0 |
| F, forgetting | 1 - the share of f that a linear probe reads from the means of z1 | the majority class; an R² of 0 | |
| R, reconstruction | the squared error of x', by its PSNR | the mean of the images | no error |

They are multiplied, since each is cheap without the others: a model that copies its source has R = 1 and C = 0, one that
draws the same image for each f has C = 1 and R = 0, and a sum would let two make up for the third. One per cent less of
any factor costs the same. The root keeps the score in the unit of its factors, and does not change which is best. A
share counts as at least `LEAST`: where one stays hopeless, the others still tell which epoch is better.
"""  # noqa: E501 (a table)

from collections.abc import Iterable

import numpy as np

from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError
from tfdisent.evaluation.case import Case, other_feature
from tfdisent.evaluation.control import COMPARISONS, is_readable
from tfdisent.evaluation.intervals import with_interval
from tfdisent.evaluation.leaks import FEWEST_TO_FIT
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics, without_part
from tfdisent.evaluation.quality import psnr
from tfdisent.feature.contract import Feature
from tfdisent.registry import register_measurement

MEASUREMENTS = ("linear_leakage", "chance")
"""What the score needs besides the quick subset of the evaluation."""
LEAST = 0.01
PERFECT = {"control/accuracy_mean": 1.0, "control/mae_mean": 0.0, "control/median_error_mean": 0.0}


@register_measurement("chance")
class Chance(Measurement):
  """What control and PSNR come to by chance, where a random image is shown, or the mean of all."""

  stage = "control and PSNR by chance"
  quick = True
  figures = (Figure("control_chance/*"), Figure("quality_chance/psnr"))

  def measure(self, case: Case) -> Metrics:
    mean = np.broadcast_to(np.rint(case.x.mean(0)).astype(np.uint8), case.x.shape)
    metrics = {"quality_chance/psnr": with_interval(psnr(case.x, mean), within=(0, None))}
    for part in case.parts:
      judge = next((judge for judge in case.dataset.judges if judge.column == part.feature.column), None)
      if judge is None:
        continue
      random_state, truth = np.random.default_rng(case.seed), case.truth[judge]
      partner = other_feature(case.model.feature.split(case.f["score"])[part.index], random_state)
      readable = is_readable(judge, case.examples | {judge.column: case.examples[judge.column][partner]})
      figure, compare, summary = COMPARISONS[judge.kind]
      error = compare(truth[random_state.permutation(len(truth))], truth[partner], judge.turn)
      metrics[part.key(f"control_chance/{figure}_mean")] = summary(error[readable])
    return metrics


def score(metrics: Metrics) -> Metrics:
  """The `score` and its factors, `score/control`, `score/forgetting` and `score/reconstruction`, as figures.

  Args:
    metrics: of the quick subset of the evaluation and of `MEASUREMENTS`; of validation images, if something is chosen.

  Raises:
    KeyError: a figure is missing. `check_score` tells before a training whether one will be.
  """
  value = {key: figure["value"] for key, figure in metrics.items()}
  controls = [key for key in value if without_part(key) in PERFECT]
  probes = [key for key in value if without_part(key) == "leakage/linear_mean"]
  if not controls or not probes:
    raise KeyError("control by a judge, or leakage by a linear probe")
  obeyed = [
    _way(value[key], value[key.replace("control/", "control_chance/", 1)], PERFECT[without_part(key)])
    for key in controls
  ]
  factors = {
    "control": _mean(obeyed),
    "forgetting": 1 - max(_way(value[key], value[key.replace("linear_mean", "chance")], 1.0) for key in probes),
    "reconstruction": _way(-(10 ** (-value["quality/psnr"] / 10)), -(10 ** (-value["quality_chance/psnr"] / 10)), 0.0),
  }
  figures = {"score": _mean(factors.values())}
  return {name: {"value": x} for name, x in (figures | {f"score/{name}": x for name, x in factors.items()}).items()}


def _mean(shares: Iterable[float]) -> float:
  """The geometric mean of shares in [0, 1]."""
  return float(np.exp(np.mean(np.log(np.maximum(list(shares), LEAST)))))


def _way(value: float, chance: float, perfect: float) -> float:
  """The share of the way from chance to perfect that a value has gone, in [0, 1]; 0 where there is no way to go."""
  return float(np.clip((value - chance) / (perfect - chance), 0, 1)) if perfect != chance else 0.0


def check_score(feature: Feature, dataset: Dataset, evaluate_every: int) -> None:
  """Raises `ConfigError` if the score of a training cannot be computed."""
  asked, judged = "train.best = 'score'", {judge.column for judge in dataset.judges}
  if not evaluate_every:
    raise ConfigError(
      f"{asked} chooses among the epochs that are evaluated, and train.evaluate_every is 0: set it to 1 or more."
    )
  if part := next((part for part in feature.parts if part.column not in judged), None):
    raise ConfigError(
      f"{asked} needs a judge of what is controlled, and none reads the column of the feature {part.name!r} "
      f"({part.column!r}): use train.best = 'loss'."
    )
  if (count := len(dataset.probe["image"])) * 4 // 5 < FEWEST_TO_FIT:
    raise ConfigError(
      f"{asked} needs at least {FEWEST_TO_FIT * 5 // 4 + 1} images to learn a probe from, and the split 'probe' "
      f"has {count}: add images, or use train.best = 'loss'."
    )
