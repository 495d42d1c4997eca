"""Measures of images and of features, as pure functions of arrays.

Images are uint8 [N, H, W, C]. What is measured on the *ink* takes images of ink on black, in any one colour.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
from scipy import stats

# --- Spread -----------------------------------------------------------------------------------------------------------

Range = tuple[float | None, float | None]
"""The least and the largest value that a figure can have; None where there is no such value."""


def _first(means: np.ndarray) -> np.ndarray:
  return means[..., 0]


def bootstrap_interval(
  columns: np.ndarray,
  statistic: Callable[[np.ndarray], np.ndarray] = _first,
  level: float = 0.95,
  resamples: int = 1000,
  seed: int = 0,
) -> tuple[float, float]:
  """The percentile bootstrap interval (Efron 1979) of a statistic over examples.

  The same seed resamples the same examples, so that intervals of two measures on one test set go together. The memory
  that it needs is that of the columns, however many resamples there are.

  Args:
    columns: one or more numbers per example, [N] or [N, M].
    statistic: of their means [..., M] to [...]; the default is the mean of the first.
    level: share of the resamples that lies within.
    resamples: how often N examples are drawn with replacement.
    seed: of the draws.

  Returns:
    (low, high), in the statistic's unit.
  """
  columns = _columns(columns)
  count, random_state = len(columns), np.random.default_rng(seed)
  means = [
    np.bincount(random_state.integers(count, size=count), minlength=count) @ columns / count for _ in range(resamples)
  ]
  low, high = np.quantile(statistic(np.stack(means)), [(1 - level) / 2, (1 + level) / 2])
  return float(low), float(high)


def proportion_interval(hits: np.ndarray, level: float = 0.95) -> tuple[float, float]:
  """The interval (low, high) of a proportion (Clopper & Pearson 1934), from bool [N].

  It covers the truth in at least `level` of the cases, whatever N and the truth are. A bootstrap does not: of a perfect
  score every resample is perfect, and the interval has no width.
  """
  interval = stats.binomtest(int(np.sum(hits)), len(hits)).proportion_ci(level, method="exact")
  return float(interval.low), float(interval.high)


def with_interval(
  columns: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray] = _first, within: Range = (None, None)
) -> dict:
  """`{"value": …, "low": …, "high": …, "range": …}`: a statistic over examples and its 95 % interval.

  The mean of bool [N] is a proportion and has a `proportion_interval`; all else has a `bootstrap_interval`. What is
  infinite (the PSNR of a perfect x') has no interval.

  Args:
    columns: bool [N], or one or more numbers per example, [N] or [N, M].
    statistic: of their means [..., M] to [...]; the default is the mean of the first.
    within: the range that the figure cannot leave, which is kept beside it for intervals over several runs; [0, 1] of a
      proportion. The figure has no "range" where neither end is known.
  """
  columns = np.asarray(columns)
  if columns.dtype == bool and columns.ndim == 1 and statistic is _first:
    return _figure(np.mean(columns), proportion_interval(columns), (0, 1))
  columns = _columns(columns)
  interval = bootstrap_interval(columns, statistic) if np.isfinite(columns).all() else None
  return _figure(statistic(columns.mean(0)), interval, within)


def median_with_interval(values: np.ndarray, within: Range = (None, None)) -> dict:
  """`with_interval` of the median of numbers [N]."""
  values, random_state = np.asarray(values, np.float64), np.random.default_rng(0)
  medians = [np.median(values[random_state.integers(len(values), size=len(values))]) for _ in range(1000)]
  return _figure(np.median(values), np.quantile(medians, [0.025, 0.975]), within)


def _figure(value, interval, within: Range) -> dict:
  figure = {"value": float(value)}
  if interval is not None:
    figure |= {"low": float(interval[0]), "high": float(interval[1])}
  return figure if tuple(within) == (None, None) else {**figure, "range": list(within)}


def _columns(columns):
  columns = np.asarray(columns, np.float64)
  return columns.reshape(len(columns), -1)


# --- Pairs ------------------------------------------------------------------------------------------------------------


def other_feature(f: np.ndarray, random_state: np.random.Generator) -> np.ndarray:
  """For each example the row [N] of a partner x̃ drawn at random among those with another f, from f [N, width].

  Raises:
    ValueError: all examples have the same f.
  """
  if not np.ptp(f, axis=0).any():
    raise ValueError("all examples have the same feature: there is no other one to ask for.")
  partner = random_state.permutation(len(f))
  while (same := np.flatnonzero((f == f[partner]).all(1))).size:
    partner[same] = random_state.integers(len(f), size=same.size)
  return partner


# --- Ink --------------------------------------------------------------------------------------------------------------


def measured_color(image: np.ndarray) -> np.ndarray:
  """The mean RGB of the ink, [N, 3] in [0, 1].

  It is Σ v·rgb / Σ v with v a pixel's largest channel.
  """
  image = image.astype(np.float32) / 255
  weight = image.max(axis=3, keepdims=True)
  return (weight * image).sum((1, 2)) / np.maximum(weight.sum((1, 2)), 1e-6)


def ink(image: np.ndarray) -> np.ndarray:
  """How much ink a pixel has, float32 [N, H, W] in [0, 1]: its largest channel, relative to the image's largest."""
  value = image.max(axis=3).astype(np.float32)
  return value / np.maximum(value.max((1, 2), keepdims=True), 1)


def ink_iou(image: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Intersection over union of the pixels that have at least half of the ink, [N] in [0, 1]; 1 where neither has any.

  Jaccard (1912), on masks that do not depend on the colour.
  """
  a, b = ink(image) >= 0.5, ink(other) >= 0.5
  union = (a | b).sum((1, 2))
  return np.where(union, (a & b).sum((1, 2)) / np.maximum(union, 1), 1.0)


def slant(image: np.ndarray) -> np.ndarray:
  """The slant of a stroke or a letter in degrees, [N] in (-90, 90), positive where it leans to the right.

  It is arctan(μ11 / μ02), with μ the central moments of the ink: the angle of the shear that makes the moments upright,
  as used to deskew digits (Teow & Loe 2002). 0 where there is no ink, or no height.
  """
  mu11, mu02, _ = _central_moments(ink(image))
  return np.degrees(np.arctan(np.where(mu02 > 1e-6, mu11 / np.maximum(mu02, 1e-6), 0.0)))


def _central_moments(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """μ11, μ02 and μ20, [N] each, of weights [N, H, W] that are made to sum to 1; x to the right, y up."""
  weight = weight / np.maximum(weight.sum((1, 2), keepdims=True), 1e-6)
  up, right = -np.arange(weight.shape[1])[:, None], np.arange(weight.shape[2])[None, :]
  up = up - (weight * up).sum((1, 2), keepdims=True)
  right = right - (weight * right).sum((1, 2), keepdims=True)
  return (weight * right * up).sum((1, 2)), (weight * up * up).sum((1, 2)), (weight * right * right).sum((1, 2))


def axis(image: np.ndarray) -> np.ndarray:
  """The angle of the principal axis of the ink in degrees, [N] in (-90, 90], from the x axis towards the top.

  Of the moments of the pixels that have at least half of the ink (Hu 1962): θ = arctan2(2 μ11, μ20 - μ02) / 2.
  """
  mu11, mu02, mu20 = _central_moments((ink(image) >= 0.5).astype(np.float32))
  return np.degrees(np.arctan2(2 * mu11, mu20 - mu02)) / 2


def angle_error(a: np.ndarray, b: np.ndarray, turn: float = 360.0) -> np.ndarray:
  """The smallest difference of angles a and b that are known up to `turn`, [N] in [0, turn / 2], in their unit."""
  return np.abs((a - b + turn / 2) % turn - turn / 2)


def stroke_thickness(image: np.ndarray) -> np.ndarray:
  """The mean width of the strokes in pixels, [N]: twice the area of the ink by the length of its outline.

  The outline is the total variation of the ink (the coarea formula), so soft edges are measured like sharp ones. The
  ends of a stroke count, too: one of width w and length l measures w l / (w + l). 0 where there is no ink.
  """
  padded = np.pad(ink(image), ((0, 0), (1, 1), (1, 1)))
  a, b, c, d = padded[:, :-1, :-1], padded[:, :-1, 1:], padded[:, 1:, :-1], padded[:, 1:, 1:]  # cells of four pixels
  outline = np.hypot((b - a + d - c) / 2, (c - a + d - b) / 2).sum((1, 2))
  return 2 * padded.sum((1, 2)) / np.maximum(outline, 1e-6)


# --- Quality ----------------------------------------------------------------------------------------------------------


def psnr(x: np.ndarray, x_rec: np.ndarray) -> np.ndarray:
  """PSNR in dB of each reconstruction, [N]: 10 log10(255² / mean squared error); infinite on a perfect one."""
  return _in_batches(lambda a, b: tf.image.psnr(a, b, 255), x, x_rec)


def ssim(x: np.ndarray, x_rec: np.ndarray) -> np.ndarray:
  """Structural similarity of each reconstruction, [N] in [-1, 1] (Wang et al. 2004; `tf.image.ssim`).

  The Gaussian window is of 11 pixels, or as large as a smaller image.
  """
  size = min(11, *x.shape[1:3])
  return _in_batches(lambda a, b: tf.image.ssim(a, b, 255, filter_size=size), x, x_rec)


def _in_batches(function, *arrays, size=1000):
  starts = range(0, len(arrays[0]), size)
  return np.concatenate([function(*(array[start : start + size] for array in arrays)).numpy() for start in starts])


def fid(features: np.ndarray, other: np.ndarray) -> float:
  """Fréchet distance of two sets [N, D] and [M, D] of an extractor's features (Heusel et al. 2017).

  With normal distributions fitted to both, ‖μ - μ'‖² + tr(Σ + Σ' - 2 (Σ^½ Σ' Σ^½)^½). At least 0; it is biased upwards
  for small sets, so only sets of one size compare.
  """
  features, other = features.astype(np.float64), other.astype(np.float64)
  covariance, other_covariance = (np.atleast_2d(np.cov(a, rowvar=False)) for a in (features, other))
  eigenvalues, vectors = np.linalg.eigh(covariance)
  root = (vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ vectors.T
  cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0)).sum()
  distance = np.square(features.mean(0) - other.mean(0)).sum()
  return float(max(0.0, distance + np.trace(covariance) + np.trace(other_covariance) - 2 * cross))


def kid(
  features: np.ndarray, other: np.ndarray, random_state: np.random.Generator, size: int = 1000, subsets: int = 20
) -> float:
  """Kernel distance of two sets [N, D] and [M, D] of an extractor's features (Bińkowski et al. 2018).

  The unbiased estimate of MMD² with the kernel (a·b / D + 1)³, averaged over random subsets of `size`. It may be
  below 0.
  """
  size = min(size, len(features), len(other))

  def mean_off_diagonal(kernel):
    return (kernel.sum() - np.trace(kernel)) / (size * (size - 1))

  estimates = []
  for _ in range(subsets):
    a = features[random_state.permutation(len(features))[:size]].astype(np.float64)
    b = other[random_state.permutation(len(other))[:size]].astype(np.float64)
    aa, bb, ab = ((u @ v.T / a.shape[1] + 1) ** 3 for u, v in ((a, a), (b, b), (a, b)))
    estimates.append(mean_off_diagonal(aa) + mean_off_diagonal(bb) - 2 * ab.mean())
  return float(np.mean(estimates))
