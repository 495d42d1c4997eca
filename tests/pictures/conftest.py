"""Models that were not trained, in whose images every code tells."""

import keras
import numpy as np
import pytest

from features.attribute import Attribute
from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.conftest import TINY
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

LABELS = DigitLabel()
BOTH = Composite((LABELS, Color(), Attribute(("bold",))), part_names=("digit_label", "color", "bold"))


def lively(feature) -> TrainedModel:
  """A model that was not trained, with weights so large that every input tells in the image."""
  keras.utils.set_random_seed(1)
  model = DisentangledVAE((28, 28, 3), feature, Objective(lambda3=0.0, lambda4=0.0), **TINY)
  for network in model.networks.values():
    network.set_weights([3 * weight for weight in network.get_weights()])
  return TrainedModel(model)


@pytest.fixture(scope="session")
def labels():
  return lively(LABELS)


@pytest.fixture(scope="session")
def colors():
  return lively(Color())


@pytest.fixture(scope="session")
def both():
  """Of a digit, a colour and a bit."""
  return lively(BOTH)


@pytest.fixture(scope="session")
def x(few_digits):
  return few_digits.test["image"]


@pytest.fixture(scope="session")
def f_both(few_digits):
  """f of `x` under `BOTH`."""
  examples = few_digits.test
  bold = np.arange(len(examples["label"])) % 2
  return BOTH.to_vector({"digit_label": examples["label"], "color": examples["color"], "bold": bold})
