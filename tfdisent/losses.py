"""Every loss of the paper as a pure function: tensors in, one value per example [B] out, in nats unless said otherwise.

Tang, Zhou, He, Ma: Disentangled Representation Learning for Controllable Image Synthesis: an Information-Theoretic
Perspective. `L = L_VAE + λ3 L_f + λ4 L_GAN`, and what `tfdisent.model.Objective` adds. The model
averages each term over the global batch.
"""

import tensorflow as tf
import tensorflow_probability as tfp

from tfdisent.codes import Code
from tfdisent.errors import FeatureError

tfd = tfp.distributions


def gaussian_reconstruction(x: tf.Tensor, x_logits: tf.Tensor, stddev: float) -> tf.Tensor:
  """-log p(x | z1, z2) = ‖x - x'‖² / (2 σ²) [B], up to the constant D·log(σ √(2π)): the Gaussian likelihood of L_VAE.

  Args:
    x: images in [0, 1], [B, H, W, C].
    x_logits: what G gives; x' = sigmoid(x_logits), [B, H, W, C].
    stddev: σ, in units of the image's range.
  """
  return tf.reduce_sum(tf.math.squared_difference(x, tf.sigmoid(x_logits)), [1, 2, 3]) / (2 * stddev**2)


def laplace_reconstruction(x: tf.Tensor, x_logits: tf.Tensor, stddev: float) -> tf.Tensor:
  """-log p(x | z1, z2) = √2 ‖x - x'‖₁ / σ [B], up to the constant D·log(σ √2): the Laplace likelihood of L_VAE.

  Its best x' is the median, where that of a Gaussian is the mean: strokes whose place is uncertain stay as bright as
  they are instead of a grey blur. Arguments as in `gaussian_reconstruction`.
  """
  return tf.reduce_sum(tf.abs(x - tf.sigmoid(x_logits)), [1, 2, 3]) * (2**0.5 / stddev)


def bernoulli_reconstruction(x: tf.Tensor, x_logits: tf.Tensor) -> tf.Tensor:
  """-log p(x | z1, z2) = -Σ x log x' + (1 - x) log(1 - x') [B]: the Bernoulli likelihood of L_VAE; shapes as above."""
  return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x_logits), [1, 2, 3])


def kl_to_standard_normal(posterior: tfd.Distribution) -> tf.Tensor:
  """KL(q(z | ·) ‖ N(0, I)) [B], of z1 (weighted by λ1 in L_VAE) and of a Gaussian z2 (λ2).

  Args:
    posterior: a `tfd.MultivariateNormalDiag` over [B, Z].
  """
  mean, variance = posterior.mean(), posterior.variance()
  return 0.5 * tf.reduce_sum(tf.square(mean) + variance - 1 - tf.math.log(variance), axis=-1)


def feature_loss_f1(q: tfd.Distribution, z2_partner: tf.Tensor) -> tf.Tensor:
  """L_f1 = -E[log q(z̃2 | z1, x̂)] [B], from the first lower bound, I(z̃2; x̂ | z1) ≥ E[log q(z̃2 | z1, x̂)] + H(z̃2 | z1).

  x̃ is independent of x, so H(z̃2 | z1) = H(z̃2). Where z̃2 is f(x̃) itself, that is a constant. Where E2 makes z̃2, E2
  moves it: by shrinking its codes it lowers L_f1 and H(z̃2) by as much, and the bound not at all. So no gradient goes
  into z̃2 as the target, which is the gradient of the bound with its entropy where q is the true posterior: let E2 move
  z̃2 by δv, v = ∂z̃2/∂φ. x̂ depends on E2 through z̃2 alone, hence E[v | z̃2, x̂, z1] = u(z̃2) for some u, and

    E[∇log q(z̃2 | z1, x̂)·v] = E[∇log p(z̃2 | z1, x̂)·u(z̃2)] = -E[div u(z̃2)] = E[∇log p(z̃2)·u(z̃2)] = -∂H(z̃2)/∂φ:

  what the target's gradient would add, the entropy's takes away.

  What is left for E2 is its gradient through x̂. With the entropy kept, too, that is not one to follow, since

    I(z̃2; x̂ | z1) = I(f(x̃); x̂ | z1) + I(z̃2; x̂ | z1, f(x̃)),

  of which the second term is E2's own noise, told from the image. E2 raises it by adding noise: the code keeps its
  scale and loses f. So `tfdisent.model` gives G a z̃2 without gradient, as well: L_f1 teaches G and q to tell whichever
  code there is, and E2 learns what to put into it from L_VAE.

  Args:
    q: q(· | z1, x̂), over codes [B, Z2].
    z2_partner: z̃2, the code that x̂ was made from, [B, Z2].
  """
  return -q.log_prob(tf.stop_gradient(z2_partner))


def feature_loss_f2(f_fusion: tf.Tensor, f_partner: tf.Tensor) -> tf.Tensor:
  """L_f2 = ‖f(G(z1, z̃2)) - f(x̃)‖² [B], in f's own units squared.

  From the second lower bound, I(z̃2; x̂ | z1) ≥ E[log q*(f(x̃) | z1, x̂)] + H(f(x)), with a Gaussian q* of fixed scale
  about f(x̂).

  Args:
    f_fusion: f(x̂), [B, width].
    f_partner: f(x̃), [B, width].

  Raises:
    FeatureError: they are of two shapes, or have no axis for the width: [B] and [B, 1] would become [B, B].
  """
  shape = tf.TensorShape(f_fusion.shape)
  if not (shape.is_compatible_with([None, None]) and shape.is_compatible_with(f_partner.shape)):
    raise FeatureError(
      f"L_f2 compares f(x̂) of shape {list(shape)} with f(x̃) of shape {list(f_partner.shape)}: both must be [B, width]."
    )
  return tf.reduce_sum(tf.math.squared_difference(f_fusion, f_partner), axis=-1)


def discriminator_loss(real_logits: tf.Tensor, fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_D = -[log D(z2, x') + log(1 - D(z̃2, x̂))] [B]; D = sigmoid of its logits [B]."""
  return tf.nn.softplus(-real_logits) + tf.nn.softplus(fusion_logits)


def gan_loss(fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_GAN = -log D(z̃2, x̂) [B]; D = sigmoid of its logits [B]."""
  return tf.nn.softplus(-fusion_logits)


# --- Beyond the paper, in its frame -----------------------------------------------------------------------------------


def mirror_loss(posterior: tfd.Distribution, z1: tf.Tensor) -> tf.Tensor:
  """L_mirror = -E[log q(z1 | z̃2, x̂)] [B]: the paper's first bound with z1 and z̃2 exchanged.

  The paper's bound asks that z̃2 be told from the fusion; nothing asks that z1 be. So, in the same way,

    I(z1; x̂ | z̃2) = H(z1 | z̃2) - H(z1 | z̃2, x̂) ≥ H(z1) + E[log q(z1 | z̃2, x̂)],

  for x̃ is independent of x, and for any q (Barber & Agakov 2003). The q that lies at hand is the encoder's posterior,
  q(z1 | x) at x = x̂, with its mean and its scale: what a reconstruction must hold of its source, a fusion must hold as
  well, and as precisely. The expectation is over z1 held fixed (no gradient goes into z1 as the target): otherwise E1
  would shorten L_mirror by shrinking its codes, which lowers H(z1) by as much and the bound not at all.

  Args:
    posterior: q(z1 | x) at x = x̂, over [B, Z1].
    z1: the code that x̂ was made from, [B, Z1].
  """
  return -posterior.log_prob(tf.stop_gradient(z1))


def adversary_loss(parameters: tf.Tensor, f: tf.Tensor, code: Code | None = None) -> tf.Tensor:
  """L_a = -E[log a(f(x) | z1)] [B]: what an adversary fails to tell of f from z1.

  Maximising I(z̃2; x̂ | z1) does not empty z1 of f. By the same bound,

    I(z1; f(x)) = H(f(x)) - H(f(x) | z1) ≥ H(f(x)) + E[log a(f(x) | z1)],

  with equality where a is the true posterior. So a learns to make the bound tight (down L_a), and E1 lowers what is
  then nearly I(z1; f(x)) itself (L has -λ6 L_a): Ganin et al. 2016; Lample et al. 2017 for autoencoders. Where z1 tells
  nothing, L_a = H(f(x)).

  Args:
    parameters: what the adversary's network gives for z1, [B, width].
    f: f(x) of the same images, [B, width].
    code: whose posterior a is (`tfdisent.codes`), for a discrete f; None for a Gaussian of fixed scale about
      `parameters`, for a continuous f: L_a is then ‖a(z1) - f(x)‖², in f's own units squared, as L_f2 is.
  """
  if code is None:
    return feature_loss_f2(parameters, f)
  return -code.posterior(parameters).log_prob(f)


def cycle_loss(posterior: tfd.Distribution, posterior_partner: tfd.Distribution) -> tf.Tensor:
  """L_cycle = ‖E1(G(z1, z2)) - E1(G(z1, z̃2))‖₁ [B], z1 from the prior: the reverse cycle of Jha et al. 2018.

  Two images that share z1 shall have one code. A baseline: it bounds no information.

  Args:
    posterior: q(z1 | x) at x = G(z1, z2), over [B, Z1].
    posterior_partner: that at G(z1, z̃2).
  """
  return tf.reduce_sum(tf.abs(posterior.mean() - posterior_partner.mean()), axis=-1)
