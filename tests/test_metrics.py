"""Measures with answers that are known by hand or by theory."""

import math

import numpy as np
import pytest

from tfdisent.evaluation import (
  angle_error,
  axis,
  bootstrap_interval,
  fid,
  ink_iou,
  kid,
  measured_color,
  median_with_interval,
  other_feature,
  psnr,
  slant,
  ssim,
  stroke_thickness,
  with_interval,
)

from .bands import draw

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


def test_measured_color_weighs_a_pixel_by_its_largest_channel():
  image = np.zeros([1, 1, 4, 3], np.uint8)
  image[0, 0, 0], image[0, 0, 1] = [255, 0, 0], [0, 51, 0]
  np.testing.assert_allclose(measured_color(image), [[1 / 1.2, 0.2 * 0.2 / 1.2, 0]], atol=1e-6)
  np.testing.assert_array_equal(measured_color(np.zeros([1, 4, 4, 3], np.uint8)), [[0, 0, 0]])  # no ink


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


@pytest.mark.parametrize("degrees", [-50.0, -10.0, 0.0, 30.0])
def test_the_axis_of_a_stroke_is_its_direction(degrees):
  upright = 90 - degrees  # a stroke that leans to the right by so much
  assert angle_error(axis(stroke(3, degrees)), np.array([upright]), 180.0)[0] < 1


def test_angles_are_compared_the_shorter_way_round():
  a, b = np.array([170.0, 10.0, 0.0]), np.array([-170.0, 40.0, 180.0])
  np.testing.assert_allclose(angle_error(a, b), [20, 30, 180])
  np.testing.assert_allclose(angle_error(a, b, 180.0), [20, 30, 0])


def test_a_median_lies_within_its_interval():
  figure = median_with_interval(np.random.default_rng(0).exponential(size=2000))
  assert figure["low"] < figure["value"] < figure["high"]
  assert figure["value"] == pytest.approx(math.log(2), abs=0.05)
  assert figure["high"] - figure["low"] == pytest.approx(2 * 1.96 / math.sqrt(2000), rel=0.3)  # 1 / (2 f(median)) = 1


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


def test_ssim_is_one_of_an_image_and_itself_and_falls_with_noise():
  random_state = np.random.default_rng(0)
  x = random_state.integers(256, size=(1003, 8, 8, 3), dtype=np.uint8)
  assert ssim(x, x) == pytest.approx(np.ones(1003))
  faint = np.clip(x + random_state.normal(0, 20, x.shape), 0, 255).astype(np.uint8)
  assert -0.2 < ssim(x, 255 - x).mean() < ssim(x, faint).mean() < 0.99 or ssim(x, 255 - x).mean() < 0


def test_fid_of_a_set_with_itself_is_zero():
  features = np.random.default_rng(0).normal(size=(500, 8))
  assert fid(features, features) == pytest.approx(0, abs=1e-8)


def test_fid_of_gaussians_is_the_analytic_value():
  """‖Δμ‖² + Σ (σ - σ')² of axis-aligned ones, and no less in a turned basis."""
  random_state = np.random.default_rng(1)
  shift, scale = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.5])
  a, b = random_state.normal(size=(2, 100_000, 3))
  b = b * scale + shift
  expected = np.sum(shift**2) + np.sum((1 - scale) ** 2)
  turn = np.linalg.qr(random_state.normal(size=(3, 3)))[0]
  assert fid(a, b) == pytest.approx(expected, rel=0.02)
  assert fid(a @ turn, b @ turn) == pytest.approx(fid(a, b), rel=1e-9) == fid(b, a)


def test_kid_is_about_zero_for_one_distribution_and_grows_with_the_shift():
  random_state = np.random.default_rng(0)
  a, b = random_state.normal(size=(2, 2000, 8))
  near, far = (kid(a, b + shift, np.random.default_rng(1)) for shift in (0.5, 1.0))
  assert abs(kid(a, b, np.random.default_rng(1))) < 0.01 < near < far


def test_kid_is_the_mmd_of_its_kernel():
  """For two unit masses at u and v, MMD² = k(u, u) + k(v, v) - 2 k(u, v)."""
  u, v = np.ones((10, 2)), np.zeros((10, 2))
  assert kid(u, v, np.random.default_rng(0)) == pytest.approx(2**3 + 1 - 2)


# --- Spread -----------------------------------------------------------------------------------------------------------


def test_the_interval_of_a_mean_is_the_textbooks():
  values = np.random.default_rng(0).normal(5, 2, size=400)
  low, high = bootstrap_interval(values)
  half = 1.96 * values.std() / 20
  assert low == pytest.approx(values.mean() - half, abs=0.03) and high == pytest.approx(values.mean() + half, abs=0.03)


def test_the_interval_covers():
  """The truth lies within 95 % of the intervals, give or take."""
  random_state = np.random.default_rng(0)
  hits = 0
  for _ in range(300):
    low, high = bootstrap_interval(random_state.random(200) < 0.3)
    hits += low <= 0.3 <= high
  assert 0.91 <= hits / 300 <= 0.99


def test_the_interval_of_a_statistic_of_two_means():
  x = np.random.default_rng(0).normal(3, 1, size=1000)
  figure = with_interval(np.stack([x, x * x], 1), lambda means: means[..., 1] - means[..., 0] ** 2)
  assert figure["value"] == pytest.approx(x.var()) and figure["low"] < x.var() < figure["high"]
  assert figure["high"] - figure["low"] == pytest.approx(2 * 1.96 * math.sqrt(2 / 1000), rel=0.2)


def test_a_figure_that_is_infinite_has_no_interval():
  assert with_interval(np.array([1.0, math.inf])) == {"value": math.inf}
