"""One of each plug-in from a package outside of the repository: named in gin, trained, measured, exported, loaded.

The files below are all that a user writes; nothing of the library is edited for them.
"""

import json
import sys

import numpy as np
import pytest

from tests.processes import in_fork
from tfdisent import run

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

MEASUREMENT = '''
import numpy as np

import tfdisent
from tfdisent.evaluation import Figure, with_interval


@tfdisent.register_measurement("added_contrast")
class Contrast(tfdisent.Measurement):
  """How far the reconstructions spread between black and white."""

  stage = "contrast of the reconstructions"
  figures = (Figure("quality/contrast", "high", column=True),)
  quick = True

  def measure(self, case):
    return {"quality/contrast": with_interval(np.std(case.x_rec / 255, axis=(1, 2, 3)), within=(0, None))}
'''

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

FILES = {
  "level": FEATURE,
  "bars": DATA,
  "flat": NETWORKS,
  "smooth": LOSS,
  "contrast": MEASUREMENT,
  "npz": EXPORTER,
}

CONFIG = """
import added_package.bars
import added_package.contrast
import added_package.flat
import added_package.level
import added_package.smooth

train.dataset = 'added_bars'
train.feature = 'added_level'
train.measurements = ('added_contrast',)
train.epochs = 2
train.batch_size = 16
train.evaluate_every = 0
added_bars.count = 40

model.networks = 'added_flat'
model.z1_width = 3
objective.losses = ('added_smooth',)
added_smooth.weight = 0.25
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
  """The folder of a package with one file for each plug-in; Python finds it there."""
  folder = tmp_path_factory.mktemp("elsewhere")
  (folder / "added_package").mkdir()
  (folder / "added_package" / "__init__.py").touch()
  for name, code in FILES.items():
    (folder / "added_package" / f"{name}.py").write_text(code.lstrip(), encoding="utf-8")
  (folder / "added.gin").write_text(CONFIG, encoding="utf-8")
  sys.path.insert(0, str(folder))
  yield folder
  sys.path.remove(str(folder))


def test_one_file_adds_one_of_each(tfdisent, package, tmp_path):
  run_dir = tmp_path / "run"
  code, out, err = tfdisent(f"--gin_file={package / 'added.gin'}", f"--run_dir={run_dir}")
  assert code == 0, err
  assert "--trust=added_package" in out

  # The run says what it has of each, and measured with the new measurement.
  model = json.loads((run_dir / run.MODEL_FILE).read_text(encoding="utf-8"))
  assert model["networks"] == {"name": "added_flat", "module": "added_package.flat"}
  assert model["objective"]["losses"] == [
    {"module": "added_package.smooth", "name": "added_smooth", "arguments": {"weight": 0.25}}
  ]
  assert model["feature"]["name"] == "added_level"
  description = run.read_description(run_dir)
  assert (description["dataset"]["name"], description["dataset"]["arguments"]["count"]) == ("added_bars", 40)
  figures, _ = run.read_metrics(run_dir, "validation")
  assert 0 < figures["quality/contrast"]["value"] < 1

  # A process that knows nothing of the package asks before it imports it, and then has all of it.
  printed = in_fork(
    f"""
import sys
sys.path.insert(0, {str(package)!r})
import numpy as np
import tfdisent
try:
  tfdisent.load({str(run_dir)!r})
except tfdisent.ConfigError as error:
  print("added_package" in str(error), "added_package" in sys.modules)
m = tfdisent.load({str(run_dir)!r}, trust=["added_package"])
print(m.control(np.zeros([2, 16, 16, 1], np.uint8), np.float32([[0.1], [0.4]])).shape)
print([type(loss).__name__ for loss in m.model.objective.losses], type(m.model.G).__name__)
"""
  )
  assert printed.splitlines()[-3:] == ["True False", "(2, 16, 16, 1)", "['Smooth'] Flat"]

  # The new format is found once its module is named.
  words = ["--mode=export", "--export_format=added_npz", f"--run_dir={run_dir}", "--trust=added_package"]
  code, _, err = tfdisent(*words, "--gin_param=import added_package.npz")
  assert code == 0, err
  exported = np.load(run_dir / "export" / "run.npz")
  weights = weights_of_g(run_dir)
  assert set(exported.files) == set(weights)
  for name, value in weights.items():
    np.testing.assert_array_equal(exported[name], value)


def weights_of_g(run_dir):
  """The weights of G in the best checkpoint, by their names in the exported file."""
  import tfdisent

  g = tfdisent.load(str(run_dir), trust=["added_package"]).model.G
  return {variable.path.replace("/", "."): variable.numpy() for variable in g.weights}


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_file_is_short(name):
  assert len(FILES[name].strip().splitlines()) <= 35


def test_each_keeps_its_contract(package):
  from tfdisent.registry import DATASETS, FEATURES, LOSSES
  from tfdisent.testing import check_dataset, check_feature, check_loss, check_networks

  for name in FILES:
    __import__(f"added_package.{name}")
  check_dataset(DATASETS["added_bars"], {"count": 40}, other={"count": 41})
  check_feature(FEATURES["added_level"](), DATASETS["added_bars"](count=16).train["image"])
  check_loss(LOSSES["added_smooth"]())
  check_networks("added_flat", ((16, 16, 1),))
