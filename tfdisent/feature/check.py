"""The contract of a feature as a test, for the suites of those who write one.

from tfdisent.feature.check import check_feature

def test_my_feature_keeps_the_contract():
  check_feature(MyFeature(), images)
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdisent.errors import FeatureError, TfdisentError
from tfdisent.feature.contract import (
  COMPOSITE,
  CONTINUOUS,
  DISCRETE,
  Feature,
  check_gradient,
  check_shape,
  feature_from_config,
  feature_values,
)

TOLERANCE = 1e-4  # of values that must agree, relative to their spread
GRADIENT_TOLERANCE = 0.05  # of the gradient against finite differences, relative


def check_feature(feature: Feature, examples: Mapping[str, np.ndarray] | np.ndarray) -> None:
  """Checks that a feature can be trained with, stored, and served.

  It is asked for f(x) of the examples together, one by one, twice, of none and of blank images; for its natural form
  and back; for its configuration and back; and, if it is continuous, for its gradient, which is compared with finite
  differences.

  Args:
    feature: f.
    examples: images, uint8 [N, H, W, C] or float in [0, 1], at least four of them and not all alike in f; or columns
      with them, for a feature that reads another column than `image`.

  Raises:
    FeatureError: what is wrong, and what to do about it.
  """
  examples = dict(examples) if isinstance(examples, Mapping) else {"image": np.asarray(examples)}
  _check_declaration(feature)
  if feature.kind == COMPOSITE:
    for part in feature.parts:
      check_feature(part, examples)
  feature.build(tuple(np.shape(examples["image"])[1:]))  # a learned one may be checked before it is fitted
  values = feature_values(
    feature, {name: np.array(column) for name, column in examples.items()}
  )  # width, NaN, constant, 0 and 1
  batch = {**examples, "image": tf.image.convert_image_dtype(examples["image"], tf.float32)}
  _check_values(feature, batch, values)
  _check_blank(feature, examples, batch)
  _check_natural_form(feature, values)
  _check_configuration(feature, batch, values)
  if feature.kind == CONTINUOUS:
    image = np.asarray(batch["image"])
    check_gradient(feature, image)
    _check_gradient_value(feature, image)


def _check_declaration(feature):
  name = getattr(type(feature), "__name__", "feature")
  if getattr(feature, "kind", None) not in (DISCRETE, CONTINUOUS, COMPOSITE):
    raise FeatureError(f"{name}.kind is {getattr(feature, 'kind', None)!r}: set it to 'discrete' or 'continuous'.")
  width = getattr(feature, "width", None)
  if not isinstance(width, int) or width < 1:
    raise FeatureError(f"{name}.width is {width!r}: set it to the number of components of f(x), at least 1.")


def _check_values(feature, batch, values):
  """f(x) is float32, a function of each example alone, the same every time, and leaves what it is given as it is."""
  given = {name: np.array(column) for name, column in batch.items()}  # copies
  asked = {name: column if tf.is_tensor(column) else np.array(column) for name, column in batch.items()}
  value = feature.of_example(asked)
  if tf.as_dtype(value.dtype) != tf.float32:
    raise FeatureError(f"feature '{feature.name}' gives {tf.as_dtype(value.dtype).name}: it must be float32.")
  if set(asked) != set(given) or any(not np.array_equal(asked[name], column) for name, column in given.items()):
    raise FeatureError(f"feature '{feature.name}' changes the examples that it is given: work on a copy.")
  spread = np.ptp(values, axis=0).max()
  again = np.asarray(feature.of_example(dict(batch)))
  if np.abs(again - np.asarray(value)).max() > TOLERANCE * spread:
    raise FeatureError(
      f"feature '{feature.name}' is not deterministic: asked twice, it gives values that differ by up to "
      f"{np.abs(again - np.asarray(value)).max():.3g}."
    )
  alone = np.concatenate(
    [feature.of_example({name: column[i : i + 1] for name, column in batch.items()}) for i in range(len(values))]
  )
  if np.abs(alone - values).max() > 10 * TOLERANCE * spread:
    raise FeatureError(
      f"feature '{feature.name}' depends on the batch: f(x) of an example alone differs by up to "
      f"{np.abs(alone - values).max():.3g} from f(x) of it among others. Reduce over pixels, never over the batch axis."
    )


def _check_blank(feature, examples, batch):
  """f of no examples at all, and of images that are all black or all white."""
  try:
    empty = feature.of_example({name: column[:0] for name, column in batch.items()})
  except Exception as error:  # a plug-in may raise anything
    raise FeatureError(
      f"feature '{feature.name}' fails on an empty batch ({error}): it must give [0, width]."
    ) from error
  if tuple(empty.shape) != (0, feature.width):
    raise FeatureError(
      f"feature '{feature.name}' gives values of shape {list(empty.shape)} for an empty batch, not "
      f"[0, {feature.width}]."
    )
  if not feature.has_pixels:
    return
  for level, what in ((0.0, "black"), (1.0, "white")):
    image = tf.fill(batch["image"][:2].shape, level)
    with tf.GradientTape() as tape:
      tape.watch(image)
      value = feature.of_image(image)
    check_shape(feature, image, value)
    if not np.isfinite(value).all():
      raise FeatureError(
        f"feature '{feature.name}' is NaN or infinite on a {what} image, and G may well draw one: "
        "divide with tf.math.divide_no_nan, and keep roots and logarithms away from 0."
      )
    if feature.kind == CONTINUOUS:
      gradient = tape.gradient(value, image)
      if gradient is not None and not np.isfinite(gradient).all():
        raise FeatureError(
          f"feature '{feature.name}' has a gradient with NaN or infinity on a {what} image, and G may well draw one."
        )


def _check_natural_form(feature, values):
  try:
    back = np.asarray(feature.to_vector(feature.to_natural(values)))
  except TfdisentError as error:
    raise FeatureError(
      f"feature '{feature.name}' gives values out of the range that its own `to_vector` takes: {error}"
    ) from error
  if back.shape != values.shape or np.abs(back - values).max() > 10 * TOLERANCE * max(1.0, np.ptp(values)):
    if feature.kind == CONTINUOUS and back.shape == values.shape and not _is_out_of_range(feature, values, back):
      return  # (cos, sin) of a length below 1, and the like: an angle has none
    raise FeatureError(
      f"feature '{feature.name}' is out of the range of its natural form: `to_vector(to_natural(f))` gives "
      f"{back.ravel()[:3].tolist()} for {values.ravel()[:3].tolist()}."
    )


def _is_out_of_range(feature, values, back):
  """Whether the natural form cuts off values, and is not merely blind to something."""
  return np.abs(values).max() > 1.001 * np.abs(back).max()


def _check_configuration(feature, batch, values):
  try:
    again = feature_from_config(feature.get_config())
  except (TfdisentError, TypeError, ValueError) as error:
    raise FeatureError(
      f"feature '{feature.name}' cannot be made again from its configuration ({error}): register it, and make its "
      "arguments fields of a dataclass."
    ) from error
  known, of_again = (np.asarray(one.as_known.of_example(dict(batch))) for one in (feature, again))
  if np.abs(of_again - known).max() > TOLERANCE * np.ptp(values, axis=0).max():
    raise FeatureError(
      f"feature '{feature.name}', made again from its configuration, gives other values: what it depends on must be "
      "fields of a dataclass."
    )


def _check_gradient_value(feature, image, steps=(0.004, 0.001, 0.0003)):
  """The gradient against central differences along itself, on images whose pixels are neither equal nor at a bound.

  Several steps: a large one is wrong where f is curved, a small one where float32 ends. One that agrees is enough.
  """
  random_state = np.random.default_rng(0)
  image = np.float32(0.05 + 0.9 * image + 0.02 * random_state.uniform(-1, 1, image.shape))
  weight = np.float32(random_state.normal(size=(len(image), feature.width)))

  def value(x):
    return np.sum(weight * np.asarray(feature.of_image(tf.constant(x)), np.float64), axis=1)  # [B]

  x = tf.constant(image)
  with tf.GradientTape() as tape:
    tape.watch(x)
    total = tf.reduce_sum(weight * feature.of_image(x))
  gradient = np.asarray(tape.gradient(total, x), np.float64)
  norm = np.sqrt(np.square(gradient).mean((1, 2, 3), keepdims=True))
  direction = gradient / np.maximum(norm, 1e-12)  # a pixel changes by a step or so
  exact = (gradient * direction).sum((1, 2, 3))
  changes = [
    (value(np.float32(image + h * direction)) - value(np.float32(image - h * direction))) / (2 * h) for h in steps
  ]
  ratios = [np.nanmedian(change / np.where(np.abs(exact) < 1e-9, np.nan, exact)) for change in changes]
  ratio = min(ratios, key=lambda ratio: abs(ratio - 1))
  if not abs(ratio - 1) < GRADIENT_TOLERANCE:
    raise FeatureError(
      f"feature '{feature.name}' has a wrong gradient: along it, f changes {ratio:.3g} times as "
      "fast as the gradient says. A tf.custom_gradient, a stop_gradient or a rounding is amiss."
    )
