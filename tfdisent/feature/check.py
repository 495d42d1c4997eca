"""The contract of a feature as a test, for the test suites of plug-ins. `tfdisent.testing` exports it.

from tfdisent.testing import check_feature

def test_my_feature_keeps_the_contract():
  check_feature(MyFeature(), images)
"""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdisent.errors import FeatureError, TfdisentError, shown
from tfdisent.feature.contract import COMPOSITE, CONTINUOUS, DISCRETE, Feature, check_shape, feature_from_config
from tfdisent.feature.values import check_gradient, feature_values

TOLERANCE = 1e-4  # by which values that must agree may differ, relative to their spread
GRADIENT_TOLERANCE = 0.05  # by which the gradient may differ from finite differences, relative


def check_feature(feature: Feature, examples: Mapping[str, np.ndarray] | np.ndarray) -> None:
  """Checks that a feature can be trained with, stored, and served.

  It computes f(x) of all examples together, of each alone, twice, of no example and of blank images; converts f(x) to
  its natural form and back; makes the feature again from its configuration; and compares the gradient of a continuous
  feature with finite differences.

  Args:
    feature: f. A learned feature may be checked before it is fitted.
    examples: images, uint8 [N, H, W, C] or float in [0, 1], at least four, and with more than one value of f among
      them; or a dict of such images, as `image`, and other columns [N, ...] that f reads.

  Raises:
    FeatureError: what is wrong, and what to do about it.
  """
  examples = dict(examples) if isinstance(examples, Mapping) else {"image": np.asarray(examples)}
  _check_declaration(feature)
  if feature.kind == COMPOSITE:
    for part in feature.parts:
      check_feature(part, examples)
  feature.build(tuple(np.shape(examples["image"])[1:]))
  values = feature_values(feature, _copy(examples))  # checks the width, NaN, a constant, and 0 and 1
  batch = {**examples, "image": tf.image.convert_image_dtype(examples["image"], tf.float32)}
  spread = np.ptp(values, axis=0).max()
  _check_output(feature, batch)
  _check_deterministic(feature, batch, spread)
  _check_each_alone(feature, batch, values, spread)
  _check_empty(feature, batch)
  if feature.has_pixels:
    _check_blank(feature, batch["image"])
  _check_natural_form(feature, values)
  _check_configuration(feature, batch, spread)
  if feature.kind == CONTINUOUS:
    image = np.asarray(batch["image"])
    check_gradient(feature, image)
    _check_gradient_value(feature, image)


def _copy(examples):
  """The examples in arrays of their own, which a feature may change. Tensors cannot be changed."""
  return {name: column if tf.is_tensor(column) else np.array(column) for name, column in examples.items()}


def _check_declaration(feature):
  name = getattr(type(feature), "__name__", "feature")
  if getattr(feature, "kind", None) not in (DISCRETE, CONTINUOUS, COMPOSITE):
    raise FeatureError(f"{name}.kind is {shown(getattr(feature, 'kind', None))}: set it to 'discrete' or 'continuous'.")
  width = getattr(feature, "width", None)
  if not isinstance(width, int) or width < 1:
    raise FeatureError(f"{name}.width is {shown(width)}: set it to the number of components of f(x), at least 1.")


def _check_output(feature, batch):
  """f(x) is float32, and the examples stay as they are."""
  given = _copy(batch)
  value = feature.of_example(given)
  if tf.as_dtype(value.dtype) != tf.float32:
    raise FeatureError(f"feature '{feature.name}' gives {tf.as_dtype(value.dtype).name}: it must be float32.")
  if set(given) != set(batch) or any(not np.array_equal(given[name], column) for name, column in batch.items()):
    raise FeatureError(f"feature '{feature.name}' changes the examples that it is given: work on a copy.")


def _check_deterministic(feature, batch, spread):
  first, second = (np.asarray(feature.of_example(_copy(batch))) for _ in range(2))
  difference = np.abs(second - first).max()
  if difference > TOLERANCE * spread:
    raise FeatureError(
      f"feature '{feature.name}' is not deterministic: asked twice, it gives values that differ by up to "
      f"{difference:.3g}."
    )


def _check_each_alone(feature, batch, values, spread):
  """f(x) of an example does not depend on the other examples of the batch."""
  alone = np.concatenate(
    [feature.of_example({name: column[i : i + 1] for name, column in batch.items()}) for i in range(len(values))]
  )
  difference = np.abs(alone - values).max()
  if difference > 10 * TOLERANCE * spread:
    raise FeatureError(
      f"feature '{feature.name}' depends on the batch: f(x) of an example alone differs by up to {difference:.3g} from "
      "f(x) of it among others. Reduce over pixels, never over the batch axis."
    )


def _check_empty(feature, batch):
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


def _check_blank(feature, image):
  """f and its gradient are finite on images that are all black or all white."""
  for level, what in ((0.0, "black"), (1.0, "white")):
    blank = tf.fill(image[:2].shape, level)
    with tf.GradientTape() as tape:
      tape.watch(blank)
      value = feature.of_image(blank)
    check_shape(feature, blank, value)
    if not np.isfinite(value).all():
      raise FeatureError(
        f"feature '{feature.name}' is NaN or infinite on a {what} image, and G may well draw one: "
        "divide with tf.math.divide_no_nan, and keep roots and logarithms away from 0."
      )
    gradient = tape.gradient(value, blank) if feature.kind == CONTINUOUS else None
    if gradient is not None and not np.isfinite(gradient).all():
      raise FeatureError(
        f"feature '{feature.name}' has a gradient with NaN or infinity on a {what} image, and G may well draw one."
      )


def _check_natural_form(feature, values):
  """`to_vector` takes what `to_natural` gives, and gives f(x) again."""
  try:
    back = np.asarray(feature.to_vector(feature.to_natural(values)))
  except TfdisentError as error:
    raise FeatureError(
      f"feature '{feature.name}' gives values out of the range that its own `to_vector` takes: {error}"
    ) from error
  is_same = back.shape == values.shape and np.abs(back - values).max() <= 10 * TOLERANCE * max(1.0, np.ptp(values))
  if not is_same and not _is_projection(feature, values, back):
    raise FeatureError(
      f"feature '{feature.name}' is out of the range of its natural form: `to_vector(to_natural(f))` gives "
      f"{back.ravel()[:3].tolist()} for {values.ravel()[:3].tolist()}."
    )


def _is_projection(feature, values, back):
  """Whether the natural form leaves out something of a continuous f, and cuts off none of its values.

  An angle leaves out the length of (cos θ, sin θ), which is below 1 where f is a mean: `back` is then the longer one.
  """
  return (
    feature.kind == CONTINUOUS and back.shape == values.shape and np.abs(values).max() <= 1.001 * np.abs(back).max()
  )


def _check_configuration(feature, batch, spread):
  """The feature that is made again from its configuration gives the same values.

  A learned feature is compared by its `known` values, since its configuration does not hold the weights.
  """
  try:
    again = feature_from_config(feature.get_config())
  except (TfdisentError, TypeError, ValueError) as error:
    raise FeatureError(
      f"feature '{feature.name}' cannot be made again from its configuration ({error}): register it, and make its "
      "arguments fields of a dataclass."
    ) from error
  values, values_again = (np.asarray(one.as_known.of_example(_copy(batch))) for one in (feature, again))
  if np.abs(values_again - values).max() > TOLERANCE * spread:
    raise FeatureError(
      f"feature '{feature.name}', made again from its configuration, gives other values: what it depends on must be "
      "fields of a dataclass."
    )


def _check_gradient_value(feature, image):
  """The gradient agrees with central differences along its own direction.

  They are taken on images whose pixels differ and are neither 0 nor 1, where a maximum or a clipping has no gradient.
  A large step is wrong where f is curved, and a small step is lost in the rounding of float32; one of several that
  agrees is therefore enough.
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
  direction = gradient / np.maximum(norm, 1e-12)  # a pixel then changes by about a step
  exact = (gradient * direction).sum((1, 2, 3))
  changes = [
    (value(np.float32(image + h * direction)) - value(np.float32(image - h * direction))) / (2 * h)
    for h in (0.004, 0.001, 0.0003)
  ]
  ratios = [np.nanmedian(change / np.where(np.abs(exact) < 1e-9, np.nan, exact)) for change in changes]
  ratio = min(ratios, key=lambda ratio: abs(ratio - 1))
  if not abs(ratio - 1) < GRADIENT_TOLERANCE:
    raise FeatureError(
      f"feature '{feature.name}' has a wrong gradient: along it, f changes {ratio:.3g} times as "
      "fast as the gradient says. Look for a tf.custom_gradient, a tf.stop_gradient or a rounding."
    )
