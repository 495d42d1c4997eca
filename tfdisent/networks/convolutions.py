"""4x4 convolutions of stride 2, padded "same": the functions and the weights of Keras's own, computed in less time.

oneDNN is slow where a transposed convolution gives the few channels of an image: the last one of G, and the gradients
of the images that D and q read. The same function as a 3x3 convolution with four times as many filters, one for each of
the 2x2 pixels that a pixel becomes (Shi et al. 2016), is faster, although 5 of 9 of its weights are 0. So it is for
LiteRT in integers.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import keras
import tensorflow as tf

from tfdisent.networks import one_pass

FEW = 4
"""As many channels, or fewer."""
SLOPES = {"relu": 0.0, "leaky_relu": one_pass.SLOPE}
"""Of an activation of this name, below 0."""
_are_avoided = contextvars.ContextVar("transposed_are_avoided", default=False)


@contextlib.contextmanager
def without_transposed() -> Iterator[None]:
  """Within it a graph that is traced has no transposed convolutions: LiteRT takes 25 times as long for one in integers.

  (One of 48 to 32 channels, of which the batch is not known: 23.7 ms for 0.9 in float32. As the 3x3 convolution it
  takes 0.1 and 0.8 ms.)
  """
  token = _are_avoided.set(True)
  try:
    yield
  finally:
    _are_avoided.reset(token)


def doubled(h: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
  """The transposed convolution of h [B, H, W, C] by a kernel [4, 4, F, C]: [B, 2H, 2W, F]."""
  if _are_avoided.get():
    return _transposed(h, kernel)
  count, height, width = tf.shape(h)[0], h.shape[1], h.shape[2]
  return tf.nn.conv2d_transpose(h, kernel, [count, 2 * height, 2 * width, kernel.shape[2]], 2, "SAME")


class Strided(keras.layers.Conv2D):
  """A convolution.

  Args:
    filters: channels of the output.
    keywords: of Keras.
  """

  def __init__(self, filters: int, **keywords):
    super().__init__(filters, 4, 2, "same", **keywords)

  def convolution_op(self, inputs, kernel):
    _, height, width, channels = inputs.shape
    if channels > FEW or height % 2 or width % 2:
      return super().convolution_op(inputs, kernel)
    return strided(inputs, tf.convert_to_tensor(kernel))


class Transposed(keras.layers.Conv2DTranspose):
  """A transposed convolution; its bias and its activation are one pass where that is faster.

  Args:
    filters: channels of the output.
    keywords: of Keras.
  """

  def __init__(self, filters: int, **keywords):
    super().__init__(filters, 4, 2, "same", **keywords)

  def call(self, inputs):
    kernel, bias = map(tf.convert_to_tensor, (self.kernel, self.bias))
    if self.filters <= FEW:
      return self.activation(transposed(inputs, kernel, bias))
    h, slope = doubled(inputs, kernel), SLOPES.get(self.activation.__name__)
    if slope is not None and one_pass.is_faster(h):
      beta = tf.reshape(bias, [1, 1, 1, -1])
      return one_pass.modulated(h, tf.zeros_like(beta), beta, slope)
    return self.activation(with_bias(h, bias))


@tf.custom_gradient
def strided(image: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
  """The convolution of an image [B, 2H, 2W, F] by a kernel [4, 4, F, C]: [B, H, W, C]."""

  def gradient(upstream):
    return _transposed(upstream, kernel), _of_kernel(image, kernel, upstream)

  return tf.nn.conv2d(image, kernel, 2, "SAME"), gradient


@tf.custom_gradient
def transposed(h: tf.Tensor, kernel: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """The transposed convolution of h [B, H, W, C] by a kernel [4, 4, F, C], and a bias [F]: [B, 2H, 2W, F]."""

  def gradient(upstream):
    return tf.nn.conv2d(upstream, kernel, 2, "SAME"), _of_kernel(upstream, kernel, h), _of_bias(upstream)

  return _transposed(h, kernel, bias), gradient


@tf.custom_gradient
def with_bias(h: tf.Tensor, bias: tf.Tensor) -> tf.Tensor:
  """h [B, H, W, F] + bias [F], with a gradient of the bias that is whole in bfloat16.

  TensorFlow's own on a processor sums it in bfloat16, where 256 + 1 is 256: of the ones of a batch of feature maps, for
  which it should be 200,704, it gives 256.
  """
  return tf.nn.bias_add(h, bias), lambda upstream: (upstream, _of_bias(upstream))


def _of_bias(upstream):
  # (In two steps: a sum over all but the last, short axis takes longer.)
  return tf.reduce_sum(tf.reshape(tf.reduce_sum(upstream, 0), [-1, upstream.shape[3]]), 0)


def _transposed(h, kernel, bias=None):
  pixels = tf.nn.conv2d(h, _of_pixels(kernel), 1, "SAME")
  if bias is not None:
    pixels = tf.nn.bias_add(pixels, tf.tile(bias, [4]))
  return tf.nn.depth_to_space(pixels, 2)


def _of_kernel(image, kernel, upstream):
  return tf.raw_ops.Conv2DBackpropFilter(
    input=image, filter_sizes=tf.shape(kernel), out_backprop=upstream, strides=[1, 2, 2, 1], padding="SAME"
  )


def _of_pixels(kernel: tf.Tensor) -> tf.Tensor:
  """The kernel [3, 3, C, 4F] that draws the 2x2 pixels of each pixel, of a transposed one [4, 4, F, C].

  Along each side, the first of two pixels has weight 3 of the pixel before it and weight 1 of its own, and the second
  one has weight 2 of its own and weight 0 of the pixel after it.
  """
  for axis in (0, 1):
    pads = [[0, 0]] * kernel.shape.rank
    of_two = []
    for places, pad in (((3, 1), [0, 1]), ((2, 0), [1, 0])):
      pads[axis] = pad
      of_two.append(tf.pad(tf.gather(kernel, places, axis=axis), pads))
    kernel = tf.stack(of_two, axis=axis + 2)
  kernel = tf.transpose(kernel, [0, 1, 5, 2, 3, 4])  # of [3, 3, 2, 2, F, C]
  return tf.reshape(kernel, [*kernel.shape[:3], -1])
