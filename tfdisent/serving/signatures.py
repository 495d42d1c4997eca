"""The signatures of an exported model, whatever format they are written in."""

import json
import pathlib
from collections.abc import Callable, Collection, Mapping

import numpy as np
import tensorflow as tf

from tfdisent import codes
from tfdisent.errors import FeatureError
from tfdisent.feature.contract import DISCRETE
from tfdisent.inference import TrainedModel

MAX_PIXELS = 2**24
"""Height times width of an encoded image, at most: a PNG of a few KB can ask for gigabytes."""


def signature(trained: TrainedModel, name: str) -> Callable:
  """A signature of the model as a concrete function, as it is before it is exported."""
  return Served(trained).signatures([name])[name]


class Served:
  """What a server is given of a model.

  Args:
    trained: the model, and the names of its classes.
    takes_none: whether a batch of no images gets an answer.
  """

  def __init__(self, trained: TrainedModel, takes_none: bool = True):
    self._model, self._class_names = trained.model, trained.class_names
    self._at_least_one = _at_least_one if takes_none else lambda batch: batch
    try:
      self._model.check_reading()
      self._reads = True
    except FeatureError:
      self._reads = False

  def weights(self) -> dict[str, tf.Variable]:
    """The weights that the signatures read: neither those of D nor those of the adversary."""
    networks = self._model.inference_networks
    networks |= {f"f/{name}": network for name, network in self._model.feature.networks.items()}
    return {v.path: v.value for network in networks.values() for v in network.weights}

  def assets(self, folder: pathlib.Path, config: str) -> list[tf.saved_model.Asset]:
    """Writes the configuration and a description of the feature into a folder, and gives them as assets."""
    (folder / "config.gin").write_text(config, encoding="utf-8")
    (folder / "feature.json").write_text(json.dumps(self._description(), indent=2) + "\n", encoding="utf-8")
    return [tf.saved_model.Asset(str(folder / name)) for name in ("config.gin", "feature.json")]

  def _description(self) -> dict:
    """What a client has to know of the feature."""
    names = self._feature_names()
    return {
      name: {
        "feature": part.get_config()["name"],
        "kind": part.kind,
        "dtype": part.served.dtype.name,
        "shape": part.served.shape.as_list(),
        **({"classes": self._classes(part)} if part.kind == DISCRETE and part.width > 1 else {}),
      }
      for name, part in zip(names, self._model.feature.parts)
    }

  def _classes(self, part) -> list[str]:
    return list(self._class_names.get(part.column) or map(str, range(part.width)))

  def _feature_names(self) -> list[str]:
    names = self._model.feature.part_names
    return ["feature"] if len(names) == 1 else [f"feature_{name.replace('/', '_')}" for name in names]

  def signatures(self, names: Collection[str] | None = None) -> dict[str, Callable]:
    """A traced function for each signature, or for those of some names, with the inputs and outputs of the table."""
    model = self._model
    image = tf.TensorSpec([None, *model.image_shape], tf.uint8, name="image")
    feature_image = tf.TensorSpec([None, *model.image_shape], tf.uint8, name="feature_image")
    encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
    seed = tf.TensorSpec([None], tf.int64, name="seed")
    features = [
      tf.TensorSpec(part.served.shape, part.served.dtype, name=name)
      for name, part in zip(self._feature_names(), model.feature.parts)
    ]

    def encode(image):
      x, count = self._images(image)
      q_z1 = model.posterior_z1(x)
      codes = {"z1_mean": q_z1.mean(), "z1_stddev": q_z1.stddev(), **self._read(q_z1.mean(), x)}
      return {name: code[:count] for name, code in codes.items()}

    def reconstruct(image):
      x, count = self._images(image)
      z1 = model.posterior_z1(x).mean()
      return {"image": _to_uint8(model.decode(z1, model.read_z2(z1, x)))[:count]}

    def fuse(image, feature_image):
      image, feature_image = _as_many("as many feature images as images", image, feature_image)
      x, count = self._images(image)
      x_partner, _ = self._images(feature_image)
      z2 = model.read_z2(model.posterior_z1(x_partner).mean(), x_partner)
      return {"image": _to_uint8(model.decode(model.posterior_z1(x).mean(), z2))[:count]}

    def control(image, *features):
      image, *features = _as_many("as many features as images", image, *features)
      x, count = self._images(image)
      return {"image": _to_uint8(model.decode(model.posterior_z1(x).mean(), self._z2(features)))[:count]}

    def generate(seed, *features):
      seed, _ = _as_many("as many seeds as features", seed, features[0])
      z2, count = self._z2(features), tf.shape(seed)[0]
      z1 = codes.prior_noise(self._at_least_one(seed), model.z1_width)
      return {"image": _to_uint8(model.decode(z1, z2))[:count]}

    def encode_png(image_bytes):
      return encode(self._decoded(image_bytes))

    def control_png(image_bytes, *features):
      image = control(self._decoded(image_bytes), *features)["image"]
      return {"image_bytes": tf.map_fn(tf.io.encode_png, image, fn_output_signature=tf.string)}

    of_image = {"reconstruct": (reconstruct, [image]), "fuse": (fuse, [image, feature_image])} if self._reads else {}
    functions = {
      "encode": (encode, [image]),
      **of_image,
      "control": (control, [image, *features]),
      "serving_default": (control, [image, *features]),
      "generate": (generate, [seed, *features]),
      "encode_png": (encode_png, [encoded]),
      "control_png": (control_png, [encoded, *features]),
    }
    return {
      name: tf.function(_of_shapes(function, specs)).get_concrete_function(*specs)
      for name, (function, specs) in functions.items()
      if names is None or name in names
    }

  def requests(self) -> dict[str, dict[str, np.ndarray]]:
    """A request of one example for each signature."""
    image = np.zeros([1, *self._model.image_shape], np.uint8)
    image_bytes = np.array([tf.io.encode_png(image[0]).numpy()], object)
    features = {
      name: np.zeros([1, *part.served.shape[1:]], part.served.dtype.as_numpy_dtype)
      for name, part in zip(self._feature_names(), self._model.feature.parts)
    }
    of_image = {"reconstruct": {"image": image}, "fuse": {"image": image, "feature_image": image}}
    return {
      "encode": {"image": image},
      **(of_image if self._reads else {}),
      "control": {"image": image, **features},
      "serving_default": {"image": image, **features},
      "generate": {"seed": np.zeros(1, np.int64), **features},
      "encode_png": {"image_bytes": image_bytes},
      "control_png": {"image_bytes": image_bytes, **features},
    }

  def _images(self, image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """float32 images in [0, 1], and how many there are; none become one, since fused convolutions fail on none."""
    return tf.image.convert_image_dtype(self._at_least_one(image), tf.float32), tf.shape(image)[0]

  def _z2(self, features) -> tf.Tensor:
    """z̃2 [B, Z2] of features in their natural form; of none, one."""
    features = _as_many("as many of one feature as of another", *features)
    for value in features:
      if value.dtype.is_floating:
        tf.debugging.assert_all_finite(value, "a feature is NaN or infinite")
    parts = zip(self._model.feature.parts, features)
    f = tf.concat([part.of_served(self._at_least_one(value)) for part, value in parts], 1)
    f.set_shape([None, self._model.feature.width])
    return self._model.mean_z2(f)

  def _read(self, z1: tf.Tensor, x: tf.Tensor) -> Mapping[str, tf.Tensor]:
    """f(x) of images by the name of each part that can be read."""
    parts = zip(self._feature_names(), self._model.feature.parts, self._model.codes, self._model.variational_z2(z1, x))
    read = {}
    for name, part, code, q in parts:
      if part.has_pixels:
        read[name] = part.of_image(x)
      elif q is not None and not code.learned:
        read[name] = code.probabilities(q)
    return read

  def _decoded(self, image_bytes: tf.Tensor) -> tf.Tensor:
    """uint8 [B, H, W, C] of encoded images of any size."""
    height, width, channels = self._model.image_shape

    def decode(encoded):
      with tf.control_dependencies([_assert_few_pixels(encoded)]):
        image = tf.io.decode_image(encoded, channels, expand_animations=False)
      have = tf.shape(image)[:2]
      scale = tf.reduce_min(tf.cast(have, tf.float32) / [height, width])
      crop = tf.minimum(tf.cast(tf.round(scale * [height, width]), tf.int32), have)
      start = (have - crop) // 2
      image = tf.slice(image, tf.concat([start, [0]], 0), tf.concat([crop, [channels]], 0))
      resized = tf.image.resize(image, [height, width], antialias=True)
      return tf.ensure_shape(_round(resized), [height, width, channels])  # of the same size: what it was

    return tf.map_fn(decode, image_bytes, fn_output_signature=tf.TensorSpec([height, width, channels], tf.uint8))


PNG_START, JPEG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", b"\xff\xd8\xff"


def _assert_few_pixels(encoded: tf.Tensor) -> tf.Operation:
  """Fails unless an encoded image is a PNG or a JPEG of `MAX_PIXELS` at most, by its header alone."""
  first = tf.io.decode_raw(encoded, tf.uint8, fixed_length=len(PNG_START))
  is_png, is_jpeg = (tf.reduce_all(first[: len(start)] == list(start)) for start in (PNG_START, JPEG_START))
  with tf.control_dependencies([tf.debugging.Assert(is_png | is_jpeg, ["an encoded image is a PNG or a JPEG"])]):
    size = tf.cond(
      is_jpeg,
      lambda: tf.io.extract_jpeg_shape(encoded)[:2],
      lambda: tf.io.decode_raw(encoded, tf.int32, little_endian=False, fixed_length=24)[4:],  # width and height
    )
  pixels = tf.reduce_prod(tf.cast(size, tf.int64))
  words = f"an encoded image has {MAX_PIXELS} pixels at most, height times width"
  return tf.debugging.Assert(pixels <= MAX_PIXELS, [words, size])


def _of_shapes(function: Callable, specs: Collection[tf.TensorSpec]) -> Callable:
  """`function` of inputs that have the shapes of `specs`; others are an INVALID_ARGUMENT that tells both shapes.

  A server feeds what a client sends as it is, and Reshape would take rows of another width for pixels of one image.
  """

  def of_shapes(*inputs):
    return function(*(tf.ensure_shape(value, spec.shape) for value, spec in zip(inputs, specs)))

  return of_shapes


def _as_many(message: str, *batches: tf.Tensor) -> list[tf.Tensor]:
  """The batches [B, …], once they are seen to be of one length; what joins them would else fail in its own words.

  A difference is an INVALID_ARGUMENT with `message`.
  """
  counts = [tf.shape(batch)[0] for batch in batches]
  with tf.control_dependencies([tf.debugging.assert_equal(count, counts[0], message) for count in counts[1:]]):
    return [tf.identity(batch) for batch in batches]


def _at_least_one(batch: tf.Tensor) -> tf.Tensor:
  missing = tf.maximum(1 - tf.shape(batch)[0], 0)
  return tf.pad(batch, [[0, missing], *[[0, 0]] * (batch.shape.rank - 1)])


def _to_uint8(x: tf.Tensor) -> tf.Tensor:
  return _round(x * 255)


def _round(pixels: tf.Tensor) -> tf.Tensor:
  return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
