"""Measures with answers that are known by hand or by theory."""

import math
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from tests.bands import draw
from tfdisent.evaluation import (
  angle_error,
  axis,
  bootstrap_interval,
  fid,
  ink,
  ink_iou,
  kid,
  measured_color,
  median_with_interval,
  other_feature,
  proportion_interval,
  psnr,
  slant,
  ssim,
  stroke_thickness,
  with_interval,
)

# --- Pairs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("f", [np.eye(3)[[0] * 90 + [1] * 9 + [2]], np.random.default_rng(0).random((100, 2))])
def test_the_other_feature_is_another_one_for_every_row(f):
  for seed in range(5):
    partner = other_feature(f, np.random.default_rng(seed))
    assert partner.shape == (100,) and (f != f[partner]).any(1).all()
  assert (partner != other_feature(f, np.random.default_rng(99))).any()
  np.testing.assert_array_equal(partner, other_feature(f, np.random.default_rng(seed)))


def test_partners_come_from_all_other_examples():
  f = np.eye(2)[np.arange(40) % 2]
  drawn = {int(row) for seed in range(30) for row in other_feature(f, np.random.default_rng(seed))[:1]}
  assert len(drawn) > 10 and all(row % 2 == 1 for row in drawn)


def test_one_feature_for_all_has_no_other():
  with pytest.raises(ValueError, match="same feature"):
    other_feature(np.ones([5, 2]), np.random.default_rng(0))


# --- Ink --------------------------------------------------------------------------------------------------------------


def test_measured_color_is_that_of_the_ink():
  image = np.rint(draw([0, 3], [[1, 0.2, 0], [0.4, 0.4, 0.8]]) * 255).astype(np.uint8)
  np.testing.assert_allclose(measured_color(image), [[1, 0.2, 0], [0.4, 0.4, 0.8]], atol=1e-6)
  assert measured_color(image).dtype == np.float32  # half the memory of many images


def test_measured_color_weighs_a_pixel_by_its_largest_channel():
  image = np.zeros([1, 1, 4, 3], np.uint8)
  image[0, 0, 0], image[0, 0, 1] = [255, 0, 0], [0, 51, 0]
  np.testing.assert_allclose(measured_color(image), [[1 / 1.2, 0.2 * 0.2 / 1.2, 0]], atol=1e-6)
  np.testing.assert_array_equal(measured_color(np.zeros([1, 4, 4, 3], np.uint8)), [[0, 0, 0]])  # no ink


def test_ink_is_the_largest_channel_relative_to_the_brightest_pixel():
  image = np.zeros([2, 1, 3, 3], np.uint8)
  image[0, 0] = [[200, 10, 0], [0, 100, 50], [0, 0, 20]]
  np.testing.assert_allclose(ink(image), [[[1, 0.5, 0.1]], [[0, 0, 0]]], rtol=1e-6)
  assert ink(image).dtype == np.float32


def of_gray(values):
  """One image [1, H, W, 3] of gray values [H, W]."""
  return np.repeat(np.array(values, np.uint8)[None, ..., None], 3, axis=3)


def noise(count=3, height=6, width=9):
  return np.random.default_rng(0).integers(256, size=(count, height, width, 3), dtype=np.uint8)


def moments(weight):
  """Mean and covariance of the place (right, up) of weights [H, W], by NumPy."""
  up, right = np.mgrid[: weight.shape[0], : weight.shape[1]] * np.reshape([-1, 1], (2, 1, 1))
  return np.cov([right.ravel(), up.ravel()], aweights=weight.ravel(), ddof=0)


def test_the_slant_is_the_regression_of_right_on_up():
  image = noise()
  weight = image.max(3) / image.max((1, 2, 3)).reshape(-1, 1, 1)
  expected = [np.degrees(np.arctan(c[0, 1] / c[1, 1])) for c in map(moments, weight)]
  np.testing.assert_allclose(slant(image), expected, rtol=1e-3)
  assert np.abs(expected).min() > 0.3


@pytest.mark.parametrize(("shift", "degrees"), [(0, 0), (1, 45), (-1, -45), (2, math.degrees(math.atan(2)))])
def test_the_slant_of_a_sheared_line(shift, degrees):
  """One pixel a row; each row up lies `shift` pixels to the right."""
  image = np.zeros([1, 5, 12, 3], np.uint8)
  image[0, np.arange(5), 6 - shift * (np.arange(5) - 2)] = 90
  assert slant(image)[0] == pytest.approx(degrees, abs=1e-4)


def test_a_flat_line_has_no_slant():
  assert slant(of_gray([[0, 0, 0], [9, 9, 9]]))[0] == 0


def test_the_axis_is_that_of_the_largest_variance_of_the_mask():
  image = noise()
  for angle, x in zip(axis(image), image):
    mask = x.max(2) >= x.max() / 2
    values, vectors = np.linalg.eigh(moments(mask))
    right, up = vectors[:, np.argmax(values)]
    assert angle_error(angle, np.degrees(np.arctan2(up, right)), 180.0) == pytest.approx(0, abs=1e-3)


@pytest.mark.parametrize(
  ("values", "degrees"),
  [
    ([[9, 9, 9]], 0),
    ([[9], [9], [9]], 90),
    ([[0, 0, 9], [0, 9, 0], [9, 0, 0]], 45),
    ([[9, 0, 0], [0, 9, 0], [0, 0, 9]], -45),
    ([[254, 127, 126]], 0),
    ([[254, 0], [127, 0]], 90),  # half of the ink counts
    ([[254, 254], [126, 0]], 0),  # less does not
  ],
)
def test_the_axis_of_a_line(values, degrees):
  assert axis(of_gray(values))[0] == pytest.approx(degrees, abs=1e-4)


def test_the_thickness_of_a_rectangle():
  """Its outline by cells of four pixels: the sides, and √½ at each corner, where two lengths of ½ meet."""
  image = np.zeros([2, 9, 9, 1], np.uint8)
  image[0, 2:5, 1:8], image[1, :, :4] = 200, 7  # the second touches the border
  outline = np.array([2 * (3 - 1) + 2 * (7 - 1), 2 * (9 - 1) + 2 * (4 - 1)]) + 4 * math.sqrt(0.5)
  np.testing.assert_allclose(stroke_thickness(image), 2 * np.array([21, 36]) / outline, rtol=1e-5)


def test_the_thickness_of_soft_ink():
  """One pixel, half as bright as another far away: each has an outline of 4 √½ times its ink."""
  image = np.zeros([1, 7, 7, 1], np.uint8)
  image[0, 1, 1], image[0, 5, 5] = 254, 127
  assert stroke_thickness(image)[0] == pytest.approx(2 / (4 * math.sqrt(0.5)), rel=1e-5)


def stroke(width, degrees=0.0, size=64, color=(255, 128, 0)):
  """One image [1, size, size, 3] of a long stroke with soft edges, leaning to the right by `degrees`."""
  y, x = np.mgrid[:size, :size] - (size - 1) / 2
  across = (x + y * np.tan(np.radians(degrees))) * np.cos(np.radians(degrees))
  value = np.clip((width + 1) / 2 - np.abs(across), 0, 1) * (np.abs(y) < size * 0.4)
  return np.rint(value[None, ..., None] * np.array(color)).astype(np.uint8)


@pytest.mark.parametrize("width", [2, 3, 5])
@pytest.mark.parametrize("degrees", [0, 20, -35])
def test_the_thickness_of_a_stroke(width, degrees):
  assert stroke_thickness(stroke(width, degrees))[0] == pytest.approx(width, rel=0.1)


@pytest.mark.parametrize("degrees", [0, 15, -30, 45])
def test_the_slant_of_a_stroke(degrees):
  assert slant(stroke(3, degrees))[0] == pytest.approx(degrees, abs=0.5)


def test_the_shape_does_not_depend_on_the_colour():
  a, b = stroke(3, 10), stroke(3, 10, color=(0, 60, 90))
  assert slant(a) == pytest.approx(slant(b), abs=0.1)
  assert stroke_thickness(a) == pytest.approx(stroke_thickness(b), 0.01)
  assert ink_iou(a, b) > 0.95


def test_an_image_without_ink_measures_zero():
  black = np.zeros([2, 8, 8, 3], np.uint8)
  assert (slant(black) == 0).all() and (stroke_thickness(black) == 0).all() and (ink_iou(black, black) == 1).all()


def test_ink_iou_by_hand():
  a, b = (np.rint(255 * draw(label, [[1, 1, 1]])).astype(np.uint8) for label in ([0], [1]))
  assert ink_iou(a, a) == 1 and ink_iou(a, b) == 0
  assert ink_iou(a, a | b) == 0.5  # two of four columns
  images = np.concatenate([of_gray([[254, 127, 126, 0]]), of_gray([[0, 0, 0, 0]]), of_gray([[8, 0, 0, 0]])])
  others = np.concatenate([of_gray([[0, 9, 9, 9]]), of_gray([[0, 0, 0, 5]]), of_gray([[9, 9, 9, 9]])])
  np.testing.assert_allclose(ink_iou(images, others), [1 / 4, 0, 1 / 4])


@pytest.mark.parametrize("degrees", [-50.0, -10.0, 0.0, 30.0])
def test_the_axis_of_a_stroke_is_its_direction(degrees):
  upright = 90 - degrees  # a stroke that leans to the right by so much
  assert angle_error(axis(stroke(3, degrees)), np.array([upright]), 180.0)[0] < 1


def test_angles_are_compared_the_shorter_way_round():
  a, b = np.array([170.0, 10.0, 0.0]), np.array([-170.0, 40.0, 180.0])
  np.testing.assert_allclose(angle_error(a, b), [20, 30, 180])
  np.testing.assert_allclose(angle_error(a, b, 180.0), [20, 30, 0])
  np.testing.assert_allclose(angle_error(np.array([725.0, -89.0]), np.array([0.0, 90.0])), [5, 179])


# --- Quality ----------------------------------------------------------------------------------------------------------


def test_psnr_by_hand():
  x = np.zeros([3, 2, 2, 1], np.uint8)
  x_rec = x.copy()
  x_rec[0] = 51
  x_rec[1, 0, 0] = 102
  # mean squared errors 51² and 102² / 4, of 255²
  np.testing.assert_allclose(psnr(x, x_rec)[:2], [20 * math.log10(5)] * 2, rtol=1e-5)
  assert psnr(x, x_rec)[2] == math.inf


def test_psnr_of_more_images_than_one_batch():
  x = np.zeros([2001, 1, 1, 1], np.uint8)
  x_rec = (np.arange(2001) % 255 + 1).astype(np.uint8).reshape(x.shape)
  expected = 20 * np.log10(255 / x_rec.ravel().astype(float))
  np.testing.assert_allclose(psnr(x, x_rec), expected, atol=1e-3)


@pytest.mark.parametrize("size", [11, 8])
def test_ssim_of_one_window(size):
  """Of an image as large as the window, the formula of Wang et al. (2004) by hand."""
  x, x_rec = np.random.default_rng(0).integers(256, size=(2, 4, size, size, 3), dtype=np.uint8)
  place = np.arange(size) - (size - 1) / 2
  weight = np.exp(-(place**2) / (2 * 1.5**2))
  weight = np.outer(weight, weight)[None, ..., None] / weight.sum() ** 2
  a, b = x.astype(float), x_rec.astype(float)
  mean = lambda image: (weight * image).sum((1, 2))  # noqa: E731
  c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
  luminance = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
  covariance, variances = mean(a * b) - mean(a) * mean(b), mean(a * a) + mean(b * b) - mean(a) ** 2 - mean(b) ** 2
  structure = (2 * covariance + c2) / (variances + c2)
  np.testing.assert_allclose(ssim(x, x_rec), (luminance * structure).mean(1), atol=1e-5)


def test_ssim_of_flat_images_and_of_more_than_one_batch():
  a, b = np.full([1003, 12, 12, 1], 20, np.uint8), np.full([1003, 12, 12, 1], 10, np.uint8)
  b[1001:] = 20
  c1 = (0.01 * 255) ** 2
  expected = np.where(np.arange(1003) < 1001, (2 * 20 * 10 + c1) / (20**2 + 10**2 + c1), 1)
  np.testing.assert_allclose(ssim(a, b), expected, atol=1e-5)


def gaussian(count, mean, root, seed=0):
  """Features [count, D] whose sample mean is `mean`, and whose sample covariance is root rootᵀ, exactly."""
  z = np.random.default_rng(seed).normal(size=(count, len(mean)))
  z -= z.mean(0)
  return np.linalg.solve(np.linalg.cholesky(np.cov(z, rowvar=False)), z.T).T @ np.transpose(root) + mean


def test_fid_of_a_set_with_itself_is_zero():
  features = np.random.default_rng(0).normal(size=(500, 8))
  assert fid(features, features) == pytest.approx(0, abs=1e-8)


def test_fid_of_gaussians_is_the_analytic_value():
  """‖Δμ‖² + Σ (σ - σ')² of axis-aligned ones, in a turned basis as well; sets may differ in size."""
  shift, scale = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.5])
  a, b = gaussian(50, np.zeros(3), np.eye(3)), gaussian(70, shift, np.diag(scale), seed=1)
  expected = np.sum(shift**2) + np.sum((1 - scale) ** 2)
  turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
  for turned in (np.eye(3), turn):
    assert fid(a @ turned, b @ turned) == pytest.approx(expected, rel=1e-9)
    assert fid(b @ turned, a @ turned) == pytest.approx(expected, rel=1e-9)


def test_fid_of_gaussians_whose_axes_differ():
  """In two dimensions tr √M = √(tr M + 2 √det M), of M = Σ Σ'."""
  roots = [[1.0, 0.0], [0.7, 0.4]], [[0.3, 1.1], [0.0, 2.0]]
  a, b = (np.array(root) @ np.array(root).T for root in roots)
  cross = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a @ b)))
  features = [gaussian(40, mean, root, seed) for seed, (mean, root) in enumerate(zip(([0, 0], [1, 3]), roots))]
  assert fid(*features) == pytest.approx(10 + np.trace(a) + np.trace(b) - 2 * cross, rel=1e-9)
  assert fid(*(f.astype(np.float32) for f in features)) == pytest.approx(fid(*features), rel=1e-5)


def test_fid_of_a_single_feature():
  assert fid(np.array([[0.0], [2.0]]), np.array([[5.0], [9.0]])) == pytest.approx(36 + (2**0.5 - 8**0.5) ** 2)


def naive_mmd(a, b):
  """The unbiased estimate of MMD², pair by pair."""
  kernel = lambda u, v: (np.dot(u, v) / len(u) + 1) ** 3  # noqa: E731
  within = [np.mean([kernel(u, v) for i, u in enumerate(x) for j, v in enumerate(x) if i != j]) for x in (a, b)]
  return sum(within) - 2 * np.mean([kernel(u, v) for u in a for v in b])


def test_kid_is_the_mmd_of_its_kernel():
  """For two unit masses at u and v, MMD² = k(u, u) + k(v, v) - 2 k(u, v)."""
  u, v = np.ones((10, 2)), np.zeros((10, 2))
  assert kid(u, v, np.random.default_rng(0)) == pytest.approx(2**3 + 1 - 2)
  a, b = np.random.default_rng(0).normal(size=(2, 7, 3))
  assert kid(a, b, np.random.default_rng(0)) == pytest.approx(naive_mmd(a, b), rel=1e-9)
  assert kid(a, b, np.random.default_rng(0)) < kid(a, b + 1, np.random.default_rng(0))


def test_kid_is_the_mean_over_subsets():
  random_state = np.random.default_rng(0)
  a, b = random_state.normal(size=(9, 3)), random_state.normal(1, 2, size=(6, 3))
  draw = lambda random_state, x, size: x[random_state.permutation(len(x))[:size]]  # noqa: E731
  for size, asked in ((4, {"size": 4, "subsets": 3}), (6, {})):  # at most as many as the smaller set has
    random_state = np.random.default_rng(5)
    pairs = [(draw(random_state, a, size), draw(random_state, b, size)) for _ in range(asked.get("subsets", 20))]
    expected = np.mean([naive_mmd(*pair) for pair in pairs])
    assert kid(a, b, np.random.default_rng(5), **asked) == pytest.approx(expected, rel=1e-9)


# --- Spread -----------------------------------------------------------------------------------------------------------


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
