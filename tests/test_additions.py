"""One of each plug-in from a package outside of the repository: named in gin, trained, measured, exported, loaded again.

The files below are all that a user writes; nothing of the library is edited for them.
"""

import json

import numpy as np
import pytest

from tests.conftest import in_new_process
from tfdisent import run
from tfdisent.registry import REGISTRIES

FEATURE = '''
import dataclasses

import tensorflow as tf

import tfdisent


@tfdisent.register_feature("added_level")
@dataclasses.dataclass(frozen=True)
class Level(tfdisent.Feature):
  """f(x) = how bright an image is."""

  kind = tfdisent.CONTINUOUS
  width = 1

  def of_image(self, image):
    return tf.reduce_mean(image, [1, 2, 3])[:, None]
'''

DATA = '''
import numpy as np

import tfdisent


@tfdisent.register_dataset("added_bars")
def bars(data_dir=None, count=48):
  """Bars of random brightness, width and place."""
  random_state = np.random.default_rng(0)

  def split(size):
    level = random_state.integers(60, 256, size)
    left, width = random_state.integers(1, 8, size), random_state.integers(2, 7, size)
    column = np.arange(16)
    ink = (column >= left[:, None]) & (column < (left + width)[:, None])
    image = np.broadcast_to((ink * level[:, None])[:, None, :, None], (size, 16, 16, 1))
    return {"image": image.astype(np.uint8), "wide": (width > 4).astype(np.int64)}

  parts = {name: split(count) for name in ("train", "probe", "validation", "test")}
  return tfdisent.Dataset(**parts, name=f"added_bars({count})")
'''

NETWORKS = '''
import keras

import tfdisent

layers = keras.layers


class Flat(keras.Model):
  """One hidden layer over all inputs, flattened and joined."""

  def __init__(self, shape, dtype, name):
    super().__init__(name=name, dtype=dtype)
    self.flatten = layers.Flatten(dtype=dtype)
    self.hidden = layers.Dense(24, "relu", dtype=dtype, name="hidden")
    self.out = layers.Dense(int(np.prod(shape)), dtype="float32", name="out")
    self.form = layers.Reshape(shape, dtype="float32")

  def call(self, first, second=None):
    inputs = [first] if second is None else [first, second]
    return self.form(self.out(self.hidden(keras.ops.concatenate([self.flatten(x) for x in inputs], 1))))


@tfdisent.register_networks("added_flat")
def flat(symbol, image_shape, outputs, dtype=None, name=None):
  return Flat({"G": image_shape, "D": ()}.get(symbol, (outputs,)), dtype, name)
'''.replace("import keras\n", "import keras\nimport numpy as np\n", 1)

LOSS = '''
import dataclasses

import tensorflow as tf

import tfdisent


@tfdisent.register_loss("added_smooth")
@dataclasses.dataclass(frozen=True)
class Smooth(tfdisent.Loss):
  """The total variation of the fusion."""

  symbol = "L_smooth"

  def __call__(self, model, forward):
    return forward.mean(tf.image.total_variation(forward.x_fusion))
'''

MEASUREMENT = ""  # below

EXPORTER = '''
import numpy as np

import tfdisent


@tfdisent.register_exporter("added_npz")
def npz(trained, folder, config=""):
  """The weights of G, and nothing else."""
  path = folder.with_name(f"{folder.name}.npz")
  path.parent.mkdir(parents=True, exist_ok=True)
  np.savez(path, **{variable.path.replace("/", "."): variable.numpy() for variable in trained.model.G.weights})
  return path
'''
