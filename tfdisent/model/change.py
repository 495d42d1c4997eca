"""A loss beyond the paper: a fusion is as near to its source as f allows. `objective.losses = ('change',)`."""

import dataclasses

import tensorflow as tf

from tfdisent import losses
from tfdisent.errors import ConfigError, shown
from tfdisent.model.loss import Loss
from tfdisent.networks.plain import channels_for
from tfdisent.registry import register_loss


@register_loss("change")
@dataclasses.dataclass(frozen=True)
class Change(Loss):
  """L_change: of all fusions that show f(x̃), the one that changes x least. See `losses.change_loss`.

  A fusion whose z1 is the prior's (`Objective.prior_fusions`) has no source, and does not count.

  Attributes:
    metric: "pixels", or "random": what is compared is what frozen random convolutions make of an image. They are as
      many as the family "plain" has for its size, and `seed` alone decides their weights, so that nothing is stored.
      Such features tell shapes apart without the exact place of an edge.
    spread: None, or a scale in the unit of f: a pair counts in proportion to exp(-‖f(x̃) - f(x)‖² / (2 spread²)), since
      what is kept between near values is kept between all, step by step.
    seed: of the random convolutions.
  """

  metric: str = "pixels"
  spread: float | None = None
  seed: int = 0

  symbol = "L_change"
  needs_source = True

  def __post_init__(self):
    super().__post_init__()
    if self.metric not in ("pixels", "random"):
      raise ConfigError(f"change.metric = {shown(self.metric)}: choose 'pixels' or 'random'.")
    if self.spread is not None and not self.spread > 0:
      raise ConfigError(f"change.spread = {shown(self.spread)} must be positive, or None.")

  def __call__(self, model, forward):
    counts = None
    if self.spread is not None:
      square = tf.reduce_sum(tf.math.squared_difference(forward.f, forward.f_partner), 1)
      counts = tf.exp(-square / (2 * self.spread**2))
    cost = losses.change_loss(self.layers(forward.x), self.layers(forward.x_fusion))
    return forward.mean_with_source(cost, counts)

  def layers(self, image: tf.Tensor) -> list[tf.Tensor]:
    """What is compared of an image [B, H, W, C]: itself, or what each random convolution makes of it."""
    if self.metric == "pixels":
      return [image]
    layers = [image]
    for i, channels in enumerate(channels_for(image.shape[1:])):
      # Of the scale of He et al. 2015, so that a difference has about the same size in every layer.
      scale = (2 / (16 * layers[-1].shape[3])) ** 0.5
      kernel = tf.random.stateless_normal([4, 4, layers[-1].shape[3], channels], [self.seed, i], 0, scale, alg="philox")
      layers.append(tf.nn.relu(tf.nn.conv2d(layers[-1], kernel, 2, "SAME")))
    return layers[1:]
