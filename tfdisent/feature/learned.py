"""Features without a formula: f is a network, trained on real images of which f(x) is known, and then frozen.

A training fits the network first, and keeps it in the run folder. Several runs may share a network that was fitted
before:

    tfdisent --mode=fit_feature --gin_file=my.gin --run_dir=runs/rotation_f
    tfdisent --gin_file=my.gin --gin_param="rotation.fitted = 'runs/rotation_f'" --run_dir=runs/rotation

A continuous f is then used in L_f2. With `objective.feature_loss = 'f2'`, a discrete one is the q* of the paper's
second bound.
"""

import abc
import dataclasses
import json
import pathlib
import sys
import tempfile
import urllib.parse
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from tfdisent import losses, networks, run
from tfdisent.codes import make_code
from tfdisent.console import say
from tfdisent.data.dataset import Dataset
from tfdisent.distribution import Worker
from tfdisent.errors import ConfigError, FeatureError, RunError
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.feature.values import feature_values
from tfdisent.networks import fitting
from tfdisent.paths import expanded


@dataclasses.dataclass(frozen=True)
class LearnedFeature(Feature):
  """f as a network of pixels. A subclass gives `known`: f(x) from columns of the data set.

  Attributes:
    fitted: the folder that `--mode=fit_feature` wrote, its `--run_dir`; None for a network that the training fits
      before it begins. A run that was trained with the feature holds the weights itself, and does not read this folder
      again.
    from_pixels: where the f(x) of an example comes from. False takes `known`. True takes what the network reads in the
      image: choose it where an image shows the known value only roughly. (Handwriting slants, so a digit that was
      turned by 20° may look as if it were turned by 30°.) With the known value, z1 would have to encode how the image
      looks, the 30°, and z1 would then tell most of f(x).
    network: arguments of the network, as {"conv": (16, 32, 64), "dense": (64,)}; None for those of its family. A model
      keeps the network, so a small one makes the model smaller.
  """

  fitted: str | None = dataclasses.field(default=None, kw_only=True, compare=False)
  from_pixels: bool = dataclasses.field(default=False, kw_only=True)
  network: Mapping | None = dataclasses.field(default=None, kw_only=True, compare=False)  # a dict has no hash

  @abc.abstractmethod
  def known(self, example):
    """f(x), float32 [B, width], of a batch of examples from columns of the data set."""

  def of_example(self, example):
    if not self.from_pixels:
      return self.known(example)
    if not len(example["image"]):  # fused convolutions fail on an empty batch
      return tf.zeros([0, self.width])
    return self.of_image(example["image"])

  @property
  def as_known(self) -> "LearnedFeature":
    return dataclasses.replace(self, from_pixels=False) if self.from_pixels else self

  def of_image(self, image):
    outputs = self._network(image)
    return self._q(outputs).mode() if self.kind == DISCRETE else outputs

  def loss_f2(self, x_fusion, f_partner):
    if self.kind == DISCRETE:
      return self.loss_of_outputs(self._network(x_fusion), f_partner)
    return super().loss_f2(x_fusion, f_partner)

  def loss_of_outputs(self, outputs: tf.Tensor, f: tf.Tensor) -> tf.Tensor:
    """-log q*(f | x) [B], up to a constant, of what the network gives for x, [B, width], and f(x) [B, width]."""
    if self.kind == DISCRETE:
      return losses.feature_loss_f1(self._q(outputs), f)
    return losses.feature_loss_f2(outputs, f)

  @property
  def networks(self):
    return {"network": self._network}

  def build(self, image_shape):
    if "_network" in vars(self):
      return
    network = networks.make("f", image_shape, self.width, self.network)
    network(tf.zeros([1, *image_shape]))
    network.trainable = False
    if self.fitted:
      _load(network, expanded(self.fitted), self, image_shape)
    object.__setattr__(self, "_network", network)  # the dataclass is frozen

  def check_fitted(self):
    if not self.fitted:
      raise FeatureError(
        f"feature '{self.name}' is learned, and {self.name}.fitted does not say where its network is. A training "
        "(tfdisent.train) fits it by itself; elsewhere, fit it and bind its folder with",
        f"  tfdisent --mode=fit_feature --gin_file=<the same> --run_dir=runs/{self.name}_f\n"
        f"  --gin_param=\"{self.name}.fitted = 'runs/{self.name}_f'\"",
      )

  def get_config(self):
    config = super().get_config()
    del config["arguments"]["fitted"]  # the checkpoints of a model hold the weights
    if self.network is None:
      del config["arguments"]["network"]  # networks that version 0.1 fitted say nothing of it
    return config

  def _q(self, outputs):
    """q*(f | x) of a discrete f, from what the network gives for x."""
    return make_code(self.code, self.width, self.width).posterior(outputs)

  def __getattr__(self, name):  # Python calls it for attributes that are missing
    if name == "_network":
      raise FeatureError(f"feature '{self.name}' has no network yet: call build(image_shape) first.")
    raise AttributeError(name)


def fit_feature(
  run_dir: str,
  dataset: Dataset,
  feature: LearnedFeature,
  epochs: int = 10,
  batch_size: int = 128,
  learning_rate: float = 1e-3,
  noise: float = 0.0,
  seed: int = 0,
  verbose: int | None = None,
) -> dict[str, float]:
  """Trains the network of a feature on real images, and writes it into a folder.

  The network learns from the split `train`, gets the weights of the epoch with the lowest loss on `probe`, and is
  measured on `validation`.

  Args:
    run_dir: the folder, in which `feature.json` and `feature.weights.h5` are written.
    dataset: has the columns that `feature` reads.
    feature: is built for the images of the data set.
    epochs: passes over `train`.
    batch_size: images in a batch; all of `train` where there are fewer.
    learning_rate: of the first step; it falls along a cosine to 2 % of this.
    noise: standard deviation of the normal noise that is added to the images in [0, 1] that the network learns from.
    seed: of weights, order and noise.
    verbose: of Keras's `fit`; None for a bar in a terminal, and a line for each epoch elsewhere.

  Returns:
    On `validation`, `{"median_error": …, "mean_error": …}` in `feature.unit` for a continuous f, `{"accuracy": …}`, in
    [0, 1], for a discrete one.

  Raises:
    FeatureError: f(x) breaks its contract on the data set.
    RunError: the folder cannot be written.
  """
  folder = pathlib.Path(run_dir)
  try:
    folder.mkdir(parents=True, exist_ok=True)
  except OSError as error:
    raise RunError(f"the folder {folder} cannot be made: {error}.") from error
  f = {split: feature_values(feature.as_known, dataset[split]) for split in ("train", "probe", "validation")}
  keras.utils.set_random_seed(seed)
  feature.build(dataset.image_shape)
  network = feature.networks["network"]
  network.trainable = True
  images = {split: dataset[split]["image"] for split in f}
  batch_size = min(batch_size, len(f["train"]))
  steps = len(f["train"]) // batch_size
  fitting.fit(
    network,
    images["train"],
    f["train"],
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps, alpha=0.02)),
    lambda f, outputs: feature.loss_of_outputs(outputs, f),
    batch_size=batch_size,
    epochs=epochs,
    seed=seed,
    steps_per_epoch=steps,
    validation=(images["probe"], f["probe"]),
    prepare=_as_float,
    augment=(lambda x: x + noise * tf.random.normal(tf.shape(x))) if noise else None,
    callbacks=[keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)],
    verbose=(1 if sys.stdout.isatty() else 2) if verbose is None else verbose,
  )
  network.trainable = False

  held_out = fitting.in_batches(images["validation"], f["validation"], prepare=_as_float)
  read = np.concatenate([feature.of_image(x) for x, _ in held_out])
  if feature.kind == DISCRETE:
    figures = {"accuracy": float((read == f["validation"]).all(1).mean())}
  else:
    error = feature.error(read, f["validation"])
    figures = {"median_error": float(np.median(error)), "mean_error": float(error.mean())}
  description = {
    "feature": feature.as_known.get_config(),  # `from_pixels` changes nothing of how it is fitted
    "image_shape": list(dataset.image_shape),
    "data": dataset.name,
    "held_out": figures,
    "unit": feature.unit,
  }
  with run.writing(f"the fitted network in {folder}", run.MAKE_ROOM):
    network.save_weights(folder / run.FEATURE_WEIGHTS_FILE)
  run.write(folder / run.FEATURE_FILE, json.dumps(description, indent=2) + "\n")  # last: it says that the fit is whole
  return figures


# --- Fitting within a training ----------------------------------------------------------------------------------------


def unfitted(feature: Feature) -> dict[str, LearnedFeature]:
  """The learned parts of a feature, by name, that say no folder with their network: `fit_missing` fits them.

  Raises:
    FeatureError: another part is learned in a way of its own, and not fitted.
  """
  parts = dict(zip(feature.part_names, feature.parts))
  missing = {name: part for name, part in parts.items() if isinstance(part, LearnedFeature) and not part.fitted}
  for name, part in parts.items():
    if name not in missing:
      part.check_fitted()
  return missing


def fit_missing(
  parts: Mapping[str, LearnedFeature], dataset: Dataset, folder: pathlib.Path, worker: Worker, **arguments
) -> None:
  """Fits the networks of learned features and keeps them in a folder, from which a run that goes on reads them.

  A line tells the error of each on held-out images. Every worker must call it, outside of the scope of a strategy. All
  of them fit, since one that waits for long is taken for lost; then all read what the chief has written, since their
  networks must be the same to the bit.

  Args:
    parts: the features by name, of `unfitted`, built for the images of the data set.
    dataset: has the columns that they read.
    folder: gets a folder for each name.
    worker: this process.
    arguments: of `fit_feature`; without `epochs` and `batch_size` as the number of images wants.
  """
  arguments = {**_usual(len(dataset.train["image"])), **arguments, "verbose": 0}
  for name, part in parts.items():
    place = folder / urllib.parse.quote(name, safe=" ")  # a column may be called "a/b"
    if not (place / run.FEATURE_FILE).is_file():
      with tempfile.TemporaryDirectory() as scratch:
        if worker.is_chief:
          say(f"Fitting a network that reads '{name}' in images … ", end="")
        figures = fit_feature(
          str(place if worker.is_chief else scratch), dataset, dataclasses.replace(part), **arguments
        )
      if worker.is_chief:
        told = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in figures.items())
        say(f"On held-out images: {told}{f' {part.unit}' if part.unit else ''}.")
    worker.any(False)  # the others wait here until the chief has written
    _load(part.networks["network"], place, part, dataset.image_shape)


def _usual(images: int) -> dict[str, int]:
  """Epochs and batch size of a fit on so many images: 1,000 steps, but from 10 to 150 epochs."""
  batch_size = 128 if images >= 4096 else 32  # few images make few large batches, from which it learns less
  return {"batch_size": batch_size, "epochs": min(150, max(10, 1000 * batch_size // images))}


# --- Its network ------------------------------------------------------------------------------------------------------


def _as_float(image):
  return tf.image.convert_image_dtype(image, tf.float32)


def _load(network, folder, feature, image_shape) -> None:
  """Gives the network the weights that `fit_feature` wrote into a folder, for the same feature and images as here."""
  try:
    description = json.loads((folder / run.FEATURE_FILE).read_text(encoding="utf-8"))
    found = {"feature": description["feature"], "image_shape": description["image_shape"]}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise FeatureError(
      f"{feature.name}.fitted = '{folder}' holds no fitted feature ({error}): it takes the --run_dir of "
      "--mode=fit_feature."
    ) from error
  expected = {"feature": json.loads(json.dumps(feature.as_known.get_config())), "image_shape": list(image_shape)}
  if found != expected:
    raise ConfigError(f"{folder} holds another feature, {found}, than {expected}: fit the feature anew.")
  try:
    network.load_weights(folder / run.FEATURE_WEIGHTS_FILE)
  except (OSError, ValueError, KeyError, RuntimeError) as error:
    raise FeatureError(
      f"{folder / run.FEATURE_WEIGHTS_FILE} cannot be read ({error}): fit the feature anew."
    ) from error
