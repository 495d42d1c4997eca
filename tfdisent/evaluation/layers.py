"""What the networks that read images are made of: convolutions, and the layers of a head."""

from collections.abc import Callable

import keras

SMALL = 32
"""Pixels on the shorter side of images that are small: see `pools_first`."""


def pools_first(image_shape: tuple[int, int, int]) -> bool:
  """Whether networks of such images pool before they normalise: those of 64x64 pixels then learn in half of the time.

  Of small images they do not, so that figures of digits compare with those that are published.
  """
  return min(image_shape[:2]) > SMALL


def convolutions(
  seed: int, pool_first: bool, momentum: float = 0.99, channels: tuple[int, ...] = (16, 32, 64)
) -> list[Callable]:
  """3x3 convolutions with batch normalisation and pooling, of images in [0, 255]; which comes first: `pools_first`."""
  layers, seeds = keras.layers, keras.random.SeedGenerator(seed)

  def stage(count):
    initializer = keras.initializers.HeNormal(seed=seeds)
    convolution = layers.Conv2D(count, 3, padding="same", use_bias=False, kernel_initializer=initializer)
    normalised = [layers.BatchNormalization(momentum=momentum), layers.Activation("swish")]
    pooling = [layers.MaxPooling2D(padding="same")]
    return [convolution, *(pooling + normalised if pool_first else normalised + pooling)]

  return [layers.Rescaling(1 / 255), *(layer for count in channels for layer in stage(count))]


def head_layers(outputs: int, seed: int, dropout: float = 0.4) -> list[Callable]:
  """Layers that give `outputs` numbers from what `convolutions` gives, with dropout."""
  layers = keras.layers
  return [
    layers.Flatten(),
    layers.Dropout(dropout, seed=seed),
    layers.Dense(outputs, kernel_initializer=keras.initializers.HeNormal(seed=seed)),
  ]
