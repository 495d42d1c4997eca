"""The networks that `--mode=bench` times, by name."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import keras

from tfdisent.errors import ConfigError, shown
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.model.adam import Adam
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE


class TenClasses(Feature):
  """Stands in for a label, since the library imports no plug-in: the training step needs its kind and width alone."""

  kind, width = DISCRETE, 10


@dataclasses.dataclass(frozen=True)
class Preset:
  """Networks, images and a batch."""

  image_size: int
  """Height and width of the images, in pixels."""
  batch_size: int
  """Images of a step, for each replica."""
  networks: str = "plain"
  """The family of the networks."""
  model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  """More arguments of the model."""


PRESETS = {
  "reference": Preset(28, 128),
  "plain64": Preset(64, 64),
  "residual64": Preset(64, 64, "residual"),
  "residual128": Preset(128, 32, "residual"),
  # Those of gin_configs/avatars_small.gin; the loss is that of the other presets.
  "avatars": Preset(
    64,
    32,
    "modulated",
    {
      "z1_width": 64,
      "E1": {"conv": (32, 48, 64, 64), "dense": (128,)},
      "G": {"conv": (64, 64, 48, 32, 32), "dense": (128,)},
      "q": {"conv": (32, 48, 64, 64), "dense": (64,)},
      "D": {"conv": (32, 48, 64, 64), "dense": (128,)},
    },
  ),
}


def preset_of(name: str, networks: str | None = None, **changed: int | None) -> Preset:
  """The preset of a name, with what is not None of `changed`; those of another family have its own defaults.

  Raises:
    ConfigError: there is no such preset.
  """
  if name not in PRESETS:
    raise ConfigError(f"bench.preset = {shown(name)}: choose one of {', '.join(map(repr, PRESETS))}.")
  other = {"networks": networks, "model": {}} if networks else {}
  return dataclasses.replace(PRESETS[name], **other, **{key: value for key, value in changed.items() if value})


def make_model(preset: Preset, precision: str, jit_compile: bool) -> DisentangledVAE:
  """The model of a preset with its optimizers, of RGB images and a one-hot z2 of 10, in the scope of a strategy.

  The loss is squared error + KL(z1) + L_f1 + L_GAN for E1, G and q, and L_D for D.
  """
  shape, objective = (preset.image_size, preset.image_size, 3), Objective(stddev=0.5**0.5, lambda3=1.0)
  keras.utils.set_random_seed(0)
  model = DisentangledVAE(
    shape, TenClasses(), objective, networks=preset.networks, precision=precision, **dict(preset.model)
  )
  model.compile(Adam(1e-3), Adam(2e-4, beta_1=0.5), jit_compile=jit_compile)
  return model
