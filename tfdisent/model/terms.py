"""The paper's loss, term by term, in one function; what goes beyond the paper are records in a loop at its end.

Notation, as in the paper (and in code):
  x, f(x)   an image and its feature (`x`, `f`)           x̃, f(x̃)  an independent one and its feature (`f_partner`)
  z1        complementary code, from q(z1 | x)            z2, z̃2    codes of f(x) and of f(x̃) (`z2`, `z2_partner`)
  x'        reconstruction, G(z1, z2) (`x_rec`)           x̂         fusion, G(z1, z̃2) (`x_fusion`)
"""

import functools
import math
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from tfdisent import losses
from tfdisent.codes import reparameterise
from tfdisent.model.loss import Forward, Term, weighted_mean


def terms(model, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:  # noqa: PLR0912, PLR0915
  """Every term of the loss on one batch, as scalars: one forward pass, from which all networks learn.

  Args:
    model: the `DisentangledVAE`.
    batch: of `tfdisent.data.batches.training_batches`; each example counts as much as its `weight`, where there is one.
    step: keys the noise together with the seed and each example's position; -1 in a validation.

  Returns:
    Means over the examples: what `records` lists, and `psnr` of x' in dB.
  """
  o, mean = model.objective, functools.partial(weighted_mean, weight=batch.get("weight"))
  x = tf.image.convert_image_dtype(batch["image"], tf.float32)
  f, f_partner, position = batch["feature"], batch["partner"], batch["position"]
  widths = [model.z1_width, model.z1_width, model.z2_width, model.z2_width]
  noise_z1, z1_prior, noise_z2, noise_z2_partner = tf.split(model.noise(position, step, sum(widths)), widths, 1)
  terms = {}
  progress = tf.minimum(tf.cast(step, tf.float32) / o.ramp_steps, 1.0) if o.ramp_steps else 1.0
  ramp = tf.where(step < 0, 1.0, progress)  # a validation has the whole weights, so that epochs compare

  # 1. ENCODE: z1 from x, z2 from f(x), and z̃2 from f(x̃) of the independent partner.
  q_z1 = model.posterior_z1(x)
  z1 = reparameterise(q_z1, noise_z1)
  terms["KL_z1"] = mean(losses.kl_to_standard_normal(q_z1))
  q_z2 = model.posterior_z2(f)
  z2 = model.sample_z2(f, q_z2, noise_z2)
  z2_partner = model.hold_for_f1(model.sample_z2(f_partner, model.posterior_z2(f_partner), noise_z2_partner))
  if any(model.E2):
    terms["KL_z2"] = sum(mean(losses.kl_to_standard_normal(q)) for q in q_z2 if q is not None)

  # 2. GENERATE: the reconstruction x' = G(z1, z2) and the fusion x̂ = G(z1, z̃2), in one call of G.
  z1_fusion, from_prior = z1, None
  if o.prior_fusions:
    spread = tf.math.floormod(o.prior_fusions * tf.cast(position, tf.float32), 1.0)  # evenly over the batch
    from_prior = spread < o.prior_fusions
    z1_fusion = tf.where(from_prior[:, None], z1_prior, z1)
  logits = model.G(tf.concat([z1, z1_fusion], 0), tf.concat([z2, z2_partner], 0))
  x_rec_logits, x_fusion_logits = tf.split(logits, 2)
  x_rec, x_fusion = tf.sigmoid(x_rec_logits), tf.sigmoid(x_fusion_logits)

  # 3. L_VAE = -log p(x | z1, z2) + λ1 KL(z1) + λ2 KL(z2)
  if o.likelihood == "bernoulli":
    terms["reconstruction"] = mean(losses.bernoulli_reconstruction(x, x_rec_logits))
  else:
    terms["reconstruction"] = mean(losses.gaussian_reconstruction(x, x_rec_logits, o.stddev))
  if o.likelihood == "laplace":
    # Blended in: the optimum of the Laplace likelihood is the median of each pixel, which is black on MNIST until z1
    # carries the position of the stroke. A training that began with it would stay with a black image.
    laplace = mean(losses.laplace_reconstruction(x, x_rec_logits, o.stddev))
    terms["reconstruction"] = (1 - ramp) * terms["reconstruction"] + ramp * laplace
  terms["L"] = terms["reconstruction"] + o.lambda1 * terms["KL_z1"] + o.lambda2 * terms.get("KL_z2", 0.0)

  # 4. λ3 L_f, from the bounds of I(z̃2; x̂ | z1): L_f1 where q reads z̃2 in x̂, L_f2 where f itself reads f(x̃)
  if o.lambda3:
    noise_x = 0.0
    if o.q_noise:
      noise_x = o.q_noise * tf.reshape(model.noise(position, step, math.prod(model.image_shape), 1), tf.shape(x))
    x_noisy = x_fusion + noise_x
    q_fusion, L_f = model.variational_z2(z1_fusion, x_noisy), []
    parts = zip(model.feature.parts, q_fusion, model.split_z2(z2_partner), model.feature.split(f_partner))
    for part, q, z2_part, f_part in parts:
      if q is not None:
        L_f.append(mean(losses.feature_loss_f1(q, z2_part)))
      else:
        L_f.append(mean(part.loss_f2(x_noisy if part.networks else x_fusion, f_part)))
    terms |= dict(zip(model.names_of_parts("L_f"), L_f))
    terms["L_f"] = sum(weight * of_part for weight, of_part in zip(model.feature.weights, L_f))
    terms["L"] += o.lambda3 * terms["L_f"]

  #    L_q, which makes the first bound tight: q goes down it
  if model.q:
    L_q = [of_part for of_part, q in zip(L_f, q_fusion) if q is not None] if o.q_data != "pairs" else []
    if o.q_data != "fusions":
      q_pair = model.variational_z2(tf.stop_gradient(of_neighbour(z1)), x + noise_x)
      pairs = zip(q_pair, model.split_z2(tf.stop_gradient(z2)))
      L_q += [mean(losses.feature_loss_f1(q, z2_part)) for q, z2_part in pairs if q is not None]
    terms["L_q"] = sum(L_q)

  # 5. λ4 L_GAN, and L_D on the same two images: D goes down it
  if o.lambda4:
    real = x_rec if o.d_real == "reconstructions" else x
    # Two calls of D, not one on both images: the gradient of L_GAN then skips the real half.
    d_real, d_fusion = model.D(z2, real), model.D(z2_partner, x_fusion)
    discriminator_loss, gan_loss = losses.OF_GAN[o.gan]
    terms["L_GAN"] = mean(gan_loss(d_fusion))
    terms["L_D"] = mean(discriminator_loss(d_real, d_fusion))
    if o.r1:
      terms["R1"] = now_and_then(lambda: mean(losses.r1_penalty(gradient_of(model.D, z2, real))), step, o.r1_every)
      terms["L_D"] += o.r1 / 2 * terms["R1"]
    terms["L"] += o.lambda4 * terms["L_GAN"]

  # 6. BEYOND THE PAPER: one record each, see `tfdisent.model.loss`
  forward = Forward(
    x, f, f_partner, q_z1, z1, z1_prior, z1_fusion, z2, z2_partner, x_rec, x_fusion, batch.get("weight"), from_prior
  )
  for loss in o.beyond:
    value = terms[loss.symbol] = loss(model, forward)
    weight = ramp * loss.weight if loss.is_ramped else loss.weight
    if loss.is_adversarial:
      terms["L"] -= weight * loss.raised(model, forward, value)
    else:
      terms["L"] += weight * value

  terms["psnr"] = mean(tf.image.psnr(x, x_rec, max_val=1.0))
  return terms


def records(model) -> tuple[Term, ...]:
  """What is to be known of each term that `terms` gives for a model, in the order in which they are told."""
  o, parts = model.objective, model.names_of_parts("L_f")
  found = [
    Term("L", learners=("E1", *model.names_of_parts("E2"), "G")),
    Term("reconstruction", 1.0),
    Term("KL_z1", o.lambda1),
  ]
  if any(model.E2):
    found.append(Term("KL_z2", o.lambda2, is_shown=False))
  if o.lambda3:
    found += [Term("L_f", o.lambda3), *(Term(name, is_shown=False) for name in parts if len(parts) > 1)]
  if model.q:
    found.append(Term("L_q", learners=("q",), is_shown=False))
  if o.lambda4:
    found += [Term("L_GAN", o.lambda4, counts_for_best=False), Term("L_D", learners=("D",), optimizer="d")]
    found += [Term("R1", is_shown=False)] if o.r1 else []
  return (*found, *(loss.term(tuple(networks)) for loss, networks in model.networks_of_losses))


def of_neighbour(z1: tf.Tensor) -> tf.Tensor:
  """z1 [B, Z1] with every two neighbours exchanged: an independent image's z1, within any even share of the batch.

  The last of an odd number gets the first one's.
  """
  row, count = tf.range(tf.shape(z1)[0]), tf.shape(z1)[0]
  return tf.gather(z1, (row + 1 - 2 * (row % 2)) % count)


def now_and_then(value: Callable[[], tf.Tensor], step: tf.Tensor, every: int) -> tf.Tensor:
  """A scalar that is computed once in `every` steps, and counts `every` times then; in a validation as it is."""
  is_due, scale = step % every == 0, tf.cast(every, tf.float32)
  return tf.cond(step < 0, value, lambda: tf.cond(is_due, lambda: scale * value(), lambda: 0.0))


def gradient_of(D: keras.Model, z2: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
  """∂d(z2, x) / ∂x [B, H, W, C] of the logit d at an image [B, H, W, C], which gets no gradient itself."""
  image = tf.stop_gradient(image)
  with tf.GradientTape() as tape:
    tape.watch(image)
    logits = D(z2, image)
  return tape.gradient(logits, image)
