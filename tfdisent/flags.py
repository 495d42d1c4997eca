"""The flags of the command line, and what is read from them; `tfdisent.modes` does what they ask for."""

import os
import pathlib

from absl import flags

from tfdisent import shipped
from tfdisent.errors import ConfigError, RunError
from tfdisent.paths import expanded

MODES = ("train", "fit_feature", "eval", "erase", "compare", "sweep", "export", "sample", "demo", "bench")
MODE = flags.DEFINE_enum(
  "mode",
  "train",
  MODES,
  "What to do: train a run, fit a learned feature for one, evaluate one, erase from its z1 what a linear reader finds "
  "of f, compare several, train and evaluate many, export one, draw samples from one, turn its features by hand in the "
  "browser, or time the training step or an exported model.",
)
GIN_FILE = flags.DEFINE_multi_string(
  "gin_file",
  [],
  "A gin file, in this folder or in the installation (gin_configs/quickstart.gin). "
  "Repeat it to read several; the bindings of a later one replace those of an earlier one.",
)
GIN_PARAM = flags.DEFINE_multi_string(
  "gin_param", [], 'One gin binding, as in "objective.lambda3 = 20", which replaces that of the files. Repeatable.'
)
FEATURE = flags.DEFINE_list(
  "feature",
  [],
  "What shall be controlled: columns of the table beside your images, separated by commas. A kind is forced by "
  "'age:category', ':number', ':attribute', ':color', or ':angle=360' with the full turn. Replaces train.feature. In "
  "--mode=sample, which of them the picture changes (default: all, of a morph the first).",
)
PRESET = flags.DEFINE_string(
  "preset",
  "auto",
  "The recipe where no gin file is given: 'small', 'medium' or 'large' images, the 'paper' alone, or 'auto', which "
  "takes it by the size of the images. RUN_DIR/config.gin tells what it says.",
)
EPOCHS = flags.DEFINE_integer(
  "epochs",
  None,
  "How often the training split is seen. Replaces train.epochs, in --mode=fit_feature fit_feature.epochs.",
  1,
)
DESCRIBE = flags.DEFINE_boolean(
  "describe", False, "Say what the data set holds and what would be trained on it, for how long; train nothing."
)
RUN_DIR = flags.DEFINE_string("run_dir", None, "The run folder: made by a training, read by the other modes.")
RUN_DIRS = flags.DEFINE_list(
  "run_dirs",
  [],
  "The run folders of --mode=compare, which writes into --run_dir, or of --mode=demo; separated by commas.",
)
DATA_DIR = flags.DEFINE_string(
  "data_dir", None, "The folder of your images; or where TFDS keeps its data sets (default: ~/tensorflow_datasets)."
)
SEED = flags.DEFINE_integer(
  "seed",
  None,
  "Seed of everything random in training, or of the samples of --mode=sample; replaces train.seed, in "
  "--mode=fit_feature fit_feature.seed.",
  lower_bound=0,
  upper_bound=2**32 - 1,
)
WHAT = flags.DEFINE_enum(
  "what",
  "samples",
  ["samples", "swap", "strip", "grid", "morph"],
  "What --mode=sample draws: 'samples', new images, whose rows share z1 and whose columns share a feature; 'swap', "
  "images with one feature of another image after the other; 'strip', one image with each feature through its classes "
  "or its range; 'grid', images with the features of each other one; 'morph', an animated PNG in which one feature "
  "moves slowly. The images are those that the run has kept, or those of --data_dir.",
)
STRATEGY = flags.DEFINE_string(
  "strategy",
  None,
  "Where to train: 'one' device, 'mirrored' over all GPUs of this host, 'multi_worker' over the hosts that the "
  "environment variable TF_CONFIG lists, 'slurm' over the tasks of srun, 'tpu', or 'auto' (the default): what "
  "this host has. Replaces strategy.name.",
)
CHECKPOINT = flags.DEFINE_enum(
  "checkpoint",
  "best",
  ["best", "last"],
  "Which weights of a run to evaluate, compare, export or draw samples from: those of the lowest validation loss, or "
  "the last.",
)
SPLIT = flags.DEFINE_enum(
  "split",
  "test",
  ["test", "validation"],
  "The split on which --mode=eval measures a run, and whose figures --mode=compare and sweep compare: the test split "
  "for figures to publish, whose reads the run folder counts, or the validation split for choices.",
)
EXPORT_DIR = flags.DEFINE_string(
  "export_dir", None, "Where --mode=export writes MODEL_NAME/VERSION (default: RUN_DIR/export)."
)
EXPORT_FORMAT = flags.DEFINE_string(
  "export_format",
  "saved_model",
  "What --mode=export writes: 'saved_model' for TensorFlow Serving, 'litert', MODEL_NAME.tflite with `control` and "
  "`encode`, for phones and browsers, 'web', the folder MODEL_NAME.web with a page that computes in the browser, "
  "'compact', a small run folder to be sent, or a format of your own, registered by a module that --gin_param or "
  "--gin_file imports.",
)
PEER = flags.DEFINE_string(
  "peer",
  None,
  "A command that --mode=bench runs once in each of its rounds, to compare with: another program, which ends with a "
  'line of JSON as {"images_per_s": 800.0}.',
)
HOST = flags.DEFINE_string(
  "host", "127.0.0.1", "The address at which --mode=demo serves; 0.0.0.0 lets other machines in, without a password."
)
PORT = flags.DEFINE_integer(
  "port",
  None,
  "The port of --mode=demo (default: 7860, or the next one that is free; 0: any free one).",
  0,
  65535,
)
MODEL_NAME = flags.DEFINE_string("model_name", None, "What the exported model is called (default: as the run folder).")
TRUST = flags.DEFINE_list(
  "trust",
  [],
  "Packages that a run folder may import besides known plug-ins, separated by commas. Importing one runs its code.",
)


def need_gin_file() -> None:
  """Raises `ConfigError` if the mode has no configuration."""
  if not GIN_FILE.value:
    raise ConfigError(
      f"--mode={MODE.value} needs a configuration: pass --gin_file, for instance "
      "--gin_file=gin_configs/quickstart.gin"
      + (", or --data_dir with the folder of your images" if MODE.value == "train" else "")
      + " (`tfdisent --help` has examples)."
    )


def run_dir(exists: bool = True) -> pathlib.Path:
  """The run folder; raises an error if none is given, or if it must exist and does not."""
  if not RUN_DIR.value:
    raise ConfigError(f"--mode={MODE.value} needs --run_dir, as in --run_dir=runs/quickstart.")
  run_dir = expanded(RUN_DIR.value)
  if exists and not run_dir.is_dir() and str(run_dir) not in shipped.names():
    models = f" Models of the package: {', '.join(shipped.names())}." if shipped.names() else ""
    raise RunError(f"there is no run folder {run_dir}.{models}")
  return run_dir


def run_dirs() -> list[str]:
  """The run folders of --run_dirs; parts that a comma joins to a path that exists are one, as the runs of a sweep."""
  parts, folders = list(RUN_DIRS.value), []
  while parts:
    joined = [",".join(parts[:count]) for count in range(len(parts), 1, -1)]
    folders.append(next((path for path in joined if os.path.exists(expanded(path))), parts[0]))
    del parts[: folders[-1].count(",") + 1]
  return folders


def bindings() -> list[str]:
  """The bindings of a training that --seed, --epochs and --strategy replace."""
  numbers = [("seed", SEED.value), ("epochs", EPOCHS.value)]
  return [*(f"train.{name} = {value}" for name, value in numbers if value is not None), *strategy()]


def feature() -> list[str]:
  """The binding of the feature, if one is given."""
  return [f"train.feature = {tuple(FEATURE.value)!r}"] if FEATURE.value else []


def strategy() -> list[str]:
  """The binding of the strategy, if one is given."""
  return [f"strategy.name = {STRATEGY.value!r}"] if STRATEGY.value else []


def data_dir() -> str | None:
  """The absolute path of the folder of the data, if one is given."""
  return str(expanded(DATA_DIR.value).absolute()) if DATA_DIR.value else None
