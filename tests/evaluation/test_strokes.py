"""Measures of ink with answers that are known by hand or by theory."""

import math

import numpy as np
import pytest

from tests.bands import draw
from tfdisent.evaluation import angle_error, axis, ink, ink_iou, measured_color, slant, stroke_thickness


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
