"""Leakage: how well f can be read from a representation by a probe that was not there when the model was trained.

What a probe may see is fixed by its arguments, mappings with the keys

  "fit"     the probe and its scaler are fitted on these alone,
  "select"  the probe stops early by its score or loss on these alone,
  "score"   the probe is scored on these, once,

so the four disjoint sets of the protocol are these three and the model's own training set. A representation is any
float array [N, Z]: the codes of a model or of a baseline, pixels, … Targets are int classes [N], or float [N, K].
"""

import copy
from collections.abc import Mapping

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

from tfdisent.evaluation.intervals import with_interval

PROBES = ("linear", "mlp", "trees")

ProbeData = Mapping[str, np.ndarray]
"""Arrays by their role, "fit", "select" and "score": what a probe is fitted on, stopped early on, and scored on."""


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


def predict(representation: ProbeData, target: ProbeData, probe: str = "mlp", seed: int = 0) -> np.ndarray:
  """What a probe reads from "score": classes [N], or float [N, K]; the arguments are those of `leakage`."""
  scaler = _fit_scaler(representation["fit"])
  z = {role: scaler.transform(values).astype(np.float32, copy=False) for role, values in representation.items()}
  if is_classes(target["fit"]):
    return _FITS[probe](z, target, seed)(z["score"])
  unit = StandardScaler().fit(target["fit"])
  read = _FITS[probe](z, {role: unit.transform(values) for role, values in target.items()}, seed)
  return unit.inverse_transform(read(z["score"]).reshape(target["score"].shape))


def _fit_scaler(values: np.ndarray) -> StandardScaler:
  """Mean and spread of values [N, Z]; fitted by slices, since scikit-learn makes a float64 copy of what it is given."""
  scaler, rows = StandardScaler(), max(1, 2**23 // values.shape[1])
  for start in range(0, len(values), rows):
    scaler.partial_fit(values[start : start + rows])
  return scaler


def score(target: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
  """The accuracy of predicted classes [N], or the mean R² of predicted numbers [N, K], with its 95 % interval."""
  if is_classes(target):
    return with_interval(target == prediction)
  y = np.float64(target) - np.mean(target, axis=0, dtype=np.float64)  # centred: R² is then a function of three means
  columns = np.stack([np.square(np.float64(target) - prediction), y, y * y], axis=1).reshape(len(y), -1)

  def r_squared(means):
    residual, mean, square = np.moveaxis(means.reshape(*means.shape[:-1], 3, -1), -2, 0)
    return np.mean(1 - residual / (square - mean * mean), axis=-1)

  return with_interval(columns, r_squared, within=(None, 1))


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
  if is_classes(target["fit"]):
    return LogisticRegression(C=1.0, max_iter=1000).fit(z["fit"], target["fit"]).predict
  return Ridge(alpha=1.0).fit(z["fit"], target["fit"]).predict


def _fit_mlp(z, target, seed):
  """Two hidden layers of 256; the epoch that scores best on "select" is kept, and ten that are no better end the fit.

  scikit-learn's own early stopping would take its validation from the training data.
  """
  arguments = {"hidden_layer_sizes": (256, 256), "batch_size": min(128, len(z["fit"])), "random_state": seed}
  classes = is_classes(target["fit"])
  mlp = MLPClassifier(**arguments) if classes else MLPRegressor(**arguments)
  first = {"classes": np.unique(target["fit"])} if classes else {}
  best, best_score, best_epoch = None, -np.inf, 0
  for epoch in range(100):
    mlp.partial_fit(z["fit"], target["fit"], **(first if not epoch else {}))
    if (now := mlp.score(z["select"], target["select"])) > best_score:
      best, best_score, best_epoch = copy.deepcopy(mlp), now, epoch
    elif epoch - best_epoch >= 10:
      break
  return best.predict


def _fit_trees(z, target, seed, iterations=200):
  """Histogram gradient boosting (Ke et al. 2017), stopped early by its loss on "select"."""
  arguments = {"max_iter": iterations, "early_stopping": True, "n_iter_no_change": 10, "random_state": seed}
  if is_classes(target["fit"]):
    known = np.isin(target["select"], target["fit"])
    validation = {"X_val": z["select"][known], "y_val": target["select"][known]}
    return HistGradientBoostingClassifier(**arguments).fit(z["fit"], target["fit"], **validation).predict
  trees = [
    HistGradientBoostingRegressor(**arguments).fit(
      z["fit"], target["fit"][:, k], X_val=z["select"], y_val=target["select"][:, k]
    )
    for k in range(target["fit"].shape[1])
  ]
  return lambda test: np.stack([component.predict(test) for component in trees], axis=1)


_FITS = dict(zip(PROBES, (_fit_linear, _fit_mlp, _fit_trees)))
