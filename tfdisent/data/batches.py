"""The batches that training draws from a data set, each a function of the seed and the step alone."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfdisent.data.dataset import Examples
from tfdisent.errors import DataError


def steps_per_epoch(examples: Examples, batch_size: int) -> int:
  """Whole batches in a split; raises `DataError` if there is none."""
  count = len(examples["image"])
  if count < batch_size:
    raise DataError(f"a batch of {batch_size} is larger than the split of {count} images: lower the batch size.")
  return count // batch_size


def validation_steps(examples: Examples, batch_size: int) -> int:
  """Batches in a split, the incomplete last one among them."""
  return -(-len(examples["image"]) // batch_size)


def training_batches(
  examples: Examples,
  feature: np.ndarray,
  batch_size: int,
  seed: int,
  shuffle: bool = True,
  first_step: int = 0,
  context: tf.distribute.InputContext | None = None,
) -> tf.data.Dataset:
  """An endless `tf.data.Dataset` of training batches, each a function of (seed, step) alone.

  Every epoch is a new permutation of the examples without its incomplete last batch. The partner x̃ of each x comes from
  a second, independent permutation; only f(x̃) is needed of it. Since no state is kept, training resumes at any step.
  For validation (`shuffle` False) every example counts once: the last batch is filled up with the first examples again,
  and they get the weight 0.

  Under a strategy of several replicas, `distribute_datasets_from_function` asks for the batches of the replicas of this
  worker, one after the other: the global batch is split into contiguous shares, and nothing else is read.

  Args:
    examples: a split; only its images are read.
    feature: f(x) of the split, float32 [N, width].
    batch_size: of the global batch, a multiple of the number of replicas; at most N, where `shuffle` is True.
    seed: of the permutations.
    shuffle: False gives every epoch alike, whole and in the order of the examples (the partners stay shuffled): for
      validation.
    first_step: the number of the first batch.
    context: which share this worker reads; None for all.

  Returns:
    Batches with `image` uint8 [B, H, W, C], `feature` f(x) and `partner` f(x̃) float32 [B, width], and `position` int32
    [B], the position in the global batch; B is a replica's share of it. For validation also `weight` float32 [B], 1 or
    0: what each example counts.

  Raises:
    DataError: the batch is larger than the split.
  """
  count = len(examples["image"])
  steps = steps_per_epoch(examples, batch_size) if shuffle else validation_steps(examples, batch_size)
  read = image_reader(examples["image"])
  with tf.device("CPU"):
    features = tf.constant(feature)

  context = context or tf.distribute.InputContext()
  local = context.num_replicas_in_sync // context.num_input_pipelines
  share = batch_size // context.num_replicas_in_sync

  def batch(number):
    step, replica = number // local, context.input_pipeline_id * local + tf.cast(number % local, tf.int32)
    position = replica * share + tf.range(share)
    epoch, step = tf.cast(step // steps, tf.int32) if shuffle else 0, tf.cast(step % steps, tf.int32)
    row = step * batch_size + position

    def draw(stream):
      # What tf.random.experimental.index_shuffle does, with a mixed key and 16 rounds of its cipher for 4: with 4, and
      # keys that differ in a bit, most of 48,000 images get the same partner in every epoch.
      key = tf.random.stateless_uniform([3], [seed, 2 * epoch + stream], None, None, tf.int32)
      return tf.raw_ops.RandomIndexShuffle(index=row % count, seed=key, max_index=count - 1, rounds=16)

    x, x_partner = draw(0) if shuffle else row % count, draw(1)
    return {
      "image": read(x),
      "feature": tf.gather(features, x),
      "partner": tf.gather(features, x_partner),
      "position": position,
      **({} if shuffle else {"weight": tf.cast(row < count, tf.float32)}),
    }

  # `repeat` says that there is no end: several workers would else agree on it at every step
  return tf.data.Dataset.range(first_step * local, 2**62).map(batch).repeat().prefetch(2)


def image_reader(image: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
  """A function from rows int [B] to uint8 [B, H, W, C], for the graph of an input pipeline.

  Images in memory become a constant; those of a file that is mapped into memory (`np.memmap`) stay where they are, and
  each batch is read from there. The file is mapped anew for each, so that what was read once does not stay in memory.
  """
  # without a file's name it is a copy in memory, and what is changed in a copy-on-write map ("c") is not in the file
  if not (isinstance(image, np.memmap) and image.filename and image.mode != "c"):
    with tf.device("CPU"):
      constant = tf.constant(image)
    return lambda rows: tf.gather(constant, rows)

  whole = image
  while isinstance(whole.base, np.memmap):
    whole = whole.base
  offset = whole.offset + image.ctypes.data - whole.ctypes.data

  def rows_of_file(rows):
    file = np.memmap(image.filename, np.uint8, "r")
    return np.ndarray(image.shape, np.uint8, file, offset, image.strides)[rows]  # strided and reversed views as well

  def read(rows):
    batch = tf.numpy_function(rows_of_file, [rows], tf.uint8, stateful=False)
    return tf.ensure_shape(batch, [*rows.shape, *image.shape[1:]])

  return read
