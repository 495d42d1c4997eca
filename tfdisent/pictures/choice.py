"""Which examples and which values of f a picture shows."""

from collections.abc import Sequence

import numpy as np

from tfdisent.feature import convert
from tfdisent.feature.contract import DISCRETE, Feature


def pick(f: np.ndarray, feature: Feature, count: int = 10, seed: int = 0) -> np.ndarray:
  """Chooses up to `count` examples that show the range of f.

  Args:
    f: f of the examples, [N, width].
    feature: f itself. If it is discrete, one example of each class is chosen, else examples that are far apart.
    count: the number of examples, at most. Of more classes, some are left out evenly.
    seed: of the order in which examples are considered.

  Returns:
    The chosen rows of f, int [K]: by class, or by their natural form.
  """
  order = np.random.default_rng(seed).permutation(len(f))
  if feature.kind == DISCRETE:
    _, first = np.unique(f[order], axis=0, return_index=True)
    return _evenly(_in_order(f, feature, order[first]), count)
  order = order[:2000]  # the search takes N K steps
  chosen = [order[0]]
  distance = np.full(len(order), np.inf)
  while len(chosen) < min(count, len(order)):
    distance = np.minimum(distance, np.linalg.norm(f[order] - f[chosen[-1]], axis=1))
    chosen.append(order[np.argmax(distance)])
  return _in_order(f, feature, chosen)


def _in_order(f: np.ndarray, feature: Feature, rows: Sequence[int]) -> np.ndarray:
  """Rows of f in the order of their natural form: (cos, sin) would not sort angles, nor one-hot vectors classes."""
  keys = f if len(feature.parts) > 1 else np.reshape(feature.to_natural(f), (len(f), -1))
  return np.array(sorted(rows, key=lambda row: tuple(keys[row])))


def path(part: Feature, f: np.ndarray, count: int = 8) -> np.ndarray:
  """Values of one part through its range, float32 [K, width]: what a picture shows side by side.

  They are classes, a whole turn of an angle, a number from the lowest to the highest one, or evenly spaced points of a
  line through values that are far apart, as of colours.

  Args:
    part: the feature.
    f: f of examples, [N, width], which tell the range.
    count: the number of values, at most. Of more classes, some are left out evenly.
  """
  form = part.natural
  if isinstance(form, convert.Classes):
    return _evenly(np.eye(form.num_classes, dtype=np.float32), count)
  if isinstance(form, convert.Bit):
    return np.float32([[0], [1]])
  if part.kind == DISCRETE:
    return f[pick(f, part, count)]
  if isinstance(form, convert.Angle):
    return part.to_vector(((np.arange(count) + 1) / count - 0.5) * form.turn)
  natural = np.asarray(part.to_natural(f))
  if natural.ndim == 1:
    return part.to_vector(np.linspace(natural.min(), natural.max(), count))
  points = natural[pick(f, part, 4)]
  places = np.linspace(0, len(points) - 1, count)
  return part.to_vector(np.stack([np.interp(places, range(len(points)), column) for column in points.T], 1))


def _evenly(rows: np.ndarray, count: int) -> np.ndarray:
  """Up to `count` rows, with the first and the last."""
  return rows[np.unique(np.linspace(0, len(rows) - 1, min(count, len(rows))).round().astype(int))]
