"""What `tests.jittered` does to a photograph, and what its table says of it."""

import csv

import numpy as np
import PIL.Image
import pytest

from tests import jittered


@pytest.fixture(scope="module")
def square():
  """A grey square of 20 pixels in the middle of a black image of 64, [64, 64, 1]."""
  image = np.zeros([64, 64, 1], np.uint8)
  image[22:42, 22:42] = 200
  return image


def place(image):
  """The middle (y, x) of what is bright, in pixels."""
  return [float((image.sum(axis=axis) * np.arange(64)).sum() / image.sum()) for axis in (1, 0)]


def test_a_copy_is_darker_smaller_and_moved_as_it_says(square):
  changed = jittered.jittered(square, brightness=0.5, scale=0.8, shift_x=0.125, shift_y=-0.0625)[..., 0].astype(float)
  assert changed.max() == 100
  assert changed.sum() == pytest.approx(0.5 * 0.8**2 * square.sum(), rel=0.02)
  assert place(changed) == pytest.approx([31.5 - 4, 31.5 + 8], abs=0.05)
  assert np.array_equal(jittered.jittered(square, 1, 1, 0, 0), square)


def test_the_table_has_a_row_for_each_copy_in_the_order_of_the_source(square, tmp_path):
  source, target = tmp_path / "source", tmp_path / "target"
  source.mkdir()
  for name in "ab":
    PIL.Image.fromarray(square[..., 0]).save(source / f"{name}.png")
  (source / "table.csv").write_text("file,azimuth\na.png,0\nb.png,5\n")
  assert jittered.write(source, target, copies=3, seed=0) == 6
  with open(target / "table.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  assert [row["azimuth"] for row in rows] == ["0", "5"] * 3
  assert len({row["brightness"] for row in rows}) == 6
  for row in rows:
    scale, shift = float(row["scale"]), max(abs(float(row[name])) for name in ("shift_x", "shift_y"))
    assert 0.6 <= float(row["brightness"]) <= 1 and 0.75 <= scale <= 1 and shift <= (1 - scale) / 2 + 1e-4
    image = np.asarray(PIL.Image.open(target / row["file"]), float)
    middle = [31.5 + 64 * float(row[name]) for name in ("shift_y", "shift_x")]
    assert place(image) == pytest.approx(middle, abs=0.1)
    assert image.max() == pytest.approx(200 * float(row["brightness"]), abs=1)
