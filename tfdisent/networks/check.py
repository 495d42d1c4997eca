"""The contract of a family of networks as a test, for the suites of those who write one."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdisent.errors import ConfigError
from tfdisent.networks import Family, make

BATCH, Z1, Z2, WIDTH, OUTPUTS = 3, 5, 4, 2, 6
SYMBOLS = ("E1", "E2", "G", "q", "D", "a", "f")
TOLERANCE = 1e-3  # of values that must agree, relative to their size


def check_networks(
  family: Family, image_shapes: Sequence[Sequence[int]] = ((28, 28, 3), (16, 16, 1), (45, 30, 3)), **arguments
) -> None:
  """Checks that a family gives every network that a model asks for, and that it can be trained, stored and exported.

  Args:
    family: the registered name.
    image_shapes: (H, W, C) of the images that it is asked for.
    arguments: of the family, for all networks alike.

  Raises:
    ConfigError: what is wrong, with the symbol and the shape, and what to do about it.
  """
  for image_shape in map(tuple, image_shapes):
    for symbol in SYMBOLS:
      _Checked(family, symbol, image_shape, arguments).check()


class _Checked:
  """One network under test."""

  def __init__(self, family, symbol, image_shape, arguments):
    self._what = f"the network '{symbol}' of the family {family!r}, for images of {list(image_shape)},"
    self._make = lambda dtype=None: make(symbol, image_shape, OUTPUTS, arguments, family, dtype)
    random_state = np.random.default_rng(0)
    x = tf.constant(random_state.uniform(size=[BATCH, *image_shape]), tf.float32)
    z1, z2, f = (tf.constant(random_state.normal(size=[BATCH, width]), tf.float32) for width in (Z1, Z2, WIDTH))
    self._inputs = {"E1": (x,), "E2": (f,), "G": (z1, z2), "q": (z1, x), "D": (z2, x), "a": (z1,), "f": (x,)}[symbol]
    self._shape = {"G": (BATCH, *image_shape), "D": (BATCH,)}.get(symbol, (BATCH, OUTPUTS))

  def check(self):
    network = self._make()
    if not isinstance(network, keras.Model):
      self._fail(f"is a {type(network).__name__}: it must be a keras.Model")
    output = self._called(network)
    self._check_rows(network, output)
    self._check_gradients(network)
    self._check_weights(network)
    self._check_precision()

  def _called(self, network):
    output = network(*self._inputs)
    if tuple(output.shape) != self._shape:
      self._fail(f"gives {list(output.shape)}: it must give {list(self._shape)}")
    if output.dtype != tf.float32:
      self._fail(f"gives {output.dtype.name}: cast its output to float32, so that the losses are float32")
    if not np.isfinite(output).all():
      self._fail("gives NaN or infinite values with its initial weights")
    return output.numpy()

  def _check_rows(self, network, output):
    """An export takes any number of images, and gives each the answer that it gets alone."""
    specs = [tf.TensorSpec([None, *given.shape[1:]]) for given in self._inputs]
    traced = tf.function(network.__call__, input_signature=specs)
    for row in range(BATCH):
      alone = traced(*(given[row : row + 1] for given in self._inputs)).numpy()
      if np.abs(alone[0] - output[row]).max() > TOLERANCE * max(1.0, np.abs(output).max()):
        self._fail("gives an example alone another answer than among others: it may not mix the examples of a batch")

  def _check_gradients(self, network):
    with tf.GradientTape() as tape:
      tape.watch(self._inputs)
      value = tf.reduce_sum(network(*self._inputs) ** 2)
    of_inputs, of_weights = tape.gradient(value, (self._inputs, network.trainable_variables))
    if missing := [v.path for v, g in zip(network.trainable_variables, of_weights) if g is None]:
      self._fail(f"does not use its weight '{missing[0]}': nothing would train it")
    if any(gradient is None for gradient in of_inputs):
      self._fail("has no gradient with respect to an input: G and E1 learn through it")

  def _check_weights(self, network):
    """Checkpoints keep the weights by their paths."""
    paths = [variable.path for variable in network.weights]
    if twice := next((path for path in paths if paths.count(path) > 1), None):
      self._fail(f"has two weights of the path '{twice}', of which a checkpoint would keep one: name its layers")
    again = self._make()
    again(*self._inputs)
    if paths != [variable.path for variable in again.weights]:
      self._fail("has weights of other paths when it is made a second time: name its layers, and itself by `name`")

  def _check_precision(self):
    network = self._make("mixed_bfloat16")
    self._called(network)
    if narrow := [variable.path for variable in network.weights if variable.dtype != "float32"]:
      self._fail(f"keeps its weight '{narrow[0]}' in less than float32 under mixed_bfloat16: pass its layers `dtype`")

  def _fail(self, words):
    raise ConfigError(f"{self._what} {words}.")
