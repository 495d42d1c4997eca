"""Whether a run goes on with the data that it was begun with: other classes or splits would spoil it without a sign."""

import json
import pathlib
from collections.abc import Iterator, Mapping

from tfdisent import run
from tfdisent.data.dataset import SPLITS, Dataset, fingerprint
from tfdisent.errors import RunError


def described(dataset: Dataset) -> dict:
  """What a run folder says of its data, as plain data.

  Lists stand for dicts of columns, since a column may be called "module": see `tfdisent.plugins.modules`.
  """
  return {
    "image_shape": list(dataset.image_shape),
    "columns": [[name, column.dtype.name, list(column.shape[1:])] for name, column in sorted(dataset.train.items())],
    "class_names": [[column, [str(name) for name in names]] for column, names in sorted(dataset.class_names.items())],
    "splits": [[split, len(dataset[split]["image"]), fingerprint(dataset[split])] for split in SPLITS],
  }


def refuse_other_data(run_dir: pathlib.Path, now: Mapping) -> None:
  """Raises `RunError`, which names what differs, if a run was begun with other data than `now`, of `described`.

  Of a run of an older version, the shape of the images and the names of the classes are compared: it tells no more.
  """
  try:
    there = run.read_description(run_dir).get("data") or _of_older_version(run_dir)
    differences = list(_differences(there, now))
  except (RunError, OSError, ValueError, TypeError, KeyError, AttributeError):  # none, or damaged: it is written anew
    return
  if differences:
    raise RunError(
      f"the run in {run_dir} was begun with other data: {'; '.join(differences)}. Nothing is changed. Use another "
      "--run_dir, or the data that it was begun with."
    )


def _of_older_version(run_dir: pathlib.Path) -> dict:
  names, model = run_dir / run.CLASS_NAMES_FILE, run_dir / run.MODEL_FILE
  return {
    "class_names": list(json.loads(names.read_text(encoding="utf-8")).items()) if names.is_file() else [],
    "image_shape": json.loads(model.read_text(encoding="utf-8"))["image_shape"],
  }


def _differences(there: Mapping, now: Mapping) -> Iterator[str]:
  """What differs, in words, one thing after the other."""
  if there["image_shape"] != now["image_shape"]:
    yield f"images were {_by(there['image_shape'])} and are {_by(now['image_shape'])}"
  was, columns = ({name: (dtype, shape) for name, dtype, shape in of.get("columns", [])} for of in (there, now))
  for name in sorted({*was, *columns}) if was else ():
    if name not in columns:
      yield f"the column '{name}' is gone"
    elif name not in was:
      yield f"the column '{name}' is new"
    elif name != "image" and list(was[name]) != list(columns[name]):
      yield f"the column '{name}' was {was[name]} and is {columns[name]}"
  names_now = dict(map(tuple, now["class_names"]))
  for column, names in there["class_names"]:
    if column in names_now and list(names) != names_now[column]:
      yield f"the classes of '{column}' were {_some(names)} and are {_some(names_now[column])}"
  splits = {split: (count, digest) for split, count, digest in now["splits"]}
  for split, count, _ in there.get("splits", []):
    if splits[split][0] != count:
      yield f"'{split}' had {count} images and has {splits[split][0]}"
  if others := [split for split, count, digest in there.get("splits", []) if splits[split] != (count, digest)]:
    yield f"the images or the values of {', '.join(others)} are others"


def _by(numbers) -> str:
  return "x".join(map(str, numbers))


def _some(names) -> str:
  return ", ".join(map(str, names[:5])) + (f", … ({len(names)})" if len(names) > 5 else "")
