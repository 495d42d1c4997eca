"""Names of version 0.1: modules that can still be imported, and bindings that are still understood."""

import dataclasses
import importlib

import pytest

import tfdisent.data.color_mnist
import tfdisent.data.decoding
from tfdisent import moved
from tfdisent.model.objective import Objective


def test_an_old_module_is_the_new_one():
  assert importlib.import_module("tfdisent.datasets.color_mnist") is tfdisent.data.color_mnist


def test_a_function_is_found_in_the_module_that_it_was_in():
  from tfdisent.datasets.own_images import decoded

  assert decoded is tfdisent.data.decoding.decoded
  assert tfdisent.data.color_mnist.__spec__.name == "tfdisent.data.color_mnist"


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ("tfdisent.datasets.own_images", "tfdisent.data.own_images"),
    ("tfdisent.datasets", "tfdisent.data"),
    ("tfdisent.dataset", "tfdisent.data.dataset"),
    ("tfdisent.learned", "tfdisent.feature.learned"),
    ("tfdisent.datasets_of_mine", "tfdisent.datasets_of_mine"),
    ("my_package.datasets", "my_package.datasets"),
  ],
)
def test_the_new_name_of_a_module(old, new):
  assert moved.new_name(old) == new


@pytest.mark.parametrize(
  ("old", "new"),
  [
    ("objective.lambda5 = 1.0", "objective.mirror = 1.0"),
    ("tfdisent.objective.lambda6=1", "tfdisent.objective.adversary=1"),
    ("{'objective.lambda7': (0.0, 1.0)}", "{'objective.cycle': (0.0, 1.0)}"),
    ("hat/composite.leakage_weights = ()", "hat/composite.adversary_weights = ()"),
    ("import tfdisent.datasets.color_mnist", "import tfdisent.data.color_mnist"),
    ("objective.lambda50 = my_objective.lambda5", "objective.lambda50 = my_objective.lambda5"),
    ("objective.lambda3 = 1.0  # not objective.lambda5", "objective.lambda3 = 1.0  # not objective.lambda5"),
    ("# tfdisent.datasets", "# tfdisent.datasets"),
  ],
)
def test_a_configuration_gets_the_names_of_today_and_keeps_its_comments(old, new):
  told = []
  assert moved.renamed(f"a = 1\n{old}\n", lambda *names: told.append(names)) == f"a = 1\n{new}\n"
  assert len(told) == (old != new)


OF_0_1 = [
  "likelihood",
  "stddev",
  "lambda1",
  "lambda2",
  "lambda3",
  "lambda4",
  "mirror",
  "adversary",
  "cycle",
  "ramp_steps",
  "feature_loss",
  "q_data",
  "q_noise",
  "d_real",
  "prior_fusions",
  "a_optimizer",
]
"""The arguments of the objective that configurations of version 0.1 have, by their names of today."""


def test_a_run_of_version_0_1_goes_on_whatever_the_objective_has_learned_since():
  new = [field for field in dataclasses.fields(Objective) if field.name not in OF_0_1]
  assert {f"objective.{field.name} = {field.default!r}" for field in new} <= moved.ALWAYS_SO
