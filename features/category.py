"""A column of classes as a discrete feature: the folder of an image, an object's name in a table."""

import dataclasses

import tensorflow as tf

from tfdisent import DISCRETE, Feature, FeatureError, register_feature
from tfdisent.data.dataset import SPLITS
from tfdisent.feature import convert
from tfdisent.feature.naming import check_column


@register_feature("category")
@dataclasses.dataclass(frozen=True)
class Category(Feature):
  """f(x) = the class in `column`, as a one-hot vector; in its natural form an int [B] in [0, num_classes).

  A class is not a function of pixels here: z2 is trained with L_f1, and read back with q(z̃2 | z1, x̂).

  Attributes:
    num_classes: the number of classes; None takes it from the data set, of the names of its classes, or else of its
      largest label. A number that is not that of the names is refused.
    column: the column that holds the labels, integers from 0 on.
  """

  num_classes: int | None = 10
  column: str = "label"

  kind = DISCRETE

  def __post_init__(self):
    if self.num_classes is not None and self.num_classes < 1:
      raise FeatureError(f"{self.name}.num_classes = {self.num_classes} must be at least 1.")

  @property
  def width(self) -> int:
    if self.num_classes is None:
      raise FeatureError(f"{self.name}.num_classes is None, and no data set has told it yet: call of_dataset(dataset).")
    return self.num_classes

  @property
  def natural(self):
    return convert.Classes(self.width)

  def of_dataset(self, dataset):
    names = dataset.class_names.get(self.column, ())
    if self.num_classes is not None:
      if names and len(names) != self.num_classes:
        some = ", ".join(names[:10]) + (", …" if len(names) > 10 else "")
        raise FeatureError(
          f"{self.name}.num_classes = {self.num_classes}, and the column '{self.column}' has {len(names)} classes "
          f"({some}): bind {self.name}.num_classes = {len(names)}, or None, which takes the number from the data."
        )
      return self
    check_column(dataset, self.column, f"feature '{self.name}'")
    largest = max(dataset[split][self.column].max() for split in SPLITS)
    return dataclasses.replace(self, num_classes=len(names) if names else int(largest) + 1)

  def of_example(self, example):
    return tf.constant(self.to_vector(example[self.column]))
