"""The images that are changed: where they come from."""

import numpy as np
import pytest

from tests.conftest import small
from tfdisent import run
from tfdisent.errors import DataError, FeatureError, RunError
from tfdisent.examples import save_examples, save_feature_examples
from tfdisent.feature.values import feature_values
from tfdisent.pictures import sources

F = np.eye(10, dtype=np.float32)


@pytest.fixture
def folder(tmp_path, monkeypatch):
  """A run folder whose data set is not at hand."""

  def read(run_dir, data_dir=None, trust=()):
    raise DataError(f"there is no data in {data_dir}.")

  monkeypatch.setattr(run, "read_dataset", read)
  return tmp_path


def test_without_images_of_any_kind_it_is_said_what_to_do(folder, labels):
  with pytest.raises(RunError, match=r"keeps no images.*there is no data in None\.\).*--data_dir"):
    sources.find(folder, labels)


def test_a_folder_of_data_that_is_named_must_be_there(folder, colors, x):
  save_examples(folder, x[:8])
  with pytest.raises(DataError, match="there is no data in nowhere"):
    sources.find(folder, colors, data_dir="nowhere")


def test_new_images_have_the_values_that_the_run_has_kept(folder, labels):
  save_feature_examples(folder, F[:4])
  found = sources.find(folder, labels, seed=1)
  assert found.image.shape == (4, 28, 28, 3) and found.words.startswith("new images")
  np.testing.assert_array_equal(found.known, F[:4])
  assert sorted(np.argmax(found.f, 1)) == [0, 1, 2, 3]
  assert (sources.find(folder, labels, seed=1).image == found.image).all()
  assert (sources.find(folder, labels, seed=2).image != found.image).any()


def test_images_that_the_run_has_kept_go_before_new_ones(folder, colors, x):
  save_examples(folder, x[:8])
  save_feature_examples(folder, np.float32([[0, 0, 1]]))
  found, other = (sources.find(folder, colors, seed) for seed in (0, 1))
  assert found.words == "images that the run has kept"
  np.testing.assert_allclose(found.f, colors.encode(found.image).feature, atol=1e-6)
  assert len(found.known) == 9 and found.known[-1].tolist() == [0, 0, 1]
  assert (found.image != other.image).any()
  np.testing.assert_array_equal(np.sort(found.image, axis=0), np.sort(other.image, axis=0))


def test_kept_images_whose_feature_cannot_be_read_are_left(folder, labels, x):
  """No q has learned to read this label."""
  save_examples(folder, x[:8])
  save_feature_examples(folder, F[:4])
  with pytest.raises(FeatureError):
    labels.encode(x[:8])
  assert sources.find(folder, labels).words.startswith("new images")


def test_images_of_a_data_set_go_first_where_it_is_given(folder, colors, few_digits, x, monkeypatch):
  save_examples(folder, x[:8])
  found = sources.find(folder, colors, dataset=few_digits)
  assert found.words == "images of the validation split" and len(found.known) == 64
  known = feature_values(colors.feature, few_digits.validation)
  rows = [next(k for k in range(64) if (known[k] == f).all()) for f in found.f]
  assert len(set(rows)) == 8
  np.testing.assert_array_equal(found.image, few_digits.validation["image"][rows])
  asked = []
  monkeypatch.setattr(run, "read_dataset", lambda *arguments: asked.append(arguments) or small(few_digits, 16))
  assert len(sources.find(folder, colors, data_dir="/d", trust=["a"]).known) == 16
  (folder / run.EXAMPLES_FILE).unlink()
  assert len(sources.find(folder, colors).known) == 16 and asked == [(folder, "/d", ["a"]), (folder, None, ())]


def test_each_donor_differs_and_is_taken_once():
  f = F[[0, 0, 1, 1, 2, 2]]
  rows = sources.donors(f)
  assert sorted(rows) == list(range(6)) and (f[rows] != f).any(1).all()
  far = np.float32([[0], [1], [10], [11]])
  assert (np.abs(far - far[sources.donors(far)]) >= 9).all()
  same = sources.donors(np.zeros([3, 2]))
  assert (same != np.arange(3)).all() and sources.donors(F[:1]).tolist() == [0]


def test_a_file_of_kept_images_may_be_damaged(folder, colors):
  (folder / run.EXAMPLES_FILE).write_bytes(b"no png")
  with pytest.raises(RunError, match=r"examples\.png does not hold images"):
    sources.find(folder, colors)
