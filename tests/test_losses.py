"""Every loss against values computed by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from tfdisent import losses
from tfdisent.codes import BernoulliCode, OneHotCode, diagonal_gaussian
from tfdisent.errors import FeatureError

tfd = tfp.distributions


def test_gaussian_reconstruction_is_squared_error_over_twice_the_variance():
  x = tf.constant([1.0, 0.0, 0.5, 0.5], shape=[1, 2, 2, 1])
  x_logits = tf.zeros([1, 2, 2, 1])  # x' = 0.5
  # (0.25 + 0.25 + 0 + 0) / (2 · 0.25)
  np.testing.assert_allclose(losses.gaussian_reconstruction(x, x_logits, stddev=0.5), [1.0], rtol=1e-6)


def test_gaussian_reconstruction_is_the_negative_log_likelihood_up_to_its_constant():
  x, x_logits, stddev = tf.random.uniform([3, 4, 4, 3], seed=1), tf.random.normal([3, 4, 4, 3], seed=2), 0.3
  likelihood = tfd.Independent(tfd.Normal(tf.sigmoid(x_logits), stddev), 3)
  constant = 48 * math.log(stddev * math.sqrt(2 * math.pi))
  np.testing.assert_allclose(
    losses.gaussian_reconstruction(x, x_logits, stddev) + constant, -likelihood.log_prob(x), rtol=1e-5
  )


def test_bernoulli_reconstruction_is_binary_cross_entropy():
  x = tf.constant([1.0, 0.0], shape=[1, 1, 2, 1])
  x_logits = tf.constant([math.log(3.0), math.log(3.0)], shape=[1, 1, 2, 1])  # x' = 0.75
  np.testing.assert_allclose(
    losses.bernoulli_reconstruction(x, x_logits), [-math.log(0.75) - math.log(0.25)], rtol=1e-6
  )


@pytest.mark.parametrize(
  ("mean", "stddev", "expected"),
  [
    ([0.0, 0.0], [1.0, 1.0], 0.0),
    ([3.0, 0.0], [1.0, 1.0], 4.5),  # mean² / 2
    ([0.0], [2.0], 0.5 * (4 - 1 - 2 * math.log(2))),
  ],
)
def test_kl_to_standard_normal(mean, stddev, expected):
  posterior = tfd.MultivariateNormalDiag([mean], [stddev])
  np.testing.assert_allclose(losses.kl_to_standard_normal(posterior), [expected], atol=1e-6)


def test_kl_agrees_with_tfp():
  posterior = tfd.MultivariateNormalDiag(tf.random.normal([5, 3], seed=1), tf.random.uniform([5, 3], 0.1, 2, seed=2))
  prior = tfd.MultivariateNormalDiag(tf.zeros(3), tf.ones(3))
  np.testing.assert_allclose(losses.kl_to_standard_normal(posterior), tfd.kl_divergence(posterior, prior), rtol=1e-5)


def test_feature_loss_f1_is_the_negative_log_probability_of_the_partners_code():
  q = tfd.OneHotCategorical(probs=[[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]])
  z2_partner = tf.constant([[1, 0, 0], [0, 0, 1]])
  np.testing.assert_allclose(losses.feature_loss_f1(q, z2_partner), [-math.log(0.7), -math.log(0.1)], rtol=1e-6)


def test_feature_loss_f1_holds_its_target():
  """E2 cannot shorten it by shrinking its codes; q learns from it as ever."""
  z2, parameters = tf.Variable([[1.0, 2.0]]), tf.Variable([[0.0, 0.0, 0.5, 0.5]])
  with tf.GradientTape() as tape:
    loss = losses.feature_loss_f1(diagonal_gaussian(parameters), z2)
  of_z2, of_parameters = tape.gradient(loss, [z2, parameters])
  assert of_z2 is None
  variance = (math.log1p(math.exp(0.5)) + 1e-4) ** 2
  np.testing.assert_allclose(of_parameters[:, :2], [[-1 / variance, -2 / variance]], rtol=1e-5)


def test_what_the_targets_gradient_would_add_the_gradient_of_the_entropy_takes_away():
  """z̃2 = φ (f + σ ε) seen in x̂ = z̃2 + ε': with q the true posterior, H(z̃2) + E log q does not move with the target's φ.

  All is Gaussian: of log q(z̃2 | x̂) the mean over z̃2 moves by -1 with log φ, H(z̃2) by 1.
  """
  draw, gain, noise = np.random.default_rng(0), 1.7, 0.4
  z2 = gain * draw.standard_normal([100_000, 1])
  seen = z2 + noise * draw.standard_normal(z2.shape)
  mean, stddev = seen * gain**2 / (gain**2 + noise**2), gain * noise / math.sqrt(gain**2 + noise**2)
  of_target = np.mean(-(z2 - mean) / stddev**2 * z2)  # d log q / d log φ, with x̂ held
  assert of_target == pytest.approx(-1, abs=0.01)
  of_entropy = (math.log((1 + 1e-6) * gain) - math.log((1 - 1e-6) * gain)) / 2e-6  # H = log φ + a constant
  assert of_entropy == pytest.approx(1)


@pytest.mark.parametrize(
  ("f_fusion", "f_partner", "words"),
  [
    ([8], [8, 1], r"f\(x̂\) of shape \[8\] with f\(x̃\) of shape \[8, 1\]: both must be \[B, width\]"),
    ([8, 1], [8], r"\[8, 1\] with .* \[8\]"),
    ([8], [8], r"\[8\] with .* \[8\]"),
    ([8, 1], [8, 3], r"\[8, 1\] with .* \[8, 3\]"),
    ([1, 3], [8, 3], r"\[1, 3\] with .* \[8, 3\]"),
  ],
)
def test_feature_loss_f2_refuses_shapes_that_would_spread_over_the_batch(f_fusion, f_partner, words):
  with pytest.raises(FeatureError, match=words):
    losses.feature_loss_f2(tf.zeros(f_fusion), tf.zeros(f_partner))


def test_feature_loss_f2_sums_the_squares_over_the_width():
  f_fusion, f_partner = tf.constant([[1.0, 2.0], [0.0, 0.0]]), tf.constant([[0.0, 0.0], [0.0, 3.0]])
  np.testing.assert_allclose(losses.feature_loss_f2(f_fusion, f_partner), [5.0, 9.0])


def test_discriminator_and_gan_losses_at_an_undecided_discriminator():
  undecided = tf.zeros([1])
  np.testing.assert_allclose(losses.discriminator_loss(undecided, undecided), [2 * math.log(2)], rtol=1e-6)
  np.testing.assert_allclose(losses.gan_loss(undecided), [math.log(2)], rtol=1e-6)


def test_discriminator_and_gan_losses_by_hand():
  real, fusion = tf.constant([math.log(4.0)]), tf.constant([-math.log(4.0)])  # D = 0.8 on x', 0.2 on x̂
  np.testing.assert_allclose(losses.discriminator_loss(real, fusion), [-2 * math.log(0.8)], rtol=1e-6)
  np.testing.assert_allclose(losses.gan_loss(fusion), [-math.log(0.2)], rtol=1e-6)


def test_the_hinge_losses_by_hand():
  """Nothing more is asked of D where it tells the images apart with a margin of 1."""
  real, fusion = tf.constant([0.25, 1.0, 3.0, -1.0]), tf.constant([0.5, -1.0, -3.0, -0.75])
  np.testing.assert_allclose(losses.hinge_discriminator_loss(real, fusion), [0.75 + 1.5, 0, 0, 2 + 0.25])
  np.testing.assert_allclose(losses.hinge_gan_loss(fusion), [-0.5, 1, 3, 0.75])


def test_r1_is_the_squared_length_of_the_gradient():
  gradient = tf.constant([3.0, 4.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0], shape=[2, 2, 2, 1])
  np.testing.assert_allclose(losses.r1_penalty(gradient), [25, 4])


def test_matching_is_a_gaussian_likelihood_of_all_layers_and_holds_the_layers_of_x():
  of_x = [tf.constant([1.0, 2.0], shape=[1, 1, 2, 1]), tf.constant([5.0], shape=[1, 1, 1, 1])]
  of_x_rec = [tf.constant([2.0, 4.0], shape=[1, 1, 2, 1]), tf.constant([8.0], shape=[1, 1, 1, 1])]
  with tf.GradientTape() as tape:
    tape.watch([of_x, of_x_rec])
    loss = losses.matching_loss(of_x, of_x_rec)
  np.testing.assert_allclose(loss, [(1 + 4 + 9) / 2])
  of_first, of_second = tape.gradient(loss, [of_x, of_x_rec])
  assert of_first == [None, None]
  np.testing.assert_allclose(np.concatenate([np.ravel(g) for g in of_second]), [1, 2, 3])


def test_laplace_reconstruction_is_the_negative_log_likelihood_up_to_its_constant():
  x, x_logits, stddev = tf.random.uniform([3, 4, 4, 3], seed=1), tf.random.normal([3, 4, 4, 3], seed=2), 0.3
  likelihood = tfd.Independent(tfd.Laplace(tf.sigmoid(x_logits), stddev / math.sqrt(2)), 3)
  constant = 48 * math.log(stddev * math.sqrt(2))
  np.testing.assert_allclose(
    losses.laplace_reconstruction(x, x_logits, stddev) + constant, -likelihood.log_prob(x), rtol=1e-5
  )


def test_mirror_loss_is_the_negative_log_density_of_the_code_under_the_posterior():
  posterior = tfd.MultivariateNormalDiag([[1.0, 0.0]], [[0.5, 1.0]])
  # one deviation and two, of log densities -log(σ √(2π)) - d²/2
  expected = math.log(0.5) + math.log(2 * math.pi) + 0.5 + 2
  np.testing.assert_allclose(losses.mirror_loss(posterior, tf.constant([[1.5, 2.0]])), [expected], rtol=1e-6)


def test_mirror_loss_holds_its_target():
  """E1 cannot lower the loss by shrinking the target code."""
  z1, mean = tf.Variable([[1.0, 2.0]]), tf.Variable([[0.0, 0.0]])
  with tf.GradientTape() as tape:
    loss = losses.mirror_loss(tfd.MultivariateNormalDiag(mean, tf.ones([1, 2])), z1)
  of_mean, of_z1 = tape.gradient(loss, [mean, z1])
  np.testing.assert_allclose(of_mean, [[-1.0, -2.0]])
  assert of_z1 is None


def test_the_mirror_bound_is_tight_for_the_true_posterior_and_holds_for_any():
  """z1 ~ N(0, 1) seen as z1 + ε: I = log √2 nats: E log q + H(z1) reaches it with the true q, and no q passes it."""
  random_state = np.random.default_rng(0)
  z1 = random_state.standard_normal([100_000, 1]).astype(np.float32)
  seen = z1 + random_state.standard_normal(z1.shape).astype(np.float32)
  entropy = 0.5 * math.log(2 * math.pi * math.e)

  def bound(gain, stddev):
    posterior = tfd.MultivariateNormalDiag(gain * seen, stddev * tf.ones_like(seen))
    return entropy - float(tf.reduce_mean(losses.mirror_loss(posterior, z1)))

  assert bound(0.5, math.sqrt(0.5)) == pytest.approx(0.5 * math.log(2), abs=0.01)
  assert max(bound(gain, stddev) for gain in (0.2, 0.5, 0.8) for stddev in (0.5, 0.7, 1.0)) < 0.5 * math.log(2) + 0.01


def test_adversary_loss_by_hand():
  logits, f = tf.math.log([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]), tf.constant([[1.0, 0, 0], [0, 0, 1.0]])
  expected = [-math.log(0.7), -math.log(0.1)]
  np.testing.assert_allclose(losses.adversary_loss(logits, f, OneHotCode(3)), expected, rtol=1e-6)
  np.testing.assert_allclose(losses.adversary_loss(f, tf.constant([[1.0, 2.0, 0.0], [0, 0, 1.0]])), [4.0, 0.0])


def test_adversary_loss_of_what_tells_nothing_is_the_entropy():
  f = np.eye(4, dtype=np.float32)[[0, 0, 1, 1, 2, 2, 3, 3]]
  loss = tf.reduce_mean(losses.adversary_loss(tf.zeros([8, 4]), f, OneHotCode(4)))
  np.testing.assert_allclose(loss, math.log(4), rtol=1e-6)


def test_the_entropy_bound_is_the_adversary_loss_of_the_best_constant():
  """By the codes' own log-probabilities."""
  draw = np.random.default_rng(0)
  classes = np.eye(3, dtype=np.float32)[draw.choice(3, 50, p=[0.6, 0.3, 0.1])]
  bits = (draw.random([50, 2]) < [0.2, 0.7]).astype(np.float32)
  numbers = draw.normal([3, -1], [0.5, 2], [50, 2]).astype(np.float32)
  share, mean = classes.mean(0), bits.mean(0)
  for f, constant, code in (
    (classes, np.log(share), OneHotCode(3)),
    (bits, np.log(mean / (1 - mean)), BernoulliCode(2)),
    (numbers, numbers.mean(0), None),
  ):
    best = tf.reduce_mean(losses.adversary_loss(tf.constant(np.tile(constant, [50, 1])), f, code))
    bound = losses.entropy_bound(tf.constant(f.mean(0)), tf.constant(np.square(f).mean(0)), code)
    np.testing.assert_allclose(bound, best, rtol=1e-4)
  never = losses.entropy_bound(tf.constant([0.0, 1.0]), tf.constant([0.0, 1.0]), OneHotCode(2))
  assert float(never) == 0


def test_adversary_loss_of_bits_adds_their_log_probabilities():
  logits = tf.constant([[math.log(3.0), math.log(1 / 4)]])  # 0.75, 0.2
  loss = losses.adversary_loss(logits, tf.constant([[1.0, 0.0]]), BernoulliCode(2))
  np.testing.assert_allclose(loss, [-math.log(0.75) - math.log(0.8)], rtol=1e-6)


def test_laplace_reconstruction_by_hand():
  x, x_logits = tf.constant([1.0, 0.0, 0.5, 0.25], shape=[1, 2, 2, 1]), tf.zeros([1, 2, 2, 1])  # x' = 0.5
  np.testing.assert_allclose(losses.laplace_reconstruction(x, x_logits, 0.5), [1.25 * math.sqrt(2) / 0.5], rtol=1e-6)


def test_cycle_loss_sums_the_distances_of_the_means():
  a, b = (tfd.MultivariateNormalDiag([mean], [[1.0, 9.0]]) for mean in ([1.0, -2.0], [0.0, 1.5]))
  np.testing.assert_allclose(losses.cycle_loss(a, b), [4.5])
