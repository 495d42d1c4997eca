"""What reads a property from images, and the other networks that the evaluation trains.

| word | what it is |
|---|---|
| *judge* | a `Judge` of the data set: a property, the column that holds its true value, and how it is read from images |
| *reader* | what reads the property of a judge from images: see `readers` |
| *oracle*, *estimator* | the networks among the readers that read one property: a class, and an angle or numbers |
| *trunk* | the network that reads all of them, where they are several: see `readers` |
| *extractor* | the network whose hidden layer gives the features of FID and KID |
| *plain VAE* | a baseline: the model's E1 and G, trained without f |

The networks are trained once on the `train` split of a data set, never together with a model, and kept in the cache,
`$TFDISENT_CACHE` or `~/.cache/tfdisent`. Their architectures differ from every network of the model (4x4 convolutions
of stride 2), and so do their seeds. `image_probe` trains a network of the same kind on
fusions, anew for every model.
"""  # noqa: E501 (a table)

import sys
import weakref
from collections.abc import Callable, Sequence

import keras
import numpy as np

from tfdisent.data.batches import training_batches
from tfdisent.data.dataset import Dataset, Examples
from tfdisent.evaluation.heads import ClassHead, Head, make_head
from tfdisent.evaluation.kept import keep
from tfdisent.evaluation.layers import convolutions, head_layers, pools_first
from tfdisent.inference import TrainedModel, fresh_model
from tfdisent.networks import fitting

ORACLE_SEED, EXTRACTOR_SEED, VAE_SEED = 1_000_003, 2_000_003, 3_000_017
BATCH_SIZE = 128
EPOCH_IMAGES = 20_000
"""A network learns from at least so many images an epoch: a small set is seen as often as a large one."""


class ReadOnce:
  """A network whose outputs are kept as long as the images are there: several judges read the same ones."""

  def __init__(self):
    self._read: list[tuple[weakref.ref, np.ndarray]] = []

  def outputs(self, image: np.ndarray) -> np.ndarray:
    """What the network gives for uint8 [N, H, W, C], [N, outputs]."""
    self._read = [(of, outputs) for of, outputs in self._read if of() is not None]
    for of, outputs in self._read:
      if of() is image:
        return outputs
    outputs = self._compute(image)
    self._read.append((weakref.ref(image), outputs))
    return outputs

  def _compute(self, image: np.ndarray) -> np.ndarray:
    raise NotImplementedError


class CachedNetwork(ReadOnce):
  """A network that learns a column of real images, once, on the `train` split of a data set.

  Args:
    dataset: its `train` split is learned, or that of `unbiased`, where it has one: from correlated properties the
      network would learn to tell one by the other.
    what: the name of what is learned: a column, or what `values` gives.
    epochs: of the training, if the cache does not hold the network.
    values: from examples to what is learned of them, [N] or [N, K]; None for the column `what`.
  """

  name: str
  seed: int = ORACLE_SEED
  role: str = "a judge of the evaluation"
  batch_size: int | None = None

  def __init__(self, dataset: Dataset, what: str, epochs: int, values: Callable[[Examples], np.ndarray] | None = None):
    super().__init__()
    train = (dataset.unbiased or dataset).train
    self.heads, target, loss = self._task(values(train) if values else train[what])
    count, batch_size = len(target), self.batch_size or BATCH_SIZE
    rounds = max(1, round(EPOCH_IMAGES / count))
    epochs *= rounds
    steps = epochs * max(1, count // batch_size)
    self._network = self.make(dataset.image_shape, self.heads, pools_first(dataset.image_shape))
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    recipe = {"optimizer": keras.optimizers.serialize(optimizer), "loss": loss, "seed": self.seed}
    recipe |= {"steps": steps, "batch_size": batch_size}

    def fit():
      fitting.fit(
        self._network,
        train["image"],
        target,
        optimizer,
        self._loss(loss),
        batch_size=batch_size,
        epochs=epochs // rounds,
        seed=self.seed,
        passes_per_epoch=rounds,
        verbose=1 if sys.stdout.isatty() else 0,
      )

    keep(
      self._network,
      self.name,
      fit,
      f"the {self.name} of {what}, {self.role}, on {count} real images",
      {"image": train["image"], "target": target},
      recipe,
    )

  def _compute(self, image):
    return self._network.predict(image, batch_size=500, verbose=0)

  @property
  def weights(self) -> list[np.ndarray]:
    """Those of the network."""
    return self._network.get_weights()

  @staticmethod
  def make(image_shape: tuple[int, int, int], heads: Sequence[Head], pool_first: bool) -> keras.Model:
    """The network, untrained: from images, uint8 [N, H, W, C], to the outputs of its heads side by side.

    `pool_first` is that of `convolutions`; a network that has others does not ask for it.
    """
    raise NotImplementedError

  def _task(self, values: np.ndarray):
    """The heads, what they learn from `values`, and their loss as data of JSON. Here, one head's."""
    self._head = self._make_head(values)
    return [self._head], self._head.target, self._head.loss

  def _make_head(self, values: np.ndarray) -> Head:
    return ClassHead(values)

  def _loss(self, described):
    """The loss, from what `_task` gives of it."""
    return keras.losses.get(described)


class Oracle(CachedNetwork):
  """Reads a class: a classifier of real images.

  It has three 3x3 convolutions with batch normalisation and pooling, and dropout; no network of the model has those.
  """

  name = "oracle"

  def __init__(self, dataset: Dataset, column: str = "label", epochs: int = 6):
    super().__init__(dataset, column, epochs)

  @staticmethod
  def make(image_shape, heads, pool_first):
    layers = [*convolutions(ORACLE_SEED, pool_first), *head_layers(heads[0].outputs, ORACLE_SEED)]
    return keras.Sequential([keras.Input(image_shape), *layers], name="oracle")

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """The class of each image, [N], from uint8 [N, H, W, C]."""
    return self._head.read(self.outputs(image))

  def probabilities(self, image: np.ndarray) -> np.ndarray:
    """The probability of each class, [N, classes], from uint8 [N, H, W, C]."""
    return self._head.probabilities(self.outputs(image))


class Estimator(CachedNetwork):
  """Reads an angle or numbers, with the convolutions of the oracle.

  Args:
    dataset, what, values: as of `CachedNetwork`.
    turn: of angles, a full turn in their unit; 0 for numbers.
    epochs: of the training, if the cache does not hold the network.
  """

  name = "estimator"

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

  def _make_head(self, values):
    return make_head("angle", values, self._turn)

  @staticmethod
  def make(image_shape, heads, pool_first):
    layers = [*convolutions(ORACLE_SEED, pool_first), *head_layers(heads[0].outputs, ORACLE_SEED, dropout=0.0)]
    return keras.Sequential([keras.Input(image_shape), *layers], name="estimator")

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """The angle [N] or the numbers [N] or [N, K] of each image, in their unit, from uint8 [N, H, W, C]."""
    return self._head.read(self.outputs(image))


class FIDExtractor(CachedNetwork):
  """The features of FID and KID: the last hidden layer, of 64 in units of their spread, of a classifier of real images.

  Inception, trained on photographs, has little to say of digits: an extractor of their own domain is the honest choice,
  and its figures compare with no others. Two 5x5 convolutions with pooling, then a dense layer.
  """

  name, seed = "fid-extractor-conv5x2-dense64", EXTRACTOR_SEED

  def __init__(self, dataset: Dataset, column: str = "label", epochs: int = 3):
    super().__init__(dataset, column, epochs)
    self._features = keras.Model(self._network.inputs, self._network.layers[-2].output)

  @staticmethod
  def make(image_shape, heads, pool_first):
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
        layers.Dense(heads[0].outputs, kernel_initializer=initializer()),
      ],
      name="fid_extractor",
    )

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """Features float32 [N, 64] of uint8 [N, H, W, C]."""
    return self._features.predict(image, batch_size=500, verbose=0)


def plain_vae(model: TrainedModel, dataset: Dataset, epochs: int = 3) -> TrainedModel:
  """A VAE with the E1 and G of `model` and a z2 of zeros: its z1 shows how much leaks when no loss prevents leakage.

  It is trained on L_VAE alone, on the `train` split, and kept in the cache.

  Args:
    model: gives the architecture, and the precision.
    dataset: gives the images.
    epochs: of the training, of at least 20,000 images each, if the cache does not hold the VAE.
  """
  objective = model.model.objective.only_vae().get_config()
  config = {**model.model.get_config(), "objective": objective, "seed": VAE_SEED}
  count = len(dataset.train["image"])
  batch_size = min(BATCH_SIZE, count - count % 2)
  steps = epochs * max(1, round(EPOCH_IMAGES / count)) * (count // batch_size)
  vae = fresh_model(config, VAE_SEED)
  optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, steps))
  recipe = {"optimizer": keras.optimizers.serialize(optimizer), "steps": steps, "batch_size": batch_size}

  def fit():
    vae.compile(optimizer, keras.optimizers.Adam())
    f = np.zeros([count, model.feature.width], np.float32)
    vae.fit(training_batches(dataset.train, f, batch_size, VAE_SEED), steps_per_epoch=steps, shuffle=False, verbose=0)

  what = f"a plain VAE, a control of the evaluation, on {count} images"
  keep(vae, "plain-vae", fit, what, {"image": dataset.train["image"]}, recipe)
  return TrainedModel(vae)
