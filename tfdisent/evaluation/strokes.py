"""Measures of images of ink on black, in any one colour: its colour, its shape and its direction.

Images are uint8 [N, H, W, C].
"""

import numpy as np


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
