"""What reads the judges' properties: networks of their own, or one trunk for several."""

import dataclasses
import gc

import keras
import numpy as np
import pytest

from features.digit_label import DigitLabel
from features.number import Number
from tests.evaluation.conftest import ALL, BAND, COLOR, HUE, RED
from tfdisent.data.dataset import Judge
from tfdisent.evaluation import Estimator, Oracle, judges, readers, strokes, train_judges


@pytest.fixture(scope="module")
def dataset(judged_bands):
  return judged_bands


def with_judges(dataset, *of):
  return dataclasses.replace(dataset, judges=of)


def test_one_network_alone_is_what_it_always_was(dataset, own_cache, trainings):
  """Its file in the cache, too: it is not trained anew."""
  for one, own in ((BAND, Oracle(dataset)), (RED, Estimator(dataset, "red")), (HUE, Estimator(dataset, "hue", 360.0))):
    found = readers.readers(with_judges(dataset, one, COLOR))
    assert type(found[one]) is type(own) and found[COLOR] is strokes.measured_color
  assert len(trainings) == 3 == len(list(own_cache.iterdir()))
  assert readers.readers(with_judges(dataset, COLOR)) == {COLOR: strokes.measured_color}


def test_two_networks_are_one_trunk_whatever_the_order_of_the_judges(dataset, own_cache, trainings, capsys):
  train_judges(dataset, DigitLabel())
  keras.layers.Dense(1), keras.layers.Conv2D(1, 1), keras.Sequential([])  # which take numbers of names
  train_judges(with_judges(dataset, *ALL[::-1]), DigitLabel())
  (file,) = own_cache.iterdir()
  assert len(trainings) == 1 and file.name.startswith("trunk-")
  assert "the trunk of hue, label, red, one network that judges them all, on 300 real" in capsys.readouterr().out
  of_two = readers.readers(with_judges(dataset, BAND, RED))  # another trunk
  assert len(trainings) == 2 and set(of_two) == {BAND, RED}


def test_a_trunk_is_kept_under_all_of_its_columns(dataset, own_cache, trainings):
  train_judges(dataset, DigitLabel())
  train_judges(dataclasses.replace(dataset, train={**dataset.train, "color": 1 - dataset.train["color"]}), DigitLabel())
  assert len(trainings) == 1  # the colour is measured of pixels
  for count, column in enumerate(("label", "red", "hue"), start=2):
    values = dataset.train[column].copy()
    values[7] = values[8 + np.argmax(values[8:] != values[7])]
    train_judges(dataclasses.replace(dataset, train={**dataset.train, column: values}), DigitLabel())
    assert len(trainings) == count


@pytest.mark.parametrize(("judges", "names"), [((BAND,), ["oracle", "estima"]), ((BAND, RED), ["trunk-"])])
def test_a_learned_feature_that_no_judge_reads_has_its_second_network_before_a_training(
  dataset, own_cache, trainings, judges, names
):
  train_judges(with_judges(dataset, *judges), Number("red").of_dataset(dataset))
  assert len(trainings) == len(names)
  assert {path.name[:6] for path in own_cache.iterdir()} == {*names}


def test_it_learns_from_the_data_set_without_its_bias(dataset, own_cache, trainings):
  train_judges(dataset, DigitLabel())
  biased = {name: column[:2] for name, column in dataset.train.items()}
  train_judges(dataclasses.replace(dataset, train=biased, unbiased=dataset), DigitLabel())
  assert len(trainings) == 1


def test_each_head_reads_its_own_property_and_all_in_one_pass(dataset, own_cache, monkeypatch):
  """Known answers: of a network that gives logits, the angle of (1, 1), and a number one spread above the mean."""
  monkeypatch.setattr(keras.Model, "fit", lambda *_, **__: None)
  trunk, passes = readers.Trunk(dataset, [BAND, RED, HUE]), []
  said = np.array([1.0, 1.0, *np.log([0.1, 0.2, 0.3, 0.4]), 1.0], np.float32)  # by the names of the columns
  assert trunk.outputs(dataset.test["image"]).shape == (40, 7)
  monkeypatch.setattr(trunk._network, "predict", lambda x, **_: (passes.append(x), np.tile(said, (len(x), 1)))[1])
  band, red, hue = map(trunk.reader, (BAND, RED, HUE))
  x, others = dataset.test["image"].copy(), dataset.test["image"][:5].copy()
  assert (band(x) == 3).all() and band(others).shape == (5,)
  np.testing.assert_allclose(hue(x), 45.0)
  np.testing.assert_allclose(red(x), dataset.train["red"].mean() + dataset.train["red"].std(), rtol=1e-5)
  np.testing.assert_allclose(band.probabilities(others), [[0.1, 0.2, 0.3, 0.4]] * 5, rtol=1e-5)
  assert len(passes) == 2 and not hasattr(red, "probabilities")
  passes.clear()
  del others
  gc.collect()
  band(x[:5])
  assert len(passes) == 1 and len(trunk._read) == 3  # `others` are gone


def test_a_judge_is_read_by_the_trunk_of_its_data_set(dataset, own_cache, trainings):
  read = readers.reader(RED, dataset)
  assert read(dataset.test["image"]).shape == (40,) and len(trainings) == 1
  other = readers.reader(Judge("green", "color", "number"), dataset)
  assert type(other) is Estimator and len(trainings) == 2


def test_a_trunk_learns_all_of_its_properties(dataset, own_cache, monkeypatch):
  monkeypatch.setattr(judges, "EPOCH_IMAGES", 1_500)
  read, x, test = readers.readers(dataset), dataset.test["image"], dataset.test
  assert np.mean(read[BAND](x) == test["label"]) > 0.9 and np.corrcoef(read[RED](x), test["red"])[0, 1] > 0.9
  assert np.median(strokes.angle_error(read[HUE](x), test["hue"])) < 60
  monkeypatch.setattr(keras.Model, "fit", None)
  again = readers.readers(dataset)
  np.testing.assert_array_equal(again[RED](test["image"]), read[RED](test["image"]))
