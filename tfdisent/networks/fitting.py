"""Fits a network to rows of images and their targets: the one loop of learned features, judges and probes of images."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdisent.data.batches import image_reader

Inputs = np.ndarray | tuple[np.ndarray, ...]
"""What a network takes: an array [N, …], or a tuple of such arrays where it has several inputs."""

EVALUATION_BATCH = 500


def in_batches(
  inputs: Inputs,
  target: np.ndarray,
  rows: tf.data.Dataset | None = None,
  prepare: Callable[[Any], Any] = lambda x: x,
) -> tf.data.Dataset:
  """Batches (inputs [B, …], target [B, …]), which are read from the arrays within the input pipeline.

  Args:
    inputs: the whole arrays; images that are mapped into memory stay in their file.
    target: what the network shall give, [N, …].
    rows: which rows make a batch, int64 [B] each; None for all rows in their order, `EVALUATION_BATCH` at a time.
    prepare: from the inputs of a batch as they are stored to what the network takes.
  """
  readers = tf.nest.map_structure(image_reader, (inputs, target))

  def read(row):
    x, y = tf.nest.map_structure(lambda reader: reader(row), readers)
    return prepare(x), y

  rows = tf.data.Dataset.range(len(target)).batch(EVALUATION_BATCH) if rows is None else rows
  return rows.map(tf.autograph.experimental.do_not_convert(read)).prefetch(2)


def fit(
  network: keras.Model,
  inputs: Inputs,
  target: np.ndarray,
  optimizer: keras.optimizers.Optimizer,
  loss: Any,
  *,
  batch_size: int,
  epochs: int,
  seed: int,
  steps_per_epoch: int | None = None,
  passes_per_epoch: int = 1,
  validation: tuple[Inputs, np.ndarray] | None = None,
  prepare: Callable[[Any], Any] = lambda x: x,
  augment: Callable[[Any], Any] | None = None,
  callbacks: Sequence[keras.callbacks.Callback] = (),
  verbose: int = 0,
) -> keras.callbacks.History:
  """Compiles a network and fits it to rows in a shuffled order.

  Args:
    network: is changed in place.
    inputs, target: the rows to learn, [N, …] each.
    optimizer, loss: as `keras.Model.compile` takes them.
    batch_size: rows in a batch. Without `steps_per_epoch`, all rows are one batch where there are fewer.
    epochs: at most so many; a callback may stop earlier.
    seed: of the order of the rows.
    steps_per_epoch: batches in an epoch. A batch may then hold the end of one pass over the rows and the start of the
      next, so that no row is left out. None for epochs of whole passes, each without its incomplete last batch.
    passes_per_epoch: passes over the rows in an epoch, where `steps_per_epoch` is None.
    validation: inputs and target for the validation loss of each epoch; None for no validation.
    prepare: from the inputs of a batch as they are stored to what the network takes.
    augment: changes the prepared inputs that the network learns from, but not those of `validation`.
    callbacks, verbose: as `keras.Model.fit` takes them.

  Returns:
    The losses of each epoch.
  """
  count = len(target)
  rows = tf.data.Dataset.range(count).shuffle(count, seed)
  if steps_per_epoch is None:
    rows = rows.batch(min(batch_size, count), drop_remainder=True).repeat(passes_per_epoch)
  else:
    rows = rows.repeat().batch(batch_size)
  batches = in_batches(inputs, target, rows, prepare)
  if augment:
    batches = batches.map(lambda x, y: (augment(x), y))
  network.compile(optimizer, loss=loss, jit_compile=False)
  optimizer.build(network.trainable_variables)  # made within the first step, they would have it traced a second time
  return network.fit(
    batches,
    epochs=epochs,
    steps_per_epoch=steps_per_epoch,
    validation_data=validation and in_batches(*validation, prepare=prepare),
    shuffle=False,  # the rows are shuffled already
    callbacks=list(callbacks),
    verbose=verbose,
  )
