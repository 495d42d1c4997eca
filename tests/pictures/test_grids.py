"""Pictures of a run: what lies where, and what stands there."""

import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from tfdisent import pictures
from tfdisent.checkpoints import Checkpoint

EYE = np.eye(10, dtype=np.float32)


def image_at(sheet, row, column, block=0):
  """An image of a sheet, as large as the model made it."""
  return sheet.draw()[sheet.place(row, column, block)][:: sheet.zoom, :: sheet.zoom]


def sides(block):
  """Rows and columns of a block."""
  assert len({len(row) for row in block.rows}) == 1
  return len(block.rows), len(block.rows[0])


def assert_is(image, expected):
  """Equal up to one level: another batch may round in another way."""
  np.testing.assert_allclose(np.asarray(image).astype(int), expected, atol=1)


def test_a_fusion_grid_has_its_sources_along_the_edges(labels, x):
  columns = x[10:14]
  sheet = pictures.fusion_grid(labels, x[:3], columns, EYE[:4], EYE[[7, 8, 9]])
  (block,) = sheet.blocks
  assert sides(block) == (4, 5) and block.sources == (1, 1) and block.rows[0][0] is None
  assert block.columns == ["", "0", "1", "2", "3"] and block.lines == ["", "7", "8", "9"]
  for row in range(3):
    np.testing.assert_array_equal(image_at(sheet, row + 1, 0), x[row])
    for column in range(4):
      np.testing.assert_array_equal(image_at(sheet, 0, column + 1), columns[column])
      assert_is(image_at(sheet, row + 1, column + 1), labels.control(x[row : row + 1], np.array([column]))[0])
  assert sheet.caption == "Each row is the image at its left, with the digit_label of the image above."


def test_a_fusion_grid_takes_some_parts_alone(both, x, f_both):
  sheet = pictures.fusion_grid(both, x[:2], x[5:8], f_both[5:8], f_both[:2], parts=[1, 2])
  (block,) = sheet.blocks
  own, given = both.feature.to_natural(f_both[:2]), both.feature.to_natural(f_both[5:8])
  for row in range(2):
    for column in range(3):
      asked = {"digit_label": own["digit_label"][[row]], **{k: given[k][[column]] for k in ("color", "bold")}}
      assert_is(block.rows[row + 1][column + 1], both.control(x[[row]], asked)[0])
  assert block.columns[1].startswith("color: #") and block.columns[1].endswith(("\nbold: no", "\nbold: yes"))
  assert "digit" not in sheet.words and "with the color and bold of the image above, and nothing else" in sheet.caption


@pytest.mark.parametrize(("count", "widths"), [(32, [8, 8, 8, 8]), (10, [8, 2]), (3, [3])])
def test_reconstructions_lie_below_their_images(colors, x, count, widths):
  x = x[:count]
  f = Color().of_image(tf.constant(x / np.float32(255))).numpy()
  sheet = pictures.reconstruction_grid(colors, x, f)
  assert [sides(block) for block in sheet.blocks] == [(2, width) for width in widths]
  assert {tuple(block.lines) for block in sheet.blocks} == {("image", "made again")}
  x_rec, words = colors.reconstruct(x), pictures.part_words(Color(), f)
  for i in range(count):
    block, column = i // 8, i % 8
    np.testing.assert_array_equal(sheet.blocks[block].rows[0][column], x[i])
    assert_is(sheet.blocks[block].rows[1][column], x_rec[i])
    assert sheet.blocks[block].columns[column] == words[i]


def test_a_traversal_moves_one_code_and_then_the_other(labels, x):
  x, label = x[:2], np.array([4, 6])
  sheet = pictures.traversal_grid(labels, x, EYE, EYE[label])
  upper, lower = sheet.blocks
  assert (sides(upper), sides(lower)) == ((2, 11), (2, 9))
  assert upper.columns == ["", *"0123456789"] and lower.columns == [
    "",
    *(f"{k} %" for k in (0, 14, 29, 43, 57, 71, 86, 100)),
  ]
  assert upper.lines == lower.lines == ["4", "6"]
  z1 = labels.encode_z1(x)[0]
  for row in range(2):
    for block in (upper, lower):
      np.testing.assert_array_equal(block.rows[row][0], x[row])
    for digit in range(10):
      assert_is(upper.rows[row][digit + 1], labels.control(x[row : row + 1], np.array([digit]))[0])
    other = z1[1 - row] - z1[row]
    for column, share in ((1, 0), (3, 2 / 7), (8, 1)):  # from its own z1 to that of the other
      expected = 255 * labels.decode((z1[row] + np.float32(share) * other)[None], EYE[label[row : row + 1]])[0]
      assert_is(lower.rows[row][column], np.rint(expected))


def test_samples_share_z1_along_a_row(colors):
  f = np.array([[1, 0, 0], [0, 0, 1], [1, 0, 0]], np.float32)
  sheet = pictures.sample_grid(colors, f, rows=4, seed=3)
  (block,) = sheet.blocks
  assert sides(block) == (4, 3) and block.columns == ["#ff0000", "#0000ff", "#ff0000"]
  assert sheet.png() == pictures.sample_grid(colors, f, rows=4, seed=3).png()
  assert sheet.png() != pictures.sample_grid(colors, f, rows=4, seed=4).png()
  for row in block.rows:
    assert_is(row[0], row[2])
    assert (row[0] != row[1]).any()
  assert (block.rows[0][0] != block.rows[1][0]).any()


# --- Files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["labels", "colors"])
def test_the_pictures_of_a_run_are_eight_by_eight(kind, few_digits, tmp_path, request, monkeypatch):
  trained = request.getfixturevalue(kind)
  monkeypatch.setattr(trained, "checkpoint", Checkpoint("best", 3, 0))
  examples = {**few_digits.test, "label": np.arange(64) % 10}
  f = trained.feature.of_example({**examples, "image": examples["image"] / np.float32(255)}).numpy()
  sheets = pictures.pictures_of(trained, examples, f, "a run")
  assert list(sheets) == ["fusion", "reconstruction", "traversal"]
  assert [sides(block) for block in sheets["fusion"].blocks] == [(9, 9)]
  assert [sides(block) for block in sheets["reconstruction"].blocks] == [(2, 8)] * 4
  assert [sides(block) for block in sheets["traversal"].blocks] == [(4, 9)] * 2
  assert all(sheet.title == "a run" and sheet.caption and sheet.zoom >= 2 for sheet in sheets.values())
  for block in (*sheets["fusion"].blocks, *sheets["traversal"].blocks):
    assert all(block.columns[1:]) and all(block.lines[block.sources[0] :])
  paths = pictures.write_pictures(tmp_path, trained, examples, f)
  assert [path.name for path in paths] == [f"{name}.png" for name in sheets]
  title = f"{tmp_path.name} · best checkpoint, after epoch 3"
  for path, sheet in zip(paths, sheets.values()):
    assert path.read_bytes() == sheet.titled(title).png()


def test_each_part_has_pictures_of_its_own(both, few_digits, f_both):
  every = ["fusion", "reconstruction"]
  every += [f"{kind}_{name}" for name in ("digit_label", "color", "bold") for kind in ("fusion", "traversal")]
  sheets = pictures.pictures_of(both, few_digits.test, f_both)
  assert list(sheets) == every and list(pictures.pictures_of(both, few_digits.test, f_both, most=1)) == every[:4]
  (bold,) = sheets["fusion_bold"].blocks
  assert sides(bold) == (9, 3) and bold.columns == ["", "no", "yes"]


def test_the_pictures_of_few_examples(labels, few_digits, tmp_path):
  examples = {name: column[:4] for name, column in few_digits.test.items()}
  paths = pictures.write_pictures(tmp_path, labels, examples, EYE[examples["label"]])
  assert all(path.stat().st_size > 0 for path in paths)
