"""Networks that judge images: trained on real images, or on fusions, but never together with a model.

The *oracle* reads a class, the *estimator* an angle or a number; the *extractor* gives the features of FID and KID.
They are trained once on the `train` split of a data set and kept in the cache, `$TFDISENT_CACHE` or
`~/.cache/tfdisent`. Their architectures differ from every network of the model (4x4 convolutions of stride 2), and so
do their seeds. The *plain VAE*, with which a model's leakage is compared, is kept there as well.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from absl import logging
from sklearn.preprocessing import StandardScaler

from tfdisent.cache import cache_folder
from tfdisent.data.batches import image_reader, training_batches
from tfdisent.data.dataset import Dataset, Examples, fingerprint
from tfdisent.evaluation.probes import ProbeData, is_classes
from tfdisent.inference import TrainedModel, fresh_model
from tfdisent.model.objective import Objective

ORACLE_SEED, EXTRACTOR_SEED, VAE_SEED = 1_000_003, 2_000_003, 3_000_017
BATCH_SIZE = 128
CROSS_ENTROPY = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}


class _CachedJudge:
  """A network that reads a column from real images, trained once on the `train` split of a data set.

  Args:
    dataset: its `train` split is learned, or that of `unbiased`, where it has one: a judge that learned from correlated
      properties would tell one by the other.
    what: is read: a column, or the name of what `values` gives.
    epochs: of training, should there be none in the cache.
    values: from examples to what is read of them, [N] or [N, K]; None for the column `what`.
  """

  name: str
  seed: int

  def __init__(self, dataset: Dataset, what: str, epochs: int, values: Callable[[Examples], np.ndarray] | None = None):
    train = (dataset.unbiased or dataset).train
    outputs, target, loss = self._task(values(train) if values else train[what])
    count = len(target)
    rounds = max(1, round(20_000 / count))  # a small set is seen as often as a large one
    epochs *= rounds
    steps = epochs * max(1, count // BATCH_SIZE)
    self._network = self._make(dataset.image_shape, outputs)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    recipe = {"optimizer": keras.optimizers.serialize(optimizer), "loss": loss, "seed": self.seed}
    recipe |= {"steps": steps, "batch_size": BATCH_SIZE}

    def fit():
      self._network.compile(optimizer, loss=keras.losses.get(loss), jit_compile=False)
      read, targets = image_reader(train["image"]), tf.constant(target)
      batches = (
        tf.data.Dataset.range(count)
        .shuffle(count, self.seed)
        .batch(BATCH_SIZE, drop_remainder=count >= BATCH_SIZE)
        .map(lambda rows: (read(rows), tf.gather(targets, rows)))
        .repeat(rounds)
      )
      verbose = 1 if sys.stdout.isatty() else 0
      self._network.fit(batches.prefetch(2), epochs=epochs // rounds, shuffle=False, verbose=verbose)

    _keep(
      self._network,
      self.name,
      fit,
      f"the {self.name} of {what}, a judge of the evaluation, on {count} real images",
      {"image": train["image"], "target": target},
      recipe,
    )

  def _task(self, values: np.ndarray):
    """How many outputs there are, what they learn from `values`, and their loss; here, a class [N]."""
    return int(values.max()) + 1, values, CROSS_ENTROPY


def _keep(
  network: keras.Model, name: str, fit: Callable[[], None], what: str, learned: Examples, recipe: Mapping
) -> None:
  """Gives a network the weights of the cache; where there are none, those that `fit` leaves it with, and keeps them.

  They are kept under a hash of all that they depend on: a judge that learned from wrong labels, or by another recipe,
  is not used any more once those are corrected.

  Args:
    network: with all of its weights.
    name: the first part of the file's.
    fit: trains the network.
    what: is trained, for the line that says so.
    learned: the columns that it learns from.
    recipe: how it learns them, as what JSON can hold.
  """
  cache = cache_folder()
  image = learned["image"]
  file_of_image = os.stat(image.filename) if getattr(image, "filename", None) else None  # read in part by `fingerprint`
  depends_on = {
    "network": [network.get_config(), [list(weight.shape) for weight in network.weights]],
    "data": fingerprint(learned),
    "file": file_of_image and [file_of_image.st_size, file_of_image.st_mtime_ns],
    "recipe": recipe,
    "keras": keras.__version__,
  }
  depends_on = json.loads(json.dumps(depends_on), object_hook=_without_name)
  key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
  file = cache / f"{name}-{key}.weights.h5"
  if file.is_file():
    try:
      network.load_weights(file)
      return
    except (OSError, ValueError, KeyError, RuntimeError) as error:
      logging.warning("%s cannot be read (%s); it is made again.", file, error)
  print(f"Training {what}; it is kept in {cache}.", flush=True)
  fit()
  cache.mkdir(parents=True, exist_ok=True)
  with tempfile.TemporaryDirectory(dir=cache) as folder:  # and renamed: another process may be at it, too
    network.save_weights(pathlib.Path(folder) / file.name)
    os.replace(pathlib.Path(folder) / file.name, file)


def _without_name(config: dict) -> dict:
  """A part of a Keras config without the name, in which Keras counts the objects that the process has made.

  The name of a type, {"name": "float32"}, stays.
  """
  return config if len(config) == 1 else {key: value for key, value in config.items() if key != "name"}


class Oracle(_CachedJudge):
  """A classifier of real images, used as a judge.

  Three 3x3 convolutions with batch normalisation and pooling, and dropout; none of the model's networks has those.
  """

  name, seed = "oracle", ORACLE_SEED

  def __init__(self, dataset: Dataset, column: str = "label", epochs: int = 6):
    super().__init__(dataset, column, epochs)

  def _make(self, image_shape, classes):
    return keras.Sequential(
      [keras.Input(image_shape), *_convolutions(ORACLE_SEED), *_head(classes, ORACLE_SEED)], name="oracle"
    )

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """The class of each image, [N], from uint8 [N, H, W, C]."""
    return np.argmax(self._network.predict(image, batch_size=500, verbose=0), axis=1)


class Estimator(_CachedJudge):
  """An oracle of an angle or of numbers: of the same convolutions.

  Args:
    dataset, what, values: as of `_CachedJudge`.
    turn: of angles, a full turn in their unit; 0 for numbers.
    epochs: of training, should there be none in the cache.
  """

  name, seed = "estimator", ORACLE_SEED

  def __init__(
    self,
    dataset: Dataset,
    what: str,
    turn: float = 0.0,
    values: Callable[[Examples], np.ndarray] | None = None,
    epochs: int = 12,
  ):
    self._turn = turn
    super().__init__(dataset, what, epochs, values)

  def _task(self, values):
    values = values.astype(np.float32)
    if self._turn:
      theta = values * np.float32(2 * np.pi / self._turn)
      return 2, np.stack([np.cos(theta), np.sin(theta)], 1), "mse"
    self._shape = values.shape[1:]
    values = values.reshape(len(values), -1)
    self._mean, self._scale = values.mean(0), np.maximum(values.std(0), 1e-6)
    return values.shape[1], (values - self._mean) / self._scale, "mse"

  def _make(self, image_shape, outputs):
    layers = [keras.Input(image_shape), *_convolutions(ORACLE_SEED), *_head(outputs, ORACLE_SEED, dropout=0.0)]
    return keras.Sequential(layers, name="estimator")

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """The angle [N] or the numbers [N] or [N, K] of each image, in their unit, from uint8 [N, H, W, C]."""
    read = self._network.predict(image, batch_size=500, verbose=0)
    if self._turn:
      return np.arctan2(read[:, 1], read[:, 0]) * (self._turn / (2 * np.pi))
    return (read * self._scale + self._mean).reshape(-1, *self._shape)


class FIDExtractor(_CachedJudge):
  """The features of FID and KID: the last hidden layer, of 64 in units of their spread, of a classifier of real images.

  Inception, trained on photographs, has little to say of digits: an extractor of their own domain is the honest choice,
  and its figures compare with no others. Two 5x5 convolutions with pooling, then a dense layer.
  """

  name, seed = "fid-extractor-conv5x2-dense64", EXTRACTOR_SEED

  def __init__(self, dataset: Dataset, column: str = "label", epochs: int = 3):
    super().__init__(dataset, column, epochs)
    self._features = keras.Model(self._network.inputs, self._network.layers[-2].output)

  def _make(self, image_shape, classes):
    layers, seeds = keras.layers, keras.random.SeedGenerator(EXTRACTOR_SEED)
    initializer = lambda: keras.initializers.GlorotUniform(seed=seeds)  # noqa: E731
    return keras.Sequential(
      [
        keras.Input(image_shape),
        layers.Rescaling(1 / 255),
        *(
          layer
          for channels in (16, 32)
          for layer in (
            layers.Conv2D(channels, 5, padding="same", activation="elu", kernel_initializer=initializer()),
            layers.MaxPooling2D(padding="same"),
          )
        ),
        layers.Flatten(),
        layers.Dense(64, activation="elu", kernel_initializer=initializer()),
        layers.BatchNormalization(center=False, scale=False),
        layers.Dense(classes, kernel_initializer=initializer()),
      ],
      name="fid_extractor",
    )

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """Features float32 [N, 64] of uint8 [N, H, W, C]."""
    return self._features.predict(image, batch_size=500, verbose=0)


def plain_vae(model: TrainedModel, dataset: Dataset, epochs: int = 3) -> TrainedModel:
  """A VAE with the E1 and G of `model`, whose z2 is nothing: what z1 tells of f when nobody asked it not to.

  It is trained on L_VAE alone, on the `train` split, for so many epochs (of at least 20,000 images), and kept in the
  cache.
  """
  config = model.model.get_config()
  config |= {"objective": _plain(model.model.objective), "precision": "float32", "seed": VAE_SEED}
  count = len(dataset.train["image"])
  batch_size = min(BATCH_SIZE, count - count % 2)
  steps = epochs * max(1, round(20_000 / count)) * (count // batch_size)
  vae = fresh_model(config, VAE_SEED)
  optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))
  recipe = {"optimizer": keras.optimizers.serialize(optimizer), "steps": steps, "batch_size": batch_size}

  def fit():
    vae.compile(optimizer, keras.optimizers.Adam())
    f = np.zeros([count, model.feature.width], np.float32)
    vae.fit(training_batches(dataset.train, f, batch_size, VAE_SEED), steps_per_epoch=steps, shuffle=False, verbose=0)

  what = f"a plain VAE, a control of the evaluation, on {count} images"
  _keep(vae, "plain-vae", fit, what, {"image": dataset.train["image"]}, recipe)
  return TrainedModel(vae)


def _plain(objective: Objective) -> dict[str, Any]:
  """The arguments of an objective of which L_VAE alone, with λ1 and λ2, is left."""
  arguments = dataclasses.asdict(objective)
  others = [name for name in arguments if name.startswith("lambda") and name not in ("lambda1", "lambda2")]
  return {**arguments, **dict.fromkeys(others, 0.0)}


# --- Networks that are trained on fusions, once the model is frozen ---------------------------------------------------


def read_images(
  image: ProbeData, target: ProbeData, seed: int = 0, z1: ProbeData | None = None, epochs: int = 15
) -> np.ndarray:
  """What a new network of the oracle's kind reads from images: a probe of images.

  It is trained on "fit" and stops early by its loss on "select".

  Args:
    image: uint8 [N, H, W, C] for each role.
    target: int classes [N] for each role, or float [N, K].
    seed: of the network.
    z1: float [N, Z] for each role, given to the network beside the image; None for none.
    epochs: at most so many.

  Returns:
    Of "score": logits [N, classes], of all classes up to the largest of "fit"; or the numbers [N, K].
  """
  classes = is_classes(target["fit"])
  unit = None if classes else StandardScaler().fit(target["fit"])
  target = {role: y if classes else unit.transform(y).astype(np.float32) for role, y in target.items()}
  inputs, given = [keras.Input(image["fit"].shape[1:])], {role: [x] for role, x in image.items()}
  h = inputs[0]
  for layer in _convolutions(seed, momentum=0.9):  # a short training
    h = layer(h)
  if z1 is not None:
    scaler = StandardScaler().fit(z1["fit"])
    given = {role: [*arrays, scaler.transform(z1[role]).astype(np.float32)] for role, arrays in given.items()}
    inputs.append(keras.Input(z1["fit"].shape[1:]))
    h = keras.layers.Concatenate()([keras.layers.Flatten()(h), inputs[1]])
    h = keras.layers.Dense(128, "swish", kernel_initializer=keras.initializers.HeNormal(seed))(h)
  outputs = int(target["fit"].max()) + 1 if classes else target["fit"].shape[1]
  for layer in _head(outputs, seed, dropout=0.4 if classes else 0.0):
    h = layer(h)
  network = keras.Model(inputs, h)
  network.compile(
    keras.optimizers.Adam(2e-3),
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classes else "mse",
    jit_compile=False,
  )
  known = np.isin(target["select"], target["fit"]) if classes else slice(None)
  batches = _dataset([*given["fit"], target["fit"]]).shuffle(len(target["fit"]), seed).repeat().batch(128)
  network.fit(
    batches.prefetch(2),
    epochs=epochs,
    steps_per_epoch=max(50, len(target["fit"]) // 128),
    validation_data=_dataset([values[known] for values in (*given["select"], target["select"])]).batch(500),
    shuffle=False,  # they are already
    callbacks=[
      keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=1),
      keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True),
    ],
    verbose=0,
  )
  read = network.predict(given["score"], batch_size=500, verbose=0)
  return read if classes else unit.inverse_transform(read)


def _dataset(arrays):
  return tf.data.Dataset.from_tensor_slices((tuple(arrays[:-1]), arrays[-1]))


def _convolutions(seed: int, momentum: float = 0.99) -> list[Callable]:
  """Three 3x3 convolutions with batch normalisation and pooling, of images in [0, 255]."""
  layers, seeds = keras.layers, keras.random.SeedGenerator(seed)
  return [
    layers.Rescaling(1 / 255),
    *(
      layer
      for channels in (16, 32, 64)
      for layer in (
        layers.Conv2D(
          channels, 3, padding="same", use_bias=False, kernel_initializer=keras.initializers.HeNormal(seed=seeds)
        ),
        layers.BatchNormalization(momentum=momentum),
        layers.Activation("swish"),
        layers.MaxPooling2D(padding="same"),
      )
    ),
  ]


def _head(outputs: int, seed: int, dropout: float = 0.4) -> list[Callable]:
  layers = keras.layers
  return [
    layers.Flatten(),
    layers.Dropout(dropout, seed=seed),
    layers.Dense(outputs, kernel_initializer=keras.initializers.HeNormal(seed=seed)),
  ]
