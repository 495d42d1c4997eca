"""A sweep: its runs, their commands, and what happens to those that are measured, fail, or are interrupted."""

import json
import pathlib
import subprocess
import sys

import pytest

from tfdisent import config, sweep
from tfdisent.errors import ConfigError, RunError
from tfdisent.evaluation import comparison
from tfdisent.run import write_metrics


def test_every_combination_is_a_run():
  runs = sweep.combinations({"objective.adversary": (0.0, 5.0), "train.seed": (0, 1)})
  assert runs == {
    f"adversary={weight},seed={seed}": {"objective.adversary": weight, "train.seed": seed}
    for weight in (0.0, 5.0)
    for seed in (0, 1)
  }


def test_several_grids_and_configurations():
  runs = sweep.combinations([{"gin_file": ["gin_configs/a.gin", "b.gin"]}, {"model.E1": [{"conv": (4, 8)}]}])
  assert list(runs) == ["a", "b", "E1=_conv_4_8"]
  train, evaluate = sweep.commands(pathlib.Path("r/a"), runs["a"], ["s.gin"], ["x.y = 1"], "/data")
  assert train == [
    *(sys.executable, "-m", "tfdisent.main", "--gin_file=s.gin", "--gin_file=gin_configs/a.gin"),
    *("--gin_param=x.y = 1", "--run_dir=r/a", "--data_dir=/data"),
  ]
  assert evaluate == [sys.executable, "-m", "tfdisent.main", "--mode=eval", "--run_dir=r/a", "--data_dir=/data"]
  train, evaluate = sweep.commands(
    pathlib.Path("r"), {"objective.q_data": "pairs"}, ["s.gin"], [], None, ["a", "b"], "validation"
  )
  assert train[-2:] == ["--gin_param=objective.q_data = 'pairs'", "--run_dir=r"]
  assert evaluate[3:] == ["--mode=eval", "--run_dir=r", "--trust=a,b", "--split=validation"]
  assert sweep.configuration({"gin_file": "a.gin", "x.y": 2}, ["s.gin"], ["x.y = 1"]) == (
    ["s.gin", "a.gin"],
    ["x.y = 1", "x.y = 2"],
  )


@pytest.mark.parametrize(
  ("grid", "message"),
  [
    ({}, "sweep.grid is empty"),
    ((), "sweep.grid is empty"),
    ([{}], "sweep.grid is empty"),
    ({"train.seed": 3}, "'train.seed' needs a list"),
    ({"objective.q_data": "pairs"}, "'objective.q_data' needs a list"),
    ({"train.seed": ()}, "'train.seed' needs a list"),
    ({"model.code": ("a b", "a_b")}, "would share the run folder 'code=a_b'"),
  ],
)
def test_a_grid_that_cannot_be_is_refused(grid, message):
  with pytest.raises(ConfigError, match=message):
    sweep.combinations(grid)


def test_the_shipped_sweeps_name_configurations_and_bindings_that_exist():
  files = [file for file in config.shipped_configs() if file.parent.name == "sweeps"]
  assert files
  for file in files:
    config.read([str(file)])
    for settings in config.sweep().values():
      bindings = [f"{key} = {value!r}" for key, value in settings.items() if key != sweep.GIN_FILE]
      config.read([str(file), *([settings[sweep.GIN_FILE]] if sweep.GIN_FILE in settings else [])], bindings)


def wanted_of(name):
  return {"a = 1", f"settings = {name}", "composite.adversary_weights = ()"}


def run_sweep(folder, runs, **others):
  wanted = {name: wanted_of(name) for name in runs} | others.pop("wanted", {})
  return sweep.run(folder, runs, wanted, ["s.gin"], **others)


@pytest.fixture
def processes(monkeypatch):
  """Stands in for the runs' processes: an evaluation leaves the figures, and what "fails" fails."""
  called = []

  def run(command, check):
    folder = pathlib.Path(next(a for a in command if a.startswith("--run_dir=")).removeprefix("--run_dir="))
    called.append(("eval" if "--mode=eval" in command else "train", folder.name))
    if "weight=13.0" in folder.name:
      return subprocess.CompletedProcess(command, 1)
    folder.mkdir(parents=True, exist_ok=True)
    weight = float(folder.name.split("=")[1].split(",")[0])
    (folder / "config.gin").write_text(f"x.weight = {weight}\n", encoding="utf-8")
    figures = {"leakage/worst": 1 / weight, "control/accuracy_mean": 0.9, "quality/psnr": weight}
    (folder / "feature_examples.json").write_text("[]", encoding="utf-8")  # left by a training that has ended
    lines = [line.replace("adversary", "leakage") for line in sorted(wanted_of(folder.name))]  # as version 0.1 wrote it
    (folder / "run.json").write_text(json.dumps({"dataset": None, "bindings": lines}))
    if "--mode=eval" in command:
      split = "validation" if "--split=validation" in command else "test"
      origin = {"split": split, "checkpoint": "best"}
      write_metrics(folder, {key: {"value": value} for key, value in figures.items()}, origin)
    return subprocess.CompletedProcess(command, 0)

  monkeypatch.setattr(sweep.subprocess, "run", run)
  return called


@pytest.fixture
def no_plots(monkeypatch):
  monkeypatch.setattr(sweep, "write_comparison", lambda folder, groups: comparison.markdown(groups))
  monkeypatch.setattr(sweep, "curves", lambda runs: None)


def test_it_trains_measures_compares_and_goes_on_where_it_was(processes, tmp_path):
  runs = sweep.combinations({"x.weight": (2.0, 4.0), "train.seed": (0, 1)})
  table = run_sweep(tmp_path, runs)
  assert processes == [(mode, name) for name in runs for mode in ("train", "eval")]
  assert "| weight=2.0 | 2 |" in table and (tmp_path / "comparison.md").read_text(encoding="utf-8") == table
  assert (tmp_path / "curves.png").is_file() and (tmp_path / "comparison.png").is_file()
  processes.clear()
  (tmp_path / "weight=4.0,seed=0" / "metrics.json").unlink()
  assert run_sweep(tmp_path, runs) == table
  assert processes == [("train", "weight=4.0,seed=0"), ("eval", "weight=4.0,seed=0")]


def test_what_was_measured_with_other_settings_is_refused_before_anything_is_run(processes, no_plots, tmp_path):
  runs = sweep.combinations({"x.weight": (2.0, 4.0)})
  run_sweep(tmp_path, {"weight=2.0": runs["weight=2.0"]})
  processes.clear()
  changed = {"weight=2.0": wanted_of("weight=2.0") - {"a = 1"} | {"a = 2"}}
  with pytest.raises(RunError) as error:
    run_sweep(tmp_path, runs, wanted=changed)
  assert str(error.value).endswith("\nweight=2.0:\n  - a = 1\n  + a = 2") and "settings" not in str(error.value)
  assert not processes
  (tmp_path / "weight=2.0" / "run.json").unlink()  # of an older version: training refuses what differs
  run_sweep(tmp_path, runs)
  assert processes[:2] == [("train", "weight=2.0"), ("eval", "weight=2.0")]


def test_a_sweep_of_the_validation_split_leaves_the_test_split_alone(processes, no_plots, tmp_path):
  runs = sweep.combinations({"x.weight": (2.0,)})
  assert "| weight=2.0 | 1 |" in run_sweep(tmp_path, runs, split="validation")
  assert (tmp_path / "weight=2.0" / "metrics_validation.json").is_file()
  assert not (tmp_path / "weight=2.0" / "metrics.json").exists()
  processes.clear()
  run_sweep(tmp_path, runs, split="validation")
  assert not processes


def test_a_training_that_was_stopped_is_not_measured(tmp_path, monkeypatch):
  monkeypatch.setattr(sweep.subprocess, "run", lambda command, check: subprocess.CompletedProcess(command, 0))
  with pytest.raises(RunError, match=r"1 of 1 runs failed(.|\n)*weight=2.0: tfdisent --gin_file=s.gin"):
    run_sweep(tmp_path, sweep.combinations({"x.weight": (2.0,)}))


def test_a_run_that_fails_is_named_and_the_others_go_on(processes, no_plots, tmp_path):
  runs = sweep.combinations({"x.weight": (2.0, 13.0, 4.0)})
  with pytest.raises(RunError, match=r"1 of 3 runs failed(.|\n)*weight=13.0: tfdisent --gin_file=s.gin") as error:
    run_sweep(tmp_path, runs)
  assert processes == [
    ("train", "weight=2.0"),
    ("eval", "weight=2.0"),
    ("train", "weight=13.0"),
    ("train", "weight=4.0"),
    ("eval", "weight=4.0"),
  ]
  assert "| weight=4.0 |" in str(error.value)


def test_curves_are_of_the_numbers_that_were_swept():
  metrics = lambda value: {key: {"value": value} for key in ("leakage/worst", "quality/psnr")}  # noqa: E731
  runs = {
    f"{weight} {seed}": ({"x.weight": weight, "train.seed": seed, "x.kind": "a"}, metrics(weight + seed))
    for weight in (4.0, 2.0)
    for seed in (0, 1)
  }
  axes = sweep.curves(runs).axes
  assert [(a.get_xlabel(), a.get_title()) for a in axes] == [
    ("x.weight", "leakage/worst"),
    ("x.weight", "quality/psnr"),
  ]
  line = axes[0].lines[1]
  assert list(line.get_xdata()) == [2.0, 4.0] and list(line.get_ydata()) == [2.5, 4.5]
  assert sweep.curves({"a": ({"train.seed": 0}, metrics(1.0))}) is None
