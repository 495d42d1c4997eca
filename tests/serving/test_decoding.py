"""Encoded images in the graph of an exported model against those of the training: the same pixels, or words."""

import contextlib
import functools
import io
import struct
import zlib

import hypothesis
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tfdisent.data.pixels import decode
from tfdisent.serving import raster
from tfdisent.serving.decoding import decode_images

SHAPE, GROUND = (10, 15, 3), (10, 200, 30)


@functools.cache
def graph():
  """The function that decodes one image, traced once."""
  traced = tf.function(
    lambda encoded: decode_images(encoded, SHAPE, GROUND), [tf.TensorSpec([None], tf.string)], autograph=False
  )
  return lambda content: traced(tf.constant([content])).numpy()[0]


def saved(image, form="PNG", **options) -> bytes:
  file = io.BytesIO()
  image.save(file, form, **options)
  return file.getvalue()


def same(content, tolerance=1):
  """Compares the two ways."""
  assert np.abs(graph()(content).astype(int) - decode(content, SHAPE, GROUND).image).max() <= tolerance


def refused(content, words):
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    graph()(content)


def noise(*shape, dtype=np.uint8, high=256, seed=0):
  return np.random.default_rng(seed).integers(0, high, shape).astype(dtype)


def image(mode, size=(37, 53), seed=0) -> PIL.Image.Image:
  """Noise in a mode of Pillow, or one of these: numbers with their largest value."""
  if mode in NUMBERS:
    dtype, high = NUMBERS[mode]
    values = np.random.default_rng(seed).random(size) * high
    return PIL.Image.fromarray(np.rint(values).astype(dtype) if high > 1 else values.astype(dtype))
  rgba = PIL.Image.fromarray(noise(*size, 4, seed=seed))
  if mode in ("P", "P2"):
    return rgba.convert("RGB").quantize(200 if mode == "P" else 3)
  return PIL.Image.fromarray(noise(*size, 4, seed=seed), "CMYK") if mode == "CMYK" else rgba.convert(mode)


NUMBERS = {
  "16": (np.uint16, 65535),
  "16 of 12": (np.uint16, 4095),
  "16, big-endian": (">u2", 65535),
  "32 of 16": (np.int32, 65535),
  "32 of 12": (np.int32, 4000),
  "32 of 8": (np.int32, 255),
  "float to 1": (np.float32, 1),
  "float to 255": (np.float32, 255),
}
OF_PNG = ("L", "RGB", "RGBA", "LA", "1", "P", "P2", "16", "16 of 12")
OF_TIFF = (*OF_PNG, "CMYK", *NUMBERS)
KEYS = {"L": 7, "RGB": (1, 2, 3), "1": 0, "P": 3, "P2": b"\0\x70\xff", "16": 4500}
"""Which value is transparent in PNG."""

KINDS = [*(("PNG", mode) for mode in OF_PNG), *(("TIFF", mode) for mode in OF_TIFF), ("JPEG", "L"), ("JPEG", "RGB")]


@hypothesis.settings(max_examples=40, deadline=None)
@hypothesis.given(
  kind=st.sampled_from(KINDS),
  size=st.tuples(st.integers(1, 60), st.integers(1, 60)),
  orientation=st.integers(0, 9),
  seed=st.integers(0, 9),
)
def test_every_format_gives_the_pixels_of_the_training(kind, size, orientation, seed):
  form, mode = kind
  exif = PIL.Image.Exif()
  exif[0x0112] = orientation
  same(saved(image(mode, size, seed), form, exif=exif))


@pytest.mark.parametrize(("form", "mode"), KINDS, ids=[" ".join(kind) for kind in KINDS])
def test_no_format_is_left_to_chance(form, mode):
  same(saved(image(mode), form))


@pytest.mark.parametrize("mode", KEYS)
def test_a_transparent_value_shows_the_ground(mode):
  png = image(mode)
  if mode == "16":
    png = PIL.Image.fromarray(np.asarray(png) // 4500 * 4500)
  elif mode in ("L", "RGB"):
    png.paste(KEYS[mode], (5, 5, 20, 30))
  same(saved(png, transparency=KEYS[mode]))


@pytest.mark.parametrize(
  "options",
  [
    {"quality": 50},
    {"quality": 95, "subsampling": 0},
    {"progressive": True},
    {"xmp": b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'},
    {"xmp": b"<x:xmpmeta><tiff:Orientation>8</tiff:Orientation></x:xmpmeta>"},
  ],
  ids=lambda options: next(iter(options)),
)
def test_a_jpeg_of_any_kind_gives_the_pixels_of_the_training(options):
  same(saved(image("RGB"), "JPEG", **options))


def test_a_jpeg_in_cmyk_is_taken_with_the_mark_of_adobe():
  smooth = image("CMYK", (4, 5)).resize((53, 37))
  content = saved(smooth, "JPEG", quality=95)
  same(content, tolerance=2)  # TensorFlow cuts where Pillow rounds, before the image is resized
  refused(content.replace(b"Adobe", b"Abode"), "a JPEG in CMYK must have the mark of Adobe; save it in RGB")


def test_pngs_of_16_bits_with_colours_and_with_rows_apart():
  def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

  for color, channels in ((2, 3), (4, 2), (6, 4)):
    rows = noise(9, 11, channels, dtype=">u2", high=65536)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 11, 9, 16, color, 0, 0, 0))
    same(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.parametrize("options", [{"strip_size": 300}, {"tiffinfo": {262: 0}}, {"big_tiff": False}], ids=str)
@pytest.mark.parametrize("mode", ["L", "16"])
def test_a_tiff_may_be_in_strips_and_white_may_be_zero(mode, options):
  same(saved(image(mode), "TIFF", **options))


@pytest.mark.parametrize(("mode", "letter", "width"), [("32 of 16", "i", 4), ("float to 1", "f", 4), ("RGB", "H", 2)])
def test_the_bytes_of_a_tiff_may_be_in_either_order(mode, letter, width):
  """Pillow writes only some in the order that is not this machine's, so the file is made here."""
  for order, start in (("<", b"II*\0"), (">", b"MM\0*")):
    values = (np.asarray(image(mode, (6, 7))) * (255.5 if mode == "RGB" else 1)).astype(f"{order}{letter}")
    samples, form = 3 if mode == "RGB" else 1, {"i": 2, "f": 3, "H": 1}[letter]
    entries = [(256, 7), (257, 6), (258, 8 * width), (259, 1), (262, 2 if samples == 3 else 1), (273, 146)]
    entries += [(277, samples), (278, 6), (279, values.nbytes), (339, form), (266, 1)]
    words = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in sorted(entries))
    content = start + struct.pack(f"{order}IH", 8, len(entries)) + words + bytes(4) + values.tobytes()
    assert content.index(values.tobytes()) == 146
    same(content)


def test_alpha_of_a_tiff_may_be_multiplied_or_none():
  for extra in (0, 1, 2):
    content = bytearray(saved(image("RGBA"), "TIFF"))
    start = content.index(b"\x52\x01\x03\x00\x01\x00\x00\x00")  # the tag ExtraSamples
    content[start + 8] = extra
    same(bytes(content))


@pytest.mark.parametrize("shape", [(1, 400), (400, 1), (300, 17), (17, 300), (90, 91), (1, 1)], ids=str)
def test_the_crop_and_the_order_of_the_axes_are_those_of_pillow(shape):
  same(saved(image("RGB", shape)))


@pytest.mark.parametrize("is_new", [False, True])
def test_pillow_before_13_resizes_the_width_first(is_new, monkeypatch):
  monkeypatch.setattr(raster, "RESIZES_TALL_FIRST", is_new)
  pixels = np.where(noise(60, 20, 3) > 128, 255, 0).astype(np.uint8)
  original = PIL.Image.fromarray(pixels)
  first = original.resize((20, 9), box=(0, 25, 20, 35)) if is_new else original.resize((18, 60))
  expected = np.asarray(first.resize((18, 9), box=(0, 0, 20, 9) if is_new else (0, 25, 18, 35)))
  np.testing.assert_allclose(raster.fitted(tf.constant(pixels), 9, 18), expected.astype(int), atol=1)


def test_grey_is_that_of_pillow_and_is_taken_before_the_size_is_changed():
  rgb = image("RGB")
  np.testing.assert_array_equal(raster.grey(tf.constant(np.asarray(rgb)))[..., 0], rgb.convert("L"))
  got = raster.fitted(raster.grey(tf.constant(np.asarray(rgb))), *SHAPE[:2]).numpy()
  np.testing.assert_allclose(got.astype(int), decode(rgb, (*SHAPE[:2], 1)).image, atol=1)


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["GIF", "BMP", "WEBP", "PPM"])
def test_what_the_graph_cannot_read_is_named(form):
  refused(saved(image("RGB"), form), "an encoded image is a PNG, a JPEG or a TIFF")


@pytest.mark.parametrize(
  ("content", "words"),
  [
    (saved(image("RGB"), "TIFF", compression="tiff_lzw"), "a TIFF must not be compressed: save it as PNG, or as TIFF"),
    (saved(image("RGB"), "TIFF", compression="tiff_deflate"), "a TIFF must not be compressed"),
    (saved(image("RGB"), "TIFF", compression="jpeg"), "a TIFF must not be compressed"),
    (saved(PIL.Image.new("LAB", (9, 9)), "TIFF"), "a TIFF must be in grey, RGB, CMYK or a palette"),
    (saved(image("RGB").convert("YCbCr"), "TIFF"), "a TIFF must be in grey, RGB, CMYK or a palette"),
    (saved(PIL.Image.fromarray(np.int32([[-1, 5]])), "TIFF"), r"of no known range: save it with 8 bits.*\[-1 5\]"),
    (saved(PIL.Image.fromarray(np.int32([[70000, 5]])), "TIFF"), "of no known range"),
    (saved(PIL.Image.fromarray(np.float32([[300, 5]])), "TIFF"), "neither in 0 to 1 nor in 0 to 255"),
    (saved(PIL.Image.fromarray(np.float32([[1.01, 0]])), "TIFF"), "neither in 0 to 1 nor in 0 to 255"),
    (saved(PIL.Image.fromarray(np.float32([[np.nan, 0]])), "TIFF"), "neither in 0 to 1 nor in 0 to 255"),
  ],
)
def test_a_tiff_that_cannot_be_read_gets_words(content, words):
  refused(content, words)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.data(), st.sampled_from(["PNG", "TIFF", "JPEG"]))
def test_a_damaged_file_is_refused_or_read_and_ends_nothing(data, form):
  content = bytearray(saved(image("RGB", (5, 7)), form))
  for place in data.draw(st.lists(st.integers(0, len(content) - 1), min_size=1, max_size=4)):
    content[place] = data.draw(st.integers(0, 255))
  cut = data.draw(st.integers(1, len(content)))
  with contextlib.suppress(tf.errors.InvalidArgumentError):
    assert graph()(bytes(content[:cut])).shape == SHAPE
