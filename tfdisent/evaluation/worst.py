"""A picture of the fusions that judges find worst: nobody chose them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from tfdisent import pictures


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


def judged_fusions(parts: Sequence[Judged]) -> bytes:
  """A PNG with three lines for each part: the sources, the images that give the part, and the fusions.

  Above each column stands what was asked for, and what the judge reads.
  """
  columns = max(len(part.fusion) for part in parts)
  height, width, _ = parts[0].fusion.shape[1:]
  inches = 3 * height / width + 0.8
  figure = pictures.Picture(figsize=(1.2 * columns + 1, 1.2 * inches * len(parts)), layout="constrained")
  for axes, part in zip(figure.subplots(len(parts), squeeze=False)[:, 0], parts):
    rows = [[*images] for images in (part.source, part.partner, part.fusion)]
    pictures.draw(axes, pictures.tile([[*row, *[None] * (columns - len(row))] for row in rows]))
    words = [f"{asked}\nread: {read}" for asked, read in zip(part.asked, part.read)]
    axes.set_xticks(pictures.middles(width, len(words)), words, parse_math=False)
    axes.set_yticks(pictures.middles(height, 3), ["source", f"gives\n{part.name}", "fusion"], parse_math=False)
    axes.tick_params(labelsize=7)
    axes.set_title(f"{part.name}: asked for, and read by the judge", fontsize=9, parse_math=False)
  return figure._repr_png_()
