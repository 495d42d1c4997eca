"""The contract of a feature f(x): what z2 is encoded from, and what a user of the model controls.

A plug-in is one small file that subclasses `Feature` and registers it:

    @tfdisent.register_feature("brightness")
    @dataclasses.dataclass(frozen=True)
    class Brightness(tfdisent.Feature):
      kind = "continuous"
      width = 1

      def of_image(self, image):
        return tf.reduce_mean(image, [1, 2, 3])[:, None]

Its dataclass fields are its gin bindings, and are stored with a trained model.

A `Feature` answers eight questions, each in a section of the class: its value, what it takes from a data set, its
natural form (`convert.py`), its loss, its error in the evaluation, its parts, its networks (`learned.py`), and its name
and configuration.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from tfdisent import losses
from tfdisent.data.dataset import Dataset
from tfdisent.errors import FeatureError
from tfdisent.feature import convert
from tfdisent.moved import BINDINGS
from tfdisent.registry import FEATURES

DISCRETE, CONTINUOUS, COMPOSITE = "discrete", "continuous", "composite"


@dataclasses.dataclass(frozen=True)
class Feature:
  """A feature f(x), as a vector [B, width].

  A subclass sets `kind` and `width`, and gives at least one of `of_example` and `of_image`. Everything else has a
  default. Most features also give `natural`, and those with a unit of their own `unit` and `error`.

  Attributes:
    kind: "discrete" (trained with L_f1; z2 is a one-hot or Bernoulli code), "continuous" (trained with L_f2; z2 is
      Gaussian) or "composite" (of several `parts`).
    width: number of components of f(x), at least 1.
    column: the column of the examples that holds the same property ("label"), or None. The evaluation judges the
      feature with that column's judge, and every other column as part of the complement.
    code: z2 of a discrete f: "one_hot" for one of `width` classes, "bernoulli" for `width` attributes, each of which
      an image has or has not.
    unit: the unit of `error`: "degrees", or "" for none.
  """

  kind: ClassVar[Literal["discrete", "continuous", "composite"]]
  width: ClassVar[int]
  column: ClassVar[str | None] = None
  code: ClassVar[Literal["one_hot", "bernoulli"]] = "one_hot"
  unit: ClassVar[str] = ""

  # --- The value ---

  def of_example(self, example: Mapping[str, tf.Tensor]) -> tf.Tensor:
    """f(x) of a batch of examples, float32 [B, width].

    Args:
      example: columns of the data set: `image` as float32 [B, H, W, C] in [0, 1], the others as stored.
    """
    return self.of_image(example["image"])

  def of_image(self, image: tf.Tensor) -> tf.Tensor:
    """f as a function of pixels, float32 [B, H, W, C] in [0, 1] to float32 [B, width].

    It must be differentiable where L_f2 uses it.

    Raises:
      FeatureError: f(x) cannot be computed from pixels (as a label).
    """
    raise FeatureError(f"feature '{self.name}' cannot be computed from pixels: it defines no `of_image`.")

  @property
  def has_pixels(self) -> bool:
    """Whether f can be computed from pixels."""
    return type(self).of_image is not Feature.of_image

  # --- What it takes from a data set ---

  def of_dataset(self, dataset: Dataset) -> "Feature":
    """The feature with what it takes from a data set, as a number of classes or a mean; by default the feature itself.

    It is called once, before a training or a fit uses the feature. What is taken becomes fields, which a run keeps.

    Raises:
      FeatureError: the data set lacks what the feature needs.
    """
    return self

  # --- The natural form ---

  @property
  def natural(self) -> convert.Form:
    """The form in which users give and get f(x); by default the vector itself.

    The four methods below follow from it. A plug-in overrides them instead where no form of `convert` fits.
    """
    return convert.Vector(self.width)

  def to_vector(self, value: Any) -> np.ndarray:
    """f(x) in its natural form (labels [B], angles [B], colours [B, 3], …) to float32 [B, width].

    Raises:
      FeatureError: `value` has the wrong shape or range.
    """
    return self.natural.to_vector(value, self.name)

  def to_natural(self, vector: np.ndarray) -> Any:
    """f(x) as float32 [B, width] to its natural form; the inverse of `to_vector`."""
    return self.natural.to_natural(vector)

  @property
  def served(self) -> tf.TensorSpec:
    """What an exported model takes for f(x), with a batch axis of None; of a composite, each part has its own."""
    return self.natural.served

  def of_served(self, value: tf.Tensor) -> tf.Tensor:
    """`to_vector` in a graph, for an exported model: `served` to float32 [B, width].

    A value that it cannot take fails an assertion of `tf.debugging`. A server answers such a request with
    INVALID_ARGUMENT and the words of the assertion.
    """
    return self.natural.of_served(value)

  # --- The loss ---

  def loss_f2(self, x_fusion: tf.Tensor, f_partner: tf.Tensor) -> tf.Tensor:
    """-log q*(f(x̃) | z1, x̂) [B], up to a constant: the loss of the paper's second bound, in which q* is fixed.

    By default q* is a Gaussian of fixed scale around f(x̂), which gives `losses.feature_loss_f2`.

    Args:
      x_fusion: x̂, float32 [B, H, W, C] in [0, 1].
      f_partner: f(x̃), float32 [B, width].

    Raises:
      FeatureError: `of_image` gives another shape than [B, width].
    """
    f_fusion = self.of_image(x_fusion)
    check_shape(self, x_fusion, f_fusion)
    return losses.feature_loss_f2(f_fusion, f_partner)

  # --- The evaluation ---

  def error(self, f: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The distance [B], in `unit`, of f from the f that was wanted, both as vectors [B, width].

    By default the mean absolute error of the components.
    """
    return np.abs(f - target).mean(1)

  # --- Parts: a feature is one part, unless it is a composite of several ---

  @property
  def parts(self) -> tuple["Feature", ...]:
    """The features of which f(x) is the concatenation.

    Each part has its own code and its own L_f, and is controlled, measured and shown by itself.
    """
    return (self,)

  @property
  def part_names(self) -> tuple[str, ...]:
    """The names of the parts in metrics, pictures and natural forms."""
    return (self.name,)

  @property
  def weights(self) -> tuple[float, ...]:
    """The weight of each part in L_f."""
    return (1.0,) * len(self.parts)

  @property
  def adversary_weights(self) -> tuple[float, ...]:
    """The weight of each part in L_a, the loss of the adversary."""
    return (1.0,) * len(self.parts)

  def split(self, vector):
    """f(x) [B, width], a tensor or an array, as a list of its parts' [B, part.width]."""
    return convert.split(vector, self.parts)

  # --- Networks: a feature has none, unless it is learned ---

  @property
  def networks(self) -> Mapping[str, keras.Model]:
    """The frozen networks that compute f, by name. The checkpoints of a model hold their weights."""
    return {}

  def build(self, image_shape: tuple[int, int, int]) -> None:
    """Makes `networks`, for images of (H, W, C); called before f is used in a model."""

  def check_fitted(self) -> None:
    """Raises `FeatureError` if f is learned, but was not fitted yet.

    It is called before a training, except of a `LearnedFeature`, which the training fits.
    """

  @property
  def as_known(self) -> "Feature":
    """The feature that takes the f(x) of examples from their columns, where this one reads it in their pixels."""
    return self

  # --- Its name and its configuration, as a model keeps them ---

  @property
  def name(self) -> str:
    """The name under which the feature is registered."""
    return next((name for name in FEATURES if FEATURES[name] is type(self)), type(self).__name__)

  def get_config(self) -> dict:
    """Plain data of which `feature_from_config` makes the feature again: its module, its name and its fields."""
    return {"module": type(self).__module__, "name": self.name, "arguments": dataclasses.asdict(self)}


def feature_from_config(config: Mapping) -> Feature:
  """The feature that `get_config` described; imports its plug-in if it is not registered yet.

  Modules and arguments may have the names that they had in version 0.1.

  Raises:
    FeatureError: the plug-in's module cannot be imported.
    RegistryError: the module registers no such feature.
  """
  plugin = FEATURES.imported(config, error=FeatureError)
  arguments = {
    BINDINGS.get(f"{config['name']}.{argument}", argument).rpartition(".")[2]: value
    for argument, value in config["arguments"].items()
  }
  return plugin(**arguments)


def check_shape(feature: Feature, image: tf.Tensor, value: tf.Tensor) -> None:
  """Raises `FeatureError` unless `value`, which `of_image` gives for `image` [B, H, W, C], has the shape [B, width].

  Without this check, L_f2 would broadcast a wrong shape over the batch: [B] minus [B, 1] is [B, B].
  """
  expected = [image.shape[0], feature.width]
  if not tf.TensorShape(value.shape).is_compatible_with(expected):
    raise FeatureError(
      f"feature '{feature.name}' says width {feature.width}, and its `of_image` gives values of shape "
      f"{list(value.shape)} for {image.shape[0]} images; expected {expected}."
    )
