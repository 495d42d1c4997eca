import numpy as np
import pytest
import tensorflow as tf

from features.digit_label import DigitLabel
from tests.conftest import train_tiny
from tfdisent import loading, losses
from tfdisent.errors import ConfigError
from tfdisent.model.equivariance import Equivariance
from tfdisent.model.loss import Forward
from tfdisent.model.objective import Objective

SIDE = 16


class Moving:
  """A model whose z1 is the image; x̂ is the image times z̃2, with rows for columns where `turns` and z̃2 is above 1."""

  z1_width, objective, compiled = SIDE * SIDE, Objective(stddev=0.5), False

  def __init__(self, turns: bool = False):
    self._turns = turns

  def posterior_z1(self, x):
    return type("q", (), {"mean": lambda self: tf.reshape(x, [-1, SIDE * SIDE])})()

  def decode(self, z1, z2):
    image = tf.reshape(z1, [-1, SIDE, SIDE, 1])
    if self._turns:
      image = tf.where(z2[:, :, None, None] > 1, tf.transpose(image, [0, 2, 1, 3]), image)
    return image * z2[:, :, None, None]


def forward(x: np.ndarray, seed: int = 0, z1_width: int = SIDE * SIDE, weight=None) -> Forward:
  random_state = np.random.default_rng(seed)
  x = tf.constant(x, tf.float32)
  fields = dict.fromkeys(Forward._fields)
  z1_prior = tf.constant(random_state.normal(size=[len(x), z1_width]), tf.float32)
  z2_partner = tf.constant([[0.5], [2.0]] * (len(x) // 2), tf.float32)
  return Forward(
    **fields | {"x": x, "z1": tf.reshape(x, [len(x), -1]), "z1_prior": z1_prior, "z2_partner": z2_partner}
  )._replace(weight=weight)


def blobs(count: int = 8) -> np.ndarray:
  """Soft spots left of the middle."""
  y, x = np.mgrid[:SIDE, :SIDE]
  return np.repeat(np.exp(-((y - 6) ** 2 + (x - 5) ** 2) / 8)[None, ..., None], count, 0)


def test_a_fusion_that_moves_with_its_source_costs_nothing():
  assert float(Equivariance()(Moving(), forward(blobs()))) == pytest.approx(0, abs=1e-9)


def test_a_slant_that_means_another_for_another_f_costs():
  """A slant of rows becomes one of columns."""
  assert float(Equivariance(scale=0.0)(Moving(turns=True), forward(blobs()))) > 0.05


def test_nothing_moved_costs_nothing_whatever_the_model():
  still = Equivariance(shift=0.0, scale=0.0, shear=0.0)
  assert float(still(Moving(turns=True), forward(blobs()))) == pytest.approx(0, abs=1e-9)


def test_the_move_is_that_of_the_keyed_noise():
  model, x = Moving(turns=True), blobs()
  one, again, other = (float(Equivariance()(model, forward(x, seed))) for seed in (0, 0, 1))
  assert one == again != other


@pytest.mark.parametrize("name", ["shift", "scale", "shear"])
def test_each_move_is_made(name):
  move = Equivariance(**{**dict.fromkeys(("shift", "scale", "shear"), 0.0), name: 0.3})
  assert float(move(Moving(turns=True), forward(blobs()))) > 0.01


def test_examples_count_by_their_weight():
  """Those of z̃2 = 2 are turned, and the others move with their source."""
  x, second = blobs(), tf.constant([0.0, 1] * 4)
  model = Moving(turns=True)
  only_turned, only_others = (float(Equivariance()(model, forward(x, weight=w))) for w in (second, 1 - second))
  assert only_turned > 0.05 and only_others == pytest.approx(0, abs=1e-9)
  assert float(Equivariance()(model, forward(x))) == pytest.approx(only_turned / 2, rel=1e-5)


def test_the_loss_is_that_of_a_gaussian_and_the_moved_fusion_gets_no_gradient():
  a, b = tf.Variable(np.full([2, 3, 3, 1], 0.5, np.float32)), tf.Variable(np.full([2, 3, 3, 1], 0.25, np.float32))
  with tf.GradientTape() as tape:
    loss = losses.equivariance_loss(a, b, stddev=0.5)
    total = tf.reduce_sum(loss)
  np.testing.assert_allclose(loss, 9 * 0.25**2 / (2 * 0.25))
  of_a, of_b = tape.gradient(total, [a, b])
  assert (of_a.numpy() > 0).all() and of_b is None


@pytest.mark.parametrize(
  "arguments, words",
  [({"shear": 0.6}, r"equivariance.shear = 0.6 must be in \[0, 0.5\]"), ({"scale": -0.1}, "equivariance.scale")],
)
def test_a_range_is_checked(arguments, words):
  with pytest.raises(ConfigError, match=words):
    Equivariance(**arguments)


def test_a_model_trains_with_it_by_its_name_and_is_loaded_again(few_digits, tmp_path):
  objective = {"losses": ("equivariance",), "lambda4": 0.0}
  trained = train_tiny(tmp_path, few_digits, DigitLabel(), objective=objective, epochs=1, evaluate_every=0)
  (loss,) = trained.model.objective.losses
  assert loss == Equivariance() and "L_T" in [term.name for term in trained.model.records]
  assert loading.load(tmp_path).model.objective.losses == (Equivariance(),)
