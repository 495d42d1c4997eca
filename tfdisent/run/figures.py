"""The figures of a run, what they were measured on, and how often the test split was read."""

import datetime
import hashlib
import json
import pathlib
import platform
from collections.abc import Mapping

import tensorflow as tf

from tfdisent.data.dataset import Dataset
from tfdisent.errors import RunError
from tfdisent.run.configuration import bindings, read_config
from tfdisent.run.description import read_description
from tfdisent.run.files import METRICS_FILE, TEST_READS_FILE, named, write


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
    its `epoch` and `step`, `best_by` ("loss" or "score": by what the best one was chosen), `seed`, `configuration` (a
    hash of the operative one), `test_reads` (how often the test split was measured so far), `date` (UTC), and
    `versions`.
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
    "best_by": _best_by(run_dir),
    "seed": seed,
    "configuration": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
    "test_reads": len(reads_of_test(run_dir)),
    "date": _now(),
    "versions": versions(),
  }


def _best_by(run_dir: pathlib.Path) -> str:
  try:
    return read_description(run_dir).get("best", "loss")
  except RunError:  # an older version has none, and knew no other way
    return "loss"


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
