"""The exported SavedModel against the model in use."""

import numpy as np
import pytest
import tensorflow as tf

from tfdisent.export import export


@pytest.fixture(scope="module")
def exported(digit_run, tmp_path_factory):
  """The folder of the first version."""
  folder = tmp_path_factory.mktemp("export")
  assert export(digit_run.trained, folder) == folder / "1"
  return folder


@pytest.fixture(scope="module")
def signatures(exported):
  return tf.saved_model.load(str(exported / "1")).signatures


def test_versions_count_up_and_leave_nothing_half_written(exported, digit_run):
  assert [path.name for path in exported.iterdir()] == ["1"]
  assert export(digit_run.trained, exported) == exported / "2"
  assert sorted(path.name for path in exported.iterdir()) == ["1", "2"]
  assert (exported / "2" / "saved_model.pb").is_file()


def test_the_version_after_the_tenth_is_the_eleventh(digit_run, tmp_path):
  for name in ("9", "10", "2.partial", "notes"):
    (tmp_path / "new" / name).mkdir(parents=True)
  assert export(digit_run.trained, tmp_path / "new").name == "11"


def test_what_an_interrupted_export_left_is_overwritten(digit_run, tmp_path):
  (tmp_path / "1.partial").mkdir()
  (tmp_path / "1.partial" / "saved_model.pb").write_bytes(b"half")
  tf.saved_model.load(str(export(digit_run.trained, tmp_path)))
  assert [path.name for path in tmp_path.iterdir()] == ["1"]


@pytest.mark.parametrize("signature", ["control", "serving_default"])
@pytest.mark.parametrize("count", [1, 5])
def test_the_images_are_those_of_the_model_in_use(signatures, digit_run, few_digits, signature, count):
  x, label = few_digits.test["image"][:count], np.arange(count)
  image = signatures[signature](image=x, feature=np.eye(10, dtype=np.float32)[label])["image"].numpy()
  assert image.dtype == np.uint8
  expected = digit_run.trained.control(x, label)
  assert np.abs(image.astype(int) - expected).max() <= 1


def test_the_codes_are_those_of_the_model_in_use(signatures, digit_run, few_digits):
  x = few_digits.test["image"][:5]
  codes = signatures["encode"](image=x)
  mean, stddev = digit_run.trained.encode_z1(x)
  np.testing.assert_allclose(codes["z1_mean"], mean, atol=1e-5)
  np.testing.assert_allclose(codes["z1_stddev"], stddev, atol=1e-5)
