"""The code z2: the distributions q(z2 | f(x)) and q(z̃2 | z1, x̂), for discrete and for continuous features.

Networks return plain tensors of parameters. This module makes TFP distributions of them.
"""

import abc

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfdisent.errors import ConfigError, DataError

tfd = tfp.distributions

MIN_STDDEV = 1e-4  # the softplus of a very negative number is 0 in float32, and log σ would be infinite


def diagonal_gaussian(parameters: tf.Tensor, stddev: float | None = None) -> tfd.MultivariateNormalDiag:
  """N(mean, diag(stddev²)) over [B, Z] from `parameters` [B, 2 Z]: Z means, then Z scales before the softplus.

  With a fixed `stddev` they are [B, Z], the means alone.
  """
  if stddev is not None:
    return tfd.MultivariateNormalDiag(parameters, stddev * tf.ones_like(parameters))
  mean, raw = tf.split(parameters, 2, axis=-1)
  return tfd.MultivariateNormalDiag(mean, tf.nn.softplus(raw) + MIN_STDDEV)


def reparameterise(posterior: tfd.MultivariateNormalDiag, noise: tf.Tensor) -> tf.Tensor:
  """z = mean + stddev ∘ ε, [B, Z], with ε ~ N(0, I) of the same shape.

  ε is an argument, so that the caller can key it by the position in the global batch. The noise of an example is then
  the same for any number of devices.
  """
  return posterior.mean() + posterior.stddev() * noise


def prior_noise(seed: tf.Tensor, width: int) -> tf.Tensor:
  """ε ~ N(0, I), float32 [B, width], from `seed` int64 [B]. Each row depends only on its own seed."""
  return tf.map_fn(
    lambda one: tf.random.stateless_normal([width], [one, 0]),
    seed,
    fn_output_signature=tf.TensorSpec([width], tf.float32),
  )


def seeds_of(seed, count: int) -> np.ndarray:
  """The seeds of `count` images, int64: those given, or a single one and others that are drawn from it."""
  seed = np.asarray(seed)
  if seed.dtype == bool or not np.can_cast(seed.dtype, np.int64) or seed.shape not in ((), (count,)):
    raise DataError(f"seed is an int of 64 bits, or one for each of the {count} images, not {seed.dtype} {seed.shape}.")
  if seed.ndim:
    return seed.astype(np.int64)
  seeds = tf.random.stateless_uniform([count], [seed, 0], None, None, tf.int64).numpy()
  seeds[:1] = seed
  return seeds


class Code(abc.ABC):
  """One kind of z2.

  Attributes:
    width: the number of components of z2.
    parameters: the number of outputs of the network of q(z̃2 | z1, x̂).
    learned: True if q(z2 | f(x)) is a network E2, with a KL that λ2 weights; False if z2 is f(x) itself.

  Several features at once have a `tuple` of codes, and z2 is their concatenation.
  """

  learned = False

  def __init__(self, width: int):
    self.width = width
    self.parameters = width

  @abc.abstractmethod
  def posterior(self, parameters: tf.Tensor) -> tfd.Distribution:
    """q(z̃2 | z1, x̂) over codes [B, width], from the output [B, parameters] of its network."""

  def probabilities(self, q: tfd.Distribution) -> tf.Tensor:
    """The probability under q that each component of a discrete z2 is 1, [B, width]."""
    return q.mean()

  def entropies(self, probabilities: tf.Tensor) -> tf.Tensor:
    """What each component of a discrete z2 adds to its entropy in nats, [width], from its mean, [width]."""
    raise NotImplementedError


class OneHotCode(Code):
  """z2 = f(x), one-hot, for a feature with one of `width` classes; q is categorical."""

  def posterior(self, parameters):
    return tfd.OneHotCategorical(logits=parameters, dtype=tf.float32)

  def entropies(self, probabilities):
    return -tf.math.xlogy(probabilities, probabilities)


class BernoulliCode(Code):
  """z2 = f(x) in {0, 1}, for `width` binary attributes; q is a product of Bernoulli distributions."""

  def posterior(self, parameters):
    return tfd.Independent(tfd.Bernoulli(logits=parameters, dtype=tf.float32), 1)

  def entropies(self, probabilities):
    others = 1 - probabilities
    return -tf.math.xlogy(probabilities, probabilities) - tf.math.xlogy(others, others)


class GaussianCode(Code):
  """z2 ~ q(z2 | f(x)) = N(μ(f(x)), σ²(f(x))), for continuous features; μ and σ are a network, and q is Gaussian."""

  learned = True

  def __init__(self, width: int):
    super().__init__(width)
    self.parameters = 2 * width

  def posterior(self, parameters):
    return diagonal_gaussian(parameters)


CODES = {"one_hot": OneHotCode, "bernoulli": BernoulliCode, "gaussian": GaussianCode}


def make_code(kind: str, feature_width: int, z2_width: int) -> Code:
  """The code called `kind`, one of `CODES`; raises `ConfigError` for another name.

  Its width is `z2_width` if it is learned, and `feature_width` if z2 is f(x) itself.
  """
  if kind not in list(CODES):  # a list: `in` a dict raises a TypeError for a kind that cannot be hashed
    raise ConfigError(f"unknown code '{kind}' for z2: choose one of {', '.join(CODES)}.")
  code = CODES[kind]
  return code(z2_width if code.learned else feature_width)
