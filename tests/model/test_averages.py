"""The averages of weights: their values, when they are in the networks, and that a training goes on as without them."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.category import Category
from tfdisent.checkpoints import Checkpoints, restore
from tfdisent.errors import ConfigError
from tfdisent.model.averages import Averages
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

LEAST = {"E1": {"conv": (), "dense": ()}, "G": {"conv": (1,), "dense": ()}, "z1_width": 2}
PLAIN = Objective(lambda3=0.0, lambda4=0.0)
IMAGES = np.random.default_rng(3).integers(256, size=(8, 4, 4, 1), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0, 0, 2])


def make(ema, objective=PLAIN):
  """A small model, the steps of which run without a graph."""
  keras.utils.set_random_seed(0)
  model = DisentangledVAE((4, 4, 1), Category(num_classes=3), objective, ema=ema, **LEAST)
  model.compile("sgd", learning_rate=0.01, run_eagerly=True)
  return model


def fitted(model, **keywords):
  data = {"x": IMAGES, "y": LABELS, "batch_size": 4}
  model.fit(**{**data, "epochs": 1, "shuffle": False, "verbose": 0, **keywords})
  return model


def numbers(weights):
  return np.concatenate([np.ravel(weight.numpy()) for weight in weights])


@functools.cache
def by_hand(decay, steps):
  """The weights after each step without averages, and the average of them."""
  model = make(0.0)
  average = numbers(model.averaged)
  for t in range(1, steps + 1):
    model.fit(IMAGES[4 * ((t - 1) % 2) :][:4], LABELS[4 * ((t - 1) % 2) :][:4], batch_size=4, shuffle=False, verbose=0)
    d = min(decay, (1 + t) / (10 + t))
    average = d * average + (1 - d) * numbers(model.averaged)
  return numbers(model.averaged), average


@pytest.mark.parametrize("decay", [0.99, 0.2])
def test_an_average_rises_to_its_decay(decay):
  """w is 1 and then 4: (1 - 2/11) 1 is the average, and then d 9/11 + (1 - d) 4 with the smaller d of 3/12 and 0.2."""
  w = keras.Variable([0.0])
  averages = Averages(decay, [w])
  for step, value in ((1, 1.0), (2, 4.0)):
    w.assign([value])
    averages.update([w], tf.constant(step))
  d = min(decay, 3 / 12)
  np.testing.assert_allclose(averages.others[0], [d * 9 / 11 + (1 - d) * 4], rtol=1e-6)


def test_after_a_training_the_networks_have_the_averages_and_the_next_one_goes_on_without():
  model, (weights, average) = fitted(make(0.9)), by_hand(0.9, 2)
  np.testing.assert_allclose(numbers(model.averaged), average, rtol=1e-5)
  np.testing.assert_array_equal(numbers(model.averages.others), weights)
  fitted(model)
  weights, average = by_hand(0.9, 4)
  np.testing.assert_array_equal(numbers(model.averages.others), weights)
  np.testing.assert_allclose(numbers(model.averaged), average, rtol=1e-5)


def test_steps_and_validations_see_what_they_should():
  """Callbacks of a batch see the weights that are trained; the validation, and those of an epoch, the averages."""
  model, seen = make(0.9), {"validated": []}
  (weights, average), of_model = by_hand(0.9, 2), make(0.9)

  def note(name):
    return lambda *_, **__: seen.__setitem__(name, numbers(model.averaged))

  callback = keras.callbacks.LambdaCallback(on_train_batch_end=note("batch"), on_epoch_end=note("epoch"))
  evaluate = model.test_step
  model.test_step = lambda data: seen["validated"].append(numbers(model.averaged)) or evaluate(data)
  history = model.fit(
    IMAGES, LABELS, 4, 1, 0, [callback], validation_data=(IMAGES, LABELS), shuffle=False, validation_batch_size=8
  ).history
  np.testing.assert_array_equal(seen["batch"], weights)
  for averaged in (seen["epoch"], *seen["validated"]):
    np.testing.assert_allclose(averaged, average, rtol=1e-5)
  assert len(seen["validated"]) == 1
  of_model.set_weights(model.get_weights())
  assert history["val_L"] == pytest.approx([of_model.evaluate(IMAGES, LABELS, verbose=0, return_dict=True)["L"]])


def test_one_step_goes_on_from_the_weights_that_are_trained():
  model = fitted(make(0.9))
  for batch in (slice(4), slice(4, 8)):
    model.train_on_batch(IMAGES[batch], LABELS[batch])
  whole = fitted(make(0.9), epochs=2)
  np.testing.assert_array_equal(numbers(model.averages.others), numbers(whole.averages.others))
  np.testing.assert_array_equal(numbers(model.averaged), numbers(whole.averaged))


def test_an_epoch_that_fails_leaves_the_averages():
  def fail(batch, logs):
    raise KeyboardInterrupt

  model = make(0.9)
  with pytest.raises(KeyboardInterrupt):
    fitted(model, callbacks=[keras.callbacks.LambdaCallback(on_train_batch_end=fail)])
  np.testing.assert_allclose(numbers(model.averaged), by_hand(0.9, 1)[1], rtol=1e-5)


def test_a_saved_model_goes_on_as_if_it_had_not_been_saved(tmp_path):
  model = fitted(make(0.9))
  model.save(tmp_path / "m.keras")
  again = keras.models.load_model(tmp_path / "m.keras")
  np.testing.assert_array_equal(again(IMAGES, LABELS), model(IMAGES, LABELS))
  for one in (model, again):
    fitted(one)
  np.testing.assert_array_equal(numbers(again.weights), numbers(model.weights))


def test_d_has_no_averages_and_what_a_model_is_used_with_has():
  model = make(0.9, Objective(adversary=1.0))
  own = {id(w) for network in (model.D, model.networks["a"]) for w in network.weights}
  assert not own & {id(w) for w in model.averaged}
  assert len(model.averaged) == sum(len(model.networks[symbol].weights) for symbol in ("E1", "G", "q"))
  assert make(0.0).averages is None


@pytest.mark.parametrize("ema", [-0.1, 1.0, None])
def test_a_decay_that_cannot_be_is_refused(ema):
  with pytest.raises(ConfigError, match=r"model\.ema = .* must be a number"):
    make(ema)


def test_a_checkpoint_has_the_averages_in_the_networks_and_a_training_goes_on_from_it_exactly(tmp_path):
  """Within an epoch, too."""
  model, again = make(0.9), make(0.9)
  saved = Checkpoints(tmp_path, model)
  save = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: batch or saved.save_step(1))
  fitted(model, callbacks=[save])
  restored = Checkpoints(tmp_path, again)
  assert restored.restore_last() and restored.step == 1
  weights, average = by_hand(0.9, 1)
  np.testing.assert_array_equal(numbers(again.averages.others), weights)
  np.testing.assert_allclose(numbers(again.averaged), average, rtol=1e-5)
  fitted(again, x=IMAGES[4:], y=LABELS[4:])
  np.testing.assert_array_equal(numbers(again.weights), numbers(model.weights))

  saved.save(1, 0.5)
  used = DisentangledVAE.from_config(model.get_config())
  restore(tmp_path, "best", used)
  np.testing.assert_array_equal(numbers(used.averaged), numbers(model.averaged))
  Checkpoints(tmp_path, again).restore_last()
  np.testing.assert_array_equal(numbers(again.weights), numbers(model.weights))
