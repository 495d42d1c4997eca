"""The kinds of z2 against distributions by hand."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdisent.codes import (
  CODES,
  BernoulliCode,
  GaussianCode,
  OneHotCode,
  diagonal_gaussian,
  make_code,
  prior_noise,
  reparameterise,
  seeds_of,
)
from tfdisent.errors import ConfigError


def test_one_seed_becomes_seeds_of_all_64_bits_and_the_first_is_itself():
  seeds = seeds_of(7, 4)
  assert seeds.dtype == np.int64 and seeds[0] == 7
  assert np.all(np.abs(seeds[1:].astype(float)) > 2**40)  # of 32 bits, a million images would share some
  np.testing.assert_array_equal(seeds_of(7, 4), seeds)
  assert set(seeds_of(8, 4)) & set(seeds) == set()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8])
def test_a_seed_for_each_image_is_taken_to_its_last_bit(dtype):
  given = np.array([np.iinfo(dtype).max, 0, 3], dtype)
  seeds = seeds_of(given, 3)
  assert seeds.dtype == np.int64 and seeds.tolist() == given.tolist()


def inverse_softplus(x):
  return math.log(math.expm1(x))


def test_a_one_hot_code_is_categorical_with_the_parameters_as_logits():
  posterior = OneHotCode(3).posterior(tf.math.log([[0.7, 0.2, 0.1]]) + 5.0)
  np.testing.assert_allclose(tf.exp(posterior.log_prob(tf.eye(3))), [0.7, 0.2, 0.1], rtol=1e-5)
  np.testing.assert_allclose(posterior.entropy(), [-sum(p * math.log(p) for p in (0.7, 0.2, 0.1))], rtol=1e-5)


def test_a_bernoulli_code_multiplies_the_probabilities_of_its_attributes():
  posterior = BernoulliCode(2).posterior(tf.constant([[math.log(3.0), math.log(1 / 4)]]))  # p = 0.75, 0.2
  z2 = tf.constant([[1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
  np.testing.assert_allclose(tf.exp(posterior.log_prob(z2)), [0.15, 0.6, 0.2], rtol=1e-5)


def test_a_gaussian_code_has_means_and_then_scales_as_parameters():
  parameters = tf.constant([[1.0, -2.0, inverse_softplus(0.5), inverse_softplus(2.0)]])
  posterior = GaussianCode(2).posterior(parameters)
  np.testing.assert_allclose(posterior.mean(), [[1, -2]])
  np.testing.assert_allclose(posterior.stddev(), [[0.5, 2]], rtol=1e-3)
  # at one σ from the mean of each: -1 - log(2π σ1 σ2)
  np.testing.assert_allclose(posterior.log_prob([[1.5, 0.0]]), [-1 - math.log(2 * math.pi)], atol=1e-3)


def test_scales_stay_above_zero_so_that_their_logarithm_is_finite():
  posterior = diagonal_gaussian(tf.constant([[0.0, -1000.0]]))
  np.testing.assert_allclose(posterior.stddev(), [[1e-4]], rtol=1e-5)
  assert np.isfinite(posterior.log_prob([[0.0]])).all()


@pytest.mark.parametrize(
  ("code", "parameters", "expected"),
  [
    (OneHotCode(3), [[0.1, 2.0, -1.0], [5.0, 4.0, 3.0]], [[0, 1, 0], [1, 0, 0]]),
    (BernoulliCode(3), [[0.1, 2.0, -1.0], [-5.0, -4.0, 3.0]], [[1, 1, 0], [0, 0, 1]]),
    (GaussianCode(2), [[0.5, -2.0, 7.0, 8.0]], [[0.5, -2.0]]),
  ],
)
def test_the_most_likely_code_is_the_mode(code, parameters, expected):
  mode = code.posterior(tf.constant(parameters)).mode()
  assert mode.dtype == tf.float32
  np.testing.assert_allclose(mode, expected)


def test_reparameterise_moves_the_noise_by_the_mean_and_scales_it():
  posterior = diagonal_gaussian(tf.constant([[1.0, -1.0, inverse_softplus(0.5), inverse_softplus(2.0)]]))
  noise = tf.constant([[2.0, -3.0]])
  np.testing.assert_allclose(reparameterise(posterior, noise), [[2.0, -7.0]], atol=1e-3)
  np.testing.assert_array_equal(reparameterise(posterior, tf.zeros([1, 2])), [[1.0, -1.0]])


def test_reparameterise_passes_the_gradient_to_the_mean_and_the_scale():
  parameters = tf.constant([[0.0, 0.0]])
  with tf.GradientTape() as tape:
    tape.watch(parameters)
    z = reparameterise(diagonal_gaussian(parameters), tf.constant([[3.0]]))
  # dz/dmean = 1, dz/draw = ε sigmoid(0)
  np.testing.assert_allclose(tape.gradient(z, parameters), [[1.0, 1.5]], rtol=1e-5)


@pytest.mark.parametrize(
  ("kind", "width", "parameters", "learned"),
  [("one_hot", 10, 10, False), ("bernoulli", 10, 10, False), ("gaussian", 4, 8, True)],
)
def test_a_code_has_the_width_of_the_feature_unless_it_is_learned(kind, width, parameters, learned):
  code = make_code(kind, feature_width=10, z2_width=4)
  assert type(code) is CODES[kind]
  assert (code.width, code.parameters, code.learned) == (width, parameters, learned)
  output = tf.zeros([5, code.parameters])
  assert code.posterior(output).log_prob(tf.zeros([5, width])).shape == (5,)
  assert code.posterior(output).mode().shape == (5, width)


def test_an_unknown_code_is_refused_with_the_known_ones():
  with pytest.raises(ConfigError, match=r"unknown code 'ternary' .* one_hot, bernoulli, gaussian"):
    make_code("ternary", 10, 4)


@pytest.mark.parametrize(
  ("code", "parameters", "expected"),
  [
    (OneHotCode(3), np.log([[0.7, 0.2, 0.1]]), [[0.7, 0.2, 0.1]]),
    (BernoulliCode(2), [[math.log(3.0), math.log(1 / 4)]], [[0.75, 0.2]]),
  ],
)
def test_probabilities_are_those_of_each_component_and_not_the_mode(code, parameters, expected):
  probabilities = code.probabilities(code.posterior(tf.constant(parameters, tf.float32)))
  np.testing.assert_allclose(probabilities, expected, rtol=1e-5)


def test_the_noise_of_the_prior_is_of_each_seed_alone():
  """Stored seeds must give the same noise for ever: users keep a seed to generate the same image again."""
  noise = prior_noise(tf.constant([7, 2**40, 7], tf.int64), 3)
  np.testing.assert_array_equal(noise, [tf.random.stateless_normal([3], [seed, 0]) for seed in (7, 2**40, 7)])


def test_a_scale_is_the_softplus_and_a_little_more():
  """Without the little more, log σ of a large negative number is minus infinity."""
  parameters = tf.constant([[0.5, -1.0, 0.0, -200.0]])
  q = diagonal_gaussian(parameters)
  np.testing.assert_allclose(q.mean(), [[0.5, -1.0]])
  np.testing.assert_allclose(q.stddev(), [[math.log(2.0) + 1e-4, 1e-4]], rtol=1e-5)
