"""What `check_measurement` asks of a measurement, with one for each thing that may be wrong."""

import itertools

import numpy as np
import pytest

from features.color import Color
from tests.bands import Fake, bands_dataset, swaps_color
from tfdisent.errors import ConfigError
from tfdisent.evaluation import Figure, Measurement, with_interval
from tfdisent.evaluation.check import check_measurement
from tfdisent.registry import MEASUREMENTS, register_measurement

NUMBERS = itertools.count()
TRAINED, DATASET = Fake(Color(), swaps_color), bands_dataset(train=20, probe=20, validation=20, test=10)


@pytest.fixture(autouse=True)
def registry():
  with MEASUREMENTS.temporary():
    yield


def check(measure, register=True, dataset=DATASET, **attributes):
  """Checks a measurement whose figures are `measure(case)`."""
  declared = {"stage": "brightness", "figures": (Figure("quality/bright", "high"),)}
  body = {**declared, **attributes, "measure": lambda self, case: measure(case)}
  cls = type("Brightness", (Measurement,), body)
  if register:
    register_measurement(f"of_this_test_{next(NUMBERS)}")(cls)
  check_measurement(cls(), TRAINED, dataset)


def test_a_measurement_that_keeps_the_contract_passes():
  check(lambda case: {"quality/bright": with_interval(case.x.mean((1, 2, 3)))})


def spoiling(case):
  case.x[:] = 0
  return {"quality/bright": {"value": 0.0}}


@pytest.mark.parametrize(
  ("measure", "words"),
  [
    (lambda case: 3.0, "gives a float: it must give a dict"),
    (
      lambda case: {"quality/dark": {"value": 1.0}},
      "gives 'quality/dark', which none of its figures",
    ),
    (lambda case: {"quality/bright": 1.0}, "gives 1.0 for 'quality/bright': it must be a dict"),
    (lambda case: {"quality/bright": {"value": "high"}}, "must be a dict with a number"),
    (
      lambda case: {"quality/bright": {"value": 1.0, "low": 2.0, "high": 3.0}},
      "an interval .* in which its value",
    ),
    (lambda case: {"quality/bright": {"value": float("nan")}}, "gives NaN for 'quality/bright'"),
    (lambda case: {"quality/bright": {"value": np.float32(1)}}, "JSON cannot keep"),
    (lambda case: {"quality/bright": {"value": float(next(NUMBERS))}}, "is not deterministic: asked twice"),
  ],
)
def test_figures_that_break_the_contract_are_named(measure, words):
  with pytest.raises(ConfigError, match=words):
    check(measure)


def test_a_measurement_that_changes_the_images_is_named():
  with pytest.raises(ConfigError, match="changes the examples that it is given"):
    check_on = bands_dataset(train=20, probe=20, validation=20, test=10)
    cls = type(
      "Spoils",
      (Measurement,),
      {"stage": "s", "figures": (Figure("quality/bright"),), "measure": lambda self, case: spoiling(case)},
    )
    register_measurement(f"of_this_test_{next(NUMBERS)}")(cls)
    check_measurement(cls(), TRAINED, check_on)


@pytest.mark.parametrize(
  ("attributes", "words"),
  [
    ({"stage": ""}, "stage says nothing"),
    ({"figures": ()}, "figures must be a tuple with a `Figure` for each"),
    ({"figures": ("quality/bright",)}, "figures must be a tuple with a `Figure` for each"),
    ({"register": False}, "is not registered: decorate it with"),
  ],
)
def test_a_declaration_that_cannot_work_is_named(attributes, words):
  with pytest.raises(ConfigError, match=words):
    check(lambda case: {}, **attributes)


def test_what_is_no_measurement_is_named():
  with pytest.raises(ConfigError, match="str is no tfdisent"):
    check_measurement("sharpness", TRAINED, DATASET)
