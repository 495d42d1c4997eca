"""Writes copies of photographs with known changes of brightness, scale and place.

    python -m tests.jittered coil20 coil20_jittered --copies 4

The table has the rows of that of the source, copy after copy, so that every k-th row stays every k-th view, and four
more columns: `brightness`, a factor of the grey values in [0.6, 1]; `scale`, a factor of both sides in [0.75, 1]; and
`shift_x` and `shift_y`, in sides of the image, no further than keeps the picture within it.
"""

import argparse
import csv
import pathlib

import numpy as np
import tensorflow as tf
from scipy import ndimage

COLUMNS = ("brightness", "scale", "shift_x", "shift_y")


def jittered(image: np.ndarray, brightness: float, scale: float, shift_x: float, shift_y: float) -> np.ndarray:
  """A darker, smaller, shifted picture on black, uint8 [H, W, C], of one that is uint8 [H, W, C]."""
  side = np.array(image.shape[:2])
  middle = (side - 1) / 2
  start = middle - (middle + np.array([shift_y, shift_x]) * side) / scale
  planes = [
    ndimage.affine_transform(plane, [1 / scale, 1 / scale], start, order=1)
    for plane in np.moveaxis(image.astype(np.float64) * brightness, -1, 0)
  ]
  return np.rint(np.stack(planes, axis=-1)).astype(np.uint8)


def write(source: pathlib.Path, target: pathlib.Path, copies: int, seed: int) -> int:
  """The number of images that were written to `target`, beside its `table.csv`."""
  rng = np.random.default_rng(seed)
  with open(source / "table.csv", newline="") as file:
    rows = list(csv.DictReader(file))
  images = [tf.io.decode_image((source / row["file"]).read_bytes()).numpy() for row in rows]
  target.mkdir(parents=True)
  with open(target / "table.csv", "w", newline="") as file:
    table = csv.DictWriter(file, [*rows[0], *COLUMNS], lineterminator="\n")
    table.writeheader()
    for copy in range(copies):
      for row, image in zip(rows, images):
        scale = rng.uniform(0.75, 1)
        room = (1 - scale) / 2
        values = (rng.uniform(0.6, 1), scale, *rng.uniform(-room, room, 2))
        changes = dict(zip(COLUMNS, (round(float(value), 4) for value in values)))
        name = f"{pathlib.Path(row['file']).stem}_{copy}.png"
        tf.io.write_file(str(target / name), tf.io.encode_png(jittered(image, **changes)))
        table.writerow({**row, "file": name, **changes})
  return copies * len(rows)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument("source", type=pathlib.Path, help="a folder with table.csv, whose column `file` names the images")
  parser.add_argument("target", type=pathlib.Path, help="a folder that does not exist yet")
  parser.add_argument("--copies", type=int, default=4)
  parser.add_argument("--seed", type=int, default=0)
  arguments = parser.parse_args()
  print(write(arguments.source, arguments.target, arguments.copies, arguments.seed), "images in", arguments.target)


if __name__ == "__main__":
  main()
