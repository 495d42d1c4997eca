"""A picture of the fusions that judges find worst: nobody chose them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfdisent.pictures import Block, Sheet


class Judged(NamedTuple):
  """Fusions in which one part of f is another image's, and what a judge reads in them."""

  name: str
  """Of the part."""
  source: np.ndarray
  """Images that give the rest, uint8 [K, H, W, C]."""
  partner: np.ndarray
  """Images that give the part, uint8 [K, H, W, C]."""
  fusion: np.ndarray
  """uint8 [K, H, W, C]."""
  asked: Sequence[str]
  """The value of the part in `partner`, K words."""
  read: Sequence[str]
  """What the judge reads in `fusion`, K words."""


def judged_fusions(parts: Sequence[Judged], title: str = "") -> bytes:
  """`worst_sheet` as a PNG."""
  return worst_sheet(parts, title).png()


def worst_sheet(parts: Sequence[Judged], title: str = "") -> Sheet:
  """Three lines for each part: the sources, the images that give the part, and the fusions.

  Above each column stands what was asked for, and what the judge reads.
  """
  blocks = [
    Block(
      [part.source, part.partner, part.fusion],
      [f"asked: {asked}\nread: {read}" for asked, read in zip(part.asked, part.read)],
      ["image", f"gives {part.name}", "fusion"],
      f"{part.name}: what was asked for, and what the judge reads",
      (2, 0),
    )
    for part in parts
  ]
  return Sheet(tuple(blocks), "The fusions that the judges find worst; nobody chose them.", title)
