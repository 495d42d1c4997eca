"""A data set of which everything is known, and a fake model of it: bands of flat ink on black."""

from typing import ClassVar

import numpy as np

from tfdisent.data.dataset import Dataset, Judge


def draw(label, color):
  """Images [B, 8, 8, 3] in [0, 1], black but for a band of flat ink, two pixels wide: the first to the fourth."""
  ink = np.arange(8) // 2 == np.reshape(label, (-1, 1))
  return ink[:, None, :, None] * np.ones((1, 8, 1, 1)) * np.reshape(color, (-1, 1, 1, 3))


def read_label(image):
  return np.argmax(image.reshape(-1, 8, 4, 2, 3).sum((1, 3, 4), dtype=float), axis=1)


def read_color(image):
  return image.max((1, 2))


def bands(count, seed):
  """Examples with the band as `label` and its `color`."""
  random_state = np.random.default_rng(seed)
  label, color = random_state.integers(4, size=count), random_state.integers(64, 256, size=(count, 3)) / 255
  image = np.rint(draw(label, color) * 255).astype(np.uint8)
  return {"image": image, "label": label, "color": color.astype(np.float32)}


MARKS = {"train": 10, "probe": 20, "validation": 30, "test": 40}


def marked_bands_dataset(**counts) -> Dataset:
  """A data set whose images tell in their last pixel (red, green) which split they are of and which row of it.

  Its blue is 0, for a model to leave a sign in.
  """
  dataset = bands_dataset(**counts)
  for split, mark in MARKS.items():
    image = dataset[split]["image"]
    image[:, 7, 7] = np.stack([np.full(len(image), mark), np.arange(len(image)), np.zeros(len(image))], axis=1)
  return dataset


def marks(image):
  """(mark of the split, row, sign) [N, 3] of marked images, uint8 or in [0, 1], flat or not."""
  image = np.reshape(image, (-1, 8, 8, 3))
  return (image if image.dtype == np.uint8 else np.rint(255 * image)).astype(int)[:, 7, 7]


def bands_dataset(train=1000, probe=8, validation=40, test=50) -> Dataset:
  judges = (Judge("band", "label", "classifier"), Judge("color", "color", "color"))
  splits = (bands(count, seed) for seed, count in enumerate((train, probe, validation, test)))
  return Dataset(*splits, name="bands", judges=judges)


class Fake:
  """A trained model, as far as the evaluation needs it: z2 is f, `draw_fusion` is G, and `encode` gives z1.

  z1 is the image itself where nothing else is said.
  """

  class_names: ClassVar[dict] = {}
  checkpoint = None

  def __init__(self, feature, draw_fusion, encode=lambda x: np.float32(x / 255).reshape(len(x), -1)):
    self.feature, self._draw, self._encode = feature, draw_fusion, encode

  def encode_z1(self, x):
    z1 = self._encode(x)
    return z1, np.zeros_like(z1)

  def sample_z1(self, x, seed):
    return self.encode_z1(x)[0]

  def encode_z2(self, f):
    return f

  def decode(self, z1, z2):
    return np.clip(self._draw(z1.reshape(len(z1), 8, 8, -1), z2), 0, 1)

  def untrained(self, seed):
    """Its encoder gives noise."""
    return Fake(self.feature, self._draw, lambda x: np.random.default_rng(seed).random((len(x), 5), np.float32))


class Telling(Fake):
  """A copy of marked images whose codes and fusions tell where they come from.

  The sign is 0 where z1 is the mean, and 1 + seed where it is a sample; the pixel before the last tells in red which
  class was asked for. `seen` holds the marks of all images that were encoded.
  """

  def __init__(self, feature):
    super().__init__(feature, self._copy)
    self.seen = set()

  def _copy(self, x, f):
    x = x.copy()
    x[:, 7, 6, 0] = np.argmax(f, 1) / 255
    return x

  def encode_z1(self, x):
    self.seen |= set(marks(x)[:, 0].tolist())
    return super().encode_z1(x)

  def sample_z1(self, x, seed):
    z1 = self.encode_z1(x)[0].copy()
    z1.reshape(-1, 8, 8, 3)[:, 7, 7, 2] = (1 + seed) / 255
    return z1

  def untrained(self, seed):
    return Fake(self.feature, self._copy)


def swaps_color(x, f):
  return draw(read_label(x), f)


def swaps_band(x, f):
  return draw(np.argmax(f, 1), np.abs(read_color(x)))


def swaps_nothing(x, f):
  return x
