"""Fusions beside the true picture, where a data set has one: the same thing with the f that was asked for.

Of an emoji in six tones, or of an object on a turntable, the picture that a fusion should be is itself an image of the
split. Neither a judge nor f stands between the two.

| key | what it is |
|---|---|
| `counterpart/psnr` | of the fusion (z1 the mean) against the true picture, in dB |
| `counterpart/psnr_source` | of the source itself against it: what a model that changes nothing gets |
| `counterpart/mae_kept` | mean absolute error, in [0, 1], over the pixels in which source and true picture agree: those that f does not change |
| `counterpart/mae_changed`, `counterpart/mae_changed_source` | the same over all others, of the fusion and of the source |
| `counterpart/share` | share of the measured images whose true picture is in the split; the others are left out |
"""  # noqa: E501 (a table)

import dataclasses

import numpy as np

from tfdisent.data.dataset import Dataset, Examples
from tfdisent.errors import ConfigError
from tfdisent.evaluation.case import Case, Part
from tfdisent.evaluation.control import swap
from tfdisent.evaluation.intervals import with_interval
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics
from tfdisent.evaluation.quality import psnr
from tfdisent.feature.values import feature_values
from tfdisent.registry import register_measurement


@register_measurement("counterpart")
@dataclasses.dataclass
class Counterpart(Measurement):
  """Fusions against the true pictures with the asked-for f.

  Attributes:
    same: columns that name a thing together with f, as ("emoji", "vendor"): two images in which they are equal differ
      in f alone.
    tolerance: pixels agree if no channel differs by more than this, in [0, 1].

  Raises:
    ConfigError: `same` is empty or names no column of the data set.
  """

  same: tuple[str, ...] = ()
  tolerance: float = 0.03

  stage = "fusions beside the true pictures"
  quick = True
  figures = (
    Figure("counterpart/psnr", "high", column=True),
    Figure("counterpart/psnr_source"),
    Figure("counterpart/mae_kept", "low", column=True),
    Figure("counterpart/mae_changed", "low"),
    Figure("counterpart/mae_changed_source"),
    Figure("counterpart/share"),
  )

  def check(self, dataset: Dataset):
    self._check(dataset.validation)

  def _check(self, examples: Examples):
    columns = [name for name in examples if name != "image"]
    unknown = [name for name in self.same if name not in columns]
    if unknown or not self.same:
      given = f"there is no column {unknown[0]!r}" if unknown else "it is empty"
      raise ConfigError(
        f"counterpart.same = {self.same!r}: {given}. Name columns that are equal in images that differ in f alone; "
        f"there are {', '.join(columns)}."
      )

  def measure(self, case: Case) -> Metrics:
    self._check(case.examples)
    return {part.key(name): figure for part in case.parts for name, figure in self._of_part(case, part).items()}

  def _of_part(self, case: Case, part: Part) -> Metrics:
    swapped = swap(case, part, of=("mean",))
    row, true = self._rows(case, part, swapped.partner)
    if not len(row):
      case.progress(f"no image of the split is the true picture of a fusion in another {part.name}")
      return {}
    x, asked, fusion = case.x[row], case.x[true], swapped.fusions["mean"][row]
    differs = (_difference(x, asked) > self.tolerance).any(3)
    of_fusion, of_source = (_difference(image, asked).mean(3) for image in (fusion, x))
    return {
      "counterpart/psnr": with_interval(psnr(asked, fusion), within=(0, None)),
      "counterpart/psnr_source": with_interval(psnr(asked, x), within=(0, None)),
      **_over("counterpart/mae_kept", of_fusion, ~differs),
      **_over("counterpart/mae_changed", of_fusion, differs),
      **_over("counterpart/mae_changed_source", of_source, differs),
      "counterpart/share": {"value": len(row) / len(case.x)},
    }

  def _rows(self, case: Case, part: Part, partner: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows [M] of sources whose true picture is there, and the rows [M] of these pictures."""
    f = [feature_values(other.feature.as_known, case.examples) for other in case.parts]
    asked = [values[partner] if index == part.index else values for index, values in enumerate(f)]
    same = [case.examples[name] for name in self.same]
    keys, wanted = (_keys([*same, *values]) for values in (f, asked))
    row_of = {key: row for row, key in reversed(list(enumerate(keys)))}
    found = [(row, row_of[key]) for row, key in enumerate(wanted) if key in row_of]
    rows = np.array(found, int).reshape(-1, 2)
    return rows[:, 0], rows[:, 1]


def _keys(columns: list[np.ndarray]) -> list[tuple]:
  """A key of each row of columns [N] or [N, K] that two rows share if they are equal in all."""
  return list(zip(*([row.tobytes() for row in np.ascontiguousarray(column)] for column in columns)))


def _difference(image: np.ndarray, other: np.ndarray) -> np.ndarray:
  """Absolute difference of uint8 images, float32 [M, H, W, C] in [0, 1]."""
  return np.abs(image.astype(np.float32) - other) / 255


def _over(name: str, error: np.ndarray, mask: np.ndarray) -> Metrics:
  """The figure `name`: the mean over the pixels of a mask, both [M, H, W]; none if it has no pixel in any image."""
  pixels = mask.sum((1, 2))
  some = pixels > 0
  return {name: with_interval((error * mask).sum((1, 2))[some] / pixels[some], within=(0, None))} if some.any() else {}
