"""f(x) of real examples, checked before a training or an evaluation relies on it: its values, and their gradient."""

from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdisent.errors import FeatureError, TfdisentError
from tfdisent.feature.contract import DISCRETE, Feature, check_shape


def feature_values(feature: Feature, examples: Mapping[str, np.ndarray], batch_size: int = 512) -> np.ndarray:
  """f(x) of every example of a split, float32 [N, width], checked against the contract.

  Raises:
    FeatureError: f fails, or gives the wrong width, NaN or infinite values, values that no discrete code has, or the
      same value for every example.
  """
  batches = []
  for start in range(0, len(examples["image"]), batch_size):
    batch = {name: column[start : start + batch_size] for name, column in examples.items()}
    batch["image"] = tf.image.convert_image_dtype(batch["image"], tf.float32)
    batches.append(_batch_values(feature, batch))
  values = np.concatenate(batches)
  bad = np.flatnonzero(~np.isfinite(values).all(1))
  if bad.size:
    raise FeatureError(
      f"feature '{feature.name}' is NaN or infinite for {bad.size} examples, the first of them number {bad[0]}."
    )
  for part, of_part in zip(feature.parts, feature.split(values)):
    if part.kind == DISCRETE and not np.isin(of_part, (0, 1)).all():
      raise FeatureError(f"feature '{part.name}' says it is discrete, but its values are not all 0 or 1.")
    if len(values) > 1 and np.ptp(of_part, axis=0).max() < 1e-6:
      raise FeatureError(
        f"feature '{part.name}' has the same value, {of_part[0].tolist()}, for all {len(values)} examples: "
        "nothing to control."
      )
  return values


def _batch_values(feature, batch) -> np.ndarray:
  """f(x) of a batch of examples, float32 [B, width]; raises `FeatureError` if f fails or gives anything else."""
  try:
    values = feature.of_example(batch)
  except TfdisentError:
    raise
  except KeyError as error:
    raise FeatureError(
      f"feature '{feature.name}' needs the column {error} and the data set has {', '.join(sorted(batch))}."
    ) from error
  except Exception as error:  # a plug-in may raise anything
    raise FeatureError(f"feature '{feature.name}' cannot be computed: {error}") from error
  try:
    values = np.asarray(values, np.float32)
  except (TypeError, ValueError, OverflowError) as error:
    raise FeatureError(
      f"feature '{feature.name}' gave a {type(values).__name__}, not float32 [B, {feature.width}]."
    ) from error
  count = len(batch["image"])
  if values.shape != (count, feature.width) or not feature.width:
    raise FeatureError(
      f"feature '{feature.name}' says width {feature.width} and gave values of shape {list(values.shape)} "
      f"for {count} examples; expected [{count}, {feature.width}]."
    )
  return values


def check_gradient(feature: Feature, image: np.ndarray) -> None:
  """Raises `FeatureError` unless f is [B, width] and has a finite gradient that is not zero everywhere.

  L_f2 cannot train without one.

  Args:
    image: some real images, float32 [B, H, W, C] in [0, 1].
  """
  if not feature.has_pixels:
    raise FeatureError(
      f"feature '{feature.name}' cannot be used with L_f2: it is not computed from pixels (no `of_image`), "
      "so ‖f(G(z1, z̃2)) - f(x̃)‖² has no gradient. Use L_f1 (objective.feature_loss = 'f1') or define `of_image`."
    )
  image = tf.convert_to_tensor(image)
  with tf.GradientTape() as tape:
    tape.watch(image)
    value = feature.of_image(image)
    check_shape(feature, image, value)
    if feature.kind == DISCRETE:  # a class has no gradient, but the loss may have one with respect to the logits
      value = feature.loss_f2(image, tf.reverse(value, [0]))
    # Random weights: the gradient of ‖f‖² would be zero for an f of length 1.
    value = tf.reduce_sum(value * tf.random.stateless_normal(tf.shape(value), [0, 0]))
  gradient = tape.gradient(value, image)
  if gradient is None:
    problem = "no gradient"
  elif not np.isfinite(gradient).all():
    problem = "a gradient with NaN or infinity"
  else:
    problem = None if np.any(gradient) else "a gradient of zero"
  if problem:
    raise FeatureError(
      f"feature '{feature.name}' has {problem} with respect to the image, so L_f2 cannot train with it. "
      "Build `of_image` from differentiable TensorFlow operations (no rounding, comparison, argmax or NumPy), "
      "or use L_f1."
    )
