"""The contract of a measurement as a test, for the suites of those who write one."""

import json
import math
import numbers

from tfdisent.data.dataset import Dataset, fingerprint
from tfdisent.errors import ConfigError, shown
from tfdisent.evaluation.case import Case
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics
from tfdisent.inference import TrainedModel
from tfdisent.registry import MEASUREMENTS


def check_measurement(
  measurement: Measurement, trained: TrainedModel, dataset: Dataset, split: str = "validation"
) -> None:
  """Checks that a measurement gives the figures that it declares, the same ones each time, as JSON can keep them.

  Args:
    measurement: is asked twice for its figures.
    trained: a trained model; a tiny one will do.
    dataset: whose split is measured.
    split: "validation" or "test".

  Raises:
    ConfigError: what is wrong, and what to do about it.
  """
  name = type(measurement).__name__
  _check_declaration(measurement, name)
  data = fingerprint(dataset[split])
  first, again = (_measured(measurement, Case(trained, dataset, split), name) for _ in range(2))
  if first != again:
    raise ConfigError(
      f"{name} is not deterministic: asked twice, it gives other figures. Seed its draws with case.seed."
    )
  if fingerprint(dataset[split]) != data:
    raise ConfigError(f"{name} changes the examples that it is given: work on a copy.")


def _check_declaration(measurement, name):
  if not isinstance(measurement, Measurement):
    raise ConfigError(f"{name} is no tfdisent.Measurement: subclass it.")
  if not (isinstance(getattr(measurement, "stage", None), str) and measurement.stage):
    raise ConfigError(f"{name}.stage says nothing: set it to what `evaluate` prints while it measures.")
  figures = getattr(measurement, "figures", ())
  if not figures or not all(isinstance(figure, Figure) for figure in figures):
    raise ConfigError(f"{name}.figures must be a tuple with a `Figure` for each figure that it gives.")
  if not any(MEASUREMENTS[registered] is type(measurement) for registered in MEASUREMENTS):
    raise ConfigError(f"{name} is not registered: decorate it with @tfdisent.register_measurement('its_name').")


def _measured(measurement, case, name) -> Metrics:
  metrics = measurement.measure(case)
  if not isinstance(metrics, dict):
    raise ConfigError(f"{name} gives a {type(metrics).__name__}: it must give a dict, {{'name': {{'value': …}}}}.")
  for key, figure in metrics.items():
    if not any(declared.matches(key) for declared in measurement.figures):
      raise ConfigError(f"{name} gives '{key}', which none of its figures declares: add Figure('{key}').")
    if not (isinstance(figure, dict) and isinstance(figure.get("value"), numbers.Real)):
      raise ConfigError(f"{name} gives {shown(figure)} for '{key}': it must be a dict with a number as its 'value'.")
    if "low" in figure and not figure["low"] <= figure["value"] <= figure["high"]:
      raise ConfigError(f"{name} gives an interval for '{key}' in which its value does not lie: {figure}.")
    if math.isnan(figure["value"]):
      raise ConfigError(f"{name} gives NaN for '{key}': leave a figure out that cannot be had.")
  try:
    json.dumps(metrics)
  except TypeError as error:
    raise ConfigError(f"{name} gives figures that JSON cannot keep ({error}): use Python's float(…).") from error
  return metrics
