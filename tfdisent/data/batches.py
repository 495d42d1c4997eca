"""Batches: those that training draws, each a function of the seed and the step alone, and those of a whole array."""

import mmap
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from tfdisent.data.augment import Augment
from tfdisent.data.dataset import Examples, Shards
from tfdisent.data.order import shard_order
from tfdisent.errors import ConfigError, DataError


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
  """The number of whole batches in a split; raises `DataError` if there is none."""
  count = len(examples["image"])
  if count < batch_size:
    raise DataError(
      f"a batch of {batch_size} is larger than the split of {count} images: lower the batch size (train.batch_size) to "
      f"{count - count % 2}, or add images."
    )
  return count // batch_size


def validation_steps(examples: Examples, batch_size: int) -> int:
  """The number of batches in a split, including an incomplete last one."""
  return -(-len(examples["image"]) // batch_size)


def training_batches(
  examples: Examples,
  feature: np.ndarray,
  batch_size: int,
  seed: int,
  shuffle: bool = True,
  first_step: int = 0,
  context: tf.distribute.InputContext | None = None,
  augment: Augment | None = None,
  frequency: np.ndarray | None = None,
  shards: Shards | None = None,
) -> tf.data.Dataset:
  """An endless `tf.data.Dataset` of training batches, each a function of (seed, step) alone.

  Every epoch is a new permutation of the examples, without its incomplete last batch. The partner x̃ of each x comes
  from a second, independent permutation; a batch has only its f(x̃). There is no state, so training resumes at any step.
  For validation (`shuffle` False) every example counts once: the last batch is filled up with the first examples, which
  get the weight 0.

  If there are several replicas, `distribute_datasets_from_function` draws the batches for the replicas of this worker,
  one after the other. Each is a contiguous slice of the global batch, and the worker reads no other images.

  Args:
    examples: a split; only its images are read.
    feature: f(x) of the split, float32 [N, width].
    batch_size: the size of the global batch, a multiple of the number of replicas. If `shuffle` is True, at most N.
    seed: the seed of the permutations.
    shuffle: False for validation: every epoch has all examples in their order, and only the partners are shuffled.
    first_step: the number of the first batch.
    context: which replicas this worker has; None if it has all.
    augment: changes each image, by the seed, the step and its position alone; None leaves them.
    frequency: how often each example is drawn in an epoch, as x and likewise as x̃, relative to the others, [N] at least
      0; None for once each. On average it is exact, and in one epoch it is rounded up or down.

  Returns:
    Batches with `image` uint8 [B, H, W, C], `feature` f(x) and `partner` f(x̃) float32 [B, width], and `position` int32
    [B], the position in the global batch; B = batch_size / replicas. For validation also `weight` float32 [B]: 1 for an
    example that counts, and 0 for one that fills up the last batch.

  Raises:
    ConfigError: shards are given with frequencies.
    DataError: the batch is larger than the split.
  """
  count = len(examples["image"])
  steps = steps_per_epoch(examples, batch_size) if shuffle else validation_steps(examples, batch_size)
  read = image_reader(examples["image"])
  with tf.device("CPU"):
    features = tf.constant(feature)
    ends = None if frequency is None else tf.constant(np.cumsum(frequency) / np.sum(frequency), tf.float64)

  by_shards = _order(shards, batch_size, seed, frequency) if shards and shuffle else None
  context = context or tf.distribute.InputContext()
  local_replicas = context.num_replicas_in_sync // context.num_input_pipelines
  replica_batch_size = batch_size // context.num_replicas_in_sync

  def batch(number):
    step = number // local_replicas
    replica = context.input_pipeline_id * local_replicas + tf.cast(number % local_replicas, tf.int32)
    position = replica * replica_batch_size + tf.range(replica_batch_size)
    epoch, step = tf.cast(step // steps, tf.int32) if shuffle else 0, tf.cast(step % steps, tf.int32)
    row = step * batch_size + position

    def draw(stream):
      # tf.random.experimental.index_shuffle with a mixed key, and with 16 rounds of its cipher instead of 4. With 4
      # rounds and keys that differ in one bit, most of 48,000 images get the same partner in every epoch.
      key = tf.random.stateless_uniform([3], [seed, 2 * epoch + stream], None, None, tf.int32)
      index = tf.raw_ops.RandomIndexShuffle(index=row % count, seed=key, max_index=count - 1, rounds=16)
      if ends is None:
        return index
      # Systematic resampling: [0, 1) has a stretch for each example, and a comb of N teeth, moved at random, hits it.
      tooth = (tf.cast(index, tf.float64) + tf.random.stateless_uniform([], key[:2], dtype=tf.float64)) / count
      return tf.minimum(tf.searchsorted(ends, tooth, side="right"), count - 1)

    x = by_shards(epoch, step, position) if by_shards else draw(0) if shuffle else row % count
    x_partner = draw(1)
    image = read(x)
    if augment:
      image = augment(image, tf.stack([seed, epoch * steps + step]), position, batch_size)
    return {
      "image": image,
      "feature": tf.gather(features, x),
      "partner": tf.gather(features, x_partner),
      "position": position,
      **({} if shuffle else {"weight": tf.cast(row < count, tf.float32)}),
    }

  # `repeat` marks the data set as infinite. Otherwise several workers synchronise at each step to find out whether one
  # of them has run out of batches.
  batches = tf.data.Dataset.range(first_step * local_replicas, 2**62).map(batch).repeat().prefetch(2)
  return batches.with_options(untuned())


def untuned() -> tf.data.Options:
  """Options of a data set that has nothing to tune.

  The tuner of tf.data sleeps for up to a minute at a time, and under a strategy it is not always woken when `fit` ends
  or is stopped: both would wait for it.
  """
  options = tf.data.Options()
  options.autotune.enabled = False
  return options


def _order(shards: Shards, batch_size: int, seed: int, frequency: np.ndarray | None) -> Callable[..., tf.Tensor]:
  """`shard_order`; raises `ConfigError` if there are frequencies, which it does not know."""
  if frequency is not None:
    raise ConfigError(
      "images cannot be drawn by shards and by how often they should come (train.independent_of): bind "
      "shards.buffer = 0, which draws from all of them."
    )
  return shard_order(shards, batch_size, seed)


def joined(function: Callable, *arrays: np.ndarray, size: int) -> Any:
  """What a function gives for arrays [N, …], N > 0, of which it sees `size` rows at a time: it bounds the memory.

  Args:
    function: from arrays [B, …] to an array or a tensor [B, …], or several in a structure.
    size: rows of a call.
  """
  starts = range(0, len(arrays[0]), size)
  batches = [function(*(array[start : start + size] for array in arrays)) for start in starts]
  return tf.nest.map_structure(lambda *b: np.concatenate([np.asarray(a) for a in b]), *batches)


def image_reader(image: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
  """A function from row numbers int [B] to images uint8 [B, H, W, C], for the graph of an input pipeline.

  Images in memory become a constant of the graph. Images of a mapped file (`np.memmap`) stay in the file, and each
  batch is read from it. Each read maps the file anew, since a lasting map keeps all pages in memory that it has read.
  The file stays open, so that it may be removed meanwhile; of one that is gone already, the map itself is read.
  """
  # A map without a file name is a copy in memory, and changes of a copy-on-write map ("c") are not in the file.
  if not (isinstance(image, np.memmap) and image.filename and image.mode != "c"):
    with tf.device("CPU"):
      constant = tf.constant(image)
    return lambda rows: tf.gather(constant, rows)

  whole = image
  while isinstance(whole.base, np.memmap):
    whole = whole.base
  offset = whole.offset + image.ctypes.data - whole.ctypes.data

  file, shape, strides = _opened(image.filename), image.shape, image.strides
  kept = image if file is None else None  # TensorFlow never lets go of a function, and so of what it refers to

  def rows_of_file(rows):
    if file is None:
      return np.asarray(kept)[rows]
    mapped = mmap.mmap(file, 0, access=mmap.ACCESS_READ)
    return np.ndarray(shape, np.uint8, mapped, offset, strides)[rows]  # strides cover strided and reversed views

  def read(rows):
    batch = tf.numpy_function(rows_of_file, [rows], tf.uint8, stateful=False)
    return tf.ensure_shape(batch, [*rows.shape, *shape[1:]])

  return read


_descriptors: dict[tuple[int, int], int] = {}
"""Of the files that are read, by device and inode: one for each, however many readers it has."""


def _opened(name: str | os.PathLike) -> int | None:
  """The descriptor of a file, which stays open; None if the file is gone."""
  try:
    file = os.open(name, os.O_RDONLY)
  except OSError:
    return None
  state = os.fstat(file)
  if (first := _descriptors.setdefault((state.st_dev, state.st_ino), file)) != file:
    os.close(file)
  return first
