import json
import pathlib

import numpy as np
import pytest

import tfdisent as package
from tfdisent import shipped
from tfdisent.errors import RunError
from tfdisent.examples import load_examples, save_feature_examples

LARGEST = 2 * 2**20  # bytes of one model
ALL = 6 * 2**20


@pytest.fixture
def one_model(digit_run, tmp_path, monkeypatch):
  """A folder of models that holds one, `digits`."""
  folder = package.export(digit_run.folder, "compact", tmp_path / "models", "digits")
  (folder / "README.md").write_text("# digits\n\nMade of\ntwo lines.\n\nMore.")
  save_feature_examples(folder, np.eye(10, dtype=np.float32)[:3])  # of a training that was not cut short
  figures = {"provenance": {"split": "validation"}, "metrics": {"control": {"value": 0.5, "low": 0.4}}}
  (folder / "metrics_validation.json").write_text(json.dumps(figures))
  monkeypatch.setattr(shipped, "FOLDER", tmp_path / "models")
  (tmp_path / "here").mkdir()
  monkeypatch.chdir(tmp_path / "here")
  return folder


def test_a_model_is_loaded_by_its_name(one_model, few_digits):
  model = package.load("digits")
  assert model.run_dir == one_model
  x = few_digits.validation["image"]
  assert model.control(x, 3).shape == x.shape
  assert not list(pathlib.Path().iterdir())


def test_models_tell_what_they_are(one_model):
  assert package.models() == {
    "digits": {
      "about": "Made of two lines.",
      "image_shape": (28, 28, 3),
      "figures": {"validation": {"control": 0.5}},
    }
  }


def test_what_writes_works_on_a_copy(one_model, tfdisent):
  before = sorted(one_model.rglob("*"))
  code, out, err = tfdisent("--mode=sample", "--run_dir=digits")
  assert code == 0, err
  assert "was copied into" in out and pathlib.Path("digits/samples.png").is_file()
  assert sorted(one_model.rglob("*")) == before
  code, out, _ = tfdisent("--mode=sample", "--run_dir=digits")  # the copy is a run folder like any other
  assert code == 0 and "was copied" not in out


def test_a_folder_here_goes_before_a_model_of_that_name(one_model):
  pathlib.Path("digits").mkdir()
  with pytest.raises(RunError, match="digits holds no trained model"):
    package.load("digits")


def test_a_name_that_is_no_model_lists_those_that_are(one_model, tfdisent):
  code, _, err = tfdisent("--mode=sample", "--run_dir=digit")
  assert code == 1 and "there is no run folder digit. Models of the package: digits." in err


def test_the_models_of_the_package_are_small_and_say_of_what_they_are_made():
  sizes = {name: sum(file.stat().st_size for file in (shipped.FOLDER / name).iterdir()) for name in shipped.names()}
  assert all(size <= LARGEST for size in sizes.values()) and sum(sizes.values()) <= ALL, sizes
  for name, model in package.models().items():
    text = (shipped.FOLDER / name / "README.md").read_text()
    assert model["figures"] and "--gin_file=gin_configs/" in text and "licen" in text.lower(), name


@pytest.mark.parametrize("name", shipped.names())
def test_a_model_of_the_package_fuses_its_examples(name):
  model = package.load(name)
  x = load_examples(model.run_dir, model.image_shape)
  assert len(x) == 8
  again = model.reconstruct(x).astype(int)
  assert np.abs(again - x).mean() < 20
