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
