"""What becomes of a file of any kind: its true range, its ground, its orientation; or a refusal in words."""

import io
import struct

import hypothesis
import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import strategies as st

from tfdisent.data.pixels import SEVERAL, TWELVE, as_background, as_png, decode, fitted, read_images
from tfdisent.errors import ConfigError


def saved(image, form="PNG", **options) -> bytes:
  file = io.BytesIO()
  image.save(file, form, **options)
  return file.getvalue()


def grey(content, size=(4, 4)) -> np.ndarray:
  """The pixels of a file of that size, as they are."""
  return decode(content, (*size, 1)).image[..., 0].astype(int)


def rgb(content, background=(255, 255, 255)) -> tuple:
  """The first pixel of a file of 4x4 pixels."""
  return tuple(decode(content, (4, 4, 3), background).image[0, 0].tolist())


def full(value, dtype) -> PIL.Image.Image:
  return PIL.Image.fromarray(np.full((4, 4), value, dtype))


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
  mode=st.sampled_from(["L", "RGB", "1", "P", "CMYK", "YCbCr", "HSV"]),
  size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
  shape=st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([1, 3])),
  orientation=st.integers(1, 8),
  seed=st.integers(0, 9),
)
def test_what_has_8_bits_and_no_transparency_stays_as_it_always_was(mode, size, shape, orientation, seed):
  noise = np.random.default_rng(seed).integers(256, size=(*size, 3), dtype=np.uint8)
  image = PIL.Image.fromarray(noise).convert(mode)
  image.getexif()[0x0112] = orientation
  turned = PIL.ImageOps.exif_transpose(image).convert("RGB" if shape[2] == 3 else "L")
  expected = np.asarray(PIL.ImageOps.fit(turned, shape[1::-1])).reshape(shape)
  np.testing.assert_array_equal(decode(image, shape).image, expected)


# --- Ranges -----------------------------------------------------------------------------------------------------------

RAMP = np.linspace(0, 1, 16).reshape(4, 4)
LEVELS = np.rint(RAMP * 255).astype(int)


@pytest.mark.parametrize(
  ("form", "dtype", "white"),
  [
    ("PNG", np.uint16, 65535),
    ("TIFF", np.uint16, 65535),
    ("TIFF", ">u2", 65535),
    ("PPM", np.uint16, 65535),
    ("PNG", np.uint16, 4095),
    ("TIFF", np.uint16, 4095),
    ("TIFF", np.int32, 65535),
    ("TIFF", np.int32, 4095),
    ("TIFF", np.int32, 255),
    ("TIFF", np.float32, 1),
    ("TIFF", np.float32, 255),
  ],
)
def test_numbers_are_scaled_from_black_to_white(form, dtype, white):
  values = RAMP * white if dtype == np.float32 else np.rint(RAMP * white)
  content = saved(PIL.Image.fromarray(values.astype(dtype)), form)
  image, note = decode(content, (4, 4, 1))
  np.testing.assert_allclose(image[..., 0], LEVELS, atol=0 if white != 255 else 1)
  assert note == (TWELVE if white == 4095 else "")


def test_a_tiff_of_12_bits_is_scaled_by_what_it_says():
  """Two values of 12 bits are in three bytes; Pillow cannot write them."""
  tags = [(256, 2), (257, 2), (258, 12), (259, 1), (262, 1), (273, 8 + 2 + 9 * 12 + 4), (277, 1), (278, 2), (279, 6)]
  entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, value) for tag, value in tags)
  pixels = bytes([0x00, 0x01, 0x00, 0x80, 0x0F, 0xFF])  # 0, 256; 2048, 4095
  content = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + pixels
  image, note = decode(content, (2, 2, 1))
  np.testing.assert_array_equal(image[..., 0], np.rint(np.array([[0, 256], [2048, 4095]]) / 4095 * 255))
  assert not note
  dark = content[:-6] + bytes([0x00, 0x00, 0x10, 0x00, 0x20, 0x10])
  assert decode(dark, (2, 2, 1)).image.max() < 40  # and not by its largest value


def test_white_may_be_zero():
  for dtype, white, expected in (
    (np.uint8, 255, LEVELS),
    (np.uint16, 65535, 255 - LEVELS),
    (np.float32, 1, 255 - LEVELS),
  ):
    content = saved(PIL.Image.fromarray((RAMP * white).astype(dtype)), "TIFF", tiffinfo={262: 0})
    np.testing.assert_allclose(grey(content), expected, atol=3)  # of 8 bits, Pillow turns the values when it writes


def test_one_bit_is_black_and_white():
  bits = PIL.Image.fromarray(np.uint8([[0, 255, 0, 255]] * 4)).convert("1")
  for form in ("PNG", "TIFF", "BMP"):
    np.testing.assert_array_equal(grey(saved(bits, form)), [[0, 255, 0, 255]] * 4)


@pytest.mark.parametrize(
  ("values", "words"),
  [
    (np.int32([-1, 5]), "its numbers, from -1 to 5, are of no known range"),
    (np.int32([0, 65536]), "from 0 to 65,536, .*: save it with 8 bits"),
    (np.int32([0, 2**31 - 1]), "from 0 to 2,147,483,647"),
    (np.float32([0, 255.5]), "its floats, from 0 to 255.5, are neither in 0 to 1 nor in 0 to 255: scale them"),
    (np.float32([-0.5, 1]), "from -0.5 to 1"),
    (np.float32([0, 1.01]), "from 0 to 1.01"),  # else it would be nearly black
    (np.float32([np.nan, 1]), "from nan"),
    (np.float32([np.inf, 1]), "to inf"),
  ],
)
def test_numbers_of_no_known_range_are_refused(values, words):
  with pytest.raises(ValueError, match=words):
    decode(saved(PIL.Image.fromarray(values[None]), "TIFF"), (1, 2, 1))


def test_floats_that_miss_the_range_by_rounding_are_clipped():
  np.testing.assert_array_equal(
    grey(saved(PIL.Image.fromarray(np.float32([[-1e-6, 1.000001]])), "TIFF"), (1, 2)), [[0, 255]]
  )


# --- Colours and transparency -----------------------------------------------------------------------------------------


def test_lab_and_cmyk_become_rgb():
  for lab, expected in (((255, 128, 128), 255), ((0, 128, 128), 0), ((137, 128, 128), 128)):
    content = saved(PIL.Image.new("LAB", (4, 4), lab), "TIFF")
    np.testing.assert_allclose(rgb(content), [expected] * 3, atol=4)
  red, blue = (rgb(saved(PIL.Image.new("LAB", (4, 4), lab), "TIFF")) for lab in ((136, 208, 195), (82, 207, 20)))
  assert red[0] > 200 > 60 > max(red[1:]) and blue[2] > 200 > 100 > max(blue[:2])
  for form in ("TIFF", "JPEG"):
    np.testing.assert_allclose(rgb(saved(PIL.Image.new("CMYK", (4, 4), (0, 255, 255, 0)), form)), [255, 0, 0], atol=2)


def key_of_16_bits():
  image = full(700, np.uint16)
  image.putpixel((3, 3), 65535)
  return saved(image, transparency=700)


CLEAR = {
  "RGBA": lambda: saved(PIL.Image.new("RGBA", (4, 4), (255, 0, 255, 0))),
  "LA": lambda: saved(PIL.Image.new("LA", (4, 4), (77, 0))),
  "RGBA, TIFF": lambda: saved(PIL.Image.new("RGBA", (4, 4), (255, 0, 255, 0)), "TIFF"),
  "RGBA, WebP": lambda: saved(PIL.Image.new("RGBA", (4, 4), (255, 0, 255, 0)), "WEBP", lossless=True, exact=True),
  "colour of RGB": lambda: saved(PIL.Image.new("RGB", (4, 4), (255, 0, 255)), transparency=(255, 0, 255)),
  "value of L": lambda: saved(PIL.Image.new("L", (4, 4), 77), transparency=77),
  "value of 1 bit": lambda: saved(PIL.Image.new("1", (4, 4), 0), transparency=0),
  "value of 16 bits": key_of_16_bits,
  "palette": lambda: saved(PIL.Image.new("RGB", (4, 4), (255, 0, 255)).quantize(2), transparency=0),
  "palette with alpha": lambda: saved(PIL.Image.new("RGB", (4, 4), (9, 9, 9)).quantize(2), transparency=b"\0\0"),
  "GIF": lambda: saved(PIL.Image.new("P", (4, 4), 3), "GIF", transparency=3),
}


@pytest.mark.parametrize("make", CLEAR.values(), ids=CLEAR)
def test_what_is_clear_shows_the_ground_and_not_the_hidden_colour(make):
  content = make()
  assert rgb(content) == (255, 255, 255)
  assert rgb(content, (10, 200, 30)) == (10, 200, 30)
  assert decode(content, (4, 4, 1), (10, 200, 30)).image[0, 0, 0] == round(0.299 * 10 + 0.587 * 200 + 0.114 * 30)


def test_half_transparent_is_mixed_and_opaque_is_as_it_was():
  assert rgb(saved(PIL.Image.new("RGBA", (4, 4), (200, 100, 0, 51)))) == (244, 224, 204)  # a fifth
  noise = np.random.default_rng(0).integers(256, size=(9, 9, 4), dtype=np.uint8)
  noise[..., 3] = 255
  image = PIL.Image.fromarray(noise)
  for channels, mode in ((1, "L"), (3, "RGB")):
    np.testing.assert_array_equal(
      decode(image, (5, 5, channels)).image.squeeze(), fitted(image.convert(mode), (5, 5, channels))
    )


@pytest.mark.parametrize("mode", ["La", "RGBa", "PA"])
def test_modes_that_files_seldom_have_are_composed_as_well(mode):
  image = {
    "La": lambda: PIL.Image.new("LA", (4, 4), (77, 0)).convert("La"),
    "RGBa": lambda: PIL.Image.new("RGBA", (4, 4), (255, 0, 255, 0)).convert("RGBa"),
    "PA": lambda: PIL.Image.new("PA", (4, 4), (1, 0)),
  }[mode]()
  assert rgb(image, (1, 2, 3)) == (1, 2, 3)


@pytest.mark.parametrize(
  ("value", "color"),
  [("white", (255, 255, 255)), ("#102030", (16, 32, 48)), ([0, 1, 255], (0, 1, 255)), ("rgb(1, 2, 3)", (1, 2, 3))],
)
def test_a_ground_is_a_name_a_code_or_three_numbers(value, color):
  assert as_background(value) == color


@pytest.mark.parametrize("value", ["whitish", (1, 2), (1, 2, 256), (-1, 2, 3), (0.5, 0, 0), None, 7, ("a", "b", "c")])
def test_a_ground_that_is_no_colour_is_refused(value):
  with pytest.raises(ConfigError, match=r"background = .* is no colour: write 'white'"):
    as_background(value)


# --- Frames, orientation, files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG", "WEBP", "MPO"])
def test_of_several_images_the_first_is_taken_with_a_word(form):
  first, second = (PIL.Image.new("RGB", (4, 4), color) for color in ((200, 0, 0), (0, 0, 200)))
  content = saved(first, form, save_all=True, append_images=[second])
  image, note = decode(content, (4, 4, 3))
  np.testing.assert_allclose(image[0, 0], [200, 0, 0], atol=4)
  assert note == ("" if form == "MPO" else SEVERAL)  # cameras write it with a small copy
  assert decode(saved(first, form), (4, 4, 3)).note == ""


@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG", "WEBP"])
def test_a_camera_that_was_turned_is_turned_back_whatever_the_depth(form):
  exif = PIL.Image.Exif()
  exif[0x0112] = 3  # upside down
  pixels = np.zeros((16, 16), np.uint16 if form in ("PNG", "TIFF") else np.uint8)
  pixels[:8] = np.iinfo(pixels.dtype).max
  below = grey(saved(PIL.Image.fromarray(pixels), form, exif=exif), (16, 16))
  assert below[0].max() < 5 and below[-1].min() > 250


@pytest.mark.parametrize(
  "content", [b"", b"no image", saved(full(1, np.uint8))[:40], saved(full(1, np.uint8), "TIFF")[:30]]
)
def test_what_is_no_image_is_a_value_error(content):
  with pytest.raises(ValueError, match=r"."):
    decode(content, (4, 4, 1))


def test_files_and_images_are_read_by_their_kind(tmp_path):
  image = full(77, np.uint8)
  image.save(tmp_path / "a.png")
  for sources in (tmp_path / "a.png", str(tmp_path / "a.png"), image, [tmp_path / "a.png"], (image,)):
    np.testing.assert_array_equal(read_images(sources, (2, 3, 3)), np.full((1, 2, 3, 3), 77))
  assert read_images([image, str(tmp_path / "a.png")], (2, 3, 1)).shape == (2, 2, 3, 1)
  for other in (np.zeros(3), [np.zeros(3)], [], 7, None, [image, np.zeros(3)]):
    assert read_images(other, (2, 3, 1)) is other
  with pytest.raises(ValueError, match=r"none\.png is no image \(.*No such file"):
    read_images([tmp_path / "none.png"], (2, 3, 1))


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_has_the_pixels(channels):
  pixels = np.random.default_rng(0).integers(256, size=(4, 5, channels), dtype=np.uint8)
  read = np.asarray(PIL.Image.open(io.BytesIO(as_png(pixels))))
  np.testing.assert_array_equal(read.reshape(pixels.shape), pixels)
