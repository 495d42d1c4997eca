"""The family `modulated`: both codes scale and shift every stage of G, and z2 meets the image in D by a projection.

What differs from the family `plain`, whose encoders and dense layers it takes with leaky ReLUs:

- In `plain` the codes enter the first layer of G alone. Here each stage h becomes (1 + γ) h + β, where γ and β are a
  dense layer of (z1, z2) (Perez et al. 2018; 1 + γ as in Choi et al. 2020). h is not normalised, since that would erase
  colours that z1 holds. The last stage has the full resolution, and a 3x3 convolution makes the image of it.
- G has no transposed convolutions, which can draw checkerboards (Odena et al. 2016), but `UpConvolution`.
- D is D(z2, x') = w · h + ⟨V z2, h⟩, where h are the last hidden units of the image alone (Miyato & Koyama 2018).
"""

import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent.errors import ConfigError
from tfdisent.networks import one_pass, plain
from tfdisent.networks.convolutions import doubled
from tfdisent.registry import register_networks


class UpConvolution(keras.layers.Layer):
  """A 3x3 convolution of the image of twice the size, each of whose pixels is repeated 2x2 times: [B, 2H, 2W, filters].

  It is computed as the transposed 4x4 convolution of stride 2 that is the same function: its kernel is the sum of four
  shifted 3x3 kernels (Karras et al. 2018). So it costs 4 multiplications in place of 9. It has no bias.

  Args:
    filters: channels of the output.
  """

  def __init__(self, filters: int, **keywords):
    super().__init__(**keywords)
    self.filters = filters

  def build(self, shape):
    self.kernel = self.add_weight(shape=(3, 3, self.filters, shape[-1]), initializer="glorot_uniform", name="kernel")

  def call(self, h):
    kernel = tf.convert_to_tensor(self.kernel)
    # (The gradient of a slice takes ten times as long as that of `tf.pad`.)
    kernel = sum(tf.pad(kernel, [[i, 1 - i], [j, 1 - j], [0, 0], [0, 0]]) for j in (0, 1) for i in (0, 1))
    return doubled(h, kernel)


class Generator(plain.ImageNetwork):
  """G(z1, z2), before its sigmoid; both codes scale and shift every stage.

  Args:
    image_shape: (H, W, C). Where H or W is no multiple of 2 ** (len(conv) - 1), the image is the middle of a larger
      one.
    conv: channels of the first feature map, and of each stage after it, which doubles the sides. The last stage has
      the size of the image.
    dense: units of the dense layers before the first feature map.
    activation: of every layer but the last.

  Raises:
    ConfigError: there is no stage that doubles the sides.
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    conv: Sequence[int] = (64, 32, 32),
    dense: Sequence[int] = (256,),
    activation: str = "leaky_relu",
    dtype=None,
    name=None,
  ):
    super().__init__(dense, activation, dtype, name, image_shape=tuple(image_shape), conv=tuple(conv))
    if len(conv) < 2:
      raise ConfigError("the generator needs two stages or more: model.G = {'conv': (64, 32)}.")
    height, width, channels = image_shape
    scale = 2 ** (len(conv) - 1)
    first = (math.ceil(height / scale), math.ceil(width / scale), conv[0])
    keywords = {"dtype": self.dtype_policy}
    self.expand = self._layer(keras.layers.Dense, math.prod(first), name="expand")
    self.reshape = keras.layers.Reshape(first, **keywords)
    self.conv_layers = [UpConvolution(c, name=f"conv_{i}", **keywords) for i, c in enumerate(conv[1:])]
    self.styles = [keras.layers.Dense(2 * c, name=f"style_{i}", **keywords) for i, c in enumerate(conv[1:])]
    self.activation = keras.layers.Activation(self._activation, **keywords)
    self.output_layer = keras.layers.Conv2D(channels, 3, 1, "same", name="output", **keywords)

  def call(self, z1, z2):
    codes = h = tf.concat([z1, z2], axis=1)
    for layer in (*self.dense_layers, self.expand, self.reshape):
      h = layer(h)
    for i in range(len(self.conv_layers)):
      h = self.stage(i, h, codes)
    return self.cropped(self.output_layer(h))

  def stage(self, i: int, h: tf.Tensor, codes: tf.Tensor) -> tf.Tensor:
    """The feature map [B, 2H, 2W, conv[i + 1]] from the one before, [B, H, W, conv[i]], and (z1, z2) [B, Z1 + Z2]."""
    return self.modulate(self.conv_layers[i](h), self.styles[i](codes))

  def modulate(self, h: tf.Tensor, style: tf.Tensor) -> tf.Tensor:
    """(1 + γ) h + β with the activation, from h [B, H, W, C] and (γ, β) [B, 2C]."""
    gamma, beta = tf.split(style[:, None, None], 2, axis=3)
    if self._activation is plain.leaky_relu and one_pass.is_faster(h):
      return one_pass.modulated(h, gamma, beta, one_pass.SLOPE)
    return self.activation((1 + gamma) * h + beta)


class Discriminator(plain.ConvolutionalNetwork):
  """D(z2, x'), before its sigmoid: w · h + ⟨V z2, h⟩, where h are the last hidden units of the image."""

  def __init__(self, outputs: int = 1, activation: str = "leaky_relu", **keywords):
    super().__init__(outputs, activation=activation, **keywords)
    if not self._config["dense"]:
      raise ValueError("D needs a dense layer, which z2 is projected on, as in {'dense': (128,)}")
    self.projection = keras.layers.Dense(self._config["dense"][-1], use_bias=False, dtype="float32", name="projection")

  def call(self, z2, image):
    h = self.flatten(self.layers_of(image)[-1])
    for layer in self.dense_layers:
      h = layer(h)
    h = tf.cast(h, tf.float32)
    return tf.squeeze(self.output_layer(h), axis=1) + tf.reduce_sum(self.projection(z2) * h, axis=1)


NETWORKS = plain.NETWORKS | {"G": Generator, "D": Discriminator}


def channels_of_g(image_shape: Sequence[int]) -> tuple[int, ...]:
  """Channels of the stages of G: those of the encoders backwards, and at most 32 at full resolution.

  28 to 32 pixels: (64, 32, 32); 64: (128, 64, 32, 32); 128: (256, 128, 64, 32, 16); 256: (256, 256, 128, 64, 32, 8).
  """
  last = 32 if min(image_shape[:2]) <= 64 else 2048 // min(image_shape[:2])
  return (*plain.channels_for(image_shape)[::-1], max(8, last))


@register_networks("modulated")
def modulated(symbol, image_shape, outputs, dtype=None, name=None, **arguments) -> keras.Model:
  """The network of a symbol: see `tfdisent.networks`.

  Args:
    symbol, image_shape, outputs, dtype, name: as of every family.
    arguments: `conv`, `dense`, `activation`, as of the family `plain`; the `conv` of G has one number more, the
      channels of its stage at full resolution.

  Raises:
    ConfigError: the family has no network for the symbol.
  """
  return make(NETWORKS, "modulated", symbol, image_shape, outputs, arguments, dtype=dtype, name=name)


def make(networks: Mapping[str, type], family: str, symbol: str, image_shape, outputs, arguments, **keywords):
  """The network of a symbol among those of this family or of one that is built on it."""
  cls = plain.network_class(networks, family, symbol)
  defaults = {"activation": "leaky_relu"}
  if not issubclass(cls, plain.DenseNetwork):
    defaults |= {
      "dense": (256,),
      "conv": channels_of_g(image_shape) if symbol == "G" else plain.channels_for(image_shape),
    }
  return cls(**plain.of_symbol(symbol, image_shape, outputs), **(defaults | arguments), **keywords)
