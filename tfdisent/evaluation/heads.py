"""What a judge's network gives for a property, and how the property is read from that: a class, an angle, or numbers.

A head is made from the true values of the images that are learned. It has

  target    what the network learns of them, [N] or [N, K],
  encode    from other values to what a network that has learned these is held against,
  outputs   how many numbers the network gives for an image,
  loss      of these, as Keras names it or describes it in JSON,
  dropout   before the layer that gives them,
  read      from the outputs, float [N, outputs], to the property in its unit, [N] or [N, K],
  values    few values that make a head which reads in the same way, [M] or [M, K].
"""

from collections.abc import Sequence

import keras
import numpy as np
import scipy.special
import tensorflow as tf

CROSS_ENTROPY = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}


class ClassHead:
  """Of classes, int [N]: a logit for each."""

  dropout = 0.4

  def __init__(self, values: np.ndarray):
    self.target, self.outputs, self.loss = values, int(values.max()) + 1, CROSS_ENTROPY
    self.values = np.array([self.outputs - 1])

  def encode(self, values: np.ndarray) -> np.ndarray:
    return values

  def read(self, outputs: np.ndarray) -> np.ndarray:
    return np.argmax(outputs, axis=1)

  def probabilities(self, outputs: np.ndarray) -> np.ndarray:
    """Of each class, [N, classes]."""
    return scipy.special.softmax(outputs, axis=1)


class AngleHead:
  """Of angles, [N]: cosine and sine. `turn` is a full turn in their unit."""

  outputs, loss, dropout = 2, "mse", 0.0

  def __init__(self, values: np.ndarray, turn: float):
    self._turn, self.values = turn, values[:1]
    self.target = self.encode(values)

  def encode(self, values: np.ndarray) -> np.ndarray:
    theta = values.astype(np.float32) * np.float32(2 * np.pi / self._turn)
    return np.stack([np.cos(theta), np.sin(theta)], 1)

  def read(self, outputs: np.ndarray) -> np.ndarray:
    return np.arctan2(outputs[:, 1], outputs[:, 0]) * (self._turn / (2 * np.pi))


class NumberHead:
  """Of numbers, [N] or [N, K]: K of them, in units of their spread."""

  loss, dropout = "mse", 0.0

  def __init__(self, values: np.ndarray):
    values = values.astype(np.float32)
    self._shape = values.shape[1:]
    values = values.reshape(len(values), -1)
    self._mean, self._scale = values.mean(0), np.maximum(values.std(0), 1e-6)
    self.target, self.outputs = self.encode(values), values.shape[1]
    self.values = np.stack([self._mean - self._scale, self._mean + self._scale]).reshape(-1, *self._shape)

  def encode(self, values: np.ndarray) -> np.ndarray:
    return (values.astype(np.float32).reshape(len(values), -1) - self._mean) / self._scale

  def read(self, outputs: np.ndarray) -> np.ndarray:
    return (outputs * self._scale + self._mean).reshape(-1, *self._shape)


Head = ClassHead | AngleHead | NumberHead


def make_head(kind: str, values: np.ndarray, turn: float = 0.0) -> Head:
  """The head for the `kind` of a `Judge` that is a network."""
  if kind == "classifier":
    return ClassHead(values)
  return AngleHead(values, turn) if turn else NumberHead(values)


def joined(targets: Sequence[np.ndarray]) -> np.ndarray:
  """The targets of several heads side by side, [N] or [N, K] each, as float32 [N, T]; a class is its number."""
  return np.concatenate([target.reshape(len(target), -1).astype(np.float32) for target in targets], axis=1)


def sum_of_losses(heads: Sequence[Head]):
  """The loss of a network that gives the outputs of several heads side by side: the sum of theirs.

  Each is about 1 for who knows nothing: a squared error of standardised numbers, or a cross-entropy in nats.
  """
  losses = [keras.losses.get(head.loss) for head in heads]
  widths = [head.target.reshape(len(head.target), -1).shape[1] for head in heads]
  sizes = [head.outputs for head in heads]

  def loss(target: tf.Tensor, outputs: tf.Tensor) -> tf.Tensor:
    pairs = zip(losses, tf.split(target, widths, axis=1), tf.split(outputs, sizes, axis=1))
    return tf.add_n([tf.reduce_mean(of_head(y, read)) for of_head, y, read in pairs])

  return loss
