"""What a training is given: what the caller says, before the preset, before the defaults."""

import inspect

import keras
import pytest

from features.category import Category
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.conftest import TINY
from tfdisent import api, presets
from tfdisent.errors import ConfigError, TfdisentError
from tfdisent.model.objective import Objective
from tfdisent.presets import Preset
from tfdisent.recipe import TRAINING, complete
from tfdisent.training.optimizers import make_optimizer, make_optimizer_of_d

MINE = Preset(
  "mine",
  "for this test",
  model={"z1_width": 5, "z2_width": 6},
  objective={"lambda3": 7.0, "lambda4": 8.0},
  optimizer={"learning_rate": 0.25, "warmup_steps": 9},
  optimizer_d={"learning_rate": 0.125},
  training={"epochs": 11, "batch_size": 12, "measurements": ("sharpness",)},
)


@pytest.fixture(autouse=True)
def mine(monkeypatch):
  """A preset that "auto" takes, too."""
  monkeypatch.setattr(presets, "PRESETS", {"mine": lambda *_: MINE, "small": lambda *_: MINE})


def test_a_preset_stands_where_nothing_is_given(few_digits):
  for recipe in (complete(few_digits, "label"), complete(few_digits, "label", "mine")):
    assert recipe.preset is MINE
    assert (recipe.epochs, recipe.batch_size, recipe.measurements) == (11, 12, ("sharpness",))
    assert recipe.make_model.keywords == {"objective": Objective(lambda3=7.0, lambda4=8.0), **MINE.model}
    assert recipe.make_optimizer_eg.func is make_optimizer and recipe.make_optimizer_eg.keywords == MINE.optimizer
    assert recipe.make_optimizer_d.func is make_optimizer_of_d
    assert recipe.make_optimizer_d.keywords == MINE.optimizer_d
    assert recipe.feature == Category(num_classes=10, column="label")


def test_what_is_given_goes_before_the_preset(few_digits):
  recipe = complete(
    few_digits,
    "label",
    objective={"lambda3": 1.0},
    networks="plain",
    model={"z1_width": 2},
    optimizer="sgd",
    optimizer_d={"warmup_steps": 3},
    learning_rate=0.5,
    epochs=4,
    batch_size=6,
    measurements=(),
  )
  assert (recipe.epochs, recipe.batch_size, recipe.measurements) == (4, 6, ())
  assert recipe.make_model.keywords == {
    **{"objective": Objective(lambda3=1.0, lambda4=8.0), "z1_width": 2, "z2_width": 6, "networks": "plain"}
  }
  of_sgd = {"algorithm": "sgd", "arguments": None, "learning_rate": 0.5, "warmup_steps": 9}
  assert recipe.make_optimizer_eg.keywords == of_sgd
  assert recipe.make_optimizer_d.keywords == {"learning_rate": 0.125, "warmup_steps": 3}
  for line in ("train.seed = 1", "objective.lambda4 = 8.0", "optimizer.algorithm = 'sgd'", "train.feature = 'label'"):
    assert f"\n{line}\n" in recipe.config(seed=1)


def test_a_whole_objective_or_a_model_has_no_preset(few_digits):
  objective = Objective(lambda3=20.0)
  recipe = complete(few_digits, "label", objective=objective)
  assert recipe.preset is None and (recipe.epochs, recipe.batch_size) == (10, 128)
  assert recipe.make_model.keywords == {"objective": objective}
  assert complete(few_digits, "label", "mine", objective).make_model.keywords == {"objective": objective, **MINE.model}
  made = complete(few_digits, "label", make_model=print, make_optimizer_d=repr)
  assert made.preset is None and made.make_model is print and made.make_optimizer_d is repr
  assert (
    made.make_optimizer_eg.func is make_optimizer and not made.make_optimizer_eg.keywords and not made.config(seed=1)
  )


def test_an_optimizer_of_keras_is_copied(few_digits):
  given = keras.optimizers.SGD(0.5, momentum=0.25)
  made = [complete(few_digits, "label", optimizer=given).make_optimizer_eg(10) for _ in range(2)]
  assert given not in made and made[0] is not made[1]
  assert all((float(one.learning_rate), one.momentum) == (0.5, 0.25) for one in made)


def test_the_weights_of_parts_are_those_of_the_preset_unless_a_feature_has_its_own(few_digits, monkeypatch):
  weighted = {"weights": (1.0, 60.0), "adversary_weights": (1.0, 2.5)}
  monkeypatch.setattr(presets, "PRESETS", {"small": lambda *_: Preset("small", "", composite=weighted)})
  chosen = complete(few_digits, ["label", "color"])
  assert (chosen.feature.weights, chosen.feature.adversary_weights) == tuple(weighted.values())
  assert "composite.weights = (1.0, 60.0)\n" in chosen.config()
  own = Composite((DigitLabel(), Category(column="label")), weights=(3.0, 4.0))
  assert complete(few_digits, own).feature == own


@pytest.mark.parametrize(
  ("given", "words"),
  [
    ({"model": {"z1_widht": 3}}, "model has no argument 'z1_widht'. Did you mean 'z1_width'?"),
    ({"model": {"objective": 3}}, "another argument of `tfdisent.train` decide it"),
    ({"model": TINY, "objective": {"lambda9": 1.0}}, "objective has no argument 'lambda9'"),
    ({"objective": "paper"}, "objective = 'paper' must be a dict"),
    ({"optimizer": {"rate": 1.0}}, "optimizer has no argument 'rate'"),
    ({"optimizer_d": {"steps": 1}}, "optimizer_d has no argument 'steps'"),
    ({"optimizer": {"learning_rate": 1.0}, "learning_rate": 1.0}, "learning_rate is given besides optimizer"),
    ({"optimizer": keras.optimizers.Adam(), "learning_rate": 1.0}, "give the rate to the optimizer itself"),
    ({"preset_name": "mime"}, "there is no preset 'mime': choose 'auto', 'mine'"),
    ({"make_model": print, "preset_name": "mine"}, "preset is given besides make_model"),
    ({"make_model": print, "model": {"z1_width": 3}}, "model is given besides make_model"),
    ({"make_optimizer_eg": print, "learning_rate": 1.0}, "learning_rate is given besides make_optimizer_eg"),
    ({"make_optimizer_d": print, "optimizer_d": "sgd"}, "optimizer_d is given besides make_optimizer_d"),
  ],
)
def test_what_cannot_be_is_refused(given, words, few_digits):
  with pytest.raises(TfdisentError) as error:
    complete(few_digits, "label", **given)
  assert isinstance(error.value, ConfigError) and words in str(error.value)


def test_a_callback_that_sets_the_rate_needs_a_constant_one(few_digits):
  setters = [keras.callbacks.TerminateOnNaN(), keras.callbacks.ReduceLROnPlateau()]
  with pytest.raises(ConfigError, match=r"ReduceLROnPlateau sets the learning rate.*optimizer=\{'decay': None\}"):
    complete(few_digits, "label", make_optimizer_d=print).check_callbacks(setters)
  complete(few_digits, "label", optimizer={"decay": None, "warmup_steps": 0}).check_callbacks(setters)
  complete(few_digits, "label").check_callbacks(setters[:1])


def test_a_training_takes_all_of_it():
  names = inspect.signature(complete).parameters.keys() - {"preset_name"}
  assert names | {"preset"} <= inspect.signature(api.train).parameters.keys()
  assert TRAINING == {"epochs": 10, "batch_size": 128, "evaluate_every": 5, "measurements": ()}
