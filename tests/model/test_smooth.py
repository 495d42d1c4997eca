"""L_smooth: how long the path of G is, and where."""

import numpy as np
import pytest
import tensorflow as tf

from features.digit_label import DigitLabel
from tests.model.world import assert_others_stay, make_world
from tfdisent.errors import ConfigError
from tfdisent.model.loss import Forward
from tfdisent.model.objective import Objective
from tfdisent.model.smooth import Smooth


class Curved:
  """Images of 2 pixels, z2² each; z2 has a discrete part and two numbers of a continuous one."""

  objective = Objective()

  class feature:
    parts = (type("Discrete", (), {"kind": "discrete"}), type("Continuous", (), {"kind": "continuous"}))

  def split_z2(self, z2):
    return tf.split(z2, [1, 2], 1)

  def decode(self, z1, z2):
    return tf.square(z2[:, None, 1:, None]) + z1[:, None, :, None] + 100 * z2[:, :1, None, None]


def forward(z2, z2_partner, **fields) -> Forward:
  z1, z2, z2_partner = (tf.constant(code, tf.float32) for code in (np.zeros([len(z2), 2]), z2, z2_partner))
  made = {"z1_fusion": z1, "z2": z2, "z2_partner": z2_partner, "x_fusion": Curved().decode(z1, z2_partner)}
  return Forward(**dict.fromkeys(Forward._fields) | made | fields)


def test_the_step_goes_towards_z2_in_the_continuous_parts_alone():
  """From 0 and from 1 the square of one number grows by 0.25 and by 1.25 in a step of ½; the discrete part stays."""
  z2, z2_partner = [[0, 9, 0], [1, 1, 7]], [[1, 0, 0], [0, 1, 1]]
  length = np.array([0.25, 1.25]) / 0.5
  expected = np.mean((length / length.mean() - 1) ** 2)
  assert float(Smooth(step=0.5)(Curved(), forward(z2, z2_partner))) == pytest.approx(expected, rel=1e-5)


def test_examples_count_by_their_weight_in_the_mean_as_well():
  z2, z2_partner = [[0, 9, 0], [1, 1, 7], [0, 5, 5]], [[1, 0, 0], [0, 1, 1], [0, 3, 1]]
  length, weight = np.array([0.5, 2.5]), np.array([3, 1])
  mean = np.average(length, weights=weight)
  expected = np.average((length / mean - 1) ** 2, weights=weight)
  given = forward(z2, z2_partner, weight=tf.constant([3.0, 1.0, 0.0]))
  assert float(Smooth(step=0.5)(Curved(), given)) == pytest.approx(expected, rel=1e-5)


def test_the_scale_of_the_images_does_not_matter_and_nothing_that_moves_is_finite():
  class Larger(Curved):
    def decode(self, z1, z2):
      return 7 * super().decode(z1, z2)

  class Still(Curved):
    def decode(self, z1, z2):
      return 0 * super().decode(z1, z2)

  codes = [[0, 9, 0], [1, 1, 7]], [[1, 0, 0], [0, 1, 1]]
  one, larger, still = (
    float(Smooth()(model, forward(*codes, x_fusion=model.decode(tf.zeros([2, 2]), tf.constant(codes[1], tf.float32)))))
    for model in (Curved(), Larger(), Still())
  )
  assert larger == pytest.approx(one, rel=1e-5) and one > 0.1 and still == pytest.approx(0, abs=1e-6)


def test_the_same_codes_twice_have_a_finite_gradient():
  code = tf.Variable([[0.0, 1.0, 2.0], [1.0, 0.0, 0.0]])
  with tf.GradientTape() as tape:
    given = forward([[0, 1, 2], [1, 5, 5]], [[0, 1, 2], [1, 0, 0]])._replace(z2_partner=code)
    value = Smooth()(Curved(), given._replace(x_fusion=Curved().decode(given.z1_fusion, code)))
  assert np.isfinite(tape.gradient(value, code)).all()


def test_it_teaches_g_and_leaves_every_other_term_as_it_is(world_batch):
  without, with_it = (make_world(lambda4=0.5, losses=losses) for losses in ((), (Smooth(weight=3.0),)))
  with tf.GradientTape() as tape:
    terms = with_it.terms(world_batch, tf.constant(5, tf.int64))
  assert_others_stay(terms, without, world_batch, "L_smooth")
  assert float(terms["L_smooth"]) > 0
  gradients = tape.gradient(terms["L_smooth"], with_it.G.trainable_variables)
  assert all(np.any(gradient) for gradient in gradients)


def test_a_loss_comes_back_from_its_configuration():
  objective = Objective(losses=(Smooth(weight=0.5, step=0.1),))
  assert Objective.from_config(objective.get_config()) == objective


def test_a_feature_without_a_continuous_part_is_refused(make_tiny):
  with pytest.raises(ConfigError, match="'smooth', and no part of the feature 'digit_label' is continuous: leave it"):
    make_tiny(DigitLabel(), losses=("smooth",))


def test_the_step_is_checked():
  with pytest.raises(ConfigError, match=r"smooth.step = 0.0 must be positive"):
    Smooth(step=0.0)
