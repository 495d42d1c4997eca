"""A loss beyond the paper: a fusion moves as its source does. `objective.losses = ('equivariance',)` asks for it."""

import dataclasses

import tensorflow as tf

from tfdisent import losses
from tfdisent.data.augment import check_ranges, moved
from tfdisent.model.loss import Loss, weighted_mean
from tfdisent.registry import register_loss


@register_loss("equivariance")
@dataclasses.dataclass(frozen=True)
class Equivariance(Loss):
  """L_T: G(E1(T x), z̃2) is T x̂, for random slants, stretches and shifts T of the image. See `losses.equivariance_loss`.

  It costs another pass of E1 and two of G, on half of the batch.

  Attributes:
    shift, scale, shear: ranges of T, as of `tfdisent.data.augment.Augment`. T must leave f.
  """

  shift: float = 0.0
  scale: float = 0.15
  shear: float = 0.25

  symbol = "L_T"

  def __post_init__(self):
    super().__post_init__()
    check_ranges("equivariance", shift=self.shift, scale=self.scale, shear=self.shear)

  def __call__(self, model, forward):
    half = tf.shape(forward.x)[0] // 2
    x, z1, z2_partner = forward.x[:half], forward.z1[:half], forward.z2_partner[:half]
    # Even in (-1, 1), and a function of the seed, the step and the position, as the prior's z1 is. (A narrow z1 has
    # fewer than five numbers.)
    drawn = tf.math.erf(tf.gather(forward.z1_prior[:half], tf.range(5) % model.z1_width, axis=1) / 2**0.5)
    for_xla = model.compiled and model.jit_compile
    shift = self.shift * drawn[:, 3:] * tf.cast(tf.shape(x)[1:3], tf.float32)
    move = {
      "scale": 1 + self.scale * drawn[:, :2],
      "shear": self.shear * drawn[:, 2],
      "shift": shift,
      "for_xla": for_xla,
    }
    x_fusion = moved(model.decode(z1, z2_partner), **move)
    x_fusion_of_moved = model.decode(model.posterior_z1(moved(x, **move)).mean(), z2_partner)
    loss = losses.equivariance_loss(x_fusion_of_moved, x_fusion, model.objective.stddev)
    return weighted_mean(loss, None if forward.weight is None else forward.weight[:half])
