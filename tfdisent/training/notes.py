"""What a training says of its settings before it begins: what will be slow, or other than it was meant."""

import math
from collections.abc import Callable

import keras

from tfdisent.console import say
from tfdisent.hardware import has_bfloat16
from tfdisent.model.vae import DisentangledVAE


def tell(model: DisentangledVAE, make_optimizer: Callable, steps: int, begun_with: int, epochs: int) -> None:
  """Says what there is to say of a run that begins, or that shall have more epochs than it was begun with.

  Args:
    model: compiled.
    make_optimizer: of E1, E2, G and q, from the number of steps.
    steps: of all epochs.
    begun_with: the number of epochs that the run was begun with; 0 for a new one.
    epochs: that it has now.
  """
  if not begun_with:
    _tell_of_settings(model, steps)
  elif begun_with < epochs:
    _tell_of_rate(model, make_optimizer(begun_with * steps // epochs), begun_with, epochs)


def _tell_of_settings(model: DisentangledVAE, steps: int) -> None:
  """Says so where a new run of so many steps computes slowly on this machine, or ends before its weights are whole."""
  if model.precision == "mixed_bfloat16" and not has_bfloat16():
    say(
      "Note: this processor has no instructions for bfloat16, so that float32 is faster here, often ten times: "
      "--gin_param=\"model.precision = 'float32'\" (in Python: model={'precision': 'float32'}) sets it, in a new run."
    )
  ramp, ramped = model.objective.ramp_steps, [loss for loss in model.objective.beyond if loss.is_ramped and loss.weight]
  if ramp > steps and (ramped or model.objective.likelihood == "laplace"):
    say(
      f"Note: objective.ramp_steps = {ramp:,}, and the training has {steps:,} steps: the weights beyond the paper will "
      f"reach {steps / ramp:.0%} of theirs. Train for more epochs, or set it to {max(1, steps // 3):,} "
      f'(--gin_param="objective.ramp_steps = {max(1, steps // 3)}", in Python: objective={{"ramp_steps": …}}).'
    )


def _tell_of_rate(model: DisentangledVAE, before: keras.optimizers.Optimizer, begun_with: int, epochs: int) -> None:
  """Says what becomes of the learning rate in a run of more epochs than it was begun with, as `before` had it."""
  before.iterations.assign(model.optimizer.iterations)
  was, now = float(before.learning_rate), float(model.optimizer.learning_rate)
  rate = f"it goes on at {now:.2g}, after {was:.2g}" if not math.isclose(was, now) else f"it stays at {now:.2g}"
  say(
    f"The run was begun with {begun_with} epochs and has {epochs} now. The schedule of the learning rate is that of "
    f"all {epochs}: {rate}."
  )
