"""The figure of a notebook."""

import io
import pathlib

import numpy as np
import PIL.Image

from tfdisent import show_fusions
from tfdisent.checkpoints import Checkpoint


def test_a_figure_is_the_sheet_pixel_by_pixel(colors, x, monkeypatch):
  monkeypatch.setattr(colors, "run_dir", pathlib.Path("/runs/ink"), raising=False)
  monkeypatch.setattr(colors, "checkpoint", Checkpoint("best", 2, 0))
  figure = show_fusions(colors, x[:2], x[2:5])
  pixels = figure.sheet.draw()
  np.testing.assert_array_equal(np.array(PIL.Image.open(io.BytesIO(figure._repr_png_()))), pixels)
  file = io.BytesIO()
  figure.savefig(file, format="png")
  np.testing.assert_array_equal(np.array(PIL.Image.open(file))[..., :3], pixels)
  assert figure.sheet.title == "ink · best checkpoint, after epoch 2"
  (block,) = figure.sheet.blocks
  assert len(block.rows) == 3 and len(block.rows[0]) == 4 and all(word.startswith("#") for word in block.columns[1:])
