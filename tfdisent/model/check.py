"""The contract of a loss as a test, for the suites of those who write one."""

import numpy as np
import tensorflow as tf

from tfdisent.errors import ConfigError, RegistryError, shown
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.model.loss import Loss, make_loss
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.registry import LOSSES

BATCH, CLASSES, SHAPE = 8, 3, (16, 16, 3)
SMALL = {"conv": (4,), "dense": (8,)}


class _Class(Feature):
  """One of three classes, as far as a loss needs it."""

  kind, width = DISCRETE, CLASSES

  def get_config(self):
    return {"module": __name__, "name": "class", "arguments": {}}


def check_loss(loss: Loss) -> None:
  """Checks that a loss can be trained with and stored.

  It is put into the objective of a small model with three classes, and asked for on random images, twice, with examples
  that do not count, for its gradients, and for its configuration and back.

  Args:
    loss: with a positive weight.

  Raises:
    ConfigError: what is wrong, and what to do about it.
  """
  _check_declaration(loss)
  paper = {term.name for term in _model(()).records}
  if loss.symbol in paper:
    raise ConfigError(f"{loss.name}.symbol = '{loss.symbol}' is a term of the paper: choose another name.")
  model, batch = _model((loss,)), _batch(0)
  value = _value(loss, model, batch)
  if not np.array_equal(_value(loss, model, batch), value):
    raise ConfigError(
      f"the loss '{loss.name}' is not deterministic: asked twice, it gives two values. Take noise from the "
      "forward pass, so that a resumed training is exact."
    )
  _check_weight_of_examples(loss, model, batch)
  _check_learners(loss, model, batch)


def _check_declaration(loss):
  name = type(loss).__name__
  if not isinstance(loss, Loss):
    raise ConfigError(f"{name} is no tfdisent.Loss: subclass it.")
  if not (isinstance(getattr(loss, "symbol", None), str) and loss.symbol):
    raise ConfigError(
      f"{name}.symbol is {shown(getattr(loss, 'symbol', None))}: set it to what the logs call the loss."
    )
  if not loss.weight:
    raise ConfigError(f"{name}.weight is 0: the objective would leave it out. Check it with a positive weight.")
  if loss.name not in LOSSES:
    raise ConfigError(f"{name} is not registered: decorate it with @tfdisent.register_loss('its_name').")
  try:
    again = make_loss(loss.get_config())
  except (RegistryError, TypeError, ValueError) as error:
    raise ConfigError(f"the loss '{loss.name}' cannot be made again from its configuration ({error}).") from error
  if again != loss:
    raise ConfigError(
      f"the loss '{loss.name}', made again from its configuration, is another one: decorate the class with "
      "@dataclasses.dataclass(frozen=True), and make its arguments fields."
    )


def _check_weight_of_examples(loss, model, batch):
  """Two examples that do not count may be anything: a validation fills its last batch up with them."""
  counts = tf.constant([1.0] * (BATCH - 2) + [0.0] * 2)
  other = {name: tf.concat([column[:-2], column[:2]], 0) for name, column in batch.items()} | {
    "position": batch["position"]
  }
  one, another = (_value(loss, model, filled | {"weight": counts}) for filled in (batch, other))
  if abs(one - another) > 1e-6 * max(1.0, abs(one)):  # the same rows count, so the same numbers are added
    raise ConfigError(
      f"the loss '{loss.name}' counts examples of the weight 0: give `forward.mean` of one value per example."
    )


def _check_learners(loss, model, batch):
  """Its own networks have a gradient everywhere, and the model has one somewhere."""
  own = {
    symbol: network for of, networks in model.networks_of_losses if of is loss for symbol, network in networks.items()
  }
  with tf.GradientTape(persistent=True) as tape:
    value = model.terms(batch, tf.constant(-1, tf.int64))[loss.symbol]
  for symbol, network in own.items():
    gradients = tape.gradient(value, network.trainable_variables)
    if missing := [v.path for v, g in zip(network.trainable_variables, gradients) if g is None]:
      raise ConfigError(f"the loss '{loss.name}' does not train the weight '{missing[0]}' of its network '{symbol}'.")
  weights = [*model.E1.trainable_variables, *model.G.trainable_variables]
  if not any(g is not None and np.any(g) for g in tape.gradient(value, weights)):
    raise ConfigError(
      f"the loss '{loss.name}' has no gradient for E1 and G, so it cannot teach them anything. Build it from "
      "differentiable TensorFlow operations (no rounding, comparison, argmax or NumPy)."
    )


def _model(losses):
  objective = Objective(losses=losses, lambda4=1.0)
  networks = {symbol: SMALL for symbol in ("E1", "G", "q", "D")}
  return DisentangledVAE(SHAPE, _Class(), objective, z1_width=4, **networks, a={"dense": (8,)})


def _batch(seed):
  random_state = np.random.default_rng(seed)
  image = random_state.integers(256, size=(BATCH, *SHAPE), dtype=np.uint8)
  f, partner = (np.eye(CLASSES, dtype=np.float32)[random_state.integers(CLASSES, size=BATCH)] for _ in range(2))
  columns = {"image": image, "feature": f, "partner": partner, "position": np.arange(BATCH, dtype=np.int32)}
  return {name: tf.constant(column) for name, column in columns.items()}


def _value(loss, model, batch):
  try:
    value = model.terms(batch, tf.constant(-1, tf.int64))[loss.symbol]
  except ConfigError:
    raise
  except Exception as error:  # a plug-in may raise anything
    raise ConfigError(f"the loss '{loss.name}' cannot be computed: {error}") from error
  if not (tf.is_tensor(value) and value.shape.rank == 0 and value.dtype == tf.float32):
    what = f"{value.dtype.name} {list(value.shape)}" if tf.is_tensor(value) else type(value).__name__
    raise ConfigError(f"the loss '{loss.name}' gives {what}: it must give a float32 scalar, `forward.mean` of [B].")
  if not np.isfinite(value):
    raise ConfigError(f"the loss '{loss.name}' is NaN or infinite on random images.")
  return value.numpy()
