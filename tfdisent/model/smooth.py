"""A loss beyond the paper: G moves evenly as a continuous f does. `objective.losses = ('smooth',)` asks for it."""

import dataclasses

import tensorflow as tf

from tfdisent import losses
from tfdisent.errors import ConfigError, shown
from tfdisent.feature.contract import CONTINUOUS
from tfdisent.model.loss import Loss
from tfdisent.registry import register_loss

LEAST = 1e-12
"""Of a squared length: the square root has no gradient at 0."""


@register_loss("smooth")
@dataclasses.dataclass(frozen=True)
class Smooth(Loss):
  """L_smooth: a step of z̃2 changes x̂ by about as much wherever it is taken. See `losses.smooth_loss`.

  The step δ goes from z̃2 towards z2, which takes no noise of its own, in the parts of z2 whose f is continuous. It
  costs another pass of G.

  Attributes:
    step: ‖δ‖, in the unit of z2, whose scale is about 1.
  """

  step: float = 0.25

  symbol = "L_smooth"

  def __post_init__(self):
    super().__post_init__()
    if not self.step > 0:
      raise ConfigError(f"smooth.step = {shown(self.step)} must be positive.")

  def make_networks(self, model):
    if not any(part.kind == CONTINUOUS for part in model.feature.parts):
      raise ConfigError(
        f"objective.losses has 'smooth', and no part of the feature '{model.feature.name}' is continuous: leave it out."
      )
    return {}

  def __call__(self, model, forward):
    parts = zip(model.feature.parts, model.split_z2(forward.z2 - forward.z2_partner))
    towards = tf.concat([of if part.kind == CONTINUOUS else tf.zeros_like(of) for part, of in parts], 1)
    z2_beside = forward.z2_partner + self.step * tf.stop_gradient(tf.math.l2_normalize(towards, 1))
    change = model.decode(forward.z1_fusion, z2_beside) - forward.x_fusion
    length = tf.sqrt(tf.maximum(tf.reduce_sum(tf.square(change), [1, 2, 3]), LEAST)) / self.step
    return forward.mean(losses.smooth_loss(length, forward.global_mean(length)))
