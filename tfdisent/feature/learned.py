"""Features that have no formula: a network, trained on real images whose f(x) is known, and then frozen.

    tfdisent --mode=fit_feature --gin_file=my.gin --run_dir=runs/rotation_f
    tfdisent --gin_file=my.gin --gin_param="rotation.fitted = 'runs/rotation_f'" --run_dir=runs/rotation

A continuous f is then used in L_f2; a discrete one gives the q* of the paper's second bound, with
`objective.feature_loss = 'f2'`.
"""

import abc
import dataclasses
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from tfdisent import losses, run
from tfdisent.codes import make_code
from tfdisent.data.batches import image_reader
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, FeatureError, RunError
from tfdisent.feature.contract import DISCRETE, Feature, feature_values
from tfdisent.networks import plain as networks

FEATURE_FILE, WEIGHTS_FILE = run.FEATURE_FILE, run.FEATURE_WEIGHTS_FILE


@dataclasses.dataclass(frozen=True)
class LearnedFeature(Feature):
  """f as a network of pixels. A subclass gives what f(x) is `known` to be, from columns of the data set.

  Attributes:
    fitted: what `--run_dir` was in `--mode=fit_feature`. A trained run holds the weights itself, and needs it no more.
    from_pixels: whether the f(x) of an example is what the network reads in its image, and not what is known. Where x
      tells f(x) only roughly (a slanted digit its rotation), what is known is no function of x: z1 then has to keep
      what x looks like, and f(x) with it, since E1 cannot tell the two apart.
  """

  fitted: str | None = dataclasses.field(default=None, kw_only=True, compare=False)
  from_pixels: bool = dataclasses.field(default=False, kw_only=True)

  @abc.abstractmethod
  def known(self, example):
    """f(x) as it is known, float32 [B, width], from columns of the data set."""

  def of_example(self, example):
    if not self.from_pixels:
      return self.known(example)
    if not len(example["image"]):  # fused convolutions fail on none
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
      return losses.feature_loss_f1(self._q(self._network(x_fusion)), f_partner)
    return super().loss_f2(x_fusion, f_partner)

  @property
  def networks(self):
    return {"network": self._network}

  def build(self, image_shape):
    if "_network" in vars(self):
      return
    network = networks.Encoder(self.width, conv=networks.channels_for(image_shape), name="f")
    network(tf.zeros([1, *image_shape]))
    network.trainable = False
    if self.fitted:
      _load(network, pathlib.Path(self.fitted).expanduser(), self, image_shape)
    object.__setattr__(self, "_network", network)

  def check_fitted(self):
    if not self.fitted:
      raise FeatureError(
        f"feature '{self.name}' is learned, and {self.name}.fitted does not say where its network is. Train it with\n"
        f"  tfdisent --mode=fit_feature --gin_file=<the same> --run_dir=runs/{self.name}_f\n"
        f"and pass --gin_param=\"{self.name}.fitted = 'runs/{self.name}_f'\"."
      )

  def get_config(self):
    config = super().get_config()
    del config["arguments"]["fitted"]  # a model's checkpoint has the weights
    return config

  def _q(self, outputs):
    return make_code(self.code, self.width, self.width).posterior(outputs)

  def __getattr__(self, name):
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
) -> dict[str, float]:
  """Trains the network of a feature on real images, and keeps it in a folder.

  It learns from the split `train`, keeps the epoch that is best on `probe`, and is measured on `validation`.

  Args:
    run_dir: gets `feature.json` and `feature.weights.h5`.
    dataset: with the columns that `feature` reads.
    feature: with the architecture of an `Encoder` (see `tfdisent.networks`).
    epochs: how often `train` is seen.
    batch_size, learning_rate: the latter falls along a cosine.
    noise: standard deviation of normal noise added to the images, in units of their range.
    seed: of weights, order and noise.

  Returns:
    `{"median_error": …, "mean_error": …}` in `feature.unit` for a continuous f, `{"accuracy": …}` for a discrete one.

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
  count = len(f["train"])
  batch_size = min(batch_size, count)
  steps = count // batch_size

  def images_and_f(split, rows):
    read, values = image_reader(dataset[split]["image"]), tf.constant(f[split])

    def gather(row):
      return tf.image.convert_image_dtype(read(row), tf.float32), tf.gather(values, row)

    return rows.map(gather).prefetch(2)

  batches = images_and_f(
    "train", tf.data.Dataset.range(count).shuffle(count, seed).repeat().batch(batch_size, drop_remainder=True)
  )
  if noise:
    batches = batches.map(lambda x, y: (x + noise * tf.random.normal(tf.shape(x)), y))
  network.compile(
    keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(learning_rate, epochs * steps, alpha=0.02)),
    loss=lambda y, outputs: (
      losses.feature_loss_f1(feature._q(outputs), y) if feature.kind == DISCRETE else losses.feature_loss_f2(outputs, y)
    ),
    jit_compile=False,
  )
  network.fit(
    batches,
    epochs=epochs,
    steps_per_epoch=steps,
    validation_data=images_and_f("probe", tf.data.Dataset.range(len(f["probe"])).batch(500)),
    shuffle=False,  # they are already
    callbacks=[keras.callbacks.EarlyStopping(patience=epochs, restore_best_weights=True)],
    verbose=1 if sys.stdout.isatty() else 2,
  )
  network.trainable = False

  held_out = images_and_f("validation", tf.data.Dataset.range(len(f["validation"])).batch(500))
  read = np.concatenate([feature.of_image(x) for x, _ in held_out])
  if feature.kind == DISCRETE:
    figures = {"accuracy": float((read == f["validation"]).all(1).mean())}
  else:
    error = feature.error(read, f["validation"])
    figures = {"median_error": float(np.median(error)), "mean_error": float(error.mean())}
  description = {
    "feature": feature.as_known.get_config(),  # what it was fitted to
    "image_shape": list(dataset.image_shape),
    "data": dataset.name,
    "held_out": figures,
    "unit": feature.unit,
  }
  network.save_weights(folder / WEIGHTS_FILE)
  (folder / FEATURE_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
  return figures


def _load(network, folder, feature, image_shape) -> None:
  """Gives the network the weights that `fit_feature` left in a folder."""
  try:
    description = json.loads((folder / FEATURE_FILE).read_text(encoding="utf-8"))
    kept = {"feature": description["feature"], "image_shape": description["image_shape"]}
  except (OSError, ValueError, KeyError, TypeError) as error:
    raise FeatureError(
      f"{feature.name}.fitted = '{folder}' holds no fitted feature ({error}): it takes the --run_dir of "
      "--mode=fit_feature."
    ) from error
  asked = {"feature": json.loads(json.dumps(feature.as_known.get_config())), "image_shape": list(image_shape)}
  if kept != asked:
    raise ConfigError(f"{folder} holds another feature, {kept}, than the one that is asked for, {asked}: fit it anew.")
  try:
    network.load_weights(folder / WEIGHTS_FILE)
  except (OSError, ValueError, KeyError, RuntimeError) as error:
    raise FeatureError(f"{folder / WEIGHTS_FILE} cannot be read ({error}): fit the feature anew.") from error
