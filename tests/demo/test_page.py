"""The page in a real browser; skipped where there is no Gradio, no Playwright or no browser.

The models of the package are used, and an untrained one for the kinds of widgets that they have not.
"""

import base64
import contextlib
import functools
import io
import pathlib
import re
import socket
import subprocess
import sys
import time

import numpy as np
import PIL.Image
import pytest

import tfdisent
from tests.conftest import faults_for_screen_readers
from tests.demo.conftest import HAIR
from tfdisent import demo, shipped
from tfdisent.controls import controls_of
from tfdisent.data.pixels import decode
from tfdisent.demo.room import Room
from tfdisent.errors import ConfigError
from tfdisent.examples import load_examples
from tfdisent.pictures.words import names_of

pytest.importorskip("gradio", reason="the extra `demo` is not installed")

WAIT = 30_000  # milliseconds
NAMES = shipped.names()
FUSION = "img[alt='The fusion']:visible"
GOOD = {"accuracy_mean": lambda value: value >= 0.9, "mae_mean": lambda value: value <= 0.1}
"""Figures of control that are good."""


@pytest.fixture(scope="module")
def models(every_kind):
  return {name: tfdisent.load(name) for name in NAMES} | {"shapes": every_kind}


@pytest.fixture(scope="module")
def address(models, browser):
  app = demo.launched(list(models.items()))
  yield app.local_url
  app.close(verbose=False)


@pytest.fixture(scope="module")
def page(browser, address):
  page = opened(browser, address)
  yield page
  page.close()


def opened(browser, address, width=1280, **context):
  page = browser.new_page(viewport={"width": width, "height": 900}, **context)
  page.set_default_timeout(WAIT)
  page.asked = []
  page.on("request", lambda request: page.asked.append(request.url))
  page.goto(address)
  page.wait_for_selector(FUSION)
  page.wait_for_selector("p.loading", state="detached")
  return page


def go_to(page, model):
  tab = page.get_by_role("tab", name=model)
  if not tab.is_visible():  # the window is narrow, and has a menu for the rest
    page.get_by_role("button", name="More tabs").click()
    tab = page.get_by_role("button", name=model, exact=True)
  tab.click()
  page.wait_for_selector(FUSION)


def begin_anew(page):
  page.reload()
  page.wait_for_selector(FUSION)


def picture(page, alt="The fusion"):
  """The pixels of an image of the page, uint8 [H, W, C]."""
  source = page.locator(f"img[alt^='{alt}']:visible").get_attribute("src")
  pixels = np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))
  return pixels if pixels.ndim == 3 else pixels[..., None]


def changed(page, action, what=FUSION):
  """The fusion after `action`, which must change an image of the page."""
  before = page.locator(what).get_attribute("src")
  action()
  page.wait_for_function(
    "([old, alt]) => [...document.querySelectorAll(alt)].some((one) => one.offsetParent && one.src !== old)",
    arg=[before, what.removesuffix(":visible")],
  )
  return picture(page)


def row_of(page, name):
  """The cells of a feature: read in the source by model and judge, asked for, read in the fusion by model and judge."""
  row = page.locator(".tfd-read:visible tbody tr", has=page.get_by_role("rowheader", name=name, exact=True)).first
  return row.locator("td")


def judged(page, name, asked):
  """What the judge reads in the fusion, once the page says that `asked` is asked for."""
  row_of(page, name).nth(2).filter(has_text=re.compile(rf"^{re.escape(asked)}$")).wait_for()
  return row_of(page, name).nth(4).inner_text()


def upload(page, file):
  page.locator("[role=tabpanel]:visible input[type=file]").first.set_input_files(file)


# --- The models of the package ----------------------------------------------------------------------------------------


def values_of(control):
  """Values to be asked for, as the page tells them."""
  if control.kind == "check":
    return ["yes", "no"]
  # Of skin and of hair: the judge has seen no blue skin.
  return ["#b06a45", "#f4c9a0"] if control.kind == "color" else list(control.choices[2::3])[:4]


def ask(page, control, name, value):
  if control.kind == "check":
    page.get_by_role("checkbox", name=name, exact=True).set_checked(value == "yes")
  elif control.kind == "color":
    page.get_by_role("button", name=name, exact=True).click()
    field = page.locator("input[type=text]:visible").last
    field.fill(value)
    field.press("Enter")
    page.get_by_role("button", name=name, exact=True).click()
  else:
    page.get_by_label(name, exact=True).click()
    page.get_by_role("option", name=value, exact=True).click()


def agrees(control, asked, judged):
  if control.kind != "color":
    return asked == judged
  channels = [np.array([int(word[at : at + 2], 16) for at in (1, 3, 5)]) for word in (asked, judged)]
  return np.abs(channels[0] - channels[1]).mean() < 0.15 * 255


@pytest.mark.parametrize("model", NAMES)
def test_every_widget_changes_the_picture_and_the_judge_agrees_where_control_is_good(page, models, model, screenshot):
  go_to(page, model)
  changed(page, lambda: page.locator(".tfd-sources:visible button.thumbnail-item").nth(4).click())
  trained, told = models[model], []
  figures = tfdisent.models()[model]["figures"]["validation"]
  part_names, names = trained.feature.part_names, names_of(trained.feature)
  for part, name, control in zip(part_names, names, controls_of(trained.feature, trained.class_names)):
    label, prefix = name.replace("_", " "), f"control/{part}/" if len(names) > 1 else "control/"
    is_good = any(prefix + figure in figures and good(figures[prefix + figure]) for figure, good in GOOD.items())
    now = row_of(page, label).nth(2).inner_text()
    for value in values_of(control):
      if value != now:
        changed(page, functools.partial(ask, page, control, label, value))
      now, word = value, judged(page, label, value)
      told += [agrees(control, value, word)] if is_good else []
    screenshot(page, f"{model}_{name}")
  assert len(told) >= 3 and np.mean(told) >= 0.7, told


def saved(folder, kind):
  noise = np.random.default_rng(2).integers(256, size=(7, 9, 3), dtype=np.uint8)
  image = PIL.Image.fromarray(noise).resize((90, 70), PIL.Image.Resampling.BICUBIC)
  if kind == "turned JPEG":
    tags = PIL.Image.Exif()
    tags[0x0112] = 6
    image.save(folder / "turned.jpg", quality=95, exif=tags)
    return folder / "turned.jpg"
  grey = np.linspace(0, 65535, 70 * 90).reshape(70, 90).astype(np.uint16)
  PIL.Image.fromarray(grey).save(folder / "deep.png")
  return folder / "deep.png"


@pytest.mark.parametrize("model", NAMES)
def test_uploads_are_shown_as_training_makes_them_and_a_text_gets_a_sentence(page, models, model, tmp_path):
  go_to(page, model)
  for kind in ("turned JPEG", "PNG of 16 bits"):
    file = saved(tmp_path, kind)
    changed(page, functools.partial(upload, page, file), "img[alt='Source']:visible")
    right = decode(str(file), models[model].image_shape, models[model].background).image
    np.testing.assert_array_equal(picture(page, "Source"), right, err_msg=kind)
  (tmp_path / "notes.png").write_text("no image")
  upload(page, tmp_path / "notes.png")
  page.get_by_role("alert").get_by_text("notes.png cannot be used as an image").wait_for()
  assert "Traceback" not in page.content()
  np.testing.assert_array_equal(picture(page, "Source"), right)
  changed(page, lambda: page.locator(".tfd-sources:visible button.thumbnail-item").nth(2).click())
  examples = load_examples(models[model].run_dir, models[model].image_shape)
  np.testing.assert_array_equal(picture(page, "Source"), examples[2])
  page.get_by_role("alert").wait_for(state="hidden")


def test_the_strip_and_the_grid_are_drawn(page, screenshot):
  go_to(page, NAMES[0])
  for fold, button, alt in (
    ("One feature across its range", "Draw the strip", "smile across its range"),
    ("Images by images", "Draw the grid", "Each row"),
  ):
    page.get_by_role("button", name=fold).click()
    page.get_by_role("button", name=button).click()
    page.wait_for_selector(f"img[alt^='{alt}']")
    assert picture(page, alt).std() > 0
  screenshot(page, "strip_and_grid")


def test_a_donor_gives_its_features(page, models):
  go_to(page, NAMES[0])
  page.get_by_role("button", name="A donor of features").click()
  changed(page, lambda: page.locator(".tfd-donors:visible button.thumbnail-item").nth(5).click())
  trained = models[NAMES[0]]
  examples = load_examples(trained.run_dir, trained.image_shape)
  np.testing.assert_array_equal(picture(page, "Donor"), examples[5])
  right = trained.fuse(picture(page, "Source")[None], examples[5:6])[0]
  np.testing.assert_allclose(picture(page).astype(int), right, atol=1)


def test_what_else_the_judge_sees(page, models):
  page.get_by_role("button", name="What else the judge sees").click()
  table = page.get_by_role("region", name="What else the judge sees")
  assert re.search(r"eyes\s+\w+\s+\w+\s+right in \d", table.inner_text())
  told = page.locator(".tfd-note:visible").inner_text()
  assert re.search(r"On [\d,]+ real images that are new to it: smile right in \d", told)


def test_two_visitors_do_not_disturb_each_other_and_a_new_page_begins_anew(browser, address, page):
  go_to(page, NAMES[0])
  other = opened(browser, address)
  before = picture(other)
  page.get_by_role("button", name="A new source").click()
  changed(page, lambda: page.get_by_role("button", name="Draw z1 from its prior").click())
  smile = other.get_by_role("checkbox", name="smile")
  changed(other, lambda: smile.set_checked(not smile.is_checked()))
  changed(other, lambda: smile.set_checked(not smile.is_checked()))
  np.testing.assert_array_equal(picture(other), before)
  other.close()
  begin_anew(page)
  np.testing.assert_array_equal(picture(page), before)


def test_what_is_changed_quickly_is_not_forgotten(page):
  """A second widget was told that the first still came from the source, as long as the first had no answer."""
  begin_anew(page)
  for name in ("smile", "glasses", "hair long"):
    page.get_by_role("checkbox", name=name, exact=True).check()
  page.wait_for_timeout(300)
  for name in ("smile", "glasses", "hair long"):
    judged(page, name, "yes")


def test_from_source_holds_if_chosen_before_the_answer(page, monkeypatch):
  """Gradio repeated what the checkbox does ("set here") once its late answer came."""
  begin_anew(page)
  before = picture(page)
  look = Room.look
  monkeypatch.setattr(Room, "look", lambda *arguments: time.sleep(0.5) or look(*arguments))
  smile = page.get_by_role("checkbox", name="smile", exact=True)
  smile.set_checked(not smile.is_checked())
  where = page.locator(".tfd-where").locator("input[value=source]:visible").first
  page.wait_for_function("(one) => !one.checked", arg=where.element_handle())
  where.check()
  page.wait_for_timeout(2000)
  assert where.is_checked()
  np.testing.assert_array_equal(picture(page), before)


def test_the_keyboard_is_enough(page):
  begin_anew(page)
  page.get_by_role("tab", name=NAMES[0]).focus()
  for _ in range(30):
    page.keyboard.press("Tab")
    if page.evaluate("document.activeElement.type") == "checkbox":
      break
  changed(page, lambda: page.keyboard.press("Space"))
  page.keyboard.press("Tab")  # to where it comes from, which is "set here" now
  changed(page, lambda: page.keyboard.press("Space"))


def test_nothing_is_fetched_from_elsewhere(page, address):
  assert page.asked and all(url.startswith((address, "data:", "blob:")) for url in page.asked)


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")], ids=["narrow", "dark"])
def test_a_screen_reader_finds_no_fault_and_a_narrow_window_needs_no_scrolling(
  browser, address, width, scheme, screenshot
):
  page = opened(browser, address, width, color_scheme=scheme)
  for model in NAMES if width == 360 else NAMES[:1]:
    go_to(page, model)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert faults_for_screen_readers(page) == []
    screenshot(page, f"{model}_{width}_{scheme}")
  page.close()


# The time from a click to a new picture, which the page itself notes.
WATCH = """
() => {
  const fusion = () => document.querySelector("img[alt='The fusion']").src;
  window.times = [];
  window.shown = fusion();
  new MutationObserver(() => {
    if (fusion() !== window.shown) {
      window.shown = fusion();
      window.times.push(performance.now() - window.clicked);
    }
  }).observe(document.body, {subtree: true, childList: true, attributes: true});
}
"""


@pytest.mark.long
def test_a_thousand_changes_are_answered_soon_and_need_no_more_memory(browser):
  """Prints milliseconds; they are those of the READMEs on a machine that does nothing else."""
  changes, port = 1000, 7999
  server = subprocess.Popen(
    [sys.executable, "-m", "tfdisent.main", "--mode=demo", "--run_dir=avatars", f"--port={port}"]
  )
  try:
    for _ in range(120):
      with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        break
      time.sleep(0.5)
    page, memory = opened(browser, f"http://127.0.0.1:{port}"), []
    page.evaluate(WATCH)
    boxes = [page.get_by_role("checkbox", name=name).element_handle() for name in ("smile", "glasses")]
    for number in range(changes):
      boxes[number % 2].evaluate("box => { window.clicked = performance.now(); box.click(); }")
      page.wait_for_function("count => window.times.length > count", arg=number, polling=5)
      if number % 100 == 99:
        memory.append(int(pathlib.Path(f"/proc/{server.pid}/statm").read_text().split()[1]))
    times = np.percentile(page.evaluate("window.times"), [50, 95, 100])
    print("median, 95th percentile and longest: {:.0f}, {:.0f}, {:.0f} ms".format(*times))
    assert max(memory) < 1.02 * memory[0]
    page.close()
  finally:
    server.kill()
    server.wait()


# --- Widgets that they have not ---------------------------------------------------------------------------------------


def test_few_classes_and_a_number_change_the_picture_to_what_control_gives(page, every_kind):
  go_to(page, "shapes")
  source, asked = picture(page, "Source")[None], {}

  def expect(action, **part):
    asked.update(part)
    fusion = changed(page, action)
    np.testing.assert_allclose(fusion.astype(int), every_kind.control(source, asked)[0], atol=1)

  now = every_kind.encode(source).feature
  hair = HAIR[(int(now["hair"][0]) + 1) % 3]
  expect(lambda: page.get_by_role("radio", name=hair, exact=True).check(), hair=hair)
  field = page.get_by_role("spinbutton", name=re.compile("age"))
  expect(lambda: (field.fill("63"), field.press("Enter")), age=63.0)
  assert page.get_by_role("columnheader", name="model").count() and not page.locator(".tfd-note:visible").count()


def test_a_port_that_is_taken_is_an_error_in_words(every_kind, address):
  port = int(address.rstrip("/").rpartition(":")[2])
  with pytest.raises(ConfigError, match=rf"cannot be served at 127\.0\.0\.1:{port}: .*Pass another --port"):
    demo.launched([("shapes", every_kind)], port=port)


def test_port_0_is_one_that_is_free():
  port = demo._free("127.0.0.1", 0)
  assert port > 0
  with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigError, match=f"cannot be served at .*:{port}: "):
    demo._free("127.0.0.1", port)
