"""The page in a real browser; skipped where there is no Gradio, no Playwright or no browser."""

import base64
import io
import re

import numpy as np
import PIL.Image
import pytest

from tests.conftest import faults_for_screen_readers
from tests.demo.conftest import HAIR
from tfdisent import demo
from tfdisent.demo.room import Room
from tfdisent.errors import ConfigError

pytest.importorskip("gradio", reason="the extra `demo` is not installed")

WAIT = 30_000  # milliseconds
FUSION = "img[alt='The fusion']"


@pytest.fixture(scope="module")
def address(every_kind):
  app = demo.launched([("shapes", every_kind)])
  yield app.local_url
  app.close(verbose=False)


@pytest.fixture
def page(browser, address):
  page = opened(browser, address)
  yield page
  page.close()


def opened(browser, address, width=1280):
  page = browser.new_page(viewport={"width": width, "height": 900})
  page.set_default_timeout(WAIT)
  page.asked = []
  page.on("request", lambda request: page.asked.append(request.url))
  page.goto(address)
  page.wait_for_selector(FUSION)
  page.wait_for_selector("p.loading", state="detached")
  return page


def picture(page, alt="The fusion"):
  """The pixels of an image of the page, uint8 [H, W, C]."""
  source = page.get_attribute(f"img[alt^='{alt}']", "src")
  return np.asarray(PIL.Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))))


def changed(page, action):
  """The fusion after `action`, which must change it."""
  before = page.get_attribute(FUSION, "src")
  action()
  page.wait_for_function("([old, fusion]) => document.querySelector(fusion).src != old", arg=[before, FUSION])
  return picture(page)


def test_every_kind_of_widget_changes_the_picture_to_what_control_gives(page, every_kind):
  asked = {}

  def expect(action, **part):
    asked.update(part)
    fusion = changed(page, action)
    np.testing.assert_allclose(fusion.astype(int), every_kind.control(page_source(page), asked)[0], atol=1)

  now = every_kind.encode(page_source(page)).feature
  hair = HAIR[(int(now["hair"][0]) + 1) % 3]
  expect(lambda: page.get_by_role("radio", name=hair, exact=True).check(), hair=hair)
  smile = 1 - int(now["smile"][0])
  expect(lambda: page.get_by_role("checkbox", name="smile").set_checked(bool(smile)), smile=smile)
  expect(lambda: set_number(page, "age", "63"), age=63.0)
  # The colour's own value stays that of the source until the picker is used: ask for the donor's.
  donor = every_kind.encode(last_example(every_kind)).feature
  expect(lambda: choose_origin(page, "coat", "of the donor"), coat=donor["coat"])


def page_source(page):
  return picture(page, "Source")[None]


def last_example(run):
  return Room(run).examples[-1:]


def set_number(page, name, value):
  field = page.get_by_role("spinbutton", name=re.compile(name))
  field.fill(value)
  field.press("Enter")


def choose_origin(page, part, origin):
  page.locator("fieldset", has_text=f"{part}: where it comes from").get_by_label(origin).check()


def test_nothing_is_fetched_from_elsewhere(page, address):
  assert page.asked and all(url.startswith((address, "data:", "blob:")) for url in page.asked)


def test_another_source_an_upload_and_a_wrong_file(page, every_kind, tmp_path):
  before = page_source(page)
  changed(page, lambda: page.locator(".tfd-sources button.thumbnail-item").nth(2).click())
  assert (page_source(page) != before).any()

  PIL.Image.new("RGB", (50, 40), (250, 10, 20)).save(tmp_path / "red.jpg", quality=95)
  upload = page.locator("input[type=file]").first
  changed(page, lambda: upload.set_input_files(tmp_path / "red.jpg"))
  assert np.abs(page_source(page)[0].astype(int) - (250, 10, 20)).max() < 8

  (tmp_path / "notes.png").write_text("no image")
  upload.set_input_files(tmp_path / "notes.png")
  page.get_by_text("notes.png cannot be used as an image").wait_for()
  assert "Traceback" not in page.content()


def test_two_visitors_do_not_disturb_each_other(browser, address, page):
  other = opened(browser, address)
  before = picture(other)
  changed(page, lambda: page.get_by_role("button", name="Draw z1 from its prior").click())
  smile = other.get_by_role("checkbox", name="smile")
  changed(other, lambda: smile.set_checked(not smile.is_checked()))
  changed(other, lambda: smile.set_checked(not smile.is_checked()))
  np.testing.assert_array_equal(picture(other), before)
  other.close()


def test_the_strip_and_the_grid_are_drawn(page):
  for fold, button, alt in (
    ("One feature across its range", "Draw the strip", "hair across its range"),
    ("Images by images", "Draw the grid", "Each row"),
  ):
    page.get_by_role("button", name=fold).click()
    page.get_by_role("button", name=button).click()
    page.wait_for_selector(f"img[alt^='{alt}']")
    assert picture(page, alt).std() > 0


def test_the_keyboard_is_enough(page):
  page.get_by_role("checkbox", name="smile").focus()
  changed(page, lambda: page.keyboard.press("Space"))


def test_a_narrow_window_needs_no_scrolling_sideways(browser, address):
  page = opened(browser, address, width=360)
  assert page.evaluate("document.documentElement.scrollWidth") <= 360
  page.close()


def test_a_screen_reader_finds_no_fault(page):
  assert faults_for_screen_readers(page) == []


def test_a_port_that_is_taken_is_an_error_in_words(every_kind, address):
  port = int(address.rstrip("/").rpartition(":")[2])
  with pytest.raises(ConfigError, match=rf"cannot be served at 127\.0\.0\.1:{port}: .*Pass another --port"):
    demo.launched([("shapes", every_kind)], port=port)
