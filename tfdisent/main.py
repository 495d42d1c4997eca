"""tfdisent: train a VAE whose z2 alone decides a feature f(x) that you choose, look at it, and use it.

  Train on your own images: in a folder for each class, or beside a table that names them (photos/table.csv), whose
  columns are then the features; no configuration is needed. --describe says what is found, and trains nothing:
    tfdisent --data_dir=photos --describe
    tfdisent --data_dir=photos --run_dir=runs/photos
    tfdisent --data_dir=photos --feature=smile,age,hair_colour --run_dir=runs/faces
  The kind of a column is found, or said: --feature=age:category,azimuth:angle=360.

  Train on digits that come with the installation, with progress; interrupted, the same command goes on:
    tfdisent --gin_file=gin_configs/quickstart.gin --run_dir=runs/quickstart

  Train on the full MNIST, read from TFDS's folder, with one binding changed:
    tfdisent --gin_file=gin_configs/color_mnist_digit.gin --data_dir=~/tensorflow_datasets \\
      --run_dir=runs/digit --gin_param='objective.lambda3 = 20'

  Fit a feature that is learned (features/pose.py has some), then train with it:
    tfdisent --mode=fit_feature --gin_file=gin_configs/color_mnist_rotation.gin --run_dir=runs/rotation_f
    tfdisent --gin_file=gin_configs/color_mnist_rotation.gin --run_dir=runs/rotation \
      --gin_param="rotation.fitted = 'runs/rotation_f'"

  Train on all GPUs of this host, or on the hosts that TF_CONFIG lists (the same command on each; see README.md):
    tfdisent --strategy=mirrored --gin_file=gin_configs/color_mnist_digit.gin --run_dir=runs/digit

  Measure a finished run, on the validation split for choices (metrics_validation.json), on the test split for figures
  to publish (metrics.json, report.html); the run folder is enough:
    tfdisent --mode=eval --split=validation --run_dir=runs/digit
    tfdisent --mode=eval --run_dir=runs/digit

  Draw new images (samples.png), or change one feature of some images while all else stays: each feature of another
  image in turn (swap.png), its whole range (strip.png), those of all others (grid.png), or slowly (morph_hair.png):
    tfdisent --mode=sample --run_dir=runs/digit --seed=7
    tfdisent --mode=sample --run_dir=runs/faces --what=swap
    tfdisent --mode=sample --run_dir=runs/faces --what=strip --feature=smile,age
    tfdisent --mode=sample --run_dir=runs/faces --what=grid --feature=hair --data_dir=photos
    tfdisent --mode=sample --run_dir=runs/faces --what=morph --feature=hair

  Put measured runs side by side; runs that differ in their seed alone share a line, with an interval:
    tfdisent --mode=compare --run_dirs=runs/digit-0,runs/digit-1,runs/paper

  Train and measure every combination of some settings (sweep.grid), one after the other; interrupted, it goes on:
    tfdisent --mode=sweep --gin_file=gin_configs/sweeps/digit_leakage.gin --run_dir=runs/leakage

  Write a SavedModel for TensorFlow Serving into RUN_DIR/export/digit/1, then 2, …; or digit.tflite for a phone:
    tfdisent --mode=export --run_dir=runs/digit
    tfdisent --mode=export --run_dir=runs/digit --export_format=litert

  Turn the features by hand, in the browser (pip install 'tfdisent[demo]'); of the models of the package, or of a run:
    tfdisent --mode=demo
    tfdisent --mode=demo --run_dir=runs/digit

  Time the training step of the reference networks, or what was exported of a run; prints one JSON line:
    tfdisent --mode=bench --gin_param="bench.precision = 'mixed_bfloat16'"
    tfdisent --mode=bench --run_dir=runs/digit

Prepared images and judges are kept in $TFDISENT_CACHE (~/.cache/tfdisent), at most $TFDISENT_CACHE_GB (20) of them;
that folder may be emptied at any time.

A feature of your own: write a module that registers it, name it in the gin file (`import my_package.my_feature`,
`train.feature = 'my_feature'`), and run the same command. See README.md.
"""

import atexit
import contextlib
import io
import json
import os
import pathlib
import signal
import sys

from absl import app, flags, logging

from tfdisent import shipped
from tfdisent.console import say
from tfdisent.errors import ConfigError, Interrupted, RunError, TfdisentError
from tfdisent.paths import expanded, quoted

MODES = ("train", "fit_feature", "eval", "compare", "sweep", "export", "sample", "demo", "bench")

_MODE = flags.DEFINE_enum(
  "mode",
  "train",
  MODES,
  "What to do: train a run, fit a learned feature for one, evaluate one, compare several, train and evaluate many, "
  "export one, draw samples from one, turn its features by hand in the browser, or time the training step or an "
  "exported model.",
)
_GIN_FILE = flags.DEFINE_multi_string(
  "gin_file",
  [],
  "A gin file, in this folder or in the installation (gin_configs/quickstart.gin). "
  "Repeat it to read several; the bindings of a later one replace those of an earlier one.",
)
_GIN_PARAM = flags.DEFINE_multi_string(
  "gin_param", [], 'One gin binding, as in "objective.lambda3 = 20", which replaces that of the files. Repeatable.'
)
_FEATURE = flags.DEFINE_list(
  "feature",
  [],
  "What shall be controlled: columns of the table beside your images, separated by commas. A kind is forced by "
  "'age:category', ':number', ':attribute', ':color', or ':angle=360' with the full turn. Replaces train.feature. In "
  "--mode=sample, which of them the picture changes (default: all, of a morph the first).",
)
_PRESET = flags.DEFINE_string(
  "preset",
  "auto",
  "The recipe where no gin file is given: 'small', 'medium' or 'large' images, the 'paper' alone, or 'auto', which "
  "takes it by the size of the images. RUN_DIR/config.gin tells what it says.",
)
_EPOCHS = flags.DEFINE_integer("epochs", None, "How often the training split is seen. Replaces train.epochs.", 1)
_DESCRIBE = flags.DEFINE_boolean(
  "describe", False, "Say what the data set holds and what would be trained on it, for how long; train nothing."
)
_RUN_DIR = flags.DEFINE_string("run_dir", None, "The run folder: made by a training, read by the other modes.")
_RUN_DIRS = flags.DEFINE_list(
  "run_dirs", [], "The run folders of --mode=compare, separated by commas. What it writes goes into --run_dir."
)
_DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "The folder of your images; or where TFDS keeps its data sets (default: ~/tensorflow_datasets)."
)
_SEED = flags.DEFINE_integer(
  "seed",
  None,
  "Seed of everything random in training, or of the samples of --mode=sample; replaces train.seed.",
  lower_bound=0,
  upper_bound=2**32 - 1,
)
_WHAT = flags.DEFINE_enum(
  "what",
  "samples",
  ["samples", "swap", "strip", "grid", "morph"],
  "What --mode=sample draws: 'samples', new images, whose rows share z1 and whose columns share a feature; 'swap', "
  "images with one feature of another image after the other; 'strip', one image with each feature through its classes "
  "or its range; 'grid', images with the features of each other one; 'morph', an animated PNG in which one feature "
  "moves slowly. The images are those that the run has kept, or those of --data_dir.",
)
_STRATEGY = flags.DEFINE_string(
  "strategy",
  None,
  "Where to train: 'one' device, 'mirrored' over all GPUs of this host, 'multi_worker' over the hosts that the "
  "environment variable TF_CONFIG lists, 'tpu', or 'auto' (the default): what this host has. Replaces strategy.name.",
)
_CHECKPOINT = flags.DEFINE_enum(
  "checkpoint",
  "best",
  ["best", "last"],
  "Which weights of a run to evaluate, compare, export or draw samples from: those of the lowest validation loss, or "
  "the last.",
)
_SPLIT = flags.DEFINE_enum(
  "split",
  "test",
  ["test", "validation"],
  "The split on which --mode=eval measures a run, and whose figures --mode=compare and sweep compare: the test split "
  "for figures to publish, whose reads the run folder counts, or the validation split for choices.",
)
_EXPORT_DIR = flags.DEFINE_string(
  "export_dir", None, "Where --mode=export writes MODEL_NAME/VERSION (default: RUN_DIR/export)."
)
_EXPORT_FORMAT = flags.DEFINE_string(
  "export_format",
  "saved_model",
  "What --mode=export writes: 'saved_model' for TensorFlow Serving, 'litert', MODEL_NAME.tflite with `control` and "
  "`encode`, for phones and browsers, 'web', the folder MODEL_NAME.web with a page that computes in the browser, or a "
  "format of your own, registered by a module that --gin_param or --gin_file imports.",
)
_HOST = flags.DEFINE_string(
  "host", "127.0.0.1", "The address at which --mode=demo serves; 0.0.0.0 lets other machines in, without a password."
)
_PORT = flags.DEFINE_integer(
  "port", None, "The port of --mode=demo (default: 7860, or the next one that is free).", 0, 65535
)
_MODEL_NAME = flags.DEFINE_string("model_name", None, "What the exported model is called (default: as the run folder).")
_TRUST = flags.DEFINE_list(
  "trust",
  [],
  "Packages that a run folder may import besides known plug-ins, separated by commas. Importing one runs its code.",
)


def main(arguments):
  """Does what --mode asks for; prints the message of a `TfdisentError` and exits with 1, after Ctrl-C with 130."""
  if not flags.FLAGS["verbosity"].present:
    logging.set_verbosity(logging.WARNING)  # TensorFlow logs a line of INFO for each checkpoint
  try:
    if len(arguments) > 1:
      raise ConfigError(
        f"unexpected argument '{arguments[1]}': every argument is a flag, as in --gin_file={arguments[1]}."
      )
    {
      "train": _train,
      "fit_feature": _fit_feature,
      "eval": _evaluate,
      "compare": _compare,
      "sweep": _sweep,
      "export": _export,
      "sample": _sample,
      "demo": _demo,
      "bench": _bench,
    }[_MODE.value]()
  except Interrupted as note:
    say(f"tfdisent: {note}")
    _stopped_with.append(0)
  except TfdisentError as error:
    print(f"tfdisent: error: {error}", file=sys.stderr)
    sys.exit(1)
  except KeyboardInterrupt:  # outside of the steps of a training, or the second one within them
    goes_on = " The same command goes on from the last checkpoint." if _MODE.value == "train" else ""
    print(f"tfdisent: stopped at once.{goes_on}", file=sys.stderr)
    _stopped_with.append(128 + signal.SIGINT)
    sys.exit(128 + signal.SIGINT)


def _train():
  if not _GIN_FILE.value and not _DATA_DIR.value:
    _need_gin_file()
  run_dir = None if _DESCRIBE.value else _run_dir(exists=False)
  bindings = list(_GIN_PARAM.value)
  if _DATA_DIR.value:
    bindings.append(f"train.data_dir = {str(_data_dir())!r}")
  for name, value in (("seed", _SEED.value), ("epochs", _EPOCHS.value)):
    bindings += [] if value is None else [f"train.{name} = {value}"]
  bindings += _strategy()
  from tfdisent import config

  if not _GIN_FILE.value:
    _train_on_own_images(run_dir, bindings)
    return
  if flags.FLAGS["preset"].present:
    raise ConfigError("--preset is for a training without a gin file, and --gin_file is a recipe of its own.")
  config.read(_GIN_FILE.value, [*bindings, *([f"train.feature = {tuple(_FEATURE.value)!r}"] if _FEATURE.value else [])])
  if _DESCRIBE.value:
    from tfdisent import data

    print(data.describe(config.dataset_of_run()))
  else:
    config.train(str(run_dir))


def _train_on_own_images(run_dir: pathlib.Path | None, bindings: list[str]):
  """Trains by a configuration that follows from the images; without a run folder it is only told."""
  from tfdisent import config, plan

  logging.set_verbosity(logging.ERROR)  # what is logged of the data is in the table
  print(f"Looking at {_data_dir()} …", flush=True)
  name, source = plan.source(_data_dir(), _FEATURE.value)
  config.read([], [*plan.OF_FEATURES, *source, *bindings])
  made = plan.make(config.dataset_of_run(), name, _FEATURE.value, _PRESET.value)
  lines = sorted([*source, *made.bindings], key=lambda line: not line.startswith("import "))
  config.read([], [*lines, *bindings])
  overruled = {binding.partition("=")[0].strip() for binding in bindings}
  reasons = {name: reason for name, reason in made.reasons.items() if name not in overruled}
  print(made)
  print(config.cost(made.dataset, made.feature), flush=True)
  if run_dir is None:
    print(plan.annotated("\n".join(lines), "The configuration:", reasons))
    return
  print(f"{run_dir / 'fusion.png'} shows fusions of validation images after each epoch.", flush=True)
  title = f"What tfdisent has chosen for {_data_dir()}. Change what you like, and pass it as --gin_file."
  # It makes the data set once more: gin tells the arguments only of what is called under the configuration in hand.
  config.train(str(run_dir), annotate=lambda text: plan.annotated(text, title, reasons))


def _fit_feature():
  _need_gin_file()
  run_dir = _run_dir(exists=False)
  from tfdisent import config

  seed = [] if _SEED.value is None else [f"fit_feature.seed = {_SEED.value}"]
  config.read(_GIN_FILE.value, [*_GIN_PARAM.value, *seed])
  config.fit_feature(run_dir, _data_dir())


def _evaluate():
  """Measures a run. gin can run code, so the folder's own configuration is read only if the user names it."""
  run_dir = _run_dir()
  from tfdisent import config, run

  if _GIN_PARAM.value and not _GIN_FILE.value:
    raise ConfigError(
      "--gin_param changes a configuration, and that of a run folder is read only if you name it, since it can run "
      f"code. If you trust it, pass --gin_file={quoted(run_dir / run.CONFIG_FILE)} as well."
    )
  config.read(_GIN_FILE.value, _GIN_PARAM.value)
  config.evaluate(run_dir, _SPLIT.value, _CHECKPOINT.value, _data_dir(), _TRUST.value)


def _compare():
  if not _RUN_DIRS.value:
    raise ConfigError("--mode=compare needs the run folders: --run_dirs=runs/a,runs/b.")
  from tfdisent import run
  from tfdisent.evaluation import comparison

  run_dirs = [str(expanded(run_dir)) for run_dir in _RUN_DIRS.value]
  groups = comparison.read_runs(run_dirs, _SPLIT.value, _CHECKPOINT.value)
  parents = {str(pathlib.Path(run_dir).absolute().parent) for group in groups for run_dir in group.runs}
  folder = _run_dir(exists=False) if _RUN_DIR.value else pathlib.Path(os.path.commonpath(parents)) / "comparison"
  print(comparison.write_comparison(folder, groups))
  print(f"Written to {folder / run.COMPARISON_FILE}; plots in {folder / run.COMPARISON_PLOT_FILE}")


def _sweep():
  _need_gin_file()
  folder = _run_dir(exists=False)
  from tfdisent import config, run, sweep

  bindings = [*_GIN_PARAM.value, *_strategy()]
  config.read(_GIN_FILE.value, bindings)
  runs, bindings_of = config.sweep(), {}
  for name, settings in runs.items():
    config.read(*sweep.configuration(settings, _GIN_FILE.value, bindings))
    bindings_of[name] = config.bindings_read()
  # Python then leaves the sweep with an exception, and `subprocess.run` kills the training that it waits for.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
  print(sweep.run(folder, runs, bindings_of, _GIN_FILE.value, bindings, _data_dir(), _TRUST.value, _SPLIT.value))
  print(
    f"Written to {folder / run.COMPARISON_FILE}; plots in {folder / run.COMPARISON_PLOT_FILE} and "
    f"{folder / run.CURVES_FILE}"
  )


def _sample():
  run_dir = _run_dir()
  from tfdisent import api

  asked = {"what": _WHAT.value, "features": _FEATURE.value, "data_dir": _data_dir()}
  api.sample(run_dir, _SEED.value or 0, _CHECKPOINT.value, _TRUST.value, **asked)


def _export():
  run_dir = _run_dir()
  from tfdisent import api, config
  from tfdisent.serving import compact, litert, saved_model, web  # noqa: F401  (gin then binds their arguments)

  if _GIN_FILE.value or _GIN_PARAM.value:
    config.read(_GIN_FILE.value, _GIN_PARAM.value)
  where = (_EXPORT_DIR.value, _MODEL_NAME.value)
  api.export(run_dir, _EXPORT_FORMAT.value, *where, _CHECKPOINT.value, _TRUST.value, progress=print)


def _demo():
  names = [str(_run_dir())] if _RUN_DIR.value else (_RUN_DIRS.value or shipped.names())
  if not names:
    raise ConfigError("--mode=demo needs --run_dir, the folder of a trained run.")
  from tfdisent import demo

  demo.serve([(pathlib.Path(name).absolute().name, _trained(name)) for name in names], _HOST.value, _PORT.value)


def _bench():
  run_dir = _run_dir() if _RUN_DIR.value else None
  from tfdisent import api, config
  from tfdisent.distribution import Worker
  from tfdisent.serving import saved_model

  config.read(_GIN_FILE.value, [*_GIN_PARAM.value, *_strategy()])
  if run_dir:
    path = saved_model.newest_version(api.export_folder(run_dir, _EXPORT_DIR.value, _MODEL_NAME.value))
    print(json.dumps(config.bench_export(path, _trained(run_dir))))
    return
  strategy = config.strategy()
  figures = config.bench(strategy)
  if Worker(strategy).is_chief:
    print(json.dumps(figures))


def _trained(run_dir):
  from tfdisent import api

  return api.load(str(run_dir), _CHECKPOINT.value, _TRUST.value)


def _need_gin_file():
  if not _GIN_FILE.value:
    raise ConfigError(
      f"--mode={_MODE.value} needs a configuration: pass --gin_file, for instance "
      "--gin_file=gin_configs/quickstart.gin"
      + (", or --data_dir with the folder of your images" if _MODE.value == "train" else "")
      + " (`tfdisent --help` has examples)."
    )


def _run_dir(exists=True) -> pathlib.Path:
  if not _RUN_DIR.value:
    raise ConfigError(f"--mode={_MODE.value} needs --run_dir, as in --run_dir=runs/quickstart.")
  run_dir = expanded(_RUN_DIR.value)
  if exists and not run_dir.is_dir() and str(run_dir) not in shipped.names():
    models = f" Models of the package: {', '.join(shipped.names())}." if shipped.names() else ""
    raise RunError(f"there is no run folder {run_dir}.{models}")
  return run_dir


def _strategy() -> list[str]:
  return [f"strategy.name = {_STRATEGY.value!r}"] if _STRATEGY.value else []


def _data_dir() -> str | None:
  return str(expanded(_DATA_DIR.value).absolute()) if _DATA_DIR.value else None


def run():
  """The console script. Its flags are the key flags of `--help`, and its help is this module's."""
  os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # TensorFlow's start-up notes
  sys.modules["__main__"].__doc__ = __doc__
  if isinstance(sys.stdout, io.TextIOWrapper):
    sys.stdout.reconfigure(errors="replace")  # a terminal may be unable to show "…" or x̂
  for flag in flags.FLAGS.get_key_flags_for_module(__name__):
    flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
  try:
    app.run(main, flags_parser=_parsed)
  finally:
    if _stopped_with and "TF_CONFIG" not in os.environ:  # workers take leave of one another
      _end_at_once(*_stopped_with)


_stopped_with: list[int] = []
"""The exit code of a command that was asked to stop."""


def _end_at_once(code: int) -> None:
  """Ends the process without taking TensorFlow's objects apart, for which a busy machine takes 20 seconds."""
  atexit._run_exitfuncs()
  for stream in (sys.stdout, sys.stderr):
    with contextlib.suppress(OSError, ValueError):  # the terminal is gone
      stream.flush()
  os._exit(code)


def _parsed(arguments) -> list[str]:
  """The arguments that are no flags; a wrong flag ends the command with a line."""
  try:
    return flags.FLAGS(arguments)
  except flags.Error as error:
    print(f"tfdisent: error: {' '.join(str(error).split())} `tfdisent --help` lists all flags.", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
  run()
