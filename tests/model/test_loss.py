"""Losses beyond the paper: the contract, and what a plug-in gets."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdisent.errors import ConfigError
from tfdisent.model.loss import Loss, Term, weighted_mean


def test_the_weighted_mean():
  values = tf.constant([1.0, 2.0, float("inf")])
  assert float(weighted_mean(values, tf.constant([1.0, 1.0, 0.0]))) == 1.5
  assert float(weighted_mean(values, tf.zeros(3))) == 0.0
  assert float(weighted_mean(tf.constant([1.0, 2.0, 9.0, 3.0, 6.0, 9.0]), tf.constant([1.0, 1.0, 0.0]))) == 3.0
  assert float(weighted_mean(values, None)) == float("inf")


@dataclasses.dataclass(frozen=True)
class Hidden(Loss):
  """An adversarial loss of a network that reads the red of an image in z1."""

  symbol = "L_hidden"
  is_adversarial = True
  is_ramped = False
  is_shown = False
  optimizer = "d"

  def make_networks(self, model):
    return {"reader": model.make_network("a", 1, tf.zeros([1, model.z1_width]))}

  def __call__(self, model, forward):
    read = model.networks["reader"](forward.z1)
    return forward.mean(tf.reduce_sum((read - tf.reduce_mean(forward.x[..., :1], [1, 2])) ** 2, 1))


def test_the_record_of_a_loss():
  assert Hidden(0.5).term(("reader",)) == Term("L_hidden", -0.5, ("reader",), "d", False, False)


@dataclasses.dataclass(frozen=True)
class Dark(Loss):
  """The mean of the fusion."""

  symbol = "L_dark"

  def __call__(self, model, forward):
    return forward.mean(tf.reduce_mean(forward.x_fusion, [1, 2, 3]))


def test_l_has_a_loss_with_its_weight_which_is_ramped(make_tiny, batch):
  plain, step = make_tiny(), tf.constant(5, tf.int64)
  without = plain.terms(batch, step)
  with_it = make_tiny(losses=(Dark(3.0),), ramp_steps=20).terms(batch, step)
  assert float(with_it["L"] - without["L"]) == pytest.approx(3.0 * 5 / 20 * float(with_it["L_dark"]), rel=1e-3)
  validated = make_tiny(losses=(Dark(3.0),), ramp_steps=20).terms(batch, tf.constant(-1, tf.int64))
  assert 0 < float(validated["L_dark"]) < 1
  hidden = make_tiny(losses=(Hidden(3.0),), ramp_steps=20).terms(batch, step)
  assert float(hidden["L"] - without["L"]) == pytest.approx(-3.0 * float(hidden["L_hidden"]), rel=1e-3)


def test_a_loss_brings_its_networks_which_go_down_it_with_their_own_optimizer(make_tiny, batch):
  model = make_tiny(losses=(Hidden(1.0),), optimizers=keras.optimizers.SGD)
  assert list(model.networks) == ["E1", "G", "q", "D", "reader"] and "reader" not in model.inference_networks
  of_d = [symbols for optimizer, symbols in model._optimizers if optimizer is model.optimizer_d]
  assert of_d == [["D", "reader"]]
  reader, before = model.networks["reader"], model.networks["reader"].get_weights()
  with tf.GradientTape() as tape:
    value = model.terms(batch, model.optimizer.iterations)["L_hidden"]
  gradients = tape.gradient(value, reader.trainable_variables)
  logs = model.update(batch)
  assert {"L_hidden", "gradient_norm/reader"} <= set(logs)
  for weight, old, gradient in zip(reader.get_weights(), before, gradients):
    np.testing.assert_allclose(weight, old - 1e-3 * gradient, atol=1e-7)


def test_a_network_of_a_loss_may_not_be_called_like_one_of_the_paper(make_tiny):
  class Thief(Hidden):
    """Its network would take the place of D in the checkpoints."""

    def make_networks(self, model):
      return {"D": model.make_network("a", 1, tf.zeros([1, model.z1_width]))}

  with pytest.raises(ConfigError, match="a loss calls a network 'D'"):
    make_tiny(losses=(Thief(),))
