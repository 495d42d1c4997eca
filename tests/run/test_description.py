"""A description of a run that is data, from which its data set and its measurements are made again."""

import json
import sys

import numpy as np
import pytest

from tfdisent import run
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, RegistryError, RunError
from tfdisent.registry import DATASETS, MEASUREMENTS

CONFIG = "train.epochs = 3\n"


def examples(count):
  return {"image": np.full([count, 4, 4, 1], count, np.uint8), "label": np.arange(count)}


def tiny_dataset(size: int = 1, colors: tuple = (), data_dir: str | None = None, seed: int = 0) -> Dataset:
  """What it was called with is its name."""
  return Dataset(*map(examples, (5, 6, 7, 8)), name=repr((size, colors, data_dir, seed)))


@pytest.fixture
def registered():
  """A registered data set of this module."""
  with DATASETS.temporary():
    DATASETS._entries["tiny_of_this_test"] = tiny_dataset  # not by gin, which forgets nothing
    yield


@pytest.fixture
def described(tmp_path, registered):
  """A function that writes the run.json of a run trained on it, with other arguments if given."""
  folder = tmp_path / "run"
  folder.mkdir()

  def write(arguments=(), **changes):
    dataset = {"name": "tiny_of_this_test", "module": __name__, "arguments": dict(arguments)}
    (folder / "run.json").write_text(json.dumps({"dataset": dataset | changes}))
    return folder

  return write


def test_a_description_is_written_as_json_beside_the_configuration(tmp_path):
  run.write_description(
    tmp_path, CONFIG, {"z1_width": 4}, {"label": ("cat",)}, {"dataset": None, "bindings": ["a = 1"]}
  )
  assert sorted(file.name for file in tmp_path.iterdir()) == [
    "class_names.json",
    "config.gin",
    "model.json",
    "run.json",
  ]
  assert run.read_config(tmp_path) == CONFIG
  assert json.loads((tmp_path / "model.json").read_text()) == {"z1_width": 4}
  assert json.loads((tmp_path / "class_names.json").read_text()) == {"label": ["cat"]}
  assert run.read_description(tmp_path) == {"dataset": None, "bindings": ["a = 1"]}


def test_a_run_that_was_trained_from_python_has_no_data_set_and_says_so(tmp_path):
  run.write_description(tmp_path, "", {})
  assert sorted(file.name for file in tmp_path.iterdir()) == ["config.gin", "model.json", "run.json"]
  with pytest.raises(RunError, match=r"run\.json names no registered data set: .*from Python.*--gin_file"):
    run.read_dataset(tmp_path)


def test_a_run_of_an_older_version_is_told_to_pass_its_configuration(tmp_path):
  assert run.read_config(tmp_path) == ""
  with pytest.raises(RunError) as error:
    run.read_dataset(tmp_path)
  for words in (f"there is no {tmp_path / 'run.json'}", "older version", f"--gin_file={tmp_path / 'config.gin'}"):
    assert words in str(error.value)


@pytest.mark.parametrize(
  "content",
  [
    b"",
    b"{",
    b"[]",
    b"\xff",
    b'{"dataset": []}',
    b'{"dataset": {"name": "a", "module": "b"}}',
    b'{"dataset": {"name": "a", "module": ["b"], "arguments": {}}}',
    b'{"dataset": {"name": 3, "module": "b", "arguments": {}}}',
    b'{"dataset": {"name": "a", "module": "b", "arguments": []}}',
  ],
)
def test_a_damaged_description_is_named(tmp_path, content):
  (tmp_path / "run.json").write_bytes(content)
  with pytest.raises(RunError, match=r"run\.json is damaged"):
    run.read_dataset(tmp_path)


def test_a_data_set_is_made_again_from_its_description(described):
  folder = described({"size": 3, "colors": [[0.5, "a"], [None, {"b": [1]}]], "data_dir": "/there"})
  assert run.read_dataset(folder).name == repr((3, ((0.5, "a"), (None, {"b": (1,)})), "/there", 0))
  assert run.read_dataset(folder, "/here").name == repr((3, ((0.5, "a"), (None, {"b": (1,)})), "/here", 0))


def test_a_data_set_is_found_under_the_new_name_of_its_module(described, monkeypatch):
  imported = []
  monkeypatch.setattr("importlib.import_module", imported.append)
  with pytest.raises(RegistryError, match="unknown data set 'other'"):
    run.read_dataset(described(name="other", module="tfdisent.datasets.color_mnist"))
  assert imported == ["tfdisent.data.color_mnist"]


def tiny_measurement(scale: float = 1.0, names: tuple = ()):
  return scale, names


def test_the_measurements_of_a_run_are_made_again(described):
  folder = described()
  assert run.read_measurements(folder) == run.read_measurements(folder.parent / "nowhere") == []
  description = run.read_description(folder)

  def write(measurements):
    (folder / "run.json").write_text(json.dumps(description | {"measurements": measurements}))

  with MEASUREMENTS.temporary():
    MEASUREMENTS._entries["tiny_of_this_test"] = tiny_measurement
    write([{"name": "tiny_of_this_test", "module": __name__, "arguments": {"scale": 2.0, "names": ["a"]}}])
    assert run.read_measurements(folder) == [(2.0, ("a",))]
    write([{"name": "tiny_of_this_test", "module": __name__, "arguments": {"size": 2.0}}])
    with pytest.raises(RunError, match=r"run\.json: the measurement 'tiny_of_this_test' cannot be made.*size"):
      run.read_measurements(folder)
    (folder / "model.json").write_text("{}")
    assert run.modules(folder) == [__name__, __name__]
  write([{"name": "sharpness", "module": "their_package.sharpness", "arguments": {}}])
  words = r"run\.json imports the module 'their_package\.sharpness'.*--trust=their_package"
  with pytest.raises(ConfigError, match=words):
    run.read_measurements(folder)
  for damaged in ("sharpness", ["sharpness"], [{"name": "sharpness"}]):
    write(damaged)
    with pytest.raises(RunError, match=r"run\.json is damaged"):
      run.read_measurements(folder)


def test_a_data_set_that_takes_no_such_arguments_is_named(described):
  with pytest.raises(RunError, match=r"run\.json: .*'tiny_of_this_test' cannot be made.*width"):
    run.read_dataset(described({"width": 3}))


def test_a_module_that_is_not_there_or_registers_nothing_is_named(described):
  with pytest.raises(RunError, match=r"'other' of the module 'their\.images', which cannot be imported.*Install"):
    run.read_dataset(described(name="other", module="their.images"), trust=["their"])
  with pytest.raises(RegistryError, match="unknown data set 'other'"):
    run.read_dataset(described(name="other", module="tfdisent.errors"))


def test_a_module_is_imported_if_it_may_be(described, monkeypatch):
  folder = described(name="other", module="their_images")
  with pytest.raises(ConfigError, match=r"run\.json imports the module 'their_images'.*--trust=their_images"):
    run.read_dataset(folder)
  (folder.parent / "their_images.py").write_text(
    f"from tfdisent.registry import DATASETS\nfrom {__name__} import tiny_dataset\n"
    "DATASETS._entries['other'] = tiny_dataset\n"
  )
  monkeypatch.syspath_prepend(folder.parent)
  assert run.read_dataset(folder, trust=["their_images"]).name == repr((1, (), None, 0))
  del sys.modules["their_images"]


@pytest.mark.parametrize("where", ["run/data", "run", "run/../run/data", "link", "relative"])
def test_data_inside_of_the_run_folder_is_refused_unless_the_user_names_it(described, monkeypatch, where):
  root = described().parent
  (root / "link").symlink_to(root / "run")
  monkeypatch.chdir(root)
  data_dir = "run/data" if where == "relative" else str(root / where)
  folder = described({"data_dir": data_dir})
  with pytest.raises(ConfigError, match=r"data_dir = '.*', which is inside of the run folder.*--data_dir"):
    run.read_dataset(folder)
  assert run.read_dataset(folder, data_dir).name == repr((1, (), data_dir, 0))


def test_other_paths_into_the_run_folder_are_refused_as_well(described):
  folder = described()
  with pytest.raises(ConfigError, match="says size = "):
    run.read_dataset(described({"size": str(folder / "table.csv")}))
  with pytest.raises(ConfigError, match="says size = "):
    run.read_dataset(described({"size": str(folder / "table.csv")}), "/here")
  described({"size": "run/x", "data_dir": str(folder.parent / "running")})  # a text, and a folder beside
  assert run.read_dataset(folder).name == repr(("run/x", (), str(folder.parent / "running"), 0))


def test_the_modules_of_a_run_are_those_of_its_features_and_its_data(described):
  folder = described()
  part = {"module": "theirs.smile", "name": "smile", "arguments": {}}
  feature = {"module": "features.composite", "name": "composite", "arguments": {"parts": [part]}}
  (folder / "model.json").write_text(json.dumps({"feature": feature}))
  assert run.modules(folder) == ["features.composite", "theirs.smile", __name__]
