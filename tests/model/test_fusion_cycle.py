"""L_back: the way from a fusion back to its source."""

import numpy as np
import pytest
import tensorflow as tf

from tests.model.world import assert_others_stay, make_world
from tfdisent import losses
from tfdisent.model.fusion_cycle import FusionCycle
from tfdisent.model.objective import Objective


def test_it_is_a_gaussian_likelihood():
  x, x_back = tf.zeros([2, 2, 2, 1]), tf.constant([0.5, 1.0])[:, None, None, None] * tf.ones([2, 2, 2, 1])
  np.testing.assert_allclose(losses.fusion_cycle_loss(x, x_back, stddev=0.5), [4 * 0.25 / 0.5, 4 / 0.5])


def test_a_loss_comes_back_from_its_configuration():
  objective = Objective(losses=(FusionCycle(weight=0.5),))
  assert Objective.from_config(objective.get_config()) == objective


@pytest.mark.parametrize("prior_fusions", [0.0, 0.5])
def test_the_source_is_made_again_from_the_mean_of_its_fusion(prior_fusions, world_batch):
  settings = {"lambda4": 0.5, "stddev": 0.3, "prior_fusions": prior_fusions}
  without, model = (make_world(**settings, losses=losses) for losses in ((), (FusionCycle(weight=3.0),)))
  seen = []
  decode = model.decode
  model.decode = lambda z1, z2: seen.append((z1, z2)) or decode(z1, z2)
  with tf.GradientTape() as tape:
    terms = model.terms(world_batch, tf.constant(5, tf.int64))
  assert_others_stay(terms, without, world_batch, "L_back")

  ((z1_back, z2),) = seen
  np.testing.assert_array_equal(model.split_z2(z2)[0], world_batch["feature"][:, :3])  # the source's own f
  x = world_batch["image"].numpy() / np.float32(255)
  error = np.square(decode(z1_back, z2) - x).sum((1, 2, 3)) / (2 * 0.3**2)
  has_source = world_batch["position"].numpy() % 2 == 1 if prior_fusions else np.full(4, True)
  assert float(terms["L_back"]) == pytest.approx(error[has_source].mean(), rel=1e-5)
  gradients = tape.gradient(terms["L_back"], {"E1": model.E1.trainable_variables, "G": model.G.trainable_variables})
  assert all(np.any(gradient) for of in gradients.values() for gradient in of)
