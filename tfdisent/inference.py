"""A trained model in use: NumPy arrays in, NumPy arrays out."""

import json
import pathlib
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from tfdisent import codes
from tfdisent.arguments import checked_methods
from tfdisent.checkpoints import Checkpoint, weights_of
from tfdisent.data.batches import joined
from tfdisent.data.dataset import check_images
from tfdisent.data.pixels import WHITE, read_images, to_uint8
from tfdisent.errors import DataError, FeatureError
from tfdisent.feature.contract import Feature
from tfdisent.feature.naming import natural_values
from tfdisent.hardware import batch_size_for
from tfdisent.model.graphs import in_graph
from tfdisent.model.vae import DisentangledVAE

Natural = ArrayLike | Mapping[str, ArrayLike]
"""A feature in its natural form, as a user gives it: values, one value for all images, names, or a dict of these."""


class Encoding(NamedTuple):
  """What `TrainedModel.encode` gives."""

  z1_mean: np.ndarray
  """Mean of q(z1 | x), float32 [B, Z1]."""
  z1_stddev: np.ndarray
  """Standard deviation of q(z1 | x), float32 [B, Z1]."""
  feature: np.ndarray | dict[str, np.ndarray]
  """f(x) in its natural form; where f has several parts, a dict of them by their names.

  It is computed from the pixels where f is a function of pixels, else it is the most likely value under q(z̃2 | z1, x).
  """


@checked_methods(
  "encode", "reconstruct", "fuse", "control", "generate", "encode_z1", "sample_z1", "encode_z2", "decode"
)
class TrainedModel:
  """A trained model, for any number of images B.

  Images are uint8 [B, H, W, C], or float [B, H, W, C] in [0, 1]; the images that a method gives have the dtype of those
  that it takes. A file, an image of Pillow, or a list of them are taken as well: they become the pixels that the
  training would have made of them, uint8.

  A feature is in its natural form: int labels [B], colours [B, 3] in [0, 1], angles [B] in radians, … (see
  `Feature.to_vector`). Where f has several parts, a feature is a dict of them by their names:
  {"digit_label": [B], "color": [B, 3]}.

      >>> m = tfdisent.load("glyphs")
      >>> letters = m.generate(["A", "A", "B"], seed=1)  # new images
      >>> letters.shape, str(letters.dtype)
      ((3, 64, 64, 1), 'uint8')
      >>> fusions = m.fuse(letters, letters[::-1])  # each with the letter of another
      >>> asked = m.control(letters, "Q")  # one value for all
      >>> m.encode(asked).z1_mean.shape
      (3, 24)

  Args:
    model: a model with its weights.
    batch_size: of images in one call of the networks, which bounds the memory; None is `hardware.batch_size_for`.
    class_names: the names of the classes by column of the data set, in the order of the labels 0, 1, …
    checkpoint: the checkpoint that the weights are from; None if they are from no run folder.
    background: the colour that transparent pixels of files are composed on: that of the training.
    run_dir: the run folder that the weights are from; None if they are from none.
  """

  def __init__(
    self,
    model: DisentangledVAE,
    batch_size: int | None = None,
    class_names: Mapping[str, Sequence[str]] | None = None,
    checkpoint: Checkpoint | None = None,
    background: tuple[int, int, int] = WHITE,
    run_dir: pathlib.Path | None = None,
  ):
    self.model = model
    self.batch_size = batch_size or batch_size_for(model.image_shape)
    self.class_names = dict(class_names or {})
    self.checkpoint = checkpoint
    self.background = tuple(background)
    self.run_dir = run_dir
    image = tf.TensorSpec([None, *model.image_shape])
    z1, z2, f = (
      tf.TensorSpec([None, model.z1_width]),
      tf.TensorSpec([None, model.z2_width]),
      tf.TensorSpec([None, model.feature.width]),
    )

    def posterior_z1(x):
      q = model.posterior_z1(x)
      return q.mean(), q.stddev()

    self._posterior_z1 = in_graph(posterior_z1, input_signature=[image])
    seeds, prior_noise = tf.TensorSpec([None], tf.int64), lambda seed: codes.prior_noise(seed, model.z1_width)
    self._prior_noise = in_graph(prior_noise, input_signature=[seeds])
    self._mean_z2 = in_graph(model.mean_z2, input_signature=[f])
    self._decode = in_graph(model.decode, input_signature=[z1, z2])
    self._read_f = in_graph(model.read_f, input_signature=[z1, image])
    self._read_z2 = in_graph(model.read_z2, input_signature=[z1, image])

  def __reduce__(self):
    """Lets `pickle` and `copy.deepcopy` keep the description and the weights: functions of a graph cannot be kept."""
    state = {name: value for name, value in vars(self).items() if name != "model" and name not in _GRAPHS}
    weights = {
      symbol: {path: value.numpy() for path, value in of.items()} for symbol, of in weights_of(self.model).items()
    }
    config = json.loads(json.dumps(self.model.get_config()))  # Keras has put its own dicts in place of Python's
    return _remade, (type(self), state, config, weights)

  @property
  def feature(self) -> Feature:
    """The feature f."""
    return self.model.feature

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C) of the images."""
    return self.model.image_shape

  def untrained(self, seed: int = 0) -> "TrainedModel":
    """A model of the same architecture with initial weights that follow `seed`, to compare with."""
    return TrainedModel(fresh_model(self.model.get_config(), seed), self.batch_size)

  def encode(self, images: np.ndarray) -> Encoding:
    """Mean and standard deviation of q(z1 | x), and the feature.

    Raises:
      DataError: `images` have another shape or range. All methods that take images raise it.
      FeatureError: f is neither a function of pixels nor read by q. `reconstruct` and `fuse` raise it, too.
    """
    x, _ = self.as_images(images)
    mean, stddev = self.encode_z1(x)
    return Encoding(mean, stddev, self.feature.to_natural(self._f_of(x, mean)))

  def reconstruct(self, images: np.ndarray) -> np.ndarray:
    """x' = G(z1, z2), with the mean z1 of q(z1 | x) and the mean z2 of q(z2 | f(x)).

    Where f is no function of pixels (a label), z2 is the most likely code under q(z̃2 | z1, x).
    """
    x, as_given = self.as_images(images)
    z1, _ = self.encode_z1(x)
    return as_given(self.decode(z1, self._z2_of(x, z1)))

  def fuse(self, images: np.ndarray, feature_images: np.ndarray) -> np.ndarray:
    """x̂ = G(z1, z̃2): image i of `images` with the feature of image i of `feature_images`.

    z1 is the mean of q(z1 | x) and z̃2 that of q(z2 | f(x̃)), with x̃ from `feature_images`. Where f is no function of
    pixels (a label), z̃2 is the most likely code under q(z̃2 | z1, x̃).

    Raises:
      DataError: the two are not equally many, or as in `encode`.
      FeatureError: as in `encode`.
    """
    (x, as_given), (x_partner, _) = self.as_images(images), self.as_images(feature_images, "feature_images")
    _same_length(x, x_partner, "images", "feature_images")
    z1, _ = self.encode_z1(x)
    z2_partner = self._z2_of(x_partner, self.encode_z1(x_partner)[0])
    return as_given(self.decode(z1, z2_partner))

  def control(self, images: np.ndarray, feature: Natural) -> np.ndarray:
    """x̂ = G(z1, z̃2): image i of `images` with row i of `feature`.

        m.control(images, {"hair": "blond", "age": [20, 40, 60]})

    Args:
      images: x, which give z1.
      feature: f in its natural form. One value stands for all images, and a name of `class_names` for its class. Of
        several parts it may name some alone; the others stay as in the image, and with {} all do.

    Raises:
      DataError: the two are not equally many, or as in `encode`.
      FeatureError: `feature` has a wrong shape or range, has a name that is unknown, or does not name a part that
        cannot be read from the images.
    """
    x, as_given = self.as_images(images)
    z1, _ = self.encode_z1(x)
    feature = natural_values(self.feature, feature, self.class_names, len(x))
    if isinstance(feature, Mapping) and len(feature) < len(self.feature.parts):
      read = self.feature.to_natural(self._f_of(x, z1))
      feature = {**read, **feature} if feature else read
    f = self.feature.to_vector(feature)
    _same_length(x, f, "images", "feature")
    return as_given(self.decode(z1, self.encode_z2(f)))

  def generate(self, feature: Natural, seed: int | Sequence[int] | np.ndarray = 0) -> np.ndarray:
    """New images x̂ = G(z1, z̃2) with `feature`, uint8 [B, H, W, C]; z1 is drawn from its prior N(0, I).

    Args:
      feature: f in its natural form; one value and names as in `control`.
      seed: int [B], one for each image. An image depends on its own seed and its own feature alone, and the exported
        signature `generate` gives the same image. A single int is the seed of the first image, and the seeds of the
        others are drawn from it, so that every image has another z1.

    Raises:
      DataError: `seed` is neither an int of 64 bits nor as many of them as images.
      FeatureError: `feature` has a wrong shape or range.
    """
    feature = natural_values(self.feature, feature, self.class_names, len(seed) if np.ndim(seed) else None)
    if isinstance(feature, Mapping) and not feature:
      raise FeatureError(f"generate must be told the feature: give {{{', '.join(self.feature.part_names)}: …}}.")
    f = self.feature.to_vector(feature)
    z1 = self._prior_noise(codes.seeds_of(seed, len(f))).numpy()
    return to_uint8(self.decode(z1, self.encode_z2(f)))

  # --- Codes ----------------------------------------------------------------------------------------------------------

  def encode_z1(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of q(z1 | x), float32 [B, Z1] each."""
    return self._batched(self._posterior_z1, self.as_images(images)[0])

  def sample_z1(self, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Samples of q(z1 | x) that follow `seed`, float32 [B, Z1]."""
    mean, stddev = self.encode_z1(images)
    return mean + stddev * tf.random.stateless_normal(mean.shape, [seed, 1]).numpy()

  def encode_z2(self, f: np.ndarray) -> np.ndarray:
    """The mean of q(z2 | f(x)), float32 [B, Z2]; f(x) as vectors, float32 [B, width]."""
    return self._batched(self._mean_z2, f)

  def decode(self, z1: np.ndarray, z2: np.ndarray) -> np.ndarray:
    """G(z1, z2), float32 [B, H, W, C] in [0, 1], from codes float32 [B, Z1] and [B, Z2]."""
    return self._batched(self._decode, z1, z2)

  def _f_of(self, x, z1):
    """f(x) of images, float32 [B, width]."""
    self.model.check_reading(of_f=True)  # here: `_read_f` is traced, and errors of a traced function are hard to read
    return self._batched(self._read_f, z1, x)

  def _z2_of(self, x, z1):
    """z2 of images, float32 [B, Z2]."""
    self.model.check_reading()  # here, as in `_f_of`
    return self._batched(self._read_z2, z1, x)

  def _batched(self, function, *arrays):
    """`function` of arrays [B, …], called with `batch_size` rows at a time; its results, joined."""
    if not len(arrays[0]):  # fused convolutions fail on an empty batch: run one dummy image and return 0 rows
      dummy = function(*(np.zeros([1, *array.shape[1:]], np.float32) for array in arrays))
      return tf.nest.map_structure(lambda a: np.asarray(a)[:0], dummy)
    return joined(function, *arrays, size=self.batch_size)

  def as_images(self, images, what="images"):
    """Images as float32 [B, H, W, C] in [0, 1], and a function that gives such images the dtype of these.

    Raises `DataError`, which calls them `what`, if they are wrong.
    """
    try:
      images = np.asarray(read_images(images, self.image_shape, self.background))
    except (ValueError, TypeError) as error:  # NumPy makes no array of lists of unequal images
      raise DataError(f"{what} cannot be read: {error}.") from error
    check_images(images, what)
    if images.shape[1:] != self.image_shape:
      raise DataError(
        f"{what} have the shape {list(images.shape[1:])}, and the model was trained on {list(self.image_shape)}."
      )
    if images.dtype == np.uint8:
      return images.astype(np.float32) / 255, to_uint8
    return np.clip(images.astype(np.float32), 0, 1), lambda x: x.astype(images.dtype)


_GRAPHS = ("_posterior_z1", "_prior_noise", "_mean_z2", "_decode", "_read_f", "_read_z2")


def _remade(cls: type, state: Mapping, config: Mapping, weights: Mapping) -> TrainedModel:
  """What `TrainedModel.__reduce__` has taken apart."""
  model = fresh_model(config, 0)
  for symbol, variables in weights_of(model).items():
    for path, variable in variables.items():
      variable.assign(weights[symbol][path])
  trained = cls.__new__(cls)
  TrainedModel.__init__(trained, model)
  vars(trained).update(state)
  return trained


def fresh_model(config: Mapping, seed: int) -> DisentangledVAE:
  """The model that `config` describes (its `get_config`), with initial weights that follow `seed`.

  Keras draws the seeds of initial weights from Python's `random`, whose state is restored: the caller's stay the same.
  """
  state = random.getstate()
  random.seed(seed)
  try:
    return DisentangledVAE.from_config(config)
  finally:
    random.setstate(state)


def _same_length(a, b, a_name, b_name):
  """Raises `DataError` unless a and b have the same length."""
  if len(a) != len(b):
    raise DataError(f"{a_name} and {b_name} must be of the same length, not {len(a)} and {len(b)}.")
