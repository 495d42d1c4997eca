"""The one loop that fits a network: which rows it learns from, in which order, and what it is measured on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdisent.networks import fitting

ROWS = np.arange(10)
X, Y = np.float32(ROWS)[:, None], np.float32(3 * ROWS)[:, None]


@pytest.fixture
def fit(monkeypatch):
  """Fits a line; gives the network, and the arguments of `keras.Model.fit`."""

  def fit(inputs=X, target=Y, network=None, **arguments):
    network, seen, run = network or keras.Sequential([keras.Input([1]), keras.layers.Dense(1)]), {}, keras.Model.fit

    def spy(self, batches, **given):
      seen.update(given, batches=batches)
      return run(self, batches, **given)

    with monkeypatch.context() as context:
      context.setattr(keras.Model, "fit", spy)
      arguments = {"batch_size": 4, "epochs": 1, "seed": 0, **arguments}
      history = fitting.fit(network, inputs, target, keras.optimizers.SGD(0.01), "mse", **arguments)
    return network, history.history, seen

  return fit


def rows_of(batches):
  return [np.int64(x).ravel().tolist() for x, _ in batches]


def test_with_a_number_of_steps_no_row_is_left_out(fit):
  _, _, seen = fit(steps_per_epoch=5)
  batches = rows_of(seen["batches"].take(5))
  assert [len(batch) for batch in batches] == [4] * 5
  first, second = np.split(np.concatenate(batches), 2)
  assert sorted(first) == sorted(second) == ROWS.tolist() and first.tolist() != second.tolist()
  assert seen["steps_per_epoch"] == 5 and seen["shuffle"] is False


def test_without_one_each_pass_drops_its_incomplete_batch(fit):
  _, _, seen = fit(passes_per_epoch=2)
  batches = rows_of(seen["batches"])
  assert [len(batch) for batch in batches] == [4] * 4 and seen["steps_per_epoch"] is None
  for one_pass in (batches[:2], batches[2:]):
    assert len(set(np.concatenate(one_pass))) == 8


def test_fewer_rows_than_a_batch_are_one_batch(fit):
  _, _, seen = fit(batch_size=16)
  assert [sorted(batch) for batch in rows_of(seen["batches"])] == [ROWS.tolist()]


def test_the_seed_decides_the_order(fit):
  orders = [rows_of(fit(seed=seed, steps_per_epoch=2)[2]["batches"].take(3)) for seed in (0, 1)]
  assert orders[0] != orders[1]


def test_what_is_learned_is_augmented_and_what_is_measured_is_not(fit):
  validation = (X[:3], Y[:3])
  network, history, seen = fit(
    validation=validation, prepare=lambda x: x / 10, augment=lambda x: x + 100, callbacks=(callback := Counts(),)
  )
  for x, y in seen["batches"]:
    np.testing.assert_allclose(10 * (x - 100), y / 3, atol=1e-4)
  ((x, y),) = seen["validation_data"]
  np.testing.assert_allclose(x, validation[0] / 10)
  np.testing.assert_array_equal(y, validation[1])
  expected = np.square(network(validation[0] / 10).numpy() - validation[1]).mean()
  assert history["val_loss"] == pytest.approx([expected], rel=1e-4) and callback.epochs == 1


class Counts(keras.callbacks.Callback):
  epochs = 0

  def on_epoch_end(self, epoch, logs=None):
    self.epochs += 1


def test_a_network_of_several_inputs_gets_the_same_rows_of_each(fit):
  a, b = keras.Input([1]), keras.Input([2])
  network = keras.Model([a, b], keras.layers.Dense(1)(keras.layers.Concatenate()([a, b])))
  _, _, seen = fit((X, np.concatenate([X, -X], 1)), network=network, steps_per_epoch=3)
  for (first, second), y in seen["batches"].take(3):
    np.testing.assert_array_equal(second, np.concatenate([first, -first], 1))
    np.testing.assert_array_equal(y, 3 * first)


def test_a_step_goes_down_the_loss(fit):
  """Of the mean of (w x - 3 x)^2 over all rows, from w = 0, at a rate of 0.01."""
  network = keras.Sequential([keras.Input([1]), keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")])
  fit(network=network, batch_size=10)
  np.testing.assert_allclose(network.get_weights()[0], [[0.01 * 2 * 3 * np.square(ROWS).mean()]], rtol=1e-5)


def test_rows_are_read_in_their_order_where_none_is_asked_for():
  x = np.arange(fitting.EVALUATION_BATCH + 1)
  batches = list(fitting.in_batches(x, 2 * x, prepare=lambda x: tf.cast(x, tf.float32)))
  assert [len(y) for _, y in batches] == [fitting.EVALUATION_BATCH, 1]
  np.testing.assert_array_equal(np.concatenate([x for x, _ in batches]), np.float32(x))
  np.testing.assert_array_equal(np.concatenate([y for _, y in batches]), 2 * x)
