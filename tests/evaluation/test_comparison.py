"""Runs side by side: which share a line, their intervals, and what is said of a run that is not measured."""

import json
import math
import pathlib

import numpy as np
import pytest
from scipy import stats

from tfdisent.errors import RunError
from tfdisent.evaluation import with_interval
from tfdisent.evaluation.comparison import Group, frontier, markdown, read_metrics, read_runs, scatter, write_comparison
from tfdisent.evaluation.measurement import Figure, Measurement, column_figures
from tfdisent.registry import MEASUREMENTS
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
    (("seed=0,lambda3=0.5", "seed=1,lambda3=0.5"), "lambda3=0.5"),
    (("seed=0,lambda3=0.5",), "seed=0,lambda3=0.5"),
    (("digit_seed12", "digit_seed3"), "digit"),
    (("0", "1"), "0"),
    (("digit-0",), "digit-0"),
  ],
)
def test_a_line_is_called_after_its_folders(names, name):
  assert Group({f"runs/{folder}": {} for folder in names}).name == name


def test_folders_of_one_name_are_told_apart_by_their_paths(make_run, tmp_path):
  for parent, weight in (("a", 1.0), ("b", 2.0)):
    (tmp_path / parent).mkdir()
    make_run(f"{parent}/digit", weight=weight)
  groups = read_runs([str(tmp_path / parent / "digit") for parent in "ab"])
  assert [group.name for group in groups] == [str(tmp_path / parent / "digit") for parent in "ab"]
  write_comparison(tmp_path / "out", groups)
  assert set(json.loads((tmp_path / "out" / "comparison.json").read_text("utf-8"))) == {group.name for group in groups}


@pytest.mark.parametrize(
  "changed", ["train.epochs = 3", "train.data_dirs = 'x'", "train.seed_of_data = 1", "objective.lambda3 = 2.0"]
)
def test_runs_that_differ_in_anything_else_do_not(make_run, changed):
  folders = [make_run("a"), make_run("b", seed=1)]
  config = pathlib.Path(folders[1]) / "config.gin"
  assert len(read_runs(folders)) == 1
  config.write_text(config.read_text(encoding="utf-8") + changed + "\n", encoding="utf-8")
  assert [list(group.runs) for group in read_runs(folders)] == [[folders[0]], [folders[1]]]


def test_order_and_breaks_of_a_configuration_do_not_count(make_run):
  folders = [make_run("a"), make_run("b", seed=1)]
  lines = "\n# Another comment\nobjective.lambda3   = 1.0\n\ntrain.data_dir = '/x'\ntrain.seed = 1\n"
  (pathlib.Path(folders[1]) / "config.gin").write_text(lines, encoding="utf-8")
  assert len(read_runs(folders)) == 1


# --- Intervals --------------------------------------------------------------------------------------------------------


def group_of(*figures, key="leakage/worst"):
  return Group({f"runs/a-{i}": {key: figure} for i, figure in enumerate(figures)})


def test_the_interval_holds_the_seeds_and_the_test_images():
  """Student's t over the runs, and what each run's own interval says of the images, in quadrature."""
  values, below, above = np.array([0.2, 0.25, 0.27]), np.array([0.03, 0.01, 0.02]), np.array([0.05, 0.02, 0.04])
  figures = [{"value": v, "low": v - b, "high": v + a, "probe": "mlp"} for v, b, a in zip(values, below, above)]
  figure = group_of(*figures).figure("leakage/worst")
  t = 4.302653 * np.std(values, ddof=1) / math.sqrt(3)
  assert figure.pop("over") == "seeds and images"
  low, high = 0.24 - math.sqrt(t**2 + np.mean(below**2)), 0.24 + math.sqrt(t**2 + np.mean(above**2))
  assert figure == pytest.approx({"value": 0.24, "low": low, "high": high}, rel=1e-6)


def test_runs_that_agree_are_as_sure_as_one_of_them_and_no_more():
  one = with_interval(np.arange(288) < 288)
  figure = group_of(one, one, one).figure("leakage/worst")
  assert figure == pytest.approx({**{k: one[k] for k in ("value", "low", "high")}, "over": "seeds and images"})


def test_without_intervals_of_its_own_a_figure_has_students():
  values = (1.0, 1.2, 1.5)
  for figures in (
    [{"value": v} for v in values],
    [{"value": 1.0, "low": 0.9, "high": 1.1}, *({"value": v} for v in values[1:])],
  ):
    figure = group_of(*figures).figure("leakage/worst")
    assert figure.pop("over") == "seeds"
    low, high = stats.t.interval(0.95, 2, loc=np.mean(values), scale=np.std(values, ddof=1) / np.sqrt(3))
    assert figure == pytest.approx({"value": np.mean(values), "low": low, "high": high})


def test_an_interval_stays_within_the_range_of_its_figure():
  values = (0.02, 0.5, 0.99)
  for within, low, high in (([0, 1], 0, 1), ([0, None], 0, None), ([None, 1], None, 1), (None, None, None)):
    figures = [{"value": v, "low": v - 0.01, "high": v + 0.01, **({"range": within} if within else {})} for v in values]
    figure = group_of(*figures).figure("leakage/worst")
    assert figure["low"] == low if low is not None else figure["low"] < -0.5
    assert figure["high"] == high if high is not None else figure["high"] > 1.5


def test_what_is_infinite_has_no_interval():
  assert group_of({"value": math.inf}, {"value": 30.0, "low": 29.0, "high": 31.0}).figure("leakage/worst") == {
    "value": math.inf
  }


@pytest.mark.parametrize(("truth", "of_seeds"), [(0.9, 0.002), (0.97, 0.002), (0.9, 0.02)])
def test_the_interval_covers_where_all_seeds_see_the_same_images(truth, of_seeds):
  """Three seeds, 1,000 shared test images: Student's t over seeds alone would cover a third of the first case."""
  random_state, covered, of_t_alone = np.random.default_rng(0), [], []
  for _ in range(300):
    difficulty = random_state.random(1000)  # an image is recognised by all seeds, or by none, but for the seeds' noise
    figures = []
    for p in truth + random_state.normal(0, of_seeds, 3):
      value, half = np.mean(difficulty < p), 1.96 * math.sqrt(truth * (1 - truth) / 1000)
      figures.append({"value": value, "low": value - half, "high": value + half, "range": [0, 1]})
    for hits, group in (
      (covered, group_of(*figures)),
      (of_t_alone, group_of(*({"value": f["value"]} for f in figures))),
    ):
      figure = group.figure("leakage/worst")
      hits.append(figure["low"] <= truth <= figure["high"])
  assert 0.93 <= np.mean(covered) <= 0.99
  assert of_seeds > 0.01 or np.mean(of_t_alone) < 0.6


def test_a_single_run_keeps_its_own_interval(make_run):
  (group,) = read_runs([make_run("a")])
  figure = group.figure("leakage/worst")
  assert figure.pop("over") == "images" and figure == pytest.approx({"value": 0.3, "low": 0.29, "high": 0.32})
  assert "0.3000 [0.2900, 0.3200]" in markdown([group])
  assert group_of({"value": 2.0, "extractor": "x"}).figure("leakage/worst") == {"value": 2.0}


# --- The table and the plots ------------------------------------------------------------------------------------------


def test_a_group_has_the_figures_of_all_its_runs():
  group = Group({"a-0": {"x": {"value": 1}, "y": {"value": 1}}, "a-1": {"z": {"value": 1}, "y": {"value": 1}}})
  assert group.keys == ["y"] and group.name == "a"


COLUMNS = [f"control/{name}_{z1}" for name in ("accuracy", "mae", "median_error") for z1 in ("mean", "sample", "prior")]
COLUMNS += [f"leakage/{name}" for name in ("worst", "worst_nats", "image", "worst_all", "worst_all_nats")]
COLUMNS += ["complement/color_mae", "complement/digit_accuracy", "complement/ink_iou"]
COLUMNS += ["quality/psnr", "quality/sharpness_rec", "quality/sharpness_fusion", "quality/fid", "bound/ratio"]
COLUMNS += ["counterpart/psnr", "counterpart/mae_kept"]


def test_the_columns_are_in_their_order_whatever_that_of_the_runs_is(make_run):
  figures = dict.fromkeys(reversed(COLUMNS), 0.5)
  (header, *_) = markdown(read_runs([make_run("a", **figures)])).splitlines()
  assert header == f"|  | seeds | {' | '.join(COLUMNS)} |"
  assert [figure.name for figure in column_figures()] == COLUMNS


def test_a_figure_of_a_users_measurement_is_a_column_and_comes_last(make_run):
  run = make_run("a", **{"sharpness/all": 0.25, "sharpness/color/x": 0.5, "sharpness/hidden": 3.0, "bound/ratio": 0.5})
  with MEASUREMENTS.temporary():

    @MEASUREMENTS.register("sharpness_of_a_test")
    class Sharpness(Measurement):
      figures = (Figure("sharpness/hidden"), Figure("sharpness/all", column=True), Figure("sharpness/x", column=True))

    header, _, line, *_ = markdown(read_runs([run])).splitlines()
  assert header.endswith("| quality/psnr | bound/ratio | sharpness/all | sharpness/color/x |")
  assert line.endswith("| 0.2500 [0.2400, 0.2700] | 0.5000 [0.4900, 0.5200] |")


def test_the_table_says_what_its_intervals_are_over(make_run):
  fid = {"quality/fid": 12.5}
  groups = read_runs([make_run("a-0", **fid), make_run("a-1", seed=1, **fid)])
  words = "over seeds and test images; of a figure that has no interval in a single run (FID, KID), over seeds alone"
  assert words in markdown(groups) and "of a single seed, over test images alone" in markdown(groups)
  text = markdown(groups).splitlines()
  assert text[1] == "| --- | --- | --- | --- | --- | --- |" and text[3] == text[5] == text[7] == ""
  assert text[2].endswith(" | 22.00 [21.99, 22.02] | 12.50 [12.49, 12.52] |")
  assert text[6] == "Each run:"
  assert text[10].startswith(f"| {next(iter(groups[0].runs))} | 1 | 0.9900 [0.9800, 1.0100] | 0.3000 [0.2900, 0.3200]")
  assert "Each run" not in markdown(read_runs([next(iter(groups[0].runs))]))  # of a single one, once is enough


@pytest.mark.parametrize(("value", "text"), [(10.0, "10.00"), (9.99, "9.9900"), (-10.0, "-10.00"), (-0.5, "-0.5000")])
def test_digits_of_a_cell(value, text):
  table = markdown([group_of({"value": value})])
  assert table.splitlines()[2] == f"| a-0 | 1 | {text} |"
  assert (
    markdown([group_of({"value": value, "low": value, "high": value})])
    .splitlines()[2]
    .endswith(f"| {text} [{text}, {text}] |")
  )


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
  assert list(figures) == ["a", "b"] and figures["b"]["runs"] == list(groups[1].runs)
  assert set(figures["a"]["figures"]) == {"control/accuracy_mean", "leakage/worst", "quality/psnr"}
  assert figures["b"]["figures"]["quality/psnr"] == groups[1].figure("quality/psnr")
  assert groups[1].figure("quality/psnr") == pytest.approx(
    {"value": 30.0, "low": 29.99, "high": 30.02, "over": "images"}
  )
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
  assert [list(line.get_xdata()) for line in dots] == [[0.99, 0.99], [0.99]]
  assert [list(container[0].get_ydata()) for container in axes[0].containers] == [[0.4], [0.3]]
  assert [list(container[0].get_xdata()) for container in axes[1].containers] == [[22.0], [22.0]]
  assert [container.get_label() for container in axes[0].containers] == ["a", "b"]
  dots_of_b, mean_of_b = dots[1], axes[0].containers[1][0]
  assert dots_of_b.get_color() == mean_of_b.get_color() != dots[0].get_color() and mean_of_b.get_marker() == "o"
  _, _, (across, upright) = axes[2].containers[1].lines  # the intervals of b: of PSNR and of control
  np.testing.assert_allclose(across.get_segments(), [[[21.99, 0.99], [22.02, 0.99]]])
  np.testing.assert_allclose(upright.get_segments(), [[[22, 0.98], [22, 1.01]]])


def test_the_frontier_has_a_point_with_a_name_for_each_run(make_run, tmp_path):
  places = {"a0": (0.99, 0.3, 22.0), "a1": (0.97, 0.2, 24.0), "no_adversary": (0.95, 0.6, 26.0)}
  runs = [
    make_run(name, **{"control/accuracy_mean": x, "leakage/worst": y, "quality/psnr": psnr})
    for name, (x, y, psnr) in places.items()
  ]
  drawn = frontier(read_runs(runs))
  axes = drawn.axes[0]
  assert (axes.get_xlabel(), axes.get_ylabel(), drawn.axes[1].get_ylabel()) == (
    "control/accuracy_mean",
    "leakage/worst",
    "quality/psnr",
  )
  _, points = axes.collections
  np.testing.assert_allclose(points.get_offsets(), [place[:2] for place in places.values()])
  np.testing.assert_allclose(points.get_array(), [psnr for *_, psnr in places.values()])
  assert {text.get_text(): text.xy for text in axes.texts} == {name: place[:2] for name, place in places.items()}
  assert axes.get_title() == "right and low is best"
  write_comparison(tmp_path / "c", read_runs(runs))
  assert (tmp_path / "c" / "frontier.png").read_bytes().startswith(b"\x89PNG")


def test_names_of_runs_that_lie_on_one_another_are_moved_apart(make_run):
  seeds = [make_run(f"seed{seed}", seed, **{"leakage/worst": 0.3 + seed / 1000}) for seed in range(3)]
  far = make_run("far", weight=2.0, **{"leakage/worst": 0.9, "control/accuracy_mean": 0.5})
  axes = frontier(read_runs([*seeds, far])).axes[0]
  lines = {}
  for text in axes.texts:
    *_, low = axes.transData.transform(text.xy)
    lines[text.get_text()] = low + text.xyann[1] * axes.figure.dpi / 72
  apart = np.diff([lines[f"seed{seed}"] for seed in range(3)])
  assert (apart >= 14 - 1e-6).all() and apart.max() < 30
  sides = {text.get_text(): (text.xyann[0], text.get_horizontalalignment()) for text in axes.texts}
  assert sides["far"] == (7, "left") and sides["seed0"] == (-7, "right")  # inwards: the seeds have more control


def test_the_frontier_leaves_out_what_has_no_control_or_no_psnr(make_run):
  def without(name, *keys, weight):
    folder = pathlib.Path(make_run(name, weight=weight))
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    text = json.dumps({key: figure for key, figure in metrics.items() if key not in keys})
    (folder / "metrics.json").write_text(text, encoding="utf-8")
    return str(folder)

  none, dim = without("none", "control/accuracy_mean", weight=2.0), without("dim", "quality/psnr", weight=3.0)
  axes = frontier(read_runs([make_run("a"), none, dim])).axes[0]
  assert {text.get_text() for text in axes.texts} == {"a", "dim"}
  assert frontier(read_runs([none])) is None
  color = make_run("color", weight=4.0, **{"control/mae_mean": 0.02})
  (pathlib.Path(color) / "metrics.json").write_text(
    json.dumps({key: {"value": 0.02} for key in ("control/ink/mae_mean", "leakage/ink/worst")}), encoding="utf-8"
  )
  axes = frontier(read_runs([color])).axes[0]
  assert (axes.get_xlabel(), axes.get_title()) == ("control/ink/mae_mean", "left and low is best")


def test_the_plots_take_the_control_that_there_is(make_run):
  def of(name, weight, **figures):
    run = make_run(name, weight=weight, **figures)
    metrics = json.loads((pathlib.Path(run) / "metrics.json").read_text(encoding="utf-8"))
    del metrics["control/accuracy_mean"]
    (pathlib.Path(run) / "metrics.json").write_text(json.dumps(metrics), encoding="utf-8")
    return run

  color, pose = of("color", 1, **{"control/mae_mean": 0.02}), of("pose", 2, **{"control/median_error_mean": 4.0})
  axes = scatter(read_runs([color, pose])).axes
  assert [a.get_xlabel() for a in axes] == ["control/mae_mean", "quality/psnr", "quality/psnr"]
  assert [len(a.containers) for a in axes] == [1, 2, 1]  # the pose has no such control
  assert scatter(read_runs([pose])).axes[0].get_xlabel() == "control/median_error_mean"
  (nothing,) = scatter(read_runs([of("none", 3)])).axes  # only leakage and PSNR
  assert (nothing.get_xlabel(), nothing.get_ylabel()) == ("quality/psnr", "leakage/worst")


def test_a_run_that_is_not_measured_is_named_with_the_command_to_run(make_run, tmp_path):
  run = make_run("a")
  with pytest.raises(RunError, match="nowhere"):
    read_runs([run, str(tmp_path / "nowhere")])
  (tmp_path / "a" / "metrics.json").write_text('{"quality/psnr": {"value": 1}}', encoding="utf-8")  # the quick subset
  with pytest.raises(RunError, match=f"tfdisent --mode=eval --run_dir={run}"):
    read_runs([run])
  (tmp_path / "a" / "metrics.json").write_text('{"leakage/worst": ', encoding="utf-8")
  with pytest.raises(RunError, match=rf"metrics.json cannot be read.*tfdisent --mode=eval --run_dir={run}"):
    read_runs([run])
  (tmp_path / "a" / "metrics.json").write_text('{"leakage/worst": {"low": 1}}', encoding="utf-8")
  with pytest.raises(RunError, match="is not measured yet"):
    read_metrics(run)
  (tmp_path / "a" / "metrics.json").unlink()
  with pytest.raises(RunError, match=f"{run} is not measured yet. Run: tfdisent --mode=eval"):
    read_metrics(run)
  (tmp_path / "a" / "config.gin").unlink()
  with pytest.raises(RunError, match=f"{run} holds no run: its config.gin cannot be read"):
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


def test_figures_of_an_older_version_stand_beside_newer_ones(make_run):
  """It did not measure the sharpness."""
  new = {"quality/sharpness_rec": 0.9, "quality/sharpness_fusion": 0.8}
  table = markdown(read_runs([make_run("old"), make_run("new", weight=2.0, **new)]))
  header, _, old, newer, *_ = table.splitlines()
  assert header.endswith("| quality/psnr | quality/sharpness_rec | quality/sharpness_fusion |")
  assert old.endswith("] |  |  |") and "| 0.8000 [0.7900, 0.8200] |" in newer
  same = markdown(read_runs([make_run("seed0"), make_run("seed1", seed=1, **new)]))  # one line: what both have
  assert "sharpness" not in same.split("Each run")[0].splitlines()[0]
