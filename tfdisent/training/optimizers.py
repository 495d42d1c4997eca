"""The optimizers of a training, and a check of what they do with its gradients."""

import math
import numbers
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdisent.errors import ConfigError, shown
from tfdisent.feature.values import check_gradient
from tfdisent.model.adam import fused
from tfdisent.model.vae import DisentangledVAE


def make_optimizer(
  steps: int,
  algorithm: str = "adam",
  learning_rate: float = 1e-3,
  decay: str | None = "cosine",
  warmup_steps: int = 0,
  arguments: Mapping | None = None,
) -> keras.optimizers.Optimizer:
  """A Keras optimizer by name.

  Args:
    steps: of the whole training, for the decay.
    algorithm: any name that `keras.optimizers.get` knows.
    learning_rate: the highest one of the training.
    decay: "cosine": the learning rate falls along a cosine, to 2 % of its height at the end; None: it is constant.
    warmup_steps: the learning rate rises linearly from 0 to its height in so many steps.
    arguments: further arguments of the Keras optimizer, as in {"beta_1": 0.5, "global_clipnorm": 1.0}: the latter
      shortens the gradients of all networks of the optimizer to a norm of 1 together, where they are longer, "clipnorm"
      those of each weight. `check_gradients` refuses some arguments, and clipping on several devices.

  Raises:
    ConfigError: Keras knows no such optimizer or argument, or the learning rate is not a positive number.
  """
  if not (isinstance(learning_rate, numbers.Real) and 0 < learning_rate < math.inf):
    raise ConfigError(
      f"learning_rate = {shown(learning_rate)} of the optimizer '{algorithm}' must be a positive number."
    )
  if decay not in ("cosine", None):
    raise ConfigError(f"unknown decay {shown(decay)} of the learning rate: choose 'cosine' or None.")
  if not (isinstance(warmup_steps, int) and warmup_steps >= 0):
    raise ConfigError(
      f"warmup_steps = {shown(warmup_steps)} of the optimizer '{algorithm}' must be a whole number, 0 or more."
    )
  rate = learning_rate
  if decay or warmup_steps:
    schedule = keras.optimizers.schedules.CosineDecay(
      0.0 if warmup_steps else rate,
      max(1, steps - warmup_steps),
      alpha=0.02 if decay else 1.0,
      warmup_target=rate if warmup_steps else None,
      warmup_steps=warmup_steps,
    )
    rate = keras.optimizers.schedules.serialize(schedule)
  try:
    return fused(
      keras.optimizers.get({"class_name": algorithm, "config": {"learning_rate": rate, **(arguments or {})}})
    )
  except (TypeError, ValueError, AttributeError, KeyError) as error:  # KeyError: it wraps another one, which is missing
    raise ConfigError(f"optimizer '{algorithm}' with arguments = {shown(arguments or {})}: {error}") from error


def make_optimizer_of_d(
  steps: int,
  algorithm: str = "adam",
  learning_rate: float = 2e-4,
  decay: str | None = "cosine",
  warmup_steps: int = 0,
  arguments: Mapping | None = {"beta_1": 0.5},
) -> keras.optimizers.Optimizer:
  """`make_optimizer` with the defaults of D: Adam as it is usual for GANs (Radford et al. 2016)."""
  return make_optimizer(steps, algorithm, learning_rate, decay, warmup_steps, arguments)


_HARMFUL = {
  "use_ema": "Keras replaces the weights by their moving averages at the end of `fit`: after the last checkpoint, "
  "which lacks them, and also amid a training that goes on within an epoch. Set model.ema instead",
  "gradient_accumulation_steps": "the noise of a step follows the optimizer's count of steps, which does not change "
  "while gradients accumulate, so that several batches get the same noise. Raise train.batch_size instead",
}
"""Arguments that Keras accepts and that break the training without an error, and how."""

_CLIPPING = ("clipnorm", "clipvalue", "global_clipnorm")


def check_gradients(model: DisentangledVAE, strategy: tf.distribute.Strategy, image: np.ndarray) -> None:
  """Checks that L_f2 has gradients, and that the optimizers apply those of the losses as they are.

  Args:
    model: a compiled model.
    strategy: in whose scope it was compiled.
    image: some real images, uint8 [B, H, W, C].

  Raises:
    FeatureError: L_f2 needs the gradient of a part of f that has none on `image`.
    ConfigError: an optimizer has an argument that would break the training without an error.
  """
  for part, loss in zip(model.feature.parts, model.feature_losses):
    if loss == "f2" and model.objective.lambda3:
      check_gradient(part, image.astype(np.float32) / 255)
  harmful = dict(_HARMFUL)
  if strategy.num_replicas_in_sync > 1:
    harmful |= dict.fromkeys(_CLIPPING, "Keras clips the gradients of each replica before it sums them up")
  for name, optimizer in (("optimizer", model.optimizer), ("optimizer_d", model.optimizer_d)):
    for argument, why in harmful.items():
      if value := getattr(getattr(optimizer, "inner_optimizer", optimizer), argument):
        raise ConfigError(f"{name}.arguments = {{'{argument}': {shown(value)}}} cannot work here: {why}.")
