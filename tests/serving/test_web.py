"""The page: what its folder holds, what its model answers, and what it does in a browser."""

import base64
import contextlib
import functools
import http.server
import io
import json
import re
import threading
import types

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tfdisent
from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.number import Number
from features.pose import Rotation
from tests.conftest import TINY, faults_for_screen_readers
from tfdisent.controls import controls_of
from tfdisent.data.pixels import decode
from tfdisent.errors import ConfigError, FeatureError
from tfdisent.examples import load_examples
from tfdisent.feature import convert
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.serving import web
from tfdisent.serving.litert import converted
from tfdisent.serving.signatures import ServedModel
from tfdisent.testing import check_exporter

IMAGES = np.random.default_rng(0).integers(256, size=(2, 8, 12, 3), dtype=np.uint8)
PARTS = (
  Category(num_classes=3, column="kind"),
  Attribute(("smile",)),
  Color(),
  Rotation(turn=360.0),
  Number(columns=("age", "width"), mean=(50.0, 0.0), scale=(20.0, 1.0), lowest=(18.0, -2.0), highest=(90.0, 2.0)),
)
NAMES = ("kind", "smile", "ink colour", "turn", "größe")
"""Of the parts; TensorFlow would export some of them under no name."""
WANTED = {"kind": 2, "smile": 1, "ink colour": [0.1, 0.6, 0.9], "turn": -120.0, "größe": [60.0, 0.5]}


@pytest.fixture(scope="module")
def trained():
  keras.utils.set_random_seed(0)  # of other weights a change of one part may be too small to be seen
  model = DisentangledVAE((8, 12, 3), Composite(PARTS, part_names=NAMES), Objective(q_data="both"), **TINY)
  model.G.set_weights([3 * value for value in model.G.get_weights()])  # so that each part is seen
  return TrainedModel(model, class_names={"kind": ("plain", "</script>", "ä & b")})


@pytest.fixture(scope="module")
def runtime(tmp_path_factory):
  """A folder in which npm might have installed LiteRT.js."""
  folder = tmp_path_factory.mktemp("npm")
  for file in web.RUNTIME:
    (folder / "node_modules" / "@litertjs" / file).parent.mkdir(parents=True, exist_ok=True)
    (folder / "node_modules" / "@litertjs" / file).write_text(f"// {file}")
  (folder / "node_modules" / "@litertjs" / "core" / "package.json").write_text('{"version": "1.2.3"}')
  return str(folder)


@pytest.fixture(scope="module")
def folder(trained, runtime, tmp_path_factory):
  return web.export(trained, tmp_path_factory.mktemp("export") / "tiny & small", runtime=runtime)


@pytest.fixture
def quick(monkeypatch):
  """Signatures that are quick to write: for what is said of files alone."""
  image = tf.TensorSpec([1, 8, 12, 3], tf.uint8, name="image")
  function = tf.function(lambda image: {"image": image}, input_signature=[image]).get_concrete_function()
  monkeypatch.setattr(ServedModel, "signatures", lambda self, names=None: {"encode": function})


def about(folder):
  page = (folder / "index.html").read_text(encoding="utf-8")
  return json.loads(re.search(r'<script type="application/json" id="about">(.*?)</script>', page, re.DOTALL)[1])


# --- The model of the page --------------------------------------------------------------------------------------------


def expected(trained):
  """What Python answers for the two images, in float."""
  images = (IMAGES / 255).astype(np.float32)
  z1, _ = trained.encode_z1(images)
  return {
    "z1": z1[:1],
    "control": trained.control(images[:1], WANTED),
    "fuse": trained.fuse(images[:1], images[1:]),
    "f": trained.model.read_f(z1, images)[:1].numpy(),
  }


def test_the_signatures_answer_as_python_does(folder, trained):
  ask = tf.lite.Interpreter(str(folder / "model.tflite")).get_signature_runner
  features = {
    control["input"]: np.reshape(WANTED[control["name"]], control["shape"]).astype(
      np.int32 if control["kind"] in ("choice", "check") else np.float32
    )
    for control in about(folder)["controls"]
  }
  right, codes = expected(trained), ask("encode")(image=IMAGES[:1])
  np.testing.assert_allclose(codes["z1_mean"], right["z1"], atol=1e-4)
  np.testing.assert_allclose(ask("control")(image=IMAGES[:1], **features)["image"], right["control"], atol=1e-4)
  np.testing.assert_allclose(ask("decode")(z1=right["z1"], **features)["image"], right["control"], atol=1e-4)
  np.testing.assert_allclose(ask("fuse")(image=IMAGES[:1], feature_image=IMAGES[1:])["image"], right["fuse"], atol=1e-4)


def test_float16_halves_the_file_and_computes_the_same():
  weight = tf.Variable(np.random.default_rng(0).normal(size=(100, 100)).astype(np.float32))
  z1 = tf.TensorSpec([1, 100], name="z1")
  functions = {"decode": tf.function(lambda z1: {"image": z1 @ weight}).get_concrete_function(z1)}
  served = types.SimpleNamespace(weights=lambda: {"weight": weight})
  whole, half = (converted(served, functions, weights) for weights in ("float32", "float16"))
  assert len(half) < 0.6 * len(whole)
  image = tf.lite.Interpreter(model_content=half).get_signature_runner("decode")(z1=np.ones([1, 100], np.float32))[
    "image"
  ]
  np.testing.assert_allclose(image, tf.reduce_sum(weight, 0)[None], atol=0.02)


# --- Its folder -------------------------------------------------------------------------------------------------------


def test_the_page_has_all_that_it_needs_beside_it(folder):
  page = (folder / "index.html").read_text(encoding="utf-8")
  assert "{{" not in page and "tiny &amp; small" in page and "http:" not in page and "https:" not in page
  told = about(folder)
  assert told["shape"] == [8, 12, 3] and told["model"].startswith("model.tflite?")
  assert len(told["examples"]) == 8
  for name in (*told["examples"], "model.tflite", "runtime/litert.js", "runtime/wasm-utils.js"):
    assert (folder / name).stat().st_size
  assert "1.2.3" in (folder / "runtime" / "NOTICE.txt").read_text()
  assert PIL.Image.open(folder / told["examples"][0]).size == (12, 8)


def test_each_part_has_its_control(folder):
  controls = {control["name"]: control for control in about(folder)["controls"]}
  assert {name: control["kind"] for name, control in controls.items()} == {
    "kind": "choice",
    "smile": "check",
    "ink colour": "color",
    "turn": "numbers",
    "größe": "numbers",
  }
  assert controls["kind"]["choices"] == ["plain", "</script>", "ä & b"]
  (turn,), (age, width) = (controls[name]["sliders"] for name in ("turn", "größe"))
  assert (turn["low"], turn["high"], turn["unit"], turn["form"]) == (-180, 180, "°", {"turn": 360})
  assert (age["low"], age["high"], age["label"], age["form"]) == (18, 90, "age", {"lowest": 30, "highest": 70})
  assert width["step"] == 0.01
  assert all(control["is_read"] for control in controls.values())
  assert [control["input"] for control in controls.values()][2:] == [
    "feature_ink_colour",
    "feature_turn",
    "feature_gr__e",
  ]


def test_the_format_keeps_the_contract(quick, trained, runtime, tmp_path):
  check_exporter(functools.partial(web.export, runtime=runtime), trained, tmp_path / "new" / "digit")


def test_without_its_runtime_it_says_how_to_get_it(trained, tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "empty"))
  with pytest.raises(ConfigError, match=rf"npm install --prefix {tmp_path}/empty @litertjs/core@[\d.]+`, or bind web"):
    web.export(trained, tmp_path / "export" / "digit")
  assert not (tmp_path / "export").exists()


class Odd(Category):
  """Says itself how its vectors are shown."""

  def to_natural(self, vector):
    return super().to_natural(vector) + 1


def test_a_natural_form_of_its_own_has_no_widget():
  (control,) = controls_of(Odd())
  with pytest.raises(FeatureError, match="no widget for 'Odd'"):
    web._one_described(control, Odd(), "feature", True)


def test_numbers_of_a_vector_are_shown_as_they_are():
  assert web._form(convert.Vector(2)) == {} and web._form(convert.Vector(2, low=0, high=3)) == {"low": 0, "high": 3}


def test_examples_are_those_of_a_folder_or_of_the_run(quick, trained, runtime, tmp_path):
  strip = np.random.default_rng(1).integers(256, size=(8, 3 * 12, 3), dtype=np.uint8)
  (tmp_path / "images").mkdir()
  PIL.Image.fromarray(strip[:, :12]).save(tmp_path / "images" / "a.png")
  (tmp_path / "images" / ".DS_Store").write_bytes(b"of a system")
  path = web.export(trained, tmp_path / "one", runtime=runtime, examples=str(tmp_path / "images"))
  assert about(path)["examples"] == ["examples/1.png"]
  np.testing.assert_array_equal(np.asarray(PIL.Image.open(path / "examples/1.png")), strip[:, :12])
  PIL.Image.fromarray(strip).save(tmp_path / "examples.png")
  np.testing.assert_array_equal(load_examples(tmp_path, (8, 12, 3))[2], strip[:, 24:])
  for wrong in (tmp_path / "nothing", tmp_path):
    (tmp_path / "text.txt").write_text("no image")
    with pytest.raises(ConfigError, match=r"web\.examples"):
      web._examples(trained, str(wrong))


# --- In a browser -----------------------------------------------------------------------------------------------------


class Server(http.server.ThreadingHTTPServer):
  """Files of a folder, at a free port of this machine."""

  class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
      pass

  def __init__(self, folder):
    super().__init__(("127.0.0.1", 0), functools.partial(self.Handler, directory=str(folder)))
    threading.Thread(target=self.serve_forever, daemon=True).start()


@pytest.fixture(scope="module")
def address(folder):
  """The page at an address of this machine, with the real LiteRT.js."""
  try:
    files = web.runtime_files()
  except ConfigError as error:
    pytest.skip(str(error))
  for name, content in files.items():
    (folder / "runtime" / name).write_bytes(content)
  server = Server(folder)
  yield f"http://127.0.0.1:{server.server_port}/"
  server.shutdown()


@pytest.fixture(scope="module")
def page(browser, address):
  """The page, ready; nothing but this machine can be reached."""
  with opened(browser, address) as one:
    yield one


@contextlib.contextmanager
def opened(browser, address):
  context = browser.new_context(viewport={"width": 360, "height": 740})
  context.set_default_timeout(60_000)
  one, elsewhere = context.new_page(), []
  one.on("request", lambda request: elsewhere.append(request.url))
  context.route("**", lambda route: route.continue_() if route.request.url.startswith(address) else route.abort())
  one.goto(address)
  ready(one)
  yield one
  assert not [url for url in elsewhere if not url.startswith((address, "data:", "blob:"))]
  context.close()


def ready(page):
  page.wait_for_selector("body[data-state=ready]")


def picture(page, name="fusion"):
  return page.evaluate(f"document.getElementById('{name}').toDataURL()")


def test_the_page_answers_as_python_does(page, trained):
  right = expected(trained)
  answers = page.evaluate(
    """async ([image, donor, wanted]) => {
      const {encode, control, fuse, decode} = window.tfdisent;
      const [x, y] = [Uint8Array.from(image), Uint8Array.from(donor)];
      const {z1, values} = await encode(x);
      const all = [z1, await control(x, wanted), await fuse(x, y), await decode(z1, wanted)];
      return [...all.map((array) => Array.from(array)), values];
    }""",
    [IMAGES[0].ravel().tolist(), IMAGES[1].ravel().tolist(), WANTED],
  )
  for name, answer in zip(("z1", "control", "fuse", "control"), answers):
    np.testing.assert_allclose(answer, right[name].ravel(), atol=1e-3)
  for name, natural in trained.feature.to_natural(right["f"]).items():
    np.testing.assert_allclose(np.ravel(answers[-1][name]), np.ravel(natural), rtol=1e-3, atol=1e-3)


CHANGES = [
  ("kind", "select_option", "ä & b"),
  ("ink colour", "fill", "#00ff80"),
  ("turn", "fill", "135"),
]


@pytest.mark.parametrize(("name", "action", "value"), CHANGES, ids=[name for name, *_ in CHANGES])
def test_each_widget_changes_the_picture_until_it_is_as_in_the_source(page, name, action, value):
  before, follow = picture(page), page.get_by_label(f"{name} as in the source")
  assert follow.is_checked()
  getattr(page.get_by_label(name, exact=True), action)(value)
  ready(page)
  assert picture(page) != before and not follow.is_checked()
  follow.check()
  ready(page)
  assert picture(page) == before


def test_it_is_used_by_keyboard(page):
  before, box = picture(page), page.get_by_label("smile", exact=True)
  box.focus()
  page.keyboard.press("Space")
  ready(page)
  changed = picture(page)
  assert changed != before
  age = page.get_by_role("group", name="größe").get_by_role("slider", name="age")
  age.press("End")
  ready(page)
  assert picture(page) != changed and age.get_attribute("aria-valuetext") == "90.0"
  page.get_by_role("button", name="All as in the source").press("Enter")
  ready(page)
  assert picture(page) == before


def test_examples_a_copy_and_a_seed_change_it(page):
  seen = [picture(page)]
  page.get_by_label("Example 2").press("Space")
  ready(page)
  seen.append(picture(page))
  page.get_by_label("Copy all from").select_option("Example 5")
  ready(page)
  seen.append(picture(page))
  page.get_by_role("button", name="Draw").click()
  ready(page)
  seen.append(picture(page))
  assert len(set(seen)) == len(seen)
  with page.expect_download() as download:
    page.get_by_role("button", name="Save as PNG").click()
  assert PIL.Image.open(download.value.path()).size == (12, 8)


def encoded(kind, image, **arguments):
  file = io.BytesIO()
  image.save(file, kind, **arguments)
  return file.getvalue()


def photo(mode="RGB", size=(40, 31)):
  noise = np.random.default_rng(2).integers(256, size=(7, 9, 4), dtype=np.uint8)
  return PIL.Image.fromarray(noise).resize(size, PIL.Image.Resampling.BICUBIC).convert(mode)


def exif(orientation):
  tags = PIL.Image.Exif()
  tags[274] = orientation
  return tags


@pytest.mark.parametrize(
  "content",
  [
    encoded("JPEG", photo(), quality=95, exif=exif(6)),
    encoded("PNG", photo("RGBA", (9, 50))),
    encoded("PNG", PIL.Image.fromarray(np.linspace(0, 65535, 600).reshape(20, 30).astype(np.uint16))),
    encoded("WEBP", photo("RGB", (5, 4)), lossless=True),
  ],
  ids=["turned JPEG", "transparent PNG", "PNG of 16 bits", "small WebP"],
)
def test_an_image_becomes_what_training_makes_of_it(page, content):
  given = page.evaluate(
    "async (bytes) => Array.from(await tfdisent.prepare(new Blob([Uint8Array.from(bytes)])))", list(content)
  )
  right = decode(content, (8, 12, 3)).image.ravel().astype(int)
  assert np.abs(np.array(given) - right).max() <= 3


def test_a_file_that_is_no_image_gets_a_sentence(page):
  before = picture(page, "source")
  upload = page.get_by_label("An image of yours")
  upload.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no image"})
  page.wait_for_selector("#status.bad")
  assert "notes.txt is no image" in page.get_by_role("status").inner_text() and picture(page, "source") == before
  upload.set_input_files({"name": "photo.png", "mimeType": "image/png", "buffer": encoded("PNG", photo())})
  page.wait_for_selector("#status:not(.bad)", state="attached")
  ready(page)
  assert picture(page, "source") != before


def test_a_donor_is_uploaded_on_the_page_of_a_model_of_the_package(browser, address, tmp_path, screenshot, monkeypatch):
  """`address` skips where there is no LiteRT.js."""
  monkeypatch.setattr(web, "SIGNATURES", ("encode", "decode"))  # what the page itself asks for; each takes seconds
  model = tfdisent.load("avatars")
  x = load_examples(model.run_dir, model.image_shape)
  PIL.Image.fromarray(x[5]).save(tmp_path / "donor.png")
  server = Server(web.export(model, tmp_path / "avatars"))
  with opened(browser, f"http://127.0.0.1:{server.server_port}/") as page:
    page.get_by_label("Or from a donor of yours").set_input_files(tmp_path / "donor.png")
    ready(page)
    canvas = PIL.Image.open(io.BytesIO(base64.b64decode(picture(page).partition(",")[2]))).convert("RGB")
    screenshot(page, "web_avatars")
  server.shutdown()
  right = model.control(x[:1], model.encode(x[5:6]).feature)[0]
  error = np.abs(np.asarray(canvas).astype(int) - right)
  # Colours pass through widgets of 8 bits, and processors differ in how they round bfloat16.
  assert error.mean() < 1 and error.max() <= 16


def test_a_narrow_window_has_no_bar_and_every_widget_a_name(page):
  assert page.evaluate("document.documentElement.scrollWidth") <= 360
  for widget in page.locator("input, select, button").all():
    assert widget.evaluate("e => e.getAttribute('aria-label') || e.labels?.[0]?.innerText || e.innerText")


def test_a_screen_reader_finds_no_fault(page):
  assert faults_for_screen_readers(page) == []
