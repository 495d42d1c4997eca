"""Every shipped gin file reads, builds, and takes two steps."""

import dataclasses
import functools
import importlib.util
import inspect
import math
import types

import gin
import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfdisent import api, benchmark, config, loading, moved, recipe
from tfdisent.data.batches import training_batches
from tfdisent.errors import ConfigError
from tfdisent.evaluation import evaluate
from tfdisent.feature import learned
from tfdisent.feature.values import feature_values
from tfdisent.model.vae import DisentangledVAE
from tfdisent.registry import DATASETS, MEASUREMENTS
from tfdisent.training import optimizers


@pytest.fixture(autouse=True)
def clean_gin():
  yield
  gin.clear_config()


CLASSES = ("letter", "skin", "eyes", "clothing", "tone", "vendor", "emoji", "person")
YES_OR_NO = ("smile", "glasses", "facial_hair", "hair_long", "italic", "female")
COLORS = [f"{of}_{c}" for of in ("skin", "hair", "clothes", "background") for c in "rgb"]
NUMBERS = ("stem", "ink", "width", "skin_area", "brightness", "light_right_left", *COLORS)
WHOLE_NUMBERS = ("age", "light_azimuth", "light_elevation")


def of_everything(folder, count=120):
  """A table with the columns of avatars_small.gin and of all others that read tables, beside noise."""
  random = np.random.default_rng(0)
  words = {name: random.integers(2, size=count) for name in YES_OR_NO}
  words |= {name: random.choice(["a", "b", "c"], count) for name in CLASSES}
  words |= {name: random.random(count).round(3) for name in NUMBERS}
  words |= {name: random.integers(90, size=count) for name in WHOLE_NUMBERS}
  (folder / "images").mkdir()
  lines = [",".join(["file", *words])]
  for k in range(count):
    PIL.Image.fromarray(random.integers(256, size=(64, 64, 3), dtype=np.uint8)).save(folder / "images" / f"{k}.png")
    lines.append(",".join([f"images/{k}.png", *(str(column[k]) for column in words.values())]))
  (folder / "table.csv").write_text("\n".join(lines))
  return folder


@pytest.fixture(scope="module")
def dataset_of(coil20_dir, digits, tmp_path_factory):
  """The data set of the config that was read: small, and with no more than the machine has."""

  @functools.cache
  def make(name, bindings):
    if name == "tfds_images":
      with tfds.testing.mock_data(num_examples=40):
        return config.dataset_of_run()
    if name == "image_folder":
      folder = tmp_path_factory.mktemp("photos")
      for i, (image, label) in enumerate(zip(digits.test["image"][:60], digits.test["label"])):
        (folder / str(label)).mkdir(exist_ok=True)
        PIL.Image.fromarray(image).save(folder / str(label) / f"{i}.png")
      return config.dataset_of_run(str(folder))
    if name == "table":
      return config.dataset_of_run(str(of_everything(tmp_path_factory.mktemp("table"))))
    if name == "image_table":
      if not coil20_dir.is_dir():
        pytest.skip(f"there are no photographs in {coil20_dir}")
      return config.dataset_of_run(str(coil20_dir))
    return config.dataset_of_run()

  def of_config():
    name = gin.query_parameter("train.dataset")
    if name == "color_mnist":
      with gin.unlock_config():
        gin.bind_parameter("color_mnist.source", "embedded")
    return make(name, gin.config_str())

  return of_config


BATCH = 4
"""Images of a step: without a graph each costs, and no test asks what is learned."""


def two_steps(file, dataset_of, in_graph=lambda update: update, jit_compile=False):
  """The model of a shipped configuration, and the terms of its first step and of its second."""
  config.read([str(file)])
  if file.parent.name == "sweeps":  # the first of its runs
    settings = next(iter(config.sweep().values()))
    config.read([str(file), *([settings["gin_file"]] if "gin_file" in settings else [])])
  dataset = dataset_of()
  feature = config.make_feature(gin.query_parameter("train.feature"), dataset).of_dataset(dataset)
  keras.utils.set_random_seed(0)
  feature.build(dataset.image_shape)
  batches = training_batches(dataset.train, feature_values(feature, dataset.train), BATCH, seed=0)
  model = config.model(dataset.image_shape, feature, seed=0)
  model.compile(config.optimizer(2), config.optimizer_d(2), jit_compile=jit_compile)
  step = in_graph(model.update)
  return model, [{name: float(value) for name, value in step(batch).items()} for batch in batches.take(2)]


@pytest.mark.parametrize("file", config.shipped_configs(), ids=lambda file: file.name)
def test_a_shipped_config_takes_two_steps(file, dataset_of):
  _, (_, terms) = two_steps(file, dataset_of)
  assert all(np.isfinite(value) for value in terms.values())


@pytest.mark.long
@pytest.mark.parametrize("file", config.shipped_configs(), ids=lambda file: file.name)
def test_xla_compiles_the_step_of_a_shipped_config(file, dataset_of, monkeypatch):
  """The losses are the same with the same noise; XLA draws other noise."""
  noise = tf.constant(np.random.default_rng(0).standard_normal([BATCH, 64 * 64 * 3], np.float32))

  def same_noise(model, position, step, width, stream=0):
    return noise[:, :width]

  monkeypatch.setattr(DisentangledVAE, "noise", same_noise)
  model, (expected, _) = two_steps(file, dataset_of, tf.function)
  compiling = functools.partial(tf.function, jit_compile=True)
  _, (compiled, _) = two_steps(file, dataset_of, compiling, jit_compile=True)
  in_bfloat16 = model.get_config()["precision"] == "mixed_bfloat16"
  assert compiled == pytest.approx(expected, rel=0.05 if in_bfloat16 else 1e-3, abs=1e-5)


@pytest.mark.parametrize("file", config.shipped_configs(), ids=lambda file: file.name)
def test_a_shipped_config_says_what_it_is(file):
  """A header: what it is, the command, its run time and what to expect."""
  header = [line for line in file.read_text(encoding="utf-8").split("\n\n")[0].splitlines() if line.startswith("# ")]
  text = " ".join(header)
  for words in (f"--gin_file={config.shipped_name(file)}", "minutes", "Expect"):
    assert words in text


@pytest.mark.parametrize(
  ("files", "bindings", "words"),
  [
    (["gin_configs/no_such_file.gin"], [], r"no_such_file.gin.*gin_configs/quickstart.gin"),
    ([], ["train.epoch = 3"], "epoch"),
    ([], ["trian.epochs = 3"], "trian"),
    ([], ["objective.lambda8 = 3"], "lambda8"),
    ([], ["import features.no_such_feature"], "no_such_feature"),
    ([], ["train.epochs ="], "train.epochs"),
  ],
)
def test_a_mistake_in_a_config_is_named(files, bindings, words):
  with pytest.raises(ConfigError, match=f"(?s){words}"):
    config.read(files, bindings)


def test_an_unbound_feature_or_data_set_is_explained():
  config.read([])
  with pytest.raises(ConfigError, match=r"train\.dataset = 'color_mnist'"):
    config.dataset_of_run()
  with pytest.raises(ConfigError, match=r"train\.feature = 'digit_label'"):
    config.make_feature(None)


def test_every_argument_of_the_objective_and_the_model_can_be_bound(few_digits):
  config.read(
    [], ["objective.lambda1 = 2", "objective.lambda3 = 0", "model.z1_width = 3", "model.E1 = {'dense': (7,)}"]
  )
  from features.digit_label import DigitLabel

  model = config.model(few_digits.image_shape, DigitLabel(), seed=5)
  assert dataclasses.asdict(model.objective)["lambda1"] == 2 and model.q is None
  assert model.z1_width == 3 and model.seed == 5 and model.E1.dense_layers[0].units == 7


LIBRARY = inspect.signature(api.train).parameters


def of_a_spy(size=3, data_dir=None):
  raise AssertionError("it is described, and not made")


with gin.unlock_config():
  gin.register("of_a_spy", module=__name__)(of_a_spy)


@pytest.fixture
def spy(monkeypatch):
  """What `api.train` is called with, in place of a training."""
  called = types.SimpleNamespace()

  def train(*arguments, **keywords):
    called.__dict__.update(inspect.signature(of_library).bind(*arguments, **keywords).arguments)
    return "the model"

  of_library = api.train
  monkeypatch.setattr(api, "train", train)
  monkeypatch.setattr(config, "strategy", lambda: "the strategy")
  monkeypatch.setitem(DATASETS._entries, "of_a_spy", of_a_spy)
  monkeypatch.setattr(config, "make_dataset", lambda name, data_dir: (name, data_dir))
  monkeypatch.setattr(config, "make_feature", lambda name, dataset: name)
  return called


TRAIN = {
  "dataset": "of_a_spy",
  "feature": "f",
  "data_dir": "/data",
  "epochs": 11,
  "batch_size": 12,
  "seed": 13,
  "evaluate_every": 14,
  "checkpoint_every": 15,
  "best": "score",
  "augment": {"shear": 0.1},
  "independent_of": ("color",),
  "largest_weight": 30.0,
  "jit_compile": True,
  "measurements": ("sharpness",),
}


def test_every_binding_of_train_reaches_the_training(spy):
  assert set(TRAIN) == set(inspect.signature(config.train).parameters) - {"run_dir", "measure", "annotate"}
  config.read([], [f"train.{name} = {value!r}" for name, value in TRAIN.items()])
  assert config.train("runs/a", measure=False) == "the model"
  given = vars(spy)
  describe, description = given.pop("describe"), given.pop("description")
  others = {name: value for name, value in TRAIN.items() if name not in ("dataset", "feature", "data_dir")}
  assert given == others | {
    "measure": False,
    "run_dir": "runs/a",
    "dataset": ("of_a_spy", "/data"),
    "features": "f",
    "make_model": config.model,
    "make_optimizer_eg": config.optimizer,
    "make_optimizer_d": config.optimizer_d,
    "strategy": "the strategy",
    "fitting": {},
  }
  assert "train.checkpoint_every = 15" in describe() and "train.jit_compile = True" in describe()
  assert description["dataset"]["arguments"] == {"size": 3, "data_dir": "/data"}
  assert description["bindings"] == sorted(
    f"train.{name} = {value!r}" for name, value in TRAIN.items() if name != "data_dir"
  )


def test_a_training_fits_learned_features_with_the_bindings_of_a_fit(spy):
  config.read([], ["fit_feature.epochs = 3", "fit_feature.noise = 0.1"])
  config.train("runs/a", "of_a_spy", "f")
  assert spy.fitting == {"epochs": 3, "noise": 0.1}


def test_the_defaults_of_train_are_those_of_the_library(spy):
  """But for what a configuration has to choose."""
  config.read([], ["train.dataset = 'of_a_spy'", "train.feature = 'f'"])
  config.train("runs/a")
  for name in ("seed", "checkpoint_every", "jit_compile"):
    assert getattr(spy, name) == LIBRARY[name].default
  assert {name: getattr(spy, name) for name in recipe.TRAINING} == recipe.TRAINING
  assert spy.measure is LIBRARY["measure"].default is True
  assert spy.dataset == ("of_a_spy", None) and spy.description["dataset"]["arguments"]["data_dir"] is None


def test_the_optimizer_of_d_has_its_own_bindings(monkeypatch):
  """Its defaults are those of GANs: Adam at 2e-4 with a β1 of 0.5, falling along a cosine over all steps."""
  monkeypatch.setattr(optimizers, "make_optimizer", lambda *arguments: arguments)
  config.read([], [])
  assert config.optimizer_d(70) == (70, "adam", 2e-4, "cosine", 0, {"beta_1": 0.5})
  bound = (
    "algorithm = 'sgd'",
    "learning_rate = 0.5",
    "decay = None",
    "warmup_steps = 3",
    "arguments = {'momentum': 0.9}",
  )
  config.read([], [f"optimizer_d.{line}" for line in bound])
  assert config.optimizer_d(70) == (70, "sgd", 0.5, None, 3, {"momentum": 0.9})


def test_the_data_set_of_a_config_has_its_name_and_folder(monkeypatch):
  monkeypatch.setattr(config, "make_dataset", lambda name, data_dir: (name, data_dir))
  config.read([], ["train.dataset = 'a'", "train.data_dir = '/bound'"])
  assert config.dataset_of_run() == ("a", "/bound")
  assert config.dataset_of_run("/given") == ("a", "/given")


def test_a_data_set_is_given_a_folder_where_there_is_one(monkeypatch):
  monkeypatch.setattr(DATASETS, "create", lambda name, **arguments: (name, arguments))
  assert config.make_dataset("a", "/here") == ("a", {"data_dir": "/here"})
  assert config.make_dataset("a", None) == ("a", {})


def test_runs_are_told_apart_by_what_is_bound():
  config.read([], ["train.seed = 2", "train.data_dir = 'x'", "strategy.name = 'one'", "import features.color"])
  assert config.bindings_read() == {"train.seed = 2", "import features.color"}
  config.read([])
  assert config.bindings_read() == set()


@pytest.mark.parametrize("bindings", [[], ["import features.pose", "rotation.turn = 360.0"]])
def test_what_a_config_does_not_bind_is_that_of_the_run(bindings, monkeypatch):
  monkeypatch.setattr(api, "evaluate", lambda *arguments: arguments)
  config.read([], bindings)
  assert config.evaluate("r", "test", "best", "/data", ["a"]) == ("r", None, "test", "best", "/data", [], ["a"])


def test_a_config_gives_an_evaluation_its_data_set_and_its_measurements(monkeypatch):
  monkeypatch.setattr(api, "evaluate", lambda *arguments: arguments)
  monkeypatch.setattr(config, "make_dataset", lambda name, data_dir: (name, data_dir))
  monkeypatch.setattr(MEASUREMENTS, "create", lambda name: f"made {name}")
  config.read([], ["train.dataset = 'a'", "train.data_dir = '/bound'", "train.measurements = ('sharpness',)"])
  assert config.evaluate("r", "validation", "last") == (
    *("r", ("a", "/bound"), "validation", "last", "/bound", ["made sharpness"], ()),
  )


def test_the_feature_of_a_config_is_fitted_with_its_bindings(few_digits, monkeypatch):
  calls, asked = [], []
  monkeypatch.setattr(config, "dataset_of_run", lambda data_dir: asked.append(data_dir) or few_digits)
  monkeypatch.setattr(learned, "fit_feature", lambda *arguments: calls.append(arguments) or {"median_error": 1.0})
  config.read([], ["import features.pose", "train.feature = 'rotation'", "fit_feature.epochs = 3"])
  assert config.fit_feature("f", "/data") == {"median_error": 1.0}
  ((folder, dataset, part, *numbers),) = calls
  assert (folder, dataset, part.name, numbers[0], asked) == ("f", few_digits, "rotation", 3, ["/data"])


# --- Names of older versions ------------------------------------------------------------------------------------------


def test_a_syntax_error_in_a_file_is_placed(tmp_path):
  (tmp_path / "a.gin").write_text("train.epochs = 3\ntrain.seed =\n")
  with pytest.raises(ConfigError, match=r"gin: .*'train.seed =', line 2 of .*a\.gin\)"):
    config.read([str(tmp_path / "a.gin")])


def test_no_shipped_config_has_an_old_name():
  for file in config.shipped_configs():
    text = file.read_text(encoding="utf-8")
    text = "".join(line for line in text.splitlines(True) if "objective.lambda" not in line)
    assert moved.renamed(text) == text, file


def test_the_library_can_be_imported_after_a_config_was_read():
  config.read([])
  specification = importlib.util.spec_from_file_location("imported_late", benchmark.__file__)
  specification.loader.exec_module(importlib.util.module_from_spec(specification))


def test_a_syntax_error_is_placed():
  with pytest.raises(ConfigError, match=r"gin: .*'train.epochs =.*', line 1 of --gin_param\)"):
    config.read([], ["train.epochs ="])


def test_shipped_files_are_named_from_the_installation_on():
  names = [config.shipped_name(file) for file in config.shipped_configs()]
  assert "gin_configs/quickstart.gin" in names and "gin_configs/sweeps/digit_leakage.gin" in names


@pytest.mark.long
@pytest.mark.parametrize(
  ("name", "bars"),
  [
    (
      "color_mnist_digit",
      {
        "control/accuracy_mean": (0.99, 1),
        "control/accuracy_prior": (0.96, 1),
        "leakage/worst": (0, 0.3),
        "leakage/image": (0, 0.2),
        "complement/color_mae": (0, 0.06),
        "quality/psnr": (22, math.inf),
        "bound/ratio": (0.97, 1),
      },
    ),
    (
      "color_mnist_color",
      {
        "control/mae_mean": (0, 0.02),
        "leakage/worst": (-1, 0.05),
        "complement/digit_accuracy": (0.98, 1),
        "complement/ink_iou": (0.8, 1),
        "quality/psnr": (26, math.inf),
      },
    ),
  ],
)
def test_a_recipe_reaches_its_figures_on_the_whole_test_set(name, bars, tmp_path, mnist_dir):
  config.read([f"gin_configs/{name}.gin"], [f"train.data_dir = {str(mnist_dir)!r}"])
  config.train(str(tmp_path / "run"), measure=False)
  metrics = evaluate(loading.load(tmp_path / "run"), config.dataset_of_run())
  missed = {key: metrics[key] for key, (low, high) in bars.items() if not low <= metrics[key]["value"] <= high}
  assert not missed
