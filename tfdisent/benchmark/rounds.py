"""Interleaved rounds: what is compared is measured by turns, so that a slow minute of the machine slows all of it."""

import json
import math
import shlex
import subprocess
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from tfdisent.benchmark.machine import share_of_cores
from tfdisent.errors import ConfigError

Measure = Callable[[], Mapping[str, float]]
"""Takes one reading of some figures, by their names."""


def interleaved(measures: Sequence[Measure], rounds: int) -> tuple[dict[str, list[float]], list[float]]:
  """Takes all readings once in each round, in turn, every other round backwards.

  Args:
    measures: what takes them.
    rounds: how often.

  Returns:
    The readings of each figure, one for each round; and the share of the cores that this process got before each round
    and after the last one (`share_of_cores`).
  """
  readings: dict[str, list[float]] = {}
  shares = [share_of_cores()]
  for number in range(rounds):
    for measure in measures[:: -1 if number % 2 else 1]:
      for name, value in measure().items():
        readings.setdefault(name, []).append(value)
    shares.append(share_of_cores())
  return readings, shares


def interval(readings: Sequence[float], coverage: float = 0.93) -> tuple[float, float]:
  """An interval that holds the median of what was read with a probability of at least `coverage`; else the range.

  It is one of order statistics, and asks for nothing of the distribution: k readings are left out at each end, where
  the probability that at most k of n fall on one side of the median is small enough. The range of 5 covers 93.75 %.
  """
  n, least, below = len(readings), 0, 0.0
  for k in range(n // 2):
    below += math.comb(n, k) / 2**n
    if 1 - 2 * below < coverage:
      break
    least = k
  ordered = sorted(readings)
  return float(ordered[least]), float(ordered[n - 1 - least])


def told(readings: Sequence[float], digits: int = 1) -> dict[str, float | list[float]]:
  """The median of some readings, its interval, and the readings."""
  low, high = interval(readings)
  figures = {"median": float(np.median(readings)), "low": low, "high": high}
  return {name: round(value, digits) for name, value in figures.items()} | {
    "rounds": [round(value, digits) for value in readings]
  }


def peer(command: str) -> Measure:
  """Runs the command of another program once for each reading: "peer_images_per_s".

  Args:
    command: it ends with a line of JSON that has `images_per_s`.

  Raises:
    ConfigError: it cannot be started; and when a reading is taken, that it fails or tells no speed.
  """
  words = shlex.split(command)

  def measure():
    try:
      done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
      raise ConfigError(f"--peer={command!r} cannot be started: {error}.") from error
    lines = done.stdout.strip().splitlines()
    try:
      if done.returncode:
        raise ValueError(f"exit code {done.returncode}")
      return {"peer_images_per_s": float(json.loads(lines[-1])["images_per_s"])}
    except (ValueError, KeyError, IndexError, TypeError) as error:
      said = " ".join((done.stderr or done.stdout).strip().splitlines()[-1:])
      raise ConfigError(
        f'--peer={command!r} must end with a line of JSON as {{"images_per_s": 800.0}} ({error!r}). It said: {said}'
      ) from error

  return measure
