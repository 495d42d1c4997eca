"""A probe of images: a network that is trained on fusions once the model is frozen, with the layers of the oracle.

One network reads all parts of f, with a head for each: its convolutions are nearly all of the work.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from tfdisent.evaluation import judges
from tfdisent.evaluation.heads import ClassHead, NumberHead, joined, sum_of_losses
from tfdisent.evaluation.layers import convolutions, head_layers, pools_first
from tfdisent.evaluation.probes import ProbeData, is_classes
from tfdisent.networks import fitting


def read_images(
  image: ProbeData, target: ProbeData, seed: int = 0, z1: ProbeData | None = None, epochs: int = 15
) -> np.ndarray:
  """What a new network, with the layers of the oracle, reads from images: a probe of images.

  It is trained on "fit" and stops early by its loss on "select".

  Args:
    image: uint8 [N, H, W, C] for each role.
    target: int classes [N] for each role, or float [N, K].
    seed: of the network.
    z1: float [N, Z1] for each role, given to the network beside the image; None for the image alone.
    epochs: of the training, at most.

  Returns:
    Of "score": logits [N, classes], of all classes up to the largest of "fit"; or the numbers [N, K].
  """
  (read,) = read_parts(image, [target], seed, z1, epochs)
  return read


def read_parts(
  image: ProbeData, targets: Sequence[ProbeData], seed: int = 0, z1: ProbeData | None = None, epochs: int = 15
) -> list[np.ndarray]:
  """What one new network reads of several targets: `read_images` of each, in the time of one.

  It stops early by the sum of their losses, where each is about 1 for who knows nothing. `targets` are such as
  `read_images` takes; returned is what it gives for each, in their order.
  """
  heads = [ClassHead(of["fit"]) if is_classes(of["fit"]) else NumberHead(of["fit"]) for of in targets]
  encoded = {role: joined([head.encode(of[role]) for head, of in zip(heads, targets)]) for role in ("fit", "select")}
  network, given = _network(image, heads, seed, z1)
  known = np.ones(len(encoded["select"]), bool)
  for of in targets:
    if is_classes(of["fit"]):  # a class that "fit" lacks has no output, hence no loss
      known &= np.isin(of["select"], of["fit"])
  fitting.fit(
    network,
    given["fit"],
    encoded["fit"],
    keras.optimizers.Adam(2e-3),
    sum_of_losses(heads),
    batch_size=judges.BATCH_SIZE,
    epochs=epochs,
    seed=seed,
    steps_per_epoch=max(50, len(encoded["fit"]) // judges.BATCH_SIZE),
    validation=tf.nest.map_structure(lambda values: values[known], (given["select"], encoded["select"])),
    callbacks=[
      keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=1),
      keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True),
    ],
  )
  read = network.predict(given["score"], batch_size=500, verbose=0)
  of_heads = np.split(read, np.cumsum([head.outputs for head in heads])[:-1], axis=1)
  return [outputs if isinstance(head, ClassHead) else head.read(outputs) for head, outputs in zip(heads, of_heads)]


def _network(image: ProbeData, heads: Sequence[ClassHead | NumberHead], seed: int, z1: ProbeData | None):
  """The network, which gives the outputs of the heads side by side, and what it takes for each role."""
  shape, given = image["fit"].shape[1:], image
  inputs = [keras.Input(shape)]
  h = inputs[0]
  for layer in convolutions(seed, pools_first(shape), momentum=0.9):  # a short training
    h = layer(h)
  if z1 is not None:
    from sklearn.preprocessing import StandardScaler  # a training needs none of it

    scaler = StandardScaler().fit(z1["fit"])
    given = {role: (x, scaler.transform(z1[role]).astype(np.float32)) for role, x in image.items()}
    inputs.append(keras.Input(z1["fit"].shape[1:]))
    h = keras.layers.Concatenate()([keras.layers.Flatten()(h), inputs[1]])
    h = keras.layers.Dense(128, "swish", kernel_initializer=keras.initializers.HeNormal(seed))(h)
  of_heads = [keras.Sequential(head_layers(head.outputs, seed, head.dropout))(h) for head in heads]
  outputs = keras.layers.Concatenate()(of_heads) if len(heads) > 1 else of_heads[0]
  return keras.Model(inputs, outputs), given
