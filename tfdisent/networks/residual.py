"""The family `residual`: `modulated` with a residual 3x3 convolution after each stage of G and of every encoder.

A stage h becomes (h + r(h)) / √2, where r is a 3x3 convolution with its activation (Choi et al. 2020; He et al. 2016).
In G the codes scale and shift r, too. A step costs about three times as much as one of `plain`: for GPUs and longer
trainings.
"""

import keras

from tfdisent.networks import modulated, plain
from tfdisent.registry import register_networks

HALF = 2**-0.5
"""Keeps the variance of a sum that of its terms."""


class _Residual:
  """Of a network with convolutions of an image: a residual convolution after each of them."""

  def __init__(self, *arguments, **keywords):
    super().__init__(*arguments, **keywords)
    self.residual_layers = [
      self._layer(keras.layers.Conv2D, c, 3, 1, "same", name=f"residual_{i}")
      for i, c in enumerate(self._config["conv"])
    ]

  def stage(self, i, h):
    h = super().stage(i, h)
    return HALF * (h + self.residual_layers[i](h))


class Encoder(_Residual, plain.Encoder):
  """q(z1 | x): parameters of a Gaussian over z1."""


class Posterior(_Residual, plain.Posterior):
  """q(z̃2 | z1, x̂): parameters of the code's distribution."""


class Discriminator(_Residual, modulated.Discriminator):
  """D(z2, x'), before its sigmoid: see `modulated.Discriminator`."""


class Generator(modulated.Generator):
  """G(z1, z2), before its sigmoid; both codes scale and shift every convolution. See `modulated.Generator`."""

  def __init__(self, *arguments, **keywords):
    super().__init__(*arguments, **keywords)
    stages = list(enumerate(self._config["conv"][1:]))
    keywords = {"dtype": self.dtype_policy}
    self.residual_layers = [
      keras.layers.Conv2D(c, 3, 1, "same", use_bias=False, name=f"residual_{i}", **keywords) for i, c in stages
    ]
    self.residual_styles = [keras.layers.Dense(2 * c, name=f"residual_style_{i}", **keywords) for i, c in stages]

  def stage(self, i, h, codes):
    h = super().stage(i, h, codes)
    return HALF * (h + self.modulate(self.residual_layers[i](h), self.residual_styles[i](codes)))


NETWORKS = modulated.NETWORKS | {
  "E1": Encoder,
  "G": Generator,
  "q": Posterior,
  "D": Discriminator,
  "f": Encoder,
}


@register_networks("residual")
def residual(symbol, image_shape, outputs, dtype=None, name=None, **arguments) -> keras.Model:
  """The network of a symbol: see `tfdisent.networks`. Arguments and defaults are those of the family `modulated`.

  Raises:
    ConfigError: the family has no network for the symbol.
  """
  return modulated.make(NETWORKS, "residual", symbol, image_shape, outputs, arguments, dtype=dtype, name=name)
