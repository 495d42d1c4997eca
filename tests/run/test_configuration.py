"""By what two runs are told apart."""

import pytest

from tfdisent import run
from tfdisent.errors import RunError

CONFIG = "train.epochs = 3\n"
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
