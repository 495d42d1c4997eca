"""What each `--mode` of the command line does with the flags: a call of the api, or of the configuration that is read.

TensorFlow is imported within the functions, since `--help` must not wait for it.
"""

import json
import os
import pathlib
import signal
import sys
from collections.abc import Sequence

from absl import logging
from absl.flags import FLAGS

from tfdisent import flags, shipped
from tfdisent.errors import ConfigError
from tfdisent.paths import expanded, quoted


def train() -> None:
  """Trains by a configuration, or on a folder of images; with --describe it only says what would be trained."""
  if not flags.GIN_FILE.value and not flags.DATA_DIR.value:
    flags.need_gin_file()
  run_dir = None if flags.DESCRIBE.value else flags.run_dir(exists=False)
  bindings = list(flags.GIN_PARAM.value)
  if flags.DATA_DIR.value:
    bindings.append(f"train.data_dir = {str(flags.data_dir())!r}")
  bindings += flags.bindings()
  from tfdisent import config

  if not flags.GIN_FILE.value:
    _train_on_own_images(run_dir, bindings)
    return
  if FLAGS["preset"].present:
    raise ConfigError("--preset is for a training without a gin file, and --gin_file is a recipe of its own.")
  config.read(flags.GIN_FILE.value, [*bindings, *flags.feature()])
  if flags.DESCRIBE.value:
    from tfdisent import data

    print(data.describe(config.dataset_of_run()))
  else:
    config.train(str(run_dir))


def _train_on_own_images(run_dir: pathlib.Path | None, bindings: list[str]) -> None:
  """Trains by a configuration that follows from the images; without a run folder it is only told."""
  from tfdisent import config, plan

  logging.set_verbosity(logging.ERROR)  # what is logged of the data is in the table
  print(f"Looking at {flags.data_dir()} …", flush=True)
  name, source = plan.source(flags.data_dir(), flags.FEATURE.value)
  config.read([], [*plan.OF_FEATURES, *source, *bindings])
  made = plan.make(config.dataset_of_run(), name, flags.FEATURE.value, flags.PRESET.value)
  lines = sorted([*source, *made.bindings], key=lambda line: not line.startswith("import "))
  config.read([], [*lines, *bindings])
  overruled = {binding.partition("=")[0].strip() for binding in bindings}
  if overruled & {"train.epochs", "train.batch_size"}:
    overruled.add("objective.ramp_steps")  # the reason is the number of steps
  reasons = {name: reason for name, reason in made.reasons.items() if name not in overruled}
  print(made)
  print(config.cost(made.dataset, made.feature), flush=True)
  if run_dir is None:
    print(plan.annotated("\n".join(lines), "The configuration:", reasons))
    return
  print(f"{run_dir / 'fusion.png'} shows fusions of validation images after each epoch.", flush=True)
  title = f"What tfdisent has chosen for {flags.data_dir()}. Change what you like, and pass it as --gin_file."
  # It makes the data set once more: gin tells the arguments only of what is called under the configuration in hand.
  config.train(str(run_dir), annotate=lambda text: plan.annotated(text, title, reasons))


def fit_feature() -> None:
  """Fits the learned feature of a configuration, for several runs to share."""
  flags.need_gin_file()
  run_dir = flags.run_dir(exists=False)
  from tfdisent import config

  numbers = (("seed", flags.SEED.value), ("epochs", flags.EPOCHS.value))
  of_flags = [f"fit_feature.{name} = {value}" for name, value in numbers if value is not None]
  config.read(flags.GIN_FILE.value, [*flags.GIN_PARAM.value, *of_flags, *flags.feature()])
  config.fit_feature(run_dir, flags.data_dir())


def evaluate() -> None:
  """Measures a run. gin can run code, so the folder's own configuration is read only if the user names it."""
  run_dir = flags.run_dir()
  from tfdisent import config, run

  if flags.GIN_PARAM.value and not flags.GIN_FILE.value:
    raise ConfigError(
      "--gin_param changes a configuration, and that of a run folder is read only if you name it, since it can run "
      f"code. If you trust it, pass --gin_file={quoted(run_dir / run.CONFIG_FILE)} as well."
    )
  config.read(flags.GIN_FILE.value, flags.GIN_PARAM.value)
  config.evaluate(run_dir, flags.SPLIT.value, flags.CHECKPOINT.value, flags.data_dir(), flags.TRUST.value)


def erase() -> None:
  """Writes the run whose z1 tells a linear reader nothing of f, beside the run itself."""
  run_dir = flags.run_dir()
  from tfdisent import api

  api.erase(run_dir, None, flags.CHECKPOINT.value, flags.data_dir(), flags.TRUST.value, progress=print)


def compare() -> None:
  """Puts the figures of measured runs side by side, in a table and in plots."""
  if not flags.RUN_DIRS.value:
    raise ConfigError("--mode=compare needs the run folders: --run_dirs=runs/a,runs/b.")
  from tfdisent import run
  from tfdisent.evaluation import comparison

  run_dirs = [str(expanded(run_dir)) for run_dir in flags.run_dirs()]
  groups = comparison.read_runs(run_dirs, flags.SPLIT.value, flags.CHECKPOINT.value)
  parents = {str(pathlib.Path(run_dir).absolute().parent) for group in groups for run_dir in group.runs}
  folder = (
    flags.run_dir(exists=False) if flags.RUN_DIR.value else pathlib.Path(os.path.commonpath(parents)) / "comparison"
  )
  print(comparison.write_comparison(folder, groups))
  print(_written(folder, run.COMPARISON_FILE, (run.COMPARISON_PLOT_FILE, run.FRONTIER_FILE)))


def sweep() -> None:
  """Trains and measures every combination of some settings, each in a process of its own."""
  flags.need_gin_file()
  folder = flags.run_dir(exists=False)
  from tfdisent import config, run, sweep

  of_flags = [*flags.bindings(), *flags.feature()]
  bindings = [*flags.GIN_PARAM.value, *of_flags]
  config.read(flags.GIN_FILE.value, bindings)
  runs, bindings_of = config.sweep(), {}
  swept = {key for settings in runs.values() for key in settings}
  if twice := [name for binding in of_flags if (name := binding.partition(" = ")[0]) in swept]:
    flag = twice[0].removeprefix("train.").partition(".")[0]
    raise ConfigError(f"--{flag} gives one value, and sweep.grid goes through those of {twice[0]}: leave one of them.")
  for name, settings in runs.items():
    config.read(*sweep.configuration(settings, flags.GIN_FILE.value, bindings))
    bindings_of[name] = config.bindings_read()
  # Python then leaves the sweep with an exception, and `subprocess.run` kills the training that it waits for.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  print(
    sweep.run(
      folder, runs, bindings_of, flags.GIN_FILE.value, bindings, flags.data_dir(), flags.TRUST.value, flags.SPLIT.value
    )
  )
  print(_written(folder, run.COMPARISON_FILE, (run.COMPARISON_PLOT_FILE, run.FRONTIER_FILE, run.CURVES_FILE)))


def _written(folder: pathlib.Path, table: str, plots: Sequence[str]) -> str:
  """Where the table is, and the plots that were drawn."""
  drawn = [str(folder / file) for file in plots if (folder / file).is_file()]
  return f"Written to {folder / table}" + (f"; plots in {', '.join(drawn)}" if drawn else "")


def sample() -> None:
  """Draws a picture of what a model does into the folder of its run."""
  run_dir = flags.run_dir()
  from tfdisent import api

  asked = {"what": flags.WHAT.value, "features": flags.FEATURE.value, "data_dir": flags.data_dir()}
  api.sample(run_dir, flags.SEED.value or 0, flags.CHECKPOINT.value, flags.TRUST.value, **asked)


def export() -> None:
  """Writes the model of a run for a server, a phone, a browser, or whatever a plug-in writes."""
  run_dir = flags.run_dir()
  from tfdisent import api, config
  from tfdisent.serving import compact, litert, saved_model, web  # noqa: F401  (gin then binds their arguments)

  if flags.GIN_FILE.value or flags.GIN_PARAM.value:
    config.read(flags.GIN_FILE.value, flags.GIN_PARAM.value)
  where = (flags.EXPORT_DIR.value, flags.MODEL_NAME.value)
  api.export(run_dir, flags.EXPORT_FORMAT.value, *where, flags.CHECKPOINT.value, flags.TRUST.value, progress=print)


def demo() -> None:
  """Serves the page on which features are turned by hand, until it is stopped."""
  # Of models of the package the paths: a name alone may be a folder here.
  of_package = [str(shipped.FOLDER / name) for name in shipped.names()]
  names = [str(flags.run_dir())] if flags.RUN_DIR.value else (flags.run_dirs() or of_package)
  if not names:
    raise ConfigError("--mode=demo needs --run_dir, the folder of a trained run.")
  from tfdisent import demo

  demo.serve(
    [(pathlib.Path(name).absolute().name, _trained(name)) for name in names], flags.HOST.value, flags.PORT.value
  )


def bench() -> None:
  """Times the training step, or an exported model, and prints the figures as one line of JSON.

  What spoils them is said on stderr.
  """
  run_dir = flags.run_dir() if flags.RUN_DIR.value else None
  from tfdisent import api, config
  from tfdisent.distribution import Worker
  from tfdisent.serving import saved_model

  config.read(flags.GIN_FILE.value, [*flags.GIN_PARAM.value, *flags.strategy()])
  if run_dir:
    path = saved_model.newest_version(api.export_folder(run_dir, flags.EXPORT_DIR.value, flags.MODEL_NAME.value))
    print(json.dumps(config.bench_export(path, _trained(run_dir))))
    return
  strategy = config.strategy()
  figures = config.bench(strategy, **({"peer_command": flags.PEER.value} if flags.PEER.value else {}))
  if Worker(strategy).is_chief:
    print(json.dumps(figures))
    if figures["loaded"]:
      least = min(figures["share_of_cores"]["rounds"])
      print(
        f"The machine is loaded: this process got {least:.0%} of its cores. The speeds are too low.", file=sys.stderr
      )


def _trained(run_dir):
  from tfdisent import api

  return api.load(str(run_dir), flags.CHECKPOINT.value, flags.TRUST.value)
