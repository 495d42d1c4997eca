"""Columns of numbers as a continuous feature: an age, a size, a position."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfdisent import CONTINUOUS, FeatureError, LearnedFeature, register_feature
from tfdisent.feature import convert
from tfdisent.feature.naming import check_column


@register_feature("number")
@dataclasses.dataclass(frozen=True)
class Number(LearnedFeature):
  """f(x) = (v - mean) / scale of each number v in `columns`; of an image, what a fitted network reads in its pixels.

  The natural form is the number [B] in the unit of its column, or [B, K] of K columns. Numbers that shall be controlled
  one by one are features of their own, in a composite.

  Attributes:
    columns: the names of one or more columns of numbers.
    mean, scale: of each column, what is subtracted, and by what it is divided; empty for the mean and the standard
      deviation of the training split.
    lowest, highest: of each column, the range of the training split, which tells a user what can be asked for. Numbers
      beyond it are taken as well.
  """

  columns: str | Sequence[str] = ("number",)
  mean: float | Sequence[float] = ()
  scale: float | Sequence[float] = ()
  lowest: float | Sequence[float] = ()
  highest: float | Sequence[float] = ()

  kind = CONTINUOUS

  def __post_init__(self):
    names = (self.columns,) if isinstance(self.columns, str) else tuple(self.columns)
    object.__setattr__(self, "columns", names)
    for field in ("mean", "scale", "lowest", "highest"):
      values = tuple(np.ravel(getattr(self, field)).astype(float).tolist())
      if len(values) not in (0, len(names)):
        raise FeatureError(f"number.{field} = {values} must hold {len(names)} numbers, one for each of {names}.")
      object.__setattr__(self, field, values)
    if not names or bool(self.mean) != bool(self.scale) or not all(scale > 0 for scale in self.scale):
      raise FeatureError(
        f"number.columns = {names}, mean = {self.mean}, scale = {self.scale}: it takes one or more columns, and mean "
        "and scale of all of them or of none, each scale positive."
      )

  @property
  def width(self) -> int:
    return len(self.columns)

  @property
  def column(self) -> str | None:
    return self.columns[0] if len(self.columns) == 1 else None

  @property
  def natural(self):
    if not self.mean:
      raise FeatureError("number.mean is not known, and no data set has told it yet: call of_dataset(dataset).")
    forms = tuple(convert.Linear(mean - scale, mean + scale) for mean, scale in zip(self.mean, self.scale))
    return forms[0] if len(forms) == 1 else convert.Columns(forms, "numbers")

  def of_dataset(self, dataset):
    if self.mean:
      return self
    for name in self.columns:
      check_column(dataset, name, f"feature '{self.name}'")
      if dataset.train[name].dtype.kind not in "iuf" or dataset.train[name].ndim > 1:
        raise FeatureError(f"feature '{self.name}' reads the column '{name}', which is not of numbers [N].")
    values = np.stack([dataset.train[name] for name in self.columns], 1).astype(float)
    taken = {"mean": values.mean(0), "scale": values.std(0), "lowest": values.min(0), "highest": values.max(0)}
    if constant := [name for name, scale in zip(self.columns, taken["scale"]) if not scale]:
      raise FeatureError(
        f"the column '{constant[0]}' has the same value in all of the training split: nothing to control."
      )
    return dataclasses.replace(self, **taken)

  def known(self, example):
    value = np.stack([example[name] for name in self.columns], 1)
    return tf.constant(self.to_vector(value if self.width > 1 else value[:, 0]))

  def error(self, f, target):
    return (np.abs(f - target) * np.float32(self.scale)).mean(1)
