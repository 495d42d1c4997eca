"""Figures of a set of examples, with their 95 % intervals."""

from collections.abc import Callable

import numpy as np
from scipy import stats

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
