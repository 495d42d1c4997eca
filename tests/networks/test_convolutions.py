"""The convolutions of the networks: functions, weights and derivatives of Keras's own."""

import contextlib
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdisent.networks.convolutions import Strided, Transposed, without_transposed
from tfdisent.networks.modulated import UpConvolution
from tfdisent.networks.one_pass import in_one_pass

OF_KERAS = {
  Strided: keras.layers.Conv2D,
  Transposed: keras.layers.Conv2DTranspose,
}
LAYERS = {
  "a colour image": (Strided, (3, 8, 12, 3), 5),
  "a grey image": (Strided, (3, 8, 12, 1), 5),
  "an image of odd sides": (Strided, (3, 7, 9, 3), 5),
  "an image of many channels": (Strided, (3, 8, 12, 6), 5),
  "to a colour image": (Transposed, (3, 5, 7, 6), 3),
  "to a grey image": (Transposed, (3, 5, 7, 6), 1),
  "to twice the size": (Transposed, (3, 5, 7, 6), 8),
}


def normal(shape, seed, dtype="float32"):
  return tf.cast(tf.random.stateless_normal(shape, [seed, 0]), dtype)


def pair_of(name, activation=None, dtype=None):
  """The layer and Keras's own with the same weights, and an input."""
  cls, shape, filters = LAYERS[name]
  layer = cls(filters, activation=activation, dtype=dtype)
  other = OF_KERAS[cls](filters, 4, 2, "same", activation=activation, dtype=dtype)
  for one in (layer, other):
    one.build(shape)
  layer.set_weights([normal(w.shape, place) for place, w in enumerate(layer.get_weights())])
  other.set_weights(layer.get_weights())
  return layer, other, normal(shape, 9)


def derivatives(layer, h):
  """What the layer makes of h, gradients of h and of the weights, and those of a penalty of the first, as R1 is one."""
  with tf.GradientTape() as outer:
    outer.watch(h)
    with tf.GradientTape(persistent=True) as inner:
      inner.watch(h)
      made = layer(h)
      loss = tf.reduce_sum(tf.cast(made, tf.float32) ** 3)
    of_h, of_weights = inner.gradient(loss, h), inner.gradient(loss, layer.trainable_variables)
    penalty = tf.reduce_sum(tf.cast(of_h, tf.float32) ** 2)
  return [made, of_h, *of_weights, *outer.gradient(penalty, [h, layer.trainable_variables[0]])]


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_that_of_keras_in_its_derivatives_too(name):
  layer, other, h = pair_of(name)
  for number, expected in zip(derivatives(layer, h), map(np.asarray, derivatives(other, h)), strict=True):
    np.testing.assert_allclose(number, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "tanh", "linear"])
def test_bias_and_activation_in_one_pass_are_those_of_keras(activation):
  layer, _, h = pair_of("to twice the size", activation, "mixed_bfloat16")
  _, exact, _ = pair_of("to twice the size", activation)
  with in_one_pass():
    given = derivatives(layer, h)
  for number, expected in zip(given, map(np.asarray, derivatives(exact, h)), strict=True):
    scale = np.abs(expected).max()
    np.testing.assert_allclose(tf.cast(number, tf.float32), expected, rtol=0.05, atol=0.05 * scale)


@pytest.mark.parametrize("context", [in_one_pass, contextlib.nullcontext], ids=["one pass", "as elsewhere"])
@pytest.mark.parametrize("name", ["to a colour image", "to twice the size"])
@pytest.mark.parametrize("activation", ["leaky_relu", "tanh"])
def test_the_gradient_of_a_bias_in_bfloat16_is_a_sum_over_many_pixels(name, activation, context):
  """TensorFlow's own for bfloat16 gives 256 in place of 200,704."""
  layer, _, _ = pair_of(name, activation, "mixed_bfloat16")
  layer.set_weights([0 * layer.kernel, 0 * layer.bias + 1e-3])  # where both activations are their arguments
  with tf.GradientTape() as tape, context():
    loss = tf.reduce_sum(tf.cast(layer(normal((256, 14, 14, 6), 3)), tf.float32))
  np.testing.assert_allclose(tape.gradient(loss, layer.bias), np.full(layer.filters, 256 * 28 * 28), rtol=0.01)


@pytest.mark.parametrize("layer", [Transposed(5), Transposed(3), UpConvolution(5)], ids=lambda one: one.name)
def test_transposed_convolutions_can_be_left_out_of_a_graph(layer):
  h = normal((3, 5, 7, 6), 9)
  expected, graphs = layer(h), {}
  for context in (contextlib.nullcontext, without_transposed):
    with context():
      graphs[context] = tf.function(functools.partial(layer)).get_concrete_function(tf.TensorSpec([None, 5, 7, 6]))
    np.testing.assert_allclose(graphs[context](h), expected, atol=1e-5)
  operations = {node.type for node in graphs[without_transposed].graph.get_operations()}
  assert "Conv2DBackpropInput" not in operations and "Conv2D" in operations
