"""Encoded images to pixels in the graph of an exported model, as `tfdisent.data.pixels` reads files for training.

PNG, JPEG and TIFF (`tfdisent.serving.tiff`) are taken. Each gives the pixels of a training to a grey level or so: the
same ranges, the same ground below transparent pixels, the same turn by EXIF, the same crop and the same resampling.
What the graph cannot read as training does is refused: an INVALID_ARGUMENT says what it is, and how to save it.
"""

import tensorflow as tf

from tfdisent.serving.raster import as_grey, check_size, checked, composed, fitted, grey, turned
from tfdisent.serving.tiff import Directory, decode_tiff

PNG_START, JPEG_START, TIFF_STARTS = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff", (b"II*\0", b"MM\0*")
GREY, GREY_ALPHA, RGB_ALPHA = 0, 4, 6
"""Colour types of PNG."""


def decode_images(image_bytes: tf.Tensor, shape: tuple[int, int, int], background: tuple[int, int, int]) -> tf.Tensor:
  """Encoded images of any size, string [B], as uint8 [B, H, W, C].

  Args:
    image_bytes: PNG, JPEG or TIFF.
    shape: (H, W, C).
    background: the colour that transparent pixels are composed on.
  """

  def decode(encoded):
    image, orientation = _decoded(encoded, background)
    image = turned(grey(image) if shape[2] == 1 else image, orientation)
    return tf.ensure_shape(fitted(image, *shape[:2]), shape)

  return tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec(shape, tf.uint8))


def _decoded(encoded, background) -> tuple[tf.Tensor, tf.Tensor]:
  """An image as RGB, uint8 [h, w, 3], and its orientation by EXIF, int32 from 1 to 8."""
  first = tf.io.decode_raw(encoded, tf.uint8, fixed_length=len(PNG_START))
  is_png, is_jpeg, *is_tiff = (
    tf.reduce_all(first[: len(start)] == list(start)) for start in (PNG_START, JPEG_START, *TIFF_STARTS)
  )
  is_tiff = is_tiff[0] | is_tiff[1]
  encoded = checked(encoded, is_png | is_jpeg | is_tiff, "an encoded image is a PNG, a JPEG or a TIFF")
  branches = (_png, _jpeg, decode_tiff)
  index = tf.where(is_png, 0, tf.where(is_jpeg, 1, 2))
  image = tf.switch_case(index, [lambda branch=branch: branch(encoded, background) for branch in branches])
  exif = tf.where(is_tiff, encoded, _after(encoded, tf.where(is_png, "eXIf", "Exif\0\0"))[1])
  return image, _orientation(encoded, exif)


def _png(encoded, background):
  header = tf.io.decode_raw(encoded, tf.uint8, fixed_length=26)
  size = tf.io.decode_raw(encoded, tf.int32, little_endian=False, fixed_length=24)[4:]  # width and height
  encoded = check_size(encoded, size[1], size[0])
  depth, color = header[24], header[25]
  has_key, is_numbers = _after(encoded, "tRNS")[0], (depth == 16) & (color == GREY)

  def read(channels, dtype=tf.uint8):
    return lambda: tf.io.decode_png(encoded, channels, dtype)

  def with_alpha():
    image = tf.cond(is_numbers, lambda: _numbers(read(4, tf.uint16)()), read(4))
    return composed(image[..., :3], image[..., 3:], background)

  def without():  # not as RGBA: TensorFlow gives images of one bit an alpha of 1
    return tf.cond(is_numbers, lambda: tf.concat([_numbers(read(1, tf.uint16)())] * 3, 2), read(3))

  return tf.cond((color == GREY_ALPHA) | (color == RGB_ALPHA) | has_key, with_alpha, without)


def _numbers(image) -> tf.Tensor:
  """Grey of 16 bits, and alpha where there are four channels, as uint8."""
  values = as_grey(tf.cast(image[..., :1], tf.int32), has_16=True)
  if image.shape[2] == 1:
    return values
  return tf.concat([*[values] * 3, tf.cast(image[..., 3:] // 256, tf.uint8)], 2)


def _jpeg(encoded, background):
  height, width, components = tf.unstack(tf.io.extract_jpeg_shape(encoded))
  encoded = check_size(encoded, height, width)
  known = (components < 4) | _after(encoded, "Adobe")[0]
  encoded = checked(encoded, known, "a JPEG in CMYK must have the mark of Adobe; save it in RGB")
  # The method that Pillow takes; TensorFlow's default is faster, and up to 17 grey levels off.
  return tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE")


def _after(encoded, mark: str) -> tuple[tf.Tensor, tf.Tensor]:
  """Whether a mark is in the bytes, and 64 KiB of what follows it; b"" if it is not."""
  parts = tf.strings.split(encoded, mark, maxsplit=1)
  is_there = tf.size(parts) > 1
  return is_there, tf.strings.substr(tf.where(is_there, parts[-1], ""), 0, 2**16)


def _orientation(encoded, exif) -> tf.Tensor:
  """The orientation that EXIF tells, or XMP in plain text, int32; 1 if neither does.

  Args:
    encoded: the whole file.
    exif: the bytes of EXIF, or none.
  """
  start = tf.strings.substr(exif, 0, 4)
  is_there = (start == TIFF_STARTS[0]) | (start == TIFF_STARTS[1])
  told = tf.cond(is_there, lambda: Directory(exif).first(Directory.ORIENTATION, 0), lambda: 0)
  words = tf.strings.substr(_after(encoded, "tiff:Orientation")[1], 0, 3)
  digit = tf.strings.regex_replace(words, r'^(?:="|>)([1-8])(?s:.*)$', r"\1")
  of_xmp = tf.strings.to_number(tf.where(tf.strings.regex_full_match(digit, "[1-8]"), digit, "1"), tf.int32)
  return tf.where(told > 0, told, of_xmp)
