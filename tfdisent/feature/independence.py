"""Correlated features: how much each training image counts, so that f is independent of what goes with it in the data.

Where digits have their own colours, the colour tells the digit, and an adversary that takes the digit out of z1 takes
the colour out, too. The wanted training set has p(f) p(c) where this one has p(f, c), with c a part of the complement
that is known. An image that counts

  w(x) = p(f) p(c) / p(f, c) = p(f) / p(f | c)

is as frequent as it would be there (importance weights: Shimodaira 2000). A classifier of scikit-learn estimates
p(f | c), for each image from others (cross-fitting), so that it does not know the image itself. Images are then *drawn*
in proportion to w, x and its partner x̃ each by itself, and every mean of the training is that of the wanted set: L_f of
a fusion counts w(x) w(x̃) so, and D, q and the adversary see it as well. Drawing is also steadier than weighting, where
rare images have large gradients (An et al. 2021).
"""

import warnings
from collections.abc import Sequence

import numpy as np

from tfdisent.console import say
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, TfdisentError, shown
from tfdisent.feature.choose import choose
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.feature.values import feature_values

FOLDS = 3
HALVINGS = 4
"""Of a continuous value that must be cut into cells: 16 of them, as frequent as each other."""

Part = tuple[Feature, np.ndarray]
"""A part of a feature, with its values [N, width]."""


class Independence:
  """Makes f independent of a complement by how often each training image is drawn.

  Args:
    dataset: its split `train` is drawn from.
    feature: f. Its parts that `names` name as well are the complement of the other ones.
    names: columns of the data set, or registered features: what goes together with f, and shall not. Empty for nothing.
    largest: the largest w(x), before all are divided by their mean. A combination that is rarer stays too rare.

  Raises:
    ConfigError: there is nothing of a name, its kind is unknown, or the images lack what it needs; or the names are all
      parts of f.
  """

  def __init__(self, dataset: Dataset, feature: Feature, names: Sequence[str], largest: float = 50.0):
    self._names, self._feature, self._largest = tuple(names), feature, largest
    if not largest >= 1:
      raise ConfigError(f"train.largest_weight = {shown(largest)} must be at least 1.")
    self._complement: list[Part] = []
    for name in names:
      try:
        found = choose(name, dataset).of_dataset(dataset).as_known
        self._complement += zip(found.parts, found.split(feature_values(found, dataset.train)))
      except TfdisentError as error:
        raise ConfigError(f"train.independent_of = {shown(self._names)}: {error}") from error
    taken = {*names, *(part.column for part, _ in self._complement)} - {None}
    parts = zip(feature.part_names, feature.parts)
    self._is_free = [not taken & {name, part.name, part.column} for name, part in parts]
    if not any(self._is_free):
      raise ConfigError(
        f"train.independent_of = {shown(self._names)} names all of the feature '{feature.name}': name what goes with "
        "it in the data, or all but one of its parts."
      )

  def frequency(self, f: np.ndarray) -> np.ndarray | None:
    """w(x) of each training image from all f(x) [N, width], float64 [N]; None where every image counts the same.

    It says in a line how many images of the same weight they count as.
    """
    if not self._names:
      return None
    parts = zip(self._feature.parts, self._feature.split(f), self._is_free)
    w = weights([(part, of) for part, of, is_free in parts if is_free], self._complement, self._largest)
    names, size = ", ".join(self._names), effective_size(w)
    say(f"Drawn as if f were independent of {names}: {len(w)} training images count as much as {size:.0f} that are.")
    return w


def weights(f: Sequence[Part], c: Sequence[Part], largest: float, seed: int = 0) -> np.ndarray:
  """w(x) of each image, float64 [N], of mean 1: see above.

  Where c is discrete and f is not, it is p(c) / p(c | f), which is the same and needs no cells.

  Args:
    f, c: what shall be independent of each other.
    largest: w is clipped to it, and then divided by its mean.
    seed: of the folds, and of the classifier.
  """
  from sklearn.ensemble import HistGradientBoostingClassifier  # it takes a second to import
  from sklearn.model_selection import StratifiedKFold, cross_val_predict

  if not _is_discrete(f) and _is_discrete(c):
    f, c = c, f
  label, count = classes(f), len(f[0][1])
  # Few leaves, drawn towards 0: the noise of p(f | c) is in w, and takes away from the effective size.
  learner = HistGradientBoostingClassifier(
    max_iter=60, max_leaf_nodes=15, l2_regularization=10.0, early_stopping=False, random_state=seed
  )
  folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
  with warnings.catch_warnings(action="ignore"):  # a class of two images is not in every fold
    p = cross_val_predict(learner, np.concatenate([of for _, of in c], 1), label, cv=folds, method="predict_proba")
  p_f_given_c = np.maximum(p[np.arange(count), label], 1e-12)
  w = np.minimum((np.bincount(label) / count)[label] / p_f_given_c, largest)
  return w / w.mean()


def effective_size(w: np.ndarray) -> float:
  """How many images of equal weight estimate a mean as well as these: (Σ w)² / Σ w²."""
  return float(w.sum() ** 2 / np.square(w).sum())


def classes(parts: Sequence[Part]) -> np.ndarray:
  """One class for each combination of values, int [N]; a continuous part is cut into cells."""
  columns = [of if part.kind == DISCRETE else _cells(of)[:, None] for part, of in parts]
  return np.unique(np.concatenate(columns, 1), axis=0, return_inverse=True)[1].reshape(-1)


def _is_discrete(parts: Sequence[Part]) -> bool:
  return all(part.kind == DISCRETE for part, _ in parts)


def _cells(values: np.ndarray) -> np.ndarray:
  """The cell of each of `values` [N, width]: cells are halved at the median, along their longest side."""
  cell = np.zeros(len(values), int)
  for _ in range(HALVINGS):
    halves = 2 * cell
    for number in np.unique(cell):
      rows = np.flatnonzero(cell == number)
      along = values[rows, np.argmax(np.ptp(values[rows], axis=0))]
      halves[rows] += along > np.median(along)
    cell = halves
  return cell
