"""From a folder of images to a configuration, and the one command that trains it."""

import csv
import re

import numpy as np
import PIL.Image
import pytest

from tests.conftest import assert_same_arrays
from tfdisent import data, load, plan, run, train
from tfdisent.errors import ConfigError, DataError
from tfdisent.evaluation import judges
from tfdisent.feature.contract import Feature
from tfdisent.presets import PRESETS, Preset, preset

TINY = (
  "--gin_param=model.z1_width = 4",
  "--gin_param=model.E1 = {'conv': (4,), 'dense': (8,)}",
  "--gin_param=model.G = {'conv': (4,), 'dense': (8,)}",
  "--gin_param=train.batch_size = 16",
  "--epochs=1",
)


def draw(random_state, brightness):
  image = random_state.integers(40, size=(16, 16, 3)) + np.uint8(brightness)
  return PIL.Image.fromarray(image.astype(np.uint8))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  """Images in a folder for each of three classes, which are dark, grey and bright."""
  root, random_state = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
  for name, brightness in (("dark", 0), ("grey", 100), ("white", 200)):
    (root / name).mkdir()
    for i in range(30):
      draw(random_state, brightness).save(root / name / f"{i}.png")
  return root


@pytest.fixture(scope="module")
def table(tmp_path_factory):
  """A table beside images: two words, a number, a colour in three columns, and the split."""
  root, random_state = tmp_path_factory.mktemp("people"), np.random.default_rng(0)
  with (root / "table.csv").open("w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(("file", "split", "smile", "age", "hair_r", "hair_g", "hair_b", "size"))
    for i in range(90):
      age = int(random_state.integers(5, 95))
      draw(random_state, age * 2).save(root / f"{i}.png")
      split = ("val", "test", "train", "train", "train")[i % 5]
      rows.writerow((f"{i}.png", split, "yes" if i % 3 else "no", age, *random_state.random(3).round(3), i % 4))
  return root


@pytest.fixture
def few_steps(monkeypatch):
  """Judges and learned features that are hardly trained."""
  monkeypatch.setattr(judges, "EPOCH_IMAGES", 100)


def test_a_folder_of_classes_is_described(tfdisent, folder):
  code, out, err = tfdisent(f"--data_dir={folder}", "--describe")
  assert code == 0, err
  assert "90 images of 16x16 pixels, in colour" in out and "label   category  dark, grey, white" in out
  assert "fewer than 500" in out and "'small'" in out and re.search(r"about \d+\.\d minutes on this machine", out)
  assert "train.feature = 'label'" in out and "folder.size = 16" in out


def test_the_one_command_trains_and_says_what_came_out(tfdisent, folder, tmp_path, few_steps):
  command = (f"--data_dir={folder}", f"--run_dir={tmp_path / 'run'}", *TINY)
  code, out, err = tfdisent(*command)
  assert code == 0, err
  assert "To be controlled: label." in out and (tmp_path / "run" / "fusion.png").is_file()
  text = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
  assert "an independent classifier sees it in" in text and "on real images" in text
  trained = load(tmp_path / "run")
  assert trained.class_names["label"] == ["dark", "grey", "white"]

  # The lines of Python give the same weights.
  of_model = {"z1_width": 4, **{symbol: {"conv": (4,), "dense": (8,)} for symbol in ("E1", "G")}}
  train(
    data.from_folder(folder),
    "label",
    tmp_path / "python",
    model=of_model,
    batch_size=16,
    epochs=1,
    evaluate_every=0,
    measure=False,
  )
  assert_same_arrays(tmp_path / "run", tmp_path / "python")

  # Its configuration is whole, says why, and is a gin file that goes on with the very run.
  config = (tmp_path / "run" / "config.gin").read_text(encoding="utf-8")
  assert "# The nearest of the usual sizes" in config and "# About 300,000" not in config  # --epochs=1
  assert "model.z1_width = 4" in config and "folder.seed = 0" in config
  code, out, err = tfdisent(f"--gin_file={tmp_path / 'run' / 'config.gin'}", f"--run_dir={tmp_path / 'run'}")
  assert code == 0 and "after epoch 1 of 1" in out, err
  code, out, err = tfdisent(*command)
  assert code == 0 and "after epoch 1 of 1" in out, err


def test_columns_of_a_table_are_features_of_their_kinds(tfdisent, table, tmp_path, few_steps):
  code, _, err = tfdisent(
    f"--data_dir={table}",
    f"--run_dir={tmp_path / 'run'}",
    "--feature=smile,age,hair,size:category",
    *TINY,
    "--gin_param=fit_feature.epochs = 1",
    "--gin_param=composite.weights = (1.0, 5.0, 60.0, 1.0)",
  )
  assert code == 0, err
  feature = load(tmp_path / "run").feature
  assert feature.part_names == ("smile", "age", "hair", "size")
  assert [part.name for part in feature.parts] == ["attribute", "number", "rgb", "category"]
  assert dict(zip(feature.part_names, feature.weights)) == {"smile": 1.0, "age": 5.0, "hair": 60.0, "size": 1.0}
  text = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
  for name in ("smile", "age", "hair", "size"):
    assert f"Asked for another {name}, " in text


def test_a_user_overrules_what_was_chosen(tfdisent, folder):
  code, out, _ = tfdisent(f"--data_dir={folder}", "--describe", "--preset=paper", "--gin_param=folder.size = 8")
  assert code == 0 and "8x8 pixels" in out and "'paper'" in out and "objective.lambda4 = 50.0" in out


def test_what_shall_be_controlled_must_be_known(tfdisent, table, folder):
  code, _, err = tfdisent(f"--data_dir={table}", "--describe")
  assert code == 1 and "--feature=smile: smile, age, hair" in err
  code, _, err = tfdisent(f"--data_dir={table}", "--describe", "--feature=smiles")
  assert code == 1 and "no column 'smiles'" in err and "smile" in err
  code, _, err = tfdisent(f"--data_dir={table}", "--describe", "--feature=age:years")
  assert code == 1 and "'years'" in err
  code, _, err = tfdisent(f"--data_dir={folder}", "--describe", "--preset=huge")
  assert code == 1 and "'huge'" in err and "'small'" in err
  code, _, err = tfdisent("--data_dir=/nowhere", "--describe")
  assert code == 1 and "there is no folder /nowhere" in err


def test_a_preset_is_not_for_a_gin_file(tfdisent):
  code, _, err = tfdisent("--gin_file=gin_configs/quickstart.gin", "--preset=small", "--describe")
  assert code == 1 and "--preset" in err


def test_a_gin_file_is_described_too(tfdisent, folder, tmp_path):
  (tmp_path / "own.gin").write_text("import tfdisent.data.sources\ntrain.dataset = 'folder'\n")
  code, out, err = tfdisent(f"--gin_file={tmp_path / 'own.gin'}", f"--data_dir={folder}", "--describe")
  assert code == 0 and "90 images of 16x16 pixels" in out, err


def test_a_folder_that_is_none_is_refused():
  with pytest.raises(DataError, match="there is no folder"):
    plan.source("/nowhere")
  with pytest.raises(ConfigError, match="a full turn"):
    plan.source("/", ("azimuth:angle",))


def test_judged_columns_are_those_asked_for_and_others_that_tell_nothing_of_them(table):
  dataset = data.from_table(table)
  made = plan.make(dataset, "table", ("age",))
  assert "table.judged = ('age', 'smile', 'hair', 'size')" in made.bindings
  copied = data.from_arrays(
    dataset.train["image"], {"age": dataset.train["age"], "again": 2 * dataset.train["age"] + 1}
  )
  assert plan._kept(copied, ("age",)) == []


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_makes_a_model(name, few_digits):
  from tfdisent import DisentangledVAE, Objective
  from tfdisent.feature.choose import choose

  feature = choose("label:category", few_digits).of_dataset(few_digits)
  recipe = preset(name, few_digits, feature)
  DisentangledVAE(few_digits.image_shape, feature, Objective(**recipe.objective), **recipe.model)
  assert recipe.training["epochs"] == 300  # of 64 images


def test_a_configuration_is_annotated_above_its_bindings():
  text = plan.annotated("train.epochs = 3\ntrain.seed = 0", "A title.\nMore of it.", {"train.epochs": "so many"})
  assert text == "# A title.\n# More of it.\n# So many.\ntrain.epochs = 3\ntrain.seed = 0\n"
  assert run.bindings(text) == {"train.epochs = 3", "train.seed = 0"}


class Brightness(Feature):
  name = "brightness"


def test_a_feature_without_a_column_is_called_by_its_name(few_digits):
  assert "To be controlled: brightness." in str(
    plan.Plan(few_digits, Brightness(), Preset("small", "small images"), (), {})
  )
