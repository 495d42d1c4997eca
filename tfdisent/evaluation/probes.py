"""Leakage: how well f can be read from a representation by a probe that was not there when the model was trained.

What a probe may see is fixed by its arguments, mappings with the keys

  "fit"     the probe and its scaler are fitted on these alone,
  "select"  the probe stops early by its score or loss on these alone,
  "score"   the probe is scored on these, once,

so the four disjoint sets of the protocol are these three and the model's own training set. A representation is any
float array [N, Z]: the codes of a model or of a baseline, pixels, … Targets are int classes [N], or float [N, K].

What a probe reads is told in two units: as accuracy or R², and as the information that its family V can use, in nats
(V-information, Xu et al. 2020),

  I_V(z1 → f) = H_V(f) - H_V(f | z1),

the cross-entropies on "score" of the best predictor in V that sees nothing, and of the best one that sees z1. Both
learn on "fit". V-information counts how sure a probe is, where accuracy counts its first guess alone: a probe that
rules out eight of ten digits and then guesses wrong has used much. It may be negative: a probe that is sure and wrong
does worse than one that sees nothing. It is then shown as it is.

The estimators of scikit-learn are imported where they are used: a training needs none.
"""

import copy
import itertools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from tfdisent.evaluation.intervals import with_interval

PROBES = ("linear", "mlp", "trees")

ProbeData = Mapping[str, np.ndarray]
"""Arrays by their role, "fit", "select" and "score": what a probe is fitted on, stopped early on, and scored on."""
LEAST = 1e-6
"""No class counts as less likely, and no error as smaller in units of the spread: a single class that a probe was never
shown, or a number that is read exactly, would make its information infinite."""


class Fitted(NamedTuple):
  """A fitted probe, as functions of codes [N, Z].

  Attributes:
    predict: gives classes [N], or float [N, K].
    probabilities: gives those of `classes`, [N, len(classes)]; None where numbers are read.
    classes: that the probe was shown.
  """

  predict: Callable[[np.ndarray], np.ndarray]
  probabilities: Callable[[np.ndarray], np.ndarray] | None = None
  classes: np.ndarray | None = None


def leakage(representation: ProbeData, target: ProbeData, probe: str = "mlp", seed: int = 0) -> dict[str, float]:
  """How well a probe reads the target from a representation, on "score".

  Args:
    representation: float [N, Z] for each role.
    target: int classes [N] for each role, or float [N, K].
    probe: "linear" (logistic or ridge regression), "mlp" (two hidden layers of 256) or "trees" (gradient boosting).
    seed: of the probe.

  Returns:
    The accuracy in [0, 1] of classes, or R² (at most 1; 0 is what the mean tells) averaged over the K components, with
    its interval: see `score`.
  """
  return score(target["score"], predict(representation, target, probe, seed))


def usable_information(
  representation: ProbeData, target: ProbeData, probe: str = "mlp", seed: int = 0
) -> dict[str, float]:
  """What a probe's family can use of a representation to tell the target, on "score", in nats, with its interval.

      z = {role: np.eye(10)[y] for role, y in label.items()}
      usable_information(z, label, "linear")["value"]  # almost ln 10 = 2.30, if the ten are equally frequent

  The arguments are those of `leakage`. Of classes [N] it is the mean of log p(f | z1) - log p(f), with p(f | z1) the
  probabilities that the probe gives and p(f) the frequencies in "fit"; at most `ceiling`. Of numbers [N, K] the
  predictors are Gaussians around what is read, with the variance of its errors: Σ_k ½ ln(var_k / mse_k), that is
  -½ Σ_k ln(1 - R²_k), and it has no ceiling.
  """
  return leakage_and_nats(representation, target, probe, seed)[1]


def leakage_and_nats(representation: ProbeData, target: ProbeData, probe: str, seed: int) -> tuple[dict, dict]:
  """`leakage` and `usable_information`, of one fit."""
  fitted, z = _fitted(representation, target, probe, seed)
  truth, read = target["score"], fitted.predict(z)
  if not is_classes(truth):
    columns = _moments(truth, read)
    nats = with_interval(columns, lambda means: -np.log(np.maximum(_unexplained(means), LEAST**2)).sum(-1) / 2)
    return score(truth, read), nats
  log_p = _log_likelihood(truth, fitted.probabilities(z), fitted.classes)
  return score(truth, read), with_interval(log_p - _log_frequency(target))


def ceiling(target: ProbeData) -> dict[str, float]:
  """H_V(f) of classes, in nats: the cross-entropy on "score" of the frequencies in "fit"; what all there is to tell."""
  return with_interval(-_log_frequency(target), within=(0, None))


def _log_frequency(target: ProbeData) -> np.ndarray:
  """The logarithm of how frequent the class of each example of "score" is in "fit", [N]."""
  classes, counts = np.unique(target["fit"], return_counts=True)
  return _log_likelihood(target["score"], (counts / counts.sum())[None], classes)


def _log_likelihood(truth: np.ndarray, probabilities: np.ndarray, classes: np.ndarray) -> np.ndarray:
  """The logarithm of the probability [N] of each true class [N]; from those of sorted `classes`, [N, K] or [1, K]."""
  place = np.minimum(np.searchsorted(classes, truth), len(classes) - 1)
  p = np.broadcast_to(probabilities, (len(truth), len(classes)))[np.arange(len(truth)), place]
  return np.log(np.maximum(np.where(classes[place] == truth, p, 0), LEAST, dtype=np.float64))


def predict(representation: ProbeData, target: ProbeData, probe: str = "mlp", seed: int = 0) -> np.ndarray:
  """What a probe reads from "score": classes [N], or float [N, K]; the arguments are those of `leakage`."""
  fitted, z = _fitted(representation, target, probe, seed)
  return fitted.predict(z)


def _fitted(representation: ProbeData, target: ProbeData, probe: str, seed: int) -> tuple[Fitted, np.ndarray]:
  """A probe, and the codes of "score" as it takes them; it gives numbers in the units of the target."""
  from sklearn.preprocessing import StandardScaler

  scaler = _fit_scaler(representation["fit"])
  z = {role: scaler.transform(values).astype(np.float32, copy=False) for role, values in representation.items()}
  if is_classes(target["fit"]):
    # Few images of many classes leave nothing else to stop by.
    if "select" in target and not np.isin(target["select"], target["fit"]).any():
      z, target = ({**of, "select": of["fit"]} for of in (z, target))
    return _FITS[probe](z, target, seed), z["score"]
  unit, width = StandardScaler().fit(target["fit"]), target["fit"].shape[1]
  fitted = _FITS[probe](z, {role: unit.transform(values) for role, values in target.items()}, seed)
  return Fitted(lambda z: unit.inverse_transform(fitted.predict(z).reshape(-1, width))), z["score"]


def _fit_scaler(values: np.ndarray) -> Any:
  """Mean and spread of values [N, Z]; fitted by slices, since scikit-learn makes a float64 copy of what it is given."""
  from sklearn.preprocessing import StandardScaler

  scaler, rows = StandardScaler(), max(1, 2**23 // values.shape[1])
  for start in range(0, len(values), rows):
    scaler.partial_fit(values[start : start + rows])
  return scaler


def score(target: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
  """The accuracy of predicted classes [N], or the mean R² of predicted numbers [N, K], with its 95 % interval.

  Numbers that are the same in all images are left out; where all are, R² is 0.
  """
  if is_classes(target):
    return with_interval(target == prediction)
  return with_interval(
    _moments(target, prediction), lambda means: np.mean(1 - _unexplained(means), -1), within=(None, 1)
  )


def _moments(target: np.ndarray, prediction: np.ndarray) -> np.ndarray:
  """The squared errors of numbers [N, K], the numbers and their squares, [N, 3 K]: what R² is a function of.

  Of the K those that are the same in all images tell nothing, and are left out unless all are.
  """
  if (varies := np.ptp(target, axis=0) > 0).any():
    target, prediction = target[:, varies], prediction[:, varies]
  y = np.float64(target) - np.mean(target, axis=0, dtype=np.float64)  # centred: else the mean would drown the variance
  return np.stack([np.square(np.float64(target) - prediction), y, y * y], axis=1).reshape(len(y), -1)


def _unexplained(means: np.ndarray) -> np.ndarray:
  """The share mse / var of each number that is not read, [..., K], from the means of `_moments`; 1 without variance."""
  residual, mean, square = np.moveaxis(means.reshape(*means.shape[:-1], 3, -1), -2, 0)
  variance = square - mean * mean
  return np.divide(residual, variance, out=np.ones_like(residual), where=variance > 1e-12 * np.maximum(square, 1e-12))


def chance(target: ProbeData) -> dict[str, float]:
  """What a probe scores that knows nothing: the share of the most frequent class; an R² of 0."""
  if is_classes(target["fit"]):
    return with_interval(target["score"] == np.bincount(target["fit"]).argmax())
  return {"value": 0.0}


def is_classes(target: np.ndarray) -> bool:
  """Whether a target is int classes [N], and not float [N, K]."""
  return target.dtype.kind in "iu"


# --- The probes: from standardised parts to a function that predicts --------------------------------------------------


def _fit_linear(z, target, seed):
  """Logistic or ridge regression; so little regularised that there is nothing to stop early."""
  from sklearn.linear_model import LogisticRegression, Ridge

  if is_classes(target["fit"]):
    model = LogisticRegression(C=1.0, max_iter=1000).fit(z["fit"], target["fit"])
    return Fitted(model.predict, model.predict_proba, model.classes_)
  return Fitted(Ridge(alpha=1.0).fit(z["fit"], target["fit"]).predict)


def _fit_mlp(z, target, seed):
  """Two hidden layers of 256; the epoch that scores best on "select" is kept, and ten that are no better end the fit.

  scikit-learn's own early stopping would take its validation from the training data. The probabilities are those of the
  epoch with the lowest cross-entropy on "select": an MLP goes on growing surer long after it has stopped growing right.
  """
  from sklearn.neural_network import MLPClassifier, MLPRegressor

  arguments = {"hidden_layer_sizes": (256, 256), "batch_size": min(128, len(z["fit"])), "random_state": seed}
  classes = is_classes(target["fit"])
  mlp = MLPClassifier(**arguments) if classes else MLPRegressor(**arguments)
  first = {"classes": np.unique(target["fit"])} if classes else {}
  best, best_score, best_epoch, sure, most = None, -np.inf, 0, None, -np.inf
  for epoch in range(100):
    mlp.partial_fit(z["fit"], target["fit"], **(first if not epoch else {}))
    if classes:
      log_p = _log_likelihood(target["select"], mlp.predict_proba(z["select"]), mlp.classes_).mean()
      sure, most = (copy.deepcopy(mlp), log_p) if log_p > most else (sure, most)
    if (now := mlp.score(z["select"], target["select"])) > best_score:
      best, best_score, best_epoch = copy.deepcopy(mlp), now, epoch
    elif epoch - best_epoch >= 10:
      break
  return Fitted(best.predict, sure.predict_proba, sure.classes_) if classes else Fitted(best.predict)


def _fit_trees(z, target, seed, iterations=200):
  """Histogram gradient boosting (Ke et al. 2017), stopped early by its loss on "select".

  The probabilities are those of as many trees as have the lowest loss: ten more were grown to see it.
  """
  from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

  arguments = {"max_iter": iterations, "early_stopping": True, "n_iter_no_change": 10, "random_state": seed}
  if is_classes(target["fit"]):
    known = np.isin(target["select"], target["fit"])
    validation = {"X_val": z["select"][known], "y_val": target["select"][known]}
    model = HistGradientBoostingClassifier(**arguments).fit(z["fit"], target["fit"], **validation)
    before = max(0, int(np.argmax(model.validation_score_)) - 1)  # the first score is that of no tree at all
    staged = lambda test: next(itertools.islice(model.staged_predict_proba(test), before, None))  # noqa: E731
    return Fitted(model.predict, staged, model.classes_)
  trees = [
    HistGradientBoostingRegressor(**arguments).fit(
      z["fit"], target["fit"][:, k], X_val=z["select"], y_val=target["select"][:, k]
    )
    for k in range(target["fit"].shape[1])
  ]
  return Fitted(lambda test: np.stack([component.predict(test) for component in trees], axis=1))


_FITS = dict(zip(PROBES, (_fit_linear, _fit_mlp, _fit_trees)))
