"""From a file of any kind to pixels: the one way in which images are read, in training and in use.

| what a file holds         | what becomes of it                                                                     |
|---------------------------|----------------------------------------------------------------------------------------|
| 8 bits, grey or RGB       | stays as it is                                                                         |
| 1 bit, palettes           | black and white; the colours of the palette                                            |
| CMYK, YCbCr, HSV, LAB     | RGB                                                                                    |
| transparency of any kind  | is composed on `background`                                                            |
| 16 bits                   | scaled from 0 to 65,535; from 0 to 4,095 if it says 12 bits, or no value is larger     |
| 32-bit integers           | as 8, 12 or 16 bits, by the largest value; refused if that is larger, or one is negative |
| floats                    | from 0 to 1 if no value is larger, else from 0 to 255; refused if that is not plain    |
| a turned camera (EXIF)    | is turned back                                                                         |
| several frames or pages   | the first one, and a note                                                              |

Then images are cropped at their centre and resized. `tfdisent.serving.decoding` does the same in the graph of an
exported model.
"""

import io
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import PIL.Image
import PIL.ImageCms
import PIL.ImageColor
import PIL.ImageOps
from absl import logging

from tfdisent.errors import ConfigError, shown

WHITE = (255, 255, 255)
FULL_8, FULL_12, FULL_16 = 2**8 - 1, 2**12 - 1, 2**16 - 1
"""The value that is white, in images of so many bits."""
ROUNDING = 1e-4
"""Floats that miss their range by so little are clipped."""
LEAST_BRIGHT = 16
"""Floats above 1, of which none is as large, are of no known range: as 0 to 255 they would be nearly black."""
BITS_PER_SAMPLE, PHOTOMETRIC = 258, 262
"""Tags of TIFF."""
SEVERAL = "it holds several images, of which the first is taken"
TWELVE = f"it has no value above {FULL_12:,}, so its numbers are taken to have 12 bits"


class Decoded(NamedTuple):
  """An image that was read.

  Attributes:
    image: uint8 [H, W, C].
    note: what a user should know of how it was read; "" for nothing.
  """

  image: np.ndarray
  note: str


def as_background(value: str | Sequence[int]) -> tuple[int, int, int]:
  """The colour that transparent pixels are composed on, as (red, green, blue) from 0 to 255.

      as_background("black")  # (0, 0, 0); also "#101010", or (16, 16, 16)

  Raises:
    ConfigError: it is no colour.
  """
  try:
    if isinstance(value, str):
      return PIL.ImageColor.getrgb(value)[:3]
    red, green, blue = (int(channel) if channel == int(channel) else -1 for channel in value)
    if min(red, green, blue) >= 0 and max(red, green, blue) <= FULL_8:
      return red, green, blue
  except (TypeError, ValueError, OverflowError):
    pass
  raise ConfigError(f"background = {shown(value)} is no colour: write 'white', '#ffffff' or (255, 255, 255).")


def decode(
  source: str | os.PathLike | bytes | PIL.Image.Image,
  shape: tuple[int, int, int],
  background: tuple[int, int, int] = WHITE,
) -> Decoded:
  """Reads one image.

      image, note = decode("cat.png", (64, 64, 3))

  Args:
    source: a file, its content, or an image of Pillow.
    shape: (H, W, C) that the image is made, with C = 1 for grey and 3 for RGB.
    background: as of `as_background`.

  Raises:
    ValueError: the file cannot be read, or holds numbers of an unknown range; the message says why.
  """
  try:
    if isinstance(source, PIL.Image.Image):
      return _decoded(source, shape, background)
    with PIL.Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
      return _decoded(image, shape, background)
  except ValueError:
    raise
  except Exception as error:  # Pillow raises many types for damaged files
    raise ValueError(str(error) or type(error).__name__) from error


def read_images(sources: Any, shape: tuple[int, int, int], background: tuple[int, int, int] = WHITE) -> Any:
  """Images of files or of Pillow, one or a list of them, as uint8 [B, H, W, C]; anything else is returned as it is.

  Raises:
    ValueError: a file cannot be read; the message names it.
  """
  kinds = (str, os.PathLike, PIL.Image.Image)
  sources = [sources] if isinstance(sources, kinds) else sources
  if not isinstance(sources, (list, tuple)) or not sources or not all(isinstance(one, kinds) for one in sources):
    return sources
  images = np.empty((len(sources), *shape), np.uint8)
  for number, source in enumerate(sources):
    try:
      images[number], note = decode(source, shape, background)
    except ValueError as error:
      what = "an image of Pillow" if isinstance(source, PIL.Image.Image) else source
      raise ValueError(f"{what} is no image ({error})") from error
    if note:
      logging.warning("%s: %s.", source, note)
  return images


def _decoded(image, shape, background) -> Decoded:
  # A photograph of a camera may hold a small copy of itself, as MPO: nobody needs to know.
  notes = [SEVERAL] if getattr(image, "is_animated", False) and image.format != "MPO" else []
  tags, form = getattr(image, "tag_v2", {}), image.format
  turned = PIL.ImageOps.exif_transpose(image)
  if turned.mode in ("I", "F") or turned.mode.startswith("I;"):
    turned, note = _of_numbers(turned, tags, form)
    notes += [note] * bool(note)
  return Decoded(fitted(turned, shape, background).reshape(shape), "; ".join(notes))


def fitted(image: PIL.Image.Image, shape: tuple[int, int, int], background: tuple[int, int, int] = WHITE) -> np.ndarray:
  """An image of 8 bits in grey (C = 1) or RGB (C = 3), cropped at its centre to H:W and resized.

  Args:
    image: of any mode of Pillow but numbers of more bits.
    shape: (H, W, C).
    background: as of `as_background`.

  Returns:
    uint8 [H, W] or [H, W, 3].

  Raises:
    ValueError: Pillow cannot convert the mode.
  """
  height, width, channels = shape
  if "transparency" in image.info or image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or _has_clear_palette(image):
    image = _composed(image, background)
  elif image.mode == "LAB":
    lab, rgb = PIL.ImageCms.createProfile("LAB"), PIL.ImageCms.createProfile("sRGB")
    image = PIL.ImageCms.profileToProfile(image, lab, rgb, outputMode="RGB")
  return np.asarray(PIL.ImageOps.fit(image.convert("RGB" if channels == 3 else "L"), (width, height)))


def as_png(image: np.ndarray) -> bytes:
  """An image, uint8 [H, W, C] with C of 1 or 3, as a PNG."""
  file = io.BytesIO()
  PIL.Image.fromarray(image[..., 0] if image.shape[2] == 1 else image).save(file, "png")
  return file.getvalue()


def _has_clear_palette(image) -> bool:
  return image.mode == "P" and image.palette is not None and image.palette.mode == "RGBA"


def _composed(image, background) -> PIL.Image.Image:
  """The image on the background, in RGB."""
  if image.mode == "La":
    image = image.convert("LA")  # Pillow knows no other way
  key = image.info.get("transparency")
  if image.mode == "RGB" and isinstance(key, tuple) and max(key) > FULL_8:
    # The file has 16 bits, of which Pillow has read the upper eight.
    image.info["transparency"] = tuple(channel >> 8 for channel in key)
  image = image.convert("RGBA")
  return PIL.Image.alpha_composite(PIL.Image.new("RGBA", image.size, (*background, FULL_8)), image).convert("RGB")


def _of_numbers(image, tags, form) -> tuple[PIL.Image.Image, str]:
  """A grey image of 8 bits from one of numbers, and a note.

  Args:
    image: of the modes I, F, or I;16 and the like.
    tags: of TIFF, of the file.
    form: the format of the file.
  """
  values = np.asarray(image)
  note = ""
  if image.mode == "F":
    full = _full_of_floats(values)
    values = np.clip(values, 0, full)
    grey = np.floor((full - values if tags.get(PHOTOMETRIC) == 0 else values) * np.float32(FULL_8 / full) + 0.5)
  else:
    full, note = _full_of_integers(values, image.mode != "I" or form in ("PNG", "PPM"), tags, form)
    values = values.astype(np.int64)
    grey = ((full - values if tags.get(PHOTOMETRIC) == 0 else values) * FULL_8 + full // 2) // full
  key = image.info.pop("transparency", None)
  image = PIL.Image.fromarray(grey.astype(np.uint8))
  if key is not None:
    image.putalpha(PIL.Image.fromarray(np.where(values == key, 0, FULL_8).astype(np.uint8)))
  return image, note


def _full_of_integers(values, has_16, tags, form) -> tuple[int, str]:
  """The value that is white, and a note.

  Args:
    values: [h, w].
    has_16: whether the file says that its values have 16 bits, or 12.
    tags, form: as of `_of_numbers`.
  """
  low, high = int(values.min()), int(values.max())
  if low < 0 or high > FULL_16:
    raise ValueError(
      f"its numbers, from {low:,} to {high:,}, are of no known range: save it with 8 bits, or with 16 from 0 to 65,535"
    )
  if tags.get(BITS_PER_SAMPLE) == (12,):
    return FULL_12, ""
  if form == "PPM":  # Pillow has scaled it to 16 bits
    return FULL_16, ""
  if high <= FULL_8 and not has_16:
    return FULL_8, ""
  return (FULL_12, TWELVE) if high <= FULL_12 else (FULL_16, "")


def _full_of_floats(values) -> int:
  """The value that is white, 1 or 255."""
  low, high = float(values.min()), float(values.max())  # NaN if any value is
  is_one = high <= 1 + ROUNDING
  if not (low >= -ROUNDING and (is_one or LEAST_BRIGHT <= high <= FULL_8 + ROUNDING)):
    raise ValueError(
      f"its floats, from {low:.7g} to {high:.7g}, are neither in 0 to 1 nor in 0 to 255: scale them to 0 to 1"
    )
  return 1 if is_one else FULL_8


def to_uint8(image: np.ndarray) -> np.ndarray:
  """Images in [0, 1] of any shape as uint8, rounded."""
  return np.rint(image * 255).astype(np.uint8)
