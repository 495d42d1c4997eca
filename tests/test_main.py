"""The command line: one short run through every mode, and what a user is told of a mistake."""

import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
from unittest.mock import ANY

import gin
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver

from tests.processes import Fork
from tfdisent import config, load, main, pictures, run, sweep
from tfdisent import flags as our_flags
from tfdisent.api import training
from tfdisent.data.color_mnist import color_mnist
from tfdisent.errors import ConfigError, Interrupted
from tfdisent.evaluation import bound, case, evaluate, judges, leaks, probes, quality, report
from tfdisent.examples import load_examples, load_feature_examples

SHORT = (
  "--gin_file=gin_configs/quickstart.gin",
  "--gin_param=train.epochs = 1",
  "--gin_param=train.batch_size = 512",
  "--gin_param=model.E1 = {'conv': (4, 8), 'dense': (16,)}",
  "--gin_param=model.G = {'conv': (8, 4), 'dense': (16,)}",
  "--gin_param=model.q = {'conv': (4, 8), 'dense': (16,)}",
  "--gin_param=model.D = {'conv': (4, 8), 'dense': (16,)}",
)


def judges_see_each_digit_once() -> None:
  """That is not enough to judge well, and nobody asks them to here."""
  judges.Oracle.__init__.__defaults__ = ("label", 1)


@pytest.fixture(scope="module", autouse=True)
def quick_judges():
  kept = judges.Oracle.__init__.__defaults__
  judges_see_each_digit_once()
  yield
  judges.Oracle.__init__.__defaults__ = kept


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
  """The folder of a short run, trained by the command in a process of its own."""
  folder = tmp_path_factory.mktemp("runs") / "short"
  command = "from tests import conftest, test_main as here; from tfdisent import main"
  command += "; conftest.judges_learn_little(); here.judges_see_each_digit_once(); main.run()"
  code, output = Fork(command, *SHORT, f"--run_dir={folder}").end(600)
  assert code == 0, output
  return folder


def test_help_teaches_and_does_not_wait_for_tensorflow():
  code = (
    "import sys; sys.argv = ['tfdisent', '--help']; from tfdisent.main import run\n"
    "try: run()\nfinally: print('tensorflow' in sys.modules)"
  )
  out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout
  for words in (
    "--mode",
    "--gin_file",
    "--gin_param",
    "--run_dir",
    "--data_dir",
    "--seed",
    "gin_configs/quickstart.gin",
  ):
    assert words in out
  assert out.index("tfdisent --data_dir=photos") < out.index("tfdisent --gin_file")  # what most people come for
  assert out.endswith("False\n")


def test_a_training_leaves_all_that_it_promises(run_dir):
  for name in ("config.gin", "run.json", "model.json", "metrics_validation.json", "feature_examples.json"):
    assert (run_dir / name).stat().st_size > 0
  for name in ("fusion.png", "reconstruction.png", "traversal.png", "fusion_worst.png", "judges.npz"):
    assert (run_dir / name).stat().st_size > 0
  assert not (run_dir / "metrics.json").exists() and not run.reads_of_test(run_dir)  # nothing is of the test split
  assert list(run_dir.glob("checkpoints/last/epoch-1.index")) and list(run_dir.glob("tensorboard/events*"))
  config = (run_dir / "config.gin").read_text(encoding="utf-8")
  assert "import features.digit_label" in config and "train.epochs = 1" in config and "objective.lambda1 = " in config


def test_metrics_have_the_agreed_names(run_dir):
  metrics, origin = run.read_metrics(run_dir, "validation")
  assert (origin["split"], origin["checkpoint"], origin["epoch"], origin["step"]) == ("validation", "best", 1, 0)
  assert (origin["images"], origin["seed"], origin["test_reads"]) == (450, 0, 0)
  assert set(metrics) == {
    *(f"control/accuracy_{z1}" for z1 in ("mean", "sample", "prior")),
    *(f"control_by_class/{digit}" for digit in range(10)),
    *(f"{kind}/{name}_mae" for kind in ("complement", "complement_chance") for name in ("color", "slant", "stroke")),
    *(f"quality/{name}" for name in ("psnr", "sharpness_rec", "sharpness_fusion")),
    "oracle/validation_accuracy",  # the test split is left to --mode=eval
  }
  assert all(figure["low"] <= figure["value"] <= figure["high"] for figure in metrics.values())


def test_pictures_and_examples_are_of_validation_images(run_dir):
  examples, trained = color_mnist().validation, load(run_dir)
  f = trained.feature.of_example({"label": examples["label"]}).numpy()
  np.testing.assert_array_equal(load_feature_examples(run_dir), f[pictures.pick(f, trained.feature)])
  columns = pictures.pick(f, trained.feature, 8)
  kept = load_examples(run_dir, trained.image_shape)
  np.testing.assert_array_equal(kept, examples["image"][columns])
  sheet = pictures.pictures_of(trained, examples, f, pictures.run_words(run_dir.name, trained.checkpoint))["fusion"]
  np.testing.assert_array_equal(sheet.blocks[0].rows[0][1:], kept)  # the sources above the columns
  picture = tf.io.decode_png((run_dir / "fusion.png").read_bytes()).numpy().astype(int)
  np.testing.assert_allclose(picture, sheet.draw(), atol=1)


def test_a_run_says_what_it_was_trained_on_and_asked_for(run_dir):
  description = run.read_description(run_dir)
  assert description["dataset"]["name"] == "color_mnist"
  assert description["dataset"]["module"] == "tfdisent.data.color_mnist"
  assert {"source": "embedded", "data_dir": None, "saturation": [0.5, 1.0]}.items() <= (
    description["dataset"]["arguments"].items()
  )
  assert {"train.epochs = 1", "train.batch_size = 512", "import features.digit_label"} <= set(description["bindings"])
  assert run.read_dataset(run_dir).name == color_mnist().name


@pytest.fixture(scope="module")
def measured_run(run_dir):
  """The short run, measured by `--mode=eval` with judges and probes that learn little."""
  with pytest.MonkeyPatch.context() as patch:
    trained = ((leaks, "read_parts"), (leaks, "plain_vae"), (bound, "information_bounds"), (quality, "FIDExtractor"))
    for module, name in trained:
      patch.setattr(module, name, functools.partial(getattr(module, name), epochs=1))
    patch.setitem(probes._FITS, "trees", functools.partial(probes._fit_trees, iterations=10))
    patch.setattr(case, "TRAINING_FUSIONS", 1)
    with flagsaver.flagsaver():
      flags.FLAGS.unparse_flags()
      flags.FLAGS(["tfdisent", "--mode=eval", f"--run_dir={run_dir}"])
      main.main(["tfdisent"])
  gin.clear_config()
  return run_dir


def test_eval_needs_nothing_but_the_run_folder_and_measures_the_test_split(measured_run):
  assert (measured_run / "report.html").is_file()
  metrics, origin = run.read_metrics(measured_run)
  assert (origin["split"], origin["checkpoint"], origin["images"], origin["test_reads"]) == ("test", "best", 500, 1)
  assert len(run.reads_of_test(measured_run)) == 1
  assert "Reads of the test split so far: 1." in (measured_run / "report.html").read_text(encoding="utf-8")
  quick = evaluate(load(measured_run), color_mnist(), quick=True)
  assert "oracle/test_accuracy" in quick and "leakage/worst" in metrics and len(metrics) == len(quick) + 28
  for key, figure in quick.items():
    assert metrics[key].pop("range", None) == figure.pop("range", None)
    assert metrics[key] == pytest.approx(figure, rel=1e-6)
  scalars = report.read_curves(measured_run / "tensorboard" / "evaluation")
  assert {key: curve[0] for key, curve in scalars.items()} == pytest.approx(
    {key: figure["value"] for key, figure in metrics.items()}, rel=1e-5
  )


def test_the_training_command_again_leaves_the_figures_of_the_evaluation(measured_run, tfdisent):
  files = [measured_run / name for name in ("metrics.json", "metrics_validation.json", "test_reads.jsonl")]
  before = [file.read_bytes() for file in files]
  code, out, _ = tfdisent(*SHORT, f"--run_dir={measured_run}")
  assert code == 0 and "after epoch 1 of 1" in out and [file.read_bytes() for file in files] == before


def test_figures_of_other_weights_and_splits_leave_those_of_the_best_on_the_test_split(
  measured_run, tfdisent, monkeypatch, tmp_path
):
  folder, asked = shutil.copytree(measured_run, tmp_path / "run"), []

  def evaluate(trained, dataset, split, quick, progress, measurements, look):
    asked.append((trained.checkpoint.kind, split, quick))
    return {"quality/psnr": {"value": 1.0}}

  monkeypatch.setattr("tfdisent.evaluation.evaluate", evaluate)
  before = {name: (folder / name).read_bytes() for name in ("metrics.json", "report.html")}
  for flags_of in (["--split=validation"], ["--checkpoint=last"], ["--split=validation", "--checkpoint=last"]):
    assert tfdisent("--mode=eval", f"--run_dir={folder}", *flags_of)[0] == 0
  assert asked == [("best", "validation", False), ("last", "test", False), ("last", "validation", False)]
  assert before == {name: (folder / name).read_bytes() for name in before}
  for words, reads in (("validation", 1), ("last", 2), ("validation_last", 2)):
    content = json.loads((folder / f"metrics_{words}.json").read_text(encoding="utf-8"))
    assert content["metrics"] == {"quality/psnr": {"value": 1.0}} and content["provenance"]["test_reads"] == reads
    assert (folder / f"report_{words}.html").is_file()
    assert report.read_curves(folder / "tensorboard" / f"evaluation_{words}") == {"quality/psnr": {0: 1.0}}
  assert [read["checkpoint"] for read in run.reads_of_test(folder)] == ["best", "last"]


def test_a_read_of_the_test_split_counts_though_it_is_interrupted(measured_run, tfdisent, monkeypatch, tmp_path):
  folder = shutil.copytree(measured_run, tmp_path / "run")
  monkeypatch.setattr("tfdisent.evaluation.evaluate", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
  assert tfdisent("--mode=eval", f"--run_dir={folder}") == (130, ANY, "tfdisent: stopped at once.\n")
  assert len(run.reads_of_test(folder)) == 2


def test_a_training_that_was_stopped_says_so_in_its_own_words(tfdisent, tmp_path, monkeypatch):
  def stop(*arguments, **keywords):
    raise Interrupted("stopped as asked")

  monkeypatch.setattr(training, "train_model", stop)
  assert tfdisent(*SHORT, f"--run_dir={tmp_path / 'run'}") == (0, "tfdisent: stopped as asked\n", "")


def test_a_second_ctrl_c_has_a_line_as_well(tfdisent, tmp_path, monkeypatch):
  def stop(*arguments, **keywords):
    raise KeyboardInterrupt

  monkeypatch.setattr(training, "train_model", stop)
  words = "tfdisent: stopped at once. The same command goes on from the last checkpoint.\n"
  assert tfdisent(*SHORT, f"--run_dir={tmp_path / 'run'}") == (130, "", words)


def test_gin_adds_nothing_to_a_message_in_python(tmp_path):
  config.read([SHORT[0].removeprefix("--gin_file=")], ["train.epochs = 0"])
  try:
    with pytest.raises(ConfigError) as error:
      config.train(str(tmp_path / "run"))
  finally:
    gin.clear_config()
  assert type(error.value) is ConfigError and str(error.value).endswith("must be a whole number of at least 1.")


def test_arguments_of_a_data_set_that_are_no_data_are_refused_before_training(tfdisent, tmp_path):
  arguments = ("--gin_param=color_mnist.seed = @digit_label", "--gin_param=import features.digit_label")
  code, _, err = tfdisent(*SHORT, *arguments, f"--run_dir={tmp_path / 'run'}")
  assert code == 1 and "color_mnist.seed = " in err and "is no plain data" in err
  assert not (tmp_path / "run").exists()


def test_compare_prints_a_table_and_says_where_it_is(measured_run, tfdisent, tmp_path):
  other = shutil.copytree(measured_run, tmp_path / "other")
  config = (other / "config.gin").read_text(encoding="utf-8")
  (other / "config.gin").write_text(config.replace("train.seed = 0", "train.seed = 1"), encoding="utf-8")
  code, out, _ = tfdisent("--mode=compare", f"--run_dirs={measured_run},{other}", f"--run_dir={tmp_path / 'c'}")
  assert code == 0 and "| short | 2 |" in out and str(tmp_path / "c" / "comparison.png") in out
  assert str(tmp_path / "c" / "frontier.png") in out and (tmp_path / "c" / "frontier.png").is_file()
  assert (tmp_path / "c" / "comparison.md").read_text(encoding="utf-8") in out


def test_compare_without_a_place_to_write_takes_the_folder_of_the_runs(measured_run, tfdisent):
  code, out, _ = tfdisent("--mode=compare", f"--run_dirs={measured_run}")
  assert code == 0 and str(measured_run.parent / "comparison" / "comparison.md") in out
  code, _, err = tfdisent("--mode=compare", f"--run_dirs={measured_run}", "--split=validation", "--checkpoint=last")
  command = f"tfdisent --mode=eval --split=validation --checkpoint=last --run_dir={measured_run}"
  assert code == 1 and f"not measured yet. Run: {command}" in err


def test_sweep_runs_the_grid_of_its_file(tfdisent, tmp_path, monkeypatch):
  calls = []
  monkeypatch.setattr(sweep, "run", lambda *arguments: (calls.append(arguments), "| table |")[1])
  handler = signal.getsignal(signal.SIGTERM)
  bindings = "--gin_param=sweep.grid = {'train.seed': (0, 1)}"
  code, out, _ = tfdisent("--mode=sweep", SHORT[0], bindings, "--data_dir=/data", f"--run_dir={tmp_path}")
  signal.signal(signal.SIGTERM, handler)
  assert code == 0 and "| table |" in out
  runs = {f"seed={seed}": {"train.seed": seed} for seed in (0, 1)}
  ((folder, called, bindings_of, *others),) = calls
  assert (folder, called) == (tmp_path, runs)
  assert others == [["gin_configs/quickstart.gin"], [bindings[12:]], "/data", [], "test"]
  assert set(bindings_of) == set(runs)
  zero, one = bindings_of["seed=0"], bindings_of["seed=1"]
  assert zero ^ one == {"train.seed = 0", "train.seed = 1"}
  assert "model.z1_width = 8" in zero and not any(line.startswith("sweep") for line in zero)


def test_sweep_gives_its_flags_to_each_run_and_names_the_plots_that_there_are(tfdisent, tmp_path, monkeypatch):
  calls = []
  monkeypatch.setattr(sweep, "run", lambda *arguments: (calls.append(arguments), "| table |")[1])
  monkeypatch.setattr(signal, "signal", lambda *_: None)
  grid = "sweep.grid = {'objective.lambda3': (1.0, 2.0)}"
  command = ("--mode=sweep", SHORT[0], f"--gin_param={grid}", f"--run_dir={tmp_path}")
  (tmp_path / "comparison.png").touch()
  code, out, err = tfdisent(*command, "--seed=4", "--epochs=3", "--feature=digit_label")
  assert code == 0 and out.endswith(f"Written to {tmp_path}/comparison.md; plots in {tmp_path}/comparison.png\n"), err
  bindings = ["train.seed = 4", "train.epochs = 3", "train.feature = ('digit_label',)"]
  assert calls[0][4] == [grid, *bindings]
  assert all({*bindings} <= of_run for of_run in calls[0][2].values())
  (tmp_path / "comparison.png").unlink()
  assert tfdisent(*command)[1].endswith(f"Written to {tmp_path}/comparison.md\n")
  code, _, err = tfdisent(*command, "--gin_param=sweep.grid = {'train.seed': (0, 1)}", "--seed=4")
  assert code == 1 and "--seed gives one value, and sweep.grid goes through those of train.seed" in err


def test_run_folders_may_have_commas_in_their_names(tmp_path):
  for name in ("lambda3=1.0,seed=0", "lambda3=1.0,seed=1", "plain"):
    (tmp_path / name).mkdir()
  given = [str(tmp_path / name) for name in ("plain", "lambda3=1.0,seed=0", "nowhere", "lambda3=1.0,seed=1", "plain")]
  with flagsaver.flagsaver():
    flags.FLAGS(["tfdisent", f"--run_dirs={','.join(given)}"])
    assert our_flags.run_dirs() == given


def test_sample_draws_new_images_that_follow_the_seed(run_dir, tfdisent):
  pictures = []
  for seed in (1, 1, 2):
    assert tfdisent("--mode=sample", f"--run_dir={run_dir}", f"--seed={seed}")[0] == 0
    pictures.append((run_dir / "samples.png").read_bytes())
  assert pictures[0] == pictures[1] != pictures[2]


def test_sample_draws_what_is_asked_for(run_dir, tfdisent):
  code, out, _ = tfdisent("--mode=sample", f"--run_dir={run_dir}", "--what=strip", "--feature=digit_label")
  assert code == 0 and out == f"Strip of images that the run has kept: {run_dir / 'strip_digit_label.png'}\n"
  assert (run_dir / "strip_digit_label.png").is_file()
  code, _, err = tfdisent("--mode=sample", f"--run_dir={run_dir}", "--what=morph", "--feature=digit")
  assert code == 1 and "no part 'digit'. Did you mean 'digit_label'?" in err


def test_the_last_weights_are_taken_where_they_are_asked_for(run_dir, tfdisent, tmp_path):
  folder = shutil.copytree(run_dir, tmp_path / "run")
  shutil.rmtree(folder / "checkpoints" / "best")
  code, _, err = tfdisent("--mode=sample", f"--run_dir={folder}")
  assert code == 1 and "best" in err
  assert tfdisent("--mode=sample", f"--run_dir={folder}", "--checkpoint=last")[0] == 0


def test_export_writes_a_saved_model(run_dir, tfdisent):
  code, out, _ = tfdisent("--mode=export", f"--run_dir={run_dir}")
  folder = run_dir / "export" / run_dir.name / "1"
  assert code == 0 and (folder / "saved_model.pb").is_file() and f"saved_model_cli show --all --dir {folder}" in out
  few = [f"--gin_param=bench_export.{name} = {value}" for name, value in (("requests", 10), ("repeats", 2))]
  code, out, _ = tfdisent("--mode=bench", f"--run_dir={run_dir}", *few)
  assert code == 0 and json.loads(out.splitlines()[-1])["model"] == str(folder)


def test_export_writes_litert_elsewhere_by_another_name(run_dir, tfdisent, tmp_path):
  where = ("--export_format=litert", f"--export_dir={tmp_path}", "--model_name=phone")
  code, out, _ = tfdisent("--mode=export", f"--run_dir={run_dir}", *where)
  assert code == 0 and str(tmp_path / "phone.tflite") in out
  assert [path.name for path in tmp_path.iterdir()] == ["phone.tflite"]
  code, _, err = tfdisent("--mode=bench", f"--run_dir={run_dir}", "--model_name=never")
  assert code == 1 and "--mode=export" in err
  for name in ('my "m"', "a/b", ".."):
    code, _, err = tfdisent("--mode=export", f"--run_dir={run_dir}", f"--export_dir={tmp_path}", f"--model_name={name}")
    assert code == 1 and "a model cannot be called" in err
  assert [path.name for path in tmp_path.iterdir()] == ["phone.tflite"]


def test_the_same_command_again_finds_the_run_finished(run_dir, tfdisent):
  code, out, _ = tfdisent(*SHORT, f"--run_dir={run_dir}")
  assert code == 0 and "after epoch 1 of 1" in out and "Epoch" not in out


def test_fewer_epochs_than_are_trained_are_refused(run_dir, tfdisent, tmp_path):
  folder = shutil.copytree(run_dir, tmp_path / "run")
  description = run.read_description(folder)
  (folder / "run.json").write_text(json.dumps(description | {"epochs": 3}))
  code, _, err = tfdisent(*SHORT, f"--run_dir={folder}")
  assert code == 1 and "a run of 3 epochs, and 1 are asked for: nothing is changed." in err


def test_another_configuration_is_refused(run_dir, tfdisent):
  code, _, err = tfdisent(*SHORT, f"--run_dir={run_dir}", "--gin_param=objective.lambda3 = 3")
  assert code == 1 and "another configuration" in err and "+ objective.lambda3 = 3" in err


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    (["--run_dir=r"], "--gin_file=gin_configs/quickstart.gin"),
    (["--gin_file=gin_configs/quickstart.gin"], "needs --run_dir"),
    (["--mode=eval"], "needs --run_dir"),
    (["--mode=compare"], "--run_dirs=runs/a,runs/b"),
    (["--mode=compare", "--run_dirs=nowhere"], "nowhere holds no run"),
    (["--mode=sweep", "--run_dir=r"], "--gin_file"),
    (["--mode=sweep", "--run_dir=r", SHORT[0]], "sweep.grid is empty"),
    (["--mode=eval", "--run_dir=no_such_run"], "no run folder no_such_run"),
    (["--gin_file=nowhere.gin", "--run_dir=r"], "nowhere.gin"),
    ([SHORT[0], "--run_dir=r", "--gin_param=train.epoch = 3"], "epoch"),
    ([SHORT[0], "--run_dir=r", "--gin_param=train.feature = 'colour'"], "unknown feature 'colour'"),
    ([SHORT[0], "--run_dir=r", "--gin_param=train.dataset = 'mnist'"], "unknown data set 'mnist'"),
    ([SHORT[0], "--run_dir=r", "--gin_param=train.epochs = 0"], "train.epochs"),
    ([SHORT[0], "--run_dir=r", "--gin_param=train.epochs = 'many'"], "train.epochs"),
    ([SHORT[0], "--run_dir=r", "--gin_param=train.batch_size = 100000"], "larger than the split"),
    ([SHORT[0], "--run_dir=r", "--gin_param=digit_label.num_classes = 5"], "num_classes = 5"),
    ([SHORT[0], "--run_dir=r", "--gin_param=objective.feature_loss = 'f2'"], "cannot be used with L_f2"),
    ([SHORT[0], "--run_dir=r", "--gin_param=model.G = {'conv': ()}"], "at least one transposed convolution"),
    ([SHORT[0], "--run_dir=r", "--gin_param=optimizer.algorithm = 'adamant'"], "adamant"),
    ([SHORT[0], "--run_dir=r", "--gin_param=color_mnist.value = (0.5, 2.0)"], "color_mnist.value"),
  ],
  ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_mistake_is_named_and_leaves_no_run_folder(arguments, words, tfdisent, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  code, _, err = tfdisent(*arguments)
  assert code == 1 and err.startswith("tfdisent: error: ") and words in err
  assert "In call to" not in err and not pathlib.Path("r").exists()


def test_a_run_folder_that_cannot_be_written_is_named(tfdisent, tmp_path):
  (tmp_path / "file").write_text("in the way")
  code, _, err = tfdisent(*SHORT, f"--run_dir={tmp_path / 'file' / 'run'}")
  assert code == 1 and "cannot be written" in err


def test_bench_prints_one_json_line(tfdisent):
  parameters = (
    "batch_size = 4",
    "steps = 2",
    "warmup = 1",
    "rounds = 1",
    "images = 100",
    "precision = 'mixed_bfloat16'",
  )
  code, out, _ = tfdisent("--mode=bench", *(f"--gin_param=bench.{parameter}" for parameter in parameters))
  result = json.loads(out)
  assert code == 0 and result["step_images_per_s"]["median"] > 0 and result["precision"] == "mixed_bfloat16"


# --- Learned features -------------------------------------------------------------------------------------------------

ROTATION = (
  "--gin_param=import features.pose",
  "--gin_param=train.feature = 'rotation'",
  "--gin_param=color_mnist.rotation_degrees = (-60.0, 60.0)",
  "--gin_param=objective.lambda4 = 0.0",
)


def test_a_learned_feature_is_fitted_and_then_trained_with(tfdisent, tmp_path):
  code, out, _ = tfdisent(
    "--mode=fit_feature", *SHORT, *ROTATION, "--gin_param=fit_feature.epochs = 1", f"--run_dir={tmp_path / 'f'}"
  )
  assert code == 0 and "On held-out images: median_error" in out and str(tmp_path / "f") in out
  config.read([SHORT[0].removeprefix("--gin_file=")], [b.removeprefix("--gin_param=") for b in (*SHORT[1:], *ROTATION)])
  try:
    with gin.unlock_config():
      gin.bind_parameter("rotation.fitted", str(tmp_path / "f"))
    feature = config.make_feature("rotation")
  finally:
    gin.clear_config()
  feature.build((28, 28, 3))
  assert feature.fitted == str(tmp_path / "f")


def test_fit_feature_takes_the_flags_of_a_training(tfdisent, tmp_path, monkeypatch):
  fitted = []

  def fit(*_):
    bound = {name: gin.get_bindings(f"tfdisent.{name}") for name in ("fit_feature", "train")}
    fitted.append((bound["fit_feature"], bound["train"]["feature"]))

  monkeypatch.setattr(config, "fit_feature", fit)
  command = ("--mode=fit_feature", SHORT[0], f"--run_dir={tmp_path / 'f'}", "--seed=2", "--epochs=5", "--feature=a,b")
  code, _, err = tfdisent(*command)
  assert code == 0 and fitted == [({"seed": 2, "epochs": 5}, ("a", "b"))], err


def test_there_is_nothing_to_fit_of_a_feature_with_a_formula(tfdisent, tmp_path):
  code, _, err = tfdisent("--mode=fit_feature", *SHORT, f"--run_dir={tmp_path / 'f'}")
  assert code == 1 and "'digit_label' is not learned" in err and not (tmp_path / "f").exists()


@pytest.mark.parametrize(
  ("flag", "words"),
  [
    ("--seed=-1", r"flag --seed=-1: -1 is not an integer in the range \[0, 4294967295\]"),
    ("--seed=4294967296", "4294967296 is not an integer"),
    ("--seed=x", "flag --seed=x: "),
    ("--sed=3", "Unknown command line flag 'sed'"),
    ("--mode=trian", "--mode=trian"),
  ],
)
def test_a_wrong_flag_is_told_in_a_line(flag, words, capsys):
  with flagsaver.flagsaver(), pytest.raises(SystemExit) as ended:
    flags.FLAGS.unparse_flags()
    main._parsed(["tfdisent", flag])
  flags.FLAGS.mark_as_parsed()
  (line,) = capsys.readouterr().err.splitlines()
  assert ended.value.code == 1 and re.match(f"tfdisent: error: .*{words}", line)


def test_what_is_no_flag_is_told_in_a_line(tfdisent, capsys):
  with flagsaver.flagsaver(), pytest.raises(SystemExit):
    main.main(["tfdisent", "my.gin"])
  assert capsys.readouterr().err == (
    "tfdisent: error: unexpected argument 'my.gin': every argument is a flag, as in --gin_file=my.gin.\n"
  )


def test_whoever_reads_the_output_may_end():
  """As `tfdisent --describe | head -1` does; a training tells of itself by `say`, and goes on to its end."""
  for tell, code_of_end in (("print", 128 + signal.SIGPIPE), ("say", 0)):
    code = f"from tfdisent.console import say; modes.train = lambda: [{tell}('a line') for _ in range(50_000)]"
    command = [sys.executable, "-c", f"from tfdisent import main, modes; {code}; main.run()"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
      assert process.stdout.readline() == b"a line\n"
      process.stdout.close()
      assert process.stderr.read() == b"" and process.wait() == code_of_end


def test_the_help_is_shown_where_signs_are_ascii():
  """The help has signs that ASCII lacks."""
  environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
  command = [sys.executable, "-m", "tfdisent.main", "--help"]
  done = subprocess.run(command, check=False, capture_output=True, env=environment)
  assert b"Put measured runs side by side" in done.stdout and not done.stderr
