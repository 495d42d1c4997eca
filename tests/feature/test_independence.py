"""Correlated features: the weights that take the correlation out."""

import numpy as np
import pytest

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from features.rgb import Rgb
from tests.conftest import train_tiny
from tfdisent.errors import ConfigError
from tfdisent.feature.independence import Independence, classes, effective_size, weights
from tfdisent.feature.values import feature_values

COUNT, RHO = 2000, 0.8


@pytest.fixture(scope="module")
def pair():
  """Digits, and a colour that is their own tenth of the red with the probability `RHO`; which tenth it is."""
  draw = np.random.default_rng(0)
  digit = draw.integers(10, size=COUNT)
  tenth = np.where(draw.random(COUNT) < RHO, digit, draw.integers(10, size=COUNT))
  color = np.stack([(tenth + draw.random(COUNT)) / 10, draw.random(COUNT), draw.random(COUNT)], 1)
  return digit, tenth, np.eye(10, dtype=np.float32)[digit], color.astype(np.float32)


def shares(digit, tenth, w):
  """How much of the weight each digit has in each tenth."""
  joint = np.zeros([10, 10])
  np.add.at(joint, (digit, tenth), w / w.sum())
  return joint


def test_weights_take_the_correlation_out_and_leave_each_as_it_is_alone(pair):
  digit, tenth, one_hot, color = pair
  before = shares(digit, tenth, np.ones(COUNT))
  assert before.trace() == pytest.approx(RHO + (1 - RHO) / 10, abs=0.03)
  true = np.where(digit == tenth, 0.1 / (RHO + (1 - RHO) / 10), 1 / (1 - RHO))
  f, c = [(DigitLabel(), one_hot)], [(Rgb(), color)]
  w = weights(f, c, largest=50.0)
  after = shares(digit, tenth, w)
  assert w.mean() == pytest.approx(1) and after.trace() == pytest.approx(0.1, abs=0.04)
  np.testing.assert_allclose(after.sum(0), before.sum(0), atol=0.03)
  np.testing.assert_allclose(after.sum(1), before.sum(1), atol=0.03)
  assert 0.5 * effective_size(true) < effective_size(w) < 1.2 * effective_size(true)
  np.testing.assert_array_equal(w, weights(c, f, largest=50.0))  # either way, and each time


def test_weights_are_clipped(pair):
  _, _, one_hot, color = (column[:600] for column in pair)
  free, clipped = (weights([(DigitLabel(), one_hot)], [(Rgb(), color)], largest) for largest in (50.0, 2.0))
  before = clipped * 2 / clipped.max()  # what it was divided by made the mean 1
  assert free.max() > 4 and before.max() == 2 and (before == 2).sum() > 10
  assert effective_size(clipped) > effective_size(free)


def test_two_continuous_features_are_made_independent_as_well():
  draw = np.random.default_rng(0)
  f = draw.normal(size=[COUNT, 1]).astype(np.float32)
  c = (0.5 * f + 0.87 * draw.normal(size=[COUNT, 1])).astype(np.float32)
  w = weights([(Color(), f)], [(Color(), c)], largest=20.0)
  assert np.corrcoef(f[:, 0], c[:, 0])[0, 1] > 0.45
  covariance = np.cov(f[:, 0], c[:, 0], aweights=w)
  assert abs(covariance[0, 1]) < 0.15 * np.sqrt(covariance[0, 0] * covariance[1, 1])


def test_the_effective_size():
  assert effective_size(np.ones(7)) == 7 and effective_size(np.array([2.0, 0, 0, 2])) == 2


def test_continuous_values_are_cut_into_cells_as_frequent_as_each_other():
  values = np.random.default_rng(0).random([1600, 2]).astype(np.float32)
  np.testing.assert_array_equal(np.bincount(classes([(Color(), values)])), np.full(16, 100))
  attribute = np.repeat([[0.0], [1.0]], 800, axis=0)
  both = classes([(DigitLabel(), attribute), (Color(), values[:, :1])])
  assert len(np.unique(both)) == 32 and not set(both[:800]) & set(both[800:])


@pytest.mark.parametrize("name", ["color", "rgb"])
def test_a_part_of_the_feature_becomes_independent_of_the_others(name, few_digits, monkeypatch):
  seen = []
  monkeypatch.setattr(
    "tfdisent.feature.independence.weights", lambda f, c, largest: seen.append((f, c, largest)) or np.ones(64)
  )
  both = Composite((DigitLabel(), Rgb()))
  f = feature_values(both, few_digits.train)
  assert Independence(few_digits, both, (name,), largest=9.0).frequency(f).sum() == 64
  ((((digit, one_hot),), ((color, rgb),), largest),) = seen
  assert (digit, color.name, largest) == (DigitLabel(), "rgb", 9.0)
  np.testing.assert_array_equal(one_hot, f[:, :10])
  np.testing.assert_array_equal(rgb, f[:, 10:])


@pytest.mark.parametrize(
  ("names", "largest", "words"),
  [
    (("colour",), 50.0, r"train.independent_of = \('colour',\): the data set has no column 'colour'"),
    (("label",), 50.0, r"train.independent_of = \('label',\) names all of the feature 'digit_label'"),
    (("color",), 0.5, "train.largest_weight = 0.5 must be at least 1"),
  ],
)
def test_what_cannot_be_is_refused(names, largest, words, few_digits):
  with pytest.raises(ConfigError, match=words):
    Independence(few_digits, DigitLabel(), names, largest)


class Begun(Exception):
  """Ends a training when it asks for its first batch."""


def test_a_training_draws_by_it_and_says_so(few_digits, tmp_path, capsys, monkeypatch):
  w = np.arange(64.0)
  monkeypatch.setattr("tfdisent.feature.independence.weights", lambda f, c, largest: w)

  def batches(examples, *_, frequency, **__):
    assert examples is few_digits.train
    np.testing.assert_array_equal(frequency, w)
    raise Begun

  monkeypatch.setattr("tfdisent.training.loop.training_batches", batches)
  with pytest.raises(Begun):
    train_tiny(tmp_path, few_digits, epochs=1, independent_of=("color",))
  told = f"independent of color: 64 training images count as much as {effective_size(w):.0f} that are"
  assert told in capsys.readouterr().out
