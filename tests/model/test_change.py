"""L_change: what counts, and how much."""

import numpy as np
import pytest
import tensorflow as tf

from tests.model.world import assert_others_stay, make_world
from tfdisent.errors import ConfigError
from tfdisent.model.change import Change
from tfdisent.model.check import check_loss
from tfdisent.model.loss import Forward

COST = np.array([0.1, 0.2, 0.4, 0.8], np.float32)


def forward(size: int = 2, **fields) -> Forward:
  """Four black images, whose fusions are grey: as grey as `COST` says."""
  x_fusion = tf.constant(np.broadcast_to(COST[:, None, None, None], [4, size, size, 3]))
  return Forward(**dict.fromkeys(Forward._fields) | {"x": tf.zeros_like(x_fusion), "x_fusion": x_fusion} | fields)


@pytest.mark.parametrize("size", [2, 6])
def test_the_change_is_a_mean_over_pixels_of_any_size(size):
  assert float(Change()(None, forward(size))) == pytest.approx(COST.mean())


def test_a_fusion_of_the_priors_z1_has_no_source_and_does_not_count():
  from_prior = tf.constant([False, True, False, True])
  assert float(Change()(None, forward(from_prior=from_prior))) == pytest.approx((0.1 + 0.4) / 2)
  assert float(Change()(None, forward(from_prior=tf.fill([4], True)))) == 0


def test_examples_count_by_their_weight():
  weight = tf.constant([3.0, 1.0, 0.0, 0.0])
  assert float(Change()(None, forward(weight=weight))) == pytest.approx((3 * 0.1 + 0.2) / 4)
  from_prior = tf.constant([True, False, False, False])
  assert float(Change()(None, forward(weight=weight, from_prior=from_prior))) == pytest.approx(0.2)


def test_a_small_change_of_f_counts_more():
  f, f_partner = tf.zeros([4, 2]), tf.constant([[0.0, 0.0], [0.3, 0.4], [3.0, 4.0], [300.0, 400.0]])
  counts = np.exp(-np.array([0, 0.25, 25, np.inf]) / (2 * 2.0**2))
  expected = np.dot(counts, COST) / counts.sum()
  assert float(Change(spread=2.0)(None, forward(f=f, f_partner=f_partner))) == pytest.approx(expected, rel=1e-6)


def test_random_features_are_those_of_the_seed():
  image = tf.constant(np.random.default_rng(0).random([2, 32, 32, 3]), tf.float32)
  one, again, other = (Change(metric="random", seed=seed).layers(image) for seed in (0, 0, 1))
  assert [tuple(layer.shape) for layer in one] == [(2, 16, 16, 32), (2, 8, 8, 64)]
  for a, b, c in zip(one, again, other):
    np.testing.assert_array_equal(a, b)
    assert (a.numpy() != c.numpy()).any() and 0.2 < float(tf.reduce_mean(tf.square(a))) < 0.6  # of the image: 1 / 3
  moved_image = tf.roll(image, 1, axis=2)
  costs = [float(Change(metric="random")(None, forward(x=image, x_fusion=to))) for to in (image, moved_image)]
  assert costs[0] == 0 < costs[1]


def test_it_is_a_loss_that_can_be_trained_with_and_stored():
  check_loss(Change(weight=2.0, metric="random", spread=0.5, seed=3))


def test_it_teaches_e1_and_g_and_leaves_every_other_term_as_it_is(world_batch):
  settings = {"lambda4": 0.5, "mirror": 1.0, "adversary": 1.0, "prior_fusions": 0.5}
  without, with_it = (make_world(**settings, losses=losses) for losses in ((), (Change(weight=3.0),)))
  with tf.GradientTape() as tape:
    terms = with_it.terms(world_batch, tf.constant(5, tf.int64))
  expected = assert_others_stay(terms, without, world_batch, "L_change")
  assert float(terms["L"] - expected["L"]) == pytest.approx(3 * float(terms["L_change"]), rel=1e-4)
  weights = {symbol: network.trainable_variables for symbol, network in with_it.networks.items()}
  gradients = tape.gradient(terms["L_change"], weights)
  taught = {symbol for symbol, of in gradients.items() if any(g is not None and np.any(g) for g in of)}
  assert taught == {"E1", "G", "E2/halves", "E2/top"}


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"metric": "cosine"}, "change.metric = 'cosine': choose 'pixels' or 'random'"),
    ({"spread": 0.0}, r"change.spread = 0.0 must be positive, or None"),
    ({"weight": -1.0}, "change.weight = -1.0"),
  ],
)
def test_an_argument_is_checked(arguments, words):
  with pytest.raises(ConfigError, match=words):
    Change(**arguments)
