"""A run folder, which may come from anybody, runs no code of its own."""

import importlib.metadata
import json
import pickle
import shutil
import sys

import numpy as np
import pytest

from tests.conftest import in_new_process
from tfdisent import config, learned, plugins
from tfdisent.errors import ConfigError, FeatureError, TfdisentError
from tfdisent.inference import load

EVIL = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


@pytest.fixture
def evil(digit_run, tmp_path, monkeypatch):
  """A run folder with a module beside, which can be imported and leaves a trace where it is."""
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  (folder / "evil_module.py").write_text(EVIL)
  monkeypatch.syspath_prepend(folder)
  yield folder
  assert not (folder / "ran").exists()


def edit_model(folder, **changes):
  file = folder / "model.json"
  file.write_text(json.dumps(json.loads(file.read_text()) | changes))


EVIL_FEATURE = {"module": "evil_module", "name": "evil", "arguments": {}}


@pytest.mark.parametrize(
  "feature",
  [
    EVIL_FEATURE,
    {"module": "features.composite", "name": "composite", "arguments": {"parts": [EVIL_FEATURE]}},
    {"module": ["evil_module"], "name": "evil", "arguments": {}},
  ],
)
def test_a_model_that_names_another_module_is_refused(evil, feature):
  edit_model(evil, feature=feature)
  with pytest.raises(ConfigError, match=r"imports the module .*evil_module.*--trust="):
    load(evil)


@pytest.mark.parametrize(
  "activation",
  [
    {"module": "builtins", "class_name": "exec", "config": EVIL},
    {"class_name": "Lambda", "config": {"function": EVIL}},
  ],
)
def test_a_model_with_an_activation_that_is_no_name_is_refused(evil, activation):
  edit_model(evil, G={"activation": activation})
  with pytest.raises(ConfigError, match="an activation is named by a text"):
    load(evil)


@pytest.mark.parametrize(
  "text,message",
  [
    ("import evil_module", "imports the module 'evil_module'"),
    ("train.epochs = 3\nfrom evil_module import something", "imports the module 'evil_module.something'"),
    ("import evil_module as features", "imports the module 'evil_module'"),
    (
      "from __gin__ import dynamic_registration\nimport os\ntrain.seed = @os.getpid()",
      "'__gin__.dynamic_registration'",
    ),
    ("include 'other.gin'", "includes other.gin"),
    ("train.epochs = ", "cannot be read"),
    ("\0", "cannot be read"),
  ],
)
def test_a_config_that_imports_another_module_is_refused(evil, text, message):
  (evil / "config.gin").write_text(text)
  with pytest.raises(ConfigError, match=message):
    config.read_run(evil, [], [])


def test_weights_and_examples_that_are_pickles_are_not_unpickled(evil, digit_run):
  class Evil:
    def __reduce__(self):
      return (open, (str(evil / "ran"), "w"))

  for file in evil.glob("checkpoints/*/*"):
    file.write_bytes(pickle.dumps(Evil()))
  with pytest.raises(TfdisentError, match=r"can be read|damaged"):
    load(evil)
  (evil / learned.FEATURE_FILE).write_bytes(pickle.dumps(Evil()))
  (evil / learned.WEIGHTS_FILE).write_bytes(pickle.dumps(Evil()))
  from features.pose import Rotation

  with pytest.raises(FeatureError, match="holds no fitted feature"):
    Rotation(fitted=str(evil)).build((28, 28, 3))


def test_what_a_run_brings_is_trusted_when_told_so_or_installed_as_a_plugin(monkeypatch):
  with pytest.raises(ConfigError, match="--trust=their_package"):
    plugins.check_import("their_package.stroke", "x")
  plugins.check_import("their_package.stroke", "x", ["their_package"])
  monkeypatch.setitem(sys.modules, "their_package.stroke", sys)  # imported by the user
  plugins.check_import("their_package.stroke", "x")
  monkeypatch.delitem(sys.modules, "their_package.stroke")
  entry = importlib.metadata.EntryPoint("theirs", "their_package.stroke", plugins.GROUP)
  monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry] if group == plugins.GROUP else [])
  plugins.check_import("their_package.stroke", "x")


def test_what_another_process_would_ask_about_is_known_beforehand(tmp_path):
  (tmp_path / "config.gin").write_text("import features.color\nimport their_package.stroke\nimport tfdisent.datasets\n")
  assert plugins.to_be_trusted(tmp_path / "config.gin") == ["their_package"]


def test_a_folder_of_ours_needs_no_trust(digit_run):
  """Of a process that has not imported the feature yet."""
  code = f"import tfdisent\nprint(tfdisent.load({str(digit_run.folder)!r}).feature.name)"
  assert in_new_process(code).split()[-1] == "digit_label"
  assert np.isfinite(load(digit_run.folder).model.G.get_weights()[0]).all()
