"""The run folder: what its files are called, who may write into it, and what it says of itself.

| file                    | what it is                                                                               |
|-------------------------|------------------------------------------------------------------------------------------|
| `lock`                  | held by the process that trains here                                                     |
| `run.json`              | the data set (registered name, module, arguments) and the bindings that were asked for   |
| `config.gin`            | the operative configuration, for people and as a `--gin_file`; no mode reads it unasked  |
| `model.json`            | the model and its feature; `class_names.json`: of the columns of the data set            |
| `feature_examples.json` | values of f for the columns of samples; written last, so it tells that training is done  |
| `metrics*.json`         | `{"provenance": …, "metrics": …}` of one split and one checkpoint; see `named`           |
| `test_reads.jsonl`      | a line for each time that the test split was measured                                    |

A run folder may come from anybody. So its files are data: JSON, numbers and texts. The modules that it names are
imported after a check alone (`tfdisent.plugins`), and its configuration, which is code, is not read at all.
"""

import contextlib
import datetime
import fcntl
import hashlib
import importlib
import inspect
import json
import pathlib
import platform
from collections.abc import Iterator, Mapping, Sequence

from tfdisent import plugins
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, RunError
from tfdisent.registry import DATASETS

LOCK_FILE, RUN_FILE, CONFIG_FILE, MODEL_FILE = "lock", "run.json", "config.gin", "model.json"
CLASS_NAMES_FILE, FEATURE_EXAMPLES_FILE = "class_names.json", "feature_examples.json"
METRICS_FILE, REPORT_FILE, TEST_READS_FILE = "metrics.json", "report.html", "test_reads.jsonl"
SAMPLES_FILE, TENSORBOARD_FOLDER = "samples.png", "tensorboard"

NOT_COMPARED = ("#", "train.data_dir ", "strategy.", "sweep.")
"""Lines of a configuration that another run may have otherwise: where the data lies, and what trains."""


def named(file: str, split: str = "test", checkpoint: str = "best") -> str:
  """The name of a file that is of one split and one checkpoint: `metrics.json` is of the best one on the test split.

  Others say so: `metrics_validation.json`, `metrics_last.json`, `metrics_validation_last.json`.
  """
  path = pathlib.PurePath(file)
  words = [path.stem, *([split] if split != "test" else []), *([checkpoint] if checkpoint != "best" else [])]
  return "_".join(words) + path.suffix


def replace(path: pathlib.Path, content: bytes) -> None:
  """Writes a file that is whole, or as it was, whenever it is read and wherever the process ends.

  Raises:
    OSError: it cannot be written.
  """
  partial = path.with_name(f"{path.name}.partial")
  partial.write_bytes(content)
  partial.replace(path)


def write(path: pathlib.Path, text: str) -> None:
  """`replace` of a text, for a run folder.

  Raises:
    RunError: it cannot be written.
  """
  try:
    replace(path, text.encode())
  except OSError as error:
    raise RunError(f"{path} cannot be written: {error}.") from error


@contextlib.contextmanager
def alone_in(run_dir: pathlib.Path) -> Iterator[None]:
  """Makes a run folder if need be and holds it: two trainings would overwrite one another's checkpoints.

  Taken before anything of the folder is read or written, so that the one that comes second leaves no trace.

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
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # let go of by the system, however this process ends
    except BlockingIOError as error:
      raise RunError(
        f"another process is training in {run_dir}. Wait until it has ended, or use another --run_dir."
      ) from error
    yield


# --- Its configuration ------------------------------------------------------------------------------------------------


def bindings(config: str) -> set[str]:
  """The lines of a configuration that another run must share to be the same."""
  lines = config.replace("\\\n", " ").splitlines()
  return {" ".join(line.split()) for line in lines if line.strip() and not line.startswith(NOT_COMPARED)}


def differences(there: set[str], asked: set[str]) -> str:
  """What two sets of bindings do not share, a line each: "  - there" and "  + asked"; "" if there is nothing."""
  lines = [f"  - {line}" for line in sorted(there - asked)] + [f"  + {line}" for line in sorted(asked - there)]
  return "\n".join(lines)


def refuse_another(run_dir: pathlib.Path, config: str) -> None:
  """Raises `RunError` if the run folder was begun with another configuration."""
  file = run_dir / CONFIG_FILE
  if not file.is_file():
    return
  if lines := differences(bindings(file.read_text(encoding="utf-8")), bindings(config)):
    raise RunError(
      f"{run_dir} holds a run of another configuration (- there, + asked for):\n{lines}\n"
      "Use another --run_dir, or the same configuration."
    )


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
  """Writes what a run says of itself, before it trains.

  Args:
    run_dir: the run folder.
    config: the operative configuration.
    model: of `DisentangledVAE.get_config`.
    class_names: of `Dataset.class_names`.
    description: `dataset`, of `Registry.describe`, and `bindings`, what was asked for; None for a run that no command
      began.
  """
  write(run_dir / CONFIG_FILE, config)
  write(run_dir / MODEL_FILE, json.dumps(model, indent=2))
  if class_names:
    write(run_dir / CLASS_NAMES_FILE, json.dumps(class_names, indent=2))
  write(run_dir / RUN_FILE, json.dumps(description or {"dataset": None}, indent=2))


def read_description(run_dir: pathlib.Path) -> dict:
  """What `write_description` wrote into `run.json`.

  Raises:
    RunError: it is not there, as in a run of an older version, or it is damaged.
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
    raise RunError(
      f"{file} is damaged ({error}). Start the training again with the same command to write it anew."
    ) from error
  return description


def read_dataset(run_dir: pathlib.Path, data_dir: str | None = None, trust: Sequence[str] = ()) -> Dataset:
  """The data set that a run was trained on, from its description alone.

  Args:
    run_dir: the run folder.
    data_dir: where the data lies; None for where it lay in training.
    trust: packages that the run may import, besides known plug-ins; see `tfdisent.plugins.check_import`.

  Raises:
    RunError: the description is missing or damaged, or says nothing of a data set.
    ConfigError: it asks for a plug-in that is not known, or for data inside of the run folder.
    DataError: the data is not there.
  """
  file, dataset = run_dir / RUN_FILE, read_description(run_dir).get("dataset")
  if dataset is None:
    raise RunError(
      f"{file} names no registered data set: it was trained from Python. Measure it there, with "
      "tfdisent.evaluation.evaluate(tfdisent.load(run_dir), dataset), or pass a --gin_file that names one."
    )
  try:
    name, module, arguments = (dataset[key] for key in ("name", "module", "arguments"))
    if not (isinstance(name, str) and isinstance(module, str) and isinstance(arguments, dict)):
      raise TypeError(f"a data set is no {dataset!r}")
  except (KeyError, TypeError) as error:
    raise RunError(f"{file} is damaged ({error}). Start the training again with the same command.") from error
  if data_dir:
    arguments = {name: value for name, value in arguments.items() if name != "data_dir"}
  _check_places(run_dir, arguments)
  plugins.check_import(module, str(file), trust)
  if name not in DATASETS:
    try:
      importlib.import_module(module)
    except ImportError as error:
      raise RunError(
        f"{run_dir} was trained on the data set '{name}' of the module '{module}', which cannot be imported ({error}). "
        "Install the package that has it."
      ) from error
  plugin, arguments = DATASETS[name], _tuples(arguments) | ({"data_dir": data_dir} if data_dir else {})
  try:
    inspect.signature(plugin).bind(**arguments)
  except TypeError as error:
    raise RunError(f"{file}: the data set '{name}' cannot be made from {arguments}: {error}.") from error
  return plugin(**arguments)


def modules(run_dir: pathlib.Path) -> list[str]:
  """The modules that another process imports to use a run: those of its feature and of its data set."""
  model = json.loads((run_dir / MODEL_FILE).read_text(encoding="utf-8"))
  return [*plugins.modules(model.get("feature")), *plugins.modules(read_description(run_dir).get("dataset"))]


def _check_places(run_dir: pathlib.Path, arguments: Mapping) -> None:
  """Raises `ConfigError` if data is to be read inside of the run folder, whose author then chose it as well."""
  folder = run_dir.resolve()
  for name, value in arguments.items():
    path = pathlib.Path(value).expanduser() if isinstance(value, str) and "\0" not in value else None
    if path and (name == "data_dir" or path.is_absolute()) and path.resolve().is_relative_to(folder):
      raise ConfigError(
        f"{run_dir / RUN_FILE} says {name} = '{value}', which is inside of the run folder. If you trust the data "
        "there, say so with --data_dir."
      )


def _tuples(value):
  """Plain data of JSON with tuples for lists: what a configuration has."""
  if isinstance(value, dict):
    return {key: _tuples(of_key) for key, of_key in value.items()}
  return tuple(map(_tuples, value)) if isinstance(value, list) else value


# --- Its figures ------------------------------------------------------------------------------------------------------


def provenance(run_dir: pathlib.Path, dataset: Dataset, split: str, checkpoint: tuple, seed: int) -> dict[str, object]:
  """What the figures of a run on a split are figures of.

  Args:
    run_dir: the run folder.
    dataset: that is measured.
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
  """Of what decides a figure besides the run itself."""
  import keras
  import tensorflow as tf

  import tfdisent

  return {
    "tfdisent": tfdisent.__version__,
    "tensorflow": tf.__version__,
    "keras": keras.__version__,
    "python": platform.python_version(),
  }


def write_metrics(run_dir: pathlib.Path, metrics: Mapping[str, Mapping], origin: Mapping[str, object]) -> pathlib.Path:
  """Keeps figures with their provenance, in the file of their split and checkpoint; returns its path."""
  path = run_dir / named(METRICS_FILE, origin["split"], origin["checkpoint"])
  content = {"provenance": origin, "metrics": dict(sorted(metrics.items()))}
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
    metrics, origin = (content["metrics"], content["provenance"]) if "metrics" in content else (content, {})
    if not all(isinstance(figure, dict) for figure in metrics.values()):
      raise ValueError("not all figures are objects")
  except FileNotFoundError:
    raise
  except (OSError, ValueError, TypeError, AttributeError, KeyError) as error:
    raise RunError(f"{file} cannot be read ({error}).") from error
  return metrics, origin


def count_test_read(run_dir: pathlib.Path, checkpoint: tuple) -> int:
  """Notes that the test split is measured now; returns how often that was.

  Noted before it is read: whoever interrupts an evaluation has seen its first figures.
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
