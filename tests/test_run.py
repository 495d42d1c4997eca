"""The run folder: names of files, one writer, a description that is data, and figures that say what they are of."""

import datetime
import fcntl
import hashlib
import json
import pathlib
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdisent
from tests.conftest import train_tiny
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


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  ("arguments", "name"),
  [
    (("metrics.json",), "metrics.json"),
    (("metrics.json", "test", "best"), "metrics.json"),
    (("metrics.json", "validation"), "metrics_validation.json"),
    (("report.html", "test", "last"), "report_last.html"),
    (("evaluation", "validation", "last"), "evaluation_validation_last"),
  ],
)
def test_a_file_is_named_by_split_and_checkpoint_but_for_test_and_best(arguments, name):
  assert run.named(*arguments) == name


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
  run.write(tmp_path / "a.json", "old: ä")
  assert (tmp_path / "a.json").read_text(encoding="utf-8") == "old: ä"
  monkeypatch.setattr(pathlib.Path, "replace", lambda self, target: (_ for _ in ()).throw(OSError("disk full")))
  with pytest.raises(RunError, match=r"a\.json cannot be written: disk full"):
    run.write(tmp_path / "a.json", "new")
  assert (tmp_path / "a.json").read_text(encoding="utf-8") == "old: ä"


def test_a_full_disk_is_told_without_the_operation_of_tensorflow():
  words = "{{function_node __wrapped__SaveV2_dtypes_3_device_/job:localhost}} a/b; No space left [Op:SaveV2]"
  with pytest.raises(RunError, match=r"^it cannot be written: a/b; No space left\. "), run.writing("it"):
    raise tf.errors.ResourceExhaustedError(None, None, words)


def test_one_process_alone_is_in_a_run_folder_until_it_ends(tmp_path):
  folder = tmp_path / "runs" / "a"
  with pytest.raises(ZeroDivisionError), run.alone_in(folder):
    with pytest.raises(RunError, match=f"another process is training in {folder}"), run.alone_in(folder):
      raise AssertionError
    raise ZeroDivisionError
  with run.alone_in(folder):
    assert [file.name for file in folder.iterdir()] == ["lock"]


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(RunError, match="file/run cannot be written"), run.alone_in(tmp_path / "file" / "run"):
    pass


def test_the_second_of_two_trainings_leaves_no_trace(few_digits, tmp_path):
  """The first has begun, and written nothing yet: the second one's configuration must not be what it finds."""
  folder = tmp_path / "run"
  folder.mkdir()
  with (folder / "lock").open("w") as first:
    fcntl.flock(first, fcntl.LOCK_EX)
    with pytest.raises(RunError, match="another process is training in"):
      train_tiny(folder, few_digits, objective={"lambda3": 0.0, "lambda4": 0.0}, describe=lambda: CONFIG)
  assert [file.name for file in folder.iterdir()] == ["lock"]


# --- Configuration ----------------------------------------------------------------------------------------------------

GIN = """
# Parameters for train:
import features.color
train.data_dir = '/here'
train.data_directory = 1
strategy.name = 'one'
sweep.grid = {'train.seed': (0, 1)}
objective.lambda3 = \\
    50.0
train.seed  =  0
"""


def test_bindings_leave_out_where_the_data_lies_what_trains_and_the_sweep():
  assert run.bindings(GIN) == {
    "import features.color",
    "train.data_directory = 1",
    "objective.lambda3 = 50.0",
    "train.seed = 0",
  }


def test_bindings_of_an_older_version_are_those_of_today():
  old = (
    "import tfdisent.datasets.color_mnist\nobjective.lambda5 = 1.0\nobjective.lambda6 = 2.0\n"
    "objective.lambda7 = 3.0\ncomposite.leakage_weights = \\\n    (1.0, 2.0)\n"
  )
  new = (
    "import tfdisent.data.color_mnist\nobjective.mirror = 1.0\nobjective.adversary = 2.0\nobjective.cycle = 3.0\n"
    "composite.adversary_weights = (1.0, 2.0)\n"
    "objective.losses = ()\nmodel.networks = 'plain'\ntrain.measurements = ()\n"
  )
  assert run.bindings(old) == run.bindings(new) and len(run.bindings(old)) == 5
  more = run.bindings("objective.losses = ('a',)\nmodel.networks = 'resnet'\ntrain.measurements = ('sharpness',)")
  assert len(more) == 3


def test_differences_name_both_sides():
  assert run.differences({"b = 1", "a = 1", "c = 1"}, {"c = 1", "a = 2"}) == "  - a = 1\n  - b = 1\n  + a = 2"
  assert run.differences({"a = 1"}, {"a = 1"}) == ""


def test_another_configuration_is_refused_and_the_same_is_not(tmp_path):
  run.refuse_another(tmp_path, CONFIG)  # nothing is there yet
  (tmp_path / "config.gin").touch()
  run.refuse_another(tmp_path, CONFIG)  # an older version trained it from Python
  (tmp_path / "config.gin").write_text(CONFIG)
  run.refuse_another(tmp_path, "# x\ntrain.data_dir = '/there'\n" + CONFIG)
  run.refuse_another(tmp_path, CONFIG.replace("epochs = 3", "epochs = 4"))  # more epochs extend a run
  with pytest.raises(RunError, match=r"another configuration .*\n  \+ train.seed = 4$"):
    run.refuse_another(tmp_path, CONFIG + "train.seed = 4")


def test_fewer_epochs_than_a_run_was_begun_with_are_refused(tmp_path):
  assert run.refuse_fewer_epochs(tmp_path, 1) == 0  # nothing is there yet
  (tmp_path / "config.gin").write_text("train.epochs = 3\n")  # of a version that wrote no other number down
  assert [run.refuse_fewer_epochs(tmp_path, epochs) for epochs in (3, 4)] == [3, 3]
  (tmp_path / "run.json").write_text('{"dataset": null, "epochs": 5}')
  assert run.refuse_fewer_epochs(tmp_path, 5) == 5
  with pytest.raises(RunError, match="a run of 5 epochs, and 4 are asked for: nothing is changed"):
    run.refuse_fewer_epochs(tmp_path, 4)


# --- Description ------------------------------------------------------------------------------------------------------


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


# --- Figures ----------------------------------------------------------------------------------------------------------

BEST = ("best", 3, 0)


def test_figures_say_what_they_are_of(tmp_path):
  (tmp_path / "config.gin").write_text("b = 2\n# c\na = 1\ntrain.data_dir = 'x'\n")
  run.count_test_read(tmp_path, BEST)
  before = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
  origin = run.provenance(tmp_path, tiny_dataset(), "validation", ("last", 2, 5), seed=7)
  assert before <= datetime.datetime.fromisoformat(origin.pop("date")) <= datetime.datetime.now(datetime.UTC)
  assert origin == {
    "split": "validation",
    "images": 7,
    "data": tiny_dataset().fingerprint,
    "checkpoint": "last",
    "epoch": 2,
    "step": 5,
    "seed": 7,
    "configuration": hashlib.sha256(b"a = 1\nb = 2").hexdigest(),
    "test_reads": 1,
    "versions": {
      "tfdisent": tfdisent.__version__,
      "tensorflow": tf.__version__,
      "keras": keras.__version__,
      "python": ".".join(map(str, sys.version_info[:3])),
    },
  }


def test_the_fingerprint_of_the_data_is_that_of_the_data_set(tmp_path):
  some = type("Some", (), {"fingerprint": "abc", "__getitem__": lambda self, split: {"image": [split]}})
  assert run.provenance(tmp_path, some(), "test", BEST, 0)["data"] == "abc"


def test_figures_of_each_split_and_checkpoint_have_a_file_of_their_own(tmp_path):
  for value, (split, checkpoint) in enumerate(
    [("test", "best"), ("validation", "best"), ("test", "last"), ("validation", "last")]
  ):
    origin = {"split": split, "checkpoint": checkpoint}
    path = run.write_metrics(tmp_path, {"b": {"value": value}, "a": {"value": 0}}, origin)
    assert path.name == run.named("metrics.json", split, checkpoint)
    assert list(json.loads(path.read_text())["metrics"]) == ["a", "b"]
  assert run.read_metrics(tmp_path)[0]["b"] == {"value": 0}
  assert run.read_metrics(tmp_path, "validation")[0]["b"] == {"value": 1}
  assert run.read_metrics(tmp_path, checkpoint="last") == (
    {"a": {"value": 0}, "b": {"value": 2}},
    {"split": "test", "checkpoint": "last"},
  )


def test_figures_of_an_older_version_have_no_provenance(tmp_path):
  with pytest.raises(FileNotFoundError):
    run.read_metrics(tmp_path)
  (tmp_path / "metrics.json").write_text('{"quality/psnr": {"value": 20.0}}')
  assert run.read_metrics(tmp_path) == ({"quality/psnr": {"value": 20.0}}, {})


@pytest.mark.parametrize("text", ["", "[]", "3", '{"a": 1}', '{"metrics": {}}', '{"metrics": 3}'])
def test_figures_that_are_damaged_are_named(tmp_path, text):
  (tmp_path / "metrics.json").write_text(text)
  with pytest.raises(RunError, match=r"metrics\.json cannot be read"):
    run.read_metrics(tmp_path)


def test_reads_of_the_test_split_are_counted_and_told_apart(tmp_path):
  assert run.reads_of_test(tmp_path) == []
  assert [run.count_test_read(tmp_path, BEST), run.count_test_read(tmp_path, ("last", 4, 2))] == [1, 2]
  first, second = run.reads_of_test(tmp_path)
  assert (first["checkpoint"], first["epoch"], first["step"]) == BEST
  assert (second["checkpoint"], second["epoch"], second["step"]) == ("last", 4, 2)
  assert first["versions"] == run.versions() and datetime.datetime.fromisoformat(first["date"]).tzinfo
  (tmp_path / "test_reads.jsonl").write_text("{")
  with pytest.raises(RunError, match=r"test_reads\.jsonl, which counts .*damaged"):
    run.reads_of_test(tmp_path)


def test_a_read_that_cannot_be_counted_is_an_error(tmp_path):
  with pytest.raises(RunError, match=r"test_reads\.jsonl cannot be written"):
    run.count_test_read(tmp_path / "nowhere", BEST)


def test_a_folder_that_cannot_be_written_is_told_before_anything_is_computed(tmp_path, monkeypatch):
  """Of a folder that is mounted to be read alone; the superuser may write into all others."""
  run.check_writable(tmp_path)
  monkeypatch.setattr("os.access", lambda path, mode: False)
  for call in (lambda: tfdisent.evaluate(tmp_path), lambda: tfdisent.api.sample(tmp_path)):
    with pytest.raises(RunError, match=f"the run folder {tmp_path} cannot be written"):
      call()


def test_a_file_that_cannot_be_written_is_named(tmp_path):
  (tmp_path / "a.png.partial").mkdir()
  with pytest.raises(RunError, match=r"a\.png cannot be written: .*Make room"):
    run.write(tmp_path / "a.png", b"a picture")
