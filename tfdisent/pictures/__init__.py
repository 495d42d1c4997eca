"""Pictures of what a model does: fusions, reconstructions, traversals, samples and strips, all as a `Sheet`.

`sheet` draws rows of images with words along their edges; `words` has those words, and `choice` which examples are
shown. `grids` has the pictures that a training leaves, `figure` the one of a notebook. `samples` draws what
`--mode=sample --what=…` asks for: swaps, strips and morphs (`strips`) of the images that `sources` finds.
"""

from tfdisent.pictures.choice import path, pick
from tfdisent.pictures.figure import show_fusions
from tfdisent.pictures.grids import (
  SIDE,
  fusion_grid,
  pictures_of,
  reconstruction_grid,
  sample_grid,
  traversal_grid,
  write_pictures,
)
from tfdisent.pictures.samples import check_what, write_sample
from tfdisent.pictures.sheet import PAPER, Block, Sheet
from tfdisent.pictures.words import part_words, run_words, value_words

__all__ = [
  "PAPER",
  "SIDE",
  "Block",
  "Sheet",
  "check_what",
  "fusion_grid",
  "part_words",
  "path",
  "pick",
  "pictures_of",
  "reconstruction_grid",
  "run_words",
  "sample_grid",
  "show_fusions",
  "traversal_grid",
  "value_words",
  "write_pictures",
  "write_sample",
]
