"""The family `dense`: dense layers of all inputs, flattened and joined. For tiny images, and for tests.

A layer has a weight for each pixel, so that the number of weights grows with the image.
"""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from tfdisent.networks import plain
from tfdisent.registry import register_networks


class Perceptron(plain.Network):
  """Dense layers, the last of which gives an example of a shape.

  Args:
    shape: of the output for an example: (H, W, C), (outputs,), or () for one number.
    dense: units of each layer before the last.
    activation: of every layer but the last.
  """

  def __init__(
    self, shape: Sequence[int], dense: Sequence[int] = (128,), activation: str = "relu", dtype=None, name=None
  ):
    super().__init__(dense, activation, dtype, name, shape=tuple(shape))
    self.flatten = keras.layers.Flatten(dtype=self.dtype_policy)
    self.output_layer = keras.layers.Dense(math.prod(shape), dtype="float32", name="output")
    self.reshape = keras.layers.Reshape(tuple(shape), dtype="float32")

  def call(self, first, second=None):
    h = tf.concat([self.flatten(given) for given in (first, second) if given is not None], axis=1)
    for layer in (*self.dense_layers, self.output_layer, self.reshape):
      h = layer(h)
    return h


@register_networks("dense")
def dense(symbol, image_shape, outputs, dtype=None, name=None, **arguments) -> keras.Model:
  """The network of a symbol: see `tfdisent.networks`.

  Args:
    symbol, image_shape, outputs, dtype, name: as of every family.
    arguments: `dense`, the units of each layer before the last, and `activation`.

  Raises:
    ConfigError: the family has no network for the symbol.
  """
  plain.network_class(plain.NETWORKS, "dense", symbol)
  shape = {"G": tuple(image_shape), "D": ()}.get(symbol, (outputs,))
  return Perceptron(shape, **arguments, dtype=dtype, name=name)
