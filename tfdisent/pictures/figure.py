"""Fusions as a figure of matplotlib, which a notebook shows."""

import numpy as np
from matplotlib.figure import Figure

from tfdisent.arguments import checked
from tfdisent.data.pixels import to_uint8
from tfdisent.errors import DataError
from tfdisent.inference import Natural, TrainedModel
from tfdisent.pictures.grids import fusion_grid
from tfdisent.pictures.sheet import Sheet
from tfdisent.pictures.words import run_words


class Picture(Figure):
  """A sheet as a figure, pixel by pixel. A notebook shows it once, whether pyplot was imported or not.

  Attributes:
    sheet: what is shown.
  """

  def __init__(self, sheet: Sheet):
    pixels = sheet.draw()
    super().__init__(figsize=(pixels.shape[1] / 100, pixels.shape[0] / 100), dpi=100)
    self.sheet = sheet
    axes = self.add_axes((0, 0, 1, 1))
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()

  def _repr_png_(self) -> bytes:
    return self.sheet.png()


@checked("show_fusions")
def show_fusions(
  trained: TrainedModel,
  images: np.ndarray,
  feature_images: np.ndarray | None = None,
  feature: Natural | None = None,
) -> Figure:
  """A figure of fusions, which a notebook shows: rows keep their image, columns have the feature that is written above.

      tfdisent.show_fusions(trained, images[:4], others[:6])

  Args:
    trained: the model.
    images: that give z1, [R, H, W, C], as `TrainedModel` takes them.
    feature_images: that give the feature, [K, H, W, C]; None for `images`.
    feature: that of `feature_images` in its natural form; None to read it from them.

  Raises:
    DataError: images have another shape or range.
    FeatureError: no feature is given, and it cannot be read from images; or the one that is given is wrong.
  """
  x, _ = trained.as_images(images)
  x_partner = x if feature_images is None else trained.as_images(feature_images, "feature_images")[0]
  f = trained.feature.to_vector(trained.encode(x_partner).feature if feature is None else feature)
  rows, columns = to_uint8(x), to_uint8(x_partner)
  for name, given in (("images", rows), ("feature_images", columns)):
    if not len(given):
      raise DataError(f"{name} are none: give one or more.")
  if len(f) != len(columns):
    raise DataError(f"feature has {len(f)} values, and there are {len(columns)} feature_images.")
  folder = trained.run_dir
  title = run_words(folder.absolute().name if folder else "", trained.checkpoint)
  return Picture(fusion_grid(trained, rows, columns, f).titled(title))
