"""The signatures of an exported model, which all formats share.

| signature                    | takes                                 | gives                                     |
|------------------------------|---------------------------------------|-------------------------------------------|
| `encode`                     | `image`                               | `z1_mean`, `z1_stddev` [B, Z1]; `feature` |
| `reconstruct`                | `image`                               | `image`: x'                               |
| `fuse`                       | `image`, `feature_image`              | `image`: x̂ with z̃2 of `feature_image`     |
| `control`, `serving_default` | `image`, `feature`                    | `image`: x̂ with z̃2 of `feature`           |
| `generate`                   | `feature`, `seed` int64 [B]           | `image`: x̂ with z1 from its prior         |
| `encode_png`                 | `image_bytes`: PNG, JPEG or TIFF      | as `encode`                               |
| `control_png`                | `image_bytes`, as above; `feature`    | `image_bytes`, PNG: as `control`          |

A format may ask for `decode` besides, which takes `z1` [B, Z1] and `feature`, and gives `image`: x̂.

Every input and every output is a batch [B, …], and a row of an output depends on the same row of the inputs alone. A
server may therefore join the requests of several clients into one batch, and a seed gives the same image in any row.

Images are uint8 [B, H, W, C]. The input `feature` is f(x) in its natural form (`Feature.served`); where f has several
parts, there is one input `feature_<part>` for each. The output `feature` is f(x) as a vector, float32 [B, width]; where
q reads f, it holds probabilities.

Where f can be read neither from the pixels nor by q, `encode` has no output `feature`, and there is no `reconstruct`
and no `fuse`.

Encoded images become what the training would have made of their files: see `tfdisent.serving.decoding`. Those of more
than `MAX_PIXELS` pixels are refused by their header, before they are decoded.

A request that is wrong is an INVALID_ARGUMENT that says what is right: "images are [B, 28, 28, 3]".
"""

import functools
import json
import pathlib
import re
from collections.abc import Callable, Collection, Sequence

import numpy as np
import tensorflow as tf

from tfdisent import codes
from tfdisent.errors import FeatureError
from tfdisent.feature.contract import DISCRETE
from tfdisent.inference import TrainedModel
from tfdisent.serving import batches
from tfdisent.serving.decoding import decode_images
from tfdisent.serving.raster import checked

NOUNS = {"image": "images are", "feature_image": "feature images are", "seed": "seeds are"} | {
  "image_bytes": "encoded images are"
}
"""How inputs are called in messages; a feature by its name."""


def signature(trained: TrainedModel, name: str) -> Callable:
  """One signature of a model as a concrete function, without an export."""
  return ServedModel(trained).signatures([name])[name]


def check_shapes(function: Callable, specs: Collection[tf.TensorSpec]) -> Callable:
  """`function`, whose inputs must have the shapes of `specs`: others are an INVALID_ARGUMENT that tells both shapes.

  A server checks no shapes itself. Without this check, Reshape would cut rows of another width into mixed pixels.
  """
  return lambda *inputs: function(*map(_check_shape, inputs, specs))


def _check_shape(value: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
  # Of an input whose shape the graph knows, TensorFlow would replace the check by its answer.
  given = tf.raw_ops.PlaceholderWithDefault(input=value, shape=tf.TensorShape(None))
  shape, (_, *wanted) = tf.shape(given), spec.shape.as_list()
  is_good = (tf.size(shape) == spec.shape.rank) & tf.reduce_all(tf.pad(shape, [[0, 9]])[1 : spec.shape.rank] == wanted)
  words = (
    f"{NOUNS.get(spec.name, f'values of {spec.name} are')} [{', '.join(['B', *map(str, wanted)])}], not of the shape"
  )
  return tf.ensure_shape(checked(given, is_good, words, shape), spec.shape)


class ServedModel:
  """What an export writes of a model: its signatures, their weights, and files that describe it.

  Args:
    trained: the model, with the names of its classes.
    pad_empty: whether signatures answer a batch of no images. The convolutions fail on an empty batch, so it is padded
      to one image whose answer is cut off.
    guard: how a format checks the shapes of inputs: it makes of a function of tensors, and of the `TensorSpec` of each,
      a function that refuses others.
    taken: the `TensorSpec` that a format takes in place of one of this module; its `guard` makes the one of the other.
    given: how a format gives images, of float32 [B, H, W, C] in [0, 1]; None for uint8.
    pieces: whether G decodes a large batch in pieces, as large as a call of `TrainedModel` is, for a server.
  """

  def __init__(
    self,
    trained: TrainedModel,
    pad_empty: bool = True,
    guard: Callable = check_shapes,
    taken: Callable = lambda spec: spec,
    given: Callable | None = None,
    pieces: bool = False,
  ):
    self._model, self._class_names, self._background = trained.model, trained.class_names, trained.background
    self._guard, self._taken, self._given = guard, taken, given or _to_uint8
    self._pad = batches.pad_empty if pad_empty else lambda batch: batch
    self._piece = trained.batch_size if pieces else None
    try:
      self._model.check_reading()
      self._can_read_z2 = True
    except FeatureError:
      self._can_read_z2 = False

  def weights(self) -> dict[str, tf.Variable]:
    """The weights that the signatures use, by network and path: two learned features have weights of the same paths."""
    networks = self._model.inference_networks
    networks |= {f"f/{name}": network for name, network in self._model.feature.networks.items()}
    return {f"{symbol}/{v.path}": v.value for symbol, network in networks.items() for v in network.weights}

  def assets(self, folder: pathlib.Path, config: str) -> list[tf.saved_model.Asset]:
    """Writes `config.gin` and `feature.json`, a description of f, into a folder; returns them as assets."""
    (folder / "config.gin").write_text(config, encoding="utf-8")
    (folder / "feature.json").write_text(json.dumps(self._description(), indent=2) + "\n", encoding="utf-8")
    return [tf.saved_model.Asset(str(folder / name)) for name in ("config.gin", "feature.json")]

  def _description(self) -> dict:
    """What a client needs to know of each input `feature…`, by the input's name."""
    names = self.feature_names()
    return {
      name: {
        "feature": part.get_config()["name"],
        "kind": part.kind,
        "dtype": part.served.dtype.name,
        "shape": part.served.shape.as_list(),
        **({"classes": classes} if (classes := self._class_names_of(part)) else {}),
      }
      for name, part in zip(names, self._model.feature.parts)
    }

  def _class_names_of(self, part) -> list[str]:
    """The names of the classes of a part, in the order of their numbers; none of one that has no classes."""
    if part.kind != DISCRETE:
      return []
    return list(self._class_names.get(part.column) or (map(str, range(part.width)) if part.width > 1 else ()))

  def feature_names(self) -> list[str]:
    """The name of the input and output of each part of f: of "hair colour" it is `feature_hair_colour`.

    TensorFlow can export no names with other characters than these.
    """
    names = [f"feature_{re.sub('[^A-Za-z0-9_]', '_', name)}" for name in self._model.feature.part_names]
    unique = [name if names.count(name) == 1 else f"{name}_{number}" for number, name in enumerate(names, 1)]
    return ["feature"] if len(names) == 1 else unique

  def signatures(self, names: Collection[str] | None = None) -> dict[str, Callable]:
    """The signatures as traced functions, by their names.

    Args:
      names: which of them to trace; None is all. Those that the model does not have are left out.
    """
    model = self._model
    image = tf.TensorSpec([None, *model.image_shape], tf.uint8, name="image")
    feature_image = tf.TensorSpec([None, *model.image_shape], tf.uint8, name="feature_image")
    encoded = tf.TensorSpec([None], tf.string, name="image_bytes")
    seed = tf.TensorSpec([None], tf.int64, name="seed")
    z1 = tf.TensorSpec([None, model.z1_width], name="z1")
    features = [
      tf.TensorSpec(part.served.shape, part.served.dtype, name=name)
      for name, part in zip(self.feature_names(), model.feature.parts)
    ]

    decode = functools.partial(decode_images, shape=model.image_shape, background=self._background)
    decode = tf.function(decode, [encoded], autograph=False)  # one for two signatures: it takes seconds to trace

    def encode_png(image_bytes):
      return self._encode(decode(image_bytes))

    def control_png(image_bytes, *features):
      image = self._control(decode(image_bytes), *features)["image"]
      return {"image_bytes": tf.map_fn(tf.io.encode_png, image, fn_output_signature=tf.string)}

    reading = {"reconstruct": (self._reconstruct, [image]), "fuse": (self._fuse, [image, feature_image])}
    functions = {
      "encode": (self._encode, [image]),
      **(reading if self._can_read_z2 else {}),
      "control": (self._control, [image, *features]),
      "serving_default": (self._control, [image, *features]),
      "generate": (self._generate, [seed, *features]),
      "encode_png": (encode_png, [encoded]),
      "control_png": (control_png, [encoded, *features]),
    }
    if names is not None and "decode" in names:  # a format asks for it, and a server has no use for it
      functions["decode"] = (self._decode_z1, [z1, *features])
    return {
      name: tf.function(self._guard(function, specs)).get_concrete_function(*map(self._taken, specs))
      for name, (function, specs) in functions.items()
      if names is None or name in names
    }

  def _encode(self, image):
    x, count = self._to_float(image), tf.shape(image)[0]
    q_z1 = self._model.posterior_z1(x)
    outputs = {"z1_mean": q_z1.mean(), "z1_stddev": q_z1.stddev(), **self._read_features(q_z1.mean(), x)}
    return {name: output[:count] for name, output in outputs.items()}

  def _reconstruct(self, image):
    x, count = self._to_float(image), tf.shape(image)[0]
    z1 = self._model.posterior_z1(x).mean()
    return {"image": self._decode(z1, self._model.read_z2(z1, x))[:count]}

  def _fuse(self, image, feature_image):
    image, feature_image = batches.check_same_count(
      "there must be as many feature images as images", image, feature_image
    )
    x, x_partner, count = self._to_float(image), self._to_float(feature_image), tf.shape(image)[0]
    z2_partner = self._model.read_z2(self._model.posterior_z1(x_partner).mean(), x_partner)
    return {"image": self._decode(self._model.posterior_z1(x).mean(), z2_partner)[:count]}

  def _control(self, image, *features):
    image, *features = batches.check_same_count("there must be as many features as images", image, *features)
    x, count = self._to_float(image), tf.shape(image)[0]
    return {"image": self._decode(self._model.posterior_z1(x).mean(), self._z2_of(features))[:count]}

  def _decode_z1(self, z1, *features):
    return {"image": self._decode(z1, self._z2_of(features))}

  def _generate(self, seed, *features):
    seed, _ = batches.check_same_count("there must be as many seeds as features", seed, features[0])
    z2, count = self._z2_of(features), tf.shape(seed)[0]
    z1 = codes.prior_noise(self._pad(seed), self._model.z1_width)
    return {"image": self._decode(z1, z2)[:count]}

  def _decode(self, z1, z2):
    """x' [B, H, W, C] as the format gives images."""

    def decode(z1, z2):
      return self._given(self._model.decode(z1, z2))

    if not self._piece:
      return decode(z1, z2)
    return batches.in_pieces(decode, z1, z2, size=self._piece, row=tf.TensorSpec(self._model.image_shape, tf.uint8))

  def requests(self) -> dict[str, dict[str, np.ndarray]]:
    """A request of one example for each signature, as arrays by the names of its inputs."""
    image = np.zeros([1, *self._model.image_shape], np.uint8)
    image_bytes = np.array([tf.io.encode_png(image[0]).numpy()], object)
    features = {
      name: np.zeros([1, *part.served.shape[1:]], part.served.dtype.as_numpy_dtype)
      for name, part in zip(self.feature_names(), self._model.feature.parts)
    }
    reading = {"reconstruct": {"image": image}, "fuse": {"image": image, "feature_image": image}}
    return {
      "encode": {"image": image},
      **(reading if self._can_read_z2 else {}),
      "control": {"image": image, **features},
      "serving_default": {"image": image, **features},
      "generate": {"seed": np.zeros(1, np.int64), **features},
      "encode_png": {"image_bytes": image_bytes},
      "control_png": {"image_bytes": image_bytes, **features},
    }

  def _to_float(self, image: tf.Tensor) -> tf.Tensor:
    """Images uint8 [B, H, W, C] as float32 in [0, 1]; an empty batch is padded."""
    return tf.image.convert_image_dtype(self._pad(image), tf.float32)

  def _z2_of(self, features: Sequence[tf.Tensor]) -> tf.Tensor:
    """z̃2 [B, Z2] of each part's feature in its natural form; an empty batch is padded."""
    features = batches.check_same_count("there must be as many of one feature as of another", *features)
    for value in features:
      if value.dtype.is_floating:
        is_finite = tf.reduce_all(tf.abs(value) <= value.dtype.max)
        tf.debugging.Assert(is_finite, ["a feature is NaN or infinite"])
    parts = zip(self._model.feature.parts, map(self._check_classes, self._model.feature.parts, features))
    f = tf.concat([part.of_served(self._pad(value)) for part, value in parts], 1)
    f.set_shape([None, self._model.feature.width])
    return self._model.mean_z2(f)

  def _check_classes(self, part, value: tf.Tensor) -> tf.Tensor:
    """Labels that are in range; others are refused with the names of all classes."""
    names = self._class_names_of(part)
    if not names or not value.dtype.is_integer:
      return value
    listed = ", ".join(f"{code} is {name}" for code, name in enumerate(names))
    words = f"labels lie in 0 to {len(names) - 1}" + (f": {listed}" if part.column in self._class_names else "")
    return checked(value, tf.reduce_all((value >= 0) & (value < len(names))), words)

  def _read_features(self, z1: tf.Tensor, x: tf.Tensor) -> dict[str, tf.Tensor]:
    """f(x) of images, [B, the part's width] by the output's name; a part that cannot be read is left out."""
    parts = zip(self.feature_names(), self._model.feature.parts, self._model.codes, self._model.variational_z2(z1, x))
    values = {}
    for name, part, code, q in parts:
      if part.has_pixels:
        values[name] = part.of_image(x)
      elif q is not None and not code.learned:
        values[name] = code.probabilities(q)
    return values


def _to_uint8(x: tf.Tensor) -> tf.Tensor:
  """Images in [0, 1] as uint8."""
  return tf.cast(tf.clip_by_value(tf.round(x * 255), 0, 255), tf.uint8)
