"""A probe of images: a network that is trained on fusions once the model is frozen, with the layers of the oracle."""

import keras
import numpy as np
import tensorflow as tf

from tfdisent.evaluation import judges
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
  classes = is_classes(target["fit"])
  from sklearn.preprocessing import StandardScaler  # a training needs none of it

  unit = None if classes else StandardScaler().fit(target["fit"])
  target = {role: y if classes else unit.transform(y).astype(np.float32) for role, y in target.items()}
  inputs, given = [keras.Input(image["fit"].shape[1:])], image
  h = inputs[0]
  for layer in judges.convolutions(seed, momentum=0.9):  # a short training
    h = layer(h)
  if z1 is not None:
    scaler = StandardScaler().fit(z1["fit"])
    given = {role: (x, scaler.transform(z1[role]).astype(np.float32)) for role, x in image.items()}
    inputs.append(keras.Input(z1["fit"].shape[1:]))
    h = keras.layers.Concatenate()([keras.layers.Flatten()(h), inputs[1]])
    h = keras.layers.Dense(128, "swish", kernel_initializer=keras.initializers.HeNormal(seed))(h)
  outputs = int(target["fit"].max()) + 1 if classes else target["fit"].shape[1]
  for layer in judges.head_layers(outputs, seed, dropout=0.4 if classes else 0.0):
    h = layer(h)
  network = keras.Model(inputs, h)
  known = np.isin(target["select"], target["fit"]) if classes else slice(None)
  fitting.fit(
    network,
    given["fit"],
    target["fit"],
    keras.optimizers.Adam(2e-3),
    keras.losses.SparseCategoricalCrossentropy(from_logits=True) if classes else "mse",
    batch_size=judges.BATCH_SIZE,
    epochs=epochs,
    seed=seed,
    steps_per_epoch=max(50, len(target["fit"]) // judges.BATCH_SIZE),
    validation=tf.nest.map_structure(lambda values: values[known], (given["select"], target["select"])),
    callbacks=[
      keras.callbacks.ReduceLROnPlateau(factor=0.3, patience=1),
      keras.callbacks.EarlyStopping(patience=4, restore_best_weights=True),
    ],
  )
  read = network.predict(given["score"], batch_size=500, verbose=0)
  return read if classes else unit.inverse_transform(read)
