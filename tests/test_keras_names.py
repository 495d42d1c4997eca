"""A file of Keras in a process that has imported `tfdisent` alone."""

import sys
import types

import keras
import numpy as np

from features.digit_label import DigitLabel
from tests.conftest import TINY, in_new_process
from tfdisent import keras_names
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE


def test_a_model_loads_after_import_tfdisent_alone(tmp_path):
  """Keras is imported afterwards, and neither the model nor the feature's plug-in is before the file asks for them."""
  model = DisentangledVAE((8, 8, 3), DigitLabel(), Objective(lambda4=0.0), **TINY)
  x = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
  model.save(tmp_path / "m.keras")
  np.save(tmp_path / "x.npy", x)
  np.save(tmp_path / "y.npy", model(x))
  printed = in_new_process(f"""
import sys, tfdisent
import keras, numpy as np
before = [name in sys.modules for name in ("tfdisent.model.vae", "features.digit_label")]
model = keras.models.load_model("{tmp_path}/m.keras")
same = np.allclose(model(np.load("{tmp_path}/x.npy")), np.load("{tmp_path}/y.npy"), atol=1e-5)
plain = tfdisent.Objective(lambda3=0.0, lambda4=0.0)
named = [tfdisent.DisentangledVAE((8, 8, 1), name, plain).feature for name in ("category", "rgb")]
print([(f.name, type(f).__module__) for f in named])
print(before, type(model).__module__, model.feature.name, same)
""")
  assert printed.splitlines()[-2] == "[('category', 'features.category'), ('rgb', 'features.rgb')]"
  assert printed.splitlines()[-1] == "[False, False] tfdisent.model.vae digit_label True"


def test_keras_that_is_there_already_learns_the_name_at_once(monkeypatch):
  names = {}
  fake = types.SimpleNamespace(saving=types.SimpleNamespace(get_custom_objects=lambda: names))
  monkeypatch.setitem(sys.modules, "keras", fake)
  keras_names.install()
  described = DisentangledVAE((8, 8, 3), DigitLabel(), Objective(lambda4=0.0), **TINY).get_config()
  assert isinstance(names[keras_names.NAME].from_config(described), DisentangledVAE)


def test_the_class_stands_under_the_name_once_it_is_imported():
  assert keras.saving.get_registered_object(keras_names.NAME) is DisentangledVAE
