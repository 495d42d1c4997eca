"""What L_match reads, and whom it teaches. The values of the others: `test_terms.py`."""

import numpy as np
import pytest
import tensorflow as tf

from tests.model.world import make_world
from tfdisent.errors import ConfigError
from tfdisent.model.loss import Forward


def test_matching_compares_what_each_convolution_of_d_sees(make_tiny, batch):
  model = make_tiny(lambda3=0.0, matching=2.0)
  x, x_rec = (tf.random.stateless_uniform([4, 28, 28, 3], [seed, 0]) for seed in (0, 1))
  forward = Forward(x=x, x_rec=x_rec, weight=None, **dict.fromkeys(set(Forward._fields) - {"x", "x_rec", "weight"}))
  (matching,) = model.objective.beyond
  first = [model.D.conv_layers[0](image) for image in (x, x_rec)]
  layers = [first, [model.D.conv_layers[1](image) for image in first]]
  expected = sum(0.5 * np.square(a - b).sum() for a, b in layers) / 4
  assert float(matching(model, forward)) == pytest.approx(expected, rel=1e-5)

  with tf.GradientTape(persistent=True) as tape:
    terms = model.terms(batch, tf.constant(3, tf.int64))
  assert any(np.any(g) for g in tape.gradient(terms["L_match"], model.E1.trainable_variables))
  record = next(term for term in model.records if term.name == "L_match")
  assert record.weight == 2 and not record.learners and not record.counts_for_best  # D does not learn from it


def test_a_d_that_tells_no_layers_is_refused(make_tiny):
  model = make_tiny(matching=1.0)
  (matching,) = model.objective.beyond
  with pytest.raises(ConfigError, match=r"give D a method `layers_of`"):
    matching.make_networks(make_world(lambda3=0.0))


FAR_OFF = np.array([50, -50, -50, 50, 9, 9, 9], np.float32)
"""An output of a that is wrong for some of each part of the world: three classes, an attribute, two means and one."""


def test_e1_raises_l_a_of_each_part_up_to_what_a_z1_that_tells_nothing_has(world_batch):
  """Of a that reads nothing: wildly off, all parts count as their entropies and variances."""
  f = world_batch["feature"].numpy().astype(np.float64)
  share, dark = f[:, :3].mean(0), f[:, 3].mean()
  entropy = -sum(p * np.log(p) for p in share if p) - sum(p * np.log(p) for p in (dark, 1 - dark) if p) * 0.5
  expected = entropy + 3.0 * f[:, 4:6].var(0).sum() + 2.0 * f[:, 6].var()
  step, raised = tf.constant(0, tf.int64), {}
  for has_ceiling in (False, True):
    model = make_world(adversary=1.0, adversary_ceiling=has_ceiling, lambda3=0.0, lambda4=0.0)
    a = model.networks["a"]
    a.kernel.assign(0.0 * a.kernel)
    a.bias.assign(FAR_OFF)
    terms = model.terms(world_batch, step)
    raised[has_ceiling] = float(terms["reconstruction"] + terms["KL_z1"] + terms["KL_z2"] - terms["L"])
  assert raised[False] == pytest.approx(float(terms["L_a"]), rel=1e-4)
  assert raised[True] == pytest.approx(expected, rel=1e-2) and raised[False] > 20 * expected


@pytest.mark.parametrize("is_far_off", [False, True])
def test_above_the_ceiling_a_alone_learns(world_batch, is_far_off):
  step, gradients = tf.constant(0, tf.int64), {}
  for has_ceiling in (False, True):
    model = make_world(adversary=1.0, adversary_ceiling=has_ceiling, lambda3=0.0, lambda4=0.0)
    model.networks["a"].bias.assign(FAR_OFF if is_far_off else world_batch["feature"].numpy().mean(0))
    model.networks["a"].kernel.assign(0.01 * model.networks["a"].kernel)
    with tf.GradientTape(persistent=True) as tape:
      terms = model.terms(world_batch, step)
      others = terms["reconstruction"] + terms["KL_z1"] + terms["KL_z2"]
    of_e1 = tape.gradient(terms["L"], model.E1.kernel) - tape.gradient(others, model.E1.kernel)
    gradients[has_ceiling] = (
      float(tf.norm(of_e1)),
      float(tf.norm(tape.gradient(terms["L_a"], model.networks["a"].bias))),
    )
  assert gradients[True][1] == gradients[False][1] > 0
  assert gradients[False][0] > 1e-4
  assert gradients[True][0] < 1e-5 if is_far_off else gradients[True][0] > 0
