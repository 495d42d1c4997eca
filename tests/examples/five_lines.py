"""Five lines that train a model on one's own images, and use it.

A folder `photos` has 240 squares and their table: whether one is bright, and how wide it is.
"""

import pathlib

import numpy as np
import PIL.Image

import tfdisent

draw, rows = np.random.default_rng(0), ["file,bright,width"]
pathlib.Path("photos").mkdir(exist_ok=True)
for i in range(240):
  bright, width = i % 2, int(draw.integers(6, 24))
  image = np.zeros([28, 28], np.uint8)
  image[2 : 2 + width, 2 : 2 + width] = draw.integers(200, 256) if bright else draw.integers(80, 120)
  PIL.Image.fromarray(image).save(f"photos/{i}.png")
  rows.append(f"{i}.png,{bright},{width}")
pathlib.Path("photos/table.csv").write_text("\n".join(rows), encoding="utf-8")

data = tfdisent.data.from_table("photos")
images, others = data.test["image"][:4], data.test["image"][4:8]
m = tfdisent.train(data, features=["bright", "width"], run_dir="runs/photos", epochs=3, fitting={"epochs": 1})
m.fuse(images, others)
m.control(images, {"width": 20})
m.evaluate("validation")
m.export("models")
