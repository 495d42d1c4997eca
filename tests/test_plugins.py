"""A run folder, which may come from anybody, runs no code of its own: an attack of each kind, on all that reads one."""

import importlib.metadata
import json
import pathlib
import pickle
import shutil
import sys

import numpy as np
import pytest

from tests.processes import in_fork
from tfdisent import config, demo, erasure, evaluation, flags, plugins, run, serving
from tfdisent.errors import ConfigError, FeatureError, TfdisentError
from tfdisent.evaluation import report
from tfdisent.examples import save_feature_examples
from tfdisent.loading import load
from tfdisent.registry import DATASETS
from tfdisent.serving import saved_model

EVIL = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"
EVIL_FEATURE = {"module": "evil_module", "name": "evil", "arguments": {}}
READERS = ("eval", "erase", "sample", "export", "bench", "demo")


@pytest.fixture
def evil(digit_run, tmp_path, monkeypatch):
  """A run folder with a module beside, which can be imported and leaves a trace where it is."""
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  save_feature_examples(folder, np.eye(10, dtype=np.float32)[:2])
  describe(folder, name="color_mnist", module="tfdisent.data.color_mnist", arguments={"source": "embedded"})
  (folder / "evil_module.py").write_text(EVIL)
  monkeypatch.syspath_prepend(folder)
  yield folder
  sys.modules.pop("evil_module", None)
  assert not (folder / "ran").exists()


@pytest.fixture
def use(evil, few_digits, tfdisent, monkeypatch):
  """Reads the folder as a mode does, without the work that comes after; returns the exit code and the words."""
  monkeypatch.setitem(DATASETS._entries, "color_mnist", lambda *arguments, **keywords: few_digits)
  monkeypatch.setattr(report, "write_report", lambda *arguments: None)
  figures = {"quality/psnr": {"value": 1.0}}
  monkeypatch.setattr(evaluation, "evaluate", lambda *arguments, **keywords: figures)
  nothing = erasure.Erasure(np.eye(4), np.zeros(4))
  monkeypatch.setattr(erasure, "leace", lambda z1, f: nothing)
  monkeypatch.setattr(serving, "export", lambda trained, folder, name, config: folder)
  monkeypatch.setattr(saved_model, "newest_version", lambda folder: folder)
  monkeypatch.setattr(config, "bench_export", lambda path, trained: {})
  monkeypatch.setattr(demo, "serve", lambda runs, host, port: None)

  def of_mode(mode, *arguments):
    code, _, err = tfdisent(f"--mode={mode}", f"--run_dir={evil}", *arguments)
    return code, err

  return of_mode


def describe(folder, **dataset):
  (folder / "run.json").write_text(json.dumps({"dataset": dataset}))


def edit_model(folder, **changes):
  file = folder / "model.json"
  file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_the_modes_that_read_a_run_are_all_tried_here():
  others = {"train", "fit_feature", "sweep", "compare"}  # they write one, or read its figures and texts alone
  assert set(READERS) == set(flags.MODES) - others


# --- config.gin -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", READERS)
def test_a_configuration_is_not_read_as_code_unless_the_user_names_it(use, evil, mode):
  (evil / "config.gin").write_text(
    "import evil_module\ninclude 'other.gin'\ntrain.dataset = 'tfds_images'\ntfds_images.name = 'evil:evil'\n"
    f"train.data_dir = '{evil}'\ntrain.seed = @evil_module.seed()\n"
  )
  assert use(mode) == (0, "")


def test_what_the_user_names_is_the_users_own_word(use, evil, few_digits, monkeypatch):
  """A run of before `run.json` is told to do so."""
  (evil / "run.json").unlink()
  (evil / "config.gin").write_text("import tfdisent.data.color_mnist\ntrain.dataset = 'color_mnist'\n")
  code, err = use("eval")
  assert code == 1 and f"pass --gin_file={evil / 'config.gin'}" in err
  code, err = use("eval", "--gin_param=color_mnist.seed = 1")
  assert code == 1 and f"pass --gin_file={evil / 'config.gin'} as well" in err
  monkeypatch.setattr(config, "make_dataset", lambda name, data_dir: few_digits)
  assert use("eval", f"--gin_file={evil / 'config.gin'}") == (0, "")


def test_a_configuration_without_a_data_set_leaves_that_of_the_run(use, evil, few_digits, monkeypatch):
  """So that a file that binds a measurement alone can be given."""
  seen = []
  monkeypatch.setattr(evaluation, "evaluate", lambda _, dataset, split, **keywords: seen.append(dataset) or {})
  (evil.parent / "mine.gin").write_text("import features.color\n")
  assert use("eval", f"--gin_file={evil.parent / 'mine.gin'}") == (0, "")
  assert seen == [few_digits]


def test_a_comparison_reads_a_configuration_as_text(evil, tfdisent):
  (evil / "config.gin").write_text("import evil_module\n")
  (evil / "metrics.json").write_text('{"leakage/worst": {"value": 1}, "quality/psnr": {"value": 1}}')
  code, out, _ = tfdisent("--mode=compare", f"--run_dirs={evil}")
  assert code == 0 and "| run | 1 |" in out


# --- model.json -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*READERS, "load"])
def test_a_model_that_names_another_module_is_refused_by_whatever_reads_it(use, evil, mode):
  edit_model(evil, feature=EVIL_FEATURE)
  if mode == "load":
    with pytest.raises(ConfigError) as error:
      load(evil)
    err = str(error.value)
  else:
    code, err = use(mode)
    assert code == 1
  assert "model.json imports the module 'evil_module'" in err and "--trust=evil_module" in err


@pytest.mark.parametrize(
  "feature",
  [
    {"module": "features.composite", "name": "composite", "arguments": {"parts": [EVIL_FEATURE]}},
    {"module": ["evil_module"], "name": "evil", "arguments": {}},
    {"module": "evil_module.features", "name": "evil", "arguments": {}},
    {"module": ".evil_module", "name": "evil", "arguments": {}},
    {"module": "", "name": "evil", "arguments": {}},
    {"module": "json", "name": "evil", "arguments": {}},  # imported already, and no plug-in
  ],
)
def test_a_model_that_hides_another_module_is_refused(evil, feature):
  edit_model(evil, feature=feature)
  with pytest.raises(ConfigError, match=r"imports the module .*--trust="):
    load(evil)


@pytest.mark.parametrize(
  "activation",
  [
    {"class_name": "exec", "config": EVIL},
    {"class_name": "Lambda", "config": {"function": EVIL}},
  ],
)
def test_a_model_with_an_activation_that_is_no_name_is_refused(evil, activation):
  edit_model(evil, G={"activation": activation})
  with pytest.raises(ConfigError, match="an activation is named by a text"):
    load(evil)


def test_a_module_is_checked_wherever_in_a_model_it_is_named(evil):
  for changes in (
    {"networks": {"E1": EVIL_FEATURE}},
    {"objective": {"losses": [{"name": "a", "of": [EVIL_FEATURE]}]}},
    {"G": {"activation": {"module": "builtins", "class_name": "exec", "config": EVIL}}},
  ):
    edit_model(evil, **changes)
    with pytest.raises(ConfigError, match=r"model\.json imports the module '(evil_module|builtins)'.*--trust="):
      load(evil)


# --- run.json ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", READERS)
def test_a_description_that_names_another_module_is_refused_or_not_read(use, evil, mode):
  describe(evil, name="evil", module="evil_module", arguments={})
  code, err = use(mode)
  if mode in ("eval", "erase"):  # they read the data
    assert code == 1 and "run.json imports the module 'evil_module'" in err and "--trust=evil_module" in err
  else:
    assert (code, err) == (0, "")


def test_a_measurement_that_names_another_module_is_refused(use, evil):
  description = json.loads((evil / "run.json").read_text())
  (evil / "run.json").write_text(json.dumps(description | {"measurements": [EVIL_FEATURE]}))
  code, err = use("eval")
  assert code == 1 and "run.json imports the module 'evil_module'" in err and "--trust=evil_module" in err


def test_data_inside_of_the_run_folder_is_refused(use, evil):
  describe(evil, name="tfds_images", module="tfdisent.data.tfds_images", arguments={"data_dir": str(evil)})
  code, err = use("eval")
  assert code == 1 and "is inside of the run folder" in err and "--data_dir" in err


@pytest.mark.parametrize("name", ["huggingface:evil", "evil_module:evil", "../run/evil", "evil/../../run", "/evil"])
@pytest.mark.parametrize("argument", ["tfds_images.name", "color_mnist.source"])
def test_names_that_lead_elsewhere_are_refused(evil, argument, name):
  dataset, argument = argument.split(".")
  describe(evil, name=dataset, module=f"tfdisent.data.{dataset}", arguments={argument: name})
  with pytest.raises(TfdisentError) as error:
    run.read_dataset(evil)
  assert name in str(error.value) and "could not be prepared" not in str(error.value)


@pytest.fixture
def evil_data(tmp_path):
  """The folder of a TFDS set whose features name the module."""
  folder = tmp_path / "data" / "evil" / "1.0.0"
  folder.mkdir(parents=True)
  (folder / "dataset_info.json").write_text(json.dumps({"name": "evil", "version": "1.0.0", "fileFormat": "tfrecord"}))
  tensor = {"shape": {}, "dtype": "int64", "encoding": "none"}
  (folder / "features.json").write_text(json.dumps({"pythonClassName": "evil_module.Evil", "tensor": tensor}))
  return tmp_path / "data"


def test_features_of_tfds_that_name_another_module_are_refused(use, evil, evil_data):
  describe(
    evil,
    name="tfds_images",
    module="tfdisent.data.tfds_images",
    arguments={"name": "evil", "data_dir": str(evil_data)},
  )
  code, err = use("eval")
  assert code == 1 and "'evil_module.Evil'" in err and "outside of TensorFlow Datasets" in err


# --- Whatever else ----------------------------------------------------------------------------------------------------


def test_weights_and_examples_that_are_pickles_are_not_unpickled(evil, digit_run):
  class Evil:
    def __reduce__(self):
      return (open, (str(evil / "ran"), "w"))

  for file in evil.glob("checkpoints/*/*"):
    file.write_bytes(pickle.dumps(Evil()))
  with pytest.raises(TfdisentError, match=r"can be read|damaged"):
    load(evil)
  (evil / run.FEATURE_FILE).write_bytes(pickle.dumps(Evil()))
  (evil / run.FEATURE_WEIGHTS_FILE).write_bytes(pickle.dumps(Evil()))
  from features.pose import Rotation

  with pytest.raises(FeatureError, match="holds no fitted feature"):
    Rotation(fitted=str(evil)).build((28, 28, 3))


def test_what_a_run_brings_is_trusted_when_told_so_or_installed_as_a_plugin(monkeypatch):
  with pytest.raises(ConfigError, match=r"^x imports the module 'their_package.stroke', .*--trust=their_package \("):
    plugins.check_import("their_package.stroke", "x")
  plugins.check_import("their_package.stroke", "x", ["their_package"])
  monkeypatch.setitem(sys.modules, "their_package.stroke", sys)  # imported, for another purpose
  with pytest.raises(ConfigError):
    plugins.check_import("their_package.stroke", "x", ["their_package.stroke", "their"])
  entry = importlib.metadata.EntryPoint("theirs", "their_package.stroke:Stroke", plugins.GROUP)
  monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [entry] if group == plugins.GROUP else [])
  plugins.check_import("their_package.stroke", "x")
  plugins.check_import("their_package", "x")


def test_a_module_that_has_registered_a_plugin_may_be_imported():
  with DATASETS.temporary():
    stroke = type("Stroke", (), {"__module__": "their_package.stroke"})
    DATASETS._entries["stroke"] = stroke
    plugins.check_import("their_package.stroke", "x")
    with pytest.raises(ConfigError):
      plugins.check_import("their_package.other", "x")


def test_our_own_modules_may_be_imported():
  for module in ("tfdisent.data.color_mnist", "features.color", "tfdisent"):
    plugins.check_import(module, "x")


def test_what_another_process_would_ask_about_is_known_beforehand():
  modules = ["features.color", "their_package.stroke", "tfdisent.data", "their_package", "a.b"]
  assert plugins.to_be_trusted(modules) == ["a", "their_package"]


def test_a_folder_of_ours_needs_no_trust(digit_run):
  """Of a process that has not imported the feature yet."""
  code = f"import tfdisent\nprint(tfdisent.load({str(digit_run.folder)!r}).feature.name)"
  assert in_fork(code).split()[-1] == "digit_label"
  assert np.isfinite(load(digit_run.folder).model.G.get_weights()[0]).all()


def test_a_payload_would_be_seen(evil, monkeypatch):
  """The module does run where it is trusted: the tests above would notice."""
  edit_model(evil, feature=EVIL_FEATURE)
  with pytest.raises(TfdisentError, match="unknown feature 'evil'"):
    load(evil, trust=["evil_module"])
  trace = pathlib.Path(evil, "ran")
  assert trace.exists()
  trace.unlink()
