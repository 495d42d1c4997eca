"""TIFF in the graph of an exported model, which TensorFlow has no operation for.

| taken                  | with                                                                          |
|------------------------|-------------------------------------------------------------------------------|
| grey, white is 0 or 1  | 1, 8 or 16 bits, 32-bit integers or floats; 8 bits with alpha                 |
| RGB                    | 8 or 16 bits, with alpha or without                                           |
| a palette              | 8 bits                                                                        |
| CMYK                   | 8 or 16 bits                                                                  |

The first page is read. Files that are compressed, in tiles or in planes, LAB and YCbCr are refused in words.
"""

import tensorflow as tf

from tfdisent.data.pixels import FULL_8
from tfdisent.serving.raster import as_grey, check_size, checked, composed, floats_as_grey

SAVE = "save it as PNG, or as TIFF without compression"
WIDTHS = {1: 1, 3: 2, 4: 4}
"""Bytes of the numbers that a tag holds, by the code of their kind."""
INTEGERS, FLOATS = 1, 3
"""Of the tag SampleFormat."""
NO_ALPHA, MULTIPLIED, ALPHA = 0, 1, 2
"""Of the tag ExtraSamples: what is not alpha, alpha that the colours are multiplied with, and alpha."""
MOST_SAMPLES = 8


class Directory:
  """The first directory of a TIFF file, or of EXIF, which has the same form.

  Args:
    encoded: the bytes, a scalar string.
  """

  WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, FILL_ORDER = 256, 257, 258, 259, 262, 266
  STRIP_STARTS, ORIENTATION, SAMPLES, STRIP_SIZES, PLANES = 273, 274, 277, 279, 284
  COLORS, EXTRA, FORMAT = 320, 338, 339

  def __init__(self, encoded: tf.Tensor):
    self.bytes = tf.io.decode_raw(encoded, tf.uint8)
    self.is_little = self.bytes[0] == ord("I")
    start = self._numbers([4], [4])[0]
    entries = start + 2 + 12 * tf.range(self._numbers([start], [2])[0])
    self._tags, kinds, self._counts, content = (
      self._numbers(entries + at, tf.fill(tf.shape(entries), width)) for at, width in ((0, 2), (2, 2), (4, 4), (8, 4))
    )
    is_number = tf.reduce_any(kinds[:, None] == list(WIDTHS), 1)
    self._widths = tf.gather([WIDTHS.get(kind, 1) for kind in range(5)], tf.where(is_number, kinds, 0))
    is_apart = is_number & (self._widths * self._counts > 4)  # more than four bytes are elsewhere in the file
    self._starts = tf.where(is_apart, content, entries + 8)
    self._firsts = self._numbers(self._starts, self._widths)

  def _numbers(self, starts, widths) -> tf.Tensor:
    """The unsigned numbers that begin at the positions `starts` [N] and have `widths` [N] bytes, int32 [N]."""
    words, size = "the TIFF, or the EXIF, is damaged: it points beyond its end", tf.size(self.bytes)
    starts, widths = tf.convert_to_tensor(starts), tf.convert_to_tensor(widths)[:, None]
    starts = checked(starts, tf.reduce_all((starts >= 0) & (starts + widths[:, 0] <= size)), words)
    place = tf.range(4)
    digits = tf.cast(tf.gather(self.bytes, tf.minimum(starts[:, None] + place, size - 1)), tf.int32)
    shifts = 8 * tf.where(self.is_little, place, tf.maximum(widths - 1 - place, 0))
    return tf.reduce_sum(tf.where(place < widths, tf.bitwise.left_shift(digits, shifts), 0), 1)

  def first(self, tag: int, default: int) -> tf.Tensor:
    """The first number of a tag, or the default if it is not there."""
    is_tag = self._tags == tag
    return tf.where(tf.reduce_any(is_tag), tf.reduce_max(tf.where(is_tag, self._firsts, -(2**31))), default)

  def numbers(self, tag: int) -> tf.Tensor:
    """All numbers of a tag, int32 [N]."""
    row = tf.where(self._tags == tag)[:1, 0]  # none, or one
    start, count, width = (tf.reduce_sum(tf.gather(of, row)) for of in (self._starts, self._counts, self._widths))
    is_good = (count >= 0) & (count <= tf.size(self.bytes))
    count = checked(count, is_good, "the TIFF, or the EXIF, is damaged: it has more numbers than bytes")
    return self._numbers(start + width * tf.range(count), tf.fill([count], width))


def decode_tiff(encoded: tf.Tensor, background: tuple[int, int, int]) -> tf.Tensor:
  """A TIFF as RGB, uint8 [h, w, 3].

  Args:
    encoded: the file, a scalar string.
    background: the colour that transparent pixels are composed on.
  """
  tags = Directory(encoded)
  height, width, samples = (
    tags.first(tag, default) for tag, default in ((tags.HEIGHT, 0), (tags.WIDTH, 0), (tags.SAMPLES, 1))
  )
  kind, depth, form = (
    tags.first(tag, default) for tag, default in ((tags.PHOTOMETRIC, -1), (tags.BITS, 1), (tags.FORMAT, INTEGERS))
  )
  encoded = check_size(encoded, height, width)
  for is_good, words in (
    (tags.first(tags.COMPRESSION, 1) == 1, "a TIFF must not be compressed"),
    (tags.first(tags.STRIP_STARTS, -1) >= 0, "a TIFF must not be in tiles"),
    ((tags.first(tags.PLANES, 1) == 1) | (samples == 1), "a TIFF must not be in planes"),
    (tags.first(tags.FILL_ORDER, 1) == 1, "the bits of a TIFF must be in their usual order"),
    (tf.reduce_min([height, width, samples]) > 0, "a TIFF must have pixels"),
    (samples <= MOST_SAMPLES, f"a pixel of a TIFF has {MOST_SAMPLES} numbers at most"),
    (tf.reduce_all(tags.numbers(tags.BITS) == depth), "all numbers of a TIFF must have as many bits"),
  ):
    encoded = checked(encoded, is_good, f"{words}: {SAVE}")
  is_deep = (depth == 8) | (depth == 16)
  kinds = (
    (_grey, ((kind == 0) | (kind == 1)) & ((samples == 1) | ((samples == 2) & (depth == 8)))),
    (_rgb, (kind == 2) & (samples >= 3) & is_deep),
    (_palette, (kind == 3) & (samples == 1) & (depth == 8)),
    (_cmyk, (kind == 5) & (samples >= 4) & is_deep),
  )
  words = f"a TIFF must be in grey, RGB, CMYK or a palette, with a usual number of bits: {SAVE}"
  encoded = checked(encoded, tf.reduce_any([is_kind for _, is_kind in kinds]), words, kind, samples, depth)
  shape = tf.stack([height, width, samples])
  values = _values(_strips(encoded, tags), shape, depth, form, tags.is_little)
  functions = [lambda function=function: function(values, tags, background) for function, _ in kinds]
  return tf.switch_case(tf.argmax([is_kind for _, is_kind in kinds], output_type=tf.int32), functions)


def _strips(encoded, tags) -> tf.Tensor:
  """The bytes of all strips, one after the other, uint8 [N]."""
  starts, sizes = tags.numbers(tags.STRIP_STARTS), tags.numbers(tags.STRIP_SIZES)
  within = tf.reduce_sum(tf.cast(sizes, tf.int64)) <= tf.cast(tf.size(tags.bytes), tf.int64)
  is_good = (tf.size(starts) == tf.size(sizes)) & (tf.reduce_min(sizes) >= 0)
  starts = checked(starts, is_good & within, "the TIFF is damaged: its strips are longer than itself")
  strips = tf.map_fn(lambda at: tf.strings.substr(encoded, *at), (starts, sizes), fn_output_signature=tf.string)
  return tf.io.decode_raw(tf.strings.reduce_join(strips), tf.uint8)


def _values(data, shape, depth, form, is_little) -> tf.Tensor:
  """The numbers of the pixels, scaled to uint8 [h, w, S].

  Args:
    data: the bytes, uint8 [N].
    shape: [h, w, S].
    depth: bits of a number.
    form: `INTEGERS` or `FLOATS`, or another.
    is_little: whether the first byte of a number is its lowest.
  """
  height, width_of_row, samples = tf.unstack(shape)
  row = (width_of_row * samples * depth + 7) // 8
  data = checked(data, tf.size(data) >= height * row, "the TIFF is damaged: pixels are missing")[: height * row]

  def as_bytes(width):  # of each number, the lowest first
    numbers = tf.reshape(data, [height, width_of_row, samples, width])
    return tf.where(is_little, numbers, tf.reverse(numbers, [3]))

  def of_bits():
    bits = tf.reshape(data, [height, row, 1]) // [128, 64, 32, 16, 8, 4, 2, 1] % 2
    return tf.reshape(bits, [height, -1, 1])[:, :width_of_row] * FULL_8

  def of_16():  # one number is scaled as Pillow's mode I;16 is; of several, Pillow reads the upper bytes
    low, high = tf.unstack(as_bytes(2), axis=-1)
    numbers = tf.cast(high, tf.int32) * 256 + tf.cast(low, tf.int32)
    return tf.cond(samples == 1, lambda: as_grey(numbers, has_16=True), lambda: high)

  def of_32():
    return as_grey(tf.bitcast(as_bytes(4), tf.int32), has_16=False)

  def of_floats():
    return floats_as_grey(tf.bitcast(as_bytes(4), tf.float32))

  cases = (
    (depth == 1, of_bits),
    (depth == 8, lambda: tf.reshape(data, shape)),
    ((depth == 16) & (form == INTEGERS), of_16),
    ((depth == 32) & (form != FLOATS), of_32),
    ((depth == 32) & (form == FLOATS), of_floats),
  )
  words = f"a number of a TIFF must have 1, 8, 16 or 32 bits: {SAVE}"
  data = checked(data, tf.reduce_any([is_case for is_case, _ in cases]), words, depth)
  return tf.switch_case(tf.argmax([is_case for is_case, _ in cases], output_type=tf.int32), [read for _, read in cases])


def _grey(values, tags, background):
  values = tf.cond(tags.first(tags.PHOTOMETRIC, 0) == 0, lambda: FULL_8 - values, lambda: values)
  return _with_alpha(tf.concat([values[..., :1]] * 3, 2), values[..., 1:], tags, background)


def _rgb(values, tags, background):
  return _with_alpha(values[..., :3], values[..., 3:], tags, background)


def _with_alpha(color, others, tags, background):
  """The colour on the background, where the first of the other numbers is alpha."""
  kind = tags.first(tags.EXTRA, ALPHA)

  def apart():
    return composed(color, others[..., :1], background)

  def multiplied():  # back to the colour, as Pillow does it
    alpha = tf.cast(others[..., :1], tf.int32)
    whole = tf.minimum(FULL_8 * tf.cast(color, tf.int32) // tf.maximum(alpha, 1), FULL_8)
    return composed(tf.cast(whole, tf.uint8), others[..., :1], background)

  has_alpha = (tf.shape(others)[2] > 0) & (kind != NO_ALPHA)
  return tf.cond(has_alpha, lambda: tf.cond(kind == MULTIPLIED, multiplied, apart), lambda: color)


def _palette(values, tags, background):
  colors = tf.cast(tags.numbers(tags.COLORS) // 256, tf.uint8)
  colors = checked(colors, tf.size(colors) == 3 * (FULL_8 + 1), "the TIFF is damaged: it must have 256 colours")
  return tf.gather(tf.transpose(tf.reshape(colors, [3, -1])), tf.cast(values[..., 0], tf.int32))


def _cmyk(values, tags, background):
  ink, black = (tf.cast(part, tf.uint16) for part in (values[..., :3], values[..., 3:4]))
  light = FULL_8 - black
  mixed = ink * light + 128
  return tf.cast(light - (mixed // 256 + mixed) // 256, tf.uint8)
