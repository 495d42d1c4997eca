"""The code z2: which distributions q(z2 | f(x)) and q(z̃2 | z1, x̂) are, for discrete and for continuous features.

Networks give plain tensors of parameters; here they become TFP distributions.
"""

import abc

import tensorflow as tf
import tensorflow_probability as tfp

from tfdisent.errors import ConfigError

tfd = tfp.distributions

MIN_STDDEV = 1e-4  # keeps log σ finite


def diagonal_gaussian(parameters: tf.Tensor) -> tfd.MultivariateNormalDiag:
  """N(mean, diag(stddev²)) over [B, Z] from `parameters` [B, 2 Z]: the means, then the scales before their softplus."""
  mean, raw = tf.split(parameters, 2, axis=-1)
  return tfd.MultivariateNormalDiag(mean, tf.nn.softplus(raw) + MIN_STDDEV)


def reparameterise(posterior: tfd.MultivariateNormalDiag, noise: tf.Tensor) -> tf.Tensor:
  """z = mean + stddev ∘ ε, [B, Z], with ε ~ N(0, I) of the same shape.

  ε is given from outside, so that it can be keyed by place.
  """
  return posterior.mean() + posterior.stddev() * noise


def prior_noise(seed: tf.Tensor, width: int) -> tf.Tensor:
  """ε ~ N(0, I), float32 [B, width]: each row a function of its seed alone, int64 [B], whatever rows are beside it."""
  return tf.map_fn(
    lambda one: tf.random.stateless_normal([width], [one, 0]),
    seed,
    fn_output_signature=tf.TensorSpec([width], tf.float32),
  )


class Code(abc.ABC):
  """One kind of z2.

  Attributes:
    width: components of z2.
    parameters: how many numbers q(z̃2 | z1, x̂) takes from its network.
    learned: whether q(z2 | f(x)) is a network E2 (with a KL weighted by λ2), or z2 is f(x) itself.

  The code of several features at once is a `tuple` of these; z2 is their concatenation.
  """

  learned = False

  def __init__(self, width: int):
    self.width = width
    self.parameters = width

  @abc.abstractmethod
  def posterior(self, parameters: tf.Tensor) -> tfd.Distribution:
    """q(z̃2 | z1, x̂) over codes [B, width], from its network's output [B, parameters]."""

  def probabilities(self, q: tfd.Distribution) -> tf.Tensor:
    """Of q, that each component of a discrete z2 is 1, [B, width]."""
    return q.mean()


class OneHotCode(Code):
  """z2 = f(x), one-hot; q is categorical. For a feature with one of `width` classes."""

  def posterior(self, parameters):
    return tfd.OneHotCategorical(logits=parameters, dtype=tf.float32)


class BernoulliCode(Code):
  """z2 = f(x) in {0, 1}; q is a product of Bernoullis. For `width` attributes that are each there or not."""

  def posterior(self, parameters):
    return tfd.Independent(tfd.Bernoulli(logits=parameters, dtype=tf.float32), 1)


class GaussianCode(Code):
  """z2 ~ q(z2 | f(x)) = N(μ(f(x)), σ²(f(x))), a learned network; q is Gaussian too. For continuous features."""

  learned = True

  def __init__(self, width: int):
    super().__init__(width)
    self.parameters = 2 * width

  def posterior(self, parameters):
    return diagonal_gaussian(parameters)


CODES = {"one_hot": OneHotCode, "bernoulli": BernoulliCode, "gaussian": GaussianCode}


def make_code(kind: str, feature_width: int, z2_width: int) -> Code:
  """The code called `kind`: one of `CODES`. Those that are f(x) itself have its width; a learned one has `z2_width`."""
  if kind not in list(CODES):  # anything may be given
    raise ConfigError(f"unknown code '{kind}' for z2: choose one of {', '.join(CODES)}.")
  code = CODES[kind]
  return code(z2_width if code.learned else feature_width)
