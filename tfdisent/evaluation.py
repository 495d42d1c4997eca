"""How well f is controlled, what survives of the rest of the image, and how sharp it is.

The judges see images alone. A class is read by an *oracle*: a network trained on real images, of another architecture
and seed than the model's; a colour is measured.
"""

import hashlib
import os
import pathlib
import sys
import tempfile

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from tfdisent.dataset import Dataset, Examples
from tfdisent.feature import DISCRETE, feature_values
from tfdisent.inference import TrainedModel

ORACLE_SEED = 1_000_003


def measured_color(image: np.ndarray) -> np.ndarray:
  """The mean RGB of the ink on black, [B, 3] in [0, 1], from uint8 [B, H, W, 3].

  It is Σ v·rgb / Σ v with v a pixel's largest channel.
  """
  image = image.astype(np.float32) / 255
  weight = image.max(axis=3, keepdims=True)
  return (weight * image).sum((1, 2)) / np.maximum(weight.sum((1, 2)), 1e-6)


def peak_signal_to_noise_ratio(x: np.ndarray, x_rec: np.ndarray) -> np.ndarray:
  """PSNR in dB of each reconstruction, [B], from uint8 [B, H, W, C]: 10 log10(255² / mean squared error)."""
  return np.concatenate(
    [tf.image.psnr(x[i : i + 1000], x_rec[i : i + 1000], 255).numpy() for i in range(0, len(x), 1000)]
  )


def other_feature(f: np.ndarray, random_state: np.random.Generator) -> np.ndarray:
  """For each example the row [N] of a partner x̃ drawn at random among those with another f, from f [N, width].

  Raises:
    ValueError: all examples have the same f.
  """
  if not np.ptp(f, axis=0).any():
    raise ValueError("all examples have the same feature: there is no other one to ask for.")
  partner = random_state.permutation(len(f))
  while (same := np.flatnonzero((f == f[partner]).all(1))).size:
    partner[same] = random_state.integers(len(f), size=same.size)
  return partner


class Oracle:
  """A classifier of real images, used as a judge.

  It is trained once on the `train` split of a data set and kept in the cache. Three 3x3 convolutions with pooling,
  dropout and batch normalisation; none of the model's networks has those. The cache is `$TFDISENT_CACHE`, or
  `~/.cache/tfdisent`.

  Args:
    dataset: its `train` split is learned.
    column: the column with the class.
    epochs: of training, should there be none in the cache.
  """

  def __init__(self, dataset: Dataset, column: str = "label", epochs: int = 6):
    label = dataset.train[column]
    classes = int(label.max()) + 1
    epochs *= max(1, round(20_000 / len(label)))  # a small set is seen as often as a large one
    key = hashlib.sha256(
      f"oracle 1 {dataset.name} {dataset.image_shape} {column} {classes} {epochs} {keras.__version__}".encode()
    ).hexdigest()[:16]
    cache = pathlib.Path(os.environ.get("TFDISENT_CACHE", pathlib.Path.home() / ".cache" / "tfdisent"))
    file = cache / f"oracle-{key}.weights.h5"
    layers, seeds = keras.layers, keras.random.SeedGenerator(ORACLE_SEED)
    initializer = lambda: keras.initializers.HeNormal(seed=seeds)  # noqa: E731
    self._network = keras.Sequential(
      [
        keras.Input(dataset.image_shape),
        layers.Rescaling(1 / 255),
        *(
          layer
          for channels in (16, 32, 64)
          for layer in (
            layers.Conv2D(channels, 3, padding="same", use_bias=False, kernel_initializer=initializer()),
            layers.BatchNormalization(),
            layers.Activation("swish"),
            layers.MaxPooling2D(padding="same"),
          )
        ),
        layers.Flatten(),
        layers.Dropout(0.4, seed=ORACLE_SEED),
        layers.Dense(classes, kernel_initializer=initializer()),
      ],
      name="oracle",
    )
    if file.is_file():
      try:
        self._network.load_weights(file)
        return
      except (OSError, ValueError, KeyError, RuntimeError) as error:
        logging.warning("The cached oracle %s cannot be read (%s) and is trained again.", file, error)
    print(
      f"Training the oracle, a judge of the evaluation, on {len(label)} real images; it is kept in {cache}.", flush=True
    )
    steps = epochs * max(1, len(label) // 128)
    self._network.compile(
      keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
      loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      metrics=["accuracy"],
      jit_compile=False,
    )
    batches = (
      tf.data.Dataset.from_tensor_slices((dataset.train["image"], label))
      .shuffle(len(label), ORACLE_SEED)
      .batch(128, drop_remainder=len(label) >= 128)
    )
    self._network.fit(batches.prefetch(2), epochs=epochs, shuffle=False, verbose=1 if sys.stdout.isatty() else 0)
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(
      dir=cache
    ) as folder:  # written beside and renamed: another process may be at it, too
      self._network.save_weights(pathlib.Path(folder) / "oracle.weights.h5")
      os.replace(pathlib.Path(folder) / "oracle.weights.h5", file)

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """The class of each image, [B], from uint8 [B, H, W, C]."""
    return np.argmax(self._network.predict(image, batch_size=500, verbose=0), axis=1)


def evaluate(
  model: TrainedModel, dataset: Dataset, split: str = "test", seed: int = 0, limit: int | None = None
) -> dict[str, float]:
  """Control, complement and quality of a model on a split.

  Each image x gets the feature of an x̃ drawn among those with another f. Control compares what a judge reads from the
  fusion with what is asked for; complement compares the other properties with the source's own.

  Args:
    model: the trained model.
    dataset: judges and splits.
    split: "test" for figures to publish, "validation" for choices.
    seed: of the pairs and the samples.
    limit: at most so many images, the first of the split.

  Returns:
    `control/{accuracy,mae}_{mean,sample,prior}`: z1 the posterior's mean, a sample of it, or drawn from the prior;
    `complement/{name}_{accuracy,mae}` with z1 the mean; `quality/psnr` of x' in dB; `oracle/{split}_accuracy` on real
    images. A feature that no judge of the data set reads is compared by its own f, as `control/own_f_mae_*`.
  """
  examples: Examples = {name: column[:limit] for name, column in dataset[split].items()}
  random_state = np.random.default_rng(seed)
  x, f = examples["image"], feature_values(model.feature, examples)
  partner = other_feature(f, random_state)
  z1, _ = model.encode_z1(x)
  z2_partner = model.encode_z2(f[partner])

  def decode(z1, z2):
    return np.rint(model.decode(z1, z2) * 255).astype(np.uint8)

  fusions = {
    "mean": decode(z1, z2_partner),
    "sample": decode(model.sample_z1(x, seed), z2_partner),
    "prior": decode(random_state.standard_normal(z1.shape).astype(np.float32), z2_partner),
  }
  metrics = {"quality/psnr": float(peak_signal_to_noise_ratio(x, decode(z1, model.encode_z2(f))).mean())}

  judged = False
  for judge in dataset.judges:
    if judge.kind == "classifier":
      oracle, label = Oracle(dataset, judge.column), examples[judge.column]
      metrics[f"oracle/{split}_accuracy"] = float(np.mean(oracle(x) == label))
      compare = lambda image, rows, oracle=oracle, label=label: float(np.mean(oracle(image) == label[rows]))  # noqa: E731
      measure = "accuracy"
    else:
      real = measured_color(x)
      compare = lambda image, rows, real=real: float(np.abs(measured_color(image) - real[rows]).mean())  # noqa: E731
      measure = "mae"
    if judge.column == model.feature.column:
      judged = True
      metrics |= {f"control/{measure}_{name}": compare(image, partner) for name, image in fusions.items()}
    else:
      metrics[f"complement/{judge.name}_{measure}"] = compare(fusions["mean"], slice(None))
  if not judged and model.feature.has_pixels and model.feature.kind != DISCRETE:
    for name, image in fusions.items():
      metrics[f"control/own_f_mae_{name}"] = float(
        np.abs(feature_values(model.feature, {"image": image}) - f[partner]).mean()
      )
  return metrics
