"""Fixtures: a small data set, a tiny model, and a short run that the tests share."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.digit_label import DigitLabel
from tfdisent.dataset import Dataset
from tfdisent.datasets.color_mnist import color_mnist
from tfdisent.model import DisentangledVAE, Objective

TINY = {
  "z1_width": 4,
  "E1": {"conv": (4, 8), "dense": (16,)},
  "G": {"conv": (8, 4), "dense": (16,)},
  "q": {"conv": (4, 8), "dense": (16,)},
  "D": {"conv": (4, 8), "dense": (16,)},
}


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory):
  """Judges of the tests stay out of the user's cache."""
  os.environ.setdefault("TFDISENT_CACHE", str(tmp_path_factory.mktemp("cache")))


def small(dataset: Dataset, count: int = 64) -> Dataset:
  """The first `count` examples of each split."""
  parts = {
    s: {name: column[:count] for name, column in dataset[s].items()} for s in ("train", "probe", "validation", "test")
  }
  return Dataset(**parts, name=f"{dataset.name}[:{count}]", judges=dataset.judges)


@pytest.fixture(scope="session")
def digits() -> Dataset:
  """The whole embedded Color MNIST."""
  return color_mnist()


@pytest.fixture(scope="session")
def few_digits(digits) -> Dataset:
  """64 digits a split."""
  return small(digits)


@pytest.fixture
def make_tiny():
  """Makes a tiny compiled model for a feature (the digit) and an objective's arguments."""

  def make(feature=None, seed=0, optimizers=keras.optimizers.Adam, **objective):
    keras.utils.set_random_seed(seed)
    model = DisentangledVAE((28, 28, 3), feature or DigitLabel(), Objective(**objective), seed=seed, **TINY)
    model.compile(optimizers(1e-3), optimizers(1e-3))
    return model

  return make


@pytest.fixture
def batch():
  """A batch of eight random images with random labels, as `training_batches` gives them."""
  random_state = np.random.default_rng(0)
  image = random_state.integers(256, size=(8, 28, 28, 3), dtype=np.uint8)
  f, partner = (np.eye(10, dtype=np.float32)[random_state.integers(10, size=8)] for _ in range(2))
  return {
    name: tf.constant(value)
    for name, value in {"image": image, "feature": f, "partner": partner, "place": np.arange(8, dtype=np.int32)}.items()
  }
