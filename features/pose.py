"""Pose as a continuous feature: measured from image moments, or learned from a known rotation, viewpoint or head.

An angle is taken from any turn, and comes back as its principal value, in (-turn/2, turn/2]: 270° as -90°.

`pose` is a formula. `rotation`, `viewpoint` and `head_pose` are learned (`tfdisent.learned`): of pixels by a network
that `--mode=fit_feature` trains, of an example by what is known of it.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tfdisent import CONTINUOUS, Feature, FeatureError, LearnedFeature, register_feature


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
  column = "axis"
  unit = "degrees"

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
    value = self._array(value, np.float32)
    if value.ndim != 1:
      raise FeatureError(f"{self.name} takes angles in radians of shape [B], not {list(value.shape)}.")
    return self._finite(np.stack([np.cos(2 * value), np.sin(2 * value)], axis=1))

  @property
  def served(self):
    return tf.TensorSpec([None], tf.float32)

  def of_served(self, value):
    return tf.stack([tf.cos(2 * value), tf.sin(2 * value)], 1)

  def to_natural(self, vector):
    return _principal_value(vector, math.pi)

  def error(self, f, asked):
    return _angle_between(f, asked) / 2


@register_feature("rotation")
@dataclasses.dataclass(frozen=True)
class Rotation(LearnedFeature):
  """f(x) = (cos θ, sin θ), θ a known angle: of a turned digit, or of an object on a turntable.

  In its natural form: the angle [B] in the unit of its column, of any turn; it comes back in (-turn/2, turn/2].

  Attributes:
    column: the column that holds the angle.
    turn: a full turn in the column's unit: 2π for radians, 360 for degrees, 18 for steps of 20°.
  """

  column: str = "angle"
  turn: float = 2 * math.pi

  kind = CONTINUOUS
  width = 2
  unit = "degrees"

  def known(self, example):
    return tf.constant(self.to_vector(example[self.column]))

  def of_image(self, image):
    f = super().of_image(image)
    return tf.math.l2_normalize(f, 1, epsilon=1e-4) if self.from_pixels else f  # a mean of directions is short

  def to_vector(self, value):
    return _finite_angles(self, value, self.turn)

  @property
  def served(self):
    return tf.TensorSpec([None], tf.float32)

  def of_served(self, value):
    theta = value * (2 * math.pi / self.turn)
    return tf.stack([tf.cos(theta), tf.sin(theta)], 1)

  def to_natural(self, vector):
    return _principal_value(vector, self.turn)

  def error(self, f, asked):
    return _angle_between(f, asked)


@register_feature("viewpoint")
@dataclasses.dataclass(frozen=True)
class Viewpoint(LearnedFeature):
  """f(x) = (cos α, sin α, e): the azimuth α and the elevation of a camera, as `smallnorb` has them.

  In its natural form: azimuth and elevation, [B, 2], in the units of their columns; e is the elevation on [-1, 1]. The
  azimuth may be of any turn; it comes back in (-turn/2, turn/2].

  Attributes:
    azimuth, elevation: the columns.
    turn: a full turn in the azimuth's unit; smallnorb counts steps of 20°.
    lowest, highest: of the elevation.
  """

  azimuth: str = "label_azimuth"
  elevation: str = "label_elevation"
  turn: float = 18.0
  lowest: float = 0.0
  highest: float = 8.0

  kind = CONTINUOUS
  width = 3

  def known(self, example):
    return tf.constant(self.to_vector(np.stack([example[self.azimuth], example[self.elevation]], 1)))

  def to_vector(self, value):
    value = self._array(value, np.float32)
    if value.ndim != 2 or value.shape[1] != 2:
      raise FeatureError(f"{self.name} takes azimuths and elevations, [B, 2], not {list(value.shape)}.")
    angle = _finite_angles(self, value[:, 0], self.turn)
    e = 2 * (value[:, 1:] - self.lowest) / (self.highest - self.lowest) - 1
    return self._finite(np.concatenate([angle, e], 1))

  @property
  def served(self):
    return tf.TensorSpec([None, 2], tf.float32)

  def of_served(self, value):
    theta = value[:, 0] * (2 * math.pi / self.turn)
    e = 2 * (value[:, 1] - self.lowest) / (self.highest - self.lowest) - 1
    return tf.stack([tf.cos(theta), tf.sin(theta), e], 1)

  def to_natural(self, vector):
    elevation = self.lowest + (vector[:, 2] + 1) / 2 * (self.highest - self.lowest)
    return np.stack([_principal_value(vector, self.turn), elevation], 1)


@register_feature("head_pose")
@dataclasses.dataclass(frozen=True)
class HeadPose(LearnedFeature):
  """f(x) = (yaw, roll) of a head, from the five landmarks of `celeb_a`.

  With e the vector between the eyes, from the left to the right of the image, m their middle and n the tip of the nose:
  roll is the angle of e, positive where the head leans to the left of the image; yaw is arctan(t / `nose_depth`), where
  t = (n - m)·e / ‖e‖² is how far the nose lies off the middle, in distances between the eyes. (The nose stands out by
  `nose_depth` of that distance, and turning by yaw moves it by nose_depth·sin yaw, while the distance shrinks by cos
  yaw.) Positive where the head looks to the right of the image. In its natural form: radians [B, 2].
  """

  nose_depth: float = 0.5

  kind = CONTINUOUS
  width = 2
  unit = "degrees"

  def known(self, example):
    eyes = np.stack([[example[f"{eye}_{axis}"] for axis in "xy"] for eye in ("lefteye", "righteye")]).astype(np.float32)
    nose = np.stack([example[f"nose_{axis}"] for axis in "xy"]).astype(np.float32)  # [2, B]
    left, right = np.where(eyes[0, 0] <= eyes[1, 0], eyes, eyes[::-1])  # a landmark's name may follow the person's left
    e, m = right - left, (left + right) / 2
    t = ((nose - m) * e).sum(0) / np.maximum((e * e).sum(0), 1e-6)
    return tf.constant(np.stack([np.arctan(t / self.nose_depth), np.arctan2(-e[1], e[0])], 1))

  def error(self, f, asked):
    return np.degrees(np.abs(f - asked)).mean(1)


def _finite_angles(feature: Feature, value, turn: float) -> np.ndarray:
  """(cos θ, sin θ) [B, 2] of angles [B], a full turn being `turn`."""
  value = feature._array(value, np.float32)
  if value.ndim != 1:
    raise FeatureError(f"{feature.name} takes angles of shape [B], not {list(value.shape)}.")
  theta = value * np.float32(2 * math.pi / turn)
  return feature._finite(np.stack([np.cos(theta), np.sin(theta)], axis=1))


def _principal_value(vector: np.ndarray, turn: float) -> np.ndarray:
  """The angles [B] in (-turn/2, turn/2] of vectors (cos θ, sin θ, …) [B, 2 or more], a full turn being `turn`."""
  cos, sin = np.float32(vector[:, :2]).T
  theta = np.arctan2(sin, cos)
  theta = np.where(theta <= -np.pi, np.pi, theta)  # the sine of π is a little below 0 in float32, which gives -π
  return theta * np.float32(turn / (2 * math.pi))


def _angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Degrees [B] in [0, 180] between the directions of vectors [B, 2]."""
  difference = np.arctan2(a[:, 1], a[:, 0]) - np.arctan2(b[:, 1], b[:, 0])
  return np.degrees(np.abs((difference + np.pi) % (2 * np.pi) - np.pi))
