"""Pictures: what lies where."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.conftest import TINY
from tfdisent import pictures
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.pictures import GAP, pick, tile

LABELS = DigitLabel()


def image_at(picture, row, column, height=28, width=28):
  """The image in a row and column of a tiled picture."""
  y, x = GAP + row * (height + GAP), GAP + column * (width + GAP)
  return picture[y : y + height, x : x + width]


def size(rows, columns, height=28, width=28):
  return (rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3)


def lively(feature) -> TrainedModel:
  """A model that was not trained, with weights so large that every input tells in the image."""
  keras.utils.set_random_seed(1)
  model = DisentangledVAE((28, 28, 3), feature, Objective(lambda3=0.0, lambda4=0.0), **TINY)
  for network in model.networks.values():
    network.set_weights([3 * weight for weight in network.get_weights()])
  return TrainedModel(model)


@pytest.fixture(scope="module")
def labels():
  return lively(LABELS)


@pytest.fixture(scope="module")
def colors():
  return lively(Color())


@pytest.fixture(scope="module")
def x(few_digits):
  return few_digits.test["image"]


def assert_is(picture, expected):
  """Equal up to one level: another batch may round in another way."""
  np.testing.assert_allclose(picture.astype(int), expected, atol=1)


# --- Tiles and columns ------------------------------------------------------------------------------------------------


def test_tiles_lie_in_rows_with_white_between():
  images = np.arange(1, 7, dtype=np.uint8).reshape(2, 3, 1, 1, 1) * np.ones((4, 5, 3), np.uint8)
  picture = tile([list(row) for row in images])
  assert picture.shape == size(2, 3, 4, 5) == (14, 23, 3) and picture.dtype == np.uint8
  for row in range(2):
    for column in range(3):
      inside = image_at(picture, row, column, 4, 5)
      assert inside.shape == (4, 5, 3) and (inside == images[row, column]).all()
      inside[:] = 255
  assert (picture == 255).all()


def test_a_missing_image_leaves_a_white_place():
  picture = tile([[None, np.zeros((4, 5, 1), np.uint8)]])
  assert (image_at(picture, 0, 0, 4, 5) == 255).all() and (image_at(picture, 0, 1, 4, 5) == 0).all()


def test_columns_show_each_class_once_in_order():
  label = np.array([3, 3, 1, 0, 3, 7, 1, 0, 9])
  rows = pick(np.eye(10)[label], LABELS)
  assert label[rows].tolist() == [0, 1, 3, 7, 9]
  assert label[pick(np.eye(10)[label], LABELS, count=2)].tolist() == [0, 1]


def test_the_seed_picks_the_examples_of_the_classes():
  f = np.eye(10)[np.arange(200) % 10]
  assert (pick(f, LABELS, seed=0) == pick(f, LABELS, seed=0)).all()
  assert (pick(f, LABELS, seed=0) != pick(f, LABELS, seed=1)).any()


def test_columns_of_a_continuous_feature_lie_far_apart_and_in_order():
  corners = np.array([[0, 0, 0], [0, 0, 1], [0, 1, 0], [1, 0, 0]], np.float32)
  crowd = 0.5 + 0.01 * np.random.default_rng(0).random((50, 3), np.float32)
  f = np.concatenate([crowd, corners])
  rows = pick(f, Color(), count=5)
  assert sum(row >= 50 for row in rows) == 4 and len(set(rows)) == 5
  assert [tuple(f[row]) for row in rows] == sorted(tuple(f[row]) for row in rows)


def test_of_fewer_examples_than_columns_all_are_shown():
  f = np.array([[0.3], [0.1], [0.2]])
  assert pick(f, Color()).tolist() == [1, 2, 0]


# --- Grids ------------------------------------------------------------------------------------------------------------


def test_a_fusion_grid_has_its_sources_along_the_edges(labels, x):
  columns = x[10:14]
  picture = pictures.fusion_grid(labels, x[:3], columns, np.eye(10, dtype=np.float32)[:4])
  assert picture.shape == size(4, 5)
  assert (image_at(picture, 0, 0) == 255).all()
  for row in range(3):
    np.testing.assert_array_equal(image_at(picture, row + 1, 0), x[row])
    for column in range(4):
      np.testing.assert_array_equal(image_at(picture, 0, column + 1), columns[column])
      assert_is(image_at(picture, row + 1, column + 1), labels.control(x[row : row + 1], np.array([column]))[0])


@pytest.mark.parametrize(("count", "lines", "columns"), [(20, 4, 10), (25, 4, 10), (3, 2, 3)])
def test_reconstructions_lie_below_their_images(colors, x, count, lines, columns):
  x = x[:count]
  f = Color().of_image(tf.constant(x / np.float32(255))).numpy()
  picture = pictures.reconstruction_grid(colors, x, f)
  assert picture.shape == size(lines, columns)
  x_rec = colors.reconstruct(x)
  for i in range(lines // 2 * columns):
    row, column = 2 * (i // columns), i % columns
    np.testing.assert_array_equal(image_at(picture, row, column), x[i])
    assert_is(image_at(picture, row + 1, column), x_rec[i])


def test_a_traversal_moves_one_code_and_then_the_other(labels, x):
  x, label = x[:2], np.array([4, 6])
  f = np.eye(10, dtype=np.float32)
  picture = pictures.traversal_grid(labels, x, f, f[label])
  assert picture.shape == size(5, 11)
  assert (image_at(picture, 2, 3) == 255).all()
  z1 = labels.encode_z1(x)[0]
  for row in range(2):
    for top in (row, row + 3):
      np.testing.assert_array_equal(image_at(picture, top, 0), x[row])
    for digit in range(10):
      assert_is(image_at(picture, row, digit + 1), labels.control(x[row : row + 1], np.array([digit]))[0])
    for column, z1_there in ((1, z1[row]), (10, z1[1 - row])):  # from its own z1 to that of the other
      expected = 255 * labels.decode(z1_there[None], f[label[row : row + 1]])[0]
      assert_is(image_at(picture, row + 3, column), np.rint(expected))


def test_a_traversal_of_a_continuous_feature_passes_its_points_evenly(colors, x):
  f_path = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0]], np.float32)
  picture = pictures.traversal_grid(colors, x[:2], f_path, f_path[:2])
  assert picture.shape == size(5, 11)
  for column, color in ((1, [0, 0, 0]), (4, [0.6, 0, 0]), (6, [1, 0, 0]), (10, [1, 0.8, 0])):
    assert_is(image_at(picture, 0, column), colors.control(x[:1], np.float32([color]))[0])


def test_samples_share_z1_along_a_row(colors):
  f = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0]], np.float32)
  picture = pictures.sample_grid(colors, f, rows=4, seed=3)
  assert picture.shape == size(4, 3)
  np.testing.assert_array_equal(picture, pictures.sample_grid(colors, f, rows=4, seed=3))
  assert (picture != pictures.sample_grid(colors, f, rows=4, seed=4)).any()
  for row in range(4):
    assert_is(image_at(picture, row, 0), image_at(picture, row, 2))
    assert (image_at(picture, row, 0) != image_at(picture, row, 1)).any()
  assert (image_at(picture, 0, 0) != image_at(picture, 1, 0)).any()


# --- Files ------------------------------------------------------------------------------------------------------------


def test_a_png_can_be_read_back(tmp_path):
  picture = np.random.default_rng(0).integers(256, size=(5, 7, 3), dtype=np.uint8)
  pictures.write_png(tmp_path / "a.png", picture, zoom=3)
  back = tf.io.decode_png(tf.io.read_file(str(tmp_path / "a.png"))).numpy()
  assert back.shape == (15, 21, 3)
  for dy, dx in ((0, 0), (1, 2), (2, 1)):
    np.testing.assert_array_equal(back[dy::3, dx::3], picture)


@pytest.mark.parametrize("kind", ["labels", "colors"])
def test_the_pictures_of_a_run(kind, few_digits, tmp_path, request):
  trained = request.getfixturevalue(kind)
  examples = few_digits.test
  f = trained.feature.of_example({**examples, "image": examples["image"] / np.float32(255)}).numpy()
  paths = pictures.write_pictures(tmp_path, trained, examples, f)
  assert [path.name for path in paths] == ["fusion.png", "reconstruction.png", "traversal.png"]
  shapes = [tf.io.decode_png(tf.io.read_file(str(path))).shape.as_list() for path in paths]
  columns = len(np.unique(examples["label"])) if kind == "labels" else 10
  steps = columns if kind == "labels" else 9  # three between each two of four colours
  expected = [size(11, columns + 1), size(8, 10), size(13, steps + 1)]
  assert shapes == [[2 * height, 2 * width, 3] for height, width, _ in expected]


def test_the_pictures_of_few_examples(labels, few_digits, tmp_path):
  examples = {name: column[:4] for name, column in few_digits.test.items()}
  paths = pictures.write_pictures(tmp_path, labels, examples, np.eye(10, dtype=np.float32)[examples["label"]])
  assert all(path.stat().st_size > 0 for path in paths)


def test_the_figure_of_fusions_says_the_feature_of_each_column():
  feature = Composite(parts=(DigitLabel(), Color()))
  trained = types.SimpleNamespace(feature=feature, class_names={"label": [f"class {k}" for k in range(10)]})
  f = feature.to_vector({"digit_label": [3, 0], "color": [[0.5, 0.0, 1.0], [1.0, 1.0, 0.25]]})
  assert pictures._words(trained, f) == [
    "digit_label: class 3\ncolor: 0.5, 0, 1",
    "digit_label: class 0\ncolor: 1, 1, 0.25",
  ]
