"""The files of a run folder: their names, how they are written whole, and who may write."""

import contextlib
import fcntl
import os
import pathlib
import re
from collections.abc import Iterator

import tensorflow as tf

from tfdisent.errors import RunError

LOCK_FILE, RUN_FILE, CONFIG_FILE, MODEL_FILE = "lock", "run.json", "config.gin", "model.json"
CLASS_NAMES_FILE, FEATURE_EXAMPLES_FILE = "class_names.json", "feature_examples.json"
EXAMPLES_FILE, WEIGHTS_FILE, JUDGES_FILE = "examples.png", "weights.npz", "judges.npz"
METRICS_FILE, REPORT_FILE, TEST_READS_FILE = "metrics.json", "report.html", "test_reads.jsonl"
WORDS_FILE = "README.md"
FUSION_FILE, WORST_FILE = "fusion.png", "fusion_worst.png"
CHECKPOINTS_FOLDER, TENSORBOARD_FOLDER, EXPORT_FOLDER = "checkpoints", "tensorboard", "export"
ERASED_FOLDER = "erased"
FEATURES_FOLDER = "features"
EVALUATION_FOLDER = "evaluation"  # within `tensorboard`

# The folder of a fitted feature, and that of a comparison or a sweep.
FEATURE_FILE, FEATURE_WEIGHTS_FILE = "feature.json", "feature.weights.h5"
COMPARISON_FILE, COMPARISON_FIGURES_FILE, COMPARISON_PLOT_FILE = "comparison.md", "comparison.json", "comparison.png"
CURVES_FILE, FRONTIER_FILE = "curves.png", "frontier.png"

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
