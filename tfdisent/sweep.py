"""Many trainings from one command: each combination of some settings, measured, and laid side by side.

Every run is a process of its own, started with the command that a user would type: it gives the same figures, and one
that fails takes no other with it. The sweep started again goes on where it was: what is measured stays, an interrupted
training goes on, the rest follows. What was measured with other settings is refused before anything is run.
"""

import itertools
import numbers
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from tfdisent.errors import ConfigError, RunError
from tfdisent.evaluation.comparison import read_metrics, read_runs, write_comparison
from tfdisent.evaluation.measurement import curve_figures
from tfdisent.run import FEATURE_EXAMPLES_FILE, differences, read_description

GIN_FILE = "gin_file"  # a key of the grid that is no binding
Settings = dict[str, object]


def combinations(grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]]) -> dict[str, Settings]:
  """The settings of every run of a sweep, by the name of the run's folder.

  Args:
    grid: values of each binding, `{"objective.lambda6": (0.0, 10.0), "train.seed": (0, 1, 2)}`: every combination is a
      run. The key "gin_file" takes configurations: each is read after the sweep's own file. Several grids give the runs
      of each.

  Raises:
    ConfigError: a grid is empty or no mapping to sequences, or two runs would share a folder.
  """
  grids = [grid] if isinstance(grid, Mapping) else list(grid or [])
  if not grids or not all(grids):
    raise ConfigError(
      "sweep.grid is empty: bind it to the values of each setting, as in "
      "sweep.grid = {'objective.lambda6': (0.0, 10.0), 'train.seed': (0, 1, 2)}."
    )
  runs: dict[str, Settings] = {}
  for one in grids:
    for key, values in one.items():
      if isinstance(values, (str, Mapping)) or not isinstance(values, Sequence) or not values:
        raise ConfigError(f"sweep.grid: '{key}' needs a list of values, not {values!r}.")
    for values in itertools.product(*one.values()):
      settings = dict(zip(one, values))
      name = run_name(settings)
      if runs.setdefault(name, settings) != settings:
        raise ConfigError(f"sweep.grid: {settings} and {runs[name]} would share the run folder '{name}'.")
  return runs


def run_name(settings: Settings) -> str:
  """The folder of a run: "color_mnist_digit,lambda6=10.0,seed=0"."""

  def plain(value):
    return re.sub(r"[^\w.+-]+", "_", str(value)).rstrip("_")

  return ",".join(
    plain(pathlib.Path(str(value)).stem) if key == GIN_FILE else f"{plain(key.rsplit('.', 1)[-1])}={plain(value)}"
    for key, value in settings.items()
  )


def run(
  folder: pathlib.Path,
  runs: Mapping[str, Settings],
  asked: Mapping[str, set[str]],
  gin_files: Sequence[str],
  gin_params: Sequence[str] = (),
  data_dir: str | None = None,
  trust: Sequence[str] = (),
  split: str = "test",
) -> str:
  """Trains and measures what is not measured yet, one run after the other, and compares.

  Args:
    folder: gets a run folder for each of `runs`, `comparison.{md,json,png}`, and `curves.png`.
    runs: of `combinations`.
    asked: the bindings of each run by its name, of `tfdisent.run.bindings`: what was measured with others is refused.
    gin_files, gin_params, data_dir, trust: of the command line; they go to every run, before its own settings.
    split: that the runs are measured on: "validation" where one of them is chosen, "test" for figures to publish.

  Returns:
    The Markdown table of the runs.

  Raises:
    RunError: some runs failed; they are named, with the command of each. The others are compared all the same. Or
      some were measured with another configuration; what differs is named, and nothing is run.
  """
  _refuse_others(folder, asked, split)
  failed, table = {}, ""
  for number, (name, settings) in enumerate(runs.items(), 1):
    run_dir = folder / name
    print(f"\n[{number}/{len(runs)}] {name}", flush=True)
    if not is_measured(run_dir, split):
      train, evaluate = commands(run_dir, settings, gin_files, gin_params, data_dir, trust, split)
      for command in (train, evaluate):
        print(f"$ {shlex.join(['tfdisent', *command[3:]])}", flush=True)
        code = subprocess.run(command, check=False).returncode
        if code or not (run_dir / FEATURE_EXAMPLES_FILE).is_file():  # a training that was asked to stop ends with 0
          failed[name] = command
          break
    if done := [other for other in runs if is_measured(folder / other, split)]:
      table = write_comparison(folder, read_runs([str(folder / other) for other in done], split))
      if figure := curves({other: (runs[other], read_metrics(str(folder / other), split)) for other in done}):
        figure.savefig(folder / "curves.png", dpi=110)
  if failed:
    lines = "".join(f"\n  {name}: tfdisent {shlex.join(command[3:])}" for name, command in failed.items())
    raise RunError(f"{len(failed)} of {len(runs)} runs failed; the same command tries them again:{lines}\n{table}")
  return table


def configuration(settings: Settings, gin_files, gin_params) -> tuple[list[str], list[str]]:
  """The gin files and the bindings of a run: those of the sweep, then its own."""
  files = [*gin_files, *([str(settings[GIN_FILE])] if GIN_FILE in settings else [])]
  return files, [*gin_params, *(f"{key} = {value!r}" for key, value in settings.items() if key != GIN_FILE)]


def commands(
  run_dir, settings: Settings, gin_files, gin_params, data_dir, trust=(), split="test"
) -> tuple[list[str], list[str]]:
  """The command that trains a run, and the one that measures it."""
  gin_files, bindings = configuration(settings, gin_files, gin_params)
  base = [sys.executable, "-m", "tfdisent.main"]
  where = [f"--run_dir={run_dir}", *([f"--data_dir={data_dir}"] if data_dir else [])]
  train = [*base, *(f"--gin_file={file}" for file in gin_files), *(f"--gin_param={b}" for b in bindings), *where]
  how = [*([f"--trust={','.join(trust)}"] if trust else []), *([f"--split={split}"] if split != "test" else [])]
  return train, [*base, "--mode=eval", *where, *how]


def is_measured(run_dir: pathlib.Path, split: str = "test") -> bool:
  """Whether the whole protocol has been run on it, and it says what it was asked for.

  A run of an older version does not: it is trained again, which ends at once or is refused, and measured again.
  """
  try:
    read_metrics(str(run_dir), split)
    return "bindings" in read_description(run_dir)
  except RunError:
    return False


def _refuse_others(folder: pathlib.Path, asked: Mapping[str, set[str]], split: str) -> None:
  """Raises `RunError`, naming what differs, if a run is measured and was asked for otherwise."""
  measured = [name for name in asked if is_measured(folder / name, split)]
  changed = {name: differences(set(read_description(folder / name)["bindings"]), asked[name]) for name in measured}
  lines = "".join(f"\n{name}:\n{difference}" for name, difference in changed.items() if difference)
  if lines:
    raise RunError(
      f"{folder} holds measured runs of another configuration (- there, + asked for):{lines}\n"
      "Use another --run_dir, remove these runs, or ask for the same configuration."
    )


def curves(runs: Mapping[str, tuple[Settings, Mapping]]) -> Figure | None:
  """Control, leakage, complement and PSNR over each number that was swept; None where there is none.

  A dot is a run, the line joins the means.
  """
  settings = [of_run for of_run, _ in runs.values()]
  swept = {
    key: sorted({of_run[key] for of_run in settings if key in of_run})
    for key in dict.fromkeys(key for of_run in settings for key in of_run)
    if key != "train.seed" and all(_is_number(of_run.get(key, 0)) for of_run in settings)
  }
  swept = {key: values for key, values in swept.items() if len(values) > 1}
  measures = [figure.name for figure in curve_figures()]
  measures = [key for key in measures if all(key in metrics for _, metrics in runs.values())]
  if not swept or not measures:
    return None
  figure = Figure(figsize=(3.2 * len(measures), 2.8 * len(swept)), layout="constrained")
  for row, (key, values) in zip(figure.subplots(len(swept), len(measures), squeeze=False), swept.items()):
    for axes, measure in zip(row, measures):
      points = [(of_run[key], metrics[measure]["value"]) for of_run, metrics in runs.values() if key in of_run]
      axes.plot(*zip(*points), ".", color="C0", alpha=0.6)
      axes.plot(values, [np.mean([y for x, y in points if x == value]) for value in values], color="C0")
      axes.set(xlabel=key, title=measure)
      axes.grid(alpha=0.3)
  return figure


def _is_number(value) -> bool:
  return isinstance(value, numbers.Real) and not isinstance(value, bool)
