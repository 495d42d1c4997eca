"""The contract of a loss: a term that L has beyond the paper's own."""

import abc
import dataclasses
import math
import numbers
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfdisent.errors import ConfigError, shown
from tfdisent.registry import LOSSES


class Term(NamedTuple):
  """What is to be known of a term besides its value.

  Metrics, the progress bar, the best checkpoint and the optimizers are made from these records.

  Attributes:
    name: in logs: "L_GAN".
    weight: of the term in L; negative where L lowers what the networks of the term raise, 0 where L does not have it.
    learners: symbols of the networks that go down this term.
    optimizer: which optimizer the learners have: "eg", that of the encoders and the generator, or "d", that of D.
    is_shown: whether the progress bar shows it.
    counts_for_best: whether it counts in choosing the best checkpoint. A term that a learner of its own plays against
      the model tells of that learner as much as of the model, and does not count.
  """

  name: str
  weight: float = 0.0
  learners: tuple[str, ...] = ()
  optimizer: Literal["eg", "d"] = "eg"
  is_shown: bool = True
  counts_for_best: bool = True


class Forward(NamedTuple):
  """The tensors of one forward pass, which the losses read. Images are float32 [B, H, W, C] in [0, 1]."""

  x: tf.Tensor
  """x, [B, H, W, C]."""
  f: tf.Tensor
  """f(x), [B, width]."""
  f_partner: tf.Tensor
  """f(x̃), [B, width]."""
  q_z1: tfp.distributions.Distribution
  """q(z1 | x), over [B, Z1]."""
  z1: tf.Tensor
  """A sample of q(z1 | x), [B, Z1]."""
  z1_prior: tf.Tensor
  """A sample of the prior N(0, I), [B, Z1]."""
  z1_fusion: tf.Tensor
  """What x̂ is made from: z1, or the prior's for a share of the batch (`Objective.prior_fusions`), [B, Z1]."""
  z2: tf.Tensor
  """A sample of q(z2 | f(x)), [B, Z2]."""
  z2_partner: tf.Tensor
  """z̃2, a sample of q(z2 | f(x̃)), [B, Z2]."""
  x_rec: tf.Tensor
  """x' = G(z1, z2), [B, H, W, C]."""
  x_fusion: tf.Tensor
  """x̂ = G(z1, z̃2), [B, H, W, C]."""
  weight: tf.Tensor | None
  """What each example counts, [B]; None for 1 each."""
  from_prior: tf.Tensor | None = None
  """Whether z1 of x̂ is the prior's, so that x̂ has no source, bool [B]; None where every x̂ has one."""

  def mean(self, values: tf.Tensor) -> tf.Tensor:
    """The mean over the examples of `values` [B], or of [K B] with K values of each example."""
    return weighted_mean(values, self.weight)

  def mean_with_source(self, values: tf.Tensor, counts: tf.Tensor | None = None) -> tf.Tensor:
    """The mean of `values` [B] over the fusions that have a source; 0 if none has.

    Args:
      values: one for each x̂.
      counts: what each counts besides its weight, [B]; None for 1 each. They get no gradient.
    """
    counts = tf.ones_like(values) if counts is None else tf.stop_gradient(counts)
    if self.from_prior is not None:
      counts = tf.where(self.from_prior, 0.0, counts)
    return self.mean(values * tf.math.divide_no_nan(counts, self.global_mean(counts)))

  def global_mean(self, values: tf.Tensor) -> tf.Tensor:
    """The mean of `values` [B] or [B, K] over the examples of all replicas, as a constant (no gradient): [] or [K].

    Each replica then divides by the same number, and their losses add up to that of the whole batch.
    """
    weight = tf.ones([tf.shape(values)[0]]) if self.weight is None else self.weight
    of_values = tf.reduce_sum(values * (weight[:, None] if values.shape.rank == 2 else weight), 0)
    sums = tf.stop_gradient(tf.concat([tf.reshape(of_values, [-1]), [tf.reduce_sum(weight)]], 0))
    if tf.distribute.get_strategy().num_replicas_in_sync > 1:
      sums = tf.distribute.get_replica_context().all_reduce("SUM", sums)
    return tf.reshape(tf.math.divide_no_nan(sums[:-1], sums[-1]), tf.shape(of_values))


def weighted_mean(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
  """The mean over the examples, of `values` [B], or [K B] with each example K times; weighted by [B], where given."""
  if weight is None:
    return tf.reduce_mean(values)
  weight = tf.tile(weight, [tf.size(values) // tf.size(weight)])
  # no_nan: the PSNR of a perfect x' that does not count is infinite, and a replica may have nothing that counts
  return tf.math.divide_no_nan(tf.reduce_sum(tf.math.multiply_no_nan(values, weight)), tf.reduce_sum(weight))


@dataclasses.dataclass(frozen=True)
class Loss(abc.ABC):
  """A term that L has beyond the paper's own: L += weight · loss, or L -= weight · loss of an adversarial one.

  A plug-in is one small file that subclasses `Loss` and registers it:

      @tfdisent.register_loss("darkness")
      @dataclasses.dataclass(frozen=True)
      class Darkness(tfdisent.Loss):
        symbol = "L_dark"

        def __call__(self, model, forward):
          return forward.mean(tf.reduce_mean(forward.x_fusion, [1, 2, 3]))

  A gin file asks for it with `objective.losses = ('darkness',)`. The fields of the dataclass are its gin bindings
  (`darkness.weight = 0.1`), and are stored with a trained model.

  Attributes:
    weight: of the loss in L, at least 0.
    symbol: what the logs call it.
    is_ramped: whether its weight rises from 0 over `Objective.ramp_steps`.
    is_adversarial: whether the model raises what the networks of the loss lower.
    needs_source: whether it is of fusions that have a source alone, as `Forward.mean_with_source` has them.
    is_shown, counts_for_best: see `Term`.
    optimizer: which optimizer the networks of the loss learn with; see `Term`.
  """

  weight: float = 1.0

  symbol: ClassVar[str]
  is_ramped: ClassVar[bool] = True
  is_adversarial: ClassVar[bool] = False
  needs_source: ClassVar[bool] = False
  is_shown: ClassVar[bool] = True
  optimizer: ClassVar[Literal["eg", "d"]] = "eg"

  def __post_init__(self):
    if not (isinstance(self.weight, numbers.Real) and math.isfinite(self.weight) and self.weight >= 0):
      raise ConfigError(f"{self.name}.weight = {shown(self.weight)} must be a number, finite and not negative.")

  @abc.abstractmethod
  def __call__(self, model, forward: Forward) -> tf.Tensor:
    """The loss, a scalar: `forward.mean` of one value per example.

    Args:
      model: the `DisentangledVAE`, for its networks and posteriors.
      forward: the tensors of the forward pass.
    """

  def raised(self, model, forward: Forward, value: tf.Tensor) -> tf.Tensor:
    """What the model raises of an adversarial loss, whose `value` its networks lower, a scalar: all of it."""
    return value

  def make_networks(self, model) -> Mapping[str, keras.Model]:
    """The networks of the loss by their symbols, with their weights built; called once, as the model is made.

    They go down the loss. `model.make_network` makes one of the model's family.
    """
    return {}

  @property
  def name(self) -> str:
    """The name under which the loss is registered."""
    return next((name for name in LOSSES if LOSSES[name] is type(self)), type(self).__name__)

  @property
  def counts_for_best(self) -> bool:
    """Whether it counts in choosing the best checkpoint: see `Term`."""
    return not self.is_adversarial

  def term(self, learners: tuple[str, ...]) -> Term:
    """The record of the loss in a model whose networks `learners` are those of `make_networks`."""
    weight = -self.weight if self.is_adversarial else self.weight
    return Term(self.symbol, weight, learners, self.optimizer, self.is_shown, self.counts_for_best)

  def get_config(self) -> dict:
    """What makes the loss again: its module, its name and its fields."""
    return {"module": type(self).__module__, "name": self.name, "arguments": dataclasses.asdict(self)}


def make_loss(loss: "str | Mapping | Loss") -> Loss:
  """A loss by its registered name, with its bindings; by its description, of `Loss.get_config`; or as it is.

  Raises:
    RegistryError: there is no such loss.
  """
  if isinstance(loss, str):
    return LOSSES.create(loss)
  if isinstance(loss, Mapping):
    return LOSSES.imported(loss)(**loss.get("arguments", {}))
  if not isinstance(loss, Loss):
    raise ConfigError(f"objective.losses has {shown(loss)}, and takes names of losses, or losses.")
  return loss
