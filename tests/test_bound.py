"""The bound on channels of which the mutual information is known."""

import math

import numpy as np
import pytest

from tfdisent.evaluation import cells, entropy, information_bound

from .bands import draw

SIZES = {"train": 1500, "validation": 300, "test": 1000}


def channel(seen):
  """z1, images and targets: `seen(random_state, target)` is the band that the image shows."""
  random_state = np.random.default_rng(0)
  target = {part: random_state.integers(4, size=count) for part, count in SIZES.items()}
  z1 = {part: random_state.normal(size=(count, 3)) for part, count in SIZES.items()}
  image = {
    part: np.uint8(255 * draw(seen(random_state, y), random_state.uniform(0.3, 1, (len(y), 3))))
    for part, y in target.items()
  }
  return information_bound(z1, image, target, epochs=3)


def test_a_perfect_channel_carries_the_whole_entropy():
  bound = channel(lambda random_state, y: y)
  assert bound["ceiling_nats"]["value"] == pytest.approx(math.log(4), abs=0.01)
  assert bound["nats"]["value"] == pytest.approx(math.log(4), abs=0.03)
  assert 0.98 < bound["ratio"]["low"] <= bound["ratio"]["value"] <= bound["ratio"]["high"] <= 1


def test_an_independent_channel_carries_nothing():
  bound = channel(lambda random_state, y: random_state.integers(4, size=len(y)))
  assert -0.05 < bound["nats"]["value"] < 0.01 and abs(bound["ratio"]["value"]) < 0.04


def test_a_channel_that_merges_two_bands_carries_what_is_left():
  bound = channel(lambda random_state, y: y // 2)  # ln 4 - ln 2
  assert bound["nats"]["value"] == pytest.approx(math.log(2), abs=0.03)


def test_entropy_by_hand():
  assert entropy(np.array([0, 0, 1, 1])) == pytest.approx(math.log(2))
  assert entropy(np.array([7, 7, 7])) == 0
  assert entropy(np.array([0, 1, 1, 1])) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_cells_are_the_nearest_centres_of_the_first_part():
  random_state = np.random.default_rng(0)
  centres = np.array([[0, 0], [0, 9], [9, 0]])
  of = {part: random_state.integers(3, size=count) for part, count in SIZES.items()}
  classes = cells({part: centres[y] + random_state.normal(size=(len(y), 2)) for part, y in of.items()}, count=3)
  for part, y in of.items():
    assert len({(a, b) for a, b in zip(y, classes[part])}) == 3, part
