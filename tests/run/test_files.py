"""The files of a run folder: their names, and one writer, who writes them whole."""

import fcntl
import pathlib

import pytest
import tensorflow as tf

import tfdisent
from tests.conftest import train_tiny
from tfdisent import run
from tfdisent.errors import RunError


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
      train_tiny(folder, few_digits, objective={"lambda3": 0.0, "lambda4": 0.0}, describe=lambda: "train.epochs = 3")
  assert [file.name for file in folder.iterdir()] == ["lock"]


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
