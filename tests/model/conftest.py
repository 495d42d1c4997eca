"""A batch of the small world."""

import numpy as np
import pytest
import tensorflow as tf


@pytest.fixture
def world_batch():
  """Four images with two draws of the feature; their places are not those of the rows."""
  draw = np.random.default_rng(1)
  f = [
    np.concatenate([np.eye(3)[draw.integers(3, size=4)], draw.integers(2, size=(4, 1)), draw.random((4, 3))], 1)
    for _ in range(2)
  ]
  return {
    "image": tf.constant(draw.integers(256, size=(4, 4, 4, 1)), tf.uint8),
    "feature": tf.constant(f[0], tf.float32),
    "partner": tf.constant(f[1], tf.float32),
    "position": tf.constant([2, 0, 3, 1]),
  }
