"""The paper's loss, in one function."""

import functools
import math
from collections.abc import Mapping

import tensorflow as tf

from tfdisent import losses
from tfdisent.codes import diagonal_gaussian, reparameterise


def terms(model, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:  # noqa: PLR0912, PLR0915 (in one position)
  """Every term of the loss on one batch, as scalars: one forward pass, from which all networks learn.

  Args:
    batch: of `tfdisent.dataset.training_batches`; each example counts as much as its `weight`, where there is one.
    step: keys the noise together with the seed and each example's position.

  Returns:
    Means over the examples: `L`, its parts `reconstruction`, `KL_z1`, `KL_z2`, `L_f` (and `L_f/color`, where f has
    several parts), `L_GAN`, `L_mirror`, `L_cycle`, the losses of q, D and a, `L_q`, `L_D` and `L_a` (those that
    apply), and `psnr` of x' in dB.
  """
  o, mean = model.objective, functools.partial(_mean, weight=batch.get("weight"))
  x = tf.image.convert_image_dtype(batch["image"], tf.float32)
  f, f_partner, position = batch["feature"], batch["partner"], batch["position"]
  widths = [model.z1_width, model.z1_width, model.z2_width, model.z2_width]
  noise_z1, prior_z1, noise_z2, noise_z2_partner = tf.split(model._noise(position, step, sum(widths)), widths, 1)
  terms = {}
  # What goes beyond the paper comes in by degrees; a validation, of step -1, has the whole of it.
  progress = tf.minimum(tf.cast(step, tf.float32) / o.ramp_steps, 1.0) if o.ramp_steps else 1.0
  ramp = tf.where(step < 0, 1.0, progress)

  # Encode z1 from x, z2 from f(x), and z̃2 from f(x̃) of the independent partner.
  q_z1 = model.posterior_z1(x)
  z1 = reparameterise(q_z1, noise_z1)
  terms["KL_z1"] = mean(losses.kl_to_standard_normal(q_z1))
  q_z2 = model.posterior_z2(f)
  z2 = model._sample_z2(f, q_z2, noise_z2)
  z2_partner = model._hold_for_f1(model._sample_z2(f_partner, model.posterior_z2(f_partner), noise_z2_partner))
  if any(model.E2):
    terms["KL_z2"] = sum(mean(losses.kl_to_standard_normal(q)) for q in q_z2 if q is not None)

  # Reconstruct x' = G(z1, z2) and fuse x̂ = G(z1, z̃2), in one call of G.
  z1_fusion = z1
  if o.prior_fusions:
    spread = tf.math.floormod(o.prior_fusions * tf.cast(position, tf.float32), 1.0)  # evenly over the batch
    from_prior = spread < o.prior_fusions
    z1_fusion = tf.where(from_prior[:, None], prior_z1, z1)
  logits = model.G(tf.concat([z1, z1_fusion], 0), tf.concat([z2, z2_partner], 0))
  x_rec_logits, x_fusion_logits = tf.split(logits, 2)
  x_rec, x_fusion = tf.sigmoid(x_rec_logits), tf.sigmoid(x_fusion_logits)

  # L_VAE = -log p(x | z1, z2) + λ1 KL(z1) + λ2 KL(z2)
  if o.likelihood == "bernoulli":
    terms["reconstruction"] = mean(losses.bernoulli_reconstruction(x, x_rec_logits))
  else:
    terms["reconstruction"] = mean(losses.gaussian_reconstruction(x, x_rec_logits, o.stddev))
  if o.likelihood == "laplace":  # by degrees: until z1 tells where the ink is, the median of every pixel is black
    laplace = mean(losses.laplace_reconstruction(x, x_rec_logits, o.stddev))
    terms["reconstruction"] = (1 - ramp) * terms["reconstruction"] + ramp * laplace
  terms["L"] = terms["reconstruction"] + o.lambda1 * terms["KL_z1"] + o.lambda2 * terms.get("KL_z2", 0.0)

  # λ3 L_f, the bounds of I(z̃2; x̂ | z1): the first where q reads z̃2 in x̂, the second where f itself reads f(x̃)
  if o.lambda3:
    noise_x = 0.0
    if o.q_noise:
      noise_x = o.q_noise * tf.reshape(model._noise(position, step, math.prod(model.image_shape), 1), tf.shape(x))
    x_noisy = x_fusion + noise_x
    q_fusion = model.variational_z2(z1_fusion, x_noisy)
    L_f = [
      mean(
        part.loss_f2(x_noisy if part.networks else x_fusion, f_part)
        if q is None
        else losses.feature_loss_f1(q, z2_part)
      )
      for part, q, z2_part, f_part in zip(
        model.feature.parts, q_fusion, model._split_z2(z2_partner), model.feature.split(f_partner)
      )
    ]
    terms |= dict(zip(model._names("L_f"), L_f))
    terms["L_f"] = sum(weight * of_part for weight, of_part in zip(model.feature.weights, L_f))
    terms["L"] += o.lambda3 * terms["L_f"]
  if model.q:
    L_q = [of_part for of_part, q in zip(L_f, q_fusion) if q is not None] if o.q_data != "pairs" else []
    if o.q_data != "fusions":
      q_pair = model.variational_z2(tf.stop_gradient(_of_neighbour(z1)), x + noise_x)
      pairs = zip(q_pair, model._split_z2(tf.stop_gradient(z2)))
      L_q += [mean(losses.feature_loss_f1(q, z2_part)) for q, z2_part in pairs if q is not None]
    terms["L_q"] = sum(L_q)

  # λ4 L_GAN, and L_D on the same two images
  if o.lambda4:
    real = x_rec if o.d_real == "reconstructions" else x
    d_real, d_fusion = model.D(z2, real), model.D(z2_partner, x_fusion)  # apart: L_GAN goes back through x̂ alone
    terms["L_GAN"] = mean(losses.gan_loss(d_fusion))
    terms["L_D"] = mean(losses.discriminator_loss(d_real, d_fusion))
    terms["L"] += o.lambda4 * terms["L_GAN"]

  # Beyond the paper: λ5 L_mirror keeps z1 in x̂, λ6 L_a takes f out of z1, λ7 L_cycle is a baseline of the field.
  if o.lambda5:
    terms["L_mirror"] = mean(losses.mirror_loss(model.posterior_z1(x_fusion), z1_fusion))
    terms["L"] += ramp * o.lambda5 * terms["L_mirror"]
  if o.lambda6:
    a, f_twice = model.a(tf.concat([q_z1.mean(), z1], 0)), tf.concat([f, f], 0)
    terms["L_a"] = sum(
      weight * mean(losses.adversary_loss(a_part, f_part, None if code.learned else code))
      for weight, code, a_part, f_part in zip(
        model.feature.adversary_weights, model.codes, model.feature.split(a), model.feature.split(f_twice)
      )
    )
    terms["L"] -= ramp * o.lambda6 * terms["L_a"]
  if o.lambda7:
    z1_cycled = tf.split(model.E1(model.decode(tf.concat([prior_z1] * 2, 0), tf.concat([z2, z2_partner], 0))), 2)
    terms["L_cycle"] = mean(losses.cycle_loss(*(diagonal_gaussian(parameters) for parameters in z1_cycled)))
    terms["L"] += ramp * o.lambda7 * terms["L_cycle"]

  terms["psnr"] = mean(tf.image.psnr(x, x_rec, max_val=1.0))
  return terms


def _mean(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
  """The mean over the examples, of `values` [B], or [K B] with each example K times; weighted by [B], where given."""
  if weight is None:
    return tf.reduce_mean(values)
  weight = tf.tile(weight, [tf.size(values) // tf.size(weight)])
  # no_nan: the PSNR of a perfect x' that does not count is infinite, and a replica may have nothing that counts
  return tf.math.divide_no_nan(tf.reduce_sum(tf.math.multiply_no_nan(values, weight)), tf.reduce_sum(weight))


def _of_neighbour(z1: tf.Tensor) -> tf.Tensor:
  """z1 [B, Z1] with every two neighbours exchanged: an independent image's z1, within any even share of the batch.

  The last of an odd number gets the first one's.
  """
  row, count = tf.range(tf.shape(z1)[0]), tf.shape(z1)[0]
  return tf.gather(z1, (row + 1 - 2 * (row % 2)) % count)
