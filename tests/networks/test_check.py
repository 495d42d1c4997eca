"""What `check_networks` asks of a family, with one family for each thing that may be wrong."""

import itertools

import keras
import pytest
import tensorflow as tf

from tfdisent.errors import ConfigError, RegistryError
from tfdisent.networks import make
from tfdisent.networks import plain as plain_family
from tfdisent.networks.check import check_networks
from tfdisent.registry import NETWORKS, register_networks

SHAPES = ((8, 8, 1),)
NUMBERS = itertools.count()  # gin keeps a name for good


@pytest.fixture(autouse=True)
def registry():
  with NETWORKS.temporary():
    yield


def of_plain(change):
  """The name of a family that is `plain`, with the output of each network changed."""

  class Changed(keras.Model):
    def __init__(self, inner, name):
      super().__init__(name=name)
      self.inner = inner

    def call(self, first, second=None):
      inputs = (first,) if second is None else (first, second)
      return change(self.inner(*inputs), *inputs)

  name_of_family = f"changed_{next(NUMBERS)}"

  @register_networks(name_of_family)
  def changed(symbol, image_shape, outputs, dtype=None, name=None, **arguments):
    return Changed(plain_family.plain(symbol, image_shape, outputs, dtype, name, **arguments), name)

  return name_of_family


def test_plain_keeps_the_contract():
  check_networks("plain", ((12, 9, 3),), dense=(8,))


@pytest.mark.parametrize(
  ("change", "words"),
  [
    (lambda y, *x: y[:, None], r"'E1' of the family 'changed_\d+', for images of \[8, 8, 1\], gives \[3, 1, 6\]"),
    (lambda y, *x: tf.cast(y, tf.float16), "gives float16: cast its output to float32"),
    (lambda y, *x: y / 0.0, "gives NaN or infinite values"),
    (lambda y, *x: y - tf.reduce_mean(y, 0), "may not mix the examples of a batch"),
    (lambda y, *x: tf.stop_gradient(y) + sum(tf.reduce_sum(i) for i in x) * 0, "does not use its weight"),
  ],
)
def test_a_network_that_breaks_the_contract_is_named(change, words):
  with pytest.raises(ConfigError, match=words):
    check_networks(of_plain(change), SHAPES)


def test_a_network_without_a_gradient_for_its_input_is_named():
  @register_networks("blind")
  def blind(symbol, image_shape, outputs, dtype=None, name=None, **arguments):
    network = plain_family.plain(symbol, image_shape, outputs, dtype, name)
    call = network.call
    network.call = lambda *inputs: call(*map(tf.stop_gradient, inputs))
    return network

  with pytest.raises(ConfigError, match="has no gradient with respect to an input"):
    check_networks("blind", SHAPES)


def test_weights_that_a_checkpoint_would_lose_are_named():
  class Twins(keras.Model):
    def __init__(self, name):
      super().__init__(name=name)
      self.of_twins = [keras.layers.Dense(6, name="twin") for _ in range(2)]

    def call(self, x):
      x = tf.reshape(x, [tf.shape(x)[0], 64])
      return self.of_twins[0](x) + self.of_twins[1](x)

  @register_networks("twins")
  def twins(symbol, image_shape, outputs, dtype=None, name=None, **arguments):
    return Twins(name)

  with pytest.raises(ConfigError, match="two weights of the path 'E1/twin/kernel'"):
    check_networks("twins", SHAPES)


def test_names_that_count_the_objects_of_the_process_are_refused():
  @register_networks("counted")
  def counted(symbol, image_shape, outputs, dtype=None, name=None, **arguments):
    return plain_family.plain(symbol, image_shape, outputs, dtype)

  with pytest.raises(ConfigError, match="weights of other paths when it is made a second time"):
    check_networks("counted", SHAPES)


def test_what_is_no_model_and_what_is_not_registered_is_refused():
  register_networks("none")(lambda symbol, image_shape, outputs, dtype=None, name=None: 3)
  with pytest.raises(ConfigError, match="is a int: it must be a keras"):
    check_networks("none", SHAPES)
  with pytest.raises(RegistryError, match=r"unknown family of networks 'plane'\. Did you mean 'plain'"):
    make("E1", (8, 8, 1), 6, family="plane")
