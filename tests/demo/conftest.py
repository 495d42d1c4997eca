import json

import keras
import numpy as np
import pytest

from features.attribute import Attribute
from features.category import Category
from features.composite import Composite
from features.number import Number
from features.rgb import Rgb
from tests.conftest import TINY
from tfdisent import inference, run
from tfdisent.api import TrainedRun
from tfdisent.examples import save_examples
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

HAIR = ("black", "blond", "red")


@pytest.fixture(scope="package")
def every_kind(tmp_path_factory):
  """An untrained model with a part of every kind of control, in a folder that keeps examples."""
  folder = tmp_path_factory.mktemp("demo")
  age = Number("age", mean=40.0, scale=10.0, lowest=18.0, highest=90.0)
  feature = Composite(
    (Category("hair", 3), Attribute(("smile",)), Rgb("coat"), age), part_names=("hair", "smile", "coat", "age")
  )
  keras.utils.set_random_seed(0)
  model = DisentangledVAE((28, 28, 3), feature, Objective(), seed=0, **TINY)
  for symbol in ("G", "E1"):  # initial weights are small: all images would look the same
    for weight in model.networks[symbol].trainable_variables:
      weight.assign(3 * weight)
  images = np.random.default_rng(0).integers(256, size=(8, 28, 28, 3), dtype=np.uint8)
  save_examples(folder, images)
  (folder / run.MODEL_FILE).write_text(json.dumps(model.get_config()))
  return TrainedRun(inference.TrainedModel(model, class_names={"hair": HAIR}), folder)
