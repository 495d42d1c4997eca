"""The records of measurements: what is made from them, and how a user adds one."""

import importlib
import json

import pytest

from features.color import Color
from tests.bands import Fake, bands_dataset, read_label, swaps_color
from tfdisent.errors import RegistryError
from tfdisent.evaluation import Figure, Measurement, evaluate, judges, printed_figures, without_part
from tfdisent.evaluation.comparison import markdown, read_runs
from tfdisent.evaluation.measurement import BUILT_IN, column_figures, curve_figures, figure_keys
from tfdisent.registry import MEASUREMENTS
from tfdisent.run import write_metrics

CONTRAST = """
import dataclasses

import tfdisent
from tfdisent.evaluation import Figure, with_interval


@tfdisent.register_measurement("contrast")
@dataclasses.dataclass(frozen=True)
class Contrast(tfdisent.Measurement):
  stage = "contrast of the fusions"
  figures = (Figure("quality/contrast", "high", column=True), Figure("quality/not_a_column"))
  scale: float = 1.0

  def measure(self, case: tfdisent.Case):
    spread = self.scale * case.fusion["score"].std((1, 2, 3))
    return {"quality/contrast": with_interval(spread), "quality/not_a_column": {"value": 1.0}}
"""


@pytest.fixture
def contrast(tmp_path, monkeypatch):
  """A package with one file, which registers a measurement; the file's module."""
  (tmp_path / "my_measurements").mkdir()
  (tmp_path / "my_measurements" / "contrast.py").write_text(CONTRAST, encoding="utf-8")
  monkeypatch.syspath_prepend(tmp_path)
  monkeypatch.setattr(judges, "Oracle", lambda dataset, column: read_label)
  with MEASUREMENTS.temporary():
    yield importlib.import_module("my_measurements.contrast")


def test_a_measurement_is_added_by_one_file_and_is_a_column_of_compare(contrast, tmp_path):
  lines, dataset = [], bands_dataset(test=30)
  metrics = evaluate(
    Fake(Color(), swaps_color),
    dataset,
    quick=True,
    progress=lines.append,
    measurements=("contrast",),
  )
  assert [line.split("] ")[1] for line in lines][-2:] == ["contrast of the fusions", "done"]
  assert list(metrics)[-2:] == ["quality/contrast", "quality/not_a_column"] and metrics["quality/contrast"]["low"] > 0
  twice = contrast.Contrast(scale=2.0)
  again = evaluate(Fake(Color(), swaps_color), dataset, quick=True, progress=None, measurements=(twice,))
  assert again["quality/contrast"]["value"] == pytest.approx(2 * metrics["quality/contrast"]["value"])

  run = tmp_path / "run"
  run.mkdir()
  (run / "config.gin").write_text("train.seed = 0\n", encoding="utf-8")
  origin = {"split": "test", "checkpoint": "best"}
  write_metrics(run, json.loads(json.dumps({**metrics, "leakage/worst": {"value": 0.5}})), origin)
  header, _, line, *_ = markdown(read_runs([str(run)])).splitlines()
  assert header.endswith(
    "| complement/ink_iou | quality/psnr | quality/sharpness_rec | quality/sharpness_fusion | quality/contrast |"
  )
  assert f"| {metrics['quality/contrast']['value']:.2f} [" in line


def test_a_measurement_that_nobody_registered_is_named():
  with pytest.raises(RegistryError, match="unknown measurement 'sharpnes'"):
    evaluate(Fake(Color(), swaps_color), bands_dataset(), quick=True, progress=None, measurements=("sharpnes",))


def test_the_built_in_ones_are_registered_and_none_declares_what_another_does():
  names = [figure.name for name in BUILT_IN for figure in MEASUREMENTS[name].figures]
  assert len(set(names)) == len(names) and set(BUILT_IN) <= set(MEASUREMENTS)
  assert [name for name in BUILT_IN if MEASUREMENTS[name].quick] == ["control", "psnr", "sharpness"]


def test_what_a_training_prints_and_a_sweep_plots():
  assert printed_figures() == (
    *(f"control/{name}_mean" for name in ("accuracy", "mae", "median_error")),
    "complement/color_mae",
    "complement/digit_accuracy",
  )
  assert [figure.name for figure in curve_figures()] == [
    *("control/accuracy_mean", "control/accuracy_prior", "control/mae_mean", "leakage/worst", "leakage/image"),
    *("complement/color_mae", "complement/digit_accuracy", "quality/psnr"),
    *("quality/sharpness_rec", "quality/sharpness_fusion"),
  ]
  better = {figure.name: figure.better for figure in column_figures()}
  assert {name for name in better if not better[name]} == {f"quality/sharpness_{x}" for x in ("rec", "fusion")}  # 1 is
  assert (better["leakage/worst"], better["quality/psnr"]) == ("low", "high")


def test_keys_of_a_figure():
  assert without_part("leakage/color/worst") == without_part("leakage/worst") == "leakage/worst"
  figures = (Figure("b/*_mae"), Figure("a/x"))
  keys = ["a/x", "a/part/x", "a/xx", "b/part/color_mae", "b/mae", "b/color_mae"]
  assert figure_keys(figures, keys) == ["b/part/color_mae", "b/color_mae", "a/x", "a/part/x"]


def test_a_measurement_without_a_function_is_named():
  class Nothing(Measurement):
    stage = "nothing"
    figures = ()

  with pytest.raises(NotImplementedError, match="Nothing has no method `measure`"):
    Nothing().measure(None)
