"""What all natural forms of f(x) have in common: values in, vectors out, by NumPy and in a graph alike.

`tfdisent.feature.convert` has the forms themselves.
"""

from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from tfdisent.errors import FeatureError


class Form:
  """What all forms have in common. A subclass gives `width`, `convert` and `to_natural`.

  Attributes:
    dtype: of the values in a graph; NumPy takes what can be cast to it.
    shape: of one value.
    width: of its vector.
    low, high: the smallest and the largest value that is taken; None for any.
    what: what the values are called in messages.
    subject: how the feature is called in messages, with its name for {}.
  """

  dtype: ClassVar[type] = np.float32
  shape: tuple[int, ...] = ()
  width: int
  low: float | None = None
  high: float | None = None
  what: str = "values"
  subject: ClassVar[str] = "{}"

  def convert(self, value: Any, xp: ModuleType) -> Any:
    """Vectors float32 [B, width] of values [B, *shape], which are in range.

    Args:
      value: an array or a tensor.
      xp: `numpy` or `tensorflow`, of which only functions can be used that have the same name in both.
    """
    raise NotImplementedError

  def to_natural(self, vector: np.ndarray) -> Any:
    """Values [B, *shape] of vectors [B, width]; the inverse of `convert`, in NumPy alone."""
    raise NotImplementedError

  def to_vector(self, value: Any, name: str) -> np.ndarray:
    """Vectors float32 [B, width] of values [B, *shape], in NumPy.

    Args:
      value: anything that NumPy makes an array of.
      name: of the feature, for messages.

    Raises:
      FeatureError: the values have another shape, are out of range, NaN or infinite.
    """
    value = self._array(value, name)
    if self.low is not None and value.size and (value.min() < self.low or value.max() > self.high):
      given = " to ".join(f"{end:.3g}" if value.dtype.kind == "f" else f"{end}" for end in (value.min(), value.max()))
      raise FeatureError(f"{name} takes {self._taken_range}, and was given {given}.")
    vector = self.convert(value, np)
    if not np.isfinite(vector).all():
      raise FeatureError(f"feature '{name}' was given NaN or infinite values.")
    return vector

  @property
  def served(self) -> Any:
    """The `tf.TensorSpec` of values [B, *shape] in a graph."""
    return tf.TensorSpec([None, *self.shape], self.dtype)

  def of_served(self, value: Any) -> tf.Tensor:
    """Vectors float32 [B, width] of values [B, *shape], in a graph.

    A value out of range fails an assertion of `tf.debugging`.
    """
    if self.low is not None:
      low, high = (tf.constant(end, self.dtype) for end in (self.low, self.high))
      tf.debugging.assert_greater_equal(value, low, self._rule)
      tf.debugging.assert_less_equal(value, high, self._rule)
    return self.convert(value, tf)

  def _array(self, value, name):
    value = self._if_empty(as_array(value, name, self.dtype))
    if not self._is_batch(value):
      raise FeatureError(f"{self.subject.format(name)} takes {self._taken}, not {list(value.shape)}.")
    return value

  def _if_empty(self, value):
    """The array; an empty list, which tells no shape, is no values."""
    return np.zeros([0, *self.shape], self.dtype) if value.shape == (0,) else value

  def _is_batch(self, value):
    return value.ndim > 0 and value.shape[1:] == self.shape

  @property
  def _taken(self):
    return f"{self.what} of shape [{', '.join(['B', *map(str, self.shape)])}]"

  @property
  def _taken_range(self):
    return f"{self.what} in [{self.low:g}, {self.high:g}]"

  @property
  def _rule(self):
    return f"{self.what} {'lie' if self.what.endswith('s') else 'lies'} in [{self.low:g}, {self.high:g}]"


def as_array(value: Any, name: str, dtype: type | None = None) -> np.ndarray:
  """`value` as an array; raises `FeatureError`, with the `name` of the feature, if it holds no numbers of `dtype`."""
  try:
    return np.asarray(value, dtype)
  except (TypeError, ValueError, OverflowError) as error:
    raise FeatureError(f"feature '{name}' takes an array of numbers, not a {type(value).__name__}.") from error
