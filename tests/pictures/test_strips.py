"""Swaps, strips and morphs: which feature changes where, and the frames."""

import io

import numpy as np
import PIL.Image
import pytest

from features.number import Number
from features.pose import Rotation
from tests.pictures.test_grids import assert_is
from tfdisent.pictures import strips
from tfdisent.pictures.choice import path

DIGIT, COLOR, BOLD = range(3)


def test_a_swap_takes_one_feature_of_the_donor_after_the_other(both, x, f_both):
  sheet = strips.swap(both, x[:2], x[2:4], f_both[:2], f_both[2:4], [COLOR, DIGIT])
  (block,) = sheet.blocks
  assert block.columns == ["image", "donor", "color", "digit_label", "all of these"] and block.sources == (0, 2)
  own, given = both.feature.to_natural(f_both[:2]), both.feature.to_natural(f_both[2:4])
  for row, line in enumerate(block.rows):
    np.testing.assert_array_equal(line[0], x[row])
    np.testing.assert_array_equal(line[1], x[2 + row])
    for column, names in ((2, ["color"]), (3, ["digit_label"]), (4, ["color", "digit_label"])):
      asked = {name: (given if name in names else own)[name][[row]] for name in own}
      assert_is(line[column], both.control(x[[row]], asked)[0])


def test_a_swap_of_one_feature_has_one_column_for_it(labels, x):
  (block,) = strips.swap(labels, x[:1], x[1:2], np.eye(10)[:1], np.eye(10)[1:2], [0]).blocks
  assert block.columns == ["image", "donor", "digit_label"] and len(block.rows[0]) == 3


def test_a_strip_has_a_line_for_each_feature(both, x, f_both):
  sheet = strips.strip(both, x[0], f_both[0], f_both, [DIGIT, COLOR, BOLD])
  digit, color, bold = sheet.blocks
  assert [block.lines for block in sheet.blocks] == [["digit_label"], ["color"], ["bold"]]
  assert digit.columns == ["image", *"0123456789"] and bold.columns == ["", "no", "yes"] and len(color.columns) == 9
  assert len(set(color.columns)) == 9 and all(word.startswith("#") for word in color.columns[1:])
  own = both.feature.to_natural(f_both[:1])
  for k in range(10):
    assert_is(digit.rows[0][k + 1], both.control(x[:1], {**own, "digit_label": [k]})[0])
  for k in range(2):
    assert_is(bold.rows[0][k + 1], both.control(x[:1], {**own, "bold": [k]})[0])
  for block in sheet.blocks:
    np.testing.assert_array_equal(block.rows[0][0], x[0])


def frames_of(animation):
  image = PIL.Image.open(io.BytesIO(animation.png()))
  frames, milliseconds = [], []
  for k in range(image.n_frames):
    image.seek(k)
    frames.append(np.array(image.convert("RGB")))
    milliseconds.append(image.info["duration"])
  assert image.info["loop"] == 0  # again and again
  return frames, milliseconds


def test_a_morph_shows_each_class_and_what_lies_between(both, x, f_both):
  animation = strips.morph(both, x[:2], f_both[:2], f_both, DIGIT)
  frames, milliseconds = frames_of(animation)
  assert len(frames) == len(animation.sheets) == 40 and milliseconds == [700, 90, 90, 90] * 10
  for frame, sheet in zip(frames, animation.sheets):
    np.testing.assert_array_equal(frame, sheet.draw())
    for column in range(2):  # the images stay
      np.testing.assert_array_equal(sheet.blocks[0].rows[0][column], x[column])
  assert [sheet.blocks[0].heading for sheet in animation.sheets[:5]] == [f"digit_label: {k}" for k in (0, 0, 1, 1, 1)]
  own = both.feature.to_natural(f_both[:2])
  for k in (0, 9):
    assert_is(animation.sheets[4 * k].blocks[0].rows[1], both.control(x[:2], {**own, "digit_label": [k, k]}))
  half = f_both[:2].copy()
  half[:, :10] = (np.eye(10)[9] + np.eye(10)[0]) / 2  # from the last class to the first
  expected = both.decode(both.encode_z1(x[:2])[0], both.encode_z2(half))
  assert_is(animation.sheets[38].blocks[0].rows[1], np.rint(255 * expected))
  assert animation.png() == strips.morph(both, x[:2], f_both[:2], f_both, DIGIT).png()


def test_a_morph_of_a_range_goes_up_and_down(both, x, f_both):
  animation = strips.morph(both, x[:1], f_both[:1], f_both, COLOR).titled("a run")
  words = [sheet.blocks[0].heading for sheet in animation.sheets]
  assert len(words) == 34 and words[1:17] == words[:17:-1] and len(set(words)) == 18
  assert {sheet.title for sheet in animation.sheets} == {"a run"}
  assert len({sheet.draw().shape for sheet in animation.sheets}) == 1


@pytest.mark.parametrize(
  ("feature", "natural", "closed"),
  [(Rotation("azimuth", 360.0), [0.0, 10.0], True), (Number("age", mean=40.0, scale=10.0), [20.0, 60.0], False)],
)
def test_an_angle_goes_around_and_a_number_comes_back(feature, natural, closed):
  known = feature.to_vector(np.float32(natural))
  values, told, milliseconds = strips._frames(feature, known)
  there = path(feature, known, 18)
  np.testing.assert_array_equal(values, there if closed else [*there, *there[-2:0:-1]])
  np.testing.assert_array_equal(told, values)
  steps = np.linalg.norm(np.diff([*values, values[0]], axis=0), axis=1)
  np.testing.assert_allclose(steps, steps[0], rtol=1e-3)  # no leap, not even from the end to the beginning
  assert milliseconds == [90] * len(values)
