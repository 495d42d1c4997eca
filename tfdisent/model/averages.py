"""Moving averages of weights: what a training shows, saves and measures in place of the weights of its last step."""

import contextlib
from collections.abc import Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf


class Averages(keras.layers.Layer):
  """The exponential moving averages w̄ of some weights w (Polyak & Juditsky 1992; of a GAN's G: Karras et al. 2018).

    w̄ ← d w̄ + (1 - d) w,  d = min(decay, (1 + t) / (10 + t)) after step t.

  d rises from 0.18, so that the initial weights are soon forgotten. Whoever looks at a model between the epochs of a
  training, or after it, finds w̄ in its networks, while w wait here; within an epoch it is the other way round.

  Args:
    decay: the highest d, in (0, 1).
    weights: w.
  """

  def __init__(self, decay: float, weights: Sequence[keras.Variable]):
    super().__init__(name="averages", dtype="float32", trainable=False)
    self._decay = decay
    keywords = {"trainable": False, "aggregation": "only_first_replica"}  # all replicas have the same weights
    self.others = [
      self.add_weight(shape=w.shape, initializer=keras.initializers.Constant(w.numpy()), name=f"weight_{i}", **keywords)
      for i, w in enumerate(weights)
    ]
    # A weight, too, so that a file of the model says which is which.
    self._are_shown = self.add_weight(shape=(), initializer="ones", name="are_shown", **keywords)
    self.built = True

  def update(self, weights: Sequence[keras.Variable], step: tf.Tensor) -> None:
    """Moves w̄, which wait here, towards w after the step number `step`, from 1 on."""
    t = tf.cast(step, tf.float32)
    d = tf.minimum(self._decay, (1 + t) / (10 + t))
    for average, w in zip(self.others, weights):
      average.assign(average + (1 - d) * (w - average))
    self._are_shown.assign(0.0)

  def show(self, weights: Sequence[keras.Variable], shown: bool) -> bool:
    """Puts w̄ into `weights`, or w if not `shown`; returns whether w̄ were there before."""
    before = bool(self._are_shown.numpy())
    if before != shown:
      for other, w in zip(self.others, weights):
        waiting = np.array(other.numpy())
        other.assign(w.numpy())
        w.assign(waiting)
      self._are_shown.assign(float(shown))
    return before

  @contextlib.contextmanager
  def showing(self, weights: Sequence[keras.Variable], shown: bool) -> Iterator[None]:
    """Has w̄, or w, in `weights` for a while."""
    before = self.show(weights, shown)
    try:
      yield
    finally:
      self.show(weights, before)


class ShowAverages(keras.callbacks.Callback):
  """Trains w, and leaves w̄ in the networks for the validation, and for the callbacks after it."""

  def on_epoch_begin(self, epoch, logs=None):
    self.model.show_averages(False)

  def on_test_begin(self, logs=None):
    self.model.show_averages(True)

  def on_epoch_end(self, epoch, logs=None):
    self.model.show_averages(True)
