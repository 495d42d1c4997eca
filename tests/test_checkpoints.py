"""Checkpoints: what is kept, what is restored, and what a damaged file does."""

import os
import pathlib
import shutil

import keras
import numpy as np
import pytest

from features.digit_label import DigitLabel
from tests.conftest import TINY
from tfdisent import checkpoints
from tfdisent.checkpoints import Checkpoints, restore
from tfdisent.errors import CheckpointError
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

LOSSES = {1: 5.0, 2: 3.0, 3: 4.0}  # epoch → loss on validation


def compiled(**arguments) -> DisentangledVAE:
  model = DisentangledVAE((28, 28, 3), DigitLabel(), **{"objective": Objective(), **TINY, **arguments})
  model.compile(keras.optimizers.Adam(), keras.optimizers.Adam())
  return model


@pytest.fixture(scope="module")
def model():
  return compiled()


def fill(model, number):
  """Sets every weight and every variable of the optimizers to a number."""
  for variable in every(model):
    variable.assign(np.full(variable.shape, number, variable.dtype))


def every(model):
  weights = [weight for network in model.networks.values() for weight in network.weights]
  return [*weights, *(v for o in (model.optimizer, model.optimizer_d) for v in o.variables)]


def values(variables):
  """The numbers that variables hold, each once."""
  return set(np.concatenate([np.ravel(variable.numpy()) for variable in variables]).tolist())


@pytest.fixture(scope="module")
def saved_run(model, tmp_path_factory):
  folder = tmp_path_factory.mktemp("run")
  saved = Checkpoints(folder, model)
  for epoch, loss in LOSSES.items():
    fill(model, epoch)
    saved.save(epoch, loss)
  return folder


@pytest.fixture
def run_dir(saved_run, model, tmp_path):
  """Three epochs; all that belongs to epoch n has the value n. The model itself is full of zeros by now."""
  fill(model, 0)
  return shutil.copytree(saved_run, tmp_path / "run")


@pytest.fixture
def warnings(monkeypatch):
  """The warnings that are logged."""
  texts = []
  monkeypatch.setattr(checkpoints.logging, "warning", lambda text, *arguments: texts.append(text % arguments))
  return texts


def file_of(run_dir, epoch, suffix, kind="last") -> pathlib.Path:
  return run_dir / f"checkpoints/{kind}/epoch-{epoch}{suffix}"


def cut(file):
  os.truncate(file, file.stat().st_size // 2)


def empty(file):
  os.truncate(file, 0)


def flip(file):
  content = bytearray(file.read_bytes())
  for place in range(7, len(content), 100):  # all over it: a model in use reads its own part alone
    content[place] ^= 1
  file.write_bytes(content)


def remove(file):
  file.unlink()


# --- Whole ------------------------------------------------------------------------------------------------------------


def test_the_last_two_and_the_best_two_are_kept(run_dir):
  kept = {kind: sorted(path.stem for path in run_dir.glob(f"checkpoints/{kind}/*.index")) for kind in ("last", "best")}
  assert kept == {"last": ["epoch-2", "epoch-3"], "best": ["epoch-1", "epoch-2"]}
  data = sorted(path.name.split(".")[0] for path in run_dir.glob("checkpoints/last/*.data*"))
  assert data == ["epoch-2", "epoch-3"]


def test_the_newest_one_is_that_of_the_most_epochs_and_then_of_the_most_steps(model, tmp_path):
  saved = Checkpoints(tmp_path, model)
  assert saved.newest == (0, 0)
  kept = []
  for number, write in enumerate(
    (
      lambda: saved.save_step(9),
      lambda: saved.save_step(10),
      lambda: saved.save(1, 5.0),
      lambda: saved.save_step(2),
      lambda: saved.save_step(11),
      lambda: saved.save(2, 6.0),
    )
  ):
    fill(model, number)
    write()
    kept.append((saved.newest, sorted(path.stem for path in tmp_path.glob("checkpoints/last/*.index"))))
  assert kept == [
    ((0, 9), ["epoch-0-step-9"]),
    ((0, 10), ["epoch-0-step-10", "epoch-0-step-9"]),
    ((1, 0), ["epoch-0-step-10", "epoch-1"]),
    ((1, 2), ["epoch-1", "epoch-1-step-2"]),
    ((1, 11), ["epoch-1-step-11", "epoch-1-step-2"]),
    ((2, 0), ["epoch-1-step-11", "epoch-2"]),
  ]
  assert [path.stem for path in tmp_path.glob("checkpoints/best/*.index")] == ["epoch-1"]  # no step is one
  again = Checkpoints(tmp_path, model)
  assert again.restore_last() and (again.epoch, again.step, again.best_loss) == (2, 0, 5.0)
  assert values(every(model)) == {5.0}
  for file in tmp_path.glob("checkpoints/last/epoch-2.*"):
    file.unlink()
  again.restore_last()
  assert (again.epoch, again.step, again.best_loss) == (1, 11, 5.0) and values(every(model)) == {4.0}


def test_an_epoch_of_which_no_loss_is_known_is_best_as_long_as_none_is(model, tmp_path):
  """A run always has weights to use, and what is known goes before what is not, however bad it is."""
  saved, kept, unknown = Checkpoints(tmp_path, model), [], float("inf")

  def newest_best():
    return max(path.stem for path in tmp_path.glob("checkpoints/best/*.index"))

  for epoch, loss in enumerate([unknown, unknown, -0.2, unknown, -0.1, -0.3], start=1):
    if epoch == 5:  # interrupted before
      saved = Checkpoints(tmp_path, model)
      assert saved.restore_last() and saved.best_loss == -0.2
    saved.save(epoch, loss)
    kept.append(newest_best())
  assert kept == [f"epoch-{epoch}" for epoch in (1, 2, 3, 3, 3, 6)]
  assert saved.best_loss == -0.3


def test_within_an_epoch_its_running_means_are_kept_and_at_its_end_they_begin_anew(model, tmp_path):
  saved = Checkpoints(tmp_path, model)
  for number, mean in enumerate(model.metrics):
    mean.reset_state()
    for value in (number, number + 4.0):
      mean.update_state(value)
  saved.save_step(2)
  for mean in model.metrics:
    mean.reset_state()
  again = Checkpoints(tmp_path, model)
  again.restore_last()
  for mean in model.metrics:  # as `fit` does as it begins
    mean.reset_state()
  again.restore_means()
  assert [float(mean.result()) for mean in model.metrics] == [number + 2.0 for number in range(len(model.metrics))]
  for mean in model.metrics:
    mean.update_state(50.0)
  assert float(model.metrics[0].result()) == pytest.approx((0 + 4 + 50) / 3)  # the count has gone on, too
  again.save(1, 1.0)
  assert values(v for mean in model.metrics for v in mean.variables) == {0.0}


def test_the_best_one_is_written_first(model, tmp_path, monkeypatch):
  """The last one knows the best loss: written first, it would speak of a best one that a kill has left unwritten."""
  saved, written = Checkpoints(tmp_path, model), []
  monkeypatch.setattr(saved, "_write", lambda kind: written.append((kind, saved.epoch, saved.best_loss)))
  saved.save(1, 5.0)
  saved.save(2, 5.0)
  saved.save(3, 4.0)
  assert written == [("best", 1, 5.0), ("last", 1, 5.0), ("last", 2, 5.0), ("best", 3, 4.0), ("last", 3, 4.0)]


def test_of_an_old_one_the_index_goes_first(run_dir, model, monkeypatch):
  """A data file without an index is no checkpoint; an index without its data would be a damaged one."""
  removed, unlink = [], pathlib.Path.unlink
  monkeypatch.setattr(pathlib.Path, "unlink", lambda self: removed.append(self.name) or unlink(self))
  again = Checkpoints(run_dir, model)
  again.restore_last()
  again.save(4, 9.0)
  assert removed == ["epoch-2.index", "epoch-2.data-00000-of-00001"]


def test_a_worker_that_is_not_the_chief_takes_part_and_keeps_nothing(model, tmp_path, monkeypatch):
  monkeypatch.setattr(checkpoints.tempfile, "tempdir", str(tmp_path / "scratch"))
  (tmp_path / "scratch").mkdir()
  saved = Checkpoints(tmp_path / "run", model, writes=False)
  written, write = [], saved._checkpoint.write

  def counted(path):
    written.append(pathlib.Path(path))
    return write(path)

  monkeypatch.setattr(saved._checkpoint, "write", counted)
  saved.save(1, 5.0)
  saved.save_step(3)
  assert [path.name for path in written] == ["epoch-1", "epoch-1", "epoch-1-step-3"]  # the best, the last, and a step
  assert (saved.epoch, saved.step, saved.best_loss) == (1, 3, 5.0)
  assert [path.name for path in tmp_path.rglob("*")] == ["scratch"]


def test_the_epoch_after_the_ninth_is_newer(model, tmp_path):
  saved = Checkpoints(tmp_path, model)
  for epoch in (8, 9, 10, 11):
    saved.save(epoch, 1.0)
  assert {path.stem for path in tmp_path.glob("checkpoints/last/*.index")} == {"epoch-10", "epoch-11"}
  assert {path.stem for path in tmp_path.glob("checkpoints/best/*.index")} == {"epoch-8"}  # equal is not better


def test_a_training_goes_on_with_everything_of_its_last_epoch(run_dir, model):
  again = Checkpoints(run_dir, model)
  assert again.restore_last()
  assert values(every(model)) == {3.0}
  assert (again.epoch, again.best_loss) == (3, 3.0)


def test_a_training_that_went_on_still_knows_its_best_loss(run_dir, model):
  again = Checkpoints(run_dir, model)
  again.restore_last()
  again.save(4, 3.5)
  assert not file_of(run_dir, 4, ".index", "best").exists()
  again.save(5, 2.5)
  assert file_of(run_dir, 5, ".index", "best").exists()


def test_each_number_comes_back_to_its_own_place(model, tmp_path, monkeypatch):
  """All of them are different, those of the network of a learned feature among them."""
  reader = keras.Sequential([keras.Input([2]), keras.layers.Dense(3, name="read")])
  monkeypatch.setattr(DigitLabel, "networks", {"reader": reader})
  weights = [weight for network in (*model.networks.values(), reader) for weight in network.weights]
  optimizers = [variable for optimizer in (model.optimizer, model.optimizer_d) for variable in optimizer.variables]
  expected, first = [], 0
  for variable in (*weights, *optimizers):
    count = int(np.prod(variable.shape))
    expected.append(np.arange(first, first + count).reshape(variable.shape).astype(variable.dtype))
    variable.assign(expected[-1])
    first += count
  saved = Checkpoints(tmp_path, model)
  saved.save(1, 1.0)
  for restore_it, own in (
    (saved.restore_last, [*weights, *optimizers]),
    (lambda: restore(tmp_path, "best", model), weights),
  ):
    for variable in (*weights, *optimizers):
      variable.assign(np.zeros(variable.shape, variable.dtype))
    restore_it()
    for variable, value in zip(own, expected):
      np.testing.assert_array_equal(variable, value, err_msg=variable.path)


def test_another_process_in_which_optimizers_were_made_can_go_on(run_dir):
  another = compiled()  # its optimizers are "adam_2" and "adam_3", as Keras counts them
  Checkpoints(run_dir, another).restore_last()
  assert values(every(another)) == {3.0}


@pytest.mark.parametrize(("which", "epoch"), [("best", 2), ("last", 3)])
def test_a_model_in_use_gets_the_weights_alone(run_dir, model, which, epoch):
  assert restore(run_dir, which, model) == (which, epoch, 0)
  assert values(weight for network in model.networks.values() for weight in network.weights) == {float(epoch)}
  assert values(model.optimizer.variables) == {0.0}


def test_a_new_folder_has_nothing_to_restore(model, tmp_path):
  saved = Checkpoints(tmp_path, model)
  assert not saved.restore_last()
  assert (saved.epoch, saved.best_loss) == (0, float("inf"))


def test_without_a_checkpoint_the_folder_is_named(model, tmp_path):
  with pytest.raises(CheckpointError) as error:
    restore(tmp_path, "best", model)
  assert str(error.value) == (
    f"{tmp_path} has no checkpoint under checkpoints/best: its training has not finished an epoch yet."
  )


def test_an_unknown_kind_is_refused_with_the_known_ones(run_dir, model):
  with pytest.raises(CheckpointError, match=r"'newest'.*last, best"):
    restore(run_dir, "newest", model)


# --- Damaged ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", [cut, empty, flip, remove])
@pytest.mark.parametrize("suffix", [".data-00000-of-00001", ".index"])
def test_the_one_before_a_damaged_checkpoint_is_used(run_dir, model, warnings, suffix, damage):
  damage(file_of(run_dir, 3, suffix))
  restored = Checkpoints(run_dir, model)
  assert restored.restore_last()
  assert restored.epoch == 2 and values(every(model)) == {2.0}
  if (suffix, damage) == (".index", remove):  # then it is none
    assert warnings == []
  else:
    assert len(warnings) == 1 and str(file_of(run_dir, 3, "")) in warnings[0]


@pytest.mark.parametrize("damage", [cut, flip])
@pytest.mark.parametrize("suffix", [".data-00000-of-00001", ".index"])
def test_a_model_in_use_takes_the_one_before_as_well(run_dir, model, warnings, suffix, damage):
  damage(file_of(run_dir, 2, suffix, "best"))
  restore(run_dir, "best", model)
  assert values(weight for network in model.networks.values() for weight in network.weights) == {1.0}
  assert len(warnings) == 1 and str(file_of(run_dir, 2, "", "best")) in warnings[0]


def test_a_damaged_checkpoint_is_written_anew_when_the_training_gets_there_again(run_dir, model, warnings):
  cut(file_of(run_dir, 3, ".data-00000-of-00001"))
  again = Checkpoints(run_dir, model)
  again.restore_last()
  fill(model, 7)
  again.save(3, 4.0)
  assert {path.stem for path in run_dir.glob("checkpoints/last/*.index")} == {"epoch-2", "epoch-3"}
  fill(model, 0)
  assert Checkpoints(run_dir, model).restore_last()
  assert values(every(model)) == {7.0} and len(warnings) == 1


def test_if_all_are_damaged_all_are_named(run_dir, model, warnings):
  for epoch in (2, 3):
    cut(file_of(run_dir, epoch, ".index"))
  for restore_it in (Checkpoints(run_dir, model).restore_last, lambda: restore(run_dir, "last", model)):
    with pytest.raises(CheckpointError, match="none of the checkpoints") as error:
      restore_it()
    assert ", ".join(str(file_of(run_dir, epoch, "")) for epoch in (3, 2)) in str(error.value)  # the newest first
    assert f"remove the folder {run_dir / 'checkpoints'} and train anew" in str(error.value)
    assert f"{file_of(run_dir, 2, '', 'best')} can be: pass --checkpoint=best (from Python, 'best')" in str(error.value)
  assert len(warnings) == 4


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b'model_checkpoint_path: "elsewhere/epoch-9"\n'])
def test_a_list_file_of_tensorflow_beside_them_does_not_matter(run_dir, model, content):
  """TensorFlow's CheckpointManager writes one."""
  for kind in ("last", "best"):
    (run_dir / f"checkpoints/{kind}/checkpoint").write_bytes(content)
  again = Checkpoints(run_dir, model)
  assert again.restore_last() and again.epoch == 3
  for epoch in (4, 5):
    fill(model, epoch)
    again.save(epoch, 1.0)
  assert {path.stem for path in run_dir.glob("checkpoints/last/*.index")} == {"epoch-4", "epoch-5"}
  restore(run_dir, "last", model)
  assert 5.0 in values(model.networks["G"].weights)


# --- Another model ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [{"z1_width": 5}, {"E1": {"conv": (4, 8), "dense": (16, 16)}}])
def test_a_model_of_other_sizes_is_refused(run_dir, arguments):
  refuses(run_dir, compiled(**arguments))


def test_a_model_with_another_network_is_refused(model, tmp_path):
  Checkpoints(tmp_path, compiled(objective=Objective(lambda3=0.0))).save(3, 1.0)
  refuses(tmp_path, model)  # it has q


def refuses(run_dir, model):
  for restore_it in (Checkpoints(run_dir, model).restore_last, lambda: restore(run_dir, "last", model)):
    with pytest.raises(CheckpointError, match=r"last/epoch-3 belongs to a model of another architecture: \w.{20}"):
      restore_it()


@pytest.mark.parametrize("left_open", ["stale", "E1", "G"])
def test_a_scope_that_an_interrupt_left_open_in_keras_does_not_matter(left_open, model):
  with keras.name_scope(left_open):
    later = compiled()
  assert later.E1.weights[0].path.startswith(f"{left_open}/")
  names, expected = ({symbol: [*of] for symbol, of in checkpoints.weights_of(m).items()} for m in (later, model))
  assert names == expected and expected["E1"] == [weight.path for weight in model.E1.weights]
