"""The order in which a training reads shards: each epoch a new one, a function of the seed, the epoch and the step.

A file of N images in the order of their shards is divided into as many equal parts as there are readers. A reader draws
a consecutive slice of every batch from its part, of which it takes the shards in a random order and shuffles `buffer`
images after `buffer` images. A worker whose slice of the batch is that of some readers reads their parts of the file
alone, in all epochs. Nothing of it is a state: any step can be the first, and any number of workers sees one order.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdisent.data.dataset import Shards


def shard_order(shards: Shards, batch_size: int, seed: int) -> Callable[..., tf.Tensor]:
  """A function from (epoch, step, positions [B] in the global batch) to the row numbers of these images, int32 [B].

  The step is counted from the beginning of the epoch, of which there are floor(N / batch_size); no row is drawn twice
  in an epoch.

  Args:
    shards: of the split.
    batch_size: of the global batch. The number of readers is the largest divisor of both.
    seed: of the orders.
  """
  readers = math.gcd(shards.readers, batch_size)
  slice_size = batch_size // readers
  starts, sizes = _pieces(shards, readers)
  of_reader = sizes.sum(1)
  windows = -(-int(of_reader.max()) // shards.buffer)
  with tf.device("CPU"):
    starts, sizes, of_reader = (tf.constant(array, tf.int32) for array in (starts, sizes, of_reader))

  def rows(epoch, step, position):
    reader = position // slice_size
    place = step * slice_size + position % slice_size

    # Within the window of the buffer, by the cipher that shuffles whole sets, too (see `tfdisent.data.batches`).
    window = place // shards.buffer
    keys = tf.random.stateless_uniform([readers, windows, 3], [seed, -2 * epoch - 1], None, None, tf.int32)
    first = window * shards.buffer
    last = tf.minimum(shards.buffer, tf.gather(of_reader, reader) - first) - 1
    key = tf.gather_nd(keys, tf.stack([reader, window], 1))
    place = first + tf.raw_ops.RandomIndexShuffle(index=place - first, seed=key, max_index=last, rounds=16)

    # The shards of the reader, one after the other in the order of the epoch.
    order = tf.argsort(tf.random.stateless_uniform(sizes.shape, [seed, -2 * epoch - 2]))
    ends = tf.gather(tf.cumsum(tf.gather(sizes, order, batch_dims=1), axis=1), reader)
    which = tf.reduce_sum(tf.cast(ends <= place[:, None], tf.int32), axis=1)
    shard = tf.stack([reader, tf.gather_nd(order, tf.stack([reader, which], 1))], 1)
    begin = tf.gather(ends, which, batch_dims=1) - tf.gather_nd(sizes, shard)
    return tf.gather_nd(starts, shard) + place - begin

  return rows


def _pieces(shards: Shards, readers: int) -> tuple[np.ndarray, np.ndarray]:
  """The first row and the rows of each shard of each reader, [readers, P]; a shard in two parts is a piece in each."""
  ends = np.cumsum(shards.sizes)
  bounds = np.array([reader * int(ends[-1]) // readers for reader in range(readers + 1)])
  cuts = np.unique(np.concatenate([bounds, ends]))
  pieces = [cuts[(cuts >= low) & (cuts <= high)] for low, high in itertools.pairwise(bounds)]
  most = max(len(of) for of in pieces) - 1
  starts = np.array([np.pad(of[:-1], (0, most - len(of) + 1)) for of in pieces])
  return starts, np.array([np.pad(np.diff(of), (0, most - len(of) + 1)) for of in pieces])
