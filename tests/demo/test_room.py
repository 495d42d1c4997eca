import numpy as np
import PIL.Image
import pytest

from tests.demo.conftest import HAIR
from tfdisent.api import TrainedRun
from tfdisent.demo.room import DONOR, SOURCE, VALUE, Room
from tfdisent.errors import DataError
from tfdisent.inference import TrainedModel

VALUES = ["red", True, "#ff8000", [63.0]]
NATURAL = {"hair": "red", "smile": 1, "coat": [1, 128 / 255, 0], "age": 63.0}


@pytest.fixture(scope="module")
def room(every_kind):
  return Room(every_kind)


def fusion(room, origins, source=0, donor=1, values=VALUES):
  source, donor = room.codes(room.examples[source]), room.codes(room.examples[donor])
  return room.fusion(source.z1, room.feature_of(source, donor, origins, values))


def test_what_is_set_is_what_control_gives(room):
  image = fusion(room, [VALUE] * 4)
  np.testing.assert_array_equal(image, room.trained.control(room.examples[:1], NATURAL)[0])


def test_parts_of_the_source_and_of_the_donor_are_read_in_them(room):
  np.testing.assert_array_equal(fusion(room, [SOURCE] * 4), room.trained.control(room.examples[:1], {})[0])
  read = room.trained.encode(room.examples[1:2]).feature
  mixed = {"hair": "red", "smile": read["smile"], "coat": read["coat"], "age": 63.0}
  image = fusion(room, [VALUE, DONOR, DONOR, VALUE])
  np.testing.assert_allclose(image.astype(int), room.trained.control(room.examples[:1], mixed)[0], atol=1)


def test_values_and_words_of_a_feature(room):
  f = room.feature_of(room.codes(room.examples[0]), None, [VALUE] * 4, VALUES)
  assert room.values_of(f) == ["red", True, "#ff8000", [pytest.approx(63)]]
  assert room.words_of(f) == ["red", "yes", "#ff8000", "63"]


def test_a_strip_goes_through_all_classes_and_keeps_the_rest(room):
  codes = room.codes(room.examples[0])
  f = room.feature_of(codes, None, [VALUE] * 4, VALUES)
  strip = room.strip(codes.z1, f, 0)
  (block,) = strip.blocks
  assert tuple(block.columns) == HAIR
  for image, name in zip(block.rows[0], HAIR):
    np.testing.assert_array_equal(image, room.trained.control(room.examples[:1], {**NATURAL, "hair": name})[0])


def test_a_grid_has_the_examples_at_its_edges(room):
  (block,) = room.grid().blocks
  np.testing.assert_array_equal(block.rows[0][1], room.examples[0])
  read = room.trained.encode(room.examples[1:2]).feature
  np.testing.assert_allclose(block.rows[1][2].astype(int), room.trained.control(room.examples[:1], read)[0], atol=1)


def test_z1_from_the_prior_follows_its_seed(room):
  f = room.codes(room.examples[0]).f
  one, same, other = (room.prior(seed, f) for seed in (3, 3, 4))
  np.testing.assert_array_equal(one.z1, same.z1)
  assert np.abs(one.z1 - other.z1).max() > 0.1
  np.testing.assert_array_equal(one.image, room.fusion(one.z1, f))


def test_a_file_is_turned_cropped_and_resized_as_in_training(room, tmp_path):
  half = PIL.Image.fromarray(np.repeat(np.array([[[0] * 3] * 10 + [[255] * 3] * 10], np.uint8), 20, 0))
  exif = PIL.Image.Exif()
  exif[0x0112] = 6  # the camera was turned
  half.save(tmp_path / "turned.png", exif=exif)
  image = room.codes(str(tmp_path / "turned.png")).image
  assert image[:10].max() == 0 and image[-10:].min() == 255


def test_a_file_that_is_no_image_is_refused_in_a_sentence(room, tmp_path):
  (tmp_path / "notes.png").write_text("no image")
  with pytest.raises(
    DataError, match=r"^notes\.png cannot be used as an image: cannot identify image file 'notes\.png'\.$"
  ):
    room.codes(str(tmp_path / "notes.png"))


def test_a_folder_without_examples_shows_images_from_the_prior(every_kind, tmp_path):
  model = TrainedModel(every_kind.model, class_names=every_kind.class_names)
  room = Room(TrainedRun(model, tmp_path))
  assert room.examples.shape == (8, 28, 28, 3) and room.examples.std(0).max() > 0
