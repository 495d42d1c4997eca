"""Features f(x): their contract, those that are learned, and how one is checked."""

from tfdisent.feature.contract import COMPOSITE, CONTINUOUS, DISCRETE, Feature, check_shape, feature_from_config
from tfdisent.feature.values import check_gradient, feature_values

__all__ = [
  "COMPOSITE",
  "CONTINUOUS",
  "DISCRETE",
  "Feature",
  "check_gradient",
  "check_shape",
  "feature_from_config",
  "feature_values",
]
