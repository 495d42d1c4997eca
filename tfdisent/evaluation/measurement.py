"""What a measurement is: a record of its figures, and how they come from a `Case`.

A user adds one by a file of his own, and names it to `evaluate(model, dataset, measurements=("contrast",))`:

    @tfdisent.register_measurement("contrast")
    class Contrast(tfdisent.Measurement):
      stage = "contrast of the fusions"
      figures = (Figure("quality/contrast", "high", column=True),)

      def measure(self, case):
        return {"quality/contrast": with_interval(case.fusion["score"].std((1, 2, 3)))}

The columns of `tfdisent --mode=compare`, the plots of a sweep and the line that a training prints after an epoch are
made from the records of all registered measurements.
"""

import dataclasses
import fnmatch
from collections.abc import Iterable
from typing import ClassVar, Literal

from tfdisent.data.dataset import Dataset
from tfdisent.evaluation.case import Case
from tfdisent.registry import MEASUREMENTS

Metrics = dict[str, dict]
"""`{"control/accuracy_mean": {"value": 0.99, "low": 0.98, "high": 1.0}, …}`."""

BUILT_IN = ("control", "psnr", "sharpness", "ssim", "leakage", "leakage_controls", "leakage_image", "bound", "fid")
"""The names of the measurements that `evaluate` always runs, in that order."""

ORDER = ("control", "leakage", "complement", "quality", "bound")
"""Of figures that stand side by side, by the first word of their names; all others come last."""


@dataclasses.dataclass(frozen=True)
class Figure:
  """A figure of a measurement, and where it is shown.

  Attributes:
    name: "leakage/worst". Figures of a part of f have the same record: "leakage/color/worst". A `*` stands for any
      text: "control_by_class/*".
    better: which way is better; None where neither is.
    column: whether it is a column of `comparison.md`.
    printed: whether a training prints it after an epoch that is measured.
    curve: whether a sweep plots it over the numbers that are swept.
  """

  name: str
  better: Literal["high", "low"] | None = None
  column: bool = False
  printed: bool = False
  curve: bool = False

  def matches(self, key: str) -> bool:
    """Whether a key of `Metrics` is of this figure."""
    return any(fnmatch.fnmatchcase(name, self.name) for name in (key, without_part(key)))


class Measurement:
  """What is measured of a trained model: subclass it, and register it with `tfdisent.register_measurement`.

  Fields of a subclass that is a dataclass are its gin bindings.

  Attributes:
    stage: what `evaluate` tells as progress.
    figures: a record of each figure that it may give.
    quick: whether it is of the quick subset, which a training measures after some epochs.
  """

  stage: ClassVar[str]
  figures: ClassVar[tuple[Figure, ...]]
  quick: ClassVar[bool] = False

  def check(self, dataset: Dataset) -> None:
    """Raises an error if this cannot be measured on a data set; called before a model is trained on it."""

  def measure(self, case: Case) -> Metrics:
    """The figures of a case, each `{"value": …}` and what `intervals.with_interval` gives beside it."""
    raise NotImplementedError(f"{type(self).__name__} has no method `measure`.")


def without_part(key: str) -> str:
  """The name of a figure, without the part of f that it is of: "leakage/color/worst" is "leakage/worst"."""
  return f"{key.split('/', maxsplit=1)[0]}/{key.rsplit('/', maxsplit=1)[-1]}"


def column_figures() -> tuple[Figure, ...]:
  """The columns of `comparison.md`, in their order."""
  return tuple(figure for figure in _figures() if figure.column)


def curve_figures() -> tuple[Figure, ...]:
  """What a sweep plots, in that order."""
  return tuple(figure for figure in _figures() if figure.curve)


def printed_figures() -> tuple[str, ...]:
  """The names of the figures that a training prints after an epoch; compare them with `without_part(key)`."""
  return tuple(figure.name for figure in _figures() if figure.printed)


def figure_keys(figures: Iterable[Figure], keys: Iterable[str]) -> list[str]:
  """The keys of `Metrics` that are of some figures, in the order of the figures."""
  keys = list(keys)
  return list(dict.fromkeys(key for figure in figures for key in keys if figure.matches(key)))


def _figures() -> list[Figure]:
  names = dict.fromkeys([*BUILT_IN, *MEASUREMENTS])
  figures = [figure for name in names for figure in MEASUREMENTS[name].figures]
  order = {kind: number for number, kind in enumerate(ORDER)}
  return sorted(figures, key=lambda figure: order.get(figure.name.split("/")[0], len(order)))
