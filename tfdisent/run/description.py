"""What a run folder says of its run: the model, the data set and the measurements, as plain data."""

import inspect
import json
import os
import pathlib
from collections.abc import Mapping, Sequence

from tfdisent import moved, plugins
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, RunError, shown
from tfdisent.registry import DATASETS, MEASUREMENTS, Registry, tuples_for_lists
from tfdisent.run.files import CLASS_NAMES_FILE, CONFIG_FILE, MODEL_FILE, RUN_FILE, write


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
      such descriptions; `bindings`, of the configuration; `epochs`; `background` if it is not white; and `best`
      if the best checkpoint is not chosen by the loss. None for a run from Python.
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
