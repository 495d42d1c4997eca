"""Copies of training images that differ in what is not asked for: moved, stretched, slanted, mirrored.

    train.augment = {'scale': 0.15, 'shear': 0.2}

z1 learns from more styles than a small set has. What f(x) tells must stay: do not mirror images whose f is a side.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from tfdisent.arguments import check
from tfdisent.errors import ConfigError, shown


@dataclasses.dataclass(frozen=True)
class Augment:
  """Random changes of an image, each drawn evenly from its range, from -range to range.

  What comes into the image from outside of it is as its edge.

  Attributes:
    shift: of both directions, as a share of the side.
    scale: of both sides, each by itself: 0.1 makes them 10 % smaller to 11 % larger.
    shear: of a row against the one above it, in pixels: 0.2 slants a vertical line by up to 11°.
    flip: whether images are mirrored, each with a probability of a half.

  Raises:
    ConfigError: a range is not in [0, 0.5].
  """

  shift: float = 0.0
  scale: float = 0.0
  shear: float = 0.0
  flip: bool = False

  def __post_init__(self):
    check_ranges("train.augment", shift=self.shift, scale=self.scale, shear=self.shear)

  def __call__(self, image: tf.Tensor, seed: tf.Tensor, position: tf.Tensor, batch_size: int) -> tf.Tensor:
    """Images uint8 [B, H, W, C] with changes that depend on the seed and on the position in the global batch alone.

    Args:
      image: uint8 [B, H, W, C].
      seed: int [2].
      position: int [B].
      batch_size: of the global batch.
    """
    drawn = tf.gather(tf.random.stateless_uniform([batch_size, 6], seed, -1.0, 1.0), position)
    shift_y, shift_x, scale_y, scale_x, shear, flip = tf.unstack(drawn, axis=1)
    scale_y, scale_x, shear = 1 + self.scale * scale_y, 1 + self.scale * scale_x, self.shear * shear
    if self.flip:
      scale_x *= tf.sign(flip)
    shift = tf.stack([shift_y, shift_x], 1) * [self.shift * image.shape[1], self.shift * image.shape[2]]
    changed = moved(tf.cast(image, tf.float32), tf.stack([scale_y, scale_x], 1), shear, shift)
    return tf.cast(tf.round(changed), image.dtype)


def moved(image: tf.Tensor, scale: tf.Tensor, shear: tf.Tensor, shift: tf.Tensor, for_xla: bool = False) -> tf.Tensor:
  """Images, each moved, stretched and slanted about its middle; what comes from outside of it is as its edge.

  Args:
    image: float32 [B, H, W, C].
    scale: what 1 pixel of the result is in the image, (y, x), [B, 2]; below 1 enlarges, a negative x mirrors.
    shear: how many pixels a row of the image is to the right of the one above it, [B].
    shift: (y, x) in pixels, [B, 2].
    for_xla: whether it is computed by what XLA can compile, which has no operation for it.

  Returns:
    float32 [B, H, W, C], differentiable in `image`.
  """
  height, width = image.shape[1], image.shape[2]
  middle_y, middle_x = (height - 1) / 2, (width - 1) / 2
  (scale_y, scale_x), (shift_y, shift_x) = tf.unstack(scale, axis=1), tf.unstack(shift, axis=1)
  # The result at (x, y) is the image at (scale_x x + shear y + left, scale_y y + top).
  left = middle_x - scale_x * middle_x - shear * middle_y + shift_x
  top = middle_y - scale_y * middle_y + shift_y
  if for_xla:
    rows, columns = tf.range(height, dtype=tf.float32)[:, None], tf.range(width, dtype=tf.float32)
    scale_x, shear, left, scale_y, top = (each[:, None, None] for each in (scale_x, shear, left, scale_y, top))
    return _between_pixels(image, scale_y * rows + top, scale_x * columns + shear * rows + left)
  zeros = tf.zeros_like(left)
  return tf.raw_ops.ImageProjectiveTransformV3(
    images=image,
    transforms=tf.stack([scale_x, shear, left, zeros, scale_y, top, zeros, zeros], 1),
    output_shape=[height, width],
    fill_value=0.0,
    interpolation="BILINEAR",
    fill_mode="NEAREST",
  )


def _between_pixels(image: tf.Tensor, y: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """The image [B, H, W, C] at the places y [B, H, 1] and x [B, H, W] in pixels, bilinear, and as its edge beyond."""
  batch, height, width, channels = tf.shape(image)[0], *image.shape[1:]
  y, x = tf.clip_by_value(y + tf.zeros_like(x), 0.0, height - 1.0), tf.clip_by_value(x, 0.0, width - 1.0)
  pixels = tf.reshape(image, [batch, height * width, channels])
  total = 0.0
  for row, of_row in ((tf.floor(y), 1 - y % 1), (tf.math.ceil(y), y % 1)):
    for column, of_column in ((tf.floor(x), 1 - x % 1), (tf.math.ceil(x), x % 1)):
      number = tf.cast(row * width + column, tf.int32)
      total += (of_row * of_column)[..., None] * tf.gather(pixels, number, batch_dims=1)
  return total


def make_augment(given: Mapping[str, Any] | None) -> Augment | None:
  """`Augment` of its arguments; None for None.

  Raises:
    ConfigError: there is no such change, or a range is wrong.
  """
  if given is None:
    return None
  known = [field.name for field in dataclasses.fields(Augment)]
  if not isinstance(given, Mapping) or not set(given) <= set(known):
    raise ConfigError(f"train.augment = {shown(given)} must be a dict of {', '.join(known)}, as in {{'scale': 0.1}}.")
  check(Augment, "train.augment", given)
  return Augment(**given)


def check_ranges(who: str, **ranges: float) -> None:
  """Raises `ConfigError` unless each of the ranges of `moved`, arguments of `who`, is in [0, 0.5]."""
  for name, value in ranges.items():
    if not 0 <= value <= 0.5:
      raise ConfigError(f"{who}.{name} = {shown(value)} must be in [0, 0.5].")
