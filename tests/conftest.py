"""Fixtures: a small data set, a tiny model, and a short run that the tests share."""

import gc
import os
import pathlib
import shutil
import subprocess
import sys
from typing import NamedTuple

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # trees of several processes would wait for one another on few cores
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as `import tfdisent` has it, where TensorFlow comes after it

import gin
import keras
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from features.digit_label import DigitLabel
from tfdisent import api, main
from tfdisent.data.color_mnist import color_mnist
from tfdisent.data.dataset import Dataset
from tfdisent.evaluation import judges
from tfdisent.hardware import keep_freed_memory
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

keep_freed_memory()

TINY = {
  "z1_width": 4,
  "E1": {"conv": (4, 8), "dense": (16,)},
  "G": {"conv": (8, 4), "dense": (16,)},
  "q": {"conv": (4, 8), "dense": (16,)},
  "D": {"conv": (4, 8), "dense": (16,)},
  "a": {"dense": (16,)},
}


LONGEST = ("test_loop.py", "test_distribution.py", "test_learned.py", "test_main.py", "test_interruptions.py")
"""Files whose tests take half a minute or more."""


def pytest_collection_modifyitems(items):
  """Puts the longest files first: one that comes last is waited for, while the other worker has nothing left to do."""
  items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_collection_finish():
  """Objects of imports are never looked through again: tracing makes so many that a tenth of the time went there."""
  gc.collect()
  gc.freeze()
  gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
  """Judges stay out of the user's cache, and learn little."""
  os.environ.setdefault("TFDISENT_CACHE", str(tmp_path_factory.mktemp("cache")))
  judges_learn_little()


EPOCH_IMAGES = judges.EPOCH_IMAGES
"""Those of the library."""


def judges_learn_little() -> None:
  """Judges learn for a second, and not for a minute: most tests do not ask how well they read."""
  judges.EPOCH_IMAGES = 500


@pytest.fixture(autouse=True)
def judges_of_long_tests(request, monkeypatch):
  """Those of long tests learn as the library's do: figures are held against published ones."""
  if request.node.get_closest_marker("long"):
    monkeypatch.setattr(judges, "EPOCH_IMAGES", EPOCH_IMAGES)


def small(dataset: Dataset, count: int = 64) -> Dataset:
  """The first `count` examples of each split."""
  parts = {
    s: {name: column[:count] for name, column in dataset[s].items()} for s in ("train", "probe", "validation", "test")
  }
  return Dataset(**parts, name=f"{dataset.name}[:{count}]", judges=dataset.judges)


@pytest.fixture(scope="session")
def digits() -> Dataset:
  """The whole embedded Color MNIST."""
  return color_mnist()


@pytest.fixture(scope="session")
def few_digits(digits) -> Dataset:
  """64 digits a split."""
  return small(digits)


@pytest.fixture(scope="session")
def mnist_dir() -> pathlib.Path:
  """The folder where TFDS keeps the real MNIST; skips where there is none."""
  beside = pathlib.Path(__file__).resolve().parent.parent.parent / "shared" / "tensorflow_datasets"
  folder = pathlib.Path(os.environ.get("TFDISENT_TFDS_DIR", beside))
  if not (folder / "mnist").is_dir():
    pytest.skip(f"no mnist in {folder}; TFDISENT_TFDS_DIR names the folder that has it")
  return folder


@pytest.fixture(scope="session")
def coil20_dir() -> pathlib.Path:
  """The folder of photographs of turning objects with a table; it may not be there."""
  return pathlib.Path(__file__).resolve().parent.parent.parent / "shared" / "images" / "coil20"


@pytest.fixture
def tfdisent(capsys):
  """Runs the command in this process; returns its exit code, standard output and standard error."""

  def call(*arguments):
    with flagsaver.flagsaver():
      flags.FLAGS.unparse_flags()
      flags.FLAGS(["tfdisent", *map(str, arguments)])
      code = 0
      try:
        main.main(["tfdisent"])
      except SystemExit as error:
        code = error.code
      finally:
        gin.clear_config()
    output = capsys.readouterr()
    return code, output.out, output.err

  return call


@pytest.fixture
def make_tiny():
  """Makes a tiny compiled model for a feature (the digit) and an objective's arguments."""

  def make(feature=None, seed=0, optimizers=keras.optimizers.Adam, **objective):
    keras.utils.set_random_seed(seed)
    model = DisentangledVAE((28, 28, 3), feature or DigitLabel(), Objective(**objective), seed=seed, **TINY)
    model.compile(optimizers(1e-3), optimizers(1e-3))
    return model

  return make


@pytest.fixture
def no_graphs():
  """Nothing is traced: that takes longer than some steps of a tiny model. For tests of something else than the step."""
  tf.config.run_functions_eagerly(True)
  yield
  tf.config.run_functions_eagerly(False)


@pytest.fixture
def batch():
  """A batch of eight random images with random labels, as `training_batches` gives them."""
  random_state = np.random.default_rng(0)
  image = random_state.integers(256, size=(8, 28, 28, 3), dtype=np.uint8)
  f, partner = (np.eye(10, dtype=np.float32)[random_state.integers(10, size=8)] for _ in range(2))
  return {
    name: tf.constant(value)
    for name, value in {
      "image": image,
      "feature": f,
      "partner": partner,
      "position": np.arange(8, dtype=np.int32),
    }.items()
  }


@pytest.fixture(scope="session")
def browser():
  """A real browser; skips where there is none, or no Playwright."""
  playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
  names = ("chromium", "chromium-browser", "google-chrome")
  path = next(filter(None, map(shutil.which, names)), None)
  if path is None:
    pytest.skip(f"none of {', '.join(names)} is on the PATH")
  with playwright.sync_playwright() as running:
    one = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
    yield one
    one.close()


@pytest.fixture(scope="session")
def screenshot(tmp_path_factory):
  """Keeps a picture of a page: in $TFDISENT_SCREENSHOTS, or in pytest's temporary folder."""
  folder = os.environ.get("TFDISENT_SCREENSHOTS")
  folder = pathlib.Path(folder) if folder else tmp_path_factory.mktemp("screenshots")

  def keep(page, name):
    page.screenshot(path=folder / f"{name}.png", full_page=True)

  return keep


def faults_for_screen_readers(page) -> list[tuple[str, str]]:
  """What axe-core finds on a page: the rule, and the first element that breaks it."""
  axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")
  return [(one["id"], one["nodes"][0]["html"]) for one in axe.Axe().run(page).response["violations"]]


# --- A short training that several files look at ----------------------------------------------------------------------

CONFIG = "train.epochs = 3\ntrain.data_dir = '/here'\nobjective.q_data = 'both'\n"


class Run(NamedTuple):
  folder: pathlib.Path
  trained: TrainedModel


def train_tiny(folder, dataset, feature=DigitLabel(), objective={"q_data": "both"}, tiny=TINY, **arguments):  # noqa: B006, B008
  """`api.train` with a tiny model, which is not measured: two steps an epoch on 64 examples."""

  def make_model(image_shape, feature, seed):
    return DisentangledVAE(image_shape, feature, Objective(**objective), seed=seed, **tiny)

  tiny_run = {"make_model": make_model, "epochs": 3, "batch_size": 32, "measure": False}
  return api.train(dataset, feature, folder, **{**tiny_run, **arguments})


@pytest.fixture(scope="session")
def digit_run(few_digits, tmp_path_factory) -> Run:
  """Three epochs on the label of few digits. Tests leave the folder as it is."""
  folder = tmp_path_factory.mktemp("runs") / "digit"
  return Run(folder, train_tiny(folder, few_digits, describe=lambda: CONFIG))


def assert_same_arrays(*folders: pathlib.Path, epoch: int = 1) -> None:
  """Asserts that the checkpoints of two runs hold the same numbers, to the bit: weights, optimizers, figures."""
  one, other = (tf.train.load_checkpoint(str(folder / f"checkpoints/last/epoch-{epoch}")) for folder in folders)
  names = one.get_variable_to_shape_map().keys() - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
  assert len(names) > 20 and names | {"_CHECKPOINTABLE_OBJECT_GRAPH"} == other.get_variable_to_shape_map().keys()
  for name in names:
    np.testing.assert_array_equal(one.get_tensor(name), other.get_tensor(name), err_msg=name)


def events(folder: pathlib.Path) -> dict[str, dict[int, np.ndarray]]:
  """What a run wrote for TensorBoard: tag → epoch → value."""
  accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0})
  accumulator.Reload()
  return {
    tag: {event.step: tf.make_ndarray(event.tensor_proto) for event in accumulator.Tensors(tag)}
    for tag in accumulator.Tags()["tensors"]
  }


def in_new_process(code: str) -> str:
  """What Python code prints in a process of its own, that starts where the tests did."""
  environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
  root = pathlib.Path(__file__).parent.parent
  command = [sys.executable, "-c", code]
  return subprocess.run(command, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True).stdout
