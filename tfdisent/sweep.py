"""Many trainings from one command: a run for each combination of some settings, measured and compared.

Every run is a process of its own, started with the command that a user would type. So it gives the same figures as that
command, and a run that fails does not end the others. A sweep that is started again goes on: it keeps the measured
runs, continues an interrupted training, and then does the rest. If a run was measured with other settings, the sweep is
refused before anything is run.
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

from tfdisent.errors import ConfigError, RunError, shown
from tfdisent.evaluation.comparison import read_metrics, read_runs, write_comparison
from tfdisent.evaluation.measurement import curve_figures
from tfdisent.run import CURVES_FILE, FEATURE_EXAMPLES_FILE, bindings, differences, read_description

GIN_FILE = "gin_file"  # the only key of a grid that is no binding
Settings = dict[str, object]


def combinations(grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]]) -> dict[str, Settings]:
  """The settings of every run of a sweep, by the name of the run's folder.

  Args:
    grid: the values of each binding, as in `{"objective.lambda3": (1.0, 10.0), "train.seed": (0, 1, 2)}`; every
      combination of them is a run. The values of the key "gin_file" are configurations, which are read after the
      sweep's own file. Of several grids, the runs of all.

  Raises:
    ConfigError: a grid is empty or does not map to sequences, or two runs would share a folder.
  """
  grids = [grid] if isinstance(grid, Mapping) else list(grid or [])
  if not grids or not all(grids):
    raise ConfigError(
      "sweep.grid is empty: bind it to the values of each setting, as in "
      "sweep.grid = {'objective.lambda3': (1.0, 10.0), 'train.seed': (0, 1, 2)}."
    )
  runs: dict[str, Settings] = {}
  for axes in grids:
    for key, values in axes.items():
      if isinstance(values, (str, Mapping)) or not isinstance(values, Sequence) or not values:
        raise ConfigError(f"sweep.grid: '{key}' needs a list of values, not {shown(values)}.")
    for values in itertools.product(*axes.values()):
      settings = dict(zip(axes, values))
      name = run_name(settings)
      if runs.setdefault(name, settings) != settings:
        raise ConfigError(f"sweep.grid: {settings} and {runs[name]} would share the run folder '{name}'.")
  return runs


def run_name(settings: Settings) -> str:
  """The folder of a run: "color_mnist_digit,lambda3=10.0,seed=0"."""

  def plain(value):
    return re.sub(r"[^\w.+-]+", "_", str(value)).rstrip("_")

  return ",".join(
    plain(pathlib.Path(str(value)).stem) if key == GIN_FILE else f"{plain(key.rsplit('.', 1)[-1])}={plain(value)}"
    for key, value in settings.items()
  )


def run(
  folder: pathlib.Path,
  runs: Mapping[str, Settings],
  wanted: Mapping[str, set[str]],
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
    wanted: the bindings of each run by its name, of `tfdisent.run.bindings`. A run that was measured with others is
      refused.
    gin_files, gin_params, data_dir, trust: of the command line; every run gets them, before its own settings.
    split: on which the runs are measured: "validation" to choose one of them, "test" for figures to publish.

  Returns:
    The Markdown table of the runs.

  Raises:
    RunError: some runs failed; the message names them and their commands, and the others are compared. Or some runs
      were measured with another configuration; the message names the differences, and nothing is run.
  """
  _refuse_others(folder, wanted, split)
  failed, table = {}, ""
  for number, (name, settings) in enumerate(runs.items(), 1):
    run_dir = folder / name
    print(f"\n[{number}/{len(runs)}] {name}", flush=True)
    if not is_measured(run_dir, split):
      train, evaluate = commands(run_dir, settings, gin_files, gin_params, data_dir, trust, split)
      for command in (train, evaluate):
        print(f"$ {shlex.join(['tfdisent', *command[3:]])}", flush=True)
        code = subprocess.run(command, check=False).returncode
        # Without this file the training has not ended: one that a SIGTERM stops exits with 0.
        if code or not (run_dir / FEATURE_EXAMPLES_FILE).is_file():
          failed[name] = command
          break
    if done := [other for other in runs if is_measured(folder / other, split)]:
      table = write_comparison(folder, read_runs([str(folder / other) for other in done], split))
      if figure := curves({other: (runs[other], read_metrics(str(folder / other), split)) for other in done}):
        figure.savefig(folder / CURVES_FILE, dpi=110)
  if failed:
    lines = [f"  {name}: tfdisent {shlex.join(command[3:])}" for name, command in failed.items()]
    raise RunError(
      f"{len(failed)} of {len(runs)} runs failed; the same command tries them again:", "\n".join([*lines, table])
    )
  return table


def configuration(settings: Settings, gin_files, gin_params) -> tuple[list[str], list[str]]:
  """The gin files and the bindings of a run: those of the sweep, then its own."""
  files = [*gin_files, *([str(settings[GIN_FILE])] if GIN_FILE in settings else [])]
  return files, [*gin_params, *(f"{key} = {value!r}" for key, value in settings.items() if key != GIN_FILE)]


def commands(
  run_dir, settings: Settings, gin_files, gin_params, data_dir, trust=(), split="test"
) -> tuple[list[str], list[str]]:
  """The command that trains a run, and the one that measures it."""
  gin_files, gin_params = configuration(settings, gin_files, gin_params)
  tfdisent = [sys.executable, "-m", "tfdisent.main"]
  folders = [f"--run_dir={run_dir}", *([f"--data_dir={data_dir}"] if data_dir else [])]
  gin_flags = [*(f"--gin_file={file}" for file in gin_files), *(f"--gin_param={param}" for param in gin_params)]
  others = [*([f"--trust={','.join(trust)}"] if trust else []), *([f"--split={split}"] if split != "test" else [])]
  return [*tfdisent, *gin_flags, *folders], [*tfdisent, "--mode=eval", *folders, *others]


def is_measured(run_dir: pathlib.Path, split: str = "test") -> bool:
  """Whether the folder has the figures of the whole protocol, and the bindings of its training.

  A run of an older version lacks the bindings. It is trained again, which ends at once or is refused, and measured
  again.
  """
  try:
    read_metrics(str(run_dir), split)
    return "bindings" in read_description(run_dir)
  except RunError:
    return False


def _refuse_others(folder: pathlib.Path, wanted: Mapping[str, set[str]], split: str) -> None:
  """Raises `RunError`, which names the differences, if a run was measured with other bindings than the wanted ones."""
  lines = []
  for name in wanted:
    if is_measured(folder / name, split):
      there = bindings("\n".join(read_description(folder / name)["bindings"]))
      difference = differences(there, wanted[name])
      lines += [f"{name}:\n{difference}"] if difference else []
  if lines:
    raise RunError(
      f"{folder} holds measured runs of another configuration (- there, + asked for): use another --run_dir, remove "
      "these runs, or ask for the same configuration.",
      "\n".join(lines),
    )


def curves(runs: Mapping[str, tuple[Settings, Mapping]]) -> Figure | None:
  """Control, leakage, complement and PSNR against each number that was swept; None if no number was.

  Dots are runs; the line joins the means.
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
