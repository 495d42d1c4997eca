"""The losses beyond the paper that come with the library: mirror, adversary, cycle, matching. `Objective` has weights.

Their equations and sources are in `tfdisent.losses`.
"""

import dataclasses

import tensorflow as tf

from tfdisent import losses
from tfdisent.codes import diagonal_gaussian
from tfdisent.errors import ConfigError
from tfdisent.model.loss import Loss


class Mirror(Loss):
  """L_mirror: the fusion keeps z1. See `losses.mirror_loss`."""

  symbol = "L_mirror"

  def __call__(self, model, forward):
    return forward.mean(losses.mirror_loss(model.posterior_z1(forward.x_fusion), forward.z1_fusion))


@dataclasses.dataclass(frozen=True)
class Adversary(Loss):
  """L_a: a(f(x) | z1) learns to read f in z1, in its mean and its sample alike, and E1 learns to hide it.

  See `losses.adversary_loss`, and for the ceiling `losses.entropy_bound`.
  """

  optimizer: str = "eg"
  ceiling: bool = False

  symbol = "L_a"
  is_adversarial = True

  def make_networks(self, model):
    return {"a": model.make_network("a", model.feature.width, tf.zeros([1, model.z1_width]))}

  def __call__(self, model, forward):
    return sum(weight * forward.mean(of_part) for weight, of_part, *_ in self._parts(model, forward))

  def raised(self, model, forward, value):
    if not self.ceiling:
      return value
    raised = []
    for weight, of_part, f_part, code in self._parts(model, forward):
      highest = losses.entropy_bound(forward.global_mean(f_part), forward.global_mean(tf.square(f_part)), code)
      is_below = forward.global_mean(tf.reduce_mean(tf.reshape(of_part, [2, -1]), 0)) < highest
      raised.append(weight * tf.where(is_below, forward.mean(of_part), highest))
    return sum(raised)

  def _parts(self, model, forward):
    """Of each part of f: its weight, L_a [2 B] of the mean of z1 and of its sample, f [B, width], and its code."""
    a = model.networks["a"](tf.concat([forward.q_z1.mean(), forward.z1], 0))
    parts = zip(model.feature.adversary_weights, model.codes, model.feature.split(a), model.feature.split(forward.f))
    for weight, code, a_part, f_part in parts:
      of_f = None if code.learned else code
      yield weight, losses.adversary_loss(a_part, tf.concat([f_part, f_part], 0), of_f), f_part, of_f


class Cycle(Loss):
  """L_cycle: two images that share a z1 of the prior get one code. A baseline; see `losses.cycle_loss`."""

  symbol = "L_cycle"
  is_shown = False

  def __call__(self, model, forward):
    images = model.decode(tf.concat([forward.z1_prior] * 2, 0), tf.concat([forward.z2, forward.z2_partner], 0))
    posteriors = (diagonal_gaussian(parameters, model.z1_stddev) for parameters in tf.split(model.E1(images), 2))
    return forward.mean(losses.cycle_loss(*posteriors))


class Matching(Loss):
  """L_match: D's layers see in x' what they see in x. See `losses.matching_loss`."""

  symbol = "L_match"
  counts_for_best = False  # D's layers are not the same after another epoch

  def make_networks(self, model):
    if not hasattr(model.D, "layers_of"):
      raise ConfigError(
        "objective.matching compares the layers of D, and its family of networks does not tell them: give D a method "
        "`layers_of`, as that of tfdisent.networks.plain.ConvolutionalNetwork, or set objective.matching = 0."
      )
    return {}

  def __call__(self, model, forward):
    # The first of the layers is the image itself.
    of_x, of_x_rec = (
      [tf.cast(layer, tf.float32) for layer in model.D.layers_of(image)[1:]] for image in (forward.x, forward.x_rec)
    )
    return forward.mean(losses.matching_loss(of_x, of_x_rec))
