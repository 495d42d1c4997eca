import numpy as np
import pytest
import tensorflow as tf

from tfdisent.data.augment import Augment, make_augment, moved
from tfdisent.data.batches import training_batches
from tfdisent.errors import ConfigError

BATCH = 64


def square() -> np.ndarray:
  """A white square of 8x8 pixels in the middle of a black image of 32x32."""
  image = np.zeros([32, 32, 1], np.uint8)
  image[12:20, 12:20] = 255
  return image


def changed(image: np.ndarray, seed: int = 0, position=range(BATCH), **arguments) -> np.ndarray:
  position = np.array(position)
  images = np.repeat(image[None], len(position), 0)
  return Augment(**arguments)(tf.constant(images), tf.constant([seed, 5]), tf.constant(position), BATCH).numpy()


def moments(images: np.ndarray) -> np.ndarray:
  """The centre (y, x), the spread (y, x) in pixels, and the slant (pixels of x for one of y), of white, [N, 5]."""
  weight = images[..., 0] / images[..., 0].sum((1, 2), keepdims=True)
  rows, columns = np.arange(images.shape[1])[:, None], np.arange(images.shape[2])
  y, x = (weight * rows).sum((1, 2)), (weight * columns).sum((1, 2))
  dy, dx = rows - y[:, None, None], columns - x[:, None, None]
  yy, xx, xy = ((weight * a * b).sum((1, 2)) for a, b in ((dy, dy), (dx, dx), (dx, dy)))
  return np.stack([y, x, yy**0.5, xx**0.5, xy / yy], 1)


def test_no_change_leaves_every_pixel():
  image = np.random.default_rng(0).integers(256, size=(7, 10, 3), dtype=np.uint8)
  np.testing.assert_array_equal(changed(image), np.repeat(image[None], BATCH, 0))


@pytest.mark.parametrize(
  "arguments, of, usual, low, high",
  [
    ({"shift": 0.1}, (0, 1), 15.5, 15.5 - 3.2, 15.5 + 3.2),
    ({"scale": 0.25}, (2, 3), 2.29, 2.29 / 1.25, 2.29 / 0.75),
    ({"shear": 0.5}, (4,), 0.0, -0.5, 0.5),
  ],
)
def test_each_change_is_drawn_evenly_from_its_range_and_leaves_the_rest(arguments, of, usual, low, high):
  found = moments(changed(square(), **arguments))
  before = moments(square()[None])[0]
  for column in range(5):
    values = found[:, column]
    if column in of:
      assert before[column] == pytest.approx(usual, abs=0.01)
      reach = (high - low) * 0.1
      assert low - reach < values.min() < low + reach and high - reach < values.max() < high + reach
    elif "shear" not in arguments or column != 3:  # a slanted square is wider
      np.testing.assert_allclose(values, before[column], atol=0.1)  # the edges are drawn softer
  if len(of) == 2:
    assert abs(np.corrcoef(found[:, of].T)[0, 1]) < 0.3  # each by itself


def test_about_half_of_the_images_are_mirrored():
  image = np.random.default_rng(0).integers(256, size=(8, 8, 3), dtype=np.uint8)
  images = changed(image, flip=True)
  is_mirrored = [(one == image[:, ::-1]).all() for one in images]
  assert 20 < sum(is_mirrored) < 44
  assert all(mirrored or (one == image).all() for mirrored, one in zip(is_mirrored, images))


def test_what_comes_from_outside_is_as_the_edge():
  image = np.full([16, 16, 3], 200, np.uint8)
  np.testing.assert_array_equal(changed(image, shift=0.5, scale=0.5, shear=0.5), 200)


def test_xla_can_compile_it_and_gives_the_same():
  random_state = np.random.default_rng(0)
  image = random_state.random([8, 9, 12, 2], np.float32)
  scale, shear, shift = (random_state.uniform(-1, 1, shape).astype(np.float32) for shape in ([8, 2], [8], [8, 2]))
  arguments = {"scale": 1 + 0.4 * scale, "shear": 0.4 * shear, "shift": 3 * shift}
  compiled = tf.function(lambda image: moved(image, **arguments, for_xla=True), jit_compile=True)(image)
  np.testing.assert_allclose(compiled, moved(image, **arguments), atol=1e-4)


def test_a_change_is_that_of_the_seed_and_of_the_place_in_the_global_batch():
  arguments = {"shift": 0.2, "scale": 0.2, "shear": 0.2}
  whole = changed(square(), **arguments)
  np.testing.assert_array_equal(changed(square(), position=range(32, 64), **arguments), whole[32:])
  assert (changed(square(), seed=1, **arguments) != whole).any((1, 2, 3)).mean() > 0.9
  assert len(np.unique(whole.reshape(BATCH, -1), axis=0)) > BATCH * 0.9


def test_batches_are_changed_by_their_step_alone():
  examples, f = {"image": np.repeat(square()[None], 8, 0)}, np.zeros([8, 1], np.float32)

  def images(first_step, count, **arguments):
    batches = training_batches(examples, f, 4, seed=3, first_step=first_step, **arguments)
    return np.stack([batch["image"] for batch in batches.take(count)])

  augment = Augment(shift=0.2)
  whole = images(0, 5, augment=augment)
  np.testing.assert_array_equal(images(3, 2, augment=augment), whole[3:])
  assert len(np.unique(whole.reshape(20, -1), axis=0)) == 20  # in the second epoch, too
  np.testing.assert_array_equal(images(0, 2), np.repeat(square()[None, None], 4, 1).repeat(2, 0))


@pytest.mark.parametrize(
  "given, words",
  [
    ({"turn": 1.0}, "train.augment = .* shift, scale, shear, flip"),
    (0.1, "train.augment = 0.1 must be a dict"),
    ({"scale": 0.6}, r"train.augment.scale = 0.6 must be in \[0, 0.5\]"),
    ({"shift": -0.1}, r"train.augment.shift = -0.1"),
    ({"shear": float("nan")}, r"train.augment.shear = nan"),
    ({"shear": "a"}, r"train.augment.shear = 'a' must be a number"),
    ({"shear": True}, r"train.augment.shear = True must be a number"),
    ({"flip": "yes"}, r"train.augment.flip = .yes. must be True or False"),
  ],
)
def test_wrong_arguments_are_named(given, words):
  with pytest.raises(ConfigError, match=words):
    make_augment(given)


def test_arguments_are_those_of_augment():
  assert make_augment(None) is None and make_augment({}) == Augment()
  assert make_augment({"scale": 0.1, "flip": True}) == Augment(scale=0.1, flip=True)
