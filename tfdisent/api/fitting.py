"""Fitting the networks of a learned feature, before a model is trained with it."""

import dataclasses
import pathlib
import urllib.parse

from tfdisent.arguments import checked
from tfdisent.console import Progress, say
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError
from tfdisent.feature import learned
from tfdisent.feature.contract import Feature
from tfdisent.paths import expanded


@checked("fit_feature")
def fit_feature(
  run_dir: str | pathlib.Path,
  dataset: Dataset,
  feature: Feature,
  epochs: int = 10,
  batch_size: int = 128,
  learning_rate: float = 1e-3,
  noise: float = 0.0,
  seed: int = 0,
  progress: Progress = say,
) -> dict:
  """Trains the networks of a learned feature, before a model is trained with it.

  `train` does so itself where it is not done before. Fit a feature first for several runs to share it.

      figures = tfdisent.fit_feature("runs/rotation_f", color_mnist(rotation_degrees=(-60, 60)), Rotation())
      rotation = Rotation(fitted="runs/rotation_f")

  Args:
    run_dir: the folder of the fitted feature. Where several parts of `feature` are learned, that of a part is
      `run_dir/NAME`.
    dataset: with the columns that the feature reads.
    feature: a `LearnedFeature`, or one that has such parts.
    epochs: how often the split `train` is seen.
    batch_size: images of a step.
    learning_rate: at the beginning; it falls along a cosine.
    noise: standard deviation of normal noise that is added to the images, in units of their range.
    seed: of weights, order and noise.
    progress: told of the results, as lines.

  Returns:
    The held-out error, as `tfdisent.feature.learned.fit_feature` gives it. Where several parts are learned, a dict of
    them by their names.

  Raises:
    ConfigError: nothing of the feature is learned.
    FeatureError: f(x) breaks its contract on the data set.
    RunError: the folder cannot be written.
  """
  feature = feature.of_dataset(dataset)
  parts = {n: part for n, part in zip(feature.part_names, feature.parts) if isinstance(part, learned.LearnedFeature)}
  if not parts:
    raise ConfigError(f"feature '{feature.name}' is not learned: there is nothing to fit. Train with it as it is.")
  figures = {}
  for name, part in parts.items():
    new = dataclasses.replace(part, fitted=None)  # it may have been fitted before
    folder = expanded(run_dir)
    if len(parts) > 1:
      folder /= urllib.parse.quote(name, safe=" ")  # a column may be called "a/b"
    figures[name] = learned.fit_feature(str(folder), dataset, new, epochs, batch_size, learning_rate, noise, seed)
    progress(f"On held-out images: {', '.join(f'{key} {value:.4g}' for key, value in figures[name].items())}")
    progress(f"The fitted feature is in {folder}: bind its `fitted` to that folder, and train.")
  return figures if len(parts) > 1 else figures[name]
