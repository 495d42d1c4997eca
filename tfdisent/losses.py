"""Every loss of the paper as a pure function: tensors in, one value per example [B] out, in nats unless said otherwise.

Tang, Zhou, He, Ma: Disentangled Representation Learning for Controllable Image Synthesis: an Information-Theoretic
Perspective. `L = L_VAE + λ3 L_f + λ4 L_GAN`; the model averages each term over the global batch.
"""

import tensorflow as tf
import tensorflow_probability as tfp

tfd = tfp.distributions


def gaussian_reconstruction(x: tf.Tensor, x_logits: tf.Tensor, stddev: float) -> tf.Tensor:
  """-log p(x | z1, z2) = ‖x - x'‖² / (2 σ²) [B], up to the constant D·log(σ √(2π)): the Gaussian likelihood of L_VAE.

  Args:
    x: images in [0, 1], [B, H, W, C].
    x_logits: what G gives; x' = sigmoid(x_logits), [B, H, W, C].
    stddev: σ, in units of the image's range.
  """
  return tf.reduce_sum(tf.math.squared_difference(x, tf.sigmoid(x_logits)), [1, 2, 3]) / (2 * stddev**2)


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

  Args:
    q: q(· | z1, x̂), over codes [B, Z2].
    z2_partner: z̃2, the code that x̂ was made from, [B, Z2].
  """
  return -q.log_prob(z2_partner)


def feature_loss_f2(f_fusion: tf.Tensor, f_partner: tf.Tensor) -> tf.Tensor:
  """L_f2 = ‖f(G(z1, z̃2)) - f(x̃)‖² [B], in f's own units squared.

  From the second lower bound, I(z̃2; x̂ | z1) ≥ E[log q*(f(x̃) | z1, x̂)] + H(f(x)), with a Gaussian q* of fixed scale
  about f(x̂).

  Args:
    f_fusion: f(x̂), [B, width].
    f_partner: f(x̃), [B, width].
  """
  return tf.reduce_sum(tf.math.squared_difference(f_fusion, f_partner), axis=-1)


def discriminator_loss(real_logits: tf.Tensor, fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_D = -[log D(z2, x') + log(1 - D(z̃2, x̂))] [B]; D = sigmoid of its logits [B]."""
  return tf.nn.softplus(-real_logits) + tf.nn.softplus(fusion_logits)


def gan_loss(fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_GAN = -log D(z̃2, x̂) [B]; D = sigmoid of its logits [B]."""
  return tf.nn.softplus(-fusion_logits)
