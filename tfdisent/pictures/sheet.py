"""Sheets: rows of images with words along their edges, under a title. All pictures of a run have this one look.

A sheet has a light ground of its own, so that it can be read on a dark page, too, and both black and white images stand
out from it.
"""

import dataclasses
import functools
import re
from collections.abc import Iterator, Sequence

import numpy as np
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

from tfdisent.data.pixels import as_png

PAPER, INK, FAINT = (233, 236, 240), (28, 32, 38), (84, 92, 103)
MARGIN, GAP, APART = 16, 4, 10
"""Pixels around a sheet, between two images, and between sources and what is made of them."""
SMALLEST_IMAGE = 96
"""Pixels: a smaller image is enlarged until its longer side has so many."""
NARROWEST_COLUMN, NARROWEST_SHEET, WIDEST_LINE_LABEL = 72, 440, 140
"""Pixels, so that words have room above a column, in the title, and at the left of a row."""
SIZES = {"title": 18, "caption": 14, "heading": 14, "label": 14}
"""Pixels of each kind of text: a page may show the picture at two thirds of its size."""
MOST_LINES = {"title": 2, "caption": 4, "heading": 1, "label": 12}
SWATCH = (28, 14)
"""Width and height of what shows a colour in a text."""

_COLOR = re.compile(r"(#[0-9a-f]{6})\b")
_PIECES = re.compile(r"#[0-9a-f]{6}\b[\s,]*|[A-Z]?[^\sA-Z_/,-]+[\s_/,-]*|.", re.DOTALL)
"""Where a text may be broken: after a space or a sign, and before a capital; never within a colour."""


@dataclasses.dataclass(frozen=True)
class Block:
  """Rows of images with words along two edges.

  A text "#ff8000" within these words is shown as that colour.

  Attributes:
    rows: images, uint8 [H, W, C] with C of 1 or 3, all of one size; None leaves the place empty.
    columns: words above each column.
    lines: words at the left of each row.
    heading: a line above all.
    sources: how many of the first rows, and of the first columns, are no results: they are set apart.
  """

  rows: Sequence[Sequence[np.ndarray | None]]
  columns: Sequence[str] = ()
  lines: Sequence[str] = ()
  heading: str = ""
  sources: tuple[int, int] = (0, 0)


@dataclasses.dataclass(frozen=True)
class Sheet:
  """A picture of some blocks, one below the other.

      Sheet("my run", "Each column has the digit above it.", (Block([[x, *fusions]], columns=["", "3", "4"]),)).png()

  Attributes:
    blocks: all of their images have one size.
    caption: says what the picture shows.
    title: the run and its checkpoint; "" for none.
  """

  blocks: tuple[Block, ...]
  caption: str = ""
  title: str = ""

  @property
  def zoom(self) -> int:
    """How many times as wide and high as in the model an image is: a whole number."""
    return -(-SMALLEST_IMAGE // max(self._image.shape[:2]))

  @property
  def words(self) -> str:
    """All words of the sheet in one line, for whoever does not see it."""
    texts = [self.title, self.caption]
    for block in self.blocks:
      texts += [block.heading, *block.columns, *block.lines]
    return "; ".join(dict.fromkeys(" ".join(text.split()) for text in texts if text.strip()))

  def titled(self, title: str) -> "Sheet":
    """The same under a title."""
    return dataclasses.replace(self, title=title)

  def draw(self) -> np.ndarray:
    """The picture, uint8 [H, W, 3]."""
    texts, boxes, (height, width) = self._layout()
    picture = Image.new("RGB", (width, height), PAPER)
    canvas = ImageDraw.Draw(picture)
    for (x, y), text, kind in texts:
      _write(canvas, x, y, text, kind)
    pixels = np.array(picture)
    for (block, row, column), (y, x) in boxes.items():
      image = self.blocks[block].rows[row][column]
      if image is not None:
        large = image.repeat(self.zoom, 0).repeat(self.zoom, 1)
        pixels[y : y + large.shape[0], x : x + large.shape[1]] = large  # grey becomes red, green and blue
    return pixels

  def png(self) -> bytes:
    """The picture as a PNG."""
    return as_png(self.draw())

  def place(self, row: int, column: int, block: int = 0) -> tuple[slice, slice]:
    """Rows and columns of the picture's pixels that hold an image."""
    (y, x), (height, width) = self._layout()[1][block, row, column], self._image.shape[:2]
    return slice(y, y + self.zoom * height), slice(x, x + self.zoom * width)

  @property
  def _image(self):
    return next(image for block in self.blocks for row in block.rows for image in row if image is not None)

  def _layout(self):
    """Texts as ((x, y), line, kind), the places (y, x) of images by (block, row, column), and the (height, width)."""
    height, width = (self.zoom * side for side in self._image.shape[:2])
    pitch = max(width, NARROWEST_COLUMN)
    beside = [[wrapped(text, "label", WIDEST_LINE_LABEL) for text in block.lines] for block in self.blocks]
    widest = max((length(line, "label") for labels in beside for lines in labels for line in lines), default=0)
    left = MARGIN + (widest + APART if widest else 0)

    def column_x(block, column):
      return left + column * (pitch + GAP) + (APART - GAP if 0 < block.sources[1] <= column else 0)

    ends = [column_x(block, len(row) - 1) + pitch for block in self.blocks for row in block.rows]
    right = max(NARROWEST_SHEET - MARGIN, *ends)
    texts, boxes, y = [], {}, MARGIN

    def text(kind, words):
      nonlocal y
      for line in wrapped(words, kind, right - MARGIN):
        texts.append(((MARGIN, y), line, kind))
        y += line_height(kind)

    text("title", self.title)
    text("caption", self.caption)
    for number, block in enumerate(self.blocks):
      y += APART
      text("heading", block.heading)
      above = [wrapped(words, "label", pitch) for words in block.columns]
      bottom = y + line_height("label") * max(map(len, above), default=0)
      for column, lines in enumerate(above):
        for k, line in enumerate(reversed(lines)):
          x = column_x(block, column) + (pitch - length(line, "label")) // 2
          texts.append(((x, bottom - (k + 1) * line_height("label")), line, "label"))
      y = bottom + (GAP if above else 0)
      for row, images in enumerate(block.rows):
        y += APART - GAP if row == block.sources[0] > 0 else 0
        lines = beside[number][row] if block.lines else []
        middle = y + (height - line_height("label") * len(lines)) // 2
        for k, line in enumerate(lines):
          x = MARGIN + widest - length(line, "label")
          texts.append(((x, middle + k * line_height("label")), line, "label"))
        for column in range(len(images)):
          boxes[number, row, column] = y, column_x(block, column) + (pitch - width) // 2
        y += height + GAP
      y -= GAP
    return texts, boxes, (y + MARGIN, right + MARGIN)


# --- Words ------------------------------------------------------------------------------------------------------------


@functools.cache
def _font(kind: str) -> ImageFont.FreeTypeFont:
  """DejaVu comes with matplotlib, so that pictures look alike wherever they are drawn."""
  weight = "bold" if kind in ("title", "heading") else "normal"
  path = font_manager.findfont(font_manager.FontProperties(family="DejaVu Sans", weight=weight))
  return ImageFont.truetype(path, SIZES[kind], layout_engine=ImageFont.Layout.BASIC)


def line_height(kind: str) -> int:
  """Pixels from a line of text to the next one."""
  return SIZES[kind] * 4 // 3 + 1


def length(line: str, kind: str) -> int:
  """Width of a line in pixels."""
  return round(sum(width for _, width in _pieces(line, kind)))


def _pieces(line: str, kind: str) -> Iterator[tuple[str, float]]:
  """Texts and colours of a line with their widths."""
  for piece in filter(None, _COLOR.split(line)):
    yield piece, SWATCH[0] if _COLOR.fullmatch(piece) else _font(kind).getlength(piece)


def wrapped(text: str, kind: str, width: int) -> list[str]:
  """A text as lines that are not wider than `width` pixels; what is too long ends in "…"."""
  lines = [line for part in text.split("\n") for line in _wrapped_line(" ".join(part.split()), kind, width)]
  most = MOST_LINES[kind]
  if len(lines) > most:
    lines = lines[:most]
    while lines[-1] and length(lines[-1] + "…", kind) > width:
      lines[-1] = lines[-1][:-1]
    lines[-1] += "…"
  return lines


def _wrapped_line(text: str, kind: str, width: int) -> Iterator[str]:
  line = ""
  for piece in _PIECES.findall(text):
    if line and length((line + piece).rstrip(), kind) > width:
      yield line.rstrip()
      line = ""
    line += piece
    while length(line.rstrip(), kind) > width and len(line) > 1 and not _COLOR.match(line):  # a word that is too long
      most = next(k for k in range(len(line) - 1, 0, -1) if k == 1 or length(line[:k], kind) <= width)
      yield line[:most]
      line = line[most:]
  if line.strip():
    yield line.rstrip()


def _write(canvas: ImageDraw.ImageDraw, x: int, y: int, line: str, kind: str) -> None:
  for piece, width in _pieces(line, kind):
    if _COLOR.fullmatch(piece):
      top = y + (line_height(kind) - SWATCH[1]) // 2
      canvas.rectangle((x, top, x + SWATCH[0] - 1, top + SWATCH[1] - 1), piece, FAINT)
    else:
      canvas.text((x, y), piece, FAINT if kind == "caption" else INK, _font(kind))
    x += width
