"""Any column of classes as a discrete feature: the folder of an image, an object's name in a table."""

import dataclasses

from features.digit_label import DigitLabel
from tfdisent import register_feature


@register_feature("category")
@dataclasses.dataclass(frozen=True)
class Category(DigitLabel):
  """f(x) = the class in `column`, as a one-hot vector; in its natural form an int [B] in [0, num_classes)."""

  column: str = "label"
