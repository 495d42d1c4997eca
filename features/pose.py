"""The in-plane pose of a figure as a continuous feature, measured from image moments."""

import dataclasses

import numpy as np
import tensorflow as tf

from tfdisent import CONTINUOUS, Feature, FeatureError, register_feature


@register_feature("pose")
@dataclasses.dataclass(frozen=True)
class Pose(Feature):
  """f(x) = (cos 2θ, sin 2θ), θ the angle of the principal axis of the ink; differentiable.

  With μ the second central moments of the intensity, (μ_xx - μ_yy, 2 μ_xy) = r·(cos 2θ, sin 2θ). The angle of an axis
  is known up to half a turn, so 2θ is used. A figure that is as wide as high has no axis: there f shrinks to 0, since r
  is compared with `roundness` times μ_xx + μ_yy. In its natural form: θ [B] in radians, in (-π/2, π/2], counted from
  the x axis towards the top of the image.
  """

  roundness: float = 0.05

  kind = CONTINUOUS
  width = 2

  def of_image(self, image):
    ink = tf.reduce_max(image, axis=3)  # [B, H, W]
    height, width = ink.shape[1], ink.shape[2]
    bottom, right = height / max(height, width), width / max(height, width)  # one scale for both: angles are kept
    y, x = -tf.linspace(-bottom, bottom, height)[:, None], tf.linspace(-right, right, width)[None, :]
    total = tf.reduce_sum(ink, [1, 2])

    def mean(values):  # [B, H, W] → [B], weighted by the ink; 0 where there is none
      return tf.math.divide_no_nan(tf.reduce_sum(ink * values, [1, 2]), total)

    dx, dy = x - mean(x)[:, None, None], y - mean(y)[:, None, None]
    xx, yy, xy = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    axis = tf.stack([xx - yy, 2 * xy], axis=1)
    r = tf.sqrt(tf.reduce_sum(tf.square(axis), axis=1) + tf.square(self.roundness * (xx + yy)) + 1e-12)
    return axis / r[:, None]

  def to_vector(self, value):
    value = np.asarray(value, np.float32)
    if value.ndim != 1:
      raise FeatureError(f"{self.name} takes angles in radians of shape [B], not {list(value.shape)}.")
    return self._finite(np.stack([np.cos(2 * value), np.sin(2 * value)], axis=1))

  def to_natural(self, vector):
    return np.arctan2(vector[:, 1], vector[:, 0]) / 2
