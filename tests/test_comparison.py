"""Runs side by side: which share a line, their intervals, and what is said of a run that is not measured."""

import json
import pathlib

import numpy as np
import pytest
from scipy import stats

from tfdisent.errors import RunError
from tfdisent.evaluation.comparison import Group, markdown, read_runs, scatter, write_comparison
from tfdisent.run import write_metrics


@pytest.fixture
def make_run(tmp_path):
  """Writes a measured run's folder; returns it."""

  def make(name, seed=0, weight=1.0, **figures):
    folder = tmp_path / name
    folder.mkdir()
    config = f"# Parameters\ntrain.seed = {seed}\ntrain.data_dir = '/{name}'\nobjective.lambda3 = \\\n    {weight}\n"
    (folder / "config.gin").write_text(config, encoding="utf-8")
    figures = {"control/accuracy_mean": 0.99, "leakage/worst": 0.3, "quality/psnr": 22.0, **figures}
    metrics = {key: {"value": value, "low": value - 0.01, "high": value + 0.02} for key, value in figures.items()}
    (folder / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return str(folder)

  return make


def test_runs_that_differ_in_their_seed_alone_share_a_line(make_run):
  folders = [make_run("digit-seed0"), make_run("other", weight=2.0), make_run("digit-seed1", seed=1)]
  assert [(group.name, list(group.runs)) for group in read_runs(folders)] == [
    ("digit", [folders[0], folders[2]]),
    ("other", [folders[1]]),
  ]
  assert len(read_runs([folders[0], folders[0] + "/"])[0].runs) == 1  # named twice


@pytest.mark.parametrize(
  ("names", "name"),
  [
    (("digit-0", "digit-1"), "digit"),
    (("lambda6=5.0,seed=0", "lambda6=5.0,seed=1"), "lambda6=5.0"),
    (("digit_seed12", "digit_seed3"), "digit"),
    (("0", "1"), "0"),
    (("digit-0",), "digit-0"),
  ],
)
def test_a_line_is_called_after_its_folders(names, name):
  assert Group({f"runs/{folder}": {} for folder in names}).name == name


def test_the_interval_is_students_over_seeds(make_run):
  values = (0.2, 0.25, 0.27)
  (group,) = read_runs([make_run(f"a{i}", seed=i, **{"leakage/worst": value}) for i, value in enumerate(values)])
  figure = group.figure("leakage/worst")
  low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=np.std(values, ddof=1) / np.sqrt(3))
  assert figure == pytest.approx({"value": 0.24, "low": low, "high": high})


def test_a_single_run_keeps_its_own_interval(make_run):
  (group,) = read_runs([make_run("a")])
  assert group.figure("leakage/worst") == pytest.approx({"value": 0.3, "low": 0.29, "high": 0.32})
  assert "0.3000 [0.2900, 0.3200]" in markdown([group])


def test_the_table_has_the_figures_that_there_are(make_run):
  groups = read_runs(
    [
      make_run("digit-0"),
      make_run("digit-1", seed=1, **{"leakage/worst": 0.5}),
      make_run("color", weight=3, **{"control/mae_mean": 0.02}),
    ]
  )
  table = markdown(groups).splitlines()
  assert table[0] == "|  | seeds | control/accuracy_mean | control/mae_mean | leakage/worst | quality/psnr |"
  digit, color = ([cell.strip() for cell in line.strip("|").split("|")] for line in table[2:4])
  assert digit[:2] == ["digit", "2"] and digit[3] == "" and digit[4].startswith("0.4000 [")
  assert color[:2] == ["color", "1"] and color[3] == "0.0200 [0.0100, 0.0400]"
  assert sum("digit-" in line for line in table) == 2  # and each run by itself


def test_a_comparison_is_written_whole(make_run, tmp_path):
  groups = read_runs([make_run("a"), make_run("b", weight=2.0, **{"quality/psnr": 30.0})])
  table = write_comparison(tmp_path / "comparison", groups)
  assert (tmp_path / "comparison" / "comparison.md").read_text(encoding="utf-8") == table
  figures = json.loads((tmp_path / "comparison" / "comparison.json").read_text(encoding="utf-8"))
  assert figures["b"]["figures"]["quality/psnr"]["value"] == 30.0
  assert (tmp_path / "comparison" / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_the_plots_show_each_run_and_each_mean(make_run):
  runs = [make_run("a0"), make_run("a1", seed=1, **{"leakage/worst": 0.5}), make_run("b", weight=2.0)]
  axes = scatter(read_runs(runs)).axes
  assert [(a.get_xlabel(), a.get_ylabel()) for a in axes] == [
    ("control/accuracy_mean", "leakage/worst"),
    ("quality/psnr", "leakage/worst"),
    ("quality/psnr", "control/accuracy_mean"),
  ]
  dots = [line for line in axes[0].lines if line.get_marker() == "."]
  assert [list(line.get_ydata()) for line in dots] == [[0.3, 0.5], [0.3]]
  assert [list(container[0].get_ydata()) for container in axes[0].containers] == [[0.4], [0.3]]


def test_a_run_that_is_not_measured_is_named_with_the_command_to_run(make_run, tmp_path):
  run = make_run("a")
  with pytest.raises(RunError, match="nowhere"):
    read_runs([run, str(tmp_path / "nowhere")])
  (tmp_path / "a" / "metrics.json").write_text('{"quality/psnr": {"value": 1}}', encoding="utf-8")  # the quick subset
  with pytest.raises(RunError, match=f"tfdisent --mode=eval --run_dir={run}"):
    read_runs([run])
  (tmp_path / "a" / "metrics.json").write_text('{"leakage/worst": ', encoding="utf-8")
  with pytest.raises(RunError, match=r"metrics.json cannot be read"):
    read_runs([run])


def test_the_figures_of_parts_stand_where_those_of_a_single_feature_do(make_run):
  parts = {"control/color/mae_mean": 0.02, "leakage/color/worst": 0.1, "leakage/digit_label/worst": 0.2}
  run = make_run("both", **parts)
  metrics = json.loads((pathlib.Path(run) / "metrics.json").read_text(encoding="utf-8"))
  del metrics["leakage/worst"]  # there is no such thing over several parts
  (pathlib.Path(run) / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
  (header, *_) = markdown(read_runs([run])).splitlines()
  assert header == (
    "|  | seeds | control/accuracy_mean | control/color/mae_mean | leakage/color/worst | leakage/digit_label/worst "
    "| quality/psnr |"
  )


def test_figures_of_a_split_and_a_checkpoint_are_read_with_or_without_provenance(make_run, tmp_path):
  run = make_run("a")
  origin = {"split": "validation", "checkpoint": "last"}
  write_metrics(tmp_path / "a", {"leakage/worst": {"value": 0.125}}, origin)
  assert read_runs([run])[0].figure("leakage/worst")["value"] == 0.3  # a file of an older version
  assert read_runs([run], "validation", "last")[0].figure("leakage/worst")["value"] == 0.125
  with pytest.raises(RunError, match=f"not measured yet. Run: tfdisent --mode=eval --split=validation --run_dir={run}"):
    read_runs([run], "validation")
  (tmp_path / "a" / "metrics_last.json").write_text("[", encoding="utf-8")
  with pytest.raises(RunError, match=r"metrics_last\.json cannot be read .*--checkpoint=last"):
    read_runs([run], checkpoint="last")
