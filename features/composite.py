"""Several features at once: z2 is their joint code, and each can be controlled while the others stay."""

import dataclasses
import itertools
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from tfdisent import COMPOSITE, ConfigError, Feature, register_feature
from tfdisent.errors import shown
from tfdisent.feature import convert
from tfdisent.feature.contract import feature_from_config
from tfdisent.registry import FEATURES


@register_feature("composite")
@dataclasses.dataclass(frozen=True)
class Composite(Feature):
  """f(x) = the f(x) of all parts, side by side. The natural form is a dict: {"digit_label": [B], "color": [B, 3]}.

      import features.composite
      import features.digit_label
      import features.color
      train.feature = 'composite'
      composite.parts = ('digit_label', 'color')

  A part is given as the name of a registered feature, which then has its gin bindings. To use a feature twice, put a
  scope of gin before its name: the part 'hat/category' is called `hat`, and has the binding
  `hat/category.column = 'hat'`.

  Attributes:
    parts: names of features, or features. Several attributes become several parts.
    weights: the weight in L_f of each part that is given; empty for 1 each.
    adversary_weights: the weight in L_a, the loss of the adversary, of each part that is given; empty for 1 each.
    part_names: the names of all parts; empty for those in `parts`.
  """

  parts: Sequence = ()
  weights: Sequence[float] = ()
  adversary_weights: Sequence[float] = ()
  part_names: Sequence[str] = ()

  kind = COMPOSITE

  def __post_init__(self):
    given = tuple(map(_make, self.parts))
    parts = tuple(itertools.chain.from_iterable(feature.parts for feature in given))
    names = tuple(self.part_names) or tuple(itertools.chain.from_iterable(map(_names, self.parts, given)))
    if self.part_names and (len(names) != len(parts) or len(set(names)) < len(names)):
      raise ConfigError(f"composite.part_names = {names} must hold {len(parts)} names, one for each part, each once.")
    if not parts or len(set(names)) < len(names):
      raise ConfigError(
        f"composite.parts = {shown(self.parts)} must name one or more features, each once; to use one twice, give each "
        "a scope, as in ('hat/category', 'coat/category')."
      )
    fields = {"parts": parts, "part_names": names}
    for field in ("weights", "adversary_weights"):
      values = tuple(map(float, getattr(self, field))) or (1.0,) * len(given)
      if len(values) != len(given) or not (np.isfinite(values).all() and min(values) >= 0):
        raise ConfigError(
          f"composite.{field} = {values} must hold {len(given)} numbers, one for each part, none negative."
        )
      fields[field] = tuple(np.repeat(values, [len(feature.parts) for feature in given]).tolist())
    for field, value in fields.items():
      object.__setattr__(self, field, value)

  @property
  def width(self) -> int:
    return sum(part.width for part in self.parts)

  @property
  def natural(self):
    return convert.Named(self.part_names, self.parts)

  @property
  def has_pixels(self) -> bool:
    return all(part.has_pixels for part in self.parts)

  @property
  def networks(self):
    return {
      f"{part_name}/{name}": network
      for part_name, part in zip(self.part_names, self.parts)
      for name, network in part.networks.items()
    }

  def of_dataset(self, dataset):
    parts = tuple(part.of_dataset(dataset) for part in self.parts)
    is_same = all(part is before for part, before in zip(parts, self.parts))
    return self if is_same else dataclasses.replace(self, parts=parts)

  def build(self, image_shape):
    for part in self.parts:
      part.build(image_shape)

  def check_fitted(self):
    for part in self.parts:
      part.check_fitted()

  def of_example(self, example):
    return tf.concat([part.of_example(example) for part in self.parts], 1)

  def of_image(self, image):
    return tf.concat([part.of_image(image) for part in self.parts], 1)

  def get_config(self):
    arguments = {
      "parts": [part.get_config() for part in self.parts],
      "weights": self.weights,
      "adversary_weights": self.adversary_weights,
      "part_names": self.part_names,
    }
    return {"module": type(self).__module__, "name": self.name, "arguments": arguments}


def _make(part: str | Mapping | Feature) -> Feature:
  """The feature of a part, which is a name in a gin file, a configuration in a run folder, or the feature itself."""
  if isinstance(part, str):
    return FEATURES.create(part)
  if isinstance(part, Mapping):
    return feature_from_config(part)
  if not isinstance(part, Feature):
    raise ConfigError(f"composite.parts has {shown(part)}, and takes names of features, or features.")
  return part


def _names(part: str | Mapping | Feature, feature: Feature) -> tuple[str, ...]:
  """The names of the parts that `feature` becomes in a composite, where it is given as `part`."""
  if len(feature.parts) > 1:
    return feature.part_names
  return (part.split("/")[0] if isinstance(part, str) else feature.name,)
