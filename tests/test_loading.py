"""A trained model from its run folder, and what is said of a folder that has none."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.processes import in_fork
from tfdisent import loading
from tfdisent.errors import CheckpointError, FeatureError, RunError
from tfdisent.loading import load


def test_a_loaded_model_is_the_trained_one_to_the_bit(digit_run, few_digits):
  loaded, trained = load(digit_run.folder), digit_run.trained
  x, label = few_digits.test["image"], few_digits.test["label"]
  assert (loaded.feature, loaded.image_shape) == (trained.feature, trained.image_shape)
  for a, b in zip(loaded.encode(x), trained.encode(x)):
    np.testing.assert_array_equal(a, b)
  floats = x / np.float32(255)
  np.testing.assert_array_equal(loaded.fuse(floats, floats[::-1]), trained.fuse(floats, floats[::-1]))
  np.testing.assert_array_equal(loaded.control(floats, label), trained.control(floats, label))


@pytest.mark.parametrize("fast", [True, False])
def test_without_instructions_for_bfloat16_it_computes_in_float32(digit_run, few_digits, tmp_path, monkeypatch, fast):
  folder = shutil.copytree(digit_run.folder, tmp_path / "half")
  description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
  assert description["precision"] == "float32"
  (folder / "model.json").write_text(json.dumps({**description, "precision": "mixed_bfloat16"}), encoding="utf-8")
  monkeypatch.setattr(loading, "has_bfloat16", lambda: fast)
  loaded, x = load(folder), few_digits.test["image"]
  assert loaded.model.precision == ("mixed_bfloat16" if fast else "float32")
  same = [np.array_equal(a, b) for a, b in zip(loaded.encode(x), digit_run.trained.encode(x))]
  assert same[0] != fast
  for a, b in zip(loaded.model.G.get_weights(), digit_run.trained.model.G.get_weights()):
    np.testing.assert_array_equal(a, b)


def test_the_last_weights_can_be_had_as_well(digit_run):
  reader = tf.train.load_checkpoint(str(digit_run.folder / "checkpoints/last/epoch-3"))
  bias = load(str(digit_run.folder), "last").model.G.get_weights()[-1]
  np.testing.assert_array_equal(bias, reader.get_tensor("G/G.Soutput.Sbias/.ATTRIBUTES/VARIABLE_VALUE"))
  assert load(str(digit_run.folder), "last").checkpoint == ("last", 3, 0)
  assert load(digit_run.folder).checkpoint == digit_run.trained.checkpoint
  kind, epoch, step = digit_run.trained.checkpoint
  assert (kind, step) == ("best", 0) and (digit_run.folder / f"checkpoints/best/epoch-{epoch}.index").is_file()
  with pytest.raises(CheckpointError, match="'newest'"):
    load(digit_run.folder, "newest")


def test_a_run_folder_is_enough_anywhere_and_its_plugin_is_imported(digit_run, few_digits, tmp_path):
  folder = shutil.copytree(digit_run.folder, tmp_path / "moved")
  x, label = few_digits.test["image"], few_digits.test["label"]
  np.savez(tmp_path / "in.npz", x=x, label=label)
  printed = in_fork(f"""
import sys
import numpy as np
import tfdisent
print("features.digit_label" in sys.modules)
trained = tfdisent.load({str(folder)!r})
names = ("features.digit_label", "features.color", "tfdisent.data.color_mnist")
print(*(name in sys.modules for name in names))
given = np.load({str(tmp_path / "in.npz")!r})
np.save({str(tmp_path / "out.npy")!r}, trained.control(given["x"], given["label"]))
""")
  assert printed.splitlines() == ["False", "True False False"]
  difference = np.load(tmp_path / "out.npy").astype(int) - digit_run.trained.control(x, label)
  assert np.abs(difference).max() <= 1


@pytest.mark.parametrize("which", ["no folder", "no model.json"])
def test_a_folder_without_a_model_is_refused(tmp_path, which):
  folder = tmp_path if which == "no model.json" else tmp_path / "none"
  with pytest.raises(RunError, match=r"holds no trained model: there is no model\.json") as error:
    load(folder)
  assert str(folder) in str(error.value)


def test_a_run_without_a_checkpoint_is_refused(digit_run, tmp_path):
  shutil.copy(digit_run.folder / "model.json", tmp_path)
  with pytest.raises(CheckpointError, match="no checkpoint under checkpoints/best"):
    load(tmp_path)


@pytest.mark.parametrize(
  "damage",
  [
    lambda text: b"",
    lambda text: text[: len(text) // 2],
    lambda text: text.replace(b"image_shape", b"image_shap\xe5"),
    lambda text: text.replace(b"image_shape", b"image_shapf"),
    lambda text: text.replace(b'"feature"', b'"feauure"'),
    lambda text: text.replace(b'"lambda3"', b'"lambda9"'),
    lambda text: b"null",
  ],
  ids=["empty", "cut", "not UTF-8", "unknown argument", "no feature", "unknown weight", "null"],
)
def test_a_damaged_description_of_the_model_is_refused(digit_run, tmp_path, damage):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  file = folder / "model.json"
  damaged = damage(file.read_bytes())
  assert damaged != file.read_bytes()
  file.write_bytes(damaged)
  with pytest.raises(RunError, match=r"model\.json is damaged"):
    load(folder)


def test_a_plugin_that_is_not_installed_is_named(digit_run, tmp_path):
  config = json.loads((digit_run.folder / "model.json").read_text())
  config["feature"] = {"module": "my_package.smile", "name": "smile", "arguments": {}}
  (tmp_path / "model.json").write_text(json.dumps(config))
  with pytest.raises(FeatureError, match=r"'smile' of the module 'my_package\.smile'.*Install"):
    load(tmp_path, trust=["my_package"])
