"""The images that `--mode=sample` changes: of the data set, those that the run has kept, or new ones."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from tfdisent import run
from tfdisent.data.dataset import Dataset
from tfdisent.errors import FeatureError, RunError, TfdisentError
from tfdisent.examples import load_examples, of_feature
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel
from tfdisent.pictures.choice import pick
from tfdisent.pictures.grids import SIDE, fused


class Sources(NamedTuple):
  """Images to change."""

  image: np.ndarray
  """uint8 [N, H, W, C], up to `SIDE`."""
  f: np.ndarray
  """f of the images, [N, width]."""
  known: np.ndarray
  """f of all that is known, [M, width], which tells ranges."""
  words: str
  """What they are, for people."""


def find(
  run_dir: pathlib.Path,
  trained: TrainedModel,
  seed: int = 0,
  data_dir: str | None = None,
  trust: Sequence[str] = (),
  dataset: Dataset | None = None,
) -> Sources:
  """Images to change, in an order that follows `seed`.

  They are those that the run has kept, if f can be read from them; else some of the validation split, where the data
  set is at hand; else new ones, with z1 from its prior. A data set that is given, or whose folder is, goes first.

  Args:
    run_dir: the run folder.
    trained: its model.
    seed: other images for another seed, as far as there are others.
    data_dir: the folder of the data; None for the one that the run was trained on, if it is needed.
    trust: packages that the run may import.
    dataset: to take the images from.

  Raises:
    RunError: there are none, and the training has not ended, so that new ones cannot be made.
    DataError: `data_dir` is given, and the data is not there.
  """
  random = np.random.default_rng(seed)
  if not (data_dir or dataset) and (kept := _kept(run_dir, trained, random)):
    return kept
  try:
    dataset = dataset or run.read_dataset(run_dir, data_dir, trust)
  except TfdisentError as error:
    if data_dir:
      raise
    return _new(run_dir, trained, random, error)
  known = feature_values(trained.feature, dataset.validation)
  rows = random.permutation(pick(known, trained.feature, SIDE, seed))
  return Sources(dataset.validation["image"][rows], known[rows], known, "images of the validation split")


def _kept(run_dir, trained, random) -> Sources | None:
  """The images that a run has kept, if f can be read from them."""
  image = load_examples(run_dir, trained.image_shape)
  if len(image) < 2:  # of one alone, nothing could be given to another
    return None
  image = image[random.permutation(len(image))[:SIDE]]
  try:
    f = trained.feature.to_vector(trained.encode(image).feature)
  except FeatureError:
    return None
  values = of_feature(run_dir)
  return Sources(image, f, f if values is None else np.concatenate([f, values]), "images that the run has kept")


def _new(run_dir, trained, random, why) -> Sources:
  """Images of z1 from the prior, with the values of f that the run has kept."""
  known = of_feature(run_dir)
  if known is None:
    raise RunError(
      f"{run_dir} keeps no images, since its training has not ended, and its data set is not at hand ({why}) Name the "
      "folder of the data with --data_dir, or run the training command again."
    )
  f = known[random.permutation(len(known))[:SIDE]]
  z1 = random.standard_normal((len(f), trained.model.z1_width)).astype(np.float32)
  return Sources(fused(trained, z1, f[:, None])[:, 0], f, known, "new images, since the data set is not at hand")


def donors(f: np.ndarray) -> np.ndarray:
  """For each of N images another one, each once, int [N]: so that both differ in f as much as can be.

  Args:
    f: f of the images, [N, width].
  """
  scaled = f / np.maximum(f.std(0), 1e-6)
  difference = np.abs(scaled[:, None] - scaled).sum(2)
  np.fill_diagonal(difference, -difference.sum() - 1)  # an image is its own donor only if it is alone
  return linear_sum_assignment(difference, maximize=True)[1]
