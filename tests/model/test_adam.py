"""Adam in one operation: the numbers, the state and the names of Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdisent.model.adam import Adam, fused

SETTINGS = [{}, {"beta_1": 0.5}, {"epsilon": 1e-3, "global_clipnorm": 0.5}, {"weight_decay": 0.01}, {"amsgrad": True}]


def _trained(optimizer, steps=30):
  keras.utils.set_random_seed(0)
  variables = [keras.Variable(np.random.default_rng(i).normal(size=(3, i + 1)).astype(np.float32)) for i in range(3)]
  optimizer.build(variables)
  step = tf.function(lambda *gradients: optimizer.apply(gradients, variables), autograph=False)
  for number in range(steps):
    step(*(tf.constant(np.random.default_rng(number).normal(size=v.shape), tf.float32) for v in variables))
  return variables, step


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_it_is_the_adam_of_keras(settings):
  # 1 - 0.999 is 1.3e-5 off in float32, which the operation computes in.
  schedule = keras.optimizers.schedules.CosineDecay(0.05, 40)
  ours, theirs = (adam(schedule, **settings) for adam in (Adam, keras.optimizers.Adam))
  (weights, _), (of_keras, _) = _trained(ours), _trained(theirs)
  for a, b in zip([*weights, *ours.variables], [*of_keras, *theirs.variables], strict=True):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-5, atol=2e-5)


def test_it_is_one_operation_for_each_weight():
  _, step = _trained(Adam(0.01), steps=1)
  shapes = [tf.TensorSpec([3, i + 1]) for i in range(3)]
  types = [op.type for op in step.get_concrete_function(*shapes).graph.get_operations()]
  assert types.count("ResourceApplyAdam") == 3 and types.count("Pow") == 2 and "Sqrt" not in types


def test_an_adam_of_keras_is_replaced_and_nothing_else():
  given = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(0.1, 10), beta_1=0.3)
  made = fused(given)
  assert type(made) is Adam and made.get_config() == given.get_config()
  for other in (keras.optimizers.AdamW(), keras.optimizers.SGD(), made):
    assert fused(other) is other


def test_keras_stores_and_makes_it():
  made = keras.optimizers.deserialize(keras.optimizers.serialize(Adam(0.25, beta_1=0.5)))
  assert type(made) is Adam and made.beta_1 == 0.5 and float(made.learning_rate) == 0.25
