"""Interleaved rounds, and intervals of medians."""

import sys

import numpy as np
import pytest

from tfdisent.benchmark import rounds
from tfdisent.errors import ConfigError


def test_rounds_take_turns_backwards_and_forwards():
  taken = []

  def reading(name):
    def measure():
      taken.append(name)
      return {name: len(taken)}

    return measure

  readings, shares = rounds.interleaved([reading("a"), reading("b")], 3)
  assert "".join(taken) == "abbaab"
  assert readings == {"a": [1, 4, 5], "b": [2, 3, 6]} and len(shares) == 4


@pytest.mark.parametrize("count, expected", [(1, (1, 1)), (5, (1, 5)), (7, (1, 7)), (9, (2, 8)), (20, (6, 15))])
def test_intervals_are_order_statistics(count, expected):
  assert rounds.interval(list(range(count, 0, -1))) == expected


def test_an_interval_holds_the_median_as_often_as_it_says():
  drawn = np.random.default_rng(0).exponential(size=(4000, 9))
  holds = [low <= np.log(2) <= high for low, high in map(rounds.interval, drawn)]
  assert 0.92 < np.mean(holds) < 0.99


def test_figures_are_told_with_their_readings():
  assert rounds.told([3.04, 1.0, 2.0]) == {"median": 2.0, "low": 1.0, "high": 3.0, "rounds": [3.0, 1.0, 2.0]}


def test_a_peer_is_read_by_its_last_line():
  code = 'print("a line"); print("{\\"images_per_s\\": 12.5}")'
  assert rounds.peer(f"{sys.executable} -c '{code}'")() == {"peer_images_per_s": 12.5}


@pytest.mark.parametrize(
  "command, words",
  [
    ("/no/such/program", "cannot be started"),
    (f"{sys.executable} -c 'print(3)'", "must end with a line of JSON"),
    (f"{sys.executable} -c 1", "must end with a line of JSON"),
    (f"{sys.executable} -c 'raise SystemExit(\"out of memory\")'", "exit code 1.*out of memory"),
  ],
)
def test_a_peer_that_tells_no_speed_is_refused(command, words):
  with pytest.raises(ConfigError, match=words):
    rounds.peer(command)()
