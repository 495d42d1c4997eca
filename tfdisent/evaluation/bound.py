"""The paper's first bound, in nats, with a q that was not trained together with the model.

  I(z̃2; x̂ | z1) = H(z̃2 | z1) - H(z̃2 | z1, x̂) ≥ H(z̃2) + E log q(z̃2 | z1, x̂),

for x̃ is drawn independently of x, and for any q (Barber & Agakov 2003). H(z̃2) is the ceiling, reached by a generator
from whose images z̃2 can be read with certainty. A q that was trained together with G may read a pattern that no other
network reads. Here q is trained on fusions of held-out images after the model is frozen, and the expectation is over
test images.

A continuous f has no finite entropy. Its class c(f) stands for it (see `cells`): by data processing,
I(c(f(x̃)); x̂ | z1) ≤ I(f(x̃); x̂ | z1), so a bound of the former is a bound of the latter.

Where f has several parts, z̃2 takes all of them from x̃, and one q reads them all, with a head for each. The bound of a
part is true of this part. But where parts are correlated in the data, q also reads this part from the others (the digit
from a colour that most images of the digit have), so the bound does not say that G obeys this part.

| key | what it is |
|---|---|
| `bound/nats` | the bound, in nats |
| `bound/ceiling_nats` | H(z̃2), in nats |
| `bound/ratio` | of the two, at most 1 |
"""

from collections.abc import Sequence

import numpy as np
from scipy.special import log_softmax

from tfdisent.evaluation.case import Case
from tfdisent.evaluation.image_probe import read_parts
from tfdisent.evaluation.intervals import with_interval
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics
from tfdisent.evaluation.probes import ProbeData
from tfdisent.feature.contract import DISCRETE
from tfdisent.registry import register_measurement


@register_measurement("bound")
class Bound(Measurement):
  """The bound of each part of f; a continuous part in ten classes."""

  stage = "the bound of I(z̃2; x̂ | z1)"
  figures = (
    Figure("bound/nats", "high"),
    Figure("bound/ceiling_nats"),
    Figure("bound/ratio", "high", column=True),
  )

  def measure(self, case: Case) -> Metrics:
    classes = [part.target if part.feature.kind == DISCRETE else cells(part.f) for part in case.parts]
    asked = [{role: c[case.pairs.partner[role]] for role, c in of_part.items()} for of_part in classes]
    bounds = information_bounds(case.z1_fusion, case.fusion, asked, case.seed)
    return {
      part.key(f"bound/{name}"): figure for part, bound in zip(case.parts, bounds) for name, figure in bound.items()
    }


def information_bound(
  z1: ProbeData, x_fusion: ProbeData, target: ProbeData, seed: int = 0, epochs: int = 15
) -> dict[str, dict]:
  """The bound of I(z̃2; x̂ | z1), its ceiling and their ratio, on "score".

  Args:
    z1: the codes that the fusions were made from, float [N, Z] for each of "fit", "select" and "score".
    x_fusion: the fusions, uint8 [N, H, W, C] for each role.
    target: the class of z̃2 that each was made with, int [N] for each role; independent of z1.
    seed: of q.
    epochs: of the training of q, at most.

  Returns:
    `nats`, `ceiling_nats` = H(z̃2) and `ratio` of the two (at most 1), each with its interval over test examples.

  The entropy is an estimate from the test examples' classes c_i, and the intervals hold its error to first order: nats
  are the mean of log q_i - log p(c_i), with p the share of a class in "score", and H is that of -log p(c_i). They do
  not hold its bias, which makes both about (classes - 1) / (2 N) nats too low (Miller 1955).
  """
  (bound,) = information_bounds(z1, x_fusion, [target], seed, epochs)
  return bound


def information_bounds(
  z1: ProbeData, x_fusion: ProbeData, targets: Sequence[ProbeData], seed: int = 0, epochs: int = 15
) -> list[dict[str, dict]]:
  """`information_bound` of each of several targets, with one q that has a head for each: in the time of one."""
  read = read_parts(x_fusion, targets, seed, z1, epochs)
  return [_bound(logits, target) for logits, target in zip(read, targets)]


def _bound(logits: np.ndarray, target: ProbeData) -> dict[str, dict]:
  """Of the classes of "score", from what q says of them, [N, classes of "fit"]."""
  known = target["score"] < logits.shape[1]
  log_q = np.full(len(known), np.log(1e-6))  # of a class that q was never shown
  log_q[known] = log_softmax(logits.astype(np.float64), axis=1)[known, target["score"][known]]
  surprise = -np.log(_shares(target["score"]))
  columns = np.stack([log_q + surprise, surprise], axis=1)
  return {
    "nats": with_interval(columns),
    "ceiling_nats": with_interval(surprise, within=(0, None)),
    "ratio": with_interval(columns, lambda means: means[..., 0] / means[..., 1], within=(None, 1)),
  }


def _shares(classes: np.ndarray) -> np.ndarray:
  """How frequent the class of each example is among int classes [N], [N] in (0, 1]."""
  _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
  return counts[inverse] / len(classes)


def entropy(classes: np.ndarray) -> float:
  """H in nats of int classes [N], from their frequencies (the plug-in estimate)."""
  return float(-np.mean(np.log(_shares(classes))))


def cells(f: ProbeData, count: int = 10, seed: int = 0) -> ProbeData:
  """Classes c(f) [N] of a continuous f [N, K]: the nearest of `count` centres, found by k-means on "fit".

  There are fewer where "fit" has fewer values.
  """
  from sklearn.cluster import KMeans  # a training needs none of it

  count = min(count, len(np.unique(f["fit"], axis=0)))
  centres = KMeans(count, n_init=4, random_state=seed).fit(f["fit"])
  return {role: centres.predict(values).astype(np.int64) for role, values in f.items()}
