"""What a run folder keeps of its data, to be looked at where the data is not: some images, and values of f."""

import json
import pathlib

import numpy as np
import tensorflow as tf

from tfdisent.controls import controls_of
from tfdisent.data.pixels import as_png
from tfdisent.errors import RunError
from tfdisent.inference import TrainedModel
from tfdisent.run import EXAMPLES_FILE, FEATURE_EXAMPLES_FILE, write

COUNT = 8
"""Images."""


def save_feature_examples(run_dir: pathlib.Path, f: np.ndarray) -> None:
  """Writes values of f [K, width] into a run folder, one for each column of the picture of `--mode=sample`."""
  write(run_dir / FEATURE_EXAMPLES_FILE, json.dumps(f.tolist()))


def load_feature_examples(run_dir: pathlib.Path) -> np.ndarray:
  """The values of f that `save_feature_examples` wrote, float32 [K, width].

  Raises:
    RunError: there are none, since the training has not ended.
  """
  try:
    return np.array(json.loads((run_dir / FEATURE_EXAMPLES_FILE).read_text(encoding="utf-8")), np.float32)
  except (OSError, json.JSONDecodeError) as error:
    raise RunError(
      f"{run_dir} does not say which features to sample ({error}): its training has not ended. "
      "Run the same training command again."
    ) from error


def save_examples(run_dir: pathlib.Path, images: np.ndarray) -> None:
  """Writes images, uint8 [N, H, W, C], side by side into a run folder, to be fused where the data is not at hand."""
  write(run_dir / EXAMPLES_FILE, as_png(np.concatenate(images, 1)))


def load_examples(run_dir: pathlib.Path, image_shape: tuple[int, int, int]) -> np.ndarray:
  """The images that `save_examples` wrote, uint8 [N, H, W, C]; of a folder that has none, no images.

  Raises:
    RunError: the file is damaged, or is of images of another size.
  """
  file, (height, width, channels) = run_dir / EXAMPLES_FILE, image_shape
  if not file.is_file():
    return np.zeros([0, *image_shape], np.uint8)
  try:
    strip = tf.io.decode_png(file.read_bytes(), channels).numpy()
    return np.stack(np.split(strip.reshape(height, -1, channels), strip.shape[1] // width, 1))
  except (OSError, ValueError, tf.errors.OpError) as error:
    raise RunError(f"{file} does not hold images of {height}x{width} pixels: remove it ({error}).") from error


def of_feature(run_dir: pathlib.Path | None) -> np.ndarray | None:
  """The values of f that a run keeps, float32 [K, width]; None if there is no run, or it keeps none yet."""
  return load_feature_examples(run_dir) if run_dir and (run_dir / FEATURE_EXAMPLES_FILE).is_file() else None


def to_begin_with(trained: TrainedModel, count: int = COUNT) -> np.ndarray:
  """Images for a page that has no data set, uint8 [N, H, W, C]: those that the run has kept, or new ones.

  Raises:
    RunError: the file of the run is damaged.
  """
  run_dir = trained.run_dir
  if run_dir and len(images := load_examples(run_dir, trained.image_shape)):
    return images[:count]
  return trained.generate(trained.feature.to_natural(features_to_begin_with(trained, count)), seed=1)


def features_to_begin_with(trained: TrainedModel, count: int = COUNT) -> np.ndarray:
  """Values of f, float32 [N, width]: those that the run has kept, or some in which parts go through their range."""
  f = of_feature(trained.run_dir)
  if f is not None:
    return np.resize(f, (count, f.shape[1]))
  controls = controls_of(trained.feature, trained.class_names)
  paths = [np.array(control.path(count)) for control in controls]
  parts = zip(trained.feature.parts, paths)
  return np.concatenate([part.to_vector(np.resize(path, (count, *path.shape[1:]))) for part, path in parts], 1)
