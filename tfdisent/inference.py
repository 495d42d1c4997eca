"""Using a trained model: NumPy in, NumPy out."""

import json
import pathlib
import random
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdisent import checkpoints, codes, plugins
from tfdisent.checkpoints import Checkpoint
from tfdisent.data.dataset import check_images
from tfdisent.errors import DataError, RunError, TfdisentError
from tfdisent.model.vae import DisentangledVAE
from tfdisent.run import CLASS_NAMES_FILE, FEATURE_EXAMPLES_FILE, MODEL_FILE, write


class Encoding(NamedTuple):
  """What `TrainedModel.encode` reads from images."""

  z1_mean: np.ndarray
  """Mean of q(z1 | x), float32 [B, Z1]."""
  z1_stddev: np.ndarray
  """Standard deviation of q(z1 | x), float32 [B, Z1]."""
  feature: np.ndarray
  """f(x) in its natural form.

  Computed from the pixels where f can be, else the most likely value under q(z̃2 | z1, x). Where f has several parts, a
  dict of them.
  """


class TrainedModel:
  """A trained model, for any number of images.

  Images are uint8 [B, H, W, C] or float [B, H, W, C] in [0, 1], and come back in the kind they came in. A feature is in
  its natural form: int labels [B], colours [B, 3] in [0, 1], angles [B] in radians, … (see `Feature.to_vector`); where
  it has several parts, a dict of them: {"digit_label": [B], "color": [B, 3]}.

  Args:
    model: a model with its weights.
    batch_size: how many images the networks see at once.
    class_names: what the classes of a column of the data set are called, in the order of their numbers.
    checkpoint: which weights of its run it has; None where they are of no run.
  """

  def __init__(
    self,
    model: DisentangledVAE,
    batch_size: int = 500,
    class_names: Mapping[str, Sequence[str]] | None = None,
    checkpoint: Checkpoint | None = None,
  ):
    self.model = model
    self.batch_size = batch_size
    self.class_names = dict(class_names or {})
    self.checkpoint = checkpoint
    image = tf.TensorSpec([None, *model.image_shape])
    z1, z2, f = (
      tf.TensorSpec([None, model.z1_width]),
      tf.TensorSpec([None, model.z2_width]),
      tf.TensorSpec([None, model.feature.width]),
    )

    def encode(x):
      q = model.posterior_z1(x)
      return q.mean(), q.stddev()

    self._encode = tf.function(encode, input_signature=[image])
    self._prior = tf.function(
      lambda seed: codes.prior_noise(seed, model.z1_width), input_signature=[tf.TensorSpec([None], tf.int64)]
    )
    self._mean_z2 = tf.function(model.mean_z2, input_signature=[f])
    self._generate = tf.function(model.decode, input_signature=[z1, z2])
    self._read_f = tf.function(model.read_f, input_signature=[z1, image])
    self._read_z2 = tf.function(model.read_z2, input_signature=[z1, image])

  @property
  def feature(self):
    """f."""
    return self.model.feature

  @property
  def image_shape(self) -> tuple[int, int, int]:
    """(H, W, C)."""
    return self.model.image_shape

  def untrained(self, seed: int = 0) -> "TrainedModel":
    """A model of the same architecture with fresh weights: what a figure is without any training."""
    return TrainedModel(fresh_model(self.model.get_config(), seed), self.batch_size)

  def encode(self, images: np.ndarray) -> Encoding:
    """The posterior of z1 and the feature of `images`.

    Raises:
      DataError: images of another shape or range; as every method does.
      FeatureError: f is neither a function of pixels nor read by q; as `fuse` and `reconstruct` do.
    """
    x = self._images(images)
    mean, stddev = self.encode_z1(x)
    return Encoding(mean, stddev, self.feature.to_natural(self._f_of(x, mean)))

  def reconstruct(self, images: np.ndarray) -> np.ndarray:
    """x' = G(z1, z2), with z1 the mean of q(z1 | x) and z2 that of q(z2 | f(x))."""
    x = self._images(images)
    z1, _ = self.encode_z1(x)
    return _like(images, self.decode(z1, self._z2_of(x, z1)))

  def fuse(self, images: np.ndarray, feature_images: np.ndarray) -> np.ndarray:
    """x̂ = G(z1, z̃2): each of `images` with the feature of the image at the same place in `feature_images`.

    Where f cannot be computed from pixels (a label), z̃2 is the most likely code under q(z̃2 | z1, x̃).
    """
    x, x_partner = self._images(images), self._images(feature_images, "feature_images")
    _same_length(x, x_partner, "images", "feature_images")
    z1, _ = self.encode_z1(x)
    z2_partner = self._z2_of(x_partner, self.encode_z1(x_partner)[0])
    return _like(images, self.decode(z1, z2_partner))

  def control(self, images: np.ndarray, feature: np.ndarray) -> np.ndarray:
    """x̂ = G(z1, z̃2): each of `images` with the feature at the same place in `feature`.

    Of a feature with several parts, those that `feature` does not name stay what they are in the image.
    """
    x = self._images(images)
    z1, _ = self.encode_z1(x)
    own = None
    if isinstance(feature, Mapping) and len(feature) < len(self.feature.parts):
      own = self.feature.to_natural(self._f_of(x, z1))
    f = self.feature.to_vector(feature if own is None else {**own, **feature})
    _same_length(x, f, "images", "feature")
    return _like(images, self.decode(z1, self.encode_z2(f)))

  def generate(self, feature: np.ndarray, seed: int | np.ndarray = 0) -> np.ndarray:
    """New images with `feature`, uint8 [B, H, W, C]; z1 is drawn from its prior N(0, I).

    Args:
      feature: f(x) in its natural form.
      seed: of each image, int [B]: the same seed with the same feature gives the same image, whatever is beside it, and
        the exported `generate` gives it, too. An int is the seed of the first image, and those of the others are drawn
        with it: no two images share a z1, and the same int gives the same images.
    """
    f = self.feature.to_vector(feature)
    z1 = self._prior(_seeds(seed, len(f))).numpy()
    return to_uint8(self.decode(z1, self.encode_z2(f)))

  # --- Codes ----------------------------------------------------------------------------------------------------------

  def encode_z1(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of q(z1 | x), float32 [B, Z1] each."""
    return self._batched(self._encode, self._images(images))

  def sample_z1(self, images: np.ndarray, seed: int = 0) -> np.ndarray:
    """Fresh samples of q(z1 | x), float32 [B, Z1]."""
    mean, stddev = self.encode_z1(images)
    return mean + stddev * tf.random.stateless_normal(mean.shape, [seed, 1]).numpy()

  def encode_z2(self, f: np.ndarray) -> np.ndarray:
    """The mean of q(z2 | f(x)), float32 [B, Z2], from f(x) as vectors [B, width]."""
    return self._batched(self._mean_z2, f)

  def decode(self, z1: np.ndarray, z2: np.ndarray) -> np.ndarray:
    """G(z1, z2), float32 [B, H, W, C] in [0, 1], from codes [B, Z1] and [B, Z2]."""
    return self._batched(self._generate, z1, z2)

  def _f_of(self, x, z1):
    self.model.check_reading(of_f=True)  # here: an error in a traced function is hard to read
    return self._batched(self._read_f, z1, x)

  def _z2_of(self, x, z1):
    self.model.check_reading()
    return self._batched(self._read_z2, z1, x)

  def _batched(self, function, *arrays):
    if not len(arrays[0]):  # TensorFlow's fused convolutions fail on no images: one is let through, and left out
      one = function(*(np.zeros([1, *array.shape[1:]], np.float32) for array in arrays))
      return tf.nest.map_structure(lambda a: np.asarray(a)[:0], one)
    starts = range(0, len(arrays[0]), self.batch_size)
    parts = [function(*(array[start : start + self.batch_size] for array in arrays)) for start in starts]
    return tf.nest.map_structure(lambda *p: np.concatenate([np.asarray(a) for a in p]), *parts)

  def _images(self, images, what="images"):
    """float32 [B, H, W, C] in [0, 1]."""
    images = np.asarray(images)
    check_images(images, what)
    if images.shape[1:] != self.image_shape:
      raise DataError(
        f"{what} have the shape {list(images.shape[1:])}, and the model was trained on {list(self.image_shape)}."
      )
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images.astype(np.float32)


def fresh_model(config: Mapping, seed: int) -> DisentangledVAE:
  """A model of a `get_config`, with initial weights that follow `seed`.

  Keras draws the seeds of initial weights from Python's `random`. Its state is put back, so that the random numbers of
  the caller stay as they are.
  """
  state = random.getstate()
  random.seed(seed)
  try:
    return DisentangledVAE.from_config(config)
  finally:
    random.setstate(state)


def load(run_dir: str, which: str = "best", trust: Sequence[str] = ()) -> TrainedModel:
  """The model of a run folder, with nothing but that folder.

  No code of the folder's is run: it holds numbers and texts, and may import known plug-ins alone.

  Args:
    run_dir: what `--run_dir` was in training.
    which: "best" (on validation) or "last".
    trust: packages that it may import besides; see `tfdisent.plugins.check_import`.

  Raises:
    RunError: the folder holds no trained model.
    ConfigError: it asks for a plug-in that is not known.
    CheckpointError: none of its checkpoints can be read.
  """
  run_dir = pathlib.Path(run_dir)
  file = run_dir / MODEL_FILE
  if not file.is_file():
    raise RunError(
      f"{run_dir} holds no trained model: there is no {MODEL_FILE} in it. "
      f"Train one with `tfdisent --gin_file=… --run_dir={run_dir}`."
    )
  try:
    description = json.loads(file.read_text(encoding="utf-8"))
    plugins.check_model(description, str(file), trust)
    model = DisentangledVAE.from_config(description)
    names = run_dir / CLASS_NAMES_FILE
    class_names = dict(json.loads(names.read_text(encoding="utf-8"))) if names.is_file() else {}
  except TfdisentError:
    raise
  except (
    ValueError,
    KeyError,
    TypeError,
    AttributeError,
  ) as error:  # not UTF-8, not JSON; something is missing; it is of another kind
    raise RunError(
      f"{file} is damaged ({error}). Start the training again with the same command to write it anew."
    ) from error
  checkpoint = checkpoints.restore(run_dir, which, model=model)
  return TrainedModel(model, class_names=class_names, checkpoint=checkpoint)


def save_feature_examples(run_dir: pathlib.Path, f: np.ndarray) -> None:
  """Keeps some values of f [K, width] in a run folder: what the columns of its samples show."""
  write(run_dir / FEATURE_EXAMPLES_FILE, json.dumps(f.tolist()))


def load_feature_examples(run_dir: pathlib.Path) -> np.ndarray:
  """What `save_feature_examples` kept.

  Raises:
    RunError: nothing was kept: the training has not ended.
  """
  try:
    return np.array(json.loads((run_dir / FEATURE_EXAMPLES_FILE).read_text(encoding="utf-8")), np.float32)
  except (OSError, json.JSONDecodeError) as error:
    raise RunError(
      f"{run_dir} does not say which features to sample ({error}): its training has not ended. "
      "Run the same training command again."
    ) from error


def to_uint8(image: np.ndarray) -> np.ndarray:
  """Images in [0, 1] as uint8, rounded."""
  return np.rint(image * 255).astype(np.uint8)


def _like(images, x):
  dtype = np.asarray(images).dtype
  return to_uint8(x) if dtype == np.uint8 else x.astype(dtype)


def _seeds(seed, count: int) -> np.ndarray:
  """int64 [count]: as they are, or of one seed, and of others that are drawn with it."""
  seed = np.asarray(seed)
  if not np.can_cast(seed.dtype, np.int64) or seed.shape not in ((), (count,)):
    raise DataError(f"seed is an int of 64 bits, or one for each of the {count} images, not {seed.dtype} {seed.shape}.")
  if seed.ndim:
    return seed.astype(np.int64)
  seeds = tf.random.stateless_uniform([count], [seed, 0], None, None, tf.int64).numpy()
  seeds[:1] = seed
  return seeds


def _same_length(a, b, a_name, b_name):
  if len(a) != len(b):
    raise DataError(f"{a_name} and {b_name} must be of the same length, not {len(a)} and {len(b)}.")
