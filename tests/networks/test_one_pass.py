"""The modulation in one pass: the same function and derivatives, and only where it is faster."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdisent.model.step import TrainingStep
from tfdisent.networks import make, one_pass
from tfdisent.networks.one_pass import in_one_pass, is_faster, modulated

SHAPE = (2, 4, 6, 3)


def inputs(dtype, seed=0):
  h = tf.random.stateless_normal(SHAPE, [seed, 0])
  gamma, beta = (0.3 * tf.random.stateless_normal([2, 1, 1, 3], [seed, place]) for place in (1, 2))
  return [tf.cast(t, dtype) for t in (h, gamma, beta)]


def leaky(h, gamma, beta):
  return modulated(h, gamma, beta, 0.2)


def as_written(h, gamma, beta):
  return tf.nn.leaky_relu((1 + gamma) * h + beta, 0.2)


def derivatives(function, arguments):
  """The function, its gradients, and those of a penalty of the gradients."""
  with tf.GradientTape() as outer:
    outer.watch(arguments)
    with tf.GradientTape() as inner:
      inner.watch(arguments)
      activated = function(*arguments)
      loss = tf.reduce_sum(tf.cast(activated, tf.float32) ** 3)
    gradients = inner.gradient(loss, arguments)
    penalty = sum(tf.reduce_sum(tf.cast(g, tf.float32) ** 2) for g in gradients)
  return [activated, *gradients, *outer.gradient(penalty, arguments)]


@pytest.mark.parametrize("traced", [False, True])
def test_it_is_the_function_as_it_is_written_in_its_derivatives_too(traced):
  expected = derivatives(as_written, inputs("float32"))
  given = functools.partial(derivatives, leaky, inputs("float32"))
  given = tf.function(given, autograph=False)() if traced else given()
  for number, one in zip(given, expected, strict=True):
    np.testing.assert_allclose(number, one, rtol=1e-4, atol=1e-4)


def test_in_bfloat16_it_is_nearer_to_the_numbers_of_float32_than_one_operation_after_the_other():
  arguments = inputs("bfloat16")
  exact = derivatives(as_written, [tf.cast(t, tf.float32) for t in arguments])
  far = {}
  for function in (leaky, as_written):
    given = derivatives(function, arguments)
    assert {t.dtype for t in given} == {tf.bfloat16}
    far[function] = [float(tf.norm(tf.cast(t, tf.float32) - one)) for t, one in zip(given, exact)]
  assert np.all(np.array(far[leaky]) <= 1.05 * np.array(far[as_written]))


@pytest.mark.parametrize(
  ("faster", "why"),
  [
    (True, "training"),
    (False, "no training step"),
    (False, "float32"),
    (False, "another activation"),
    (False, "a size that is not known"),
    (False, "an accelerator"),
  ],
)
def test_it_is_for_training_steps_in_bfloat16_on_a_processor(faster, why, monkeypatch):
  if why == "an accelerator":
    devices = [tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")]
    monkeypatch.setattr(one_pass.tf.config, "list_physical_devices", lambda *_: devices)
  arguments = {"conv": (4, 3, 2), "dense": (5,), "activation": "tanh" if why == "another activation" else "leaky_relu"}
  dtype = "float32" if why == "float32" else "mixed_bfloat16"
  G = make("G", (8, 12, 3), None, arguments, "modulated", dtype=dtype)
  batch = None if why == "a size that is not known" else 2

  class Step(TrainingStep):
    networks, records = {"G": G}, ()

    def terms(self, batch, step):
      return {"image": self.networks["G"](*batch)}

  step = Step()
  step.optimizer = keras.optimizers.Adam()
  monkeypatch.setattr(Step, "_optimizers", ())
  step.update(tuple(tf.ones([2, width]) for width in (4, 3)))  # makes the weights

  def traced(*codes):
    return G(*codes) if why == "no training step" else step.update(codes)

  spec = [tf.TensorSpec([batch, width]) for width in (4, 3)]
  graph = tf.function(traced, autograph=False).get_concrete_function(*spec).graph
  compiled = [node for node in graph.get_operations() if "_XlaMustCompile" in node.node_def.attr]
  assert bool(compiled) == faster


def test_outside_of_it_nothing_is_left_on():
  h = tf.zeros(SHAPE, tf.bfloat16)
  with pytest.raises(ZeroDivisionError), in_one_pass():
    assert is_faster(h)
    raise ZeroDivisionError
  assert not is_faster(h)
