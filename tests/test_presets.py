"""What a recipe holds, by the size of the images, their number and the kinds of what is controlled."""

import pytest

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.number import Number
from features.rgb import Rgb
from tfdisent import presets
from tfdisent.presets import PRESETS

AGE = Number("age", mean=40.0, scale=10.0)


@pytest.mark.parametrize(
  ("image_shape", "name"),
  [((40, 28, 3), "small"), ((28, 41, 1), "medium"), ((96, 96, 3), "medium"), ((97, 8, 3), "large")],
)
def test_the_longer_side_of_the_images_chooses_the_recipe(image_shape, name):
  assert presets._preset("auto", image_shape, 1000, Category()).name == name


@pytest.mark.parametrize(
  ("name", "count", "epochs", "batch_size", "ramp_steps", "told"),
  [
    ("small", 48_000, 6, 64, 1500, "300,000"),  # a third of 4,500 steps
    ("small", 1_000_000, 5, 64, 2000, "300,000"),
    ("paper", 48_000, 6, 64, None, "300,000"),
    ("medium", 4_000, 30, 64, 620, "120,000"),
    ("large", 4_000, 12, 64, 248, "50,000"),
    ("medium", 200, 300, 50, 400, "120,000"),  # 4 steps an epoch
    ("small", 3, 300, 2, 100, "300,000"),
  ],
)
def test_epochs_batches_and_the_ramp_follow_from_the_number_of_images(
  name, count, epochs, batch_size, ramp_steps, told
):
  recipe = PRESETS[name](count, Category())
  assert recipe.training == {
    "epochs": epochs,
    "batch_size": batch_size,
    "evaluate_every": 0,
    "measurements": ("linear_leakage",),
  }
  assert recipe.objective.get("ramp_steps") == ramp_steps
  assert recipe.reasons["train.epochs"] == f"about {told} images are seen, 5 to 300 epochs"
  assert recipe.reasons["objective.ramp_steps"] == f"of {epochs * max(1, count // batch_size):,} steps"


@pytest.mark.parametrize(
  ("name", "feature", "lambda3", "adversary"),
  [
    ("small", Category(), 50, 60),
    ("small", Attribute(("smile",)), 50, 60),
    ("small", Color(), 50 * 60, 60 * 2.5),
    ("small", Rgb("hair"), 50 * 60, 60 * 2.5),
    ("small", AGE, 50 * 6, 60 * 5),
    ("medium", Category(), 60, 60),
    ("medium", Color(), 60 * 30, 60 * 20),
    ("large", AGE, 60 * 6, 60 * 5),
    ("paper", Color(), 50 * 60, None),
  ],
)
def test_a_squared_error_weighs_more_than_nats(name, feature, lambda3, adversary):
  recipe = PRESETS[name](1000, feature)
  assert (recipe.objective["lambda3"], recipe.objective.get("adversary")) == (lambda3, adversary)
  assert recipe.composite == {} and "composite.weights" not in recipe.reasons
  assert recipe.weighted(feature) is feature


def test_parts_of_several_kinds_are_weighed_against_one_another():
  feature = Composite((Category(), Color(), AGE))
  recipe = PRESETS["small"](1000, feature)
  assert (recipe.objective["lambda3"], recipe.objective["adversary"]) == (50, 60)
  assert recipe.composite == {"weights": (1.0, 60.0, 6.0), "adversary_weights": (1.0, 2.5, 5.0)}
  assert "squared error" in recipe.reasons["composite.weights"]
  weighted = recipe.weighted(feature)
  assert (weighted.weights, weighted.adversary_weights) == ((1.0, 60.0, 6.0), (1.0, 2.5, 5.0))
  assert PRESETS["medium"](1000, feature).composite["adversary_weights"] == (1.0, 20.0, 5.0)
  assert PRESETS["small"](1000, Composite((Category(), Attribute(("smile",))))).composite == {}


def test_the_recipes_are_those_that_were_tried(monkeypatch):
  monkeypatch.setattr(presets, "has_bfloat16", lambda: True)
  beyond = {"mirror": 2.0, "q_data": "pairs", "q_noise": 0.3, "prior_fusions": 0.5, "d_real": "originals"}
  small = PRESETS["small"](48_000, Category())
  paper = {"stddev": 0.2, "lambda3": 50.0, "lambda4": 50.0}
  of_code = {"lambda3": 50.0, "adversary": 60.0, "ramp_steps": 1500}
  assert small.objective == {"likelihood": "laplace", "stddev": 0.2, "lambda4": 1.0, **beyond, **of_code}
  assert small.model == {"z1_width": 16} and small.optimizer == small.optimizer_d == {}
  assert PRESETS["paper"](48_000, Category()).objective == paper and PRESETS["paper"](9, Category()).model == {}

  medium, large = (PRESETS[name](48_000, Category()) for name in ("medium", "large"))
  shared = {key: beyond[key] for key in ("q_data", "q_noise", "d_real")}
  of_code = {"lambda3": 60.0, "adversary": 60.0, "ramp_steps": 1250}  # a third of 5 epochs
  assert medium.objective == {"stddev": 0.1, "lambda4": 1.0, "mirror": 1.0, **shared, **of_code}
  assert large.objective == medium.objective
  assert medium.model == {"networks": "modulated", "z1_width": 64, "precision": "mixed_bfloat16"}
  assert large.model == {**medium.model, "z1_width": 96}
  assert medium.optimizer == large.optimizer == {"warmup_steps": 300}


def test_a_processor_without_bfloat16_gets_float32_and_is_told_why(monkeypatch):
  monkeypatch.setattr(presets, "has_bfloat16", lambda: False)
  for name in ("medium", "large"):
    recipe = PRESETS[name](48_000, Category())
    assert recipe.model["precision"] == "float32" and "no instructions" in recipe.reasons["model.precision"]


def test_an_objective_without_a_training_has_a_ramp_of_its_own():
  assert presets.objective((28, 28, 3), Category()) == {
    **PRESETS["small"](48_000, Category()).objective,
    "ramp_steps": 1000,
  }
