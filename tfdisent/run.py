"""The run folder: the names of its files, who may write into it, and its description.

| file                    | what it is                                                                              |
|-------------------------|-----------------------------------------------------------------------------------------|
| `lock`                  | held by the process that trains here                                                    |
| `run.json`              | the data set and the measurements (registered name, module, arguments), the bindings    |
| `config.gin`            | the operative configuration, for people, and as a `--gin_file` if the user passes it    |
| `model.json`            | the model and its feature                                                               |
| `class_names.json`      | names of the classes, of each column of the data set                                    |
| `features/`             | a folder for each learned feature that the run has fitted itself                        |
| `checkpoints/`          | see `tfdisent.checkpoints`                                                              |
| `weights.npz`           | in place of these, the weights of a run that was made small: `tfdisent.serving.compact` |
| `tensorboard/`          | curves, and the figures of each evaluation in a folder of their own                     |
| `fusion*.png`, …        | pictures of the validation split                                                        |
| `fusion_worst.png`      | the fusions that the judges find worst, of the newest figures                           |
| `examples.png`          | eight images of the validation split, side by side, to be fused without the data        |
| `judges.npz`            | the networks that judge its images, small: see `tfdisent.evaluation.small_judges`       |
| `feature_examples.json` | values of f for the columns of samples; written last, so its presence means: trained    |
| `metrics*.json`         | `{"provenance": …, "metrics": …}` of one split and one checkpoint; see `named`          |
| `README.md`             | the newest of these figures in plain words, and what to try                             |
| `report*.html`          | the same figures for people, with pictures and curves                                   |
| `test_reads.jsonl`      | a line for each time that the test split was measured                                   |
| `samples.png`, …        | of `--mode=sample`                                                                      |
| `export/`               | of `--mode=export`                                                                      |

A run folder may come from anybody. So its files are data: JSON, numbers and texts. A module that it names is imported
only if `tfdisent.plugins` allows it. Its configuration is code, and is never read.
"""

import contextlib
import datetime
import fcntl
import hashlib
import inspect
import json
import os
import pathlib
import platform
import re
from collections.abc import Iterator, Mapping, Sequence

import tensorflow as tf

from tfdisent import moved, plugins
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, RunError, shown
from tfdisent.registry import DATASETS, MEASUREMENTS, Registry, tuples_for_lists

LOCK_FILE, RUN_FILE, CONFIG_FILE, MODEL_FILE = "lock", "run.json", "config.gin", "model.json"
CLASS_NAMES_FILE, FEATURE_EXAMPLES_FILE = "class_names.json", "feature_examples.json"
EXAMPLES_FILE, WEIGHTS_FILE, JUDGES_FILE = "examples.png", "weights.npz", "judges.npz"
METRICS_FILE, REPORT_FILE, TEST_READS_FILE = "metrics.json", "report.html", "test_reads.jsonl"
WORDS_FILE = "README.md"
FUSION_FILE, WORST_FILE, SAMPLES_FILE = "fusion.png", "fusion_worst.png", "samples.png"
CHECKPOINTS_FOLDER, TENSORBOARD_FOLDER, EXPORT_FOLDER = "checkpoints", "tensorboard", "export"
FEATURES_FOLDER = "features"
EVALUATION_FOLDER = "evaluation"  # within `tensorboard`

# The folder of a fitted feature, and that of a comparison or a sweep.
FEATURE_FILE, FEATURE_WEIGHTS_FILE = "feature.json", "feature.weights.h5"
COMPARISON_FILE, COMPARISON_FIGURES_FILE, COMPARISON_PLOT_FILE = "comparison.md", "comparison.json", "comparison.png"
CURVES_FILE = "curves.png"

NOT_COMPARED = ("#", "train.data_dir ", "strategy.", "sweep.")
"""How lines begin in which two configurations of the same run may differ: comments, the place of the data, devices."""


_EPOCHS = "train.epochs = "
MAKE_ROOM = "Make room, or copy the run to a folder that can be written."
GO_ON = (
  "The checkpoints before are kept. Make room or mend the folder: the same command then goes on from the last of them."
)


def named(file: str, split: str = "test", checkpoint: str = "best") -> str:
  """The name of a file about one split and one checkpoint.

  `metrics.json` is about the best checkpoint on the test split. Other names tell their split and checkpoint:
  `metrics_validation.json`, `metrics_last.json`, `metrics_validation_last.json`.
  """
  path = pathlib.PurePath(file)
  words = [path.stem, *([split] if split != "test" else []), *([checkpoint] if checkpoint != "best" else [])]
  return "_".join(words) + path.suffix


def replace(path: pathlib.Path, content: bytes) -> None:
  """Writes a file atomically: whoever reads it finds the old content or the new one, even if this process is killed.

  Raises:
    OSError: it cannot be written.
  """
  partial = path.with_name(f"{path.name}.partial")
  partial.write_bytes(content)
  partial.replace(path)


def write(path: pathlib.Path, content: str | bytes) -> None:
  """Writes a file of a run folder atomically: see `replace`.

  Raises:
    RunError: it cannot be written.
  """
  try:
    replace(path, content.encode() if isinstance(content, str) else content)
  except OSError as error:
    raise RunError(f"{path} cannot be written: {error}. {MAKE_ROOM}") from error


def check_writable(run_dir: pathlib.Path) -> None:
  """Raises `RunError` if nothing can be written into a run folder, before minutes are spent on it."""
  if run_dir.is_dir() and not os.access(run_dir, os.W_OK):
    raise RunError(f"the run folder {run_dir} cannot be written. {MAKE_ROOM}")


@contextlib.contextmanager
def alone_in(run_dir: pathlib.Path) -> Iterator[None]:
  """Makes a run folder, if it is not there, and locks it: two trainings would overwrite one another's checkpoints.

  Lock it before you read or write anything in the folder: the training that comes second then leaves no trace.

  Raises:
    RunError: another process holds it, or it cannot be written.
  """
  try:
    run_dir.mkdir(parents=True, exist_ok=True)
    file = (run_dir / LOCK_FILE).open("w")
  except OSError as error:
    raise RunError(f"the run folder {run_dir} cannot be written: {error}.") from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system unlocks it, however this process ends
    except BlockingIOError as error:
      raise RunError(
        f"another process is training in {run_dir}. Wait until it has ended, or use another --run_dir."
      ) from error
    yield


@contextlib.contextmanager
def writing(what: str, advice: str = GO_ON) -> Iterator[None]:
  """Turns the error of a full disk, or of a missing folder, into a `RunError` that says what cannot be written."""
  try:
    yield
  except (OSError, tf.errors.OpError) as error:
    raise RunError(f"{what} cannot be written: {reason(error)}. {advice}") from error


def reason(error: Exception) -> str:
  """What an error says, in a line, without the operation of TensorFlow that raised it."""
  return re.sub(r"\{\{.*?\}\} ?| ?\[Op:\w+\]", "", " ".join(str(error).split()))


# --- Its configuration ------------------------------------------------------------------------------------------------


def bindings(config: str) -> set[str]:
  """The lines of a configuration by which two runs are told apart.

  An old name and its new one (`tfdisent.moved`) give the same line.
  """
  lines = moved.renamed(config).replace("\\\n", " ").splitlines()
  lines = {" ".join(line.split()) for line in lines if line.strip() and not line.startswith(NOT_COMPARED)}
  return {line for line in lines - moved.ALWAYS_SO if not line.endswith(moved.ALWAYS_SO_OF_LEARNED)}


def differences(there: set[str], wanted: set[str]) -> str:
  """The bindings that are in one of two sets only, a line each: "  - there" and "  + wanted"; "" if there are none."""
  lines = [f"  - {line}" for line in sorted(there - wanted)] + [f"  + {line}" for line in sorted(wanted - there)]
  return "\n".join(lines)


def refuse_another(run_dir: pathlib.Path, config: str) -> None:
  """Raises `RunError` if the run folder was begun with another configuration, apart from its epochs.

  An empty one is that of a run which an older version trained from Python, and tells nothing.
  """
  if not read_config(run_dir):
    return
  there, wanted = (
    {line for line in bindings(text) if not line.startswith(_EPOCHS)} for text in (read_config(run_dir), config)
  )
  if lines := differences(there, wanted):
    raise RunError(
      f"{run_dir} holds a run of another configuration (- there, + asked for): use another --run_dir, or the same "
      "configuration.",
      lines,
    )


def refuse_fewer_epochs(run_dir: pathlib.Path, epochs: int) -> int:
  """Raises `RunError` if the run was begun with more than `epochs`; gives the number that it was begun with.

  It is 0 if there is no run yet, or if an older version began it from Python and so wrote no number down.
  """
  try:
    begun_with = read_description(run_dir).get("epochs")
  except RunError:  # none, or a damaged one, which is written anew
    begun_with = None
  if not isinstance(begun_with, int):
    lines = [line for line in bindings(read_config(run_dir)) if line.startswith(_EPOCHS)]
    begun_with = next((int(number) for line in lines if (number := line.removeprefix(_EPOCHS)).isdecimal()), 0)
  if begun_with > epochs:
    raise RunError(
      f"{run_dir} holds a run of {begun_with} epochs, and {epochs} are asked for: nothing is changed. Ask for "
      f"{begun_with} epochs or more, or use another --run_dir."
    )
  return begun_with


def read_config(run_dir: pathlib.Path) -> str:
  """The configuration of a run as text, for people; "" where there is none."""
  file = run_dir / CONFIG_FILE
  return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""


# --- Its description --------------------------------------------------------------------------------------------------


def write_description(
  run_dir: pathlib.Path,
  config: str,
  model: Mapping,
  class_names: Mapping | None = None,
  description: Mapping | None = None,
) -> None:
  """Writes the description of a run, before it trains.

  Args:
    run_dir: the run folder.
    config: the operative configuration.
    model: of `DisentangledVAE.get_config`.
    class_names: of `Dataset.class_names`.
    description: `dataset`, of `Registry.describe`, or None if it is no registered one; `measurements`, a list of
      such descriptions; `bindings`, of the configuration; `epochs`; and `background` if it is not white. None for a
      run from Python.
  """
  write(run_dir / CONFIG_FILE, config)
  write(run_dir / MODEL_FILE, json.dumps(model, indent=2))
  if class_names:
    write(run_dir / CLASS_NAMES_FILE, json.dumps(class_names, indent=2))
  write(run_dir / RUN_FILE, json.dumps(description or {"dataset": None}, indent=2))


def read_description(run_dir: pathlib.Path) -> dict:
  """What `write_description` wrote into `run.json`.

  Raises:
    RunError: it is missing, as in a run of an older version, or damaged.
  """
  file = run_dir / RUN_FILE
  try:
    description = json.loads(file.read_text(encoding="utf-8"))
    if not isinstance(description, dict):
      raise ValueError(f"it holds {type(description).__name__}")
  except FileNotFoundError as error:
    raise RunError(
      f"there is no {file}, which says what {run_dir} was trained on: an older version trained it. If you trust its "
      f"configuration, which can run code, pass --gin_file={run_dir / CONFIG_FILE}."
    ) from error
  except (OSError, ValueError) as error:
    raise _damaged(run_dir, error) from error
  return description


def read_dataset(run_dir: pathlib.Path, data_dir: str | None = None, trust: Sequence[str] = ()) -> Dataset:
  """The data set that a run was trained on, from its description alone.

  Args:
    run_dir: the run folder.
    data_dir: where the data lies; None for where it lay in training.
    trust: packages that the run may import, besides known plug-ins; see `tfdisent.plugins.check_import`.

  Raises:
    RunError: the description is missing or damaged, or names no data set.
    ConfigError: it names a plug-in that is not known, or data inside of the run folder.
    DataError: the data is not there.
  """
  dataset = read_description(run_dir).get("dataset")
  if dataset is None:
    raise RunError(
      f"{run_dir / RUN_FILE} names no registered data set: it was trained from Python. Measure it there, with "
      "tfdisent.evaluate(run_dir, dataset), or pass a --gin_file that names one."
    )
  return _made(run_dir, DATASETS, dataset, trust, **({"data_dir": data_dir} if data_dir else {}))


def read_measurements(run_dir: pathlib.Path, trust: Sequence[str] = ()) -> list:
  """The measurements that a training was given for its run, from its description; none of a run that has none.

  Args:
    run_dir: the run folder.
    trust: packages that the run may import, besides known plug-ins; see `tfdisent.plugins.check_import`.

  Raises:
    RunError: the description is damaged.
    ConfigError: it names a plug-in that is not known.
  """
  if not (run_dir / RUN_FILE).is_file():
    return []
  descriptions = read_description(run_dir).get("measurements", [])
  if not isinstance(descriptions, list):
    raise _damaged(run_dir, f"measurements are no {descriptions!r}")
  return [_made(run_dir, MEASUREMENTS, description, trust) for description in descriptions]


def _made(run_dir: pathlib.Path, registry: Registry, description: Mapping, trust: Sequence[str], **given):
  """What `Registry.describe` has described in `run.json`; the arguments `given` replace those that are described."""
  file = run_dir / RUN_FILE
  try:
    name, module, arguments = (description[key] for key in ("name", "module", "arguments"))
    if not (isinstance(name, str) and isinstance(module, str) and isinstance(arguments, dict)):
      raise TypeError(f"a {registry.kind} is no {shown(description)}")
  except (KeyError, TypeError) as error:
    raise _damaged(run_dir, error) from error
  arguments = {key: value for key, value in arguments.items() if key not in given}
  _check_paths(run_dir, arguments)
  plugins.check_import(moved.new_name(module), str(file), trust)
  plugin = registry.imported(description, f"{file} names", RunError)
  arguments = tuples_for_lists(arguments) | given
  try:
    inspect.signature(plugin).bind(**arguments)
  except TypeError as error:
    raise RunError(f"{file}: the {registry.kind} '{name}' cannot be made from {arguments}: {error}.") from error
  return plugin(**arguments)


def _damaged(run_dir: pathlib.Path, what: object) -> RunError:
  return RunError(
    f"{run_dir / RUN_FILE} is damaged ({what}). Start the training again with the same command to write it anew."
  )


def modules(run_dir: pathlib.Path) -> list[str]:
  """The modules that another process imports to use a run: of its model, its data set and its measurements."""
  model, description = json.loads((run_dir / MODEL_FILE).read_text(encoding="utf-8")), read_description(run_dir)
  return [module for plain in (model, description) for module in plugins.modules(plain)]


def _check_paths(run_dir: pathlib.Path, arguments: Mapping) -> None:
  """Raises `ConfigError` if data is to be read inside of the run folder: its author may have put anything there."""
  folder = run_dir.resolve()
  for name, value in arguments.items():
    path = pathlib.Path(os.path.expanduser(value)) if isinstance(value, str) and "\0" not in value else None
    if path and (name == "data_dir" or path.is_absolute()) and path.resolve().is_relative_to(folder):
      raise ConfigError(
        f"{run_dir / RUN_FILE} says {name} = '{value}', which is inside of the run folder. If you trust the data "
        "there, say so with --data_dir."
      )


# --- Its figures ------------------------------------------------------------------------------------------------------


def provenance(run_dir: pathlib.Path, dataset: Dataset, split: str, checkpoint: tuple, seed: int) -> dict[str, object]:
  """What was measured, of a run on a split, and with which versions.

  Args:
    run_dir: the run folder.
    dataset: on which it is measured.
    split: "validation" or "test".
    checkpoint: a `tfdisent.checkpoints.Checkpoint`.
    seed: of the training.

  Returns:
    `split`, `images` (their number), `data` (the fingerprint of the data set), `checkpoint` ("best" or "last") with
    its `epoch` and `step`, `seed`, `configuration` (a hash of the operative one), `test_reads` (how often the test
    split was measured so far), `date` (UTC), and `versions`.
  """
  lines = sorted(bindings(read_config(run_dir)))
  kind, epoch, step = checkpoint
  return {
    "split": split,
    "images": len(dataset[split]["image"]),
    "data": dataset.fingerprint,
    "checkpoint": kind,
    "epoch": epoch,
    "step": step,
    "seed": seed,
    "configuration": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    "test_reads": len(reads_of_test(run_dir)),
    "date": _now(),
    "versions": versions(),
  }


def versions() -> dict[str, str]:
  """The versions of the software on which figures depend."""
  import keras

  import tfdisent

  return {
    "tfdisent": tfdisent.__version__,
    "tensorflow": tf.__version__,
    "keras": keras.__version__,
    "python": platform.python_version(),
  }


def write_metrics(
  run_dir: pathlib.Path, metrics: Mapping[str, Mapping], provenance: Mapping[str, object]
) -> pathlib.Path:
  """Writes figures and their provenance into the file of their split and checkpoint; returns its path."""
  path = run_dir / named(METRICS_FILE, provenance["split"], provenance["checkpoint"])
  content = {"provenance": provenance, "metrics": dict(sorted(metrics.items()))}
  write(path, json.dumps(content, indent=2) + "\n")
  return path


def read_metrics(run_dir: pathlib.Path, split: str = "test", checkpoint: str = "best") -> tuple[dict, dict]:
  """The figures of a split and a checkpoint, and their provenance, which is empty in a file of an older version.

  Raises:
    FileNotFoundError: they were not measured.
    RunError: the file cannot be read.
  """
  file = run_dir / named(METRICS_FILE, split, checkpoint)
  try:
    content = json.loads(file.read_text(encoding="utf-8"))
    metrics, source = (content["metrics"], content["provenance"]) if "metrics" in content else (content, {})
    if not all(isinstance(figure, dict) for figure in metrics.values()):
      raise ValueError("not all figures are objects")
  except FileNotFoundError:
    raise
  except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
    raise RunError(f"{file} cannot be read ({error}).") from error
  return metrics, source


def count_test_read(run_dir: pathlib.Path, checkpoint: tuple) -> int:
  """Writes down that the test split is measured now; returns how often it has been measured.

  Call it before the split is read: who interrupts an evaluation has seen its first figures.
  """
  kind, epoch, step = checkpoint
  line = json.dumps({"date": _now(), "checkpoint": kind, "epoch": epoch, "step": step, "versions": versions()})
  try:
    with (run_dir / TEST_READS_FILE).open("a", encoding="utf-8") as file:
      file.write(line + "\n")
  except OSError as error:
    raise RunError(f"{run_dir / TEST_READS_FILE} cannot be written: {error}.") from error
  return len(reads_of_test(run_dir))


def reads_of_test(run_dir: pathlib.Path) -> list[dict]:
  """Date, checkpoint and versions of each time that `--mode=eval` measured the test split."""
  file = run_dir / TEST_READS_FILE
  if not file.is_file():
    return []
  try:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").split("\n") if line]
  except (OSError, ValueError) as error:
    raise RunError(f"{file}, which counts how often the test split was measured, is damaged ({error}).") from error


def _now() -> str:
  return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
