"""The family `plain`: convolutions that halve an image, transposed ones that double it, and dense layers.

Convolutions are 4x4 with stride 2. The networks of the paper's Fig. 1, and an adversary.
"""

import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent.errors import ConfigError, shown
from tfdisent.networks.convolutions import Strided, Transposed
from tfdisent.networks.one_pass import SLOPE
from tfdisent.registry import register_networks


def channels_for(image_shape: Sequence[int]) -> tuple[int, ...]:
  """Channels of as many convolutions as bring the shorter side to 8 pixels or fewer: 32, 64, 128, … at most 256.

  28 to 32 pixels: (32, 64); 64: (32, 64, 128); 128: (32, 64, 128, 256).
  """
  count = max(1, math.ceil(math.log2(min(image_shape[:2]) / 8)))
  return tuple(min(32 * 2**i, 256) for i in range(count))


@tf.custom_gradient
def leaky_relu(h: tf.Tensor) -> tf.Tensor:
  """Keras's `"leaky_relu"` of h, of any shape and float type: 0.2 h below 0, with its gradient taken from the output.

  The numbers are the same, since the output has the sign of the input. But nothing else needs the input then, so that
  a convolution can be computed with its bias and its activation at once, as oneDNN does. With Keras's function, whose
  gradient reads the input, TensorFlow tries that all the same, fails, and prints `remapper failed`.
  """
  activated = tf.nn.leaky_relu(h, SLOPE)

  def gradient(upstream):
    return tf.raw_ops.LeakyReluGrad(gradients=upstream, features=tf.stop_gradient(activated), alpha=SLOPE)

  return activated, gradient


ACTIVATIONS = {"leaky_relu": leaky_relu}
"""What is computed otherwise than by the function of Keras of this name."""


class Network(keras.Model):
  """What the networks share: `get_config`, and dense layers of one activation."""

  def __init__(self, dense: Sequence[int], activation: str, dtype, name: str | None, **config):
    super().__init__(name=name, dtype=dtype)
    if not isinstance(activation, str):  # Keras would make a function of a description that a run folder brings
      raise ConfigError(f"an activation is named by a text, 'relu', not {shown(activation)}.")
    self._config = {**config, "dense": tuple(dense), "activation": activation}
    self._activation = ACTIVATIONS.get(activation, activation)
    self.dense_layers = [self._layer(keras.layers.Dense, units, name=f"dense_{i}") for i, units in enumerate(dense)]

  def _layer(self, layer, *arguments, **keywords):
    return layer(*arguments, activation=self._activation, dtype=self.dtype_policy, **keywords)

  def build(self, *shapes, **named):
    """Nothing: the first call makes the weights of each layer. By itself Keras would run the network twice for that."""

  def get_config(self):
    return {"name": self.name, "dtype": self.dtype_policy.name, **self._config}


class ConvolutionalNetwork(Network):
  """Convolutions of an image, then dense layers, where a code may join.

  Args:
    outputs: numbers per example.
    conv: channels of each convolution.
    dense: units of each dense layer.
    activation: of every layer but the last.
  """

  def __init__(
    self,
    outputs: int,
    conv: Sequence[int] = (32, 64),
    dense: Sequence[int] = (128,),
    activation: str = "relu",
    dtype=None,
    name=None,
  ):
    super().__init__(dense, activation, dtype, name, outputs=outputs, conv=tuple(conv))
    self.conv_layers = [self._layer(Strided, c, name=f"conv_{i}") for i, c in enumerate(conv)]
    self.flatten = keras.layers.Flatten(dtype=self.dtype_policy)
    self.output_layer = keras.layers.Dense(outputs, dtype="float32", name="output")

  def layers_of(self, image: tf.Tensor) -> list[tf.Tensor]:
    """An image [B, H, W, C], and what each convolution makes of it, one after the other."""
    layers = [image]
    for i in range(len(self.conv_layers)):
      layers.append(self.stage(i, layers[-1]))
    return layers

  def stage(self, i: int, h: tf.Tensor) -> tf.Tensor:
    """What the convolution number `i` makes of h [B, H, W, C], the image or what the one before gave."""
    return self.conv_layers[i](h)

  def _forward(self, image, code=None):
    h = self.flatten(self.layers_of(image)[-1])
    if code is not None:
      h = tf.concat([h, tf.cast(code, h.dtype)], axis=1)
    for layer in self.dense_layers:
      h = layer(h)
    return self.output_layer(h)


class Encoder(ConvolutionalNetwork):
  """q(z1 | x): parameters of a Gaussian over z1."""

  def call(self, x):
    return self._forward(x)


class Posterior(ConvolutionalNetwork):
  """q(z̃2 | z1, x̂): parameters of the code's distribution. The variational distribution of the paper's first bound."""

  def call(self, z1, x_fusion):
    return self._forward(x_fusion, z1)


class Discriminator(ConvolutionalNetwork):
  """D(z2, x'), before its sigmoid: is x' an image that goes with z2?"""

  def __init__(self, outputs: int = 1, **keywords):
    super().__init__(outputs, **keywords)

  def call(self, z2, image):
    return tf.squeeze(self._forward(image, z2), axis=1)


class DenseNetwork(Network):
  """Dense layers alone.

  Args:
    outputs: numbers per example.
    dense: units of each layer before the last.
    activation: of every layer but the last.
  """

  def __init__(self, outputs: int, dense: Sequence[int] = (128,), activation: str = "relu", dtype=None, name=None):
    super().__init__(dense, activation, dtype, name, outputs=outputs)
    self.output_layer = keras.layers.Dense(outputs, dtype="float32", name="output")

  def _forward(self, h):
    for layer in self.dense_layers:
      h = layer(h)
    return self.output_layer(h)


class FeatureEncoder(DenseNetwork):
  """q(z2 | f(x)): parameters of a Gaussian over z2."""

  def call(self, feature):
    return self._forward(feature)


class Adversary(DenseNetwork):
  """a(f(x) | z1): what of f can be read from z1. The variational distribution of `losses.adversary_loss`."""

  def __init__(self, outputs: int, dense: Sequence[int] = (256, 256), **keywords):
    super().__init__(outputs, dense, **keywords)

  def call(self, z1):
    return self._forward(z1)


class ImageNetwork(Network):
  """A network that gives images of the shape in its config; where that is no multiple of its stages, their middle."""

  def cropped(self, h: tf.Tensor) -> tf.Tensor:
    """The middle [B, H, W, C], as float32, of images as large or larger."""
    height, width, _ = self._config["image_shape"]
    if h.shape[1:3] != (height, width):
      top, left = (h.shape[1] - height) // 2, (h.shape[2] - width) // 2
      h = h[:, top : top + height, left : left + width]
    return tf.cast(h, tf.float32)


class Generator(ImageNetwork):
  """G(z1, z2), before its sigmoid.

  Args:
    image_shape: (H, W, C). Where H or W is no multiple of 2 ** len(conv), the image is the middle of a larger one.
    conv: channels before each transposed convolution; the last of those gives the image.
    dense: units of the dense layers before the first feature map.

  Raises:
    ConfigError: there is no transposed convolution.
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    conv: Sequence[int] = (64, 32),
    dense: Sequence[int] = (128,),
    activation: str = "relu",
    dtype=None,
    name=None,
  ):
    super().__init__(dense, activation, dtype, name, image_shape=tuple(image_shape), conv=tuple(conv))
    if not conv:
      raise ConfigError("the generator needs at least one transposed convolution: model.G = {'conv': (64, 32)}.")
    height, width, channels = image_shape
    scale = 2 ** len(conv)
    first = (math.ceil(height / scale), math.ceil(width / scale), conv[0])
    self.expand = self._layer(keras.layers.Dense, math.prod(first), name="expand")
    self.reshape = keras.layers.Reshape(first, dtype=self.dtype_policy)
    self.conv_layers = [self._layer(Transposed, c, name=f"conv_{i}") for i, c in enumerate(conv[1:])]
    self.output_layer = Transposed(channels, dtype=self.dtype_policy, name="output")

  def call(self, z1, z2):
    h = tf.concat([z1, z2], axis=1)
    for layer in (*self.dense_layers, self.expand, self.reshape, *self.conv_layers, self.output_layer):
      h = layer(h)
    return self.cropped(h)


NETWORKS = {
  "E1": Encoder,
  "E2": FeatureEncoder,
  "G": Generator,
  "q": Posterior,
  "D": Discriminator,
  "a": Adversary,
  "f": Encoder,
}


@register_networks("plain")
def plain(symbol, image_shape, outputs, dtype=None, name=None, **arguments) -> keras.Model:
  """The network of a symbol: see `tfdisent.networks`.

  Args:
    symbol, image_shape, outputs, dtype, name: as of every family.
    arguments: `conv`, the channels of each convolution, as many as the size of the image wants unless said; `dense`,
      the units of each dense layer; `activation`.

  Raises:
    ConfigError: the family has no network for the symbol.
  """
  channels = channels_for(image_shape)
  cls = network_class(NETWORKS, "plain", symbol)
  if not issubclass(cls, DenseNetwork):
    arguments = {"conv": channels[::-1] if symbol == "G" else channels, **arguments}
  return cls(**of_symbol(symbol, image_shape, outputs), **arguments, dtype=dtype, name=name)


def network_class(networks: Mapping[str, type], family: str, symbol: str) -> type:
  """The class of a symbol among those of a family; `ConfigError` if there is none."""
  if symbol not in networks:
    raise ConfigError(f"the family '{family}' has no network '{symbol}', only {', '.join(networks)}.")
  return networks[symbol]


def of_symbol(symbol: str, image_shape: Sequence[int], outputs: int) -> dict:
  """What every network of a symbol is made from: the shape of the image for G, and the number of outputs for others."""
  return {"G": {"image_shape": tuple(image_shape)}, "D": {}}.get(symbol, {"outputs": outputs})
