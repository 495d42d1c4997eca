"""What `check_loss` asks of a loss, with one loss for each thing that may be wrong."""

import dataclasses
import itertools

import pytest
import tensorflow as tf

from tfdisent.errors import ConfigError
from tfdisent.model.beyond import Cycle
from tfdisent.model.check import check_loss
from tfdisent.model.loss import Loss
from tfdisent.registry import LOSSES, register_loss

NUMBERS = itertools.count()  # gin keeps a name for good


@pytest.fixture(autouse=True)
def registry():
  with LOSSES.temporary():
    yield


def loss_of(call, symbol="L_test", networks=None, **arguments):
  """A registered loss whose value is `call(model, forward)`."""

  @dataclasses.dataclass(frozen=True)
  class OfATest(Loss):
    def __call__(self, model, forward):
      return call(model, forward)

    def make_networks(self, model):
      return networks(model) if networks else {}

  OfATest.symbol = symbol
  register_loss(f"of_a_test_{next(NUMBERS)}")(OfATest)
  return OfATest(**arguments)


def darkness(model, forward):
  return forward.mean(tf.reduce_mean(forward.x_fusion, [1, 2, 3]))


def test_a_loss_that_keeps_the_contract_passes():
  check_loss(loss_of(darkness))


def test_a_loss_with_a_network_of_its_own_passes():
  def read(model, forward):
    return forward.mean(tf.reduce_sum(model.networks["critic"](forward.x_fusion) ** 2, 1))

  def networks(model):
    from tfdisent.networks import make

    critic = make("f", model.image_shape, 2, {"conv": (4,), "dense": (4,)})
    critic(tf.zeros([1, *model.image_shape]))
    return {"critic": critic}

  check_loss(loss_of(read, networks=networks))


@pytest.mark.parametrize(
  ("call", "words"),
  [
    (
      lambda model, forward: tf.reduce_mean(forward.x_fusion, [1, 2, 3]),
      r"gives float32 \[8\]: it must give a",
    ),
    (lambda model, forward: 1.0, "gives float: it must give a float32 scalar"),
    (lambda model, forward: forward.mean(tf.math.log(-1 - forward.x[:, 0, 0, 0])), "NaN or infinite on random images"),
    (lambda model, forward: forward.mean(tf.random.normal([8]) * forward.x_rec[:, 0, 0, 0]), "not deterministic"),
    (lambda model, forward: tf.reduce_mean(forward.x_fusion), "counts examples of the weight 0"),
    (lambda model, forward: forward.mean(forward.x[:, 0, 0, 0]), "no gradient for E1 and G"),
    (lambda model, forward: forward.mean(forward.no_such), "'of_a_test_[0-9]+' cannot be computed: .*no_such"),
  ],
)
def test_a_loss_that_breaks_the_contract_is_named(call, words):
  with pytest.raises(ConfigError, match=words):
    check_loss(loss_of(call))


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"symbol": None}, "symbol is None"),
    ({"symbol": "L_GAN"}, "'L_GAN' is a term of the paper"),
    ({"weight": 0.0}, "weight is 0: the objective would leave it out"),
  ],
)
def test_a_declaration_that_cannot_work_is_named(arguments, words):
  with pytest.raises(ConfigError, match=words):
    check_loss(loss_of(darkness, **arguments))


def test_what_is_no_loss_or_is_not_registered_is_named():
  with pytest.raises(ConfigError, match="function is no tfdisent"):
    check_loss(darkness)
  with pytest.raises(ConfigError, match="Cycle is not registered: decorate it with"):
    check_loss(Cycle())


def test_a_loss_whose_configuration_is_not_all_of_it_is_named():
  loss = loss_of(darkness)
  type(loss).get_config = lambda self: {**Loss.get_config(self), "arguments": {"weight": 0.5}}
  with pytest.raises(ConfigError, match="made again from its configuration, is another one"):
    check_loss(loss)
