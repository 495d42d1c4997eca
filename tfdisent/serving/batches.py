"""The batches of a request, within a graph: as many of one input as of another, never empty, and in pieces."""

from collections.abc import Callable

import tensorflow as tf


def check_same_count(message: str, *batches: tf.Tensor) -> list[tf.Tensor]:
  """The batches [B, …]; if their lengths differ, they are an INVALID_ARGUMENT with `message`.

  Without this check the request would fail later, in a tf.concat or a broadcast, with an error that names no input.
  """
  counts = [tf.shape(batch)[0] for batch in batches]
  with tf.control_dependencies([tf.debugging.assert_equal(count, counts[0], message) for count in counts[1:]]):
    return [tf.identity(batch) for batch in batches]


def pad_empty(batch: tf.Tensor) -> tf.Tensor:
  """The batch [B, …]; an empty one becomes [1, …] of zeros."""
  missing = tf.maximum(1 - tf.shape(batch)[0], 0)
  return tf.pad(batch, [[0, missing], *[[0, 0]] * (batch.shape.rank - 1)])


def in_pieces(function: Callable[..., tf.Tensor], *batches: tf.Tensor, size: int, row: tf.TensorSpec) -> tf.Tensor:
  """What a function of batches [B, …], B > 0, gives, [B, …].

  Pieces that stay in the caches of a processor take less time: see `tfdisent.hardware.batch_size_for`.

  Args:
    function: sees `size` rows of each batch at a time.
    batches: its arguments.
    size: of a piece.
    row: the shape and the dtype of one of the rows that it gives.
  """
  count = tf.shape(batches[0])[0]

  def with_next(start, pieces):
    piece = function(*(batch[start : start + size] for batch in batches))
    return start + size, pieces.write(start // size, piece)

  pieces = tf.TensorArray(row.dtype, (count - 1) // size + 1, infer_shape=False, element_shape=[None, *row.shape])
  _, pieces = tf.while_loop(lambda start, _: start < count, with_next, (0, pieces), parallel_iterations=1)
  return pieces.concat()
