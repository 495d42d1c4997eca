"""The functions of Python: each on a tiny run, without a configuration."""

import dataclasses
import gc
import json
import shutil
import tempfile
import types

import keras
import numpy as np
import pytest

import tfdisent
from features.composite import Composite
from features.digit_label import DigitLabel
from features.pose import Pose, Rotation
from tests.conftest import TINY, assert_same_arrays, train_tiny
from tfdisent import api, config, evaluation, run, serving
from tfdisent.api import training
from tfdisent.errors import ConfigError, DataError, FeatureError, Interrupted, RegistryError, RunError
from tfdisent.evaluation import Measurement, report
from tfdisent.examples import load_feature_examples, save_feature_examples
from tfdisent.feature import learned
from tfdisent.registry import MEASUREMENTS

PLAIN = {"lambda3": 0.0, "lambda4": 0.0}  # a VAE with nothing but E1 and G: quick to build
BRIEF = {"objective": PLAIN, "epochs": 1, "evaluate_every": 0}
FIGURES = {"quality/psnr": {"value": 9.0, "low": 8.0, "high": 10.0}, "control/accuracy_mean": {"value": 0.5}}


@pytest.fixture(scope="module")
def trained_run(few_digits, tmp_path_factory):
  """One epoch, neither drawn nor measured."""
  folder = tmp_path_factory.mktemp("runs") / "plain"
  train_tiny(folder, few_digits, **BRIEF)
  return folder


@pytest.fixture
def folder(trained_run, tmp_path):
  return shutil.copytree(trained_run, tmp_path / "run")


@pytest.fixture
def measured(monkeypatch):
  """What is measured, in place of measuring it."""
  calls = []

  def evaluate(trained, dataset, split, **keywords):
    calls.append(types.SimpleNamespace(dataset=dataset, split=split, checkpoint=trained.checkpoint, **keywords))
    return FIGURES

  monkeypatch.setattr(evaluation, "evaluate", evaluate)
  return calls


def test_they_are_the_functions_of_the_package():
  for name in ("train", "load", "fit_feature", "evaluate", "export"):
    assert getattr(tfdisent, name) is getattr(api, name)


# --- Training ---------------------------------------------------------------------------------------------------------


def test_plain_arguments_and_the_command_line_give_the_same_weights(few_digits, no_graphs, tmp_path, monkeypatch):
  """The configuration that the run folder of the one keeps is the gin file of the other."""
  given = {
    **{"preset": "paper", "objective": {**PLAIN, "lambda1": 0.5}, "networks": "plain", "model": TINY, "seed": 3},
    **{"learning_rate": 5e-3, "optimizer": {"decay": None}, "optimizer_d": "sgd", "epochs": 1, "batch_size": 32},
    **{"strategy": "one", "measurements": ()},
  }
  tfdisent.train(few_digits, "label", tmp_path / "python", **given, evaluate_every=0, measure=False)
  monkeypatch.setattr(config, "make_dataset", lambda name, data_dir: few_digits)
  config.read(
    [tmp_path / "python" / "config.gin"], ["train.dataset = 'color_mnist'", "import tfdisent.data.color_mnist"]
  )
  config.train(str(tmp_path / "gin"), measure=False)
  config.read([])
  assert_same_arrays(tmp_path / "python", tmp_path / "gin")
  description = {"dataset": None, "measurements": [], "epochs": 1}
  assert description.items() <= json.loads((tmp_path / "python" / "run.json").read_text()).items()
  lines = run.bindings((tmp_path / "python" / "config.gin").read_text())
  assert lines < run.bindings((tmp_path / "gin" / "config.gin").read_text())
  assert {"objective.lambda1 = 0.5", "objective.stddev = 0.2", "model.z1_width = 4", "train.feature = 'label'"} <= lines
  with pytest.raises(RunError, match=r"another configuration(.|\n)*\+ objective.lambda1 = 2.0"):
    tfdisent.train(few_digits, "label", tmp_path / "python", **{**given, "objective": {**PLAIN, "lambda1": 2.0}})


def test_callbacks_of_keras_find_the_loss_and_may_stop_a_training(folder, few_digits, tmp_path):
  stop = keras.callbacks.EarlyStopping(patience=1, min_delta=1e9)
  log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
  train_tiny(folder, few_digits, **{**BRIEF, "epochs": 9}, callbacks=[stop, log])
  header, *rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
  assert {"L", "loss", "val_loss", "reconstruction"} <= set(header)
  assert [row[header.index("epoch")] for row in rows] == ["1", "2"]  # the folder has the first epoch, number 0
  assert all(row[header.index("val_loss")] == row[header.index("val_L")] for row in rows)
  assert tfdisent.load(folder, "last").checkpoint.epoch == 3


def test_a_training_draws_and_measures_validation_images_and_says_so(folder, few_digits, measured):
  lines = []
  arguments = {**BRIEF, "measure": True, "progress": lines.append}
  trained = train_tiny(folder, few_digits, **arguments)
  assert trained.checkpoint.kind == "best" and trained.control(few_digits.test["image"][:2], [3, 4]).any()
  for name in ("fusion.png", "reconstruction.png", "traversal.png"):
    assert (folder / name).stat().st_size > 0
  (call,) = measured
  assert (call.dataset, call.split, call.quick) == (few_digits, "validation", True)
  metrics, provenance = run.read_metrics(folder, "validation")
  assert metrics == FIGURES and (provenance["split"], provenance["checkpoint"]) == ("validation", "best")
  assert not run.reads_of_test(folder) and load_feature_examples(folder).shape[1] == 10
  assert lines[0].startswith("Trained in 0.") and lines[1:4] == [
    "On the validation split:",
    "  control/accuracy_mean            0.5000",
    "  quality/psnr                     9.0000  [8.0000, 10.0000]",
  ]
  for words in (f"The run is in {folder}:", str(folder / "fusion.png"), f"--mode=eval --run_dir={folder}\n"):
    assert words in lines[4]
  train_tiny(folder, few_digits, **arguments)
  assert len(measured) == 1  # the figures of these weights are there


def test_a_run_without_a_folder_has_one_for_as_long_as_its_model(few_digits, no_graphs, tmp_path, monkeypatch):
  lines = []
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  trained = train_tiny(None, few_digits, **BRIEF, progress=lines.append)
  (folder,) = tmp_path.iterdir()
  assert trained.run_dir == folder and (folder / "model.json").is_file() and str(folder) in lines[0]
  assert tfdisent.load(folder).control(few_digits.test["image"][:2], [3, 4]).any()
  del trained
  gc.collect()
  assert not folder.exists()


@pytest.mark.parametrize("error", [ConfigError, Interrupted, KeyboardInterrupt])
def test_the_folder_stays_where_the_training_was_stopped(error, few_digits, tmp_path, monkeypatch):
  def fail(run_dir, *arguments, **keywords):
    raise error("why.")

  monkeypatch.setattr(training, "train_model", fail)
  monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
  with pytest.raises(error, match=r"^why\.") as caught:
    train_tiny(None, few_digits)
  folders = list(map(str, tmp_path.iterdir()))
  assert len(folders) == (error is not ConfigError)
  if error is Interrupted:
    assert str(caught.value) == f"why. Its run_dir is {folders[0]!r}."
    assert caught.value._render_traceback_() == [f"Interrupted: {caught.value}"]  # what a notebook shows


def test_a_worker_that_is_not_the_chief_leaves_the_rest_to_it(folder, few_digits, measured, monkeypatch):
  monkeypatch.setattr(training, "Worker", lambda strategy: types.SimpleNamespace(is_chief=False))
  lines = []
  train_tiny(folder, few_digits, **BRIEF, measure=True, progress=lines.append)
  assert lines == ["Trained. Worker 0 has written the run."] and not measured
  assert not (folder / "reconstruction.png").exists()


def test_a_run_keeps_the_measurements_that_it_is_to_have(folder, few_digits, measured):
  with MEASUREMENTS.temporary():
    MEASUREMENTS.register("of_test_api")(OfThisTest)
    MEASUREMENTS.register("slow_of_test_api")(Slow)
    names = ["of_test_api", "slow_of_test_api"]
    train_tiny(folder, few_digits, **BRIEF, measurements=names, measure=True)
    described = [{"name": name, "module": __name__, "arguments": {"scale": 1.0}} for name in names]
    assert run.read_description(folder)["measurements"] == described
    api.evaluate(folder, few_digits, "validation", progress=print)
    api.evaluate(folder, few_digits, "validation", measurements=["another"])
  assert [call.measurements for call in measured] == [[OfThisTest()], [OfThisTest(), Slow()], ["another"]]


@dataclasses.dataclass(frozen=True)
class OfThisTest(Measurement):
  """A measurement that is never taken here."""

  stage, figures, quick = "a test", (), True
  scale: float = 1.0


class Slow(OfThisTest):
  """One that a training leaves out."""

  quick = False


# --- Features ---------------------------------------------------------------------------------------------------------


def test_each_learned_part_is_fitted_in_a_folder_of_its_own(few_digits, tmp_path, monkeypatch):
  calls, lines = [], []

  def fit(folder, dataset, part, *numbers):
    calls.append((folder, dataset, part, numbers))
    return {"median_error": 3.0, "mean_error": 4.0}

  monkeypatch.setattr(learned, "fit_feature", fit)
  one, pose = Rotation(), Pose()
  defaults = (10, 128, 1e-3, 0.0, 0)
  figures = tfdisent.fit_feature(tmp_path / "f", few_digits, one, progress=lines.append)
  assert figures == {"median_error": 3.0, "mean_error": 4.0}
  assert calls == [(str(tmp_path / "f"), few_digits, one, defaults)]
  assert lines == [
    "On held-out images: median_error 3, mean_error 4",
    f"The fitted feature is in {tmp_path / 'f'}: bind its `fitted` to that folder, and train.",
  ]
  calls.clear()
  several = Composite(parts=(one, DigitLabel(), Rotation(column="other")), part_names=("a", "b", "c"))
  figures = tfdisent.fit_feature(tmp_path / "f", few_digits, several, 1, 2, 3.0, 4.0, 5)
  assert list(figures) == ["a", "c"]
  assert [(folder, numbers) for folder, _, _, numbers in calls] == [
    (str(tmp_path / "f" / name), (1, 2, 3.0, 4.0, 5)) for name in "ac"
  ]
  calls.clear()
  tfdisent.fit_feature(tmp_path / "f", few_digits, Composite(parts=(one, one), part_names=("/abs", "../x")))
  assert [folder for folder, *_ in calls] == [str(tmp_path / "f" / name) for name in ("%2Fabs", "..%2Fx")]
  with pytest.raises(ConfigError, match="is not learned: there is nothing to fit"):
    tfdisent.fit_feature(tmp_path / "f", few_digits, pose)


# --- Using a run ------------------------------------------------------------------------------------------------------


def test_an_evaluation_keeps_its_figures_and_counts_reads_of_the_test_split(folder, few_digits, measured, monkeypatch):
  pages, lines = [], []
  monkeypatch.setattr(report, "write_report", lambda path, trained, examples, *_: pages.append((path, examples)))
  assert tfdisent.evaluate(folder, few_digits, progress=lines.append) == FIGURES
  assert lines[0] == "Reads of the test split, with this one: 1" and len(run.reads_of_test(folder)) == 1
  assert lines[-1] == f"\nWritten to {folder / 'metrics.json'}; look at {folder / 'report.html'}"
  assert tfdisent.evaluate(folder, few_digits, "validation", "last", progress=lines.append) == FIGURES
  assert len(run.reads_of_test(folder)) == 1 and run.read_metrics(folder, "validation", "last")[0] == FIGURES
  assert pages == [
    (folder / "report.html", few_digits.test),
    (folder / "report_validation_last.html", few_digits.validation),
  ]
  assert [(call.split, call.checkpoint.kind, call.quick) for call in measured] == [
    ("test", "best", False),
    ("validation", "last", False),
  ]
  assert not measured[0].measurements
  assert report.read_curves(folder / "tensorboard" / "evaluation")["quality/psnr"] == {0: 9.0}


def test_the_data_set_of_a_run_is_that_of_its_description(folder, few_digits, measured, monkeypatch):
  with pytest.raises(RunError, match=r"trained from Python.*tfdisent\.evaluate\(run_dir, dataset\)"):
    tfdisent.evaluate(folder)
  monkeypatch.setattr(
    run, "read_dataset", lambda *arguments: few_digits if arguments == (folder, "/d", ["a"]) else None
  )
  tfdisent.evaluate(folder, split="validation", data_dir="/d", trust=["a"])
  assert measured[0].dataset is few_digits


def test_an_export_is_of_the_format_and_in_the_folder_that_is_wanted(folder, tmp_path, monkeypatch):
  lines = []

  def fake(trained, path, format, config):
    return (format, trained.checkpoint.kind, path, config)

  monkeypatch.setattr(serving, "export", fake)
  config = run.read_config(folder)
  assert tfdisent.export(folder) == ("saved_model", "best", folder / "export" / "run", config)
  phone = tfdisent.export(folder, "litert", tmp_path, "phone", "last", progress=lines.append)
  assert phone == ("litert", "last", tmp_path / "phone", config)
  assert lines[0].startswith("LiteRT: ")
  for name in ("a/b", "..", 'a"b'):
    with pytest.raises(ConfigError, match="a model cannot be called"):
      tfdisent.export(folder, model_name=name)


def test_a_model_knows_its_folder_and_its_data_set(folder, few_digits, measured, tmp_path, monkeypatch):
  trained = train_tiny(folder, few_digits, **BRIEF)
  assert trained.evaluate("validation") == FIGURES and measured[0].dataset is few_digits
  assert (folder / "metrics_validation.json").is_file()
  monkeypatch.setattr(serving, "export", lambda trained, path, format, config: (trained.checkpoint.kind, path, format))
  last = tfdisent.load(folder, "last")
  assert last.export(tmp_path, model_name="phone", format="litert") == ("last", tmp_path / "phone", "litert")
  figure = trained.show_fusions()
  assert figure.sheet.blocks[0].columns == ["", *"0123456789"]
  assert figure.sheet.title == f"run · best checkpoint, after epoch {trained.checkpoint.epoch}"
  assert figure._repr_png_().startswith(b"\x89PNG")
  few = trained.show_fusions(few_digits.test["image"][:2])
  assert [len(row) for row in few.sheet.blocks[0].rows] == [11, 11, 11]
  with pytest.raises(RunError, match="names no registered data set"):
    last.show_fusions()
  with pytest.raises(DataError, match=r"^feature_images have the shape \[2, 4, 3\]"):
    last.show_fusions(few_digits.test["image"][:2], np.zeros([1, 2, 4, 3], np.uint8))
  with pytest.raises(FeatureError, match="digit_label"):  # a label that no q has learned to read
    last.show_fusions(few_digits.test["image"][:2], few_digits.test["image"][:2])


def test_an_unknown_format_is_refused(folder):
  with pytest.raises(RegistryError, match=r"unknown export format 'litertt'\. Did you mean 'litert'"):
    tfdisent.export(folder, "litertt")


def test_samples_follow_their_seed(folder):
  with pytest.raises(RunError, match="training has not ended"):
    api.sample(folder)
  save_feature_examples(folder, np.eye(10, dtype=np.float32)[:3])
  pictures = []
  for seed in (1, 1, 2):
    lines = []
    path = api.sample(folder, seed, progress=lines.append)
    assert path == folder / "samples.png" and lines == [f"Rows share a z1 from the prior, columns share z2: {path}"]
    pictures.append(path.read_bytes())
  assert pictures[0] == pictures[1] != pictures[2]
