"""The order in which shards are read: each image once in an epoch, each worker in its own part, from any step on."""

import numpy as np
import pytest
import tensorflow as tf

from tests.data.test_batches import draw, numbered
from tfdisent.data.batches import training_batches
from tfdisent.data.dataset import Shards
from tfdisent.data.order import shard_order
from tfdisent.errors import ConfigError

SIZES = (30, 1, 17, 52, 0, 8, 20)  # 128 images
COUNT = sum(SIZES)


@pytest.mark.parametrize(("readers", "buffer"), [(1, 1), (4, 5), (8, 1000)])
def test_an_epoch_has_each_image_once_and_the_next_one_another_order(readers, buffer):
  rows = draw(COUNT, 16, 3 * 8, seed=1, shards=Shards(SIZES, buffer, readers))[0].reshape(3, COUNT)
  for epoch in rows:
    np.testing.assert_array_equal(np.sort(epoch), np.arange(COUNT))
  if buffer > 1:  # without a buffer there are few orders
    assert len({tuple(epoch) for epoch in rows}) == 3
    assert not np.array_equal(rows[0], draw(COUNT, 16, 8, seed=2, shards=Shards(SIZES, buffer, readers))[0].ravel())


def test_what_is_left_of_an_epoch_is_never_drawn_twice():
  sizes = (40, 37, 3, 21)  # 101 images: 6 batches of 16
  rows = draw(101, 16, 12, shards=Shards(sizes, 10, 8))[0].reshape(2, 96)
  assert all(len({*epoch}) == 96 for epoch in rows) and {*rows[0]} != {*rows[1]}


def test_without_a_buffer_a_reader_takes_its_shards_whole_and_in_their_order():
  shards = Shards((32,) * 4, 1, 2)  # the shards 0 and 1, and 2 and 3
  rows = draw(COUNT, 16, 8, seed=4, shards=shards)[0]
  of_first, of_second = rows[:, :8].ravel(), rows[:, 8:].ravel()
  for of_reader, low in ((of_first, 0), (of_second, 64)):
    orders = [[*range(low, low + 64)], [*range(low + 32, low + 64), *range(low, low + 32)]]
    assert of_reader.tolist() in orders


def test_a_buffer_shuffles_so_many_images_and_no_more():
  rows = draw(COUNT, 16, 8, shards=Shards((COUNT,), 32, 1))[0].ravel()
  for window in range(4):
    part = rows[32 * window : 32 * (window + 1)]
    np.testing.assert_array_equal(np.sort(part), np.arange(32 * window, 32 * (window + 1)))
    assert not np.array_equal(part, np.sort(part))


def test_each_position_of_a_buffer_has_any_image_of_it_in_some_epoch():
  """By chance: of 100 epochs of 20 readers each of 8 images comes about 250 times to each place, give or take 15."""
  rows = draw(160, 160, 100, shards=Shards((160,), 8, 20))[0].reshape(-1, 8) % 8
  times = np.array([np.bincount(rows[:, place], minlength=8) for place in range(8)])
  assert times.min() > 180 and times.max() < 320


@pytest.mark.parametrize(("workers", "replicas"), [(4, 4), (2, 4)])
def test_each_worker_reads_its_own_part_of_the_file_and_all_together_the_order_of_one(workers, replicas):
  keywords = {"seed": 7, "shards": Shards(SIZES, 12, 8), "first_step": 3}
  whole = list(training_batches(*numbered(COUNT), 16, **keywords).take(20))
  local = replicas // workers
  slices = []
  for index in range(workers):
    context = tf.distribute.InputContext(workers, index, replicas)
    batches = list(training_batches(*numbered(COUNT), 16, context=context, **keywords).take(20 * local))
    rows = np.concatenate([batch["feature"][:, 0] for batch in batches])
    assert rows.min() >= index * COUNT // workers and rows.max() < (index + 1) * COUNT // workers
    slices.append([batches[step * local : (step + 1) * local] for step in range(20)])
  for step, batch in enumerate(whole):
    for name, value in batch.items():
      parts = [part[name] for of_worker in slices for part in of_worker[step]]
      np.testing.assert_array_equal(np.concatenate(parts), value, err_msg=name)


def test_it_goes_on_at_any_step_amid_an_epoch():
  shards = Shards(SIZES, 9, 4)
  whole, partners = draw(COUNT, 16, 20, seed=3, shards=shards)
  for first_step in (5, 13):
    rows, of_partners = draw(COUNT, 16, 20 - first_step, seed=3, first_step=first_step, shards=shards)
    np.testing.assert_array_equal(rows, whole[first_step:])
    np.testing.assert_array_equal(of_partners, partners[first_step:])


def test_partners_are_drawn_from_all_images_and_as_without_shards():
  shards = Shards((32,) * 4, 8, 4)
  rows, partners = draw(COUNT, 16, 64, shards=shards)
  np.testing.assert_array_equal(partners, draw(COUNT, 16, 64)[1])
  together = np.zeros([4, 4])
  np.add.at(together, (rows.ravel() // 32, partners.ravel() // 32), 1)
  assert together.min() > 40 and together.max() < 90  # 64 each on average, with a spread of 7


def test_validation_reads_in_order():
  rows, _ = draw(COUNT, 16, 8, shuffle=False, shards=Shards(SIZES, 8, 4))
  np.testing.assert_array_equal(rows.ravel(), np.arange(COUNT))


def test_readers_are_as_many_as_divide_the_batch():
  shards = Shards((60,), 1, 4)
  rows = shard_order(shards, 6, 0)(tf.constant(0), tf.constant(0), tf.range(6))
  np.testing.assert_array_equal(rows, [0, 1, 2, 30, 31, 32])  # two readers


def test_shards_with_frequencies_are_refused():
  with pytest.raises(ConfigError, match=r"shards.buffer = 0"):
    training_batches(*numbered(8), 4, 0, frequency=np.ones(8), shards=Shards((8,), 4, 2))
