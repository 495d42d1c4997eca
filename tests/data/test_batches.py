"""The batches of training: which examples, in which order, with which partners."""

import itertools
import os

import numpy as np
import pytest
import tensorflow as tf

from tfdisent.data.batches import image_reader, joined, steps_per_epoch, training_batches
from tfdisent.errors import DataError


def numbered(count):
  """Examples whose image and feature is their own number."""
  number = np.arange(count)[:, None]
  image = np.broadcast_to(number.astype(np.uint8)[:, :, None, None], (count, 2, 2, 1))
  return {"image": image}, number.astype(np.float32)


def draw(count, batch_size, batches, start=0, **keywords):
  """Numbers of the examples and of their partners, int [batches, batch_size] each."""
  drawn = training_batches(*numbered(count), batch_size, **{"seed": 0, **keywords}).skip(start).take(batches)
  drawn = drawn.batch(batches).get_single_element()
  return tuple(drawn[name].numpy()[:, :, 0].astype(int) for name in ("feature", "partner"))


def test_a_batch_holds_images_with_their_features_and_positions():
  for batch in training_batches(*numbered(12), 4, seed=0).take(6):
    assert {name: (value.dtype.name, tuple(value.shape)) for name, value in batch.items()} == {
      "image": ("uint8", (4, 2, 2, 1)),
      "feature": ("float32", (4, 1)),
      "partner": ("float32", (4, 1)),
      "position": ("int32", (4,)),
    }
    np.testing.assert_array_equal(batch["position"], [0, 1, 2, 3])
    np.testing.assert_array_equal(batch["image"][:, 0, 0, 0], batch["feature"][:, 0])


def test_batches_are_these():
  """Drawn once and written down: a training that is repeated sees the same examples, whatever changes here."""
  example, partner = draw(10, 4, 5, seed=3)
  np.testing.assert_array_equal(example, [[3, 9, 8, 6], [5, 2, 7, 0], [9, 8, 4, 0], [2, 7, 5, 1], [5, 8, 4, 0]])
  np.testing.assert_array_equal(partner, [[8, 0, 3, 6], [9, 7, 4, 2], [1, 3, 9, 7], [0, 8, 5, 6], [4, 0, 9, 5]])
  assert training_batches(*numbered(10), 4, seed=3).cardinality() == tf.data.INFINITE_CARDINALITY


def shuffled(count, seed, epoch, stream):
  """The numbers 0 to count - 1 as an epoch has them; stream 0 is of the examples, 1 of the partners."""
  key = tf.random.stateless_uniform([3], [seed, 2 * epoch + stream], None, None, tf.int32)
  return [int(tf.raw_ops.RandomIndexShuffle(index=i, seed=key, max_index=count - 1, rounds=16)) for i in range(count)]


@pytest.mark.parametrize(("workers", "replicas", "first_step"), [(1, 1, 0), (1, 2, 4), (2, 2, 0), (2, 4, 3), (4, 4, 1)])
def test_every_replica_reads_its_slice_of_each_step(workers, replicas, first_step):
  count, batch_size, seed = 19, 8, 5
  epochs = [[shuffled(count, seed, epoch, stream) for stream in (0, 1)] for epoch in range(5)]
  size, local = batch_size // replicas, replicas // workers
  for worker in range(workers):
    context = tf.distribute.InputContext(workers, worker, replicas)
    batches = training_batches(*numbered(count), batch_size, seed, first_step=first_step, context=context)
    for number, batch in enumerate(batches.take(4 * local)):
      step, replica = first_step + number // local, worker * local + number % local
      example, partner = epochs[step // 2]  # two whole batches an epoch
      position = np.arange(replica * size, (replica + 1) * size)
      rows = step % 2 * batch_size + position
      np.testing.assert_array_equal(batch["position"], position)
      np.testing.assert_array_equal(batch["feature"][:, 0], np.array(example)[rows])
      np.testing.assert_array_equal(batch["image"][:, 1, 1, 0], np.array(example)[rows])
      np.testing.assert_array_equal(batch["partner"][:, 0], np.array(partner)[rows])


def test_an_epoch_has_as_many_steps_as_whole_batches():
  for count, batch_size, steps in ((8, 8, 1), (8, 4, 2), (11, 4, 2), (12, 4, 3)):
    assert steps_per_epoch({"image": np.zeros([count, 1, 1, 1], np.uint8)}, batch_size) == steps


VIEWS = {
  "whole": lambda image: image,
  "slice": lambda image: image[3:9],
  "every third": lambda image: image[1::3],
  "backwards": lambda image: image[::-1],
  "backwards in steps": lambda image: image[9:2:-2],
  "view of a view": lambda image: image[2:][::2][1:],
  "crop": lambda image: image[:, 1:4, 2:5],
  "mirrored": lambda image: image[:, :, ::-1],
  "channels last": lambda image: image.transpose(0, 3, 2, 1),
  "one channel": lambda image: image[..., 1:2],
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_any_view_of_a_mapped_file_gives_its_own_rows(view, tmp_path):
  """Rows 0, 1, 2 of the file for rows 0, 2, 4 would get the labels of others."""
  pixels = np.random.default_rng(0).integers(256, size=12 * 5 * 6 * 3, dtype=np.uint8)
  (tmp_path / "images").write_bytes(bytes(100) + pixels.tobytes())
  image = view(np.memmap(tmp_path / "images", np.uint8, "r", 100, (12, 5, 6, 3)))
  rows = np.array([len(image) - 1, 0, 2, 0])
  read = image_reader(image)
  np.testing.assert_array_equal(read(tf.constant(rows)), np.array(image)[rows])
  (batch,) = tf.data.Dataset.from_tensors(rows).map(read)
  assert batch.shape == (4, *image.shape[1:]) and batch.dtype == tf.uint8


def test_images_of_a_mapped_file_stay_in_it(tmp_path):
  image = np.memmap(tmp_path / "images", np.uint8, "w+", shape=(4, 2, 2, 1))
  image[:] = numbered(4)[0]["image"]
  read, copied = image_reader(image[1:]), image_reader(image.copy())
  np.memmap(tmp_path / "images", np.uint8, "r+", shape=(4, 2, 2, 1))[2] = 77
  assert read(tf.constant([1]))[0, 0, 0, 0] == 77 and copied(tf.constant([2]))[0, 0, 0, 0] == 2


def test_the_file_may_be_removed_while_it_is_read(tmp_path):
  (tmp_path / "images").write_bytes(bytes(range(16)))
  image = np.memmap(tmp_path / "images", np.uint8, "r", shape=(4, 2, 2, 1))
  batches = iter(tf.data.Dataset.range(4).repeat().batch(2).map(image_reader(image)))
  np.testing.assert_array_equal(next(batches)[:, 0, 0, 0], [0, 4])
  files = len(os.listdir("/proc/self/fd"))
  readers = [image_reader(image[start:]) for start in range(4)]
  assert len(os.listdir("/proc/self/fd")) == files  # they share one
  (tmp_path / "images").unlink()
  np.testing.assert_array_equal(next(batches)[:, 0, 0, 0], [8, 12])
  np.testing.assert_array_equal(readers[1](tf.constant([2]))[:, 0, 0, 0], [12])
  np.testing.assert_array_equal(image_reader(image)(tf.constant([3]))[:, 0, 0, 0], [12])


def test_what_is_changed_in_a_copy_on_write_map_is_read(tmp_path):
  (tmp_path / "images").write_bytes(bytes(16))
  image = np.memmap(tmp_path / "images", np.uint8, "c", shape=(4, 2, 2, 1))
  image[2] = 9
  np.testing.assert_array_equal(image_reader(image)(tf.constant([2, 1]))[:, 0, 0, 0], [9, 0])


def test_every_epoch_sees_every_example_once_as_itself_and_once_as_a_partner():
  for numbers in draw(12, 4, 5 * 3):
    np.testing.assert_array_equal(np.sort(numbers.reshape(5, 12)), np.tile(np.arange(12), (5, 1)))


def test_an_incomplete_last_batch_is_left_out_and_another_one_in_every_epoch():
  example, _ = draw(10, 4, 20 * 2)
  seen = example.reshape(20, 8)
  assert all(len(set(epoch)) == 8 for epoch in seen)
  assert len({frozenset(epoch) for epoch in seen}) > 10
  assert set(seen.ravel()) == set(range(10))


def test_every_epoch_is_another_permutation():
  for numbers in draw(12, 12, 300):
    assert len(np.unique(numbers, axis=0)) == 300


@pytest.mark.parametrize("count", [12, 100, 3600, 48000])
def test_the_partners_are_independent_of_the_examples_and_of_the_epochs_before(count):
  """Of what is independent the ten classes meet like at random: chi² is about 81, and above 150 once in 10^5 times."""
  epochs = max(20, 6000 // count)
  example, partner = (numbers.astype(np.int64) for numbers in draw(count, count, epochs))
  for classes in (lambda number: number % 10, lambda number: number * 10 // count):
    before = [(a[:-1], b[1:]) for a in (example, partner) for b in (example, partner)]
    for a, b in ((example, partner), *before):
      met = np.zeros([10, 10])
      np.add.at(met, (classes(a).ravel(), classes(b).ravel()), 1)
      expected = np.outer(met.sum(1), met.sum(0)) / met.sum()
      assert np.sum((met - expected) ** 2 / expected) < 150
  assert (example == partner).sum(axis=1).mean() < 3  # one example an epoch meets itself, on average


def test_an_example_gets_other_partners_in_other_epochs():
  count = 48000
  example, partner = draw(count, count, 4)
  of_example = np.empty_like(partner)
  np.put_along_axis(of_example, example, partner, axis=1)
  for a, b in itertools.combinations(of_example, 2):
    assert (a == b).sum() < 10  # one is to be expected


def test_skipping_is_going_on():
  whole = draw(12, 4, 9)
  for n in (0, 1, 5, 8):
    for a, b in zip(draw(12, 4, 9 - n, start=n), whole):
      np.testing.assert_array_equal(a, b[n:])


def test_a_first_step_is_as_good_as_skipping():
  batches = training_batches(*numbered(12), 4, seed=0)
  later = training_batches(*numbered(12), 4, seed=0, first_step=5)
  for a, b in zip(later.take(3), batches.skip(5)):
    for name in a:
      np.testing.assert_array_equal(a[name], b[name])


def test_batches_depend_on_the_seed():
  for a, same, other in zip(draw(12, 4, 6, seed=7), draw(12, 4, 6, seed=7), draw(12, 4, 6, seed=8)):
    np.testing.assert_array_equal(a, same)
    assert (a != other).any(axis=1).all()


def test_without_shuffling_the_order_is_kept_the_partners_are_shuffled_and_every_epoch_is_alike():
  example, partner = draw(8, 4, 4, shuffle=False)
  np.testing.assert_array_equal(example, [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3], [4, 5, 6, 7]])
  np.testing.assert_array_equal(partner, np.tile(draw(8, 4, 2)[1], (2, 1)))


def test_without_shuffling_an_incomplete_last_batch_is_filled_up_with_examples_that_do_not_count():
  batches = list(training_batches(*numbered(10), 4, seed=0, shuffle=False).take(6))
  epoch = [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 0, 1]]
  np.testing.assert_array_equal([batch["feature"].numpy().ravel() for batch in batches], epoch * 2)
  np.testing.assert_array_equal([batch["image"].numpy()[:, 0, 0, 0] for batch in batches], epoch * 2)
  weights = [[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0, 0]]
  np.testing.assert_array_equal([batch["weight"].numpy() for batch in batches], weights * 2)
  partners = np.concatenate([batch["partner"].numpy().ravel() for batch in batches[:3]])
  assert sorted(partners[:10]) == list(range(10))  # each once, too


def test_without_shuffling_a_batch_may_be_larger_than_the_split():
  (batch,) = training_batches(*numbered(3), 8, seed=0, shuffle=False).take(1)
  np.testing.assert_array_equal(batch["feature"].numpy().ravel(), [0, 1, 2, 0, 1, 2, 0, 1])
  np.testing.assert_array_equal(batch["weight"], [1, 1, 1, 0, 0, 0, 0, 0])


def test_batches_for_training_weigh_nothing():
  (batch,) = training_batches(*numbered(8), 4, seed=0).take(1)
  assert sorted(batch) == ["feature", "image", "partner", "position"]


def test_a_batch_of_the_whole_split_is_allowed_and_a_larger_one_refused():
  assert draw(12, 12, 1)[0].shape == (1, 12)
  with pytest.raises(DataError, match="batch of 13 is larger than the split of 12 images"):
    draw(12, 13, 1)


def test_a_function_sees_so_many_rows_of_every_array_at_a_time():
  seen = []

  def sum_and_first(a, b):
    seen.append(len(a))
    return tf.constant(a + b), {"first": a}

  total, of_name = joined(sum_and_first, np.arange(5), np.arange(10, 15), size=2)
  np.testing.assert_array_equal(total, [10, 12, 14, 16, 18])
  np.testing.assert_array_equal(of_name["first"], np.arange(5))
  assert seen == [2, 2, 1]


def test_examples_are_drawn_as_often_as_they_are_asked_for():
  """Both as themselves and as partners; in every epoch, where the number is whole."""
  for numbers in draw(4, 4, 20, frequency=np.array([0.0, 3, 3, 6])):
    np.testing.assert_array_equal(np.sort(numbers, axis=1), np.tile([1, 2, 3, 3], (20, 1)))


def test_what_is_no_whole_number_is_right_on_average_and_as_pairs():
  frequency = np.array([0.5, 1.0, 0.25, 2.25])
  example, partner = draw(4, 4, 400, frequency=frequency)
  for numbers in (example, partner):
    counts = np.stack([np.bincount(epoch, minlength=4) for epoch in numbers])
    assert (np.abs(counts - frequency) < 1).all()  # rounded up or down
    np.testing.assert_allclose(counts.mean(0), frequency, atol=0.1)
  together = np.zeros([4, 4])
  np.add.at(together, (example.ravel(), partner.ravel()), 1 / 1600)
  np.testing.assert_allclose(together, np.outer(frequency, frequency) / 16, atol=0.03)


def test_a_resumed_training_and_every_replica_draw_the_same():
  given = {"seed": 5, "frequency": np.linspace(0, 2, 19)}
  whole = draw(19, 8, 6, **given)
  np.testing.assert_array_equal(draw(19, 8, 3, first_step=3, **given), [numbers[3:] for numbers in whole])
  drawn = training_batches(*numbered(19), 8, context=tf.distribute.InputContext(2, 1, 2), **given)
  for step, batch in enumerate(drawn.take(6)):
    np.testing.assert_array_equal(batch["feature"][:, 0], whole[0][step][4:])
    np.testing.assert_array_equal(batch["partner"][:, 0], whole[1][step][4:])


def test_nothing_asked_for_is_every_example_once():
  for with_it, without in zip(draw(12, 4, 6, frequency=np.full(12, 0.5)), draw(12, 4, 6)):
    np.testing.assert_array_equal(with_it, without)
