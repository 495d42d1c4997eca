"""Every loss as a pure function of tensors: one value per example, [B], in nats unless its docstring says otherwise.

The first ones are those of the paper, `L = L_VAE + λ3 L_f + λ4 L_GAN`: Tang, Zhou, He, Ma: Disentangled Representation
Learning for Controllable Image Synthesis: an Information-Theoretic Perspective. The model averages each over the global
batch.
"""

from collections.abc import Sequence

import tensorflow as tf
import tensorflow_probability as tfp

from tfdisent.codes import Code
from tfdisent.errors import FeatureError

tfd = tfp.distributions


def gaussian_reconstruction(x: tf.Tensor, x_logits: tf.Tensor, stddev: float) -> tf.Tensor:
  """-log p(x | z1, z2) = ‖x - x'‖² / (2 σ²) [B], up to the constant D·log(σ √(2π)): the Gaussian likelihood of L_VAE.

  Args:
    x: images in [0, 1], [B, H, W, C].
    x_logits: the output of G, [B, H, W, C]; x' = sigmoid(x_logits).
    stddev: σ, in the unit of the pixels: 1 is the whole range from black to white.
  """
  return tf.reduce_sum(tf.math.squared_difference(x, tf.sigmoid(x_logits)), [1, 2, 3]) / (2 * stddev**2)


def laplace_reconstruction(x: tf.Tensor, x_logits: tf.Tensor, stddev: float) -> tf.Tensor:
  """-log p(x | z1, z2) = √2 ‖x - x'‖₁ / σ [B], up to the constant D·log(σ √2): the Laplace likelihood of L_VAE.

  The best x' of a Laplace likelihood is the median of each pixel, that of a Gaussian is the mean. So a stroke of
  uncertain position keeps its brightness and does not become a grey blur. Arguments as in `gaussian_reconstruction`.
  """
  return tf.reduce_sum(tf.abs(x - tf.sigmoid(x_logits)), [1, 2, 3]) * (2**0.5 / stddev)


def bernoulli_reconstruction(x: tf.Tensor, x_logits: tf.Tensor) -> tf.Tensor:
  """-log p(x | z1, z2) = -Σ x log x' + (1 - x) log(1 - x') [B]: the Bernoulli likelihood of L_VAE.

  Args:
    x: images in [0, 1], [B, H, W, C].
    x_logits: the output of G, [B, H, W, C]; x' = sigmoid(x_logits).
  """
  return tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=x_logits), [1, 2, 3])


def kl_to_standard_normal(posterior: tfd.Distribution) -> tf.Tensor:
  """KL(q(z | ·) ‖ N(0, I)) [B]: of z1 with the weight λ1 in L_VAE, and of a Gaussian z2 with the weight λ2.

  Args:
    posterior: a `tfd.MultivariateNormalDiag` over [B, Z].
  """
  mean, variance = posterior.mean(), posterior.variance()
  return 0.5 * tf.reduce_sum(tf.square(mean) + variance - 1 - tf.math.log(variance), axis=-1)


def feature_loss_f1(q: tfd.Distribution, z2_partner: tf.Tensor) -> tf.Tensor:
  """L_f1 = -E[log q(z̃2 | z1, x̂)] [B], from the first lower bound, I(z̃2; x̂ | z1) ≥ E[log q(z̃2 | z1, x̂)] + H(z̃2 | z1).

  x̃ is independent of x, so H(z̃2 | z1) = H(z̃2). If z̃2 is f(x̃) itself, H(z̃2) is a constant. If E2 makes z̃2, E2 can
  shrink its codes. This lowers L_f1 and H(z̃2) by the same amount, and does not change the bound. Therefore z̃2 is a
  constant target here (no gradient). If q is the true posterior, L_f1 then has the gradient of the bound with its
  entropy. The proof: let the parameters φ of E2 move z̃2 with v = ∂z̃2/∂φ. x̂ depends on E2 only through z̃2, hence
  E[v | z̃2, x̂, z1] = u(z̃2) for some u, and

    E[∇log q(z̃2 | z1, x̂)·v] = E[∇log p(z̃2 | z1, x̂)·u(z̃2)] = -E[div u(z̃2)] = E[∇log p(z̃2)·u(z̃2)] = -∂H(z̃2)/∂φ.

  So the gradient through the target and the gradient of the entropy cancel.

  E2 would still get the gradient through x̂. `tfdisent.model` stops that one, too: it gives G a z̃2 without gradient. For

    I(z̃2; x̂ | z1) = I(f(x̃); x̂ | z1) + I(z̃2; x̂ | z1, f(x̃)),

  and the second term is information about the noise of E2. E2 raises it by adding noise, and its code keeps its scale
  and loses f. With both gradients stopped, L_f1 trains G and q to express the code that E2 gives, and E2 learns its
  code from L_VAE.

  Args:
    q: q(· | z1, x̂), over codes [B, Z2].
    z2_partner: z̃2, the code that x̂ was generated from, [B, Z2].
  """
  return -q.log_prob(tf.stop_gradient(z2_partner))


def feature_loss_f2(f_fusion: tf.Tensor, f_partner: tf.Tensor) -> tf.Tensor:
  """L_f2 = ‖f(G(z1, z̃2)) - f(x̃)‖² [B], in the squared unit of f.

  It comes from the second lower bound, I(z̃2; x̂ | z1) ≥ E[log q*(f(x̃) | z1, x̂)] + H(f(x)), with a Gaussian q* of fixed
  scale and the mean f(x̂).

  Args:
    f_fusion: f(x̂), [B, width].
    f_partner: f(x̃), [B, width].

  Raises:
    FeatureError: the shapes differ, or lack the axis of the width: [B] and [B, 1] would be broadcast to [B, B].
  """
  shape = tf.TensorShape(f_fusion.shape)
  if not (shape.is_compatible_with([None, None]) and shape.is_compatible_with(f_partner.shape)):
    raise FeatureError(
      f"L_f2 compares f(x̂) of shape {list(shape)} with f(x̃) of shape {list(f_partner.shape)}: both must be [B, width]."
    )
  return tf.reduce_sum(tf.math.squared_difference(f_fusion, f_partner), axis=-1)


def discriminator_loss(real_logits: tf.Tensor, fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_D = -[log D(z2, x') + log(1 - D(z̃2, x̂))] [B], where D is the sigmoid of the logits [B]."""
  return tf.nn.softplus(-real_logits) + tf.nn.softplus(fusion_logits)


def gan_loss(fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_GAN = -log D(z̃2, x̂) [B], where D is the sigmoid of the logits [B]."""
  return tf.nn.softplus(-fusion_logits)


# --- Beyond the paper -----------------------------------------------------------------------------------


def hinge_discriminator_loss(real_logits: tf.Tensor, fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_D = max(0, 1 - d(z2, x')) + max(0, 1 + d(z̃2, x̂)) [B] of the logits d [B]: the hinge loss of Lim & Ye 2017.

  An image that D tells apart with a margin of 1 has no gradient, so that D does not go on to win.
  """
  return tf.nn.relu(1 - real_logits) + tf.nn.relu(1 + fusion_logits)


def hinge_gan_loss(fusion_logits: tf.Tensor) -> tf.Tensor:
  """L_GAN = -d(z̃2, x̂) [B] of the logits d [B]: what G lowers where D has `hinge_discriminator_loss`."""
  return -fusion_logits


def r1_penalty(gradient: tf.Tensor) -> tf.Tensor:
  """R1 = ‖∂d(z2, x) / ∂x‖² [B] of the logit d at an image that D takes for real (Mescheder et al. 2018).

  L_D has r1 / 2 · R1. It keeps D flat about the real images, where G shall arrive, so that the training converges.

  Args:
    gradient: ∂d / ∂x, [B, H, W, C].
  """
  return tf.reduce_sum(tf.square(gradient), [1, 2, 3])


def matching_loss(of_x: Sequence[tf.Tensor], of_x_rec: Sequence[tf.Tensor]) -> tf.Tensor:
  """L_match = Σ_l ½ ‖D_l(x) - D_l(x')‖² [B], over what each convolution l of D makes of an image.

  It is -log p(D_l(x) | z1, z2) up to a constant: a Gaussian likelihood of scale 1 about D_l(x') (Larsen et al. 2016). A
  likelihood of pixels is highest for a blur where an edge may lie here or there. D's layers tell edges from blurs. Its
  weight λ stands for a scale of σ = 1 / √λ. D does not learn from it.

  Args:
    of_x: D_l(x), [B, H_l, W_l, C_l] each; they are constants (no gradient).
    of_x_rec: D_l(x') likewise.
  """
  squares = zip(of_x, of_x_rec)
  return sum(tf.reduce_sum(tf.math.squared_difference(tf.stop_gradient(a), b), [1, 2, 3]) for a, b in squares) / 2


def mirror_loss(posterior: tfd.Distribution, z1: tf.Tensor) -> tf.Tensor:
  """L_mirror = -E[log q(z1 | z̃2, x̂)] [B]: the paper's first bound with z1 and z̃2 exchanged.

  The paper's bound makes the fusion x̂ show z̃2. No term of the paper makes it show z1. This loss does, with a bound of
  the same kind:

    I(z1; x̂ | z̃2) = H(z1 | z̃2) - H(z1 | z̃2, x̂) ≥ H(z1) + E[log q(z1 | z̃2, x̂)].

  It holds for any q (Barber & Agakov 2003), and H(z1 | z̃2) = H(z1) since x̃ is independent of x. As q we reuse the
  encoder: q(z1 | z̃2, x̂) := q(z1 | x = x̂), with its mean and its scale. z1 is a constant target (no gradient). Otherwise
  E1 could lower L_mirror by shrinking its codes, which lowers H(z1) by the same amount and does not change the bound.

  Args:
    posterior: q(z1 | x) at x = x̂, over [B, Z1].
    z1: the code that x̂ was generated from, [B, Z1].
  """
  return -posterior.log_prob(tf.stop_gradient(z1))


def adversary_loss(parameters: tf.Tensor, f: tf.Tensor, code: Code | None = None) -> tf.Tensor:
  """L_a = -E[log a(f(x) | z1)] [B]: the loss of an adversary a that predicts f from z1.

  Maximising I(z̃2; x̂ | z1) does not remove f from z1. By the same kind of bound,

    I(z1; f(x)) = H(f(x)) - H(f(x) | z1) ≥ H(f(x)) + E[log a(f(x) | z1)],

  with equality if a is the true posterior. So a minimises L_a, which makes the bound tight, and E1 maximises it, which
  then lowers I(z1; f(x)): L has the term -adversary · L_a. Sources: Ganin et al. 2016; Lample et al. 2017 for
  autoencoders. If z1 is independent of f, the best a has L_a = H(f(x)).

  Args:
    parameters: the output of the network a for z1, [B, width].
    f: f(x) of the same images, [B, width].
    code: for a discrete f, the code (`tfdisent.codes`) whose posterior a is. None for a continuous f: a is then a
      Gaussian of fixed scale with the mean `parameters`, and L_a = ‖a(z1) - f(x)‖² in the squared unit of f, as L_f2.
  """
  if code is None:
    return feature_loss_f2(parameters, f)
  return -code.posterior(parameters).log_prob(f)


def entropy_bound(mean: tf.Tensor, mean_square: tf.Tensor, code: Code | None = None) -> tf.Tensor:
  """L_a of the best a that does not read z1, from the moments of f [width] over a batch: a scalar.

  That is H(f(x)) for a discrete f, and the variance of a continuous one. Above it the bound I(z1; f(x)) ≥ H(f(x)) - L_a
  says less than I(z1; f(x)) ≥ 0 does, and E1 wins nothing but that a errs: a term that is not capped here can be raised
  without bound, by codes for which a extrapolates.

  Args:
    mean, mean_square: of each component of f and of its square, [width].
    code: as in `adversary_loss`.
  """
  if code is None:
    return tf.reduce_sum(mean_square - tf.square(mean))
  return tf.reduce_sum(code.entropies(mean))


def equivariance_loss(x_fusion_of_moved: tf.Tensor, moved_x_fusion: tf.Tensor, stddev: float) -> tf.Tensor:
  """L_T = ‖G(E1(T x), z̃2) - T G(z1, z̃2)‖² / (2 σ²) [B], for a change of images T that leaves f(x).

  That z1 tells nothing of f does not say that a number of z1 means the same for every f: "slanted" for one letter may
  be "upright" for another, and z1 is still independent of the letter. Among all such G the wanted one moves a fusion as
  its source is moved. The unit is that of a Gaussian likelihood, so L_T counts as L_VAE does. The moved fusion is what
  the other shall be, and gets no gradient, so that no blur is won by it.

  Args:
    x_fusion_of_moved: G(E1(T x), z̃2), [B, H, W, C].
    moved_x_fusion: T x̂, [B, H, W, C].
    stddev: σ of the likelihood.
  """
  return tf.reduce_sum(tf.square(x_fusion_of_moved - tf.stop_gradient(moved_x_fusion)), [1, 2, 3]) / (2 * stddev**2)


def change_loss(of_x: Sequence[tf.Tensor], of_x_fusion: Sequence[tf.Tensor]) -> tf.Tensor:
  """L_change = c(x, x̂) [B]: the mean absolute difference of two images, or of what some layers make of them.

  That z1 tells nothing of f, and that x̂ shows f(x̃), does not say which x̂ belongs to which x. It says that x ↦ x̂ maps
  p(x | f(x)) to p(x | f(x̃)), and a duck that turns into a car does that, too. The wanted map changes x least: it solves
  Monge's problem of optimal transport, min E c(x, x̂) among all maps from the one distribution to the other (of cycles
  of GANs: de Bézenac et al. 2021). L_f is the constraint, and a weight that is small against λ3 chooses among the maps
  that it leaves. c is a mean over pixels, since L_f does not grow with the image either.

  Args:
    of_x: x, [B, H, W, C], or what each layer makes of it, [B, H_l, W_l, C_l].
    of_x_fusion: x̂ likewise.
  """
  return sum(tf.reduce_mean(tf.abs(a - b), [1, 2, 3]) for a, b in zip(of_x, of_x_fusion)) / len(of_x)


def smooth_loss(length: tf.Tensor, mean_length: tf.Tensor) -> tf.Tensor:
  """L_smooth = (l / l̄ - 1)² [B], with l = ‖G(z1, z̃2 + δ) - G(z1, z̃2)‖ / ‖δ‖, the length of G's path at z̃2.

  Images of neighbouring values of a continuous f share their complement. Where G jumps from one object to another as z̃2
  moves on, its path is much longer than elsewhere. So the path shall be as long everywhere: the path length
  regularisation of Karras et al. 2020, with a finite step in place of the Jacobian, and the mean of the batch in place
  of a running mean. It is relative to the mean, so that it depends neither on the image's size nor on z2's scale.

  Args:
    length: l, [B].
    mean_length: l̄, its mean over the batch, a constant scalar.
  """
  return tf.square(tf.math.divide_no_nan(length, mean_length) - 1)


def fusion_cycle_loss(x: tf.Tensor, x_back: tf.Tensor, stddev: float) -> tf.Tensor:
  """L_back = -log p(x | E1(x̂), z2) = ‖x - G(E1(x̂), z2)‖² / (2 σ²) [B], up to a constant.

  L_mirror asks x̂ for z1, and this asks for all of x that z2 does not tell, by a bound of the same kind:

    I(x; x̂ | z2) ≥ H(x | z2) + E[log p(x | E1(x̂), z2)],

  with the decoder of L_VAE at the mean of q(z1 | x̂) as p. It is the cycle of Zhu et al. 2017 through the fusion.

  Args:
    x: [B, H, W, C].
    x_back: G(E1(x̂), z2), [B, H, W, C].
    stddev: σ of the likelihood.
  """
  return tf.reduce_sum(tf.math.squared_difference(x, x_back), [1, 2, 3]) / (2 * stddev**2)


def cycle_loss(posterior: tfd.Distribution, posterior_partner: tfd.Distribution) -> tf.Tensor:
  """L_cycle = ‖E1(G(z1, z2)) - E1(G(z1, z̃2))‖₁ [B], with z1 from the prior: the reverse cycle of Jha et al. 2018.

  It makes E1 give the same code to two images that were generated from the same z1. It is a baseline and bounds no
  information.

  Args:
    posterior: q(z1 | x) at x = G(z1, z2), over [B, Z1].
    posterior_partner: q(z1 | x) at x = G(z1, z̃2), over [B, Z1].
  """
  return tf.reduce_sum(tf.abs(posterior.mean() - posterior_partner.mean()), axis=-1)


OF_GAN = {"logistic": (discriminator_loss, gan_loss), "hinge": (hinge_discriminator_loss, hinge_gan_loss)}
"""L_D and L_GAN by `Objective.gan`."""
