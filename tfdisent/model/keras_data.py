"""The data that Keras's `fit` and `evaluate` take, as the batches that the terms of the loss read."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfdisent.data.dataset import check_images
from tfdisent.errors import DataError, FeatureError
from tfdisent.feature.contract import DISCRETE, Feature


def arrays(model, x: Any, f: Any) -> tuple[Any, Any]:
  """Arrays for `fit` and `evaluate`, checked; f as vectors float32 [N, width].

  Anything else (a `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator) is left as it is: see `as_batch`.

  Args:
    model: a `DisentangledVAE`.
    x: images [N, H, W, C], uint8, or float in [0, 1].
    f: f(x), see `vectors`; None where it can be computed from pixels.

  Raises:
    DataError: the images have another shape, dtype or range, or f is of another length.
    FeatureError: f has a wrong shape or range, or is missing.
  """
  if not (isinstance(x, np.ndarray) or tf.is_tensor(x)):
    return x, f
  x = np.asarray(x)
  check_images(x, "images")
  _check_shape(model, x)
  if f is None:
    _check_pixels(model.feature)
    return x, None
  f = vectors(model.feature, f)
  if len(f) != len(x):
    raise DataError(f"there are {len(x)} images and {len(f)} values of f: give one for each image.")
  return x, f


def as_batch(model, data: Any, step: tf.Tensor) -> tuple[Mapping[str, tf.Tensor], tf.Tensor | None]:
  """The batch of what Keras gives to a step, and how much it counts in the means of an epoch.

  A batch of `tfdisent.data.batches.training_batches` stays as it is. Any other gets its partners x̃ by a permutation of
  the global batch, which is keyed by the model's seed and the step: it does not depend on how replicas share the batch.

  Args:
    model: a `DisentangledVAE`.
    data: (x, f), (x, f, sample_weight), or x alone; or a dict with `image` and `feature`, and `weight` or not. f as
      `vectors` takes it.
    step: keys the permutation; -1 in a validation.

  Raises:
    DataError, FeatureError: as in `arrays`, of shapes and dtypes. A value out of range fails an assertion of
      `tf.debugging`.
  """
  if not isinstance(data, Mapping):
    x, f, weight = keras.utils.unpack_x_y_sample_weight(data)
    data = x if isinstance(x, Mapping) else {"image": x, "feature": f}
    data = {name: value for name, value in {**data, "weight": weight}.items() if value is not None}
  if "partner" in data and "position" in data:
    weight = data.get("weight")
    return data, None if weight is None else tf.reduce_sum(weight)

  x = _images(model, data["image"])
  if "feature" in data:
    f = vectors(model.feature, data["feature"], in_graph=True)
  else:
    _check_pixels(model.feature)
    f = tf.stop_gradient(model.feature.of_image(tf.image.convert_image_dtype(x, tf.float32)))
  replica = tf.distribute.get_replica_context()
  replicas, count = replica.num_replicas_in_sync, tf.shape(x)[0]
  every_f = replica.all_gather(f, 0) if replicas > 1 else f
  total = tf.shape(every_f)[0]
  position = tf.cast(replica.replica_id_in_sync_group, tf.int32) * count + tf.range(count)
  key = tf.stack([tf.constant(model.seed, tf.int64), -4 - tf.cast(step, tf.int64)])  # the noise has those from -2 on
  order = tf.random.experimental.stateless_shuffle(tf.range(total), key)
  partner = tf.gather(every_f, tf.gather(order, position % total))
  batch = {"image": x, "feature": f, "partner": partner, "position": position}
  weight = data.get("weight")
  if weight is not None:
    batch["weight"] = tf.reshape(tf.cast(weight, tf.float32), [count])
  elif replicas > 1:
    batch["weight"] = tf.ones([count])
  if replicas > 1:  # convolutions fail on an empty share of a last batch, which gets an example that does not count
    missing = tf.maximum(1 - count, 0)
    batch = {name: tf.pad(v, [[0, missing], *[[0, 0]] * (v.shape.rank - 1)]) for name, v in batch.items()}
  return batch, tf.reduce_sum(batch["weight"]) if "weight" in batch else tf.cast(count, tf.float32)


def vectors(feature: Feature, value: Any, in_graph: bool = False) -> Any:
  """f(x) as vectors float32 [B, width]: an array, or in a graph a tensor.

  Args:
    feature: f.
    value: f(x) in its natural form (labels [B] or [B, 1], angles [B], …), as vectors [B, width], or as a dict of either
      by the names of the parts; that of one part may have any name. What has the shape of the natural form is taken for
      that.
    in_graph: whether a tensor is wanted.

  Raises:
    FeatureError: the value has a wrong shape, or a wrong range. In a graph the range fails an assertion.
  """
  if isinstance(value, Mapping) and len(value) == len(feature.parts) == 1:  # there is nothing to mix up
    (value,) = value.values()
  if isinstance(value, Mapping):
    if set(value) != set(feature.part_names):
      names, given = (", ".join(map(str, of)) or "nothing" for of in (feature.part_names, value))
      raise FeatureError(f"f is given as a dict of {names}, not of {given}.")
    parts = [vectors(part, value[name], in_graph) for name, part in zip(feature.part_names, feature.parts)]
    if in_graph:
      return tf.concat(parts, 1)
    if len({*map(len, parts)}) > 1:
      lengths = ", ".join(f"{len(part)} of {name}" for name, part in zip(feature.part_names, parts))
      raise FeatureError(f"f was given {lengths}: they must be of the same length.")
    return np.concatenate(parts, 1)

  value = tf.convert_to_tensor(value) if in_graph else np.asarray(value)
  natural = None if isinstance(feature.served, Mapping) else tuple(feature.served.shape[1:])
  shape = tuple(value.shape[1:])
  if shape == (feature.width,) != natural:
    return _check_vectors(feature, tf.cast(value, tf.float32) if in_graph else value.astype(np.float32))
  if natural is not None and shape == (*natural, 1):  # a column of labels, as Keras's own data sets have them
    value, shape = value[..., 0], natural
  if not in_graph:
    return feature.to_vector(value)
  if shape != natural:
    taken = [feature.width] if natural is None else [*natural]
    raise FeatureError(f"feature '{feature.name}' takes values of shape {['B', *taken]}, not {list(value.shape)}.")
  dtype = feature.served.dtype
  if dtype.is_integer and value.dtype.is_floating:
    tf.debugging.assert_equal(value, tf.round(value), f"feature '{feature.name}' takes whole numbers")
  return feature.of_served(tf.cast(value, dtype))


def _check_vectors(feature, f):
  """f, an array or in a graph a tensor [B, width], if it is in its range."""
  if not tf.is_tensor(f) and not np.isfinite(f).all():
    raise FeatureError(f"feature '{feature.name}' was given NaN or infinite values.")
  for part, of_part in zip(feature.parts, feature.split(f)):
    message = f"the vectors of feature '{part.name}' must be 0 or 1, since it is discrete"
    if part.kind == DISCRETE and tf.is_tensor(f):
      tf.debugging.assert_equal(of_part, tf.square(of_part), message)
    elif part.kind == DISCRETE and not np.isin(of_part, (0, 1)).all():
      raise FeatureError(f"{message}.")
  return f


def _check_pixels(feature):
  if not feature.has_pixels:
    raise FeatureError(
      f"feature '{feature.name}' cannot be computed from pixels: give f(x) with the images, as in `fit(images, f)`."
    )


def _check_shape(model, x):
  if not tf.TensorShape(x.shape).is_compatible_with([None, *model.image_shape]):
    raise DataError(f"images have the shape {list(x.shape[1:])}, and the model takes {list(model.image_shape)}.")


def _images(model, x):
  """Images of a batch in a graph, checked."""
  x = tf.convert_to_tensor(x)
  _check_shape(model, x)
  x = tf.ensure_shape(x, [None, *model.image_shape])
  if x.dtype != tf.uint8 and not x.dtype.is_floating:
    raise DataError(f"images must be uint8, or float in [0, 1], not {x.dtype.name}.")
  if x.dtype.is_floating:
    message = "images of floats must lie in [0, 1]: divide those of 0 to 255 by 255, or give uint8"
    tf.debugging.assert_less_equal(tf.reduce_max(x), tf.ones([], x.dtype), message)
    tf.debugging.assert_greater_equal(tf.reduce_min(x), tf.zeros([], x.dtype), message)
  return x
