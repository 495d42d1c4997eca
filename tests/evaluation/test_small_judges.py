"""Judges that a run folder keeps: they read as those of the evaluation do, where the data set is not."""

import dataclasses
import json
import pathlib
import shutil

import keras
import numpy as np
import pytest

from tests.evaluation.conftest import BAND, COLOR, HUE, RED
from tfdisent.data.dataset import SPLITS, Judge
from tfdisent.errors import RunError
from tfdisent.evaluation import judges, strokes
from tfdisent.evaluation.readers import readers
from tfdisent.evaluation.small_judges import load_judges, save_judges

SHAPE = (8, 8, 3)
LOW = Judge("low", "low", "classifier")
TURN = HUE._replace(symmetric=(("label", (0, 2, 3)),))
NAMES = {"label": ("top", "b", "c", "d"), "low": ("0", "1")}


@pytest.fixture(scope="module")
def dataset(judged_bands):
  splits = {s: {**judged_bands[s], "low": judged_bands[s]["label"] // 2} for s in ("train", "validation", "test")}
  return dataclasses.replace(judged_bands, **splits, class_names=NAMES, judges=(BAND, COLOR, RED, TURN, LOW))


def saved(folder, dataset, fit=lambda *_, **__: None):
  """Saves the judges of a data set, of networks with initial weights unless `fit` changes them; returns what reads."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv("TFDISENT_CACHE", str(folder / "cache"))
    patch.setattr(keras.Model, "fit", fit)
    keras.utils.set_random_seed(0)
    read = readers(dataset)
    save_judges(folder, dataset, "test", read)
  return read


@pytest.fixture(scope="module")
def exact(dataset, folder):
  return saved(folder, dataset)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
  return tmp_path_factory.mktemp("judges")


@pytest.fixture(scope="module")
def small(exact, folder):
  return load_judges(folder, SHAPE)


def assert_alike(small, exact, x):
  for one in small.judges:
    got, right = one.read(x), exact[one.judge](x)
    if one.judge.kind == "classifier":
      assert np.mean(got == right) > 0.9
      np.testing.assert_allclose(one.read.probabilities(x), exact[one.judge].probabilities(x), atol=0.05)
    elif one.judge.kind == "angle":
      assert np.median(strokes.angle_error(got, right, 360.0)) < 5
    else:
      np.testing.assert_allclose(got, right, atol=0.05)


def test_a_trunk_reads_as_in_the_evaluation(small, exact, dataset):
  assert tuple(one.judge for one in small.judges) == dataset.judges and small.images == 40
  assert_alike(small, exact, dataset.test["image"])


@pytest.mark.parametrize("judge", [BAND, RED], ids=["oracle", "estimator"])
def test_one_network_alone_reads_as_in_the_evaluation(dataset, tmp_path, judge):
  exact = saved(tmp_path, dataclasses.replace(dataset, judges=(judge, COLOR)))
  assert_alike(load_judges(tmp_path, SHAPE), exact, dataset.test["image"])


def turned_over(network, *_, **__):
  """A training after which it matters whether what is pooled was normalised before."""
  for layer in network.layers:
    if isinstance(layer, keras.layers.BatchNormalization):
      layer.gamma.assign(-2 * layer.gamma)


@pytest.mark.parametrize("pool_first", [True, False], ids=["as saved now", "saved before networks pooled first"])
def test_large_images_are_read_in_the_order_in_which_the_network_learned(dataset, tmp_path, monkeypatch, pool_first):
  splits = {s: {**dataset[s], "image": np.kron(dataset[s]["image"], np.ones((1, 5, 5, 1), np.uint8))} for s in SPLITS}
  large = dataclasses.replace(dataset, **splits, judges=(BAND,))
  assert judges.pools_first(large.image_shape)
  monkeypatch.setattr(judges, "pools_first", lambda image_shape: pool_first)
  exact = saved(tmp_path, large, turned_over)
  if not pool_first:
    changed(tmp_path / "judges.npz", pool_first=None)
  monkeypatch.undo()
  assert_alike(load_judges(tmp_path, large.image_shape), exact, large.test["image"])


def test_they_are_a_quarter_as_large(exact, folder):
  (file,) = (folder / "cache").iterdir()
  assert (folder / "judges.npz").stat().st_size < 0.3 * file.stat().st_size


def test_they_tell_how_well_they_read_real_images(small, dataset):
  x, test, (band, color, red, hue, _) = dataset.test["image"], dataset.test, small.judges
  assert band.value == np.mean(band.read(x) == test["label"])
  assert red.value == pytest.approx(np.abs(red.read(x) - test["red"]).mean())
  error = strokes.angle_error(hue.read(x), test["hue"], 360.0)
  assert hue.value == pytest.approx(np.median(error[test["label"] == 1]))
  assert color.value is None and color.right == "measured in the pixels"
  assert band._replace(value=0.9914).right == "right in 99.1 %" and band._replace(value=1.0).right == "right in 100 %"
  assert hue._replace(value=2.13).right == "off by 2.1°" and red._replace(value=0.0271).right == "off by 0.027"


def test_what_they_read_is_told_in_words(small, dataset):
  """The angle of a class that shows none is not told, and two classes without names are no and yes."""
  x = dataset.test["image"]
  band, low = (small.judges[number].read(x) for number in (0, 4))
  words = [list(column) for column in zip(*small.words(x))]
  assert words[0] == [NAMES["label"][value] for value in band]
  assert all(word.startswith("#") and len(word) == 7 for word in words[1])
  assert [word == "–" for word in words[3]] == (band != 1).tolist()
  assert words[4] == [("no", "yes")[value] for value in low]


def test_without_judges_there_is_no_file(dataset, tmp_path):
  saved(tmp_path, dataclasses.replace(dataset, judges=()))
  assert not (tmp_path / "judges.npz").exists() and load_judges(tmp_path, SHAPE) is None


def changed(file, **about):
  """The file with other things said about it; what is None is not said at all."""
  with np.load(file) as opened:
    arrays = dict(opened)
  told = {name: value for name, value in (json.loads(arrays["about"].tobytes()) | about).items() if value is not None}
  np.savez(file, **{**arrays, "about": np.frombuffer(json.dumps(told).encode(), np.uint8)})


DAMAGES = {
  "empty": lambda file: file.write_bytes(b""),
  "no archive": lambda file: file.write_text("judges"),
  "cut": lambda file: file.write_bytes(file.read_bytes()[:-300]),
  "of nothing": np.savez,
  "another network": lambda file: changed(file, network="oracle"),
  "an unknown network": lambda file: changed(file, network="sage"),
  "a head as large as a memory": lambda file: changed(
    file, heads=[{"kind": "classifier", "turn": 0, "values": [10**9]}]
  ),
  "no list": lambda file: changed(file, judges=3),
  "other images": lambda file: changed(file, image_shape=[9, 8, 3]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_told(exact, folder, tmp_path, damage):
  damage(pathlib.Path(shutil.copy(folder / "judges.npz", tmp_path)))
  with pytest.raises(RunError, match=r"judges\.npz cannot be read \(.*Remove it"):
    load_judges(tmp_path, SHAPE)
