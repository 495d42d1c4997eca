"""The class label of an image as a discrete feature: the digit on MNIST, the garment on Fashion-MNIST."""

import dataclasses
from typing import ClassVar

from features.category import Category
from tfdisent import register_feature


@register_feature("digit_label")
@dataclasses.dataclass(frozen=True)
class DigitLabel(Category):
  """f(x) = the class in the column "label", as a one-hot vector; in its natural form an int [B] in [0, num_classes)."""

  column: ClassVar[str] = "label"  # not a field: `digit_label.column` is no binding, and model.json has no column
