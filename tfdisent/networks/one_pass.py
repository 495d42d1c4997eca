"""(1 + γ) h + β and its (leaky) ReLU in one pass over the feature map, for trainings in bfloat16 on a processor.

TensorFlow's own kernels go over h three times for it, and five times for its gradient, and take as long for bfloat16 as
for float32, of twice the bytes, or longer: they took most of half of a step of `modulated` at 64x64 pixels
(training/README.md). XLA makes one pass of the one, and two of the other. A graph that is not a training step keeps
TensorFlow's operations, since XLA compiles anew for each size of a batch; so does one in float32, where nothing is won.
"""

import contextlib
import contextvars
from collections.abc import Iterator

import tensorflow as tf

from tfdisent.hardware import has_accelerator

SLOPE = 0.2
"""Of the leaky ReLU below 0, as in Keras."""
_is_on = contextvars.ContextVar("one_pass", default=False)


@contextlib.contextmanager
def in_one_pass() -> Iterator[None]:
  """Within it a graph that is traced computes `modulated` in one pass, where that is faster: see `is_faster`."""
  token = _is_on.set(True)
  try:
    yield
  finally:
    _is_on.reset(token)


def is_faster(h: tf.Tensor) -> bool:
  """Whether h [B, H, W, C] is of a training step in bfloat16 that runs on a processor."""
  return _is_on.get() and h.dtype == tf.bfloat16 and h.shape.is_fully_defined() and not has_accelerator()


@tf.custom_gradient
def modulated(h: tf.Tensor, gamma: tf.Tensor, beta: tf.Tensor, slope: float | tf.Tensor) -> tf.Tensor:
  """The leaky ReLU of (1 + γ) h + β, computed in float32.

  Args:
    h: [B, H, W, C].
    gamma, beta: [B, 1, 1, C], or [1, 1, 1, C] for all alike.
    slope: below 0; of a ReLU it is 0.

  Returns:
    [B, H, W, C] of the dtype of h.
  """
  # (Of what a tape watches, the compiled function would write all that its own gradient reads.)
  activated = _forward(*map(tf.stop_gradient, (h, gamma, beta)), slope)

  def gradient(upstream):
    before, of_h = _backward(tf.stop_gradient(activated), upstream, gamma, slope)
    batch, height, width, channels = h.shape
    before, h_ = (tf.reshape(t, [batch, height * width, channels]) for t in (before, h))
    # Sums over pixels by products of matrices, which accumulate in float32; the products of two channels are not read,
    # and still cost less than another pass over the feature map.
    of_gamma = tf.linalg.diag_part(tf.matmul(h_, before, transpose_a=True))
    of_beta = tf.matmul(tf.ones([batch, 1, height * width], h.dtype), before)
    return of_h, _as(gamma, of_gamma[:, None, None]), _as(beta, of_beta[:, None]), None

  return activated, gradient


def _as(code: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
  """The gradient [B, 1, 1, C] of a code of this shape, or of one that is the same for all."""
  return gradient if code.shape[0] == gradient.shape[0] else tf.reduce_sum(gradient, 0, keepdims=True)


def _float32(*tensors: tf.Tensor) -> list[tf.Tensor]:
  return [tf.cast(t, tf.float32) for t in tensors]


@tf.function(autograph=False, jit_compile=True)
def _forward(h, gamma, beta, slope):
  h32, gamma32, beta32 = _float32(h, gamma, beta)
  shifted = (1 + gamma32) * h32 + beta32
  return tf.cast(tf.where(shifted > 0, shifted, slope * shifted), h.dtype)


@tf.function(autograph=False, jit_compile=True)
def _backward(activated, upstream, gamma, slope):
  """The gradients of (1 + γ) h + β and of h; the output has the sign of what the leaky ReLU was given."""
  activated32, upstream32, gamma32 = _float32(activated, upstream, gamma)
  before = tf.where(activated32 > 0, upstream32, slope * upstream32)
  return [tf.cast(t, upstream.dtype) for t in (before, (1 + gamma32) * before)]
