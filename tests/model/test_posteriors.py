"""What is read and drawn with the networks of a model, against its posteriors computed by hand."""

import numpy as np
import pytest
import tensorflow as tf

from features.attribute import Attribute
from tests.model.world import (
  make_world,
)
from tfdisent.errors import FeatureError
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE


def by_hand(model, symbol, *inputs):
  kernel, bias = model.networks[symbol].get_weights()
  return np.concatenate([np.reshape(one, [len(one), -1]) for one in inputs], 1) @ kernel + bias


def test_an_image_is_read_by_pixels_where_it_can_be_and_else_by_q(world_batch):
  model, x = make_world(), world_batch["image"].numpy() / np.float32(255)
  z1 = np.array([[1.0, -1.0], [0.5, 2.0], [-2.0, 0.0], [3.0, 1.0]], np.float32)
  q = by_hand(model, "q", z1, x)
  kind, dark = np.eye(3)[q[:, :3].argmax(1)], q[:, 3:] > 0
  halves = np.stack([x[:, :, :2].mean((1, 2, 3)), x[:, :, 2:].mean((1, 2, 3))], 1)
  top = x[:, 0].mean((1, 2))[:, None]
  np.testing.assert_allclose(model.read_f(z1, x), np.concatenate([kind, dark, halves, top], 1), atol=1e-6)
  means = [by_hand(model, "E2/halves", halves)[:, :1], by_hand(model, "E2/top", top)[:, :1]]
  z2 = np.concatenate([kind, dark, *means], 1)
  np.testing.assert_allclose(model.read_z2(z1, x), z2, atol=1e-6)
  np.testing.assert_allclose(model.mean_z2(tf.constant(world_batch["feature"]))[:, :4], world_batch["feature"][:, :4])
  of_kind, of_dark, *others = model.variational_z2(z1, x)
  assert others == [None, None]
  np.testing.assert_allclose(model.codes[0].probabilities(of_kind), tf.nn.softmax(q[:, :3]), rtol=1e-5)
  np.testing.assert_allclose(model.codes[1].probabilities(of_dark), tf.sigmoid(q[:, 3:]), rtol=1e-5)
  sigmoid = 1 / (1 + np.exp(-by_hand(model, "G", z1, z2)))
  np.testing.assert_allclose(model.decode(z1, tf.constant(z2, tf.float32)), sigmoid.reshape(4, 4, 4, 1), rtol=1e-5)


def test_a_gaussian_code_is_read_at_the_mean_of_q_or_of_e2(world_batch):
  model, x = make_world(code="gaussian", feature_loss="f1"), world_batch["image"].numpy() / np.float32(255)
  z1 = np.ones([4, 2], np.float32)
  q = by_hand(model, "q", z1, x)
  read = model.read_z2(z1, x).numpy()
  np.testing.assert_allclose(read[:, :2], q[:, [0, 2]], rtol=1e-5)
  np.testing.assert_allclose(read[:, 3:], by_hand(model, "E2/top", x[:, 0].mean((1, 2))[:, None])[:, :1], rtol=1e-5)
  f = world_batch["feature"].numpy()
  np.testing.assert_allclose(model.mean_z2(f)[:, :1], by_hand(model, "E2/kind", f[:, :3])[:, :1], rtol=1e-5)


def test_what_cannot_be_read_from_an_image_is_said():
  make_world().check_reading(of_f=True)
  for objective in ({"lambda3": 0.0}, {"lambda3": 0.0, "feature_loss": "f1"}):
    with pytest.raises(FeatureError, match=r"'category' cannot be .* without a q.*`model\(x, f\)`"):
      make_world(**objective).check_reading()
  model = make_world(code="gaussian")
  model.check_reading()
  with pytest.raises(FeatureError, match=r"'category' cannot .* Gaussian code cannot be read back"):
    model.check_reading(of_f=True)
  with pytest.raises(FeatureError, match="'attribute' cannot"):  # read by no q, where L_f2 trains it
    DisentangledVAE((4, 4, 1), Attribute(("dark",)), Objective(feature_loss="f2"), G={"conv": (1,)}).check_reading()
