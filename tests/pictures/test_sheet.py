"""Sheets: where images and words lie."""

import io
import itertools

import numpy as np
import PIL.Image
import pytest

from tfdisent.pictures import sheet as module
from tfdisent.pictures.sheet import FAINT, GAP, INK, PAPER, Block, Sheet, length, wrapped


def images(count, height=8, width=8, channels=3):
  shape = (count, height, width, channels)
  return np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)


def is_paper(pixels):
  return (pixels == PAPER).all()


@pytest.mark.parametrize(("size", "zoom"), [((8, 8), 12), ((28, 28), 4), ((64, 64), 2), ((95, 40), 2), ((96, 96), 1)])
def test_small_images_are_enlarged_by_whole_factors_without_interpolation(size, zoom):
  x = images(2, *size)
  sheet = Sheet((Block([[x[0], None], [None, x[1]]]),))
  picture = sheet.draw()
  assert sheet.zoom == zoom and picture.dtype == np.uint8 and picture.shape[2] == 3
  for (row, column), image in (((0, 0), x[0]), ((1, 1), x[1])):
    there = picture[sheet.place(row, column)]
    assert there.shape == (zoom * size[0], zoom * size[1], 3)
    for dy, dx in {(0, 0), (zoom - 1, 0), (0, zoom - 1)}:
      np.testing.assert_array_equal(there[dy::zoom, dx::zoom], image)
  assert is_paper(picture[sheet.place(0, 1)]) and is_paper(picture[sheet.place(1, 0)])


def test_a_grey_image_is_shown_in_grey():
  (x,) = images(1, channels=1)
  sheet = Sheet((Block([[x]]),))
  np.testing.assert_array_equal(sheet.draw()[sheet.place(0, 0)][::12, ::12], np.repeat(x, 3, 2))


def test_sources_are_set_apart_and_blocks_lie_one_below_the_other():
  x = images(9)
  rows = [x[:3], x[3:6], x[6:]]
  plain, apart = Sheet((Block(rows),)), Sheet((Block(rows, sources=(1, 1)),) * 2)

  def gaps(sheet, axis):
    places = [sheet.place(*((k, 0) if axis == 0 else (0, k)))[axis] for k in range(3)]
    return [b.start - a.stop for a, b in itertools.pairwise(places)]

  assert gaps(plain, 0) == gaps(plain, 1) == [GAP, GAP]
  assert gaps(apart, 0) == gaps(apart, 1) == [module.APART, GAP]
  assert apart.place(0, 0, block=1)[0].start > apart.place(2, 0)[0].stop


def test_words_stand_above_their_column_beside_their_row_and_at_the_top():
  x = images(4)
  bare = Sheet((Block([x[:2], x[2:]], ["", ""], ["", "row"]),))
  told = Sheet((Block([x[:2], x[2:]], ["", "column"], ["", "row"]),))
  rows, columns = told.place(0, 1)
  before, after = bare.draw(), told.draw()
  assert not is_paper(after[: rows.start, columns]) and is_paper(after[: rows.start, : columns.start])
  rows, columns = told.place(1, 0)
  assert not is_paper(after[rows, : columns.start]) and is_paper(after[: rows.start - GAP, : columns.start])
  titled = told.titled("A run")
  shift = titled.place(0, 0)[0].start - told.place(0, 0)[0].start
  assert shift == module.line_height("title")
  np.testing.assert_array_equal(titled.draw()[-200:], after[-200:])
  assert (before[bare.place(1, 1)] == after[told.place(1, 1)]).all()
  assert np.array_equal(told.draw(), after)


def test_a_color_is_shown_as_such():
  (x,) = images(1)
  sheet = Sheet((Block([[x]], ["hair: #12ab34"]),))
  pixels = sheet.draw()[: sheet.place(0, 0)[0].start].reshape(-1, 3)
  width, height = module.SWATCH
  assert (pixels == (0x12, 0xAB, 0x34)).all(1).sum() == (width - 2) * (height - 2)
  assert (pixels == FAINT).all(1).sum() >= 2 * (width + height) - 4
  assert (pixels == INK).all(1).any()


def test_all_words_are_told_to_who_does_not_see_them():
  block = Block(images(2)[None], ["one", "two\nlines"], ["row"], "heading")
  assert Sheet((block, block), "A caption.", "run").words == "run; A caption.; heading; one; two lines; row"


@pytest.mark.parametrize(
  "text",
  [
    "theCaesarAndSidePart",
    "straight_and_strand",
    "a b c d e f g h i j k l",
    "x" * 60,
    "W" * 9,
    "#ff0000 #00ff00 #0000ff",
  ],
)
def test_long_words_are_broken_into_lines_that_fit(text):
  lines = wrapped(text, "label", 80)
  assert len(lines) > 1 and all(0 < length(line, "label") <= 80 for line in lines)
  assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_words_are_broken_where_they_may_be():
  assert wrapped("theCaesarAndSidePart", "label", 100) == ["theCaesar", "AndSidePart"]
  assert wrapped("10 Bold Oblique", "label", 80) == ["10 Bold", "Oblique"]
  assert wrapped("one\n\ntwo", "label", 80) == ["one", "two"] and wrapped(" ", "label", 80) == []


def test_too_many_lines_end_in_dots():
  lines = wrapped("word " * 60, "caption", 200)
  assert len(lines) == module.MOST_LINES["caption"] and lines[-1].endswith("…")
  assert all(length(line, "caption") <= 200 for line in lines)


def test_a_column_of_narrow_images_has_room_for_words():
  narrow = Sheet((Block(images(3, 96, 4)[None], ["a", "b", "c"]),))
  starts = [narrow.place(0, k)[1].start for k in range(3)]
  assert set(np.diff(starts)) == {module.NARROWEST_COLUMN + GAP}


def test_a_png_is_the_picture_and_always_the_same():
  sheet = Sheet((Block(images(2)[None], ["a", "b"], ["row"]),), "A caption.", "A run")
  png = sheet.png()
  assert png == sheet.png()
  np.testing.assert_array_equal(np.array(PIL.Image.open(io.BytesIO(png))), sheet.draw())


def test_it_can_be_read_in_dark_and_light_surroundings():
  """By the contrast that WCAG asks of small text."""

  def luminance(color):
    c = np.array(color) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

  for color in (INK, FAINT):
    assert (luminance(PAPER) + 0.05) / (luminance(color) + 0.05) > 4.5
