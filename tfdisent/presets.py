"""Recipes for data that nobody has tuned for: arguments of the model, the loss and the training, by size and kinds.

    recipe = preset("auto", dataset, feature)
    recipe.training["epochs"]

The command line takes one where no configuration is given, and `tfdisent.train` where no model is.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, shown
from tfdisent.feature.contract import CONTINUOUS, Feature
from tfdisent.hardware import has_bfloat16

AUTO = "auto"
FEWEST_EPOCHS, MOST_EPOCHS, BATCH_SIZE = 5, 300, 64
RAMP_STEPS = 1000
"""Of an objective whose training may be of any length."""


@dataclasses.dataclass(frozen=True)
class Preset:
  """What to train with, as plain data.

  Attributes:
    name: of the recipe.
    why: for whom it is, as a phrase.
    model: arguments of `tfdisent.DisentangledVAE`.
    objective: of `tfdisent.Objective`.
    optimizer: of `tfdisent.training.optimizers.make_optimizer`, for E1, E2, G, q and a.
    optimizer_d: likewise, for D.
    training: of `tfdisent.train`.
    composite: of a feature that has several parts: the weights of its parts.
    reasons: why a choice was made, by the name of its binding, "train.epochs".
  """

  name: str
  why: str
  model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  objective: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  optimizer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  optimizer_d: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  composite: Mapping[str, Any] = dataclasses.field(default_factory=dict)
  reasons: Mapping[str, str] = dataclasses.field(default_factory=dict)

  def weighted(self, feature: Feature) -> Feature:
    """The feature with the weights that its parts have in this recipe."""
    return dataclasses.replace(feature, **self.composite) if self.composite else feature


def preset(name: str, dataset: Dataset, feature: Feature) -> Preset:
  """The recipe of a name for a data set and a feature.

  Args:
    name: "small", "medium", "large", "paper", or "auto", which chooses among the first three by the size of the images.
    dataset: tells the size and the number of images.
    feature: tells the kinds of what shall be controlled.

  Raises:
    ConfigError: there is no such recipe.
  """
  return _preset(name, dataset.image_shape, len(dataset.train["image"]), feature)


def objective(image_shape: Sequence[int], feature: Feature) -> dict[str, Any]:
  """Arguments of `tfdisent.Objective` by "auto", for a training of which no more is known: that of Keras's `fit`.

  Args:
    image_shape: (H, W, C).
    feature: f. Its parts keep the weights that it has.
  """
  return {**_preset(AUTO, image_shape, 1, feature).objective, "ramp_steps": RAMP_STEPS}


def _preset(name: str, image_shape: Sequence[int], count: int, feature: Feature) -> Preset:
  """The recipe for `count` images to train on."""
  longest = max(image_shape[:2])
  if name == AUTO:
    name = "small" if longest <= 40 else "medium" if longest <= 96 else "large"
  if name not in PRESETS:
    raise ConfigError(f"there is no preset {shown(name)}: choose {', '.join(map(repr, (AUTO, *PRESETS)))}.")
  return PRESETS[name](count, feature)


_WEIGHTS = {"color": (60.0, 2.5), CONTINUOUS: (6.0, 5.0)}
"""Of a part in L_f and in L_a, in units of those of a class. A squared error in [0, 1] is small beside nats."""
_WEIGHTS_OF_PICTURES = {**_WEIGHTS, "color": (30.0, 20.0)}
"""Of larger images: where the adversary had 2.5, z1 kept the colour of avatars' skin, and fusions were blotched."""


def _weights(feature: Feature, by_kind: Mapping[str, tuple[float, float]]) -> list[tuple[float, float]]:
  return [by_kind.get("color" if part.name in ("color", "rgb") else part.kind, (1.0, 1.0)) for part in feature.parts]


def _balanced(
  feature: Feature, lambda3: float, adversary: float, by_kind: Mapping[str, tuple[float, float]]
) -> tuple[dict, dict]:
  """λ3 and the adversary's weight, and the weights of the parts of a feature that has several."""
  weights = _weights(feature, by_kind)
  if len(weights) == 1:
    ((of_f, of_a),) = weights
    return {"lambda3": lambda3 * of_f, "adversary": adversary * of_a}, {}
  of_f, of_a = zip(*weights)
  composite = {"weights": of_f, "adversary_weights": of_a} if {*of_f, *of_a} != {1.0} else {}
  return {"lambda3": lambda3, "adversary": adversary}, composite


def _balanced_preset(
  name, why, count, feature, images_seen, ramp, lambda3, adversary, objective, by_kind=_WEIGHTS, **groups
) -> Preset:
  """A recipe with epochs and a ramp by the number of images, and with weights by the kinds of the feature."""
  balanced, composite = _balanced(feature, lambda3, adversary, by_kind)
  epochs = min(max(round(images_seen / count), FEWEST_EPOCHS), MOST_EPOCHS)
  batch_size = min(BATCH_SIZE, max(2, count // 8 * 2))  # a small set has a few steps an epoch, too
  steps = epochs * max(1, count // batch_size)
  reasons = {
    "train.epochs": f"about {images_seen:,} images are seen, {FEWEST_EPOCHS} to {MOST_EPOCHS} epochs",
    "objective.ramp_steps": f"of {steps:,} steps",
    "train.evaluate_every": "the judges are trained once the pictures are there; 5 shows their figures in TensorBoard",
    **({"composite.weights": "in L_f; a squared error is small beside nats"} if composite else {}),
  }
  return Preset(
    name,
    why,
    objective={"ramp_steps": min(ramp, steps // 3), **balanced, **objective},
    training={"epochs": epochs, "batch_size": batch_size, "evaluate_every": 0, "measurements": ("linear_leakage",)},
    composite=composite,
    reasons=reasons,
    **groups,
  )


def _small(count: int, feature: Feature) -> Preset:
  """That of `gin_configs/color_mnist_digit.gin`, with a wider z1."""
  return _balanced_preset(
    "small",
    "images of up to 40 pixels",
    count,
    feature,
    images_seen=300_000,
    ramp=2000,
    lambda3=50.0,
    adversary=60.0,
    model={"z1_width": 16},
    objective={
      "likelihood": "laplace",
      "stddev": 0.2,
      "lambda4": 1.0,
      "mirror": 2.0,
      "q_data": "pairs",
      "q_noise": 0.3,
      "prior_fusions": 0.5,
      "d_real": "originals",
    },
  )


def _medium(count: int, feature: Feature, images_seen: int = 120_000) -> Preset:
  """Networks in which both codes reach every stage of G, and a narrow likelihood, so that images are sharp."""
  precision, why = (
    ("mixed_bfloat16", "this machine has instructions for bfloat16")
    if has_bfloat16()
    else ("float32", "this processor has no instructions for bfloat16")
  )
  recipe = _balanced_preset(
    "medium",
    "images of up to 96 pixels",
    count,
    feature,
    images_seen=images_seen,
    ramp=2000,
    lambda3=60.0,
    adversary=60.0,
    by_kind=_WEIGHTS_OF_PICTURES,
    model={"networks": "modulated", "z1_width": 64, "precision": precision},
    optimizer={"warmup_steps": 300},
    objective={
      "stddev": 0.1,
      "lambda4": 1.0,
      "mirror": 1.0,
      "q_data": "pairs",
      "q_noise": 0.3,
      "d_real": "originals",
    },
  )
  return dataclasses.replace(recipe, reasons={**recipe.reasons, "model.precision": why})


def _large(count: int, feature: Feature) -> Preset:
  """The same, with a wider z1 and fewer images seen: each costs four times as much."""
  recipe = _medium(count, feature, images_seen=50_000)
  return dataclasses.replace(recipe, name="large", why="larger images", model={**recipe.model, "z1_width": 96})


def _paper(count: int, feature: Feature) -> Preset:
  """The objective of the poster, with the weights of `gin_configs/color_mnist_digit_paper.gin`."""
  recipe = _small(count, feature)
  objective = {"stddev": 0.2, "lambda3": recipe.objective["lambda3"], "lambda4": 50.0}
  why = "whoever wants the paper's objective alone"
  return dataclasses.replace(recipe, name="paper", why=why, model={}, objective=objective)


PRESETS: Mapping[str, Callable[[int, Feature], Preset]] = {
  "small": _small,
  "medium": _medium,
  "large": _large,
  "paper": _paper,
}
"""Each makes a recipe from the number of images to train on, and the feature."""
