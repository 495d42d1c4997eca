"""What becomes of decoded pixels in the graph of an exported model, as `tfdisent.data.pixels` does it with Pillow.

Each function gives what Pillow gives for the same pixels, to the grey level; a test compares them. And `checked`: a
request that breaks an assertion is an INVALID_ARGUMENT in words.
"""

import PIL
import tensorflow as tf

from tfdisent.data.pixels import FULL_8, FULL_12, FULL_16, LEAST_BRIGHT, ROUNDING

MAX_PIXELS = 2**24
"""The largest height times width of an encoded image. Without a limit, a PNG of a few KB could take gigabytes."""
RESIZES_TALL_FIRST = int(PIL.__version__.split(".")[0]) >= 13
"""Whether Pillow, which prepares the images of a training, resizes the height first where that shrinks far more."""


def checked(value: tf.Tensor, is_good: tf.Tensor, words: str, *data: tf.Tensor) -> tf.Tensor:
  """`value`, once `is_good` holds; else the request is refused with the words, and the data.

  What follows is computed from the result, so that no other operation can fail before the words are told.
  """
  with tf.control_dependencies([tf.debugging.Assert(is_good, [words, *data], summarize=9)]):
    return tf.identity(value)


def check_size(value: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
  """`value`, of an image that has `MAX_PIXELS` at most."""
  size = tf.cast([height, width], tf.int64)
  words = f"an encoded image has {MAX_PIXELS} pixels at most, height times width"
  return checked(value, tf.reduce_prod(size) <= MAX_PIXELS, words, size)


def as_grey(values: tf.Tensor, has_16: bool) -> tf.Tensor:
  """Integers, int32, as uint8; as `tfdisent.data.pixels` does it.

  Args:
    values: of any shape.
    has_16: whether the file says that they have 16 bits.
  """
  low, high = tf.reduce_min(values), tf.reduce_max(values)
  words = "the numbers of an encoded image are of no known range: save it with 8 bits, or with 16 from 0 to 65535"
  values = checked(values, (low >= 0) & (high <= FULL_16), words, [low, high])
  full = tf.where(high <= FULL_12, FULL_12, FULL_16)
  if not has_16:
    full = tf.where(high <= FULL_8, FULL_8, full)
  return tf.cast((values * FULL_8 + full // 2) // full, tf.uint8)


def floats_as_grey(values: tf.Tensor) -> tf.Tensor:
  """Floats from 0 to 1, or from 0 to 255 if one is far larger, as uint8; as `tfdisent.data.pixels` does it."""
  low, high = tf.reduce_min(values), tf.reduce_max(values)
  words = "the floats of an encoded image are neither in 0 to 1 nor in 0 to 255: scale them to 0 to 1"
  is_one = high <= 1 + ROUNDING
  is_good = tf.reduce_all(tf.math.is_finite(values)) & (low >= -ROUNDING)
  is_good &= is_one | ((high >= LEAST_BRIGHT) & (high <= FULL_8 + ROUNDING))
  values = checked(values, is_good, words, [low, high])
  full = tf.where(is_one, 1.0, float(FULL_8))
  return tf.cast(tf.floor(tf.clip_by_value(values, 0, full) * (FULL_8 / full) + 0.5), tf.uint8)


def composed(color: tf.Tensor, alpha: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
  """Colours uint8 [h, w, 3] with alpha [h, w, 1] on the background, with the rounding of Pillow."""
  alpha = tf.cast(alpha, tf.uint16)
  ground = tf.constant(background, tf.uint16)
  mixed = tf.cast(color, tf.uint16) * alpha + ground * (tf.constant(FULL_8, tf.uint16) - alpha) + 128
  return tf.cast((mixed // 256 + mixed) // 256, tf.uint8)


def grey(image: tf.Tensor) -> tf.Tensor:
  """RGB uint8 [h, w, 3] as grey [h, w, 1], with the weights of Pillow. Those of TensorFlow's decoder of PNG differ."""
  red, green, blue = (tf.cast(image[..., channel : channel + 1], tf.int32) for channel in range(3))
  return tf.cast((red * 19595 + green * 38470 + blue * 7471 + 2**15) // 2**16, tf.uint8)


def turned(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
  """An image [h, w, C] as it was seen, by the orientation of EXIF, from 1 to 8; of any other number as it is."""

  def turn():
    swapped = tf.cond(orientation >= 5, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
    flipped = tf.reduce_any(orientation == [2, 3, 6, 7])
    swapped = tf.cond(flipped, lambda: tf.reverse(swapped, [1]), lambda: swapped)
    return tf.cond(tf.reduce_any(orientation == [3, 4, 7, 8]), lambda: tf.reverse(swapped, [0]), lambda: swapped)

  return tf.cond((orientation >= 2) & (orientation <= 8), turn, lambda: image)


def fitted(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """An image uint8 [h, w, C], cropped at its centre and resized as `PIL.ImageOps.fit` does it: bicubic, by axes."""
  size = tf.shape(image)[:2]
  whole = tf.cast(size, tf.float64)
  h, w = tf.unstack(whole)
  ratio = tf.constant(width / height, tf.float64)
  is_wide = w / h >= ratio
  crop = tf.stack([tf.where(is_wide, h, w / ratio), tf.where(is_wide, ratio * h, w)])
  wanted = tf.constant([height, width], tf.float64)
  # Pillow has the box in single precision.
  low = tf.cast(tf.cast((whole - crop) / 2, tf.float32), tf.float64)
  crop = tf.cast(tf.cast((whole + crop) / 2, tf.float32), tf.float64) - low
  # Nothing beyond the reach of the filter is read. This keeps the memory small where an image is long and narrow.
  reach = 2 * tf.maximum(crop / wanted, 1) + 1
  first = tf.maximum(tf.cast(low - reach, tf.int32), 0)
  last = tf.minimum(tf.cast(tf.math.ceil(low + crop + reach), tf.int32), size)
  image, low = image[first[0] : last[0], first[1] : last[1]], low - tf.cast(first, tf.float64)
  scale = tf.cast(wanted / crop, tf.float32)
  shift = tf.cast(-low * wanted / crop, tf.float32)

  is_tall_first = (h > height) & (h - height > 2 * (w - width)) & RESIZES_TALL_FIRST
  image = tf.cond(is_tall_first, lambda: image, lambda: tf.transpose(image, [1, 0, 2]))
  axes = tf.where(is_tall_first, [0, 1], [1, 0])
  for axis in tf.unstack(axes):
    image = tf.transpose(_rows(image, tf.gather([height, width], axis), scale[axis], shift[axis]), [1, 0, 2])
  image = tf.cond(is_tall_first, lambda: image, lambda: tf.transpose(image, [1, 0, 2]))
  return tf.cast(image, tf.uint8)


def _rows(image, count, scale, shift) -> tf.Tensor:
  """An image [h, w, C] with `count` rows, rounded like that of Pillow after each axis; float32."""
  resized = tf.raw_ops.ScaleAndTranslate(
    images=image[None],
    size=tf.stack([count, tf.shape(image)[1]]),
    scale=tf.stack([scale, 1.0]),
    translation=tf.stack([shift, 0.0]),
    kernel_type="keyscubic",
    antialias=True,
  )
  return tf.clip_by_value(tf.floor(resized[0] + 0.5), 0, FULL_8)
