import shutil

import numpy as np
import pytest

import tfdisent
from tfdisent import serving
from tfdisent.errors import CheckpointError, RunError
from tfdisent.inference import TrainedModel


@pytest.fixture(scope="module")
def compact(digit_run, tmp_path_factory):
  return tfdisent.export(digit_run.folder, "compact", tmp_path_factory.mktemp("compact"))


def test_it_fuses_as_the_run_does_to_a_step_of_grey(compact, digit_run, few_digits):
  whole, small = tfdisent.load(digit_run.folder), tfdisent.load(compact)
  x = few_digits.validation["image"]
  one, other = whole.fuse(x, x[::-1]).astype(int), small.fuse(x, x[::-1])
  assert np.abs(one - other).max() <= 1
  assert small.checkpoint == whole.checkpoint
  assert small.class_names == whole.class_names


def test_it_is_small_and_has_no_networks_of_losses(compact, digit_run):
  with np.load(compact / "weights.npz") as weights:
    symbols = {name.split("/")[0] for name in weights.files}
    assert symbols == {"", "E1", "G", "q"}
    assert all(weights[name].dtype == np.float16 for name in weights.files if name)
  size = sum(file.stat().st_size for file in compact.rglob("*"))
  assert size < sum(file.stat().st_size for file in digit_run.folder.rglob("*")) / 4


def test_it_is_replaced_but_nothing_else_is(digit_run, tmp_path):
  for _ in range(2):
    path = tfdisent.export(digit_run.folder, "compact", tmp_path, "small")
  assert (path / "weights.npz").is_file()
  (tmp_path / "mine").mkdir()
  with pytest.raises(RunError, match="is there, and is no compact run"):
    tfdisent.export(digit_run.folder, "compact", tmp_path, "mine")
  assert not list((tmp_path / "mine").iterdir())


def test_it_has_the_weights_of_one_checkpoint_alone(compact, digit_run, tmp_path):
  with pytest.raises(CheckpointError, match=r"made small, and has the best weights alone: leave --checkpoint=last"):
    tfdisent.load(compact, "last")
  last = tfdisent.export(digit_run.folder, "compact", tmp_path, "last", checkpoint="last")
  assert tfdisent.load(last, "last").checkpoint.kind == tfdisent.load(last).checkpoint.kind == "last"


def test_it_can_be_exported_and_made_smaller_again_with_its_judges(compact, tmp_path):
  judged = shutil.copytree(compact, tmp_path / "judged")
  (judged / "judges.npz").write_bytes(b"judges")
  (judged / "test_reads.jsonl").write_text("{}\n{}\n")
  again = tfdisent.export(judged, "compact", tmp_path, "again")
  assert (again / "test_reads.jsonl").read_text() == "{}\n{}\n"  # how often the test split was measured goes with it
  assert (again / "judges.npz").read_bytes() == b"judges" and not (compact / "judges.npz").exists()
  assert (again / "weights.npz").read_bytes() == (compact / "weights.npz").read_bytes()


def test_a_model_of_no_folder_is_refused(digit_run, tmp_path):
  with pytest.raises(RunError, match="is of none"):
    serving.export(TrainedModel(digit_run.trained.model), tmp_path / "small", "compact")


def test_damaged_weights_are_refused_by_name(compact, tmp_path):
  for content in (b"", b"no weights", (compact / "weights.npz").read_bytes()[:-200]):
    folder = shutil.copytree(compact, tmp_path / str(len(content)))
    (folder / "weights.npz").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"weights\.npz is damaged"):
      tfdisent.load(folder)


def test_weights_of_another_architecture_are_refused(compact, tmp_path):
  folder = shutil.copytree(compact, tmp_path / "other")
  with np.load(folder / "weights.npz") as weights:
    arrays = {name: weights[name] for name in weights.files}
  name = next(name for name in arrays if name.startswith("G/"))
  np.savez(folder / "weights.npz", **{**arrays, name: np.zeros(3, np.float16)})
  with pytest.raises(CheckpointError, match=f"another architecture: see '{name}'"):
    tfdisent.load(folder)


def test_a_weight_that_float16_cannot_hold_is_refused(digit_run, tmp_path):
  model = tfdisent.load(digit_run.folder)
  weight = model.model.networks["G"].trainable_variables[0]
  weight.assign(weight + 1e6)
  with pytest.raises(CheckpointError, match="float16 cannot hold"):
    serving.export(model, tmp_path / "small", "compact")
  assert not (tmp_path / "small").exists()
