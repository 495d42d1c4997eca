"""Figures that say what they are of, and a count of who has seen the test split."""

import datetime
import hashlib
import json
import sys

import keras
import pytest
import tensorflow as tf

import tfdisent
from tests.run.test_description import tiny_dataset
from tfdisent import run
from tfdisent.errors import RunError

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
    "best_by": "loss",
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


def test_figures_say_by_what_their_checkpoint_was_chosen(tmp_path):
  (tmp_path / "config.gin").write_text("")
  for description, best in (({"dataset": None}, "loss"), ({"dataset": None, "best": "score"}, "score")):
    (tmp_path / "run.json").write_text(json.dumps(description))
    assert run.provenance(tmp_path, tiny_dataset(), "test", BEST, 0)["best_by"] == best


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
