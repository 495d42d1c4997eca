import keras
import numpy as np
import pytest
from sklearn.linear_model import LinearRegression, LogisticRegression

import tfdisent
from tests.conftest import TINY, train_tiny
from tfdisent import run
from tfdisent.erasure import Erasure, fold, leace
from tfdisent.errors import ConfigError, DataError, RunError


@pytest.fixture(scope="module")
def wide_run(few_digits, tmp_path_factory):
  """A run whose z1 has more numbers than there are digits."""
  folder = tmp_path_factory.mktemp("runs") / "wide"
  train_tiny(folder, few_digits, tiny={**TINY, "z1_width": 16}, epochs=1)
  return folder


@pytest.fixture
def codes():
  """Codes [2000, 6] of very different scales that tell two features, one in a direction of little variance."""
  random = np.random.default_rng(0)
  f = np.stack([random.integers(2, size=2000), random.normal(size=2000)], 1)
  mixing = random.normal(size=(6, 6))
  z1 = random.normal(size=(2000, 6)) * [10, 5, 1, 1, 0.1, 0.01]
  z1[:, 5] += 0.02 * f[:, 0]
  z1[:, 1] += 4 * f[:, 1]
  return z1 @ mixing + 3, f


def test_no_linear_reader_finds_anything_after_it(codes):
  z1, f = codes
  erased = leace(z1, f)(z1)
  assert LinearRegression().fit(z1, f).score(z1, f) > 0.3
  assert LogisticRegression(C=1e6, max_iter=5000).fit(z1, f[:, 0]).score(z1, f[:, 0]) > 0.7
  assert abs(LinearRegression().fit(erased, f).score(erased, f)) < 1e-9
  majority = max(f[:, 0].mean(), 1 - f[:, 0].mean())
  assert LogisticRegression().fit(erased, f[:, 0]).score(erased, f[:, 0]) < majority + 0.01
  np.testing.assert_allclose(erased.mean(0), z1.mean(0))


def test_it_changes_codes_less_than_a_projection_that_does_as_much(codes):
  z1, f = codes
  columns, _ = np.linalg.qr((z1 - z1.mean(0)).T @ (f - f.mean(0)))
  projected = z1 - (z1 - z1.mean(0)) @ columns @ columns.T
  assert abs(LinearRegression().fit(projected, f).score(projected, f)) < 1e-9
  assert np.square(leace(z1, f)(z1) - z1).sum() < 0.7 * np.square(projected - z1).sum()


def test_of_ten_classes_it_takes_nine_directions_and_of_what_does_not_vary_none():
  random = np.random.default_rng(0)
  f = np.eye(10)[random.integers(10, size=500)]
  z1 = random.normal(size=(500, 16))
  z1[:, 3], z1[:, 5] = 2.0, z1[:, 4]  # a constant, and a copy
  erasure = leace(z1, f)
  assert np.linalg.matrix_rank(np.eye(16) - erasure.matrix, tol=1e-8) == 9
  np.testing.assert_allclose(erasure(z1)[:, 3], 2.0)
  constant = leace(z1, np.ones([500, 1]))
  np.testing.assert_array_equal(constant.matrix, np.eye(16))
  np.testing.assert_array_equal(constant.offset, 0)


def test_a_z1_of_which_nothing_would_be_left_is_refused():
  random = np.random.default_rng(0)
  z1, f = random.normal(size=(500, 8)), np.eye(10)[random.integers(10, size=500)]
  with pytest.raises(ConfigError, match=r"f varies in 8 directions .* and z1 in 8: erasing it would leave nothing"):
    leace(z1, f)
  assert np.linalg.matrix_rank(leace(z1, f[:, :2]).matrix, tol=1e-8) == 6


def test_too_few_images_are_refused():
  with pytest.raises(DataError, match="14 training images are too few to erase f from the 4 numbers of z1: there must"):
    leace(np.zeros([14, 4]), np.zeros([14, 10]))


def test_an_encoder_without_a_dense_layer_at_its_end_is_refused():
  with pytest.raises(ConfigError, match=r"must end in a keras\.layers\.Dense with a bias"):
    fold(keras.Sequential([keras.layers.Dense(8)]), Erasure(np.eye(4), np.zeros(4)))


def test_a_run_is_erased_beside_itself(wide_run, few_digits, tmp_path, monkeypatch):
  monkeypatch.setattr(run, "ERASED_FOLDER", str(tmp_path / "erased"))
  whole, said = tfdisent.load(wide_run), []
  x, f = few_digits.train["image"], np.eye(10)[few_digits.train["label"]]
  before, stddev = whole.encode_z1(x)
  erased = tfdisent.erase(wide_run, few_digits, progress=said.append)
  after, same = erased.encode_z1(x)
  assert LinearRegression().fit(before, f).score(before, f) > 0.05
  assert LinearRegression().fit(after, f).score(after, f) < 1e-4
  np.testing.assert_allclose(same, stddev, rtol=1e-5)
  np.testing.assert_allclose(erased.decode(after, f), whole.decode(after, f), atol=1e-5)
  assert erased.run_dir == tmp_path / "erased" and erased.checkpoint == whole.checkpoint
  assert not list(erased.run_dir.glob("metrics*"))
  np.testing.assert_array_equal(tfdisent.load(wide_run).encode_z1(x)[0], before)
  assert "Erased from z1, by 64 training images: " in said[0] and "--mode=eval --split=validation" in said[1]


def test_the_command_erases_and_says_what_it_lacks(wide_run, few_digits, tfdisent, tmp_path, monkeypatch):
  code, _, error = tfdisent("--mode=erase", f"--run_dir={wide_run}")
  assert code == 1 and "names no registered data set" in error
  asked = []
  monkeypatch.setattr(run, "read_dataset", lambda *arguments: asked.append(arguments) or few_digits)
  monkeypatch.setattr(run, "ERASED_FOLDER", str(tmp_path / "erased"))
  code, output, _ = tfdisent("--mode=erase", f"--run_dir={wide_run}", f"--data_dir={tmp_path}", "--checkpoint=last")
  assert code == 0 and f"The run without it: {tmp_path / 'erased'}" in output
  assert asked == [(wide_run, str(tmp_path), [])]
  with np.load(tmp_path / "erased" / "weights.npz") as weights:
    assert weights[""][0] == "last"


def test_an_encoder_that_changes_what_its_last_layer_gives_is_refused(wide_run, few_digits, monkeypatch):
  trained = tfdisent.load(wide_run)
  encode = type(trained).encode_z1
  monkeypatch.setattr(
    "tfdisent.inference.TrainedModel.encode_z1", lambda self, x: tuple(2 + np.tanh(z) for z in encode(self, x))
  )
  with pytest.raises(ConfigError, match="E1 changes what its `output_layer` gives"):
    tfdisent.erase(wide_run, few_digits)


def test_a_folder_that_is_no_erased_run_stays(wide_run, few_digits, tmp_path, monkeypatch):
  monkeypatch.setattr(run, "ERASED_FOLDER", str(tmp_path))
  (tmp_path / "mine.txt").write_text("mine")
  with pytest.raises(RunError, match="is there, and is no compact run"):
    tfdisent.erase(wide_run, few_digits)
  assert (tmp_path / "mine.txt").read_text() == "mine"
