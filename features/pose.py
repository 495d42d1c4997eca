"""Pose as a continuous feature: measured from image moments, or learned from a known rotation, viewpoint or head.

An angle may be of any turn, and comes back as its principal value in (-turn/2, turn/2]: 270° as -90°.

`pose` is a formula. `rotation`, `viewpoint` and `head_pose` are learned (`tfdisent.LearnedFeature`): f(x) of an example
comes from its columns, and f of an image from a network that `--mode=fit_feature` trains.
"""

import dataclasses
import math

import numpy as np
import tensorflow as tf

from tfdisent import CONTINUOUS, Feature, FeatureError, LearnedFeature, register_feature
from tfdisent.feature import convert


@register_feature("pose")
@dataclasses.dataclass(frozen=True)
class Pose(Feature):
  """f(x) = (cos 2θ, sin 2θ), θ the angle of the principal axis of the ink; differentiable.

  With μ the second central moments of the intensity, (μ_xx - μ_yy, 2 μ_xy) = r·(cos 2θ, sin 2θ). An axis that is turned
  by half a turn is the same axis, so f uses 2θ. A figure that is as wide as high has no axis: there f shrinks to 0,
  since f is (cos 2θ, sin 2θ)·r / √(r² + s²) with s = `roundness`·(μ_xx + μ_yy). The natural form is θ [B] in radians,
  in (-π/2, π/2], counted from the x axis towards the top of the image.
  """

  roundness: float = 0.05

  kind = CONTINUOUS
  width = 2
  column = "axis"
  unit = "degrees"

  @property
  def natural(self):
    return convert.Angle(math.pi, "angles in radians")  # half a turn gives the same axis

  def of_image(self, image):
    ink = tf.reduce_max(image, axis=3)  # [B, H, W]
    height, width = ink.shape[1], ink.shape[2]
    span = max(height, width, 2) - 1
    bottom, right = (height - 1) / span, (width - 1) / span  # one step for both axes keeps angles
    y, x = -tf.linspace(-bottom, bottom, height)[:, None], tf.linspace(-right, right, width)[None, :]
    total = tf.reduce_sum(ink, [1, 2])

    def mean(values):  # [B, H, W] → [B], weighted by the ink; 0 where there is none
      return tf.math.divide_no_nan(tf.reduce_sum(ink * values, [1, 2]), total)

    dx, dy = x - mean(x)[:, None, None], y - mean(y)[:, None, None]
    xx, yy, xy = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    axis = tf.stack([xx - yy, 2 * xy], axis=1)
    r = tf.sqrt(tf.reduce_sum(tf.square(axis), axis=1) + tf.square(self.roundness * (xx + yy)) + 1e-12)
    return axis / r[:, None]

  def error(self, f, target):
    return _angle_between(f, target) / 2


@register_feature("rotation")
@dataclasses.dataclass(frozen=True)
class Rotation(LearnedFeature):
  """f(x) = (cos θ, sin θ) of a known angle θ: of a turned digit, or of an object on a turntable.

  The natural form is the angle [B] in the unit of its column.

  Attributes:
    column: the column that holds the angle.
    turn: a full turn in the column's unit: 2π for radians, 360 for degrees, 18 for steps of 20°.
  """

  column: str = "angle"
  turn: float = 2 * math.pi

  kind = CONTINUOUS
  width = 2
  unit = "degrees"

  def __post_init__(self):
    _check_positive(self, "turn")

  @property
  def natural(self):
    return convert.Angle(self.turn)

  def known(self, example):
    return tf.constant(self.to_vector(example[self.column]))

  def of_image(self, image):
    f = super().of_image(image)
    return (
      tf.math.l2_normalize(f, 1, epsilon=1e-4) if self.from_pixels else f
    )  # the mean of directions is shorter than 1

  def error(self, f, target):
    return _angle_between(f, target)


@register_feature("viewpoint")
@dataclasses.dataclass(frozen=True)
class Viewpoint(LearnedFeature):
  """f(x) = (cos α, sin α, e): the azimuth α and the elevation of a camera, as `smallnorb` has them.

  The elevation e goes from -1, `lowest`, to 1, `highest`. The natural form is azimuth and elevation, [B, 2], in the
  units of their columns.

  Attributes:
    azimuth, elevation: the names of the columns.
    turn: a full turn in the unit of the azimuth; smallnorb counts steps of 20°.
    lowest, highest: the ends of the range of the elevation, in its unit.
  """

  azimuth: str = "label_azimuth"
  elevation: str = "label_elevation"
  turn: float = 18.0
  lowest: float = 0.0
  highest: float = 8.0

  kind = CONTINUOUS
  width = 3

  def __post_init__(self):
    _check_positive(self, "turn")
    if not self.lowest < self.highest:
      raise FeatureError(f"{self.name}.lowest = {self.lowest} must be below {self.name}.highest = {self.highest}.")

  @property
  def columns(self) -> tuple[str, str]:
    """The names of the two numbers."""
    return self.azimuth, self.elevation

  @property
  def natural(self):
    forms = convert.Angle(self.turn), convert.Linear(self.lowest, self.highest)
    return convert.Columns(forms, "azimuths and elevations")

  def known(self, example):
    return tf.constant(self.to_vector(np.stack([example[self.azimuth], example[self.elevation]], 1)))


@register_feature("head_pose")
@dataclasses.dataclass(frozen=True)
class HeadPose(LearnedFeature):
  """f(x) = (yaw, roll) of a head, from the five landmarks of `celeb_a`.

  With e the vector between the eyes, from the left to the right of the image, m their middle and n the tip of the nose:
  roll is the angle of e, positive where the head leans to the left of the image; yaw is arctan(t / `nose_depth`), where
  t = (n - m)·e / ‖e‖² is how far the nose lies off the middle, in distances between the eyes. (The nose stands out by
  `nose_depth` of that distance. Turning by yaw moves it by nose_depth·sin yaw, while the distance shrinks by cos yaw.)
  Yaw is positive where the head looks to the right of the image. The natural form is f(x) itself, radians [B, 2].
  """

  nose_depth: float = 0.5

  columns = ("yaw", "roll")
  kind = CONTINUOUS
  width = 2
  unit = "degrees"

  def __post_init__(self):
    _check_positive(self, "nose_depth")

  def known(self, example):
    eyes = np.stack([[example[f"{eye}_{axis}"] for axis in "xy"] for eye in ("lefteye", "righteye")]).astype(np.float32)
    nose = np.stack([example[f"nose_{axis}"] for axis in "xy"]).astype(np.float32)  # [2, B]
    left, right = np.where(eyes[0, 0] <= eyes[1, 0], eyes, eyes[::-1])  # a landmark's name may follow the person's left
    e, m = right - left, (left + right) / 2
    t = ((nose - m) * e).sum(0) / np.maximum((e * e).sum(0), 1e-6)
    return tf.constant(np.stack([np.arctan(t / self.nose_depth), np.arctan2(-e[1], e[0])], 1))

  def error(self, f, target):
    return np.degrees(np.abs(f - target)).mean(1)


def _check_positive(feature: Feature, name: str) -> None:
  if not getattr(feature, name) > 0:
    raise FeatureError(f"{feature.name}.{name} = {getattr(feature, name)} must be positive.")


def _angle_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  """Degrees [B] in [0, 180] between the directions of vectors [B, 2]."""
  difference = np.arctan2(a[:, 1], a[:, 0]) - np.arctan2(b[:, 1], b[:, 0])
  return np.degrees(np.abs((difference + np.pi) % (2 * np.pi) - np.pi))
