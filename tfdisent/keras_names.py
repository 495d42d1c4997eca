"""Lets `keras.models.load_model` find this library's model after `import tfdisent` alone.

Keras looks a class up by the name under which it was registered, and imports no module to find it. `import tfdisent`
registers a name as soon as Keras itself is imported. The class is imported when a file asks for it, so that neither
`import tfdisent` nor `import keras` waits for TensorFlow Probability.
"""

import importlib
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Mapping

NAME = "tfdisent>DisentangledVAE"


class _Model:
  """Stands for the model in Keras's list of names until its module is imported, which then registers the class."""

  @classmethod
  def from_config(cls, config: Mapping):
    return importlib.import_module("tfdisent.model.vae").DisentangledVAE.from_config(config)


class _WithKeras(importlib.abc.MetaPathFinder):
  """Registers the name once `keras` is imported."""

  def find_spec(self, name, path=None, target=None):
    if name != "keras":
      return None
    sys.meta_path.remove(self)
    spec = importlib.machinery.PathFinder.find_spec(name, path, target)
    if spec and spec.loader:
      execute = spec.loader.exec_module

      def execute_and_register(module):
        execute(module)
        _register(module)

      spec.loader.exec_module = execute_and_register
    return spec


def _register(keras) -> None:
  keras.saving.get_custom_objects().setdefault(NAME, _Model)


def install() -> None:
  """Registers the name with Keras, now or as soon as it is imported."""
  if "keras" in sys.modules:
    _register(sys.modules["keras"])
  else:
    sys.meta_path.insert(0, _WithKeras())
