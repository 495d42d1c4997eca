"""Every shipped gin file reads, builds, and takes two steps."""

import dataclasses
import functools
import math

import gin
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from tfdisent import config
from tfdisent.dataset import training_batches
from tfdisent.errors import ConfigError
from tfdisent.evaluation import evaluate
from tfdisent.feature import feature_values


@pytest.fixture(autouse=True)
def clean_gin():
  yield
  gin.clear_config()


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


@pytest.mark.parametrize("file", config.shipped_configs(), ids=lambda file: file.name)
def test_a_shipped_config_takes_two_steps(file, dataset_of):
  config.read([str(file)])
  if file.parent.name == "sweeps":  # the first of its runs
    settings = next(iter(config.sweep().values()))
    config.read([str(file), *([settings["gin_file"]] if "gin_file" in settings else [])])
  dataset, feature = dataset_of(), config.make_feature(gin.query_parameter("train.feature"))
  feature.build(dataset.image_shape)
  batches = training_batches(dataset.train, feature_values(feature, dataset.train), batch_size=16, seed=0)
  model = config.model(dataset.image_shape, feature, seed=0)
  model.compile(config.optimizer(2), config.optimizer_d(2))
  step = tf.function(model.update)
  for batch in batches.take(2):
    terms = step(batch)
  assert all(np.isfinite(value) for value in terms.values())


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
  metrics = evaluate(*config.train(str(tmp_path / "run")))
  missed = {key: metrics[key] for key, (low, high) in bars.items() if not low <= metrics[key]["value"] <= high}
  assert not missed
