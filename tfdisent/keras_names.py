"""Lets `keras.models.load_model` find this library's model after `import tfdisent` alone; sets Keras to TensorFlow.

Keras looks a class up by the name under which it was registered, and imports no module to find it. `import tfdisent`
registers a name as soon as Keras itself is imported. The class is imported when a file asks for it, so that neither
`import tfdisent` nor `import keras` waits for TensorFlow Probability.

KERAS_BACKEND and `~/.keras/keras.json` may ask for another backend, another type of numbers or another order of axes,
for other programs. Where `import tfdisent` comes before `import keras`, Keras gets what this library needs.
"""

import importlib
import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Mapping

from tfdisent.console import say
from tfdisent.errors import ConfigError

NAME = "tfdisent>DisentangledVAE"
BACKEND, FLOATX, FORMAT = "tensorflow", "float32", "channels_last"


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
    if os.environ.get("KERAS_BACKEND", BACKEND) != BACKEND:
      say(f"tfdisent computes with TensorFlow, not with KERAS_BACKEND={os.environ['KERAS_BACKEND']}.", file=sys.stderr)
    os.environ["KERAS_BACKEND"] = BACKEND
    spec = importlib.machinery.PathFinder.find_spec(name, path, target)
    if spec and spec.loader:
      execute = spec.loader.exec_module

      def execute_and_register(module):
        execute(module)
        module.config.set_floatx(FLOATX)
        module.config.set_image_data_format(FORMAT)
        _register(module)

      spec.loader.exec_module = execute_and_register
    return spec


def _register(keras) -> None:
  keras.saving.get_custom_objects().setdefault(NAME, _Model)


def check_settings(keras) -> None:
  """Raises `ConfigError` if Keras, imported before this library, is set to what cannot work here."""
  if not hasattr(keras, "config"):  # it is being imported, and imports this library
    return
  for setting, value, needed, remedy in (
    ("backend", keras.config.backend(), BACKEND, "KERAS_BACKEND=tensorflow"),
    ("floatx", keras.config.floatx(), FLOATX, "keras.config.set_floatx('float32')"),
    (
      "image format",
      keras.config.image_data_format(),
      FORMAT,
      "keras.config.set_image_data_format('channels_last')",
    ),
  ):
    if value != needed:
      raise ConfigError(
        f"Keras is set to the {setting} '{value}' (~/.keras/keras.json or your code), and tfdisent needs '{needed}': "
        f"say {remedy}, or import tfdisent before keras."
      )


def install() -> None:
  """Registers the name with Keras, now or as soon as it is imported."""
  if "keras" in sys.modules:
    check_settings(sys.modules["keras"])
    _register(sys.modules["keras"])
  else:
    sys.meta_path.insert(0, _WithKeras())
