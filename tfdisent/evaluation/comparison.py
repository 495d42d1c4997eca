"""Runs side by side: a table with intervals over seeds and test images, and leakage against control against PSNR.

`frontier` draws all three at once, a point for each run: what the terms of an objective buy, where runs differ in them.
"""

import json
import math
import pathlib
import re
from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

from tfdisent import run
from tfdisent.errors import RunError
from tfdisent.evaluation.measurement import Metrics, column_figures, figure_keys, without_part

TABLE_FILE, FIGURES_FILE, PLOT_FILE = run.COMPARISON_FILE, run.COMPARISON_FIGURES_FILE, run.COMPARISON_PLOT_FILE
CONTROLS = ("control/accuracy_mean", "control/mae_mean", "control/median_error_mean")
"""The control that plots show, the first that there is."""
WORST = ("leakage/worst",)
LABEL = (120, 14)
"""Pixels that the name of a run takes in the figure: two that are nearer would lie on one another."""


class Group:
  """Runs of one configuration, which differ in their seed alone.

  Attributes:
    name: the folder's name, without the seed where several runs share it; its path, where groups have one name.
    runs: the metrics of each run, by its folder.
  """

  def __init__(self, runs: Mapping[str, Metrics]):
    self.runs = dict(runs)
    self.name = _shared([pathlib.Path(run).name for run in self.runs])

  @property
  def keys(self) -> list[str]:
    """The figures that every run of the group has."""
    first, *others = self.runs.values()
    return [key for key in first if all(key in other for other in others)]

  def figure(self, key: str) -> dict:
    """The mean over the runs, and its 95 % interval over seeds and test images; of a single run, its own figure.

    All runs of a group are measured on the same test images, pairs and noise, so they err together. How far the runs
    are apart does not show that error, so Student's t over runs alone is too narrow. Of k runs with values v_i and
    intervals [l_i, h_i], the mean is off by

      t = t(0.975, k - 1) s / √k to each side, for the seeds, with s the standard deviation of v_i (Student 1908);
      b = √(mean (v_i - l_i)²) below and a = √(mean (h_i - v_i)²) above, for the images: more runs do not reduce it.

    The two are independent, and intervals of independent parts join in quadrature (Zou & Donner 2008):

      low = mean - √(t² + b²),  high = mean + √(t² + a²),

    cut to the range that the figure can have. Errors on images that the runs do not share count twice, in t and in a
    and b, so the interval is rather too wide than too narrow. A figure without an interval of its own (FID, KID) has t
    alone.

    Returns:
      "value", "low" and "high" where there are such, and "over": what the interval is over, "seeds and images", "seeds"
      or "images".
    """
    figures = [metrics[key] for metrics in self.runs.values()]
    if len(figures) == 1:
      figure = {name: figures[0][name] for name in ("value", "low", "high") if name in figures[0]}
      return {**figure, "over": "images"} if "low" in figure else figure
    values = np.array([figure["value"] for figure in figures])
    value = float(values.mean())
    if not np.isfinite(value):
      return {"value": value}
    t = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
    below = above = 0.0
    if have_intervals := all("low" in figure for figure in figures):
      below, above = (_rms([figure[end] - figure["value"] for figure in figures]) for end in ("low", "high"))
    least, most = figures[0].get("range", (None, None))
    low, high = value - math.hypot(t, below), value + math.hypot(t, above)
    return {
      "value": value,
      "low": low if least is None else max(low, least),
      "high": high if most is None else min(high, most),
      "over": "seeds and images" if have_intervals else "seeds",
    }


def _shared(names: Sequence[str]) -> str:
  """What folders are called that differ in a seed: "digit" of digit-seed0 and digit-seed1."""
  pieces = zip(*(name.split(",") for name in names))  # a sweep: "seed=0,lambda3=0.1"
  if shared := [piece for piece, *others in pieces if {piece} >= {*others}]:
    return ",".join(shared)
  stems = {re.sub(r"[-_.,=]*(seed|s)?[-_.=]*\d+$", "", name) for name in names} - {""}
  return stems.pop() if len(stems) == 1 else names[0]


def _rms(values: Sequence[float]) -> float:
  return math.sqrt(np.mean(np.square(values)))


def read_runs(run_dirs: Sequence[str], split: str = "test", checkpoint: str = "best") -> list[Group]:
  """The runs of several folders, those that differ in nothing but `train.seed` together; in the order that is given.

  Args:
    run_dirs: the folders.
    split, checkpoint: which figures of theirs are read.

  Raises:
    RunError: a folder holds no run, or one that `--mode=eval` has not measured; the message names it.
  """
  groups: dict[frozenset[str], dict[str, Metrics]] = {}
  for run_dir in dict.fromkeys(str(pathlib.Path(run_dir)) for run_dir in run_dirs):
    configuration = _configuration(pathlib.Path(run_dir))
    groups.setdefault(configuration, {})[run_dir] = read_metrics(run_dir, split, checkpoint)
  found = [Group(runs) for runs in groups.values()]
  names = [group.name for group in found]
  for group in found:
    if names.count(group.name) > 1:  # a/digit and b/digit
      group.name = next(iter(group.runs))
  return found


def read_metrics(run_dir: str, split: str = "test", checkpoint: str = "best") -> Metrics:
  """The whole protocol's figures of one run; errors as in `read_runs`."""
  flags = [f"--split={split}"] * (split != "test") + [f"--checkpoint={checkpoint}"] * (checkpoint != "best")
  command = " ".join(["tfdisent --mode=eval", *flags, f"--run_dir={run_dir}"])
  try:
    metrics, _ = run.read_metrics(pathlib.Path(run_dir), split, checkpoint)
  except FileNotFoundError:
    metrics = {}
  except RunError as error:
    raise RunError(f"{error} Write it anew: {command}") from error
  is_whole = any(without_part(key) == "leakage/worst" for key in metrics)
  if not (is_whole and all("value" in figure for figure in metrics.values())):
    raise RunError(f"{run_dir} is not measured yet. Run: {command}")
  return metrics


def _configuration(run_dir: pathlib.Path) -> frozenset[str]:
  """What a run was asked for, but for its seed and where its data lies."""
  if not (run_dir / run.CONFIG_FILE).is_file():
    raise RunError(f"{run_dir} holds no run: its {run.CONFIG_FILE} cannot be read.")
  lines = run.bindings(run.read_config(run_dir))
  return frozenset(line for line in lines if not line.startswith("train.seed "))


# --- What is written --------------------------------------------------------------------------------------------------


def write_comparison(folder: pathlib.Path, groups: Sequence[Group]) -> str:
  """Writes a comparison into a folder: `comparison.md` (the table), `.json` (all figures) and `.png` (plots), and
  `frontier.png`, if there are runs with control and leakage. Returns the table.
  """
  table = markdown(groups)
  figures = {
    group.name: {"runs": list(group.runs), "figures": {key: group.figure(key) for key in group.keys}}
    for group in groups
  }
  with run.writing(f"the comparison in {folder}", run.MAKE_ROOM):
    folder.mkdir(parents=True, exist_ok=True)
    run.write(folder / TABLE_FILE, table)
    run.write(folder / FIGURES_FILE, json.dumps(figures, indent=2) + "\n")
    scatter(groups).savefig(folder / PLOT_FILE, dpi=110)
    if drawn := frontier(groups):
      drawn.savefig(folder / run.FRONTIER_FILE, dpi=110)
  return table


def markdown(groups: Sequence[Group]) -> str:
  """The Markdown table: a line for each configuration; below it, each run by itself."""
  columns = figure_keys(column_figures(), dict.fromkeys(key for group in groups for key in group.keys))
  lines = _lines(columns, [(group.name, len(group.runs), group) for group in groups])
  text = "\n".join(lines) + "\n\n"
  text += (
    "Mean over the seeds [95 % interval over seeds and test images; of a figure that has no interval in a single run "
    "(FID, KID), over seeds alone; of a single seed, over test images alone].\n"
  )
  if any(len(group.runs) > 1 for group in groups):
    runs = [(run, 1, Group({run: metrics})) for group in groups for run, metrics in group.runs.items()]
    text += "\nEach run:\n\n" + "\n".join(_lines(columns, runs)) + "\n"
  return text


def _lines(columns, rows):
  cells = [["", "seeds", *columns], ["---"] * (len(columns) + 2)]
  cells += [
    [name, str(count), *(_cell(group.figure(key)) if key in group.keys else "" for key in columns)]
    for name, count, group in rows
  ]
  return [f"| {' | '.join(row)} |" for row in cells]


def _cell(figure: Mapping[str, float]) -> str:
  digits = 2 if abs(figure["value"]) >= 10 else 4
  interval = f" [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]" if "low" in figure else ""
  return f"{figure['value']:.{digits}f}{interval}"


# --- Plots ------------------------------------------------------------------------------------------------------------


def scatter(groups: Sequence[Group]) -> Figure:
  """Leakage against control, leakage against PSNR, control against PSNR: each is cheap without the others.

  A run is a small dot, the mean of its configuration a large one with the interval over seeds.
  """
  control, worst = _first(groups[0].keys, CONTROLS), _first(groups[0].keys, WORST)
  keys = ((control, worst), ("quality/psnr", worst), ("quality/psnr", control))
  pairs = [pair for pair in keys if all(pair)]
  figure = Figure(figsize=(5 * len(pairs), 4.6), layout="constrained")
  for axes, (x, y) in zip(np.atleast_1d(figure.subplots(1, len(pairs))), pairs):
    for i, group in enumerate(groups):
      if not {x, y} <= set(group.keys):
        continue  # a run of another feature
      color, runs = f"C{i}", group.runs.values()
      axes.plot([m[x]["value"] for m in runs], [m[y]["value"] for m in runs], ".", color=color, alpha=0.6)
      of_x, of_y = group.figure(x), group.figure(y)
      axes.errorbar(
        of_x["value"], of_y["value"], _reach(of_y), _reach(of_x), "o", color=color, label=group.name, elinewidth=0.8
      )
    axes.set(xlabel=x, ylabel=y)
    axes.locator_params(axis="x", nbins=5)
    axes.grid(alpha=0.3)
  figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=min(4, len(groups)))
  return figure


def frontier(groups: Sequence[Group]) -> Figure | None:
  """Control against leakage, a point with a name for each run, its colour the PSNR: what each run buys, and for what.

  Names that would lie on one another are moved upwards. Runs of another feature, which lack one of the figures, are
  left out; None where no run has them. Of several parts of f it shows the first.
  """
  runs = {name: metrics for group in groups for name, metrics in group.runs.items()}
  control, worst = (next((k for m in runs.values() if (k := _first(m, names))), None) for names in (CONTROLS, WORST))
  points = [(name, m[control]["value"], m[worst]["value"], m) for name, m in runs.items() if {control, worst} <= set(m)]
  if not points:
    return None
  names, x, y, metrics = zip(*points)
  psnr = [m.get("quality/psnr", {}).get("value", math.nan) for m in metrics]
  figure = Figure(figsize=(8, 6), layout="constrained")
  axes = figure.subplots()
  axes.margins(0.15)
  axes.set(xlabel=control, ylabel=worst, title=f"{'right' if control == CONTROLS[0] else 'left'} and low is best")
  axes.grid(alpha=0.3)
  axes.scatter(x, y, color="0.7", s=70, zorder=1)  # of a run without a PSNR this is what is seen
  figure.colorbar(axes.scatter(x, y, c=psnr, s=70, zorder=2), label="quality/psnr")
  figure.draw_without_rendering()  # which lays it out: before that, nobody knows what lies on what
  placed: list[tuple[float, float]] = []
  for place in np.argsort(y, kind="stable"):
    name = pathlib.Path(names[place]).name
    left, low = at = axes.transData.transform((x[place], y[place]))
    while near := [line for begin, line in placed if abs(left - begin) < LABEL[0] and abs(low - line) < LABEL[1]]:
      low = max(near) + LABEL[1]
    placed.append((left, low))
    is_left = left > np.mean(axes.bbox.intervalx)  # a name reaches inwards, or it would be cut off
    offset = (-7 if is_left else 7, 6 + (low - at[1]) * 72 / figure.dpi)
    side = {"horizontalalignment": "right"} if is_left else {}
    axes.annotate(name, (x[place], y[place]), offset, textcoords="offset points", size=8, **side).set_in_layout(False)
  return figure


def _first(keys: Collection[str], names: Sequence[str]) -> str | None:
  """The first of some keys that is one of the figures `names`, of any part of f, in the order of `names`."""
  return next((key for name in names for key in keys if without_part(key) == name), None)


def _reach(figure: Mapping[str, float]) -> list[list[float]]:
  """How far the interval reaches below and above, as matplotlib wants it."""
  value = figure["value"]
  return [[value - figure.get("low", value)], [figure.get("high", value) - value]]
