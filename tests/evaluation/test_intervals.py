"""Intervals with answers that are known by hand or by theory."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from tfdisent.evaluation import bootstrap_interval, median_with_interval, proportion_interval, with_interval


def test_the_bootstrap_is_the_textbooks():
  """Resample by resample, with the columns' means and any statistic of them."""
  x = np.random.default_rng(0).normal(3, 1, size=(50, 2))
  random_state = np.random.default_rng(4)
  means = [x[random_state.integers(50, size=50)].mean(0) for _ in range(200)]
  expected = np.quantile([first / second for first, second in means], [0.05, 0.95])
  ratio = lambda means: means[..., 0] / means[..., 1]  # noqa: E731
  np.testing.assert_allclose(bootstrap_interval(x, ratio, level=0.9, resamples=200, seed=4), expected, rtol=1e-9)
  assert bootstrap_interval(x) == bootstrap_interval(x, lambda means: means[..., 0], 0.95, 1000, 0)
  assert bootstrap_interval(x[:, 0]) == pytest.approx(bootstrap_interval(x), rel=1e-9)


def test_the_interval_of_a_mean_is_the_textbooks():
  values = np.random.default_rng(0).normal(5, 2, size=400)
  figure = with_interval(values)
  half = 1.96 * values.std() / 20
  assert figure["value"] == pytest.approx(values.mean(), rel=1e-9)
  assert figure["low"] == pytest.approx(values.mean() - half, abs=0.02)
  assert figure["high"] == pytest.approx(values.mean() + half, abs=0.02)
  assert (figure["low"], figure["high"]) == bootstrap_interval(values)


def test_resamples_are_not_kept():
  """The draws of 20,000 examples would fill 160 MB, and stay."""
  values = np.random.default_rng(0).random(20_000)
  bootstrap_interval(values, resamples=2)
  tracemalloc.start()
  try:
    bootstrap_interval(values)
    kept, peak = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert peak < 2e6 and kept < 1e5


@pytest.mark.parametrize(
  ("hits", "count", "low", "high"),
  [
    (288, 288, 0.025 ** (1 / 288), 1),  # a perfect score has a width, too
    (0, 288, 0, 1 - 0.025 ** (1 / 288)),
    (7, 10, 0.3475471, 0.9332605),  # Clopper & Pearson
  ],
)
def test_a_proportion_has_the_interval_of_clopper_and_pearson(hits, count, low, high):
  figure = with_interval(np.arange(count) < hits)
  assert figure.pop("range") == [0, 1]
  assert figure == pytest.approx({"value": hits / count, "low": low, "high": high}, abs=1e-6)
  assert (figure["low"], figure["high"]) == proportion_interval(np.arange(count) < hits)


def test_288_of_288():
  figure = with_interval(np.ones(288, bool))
  assert (round(figure["low"], 3), figure["high"]) == (0.987, 1)


def test_the_level_of_a_proportion():
  low, high = proportion_interval(np.arange(10) < 7, 0.5)
  assert stats.binom.cdf(6, 10, low) == pytest.approx(0.75) and stats.binom.cdf(7, 10, high) == pytest.approx(0.25)


def test_numbers_are_no_proportion():
  """Zeros and ones that are numbers are bootstrapped: what a figure is, its array says."""
  values = np.arange(20) < 13
  figure = with_interval(values.astype(float))
  assert (figure["low"], figure["high"]) == bootstrap_interval(values) and "range" not in figure
  both = with_interval(np.stack([values, ~values], 1), lambda means: means[..., 0] - means[..., 1])
  assert both["value"] == pytest.approx(0.3) and "range" not in both


def test_the_interval_of_a_proportion_covers():
  """Whatever the truth is, it lies within at least 95 % of the intervals that it leads to, and not within all."""
  count = 30
  low, high = np.transpose([proportion_interval(np.arange(count) < hits) for hits in range(count + 1)])
  truths = np.linspace(0.2, 0.8, 61)
  covered = [np.sum(stats.binom.pmf(np.arange(31), count, p)[(low <= p) & (p <= high)]) for p in truths]
  assert 0.95 <= min(covered) < max(covered) < 0.99


def test_the_interval_of_a_statistic_of_two_means():
  x = np.random.default_rng(0).normal(3, 1, size=1000)
  figure = with_interval(np.stack([x, x * x], 1), lambda means: means[..., 1] - means[..., 0] ** 2)
  assert figure["value"] == pytest.approx(x.var()) and figure["low"] < x.var() < figure["high"]
  assert figure["high"] - figure["low"] == pytest.approx(2 * 1.96 * math.sqrt(2 / 1000), rel=0.05)


def test_a_median_has_the_interval_of_its_resamples():
  values = np.random.default_rng(0).exponential(size=501)
  random_state = np.random.default_rng(0)
  medians = np.sort([np.sort(values[random_state.integers(501, size=501)])[250] for _ in range(1000)])
  low, high = np.interp([0.025 * 999, 0.975 * 999], np.arange(1000), medians)
  figure = median_with_interval(values)
  assert figure == pytest.approx({"value": np.sort(values)[250], "low": low, "high": high}, rel=1e-9)
  order = stats.binom.ppf([0.025, 0.975], 501, 0.5).astype(int)  # the order statistics that bound the median
  np.testing.assert_allclose([low, high], np.sort(values)[order], rtol=0.03)
  assert median_with_interval(values, within=(0, None)) == {**figure, "range": [0, None]}


def test_a_figure_keeps_the_range_that_it_is_given():
  values = np.array([0.5, 1.5])
  assert "range" not in with_interval(values)
  for within in ((0, None), (None, 1), (-1, 1)):
    assert with_interval(values, within=within)["range"] == list(within)


def test_a_figure_that_is_infinite_has_no_interval():
  assert with_interval(np.array([1.0, math.inf])) == {"value": math.inf}
  assert with_interval(np.array([1.0, math.inf]), within=(0, None)) == {"value": math.inf, "range": [0, None]}
