"""The fusions that the judges find worst: which they are, and their picture."""

import dataclasses
import io
import re

import numpy as np
import PIL.Image

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.bands import Fake, bands_dataset, draw, read_color, read_label, swaps_band
from tfdisent.evaluation import case, evaluate
from tfdisent.evaluation.worst import Judged, judged_fusions, worst_sheet

BANDS = DigitLabel(num_classes=4)
NAMES = {"label": ("first", "second", "third", "$fourth$")}


class ByRed:
  """Reads the band, the surer of it the more red there is."""

  def __call__(self, image):
    return read_label(image)

  def probabilities(self, image):
    sure = read_color(image)[:, 0] / 255
    return np.where(np.eye(4, dtype=bool)[read_label(image)], sure[:, None], (1 - sure[:, None]) / 3)


def measured(model, monkeypatch, read, **changes):
  dataset, cases = dataclasses.replace(bands_dataset(train=20), class_names=NAMES, **changes), []
  reads = {"classifier": read, "color": lambda x: read_color(x) / 255}
  monkeypatch.setattr(case, "readers", lambda _: {judge: reads[judge.kind] for judge in dataset.judges})
  evaluate(model, dataset, quick=True, progress=None, look=cases.append)
  (one,) = cases
  return one


def test_of_a_class_those_are_worst_that_are_least_likely(monkeypatch):
  one = measured(Fake(BANDS, swaps_band), monkeypatch, ByRed())
  (worst,) = one.worst.values()
  red = np.sort(one.x.max((1, 2))[:, 0])[:8]  # all show the right band
  np.testing.assert_array_equal(read_color(worst.fusion)[:, 0], red)
  np.testing.assert_array_equal(read_color(worst.source), read_color(worst.fusion))
  np.testing.assert_array_equal(read_label(worst.partner), read_label(worst.fusion))
  assert worst.asked == worst.read == [NAMES["label"][label] for label in read_label(worst.fusion)]
  again = measured(Fake(BANDS, swaps_band), monkeypatch, ByRed())
  np.testing.assert_array_equal(again.worst["digit_label"].fusion, worst.fusion)


def test_a_judge_that_gives_no_probabilities_tells_those_that_are_wrong(monkeypatch):
  never_the_third = Fake(BANDS, lambda x, f: draw(np.where(np.argmax(f, 1) == 2, 0, np.argmax(f, 1)), read_color(x)))
  (worst,) = measured(never_the_third, monkeypatch, read_label).worst.values()
  assert set(worst.asked) == {"third"} and set(worst.read) == {"first"} and len(worst.asked) == 8


def test_of_numbers_the_largest_error_is_worst_and_each_part_has_its_own(monkeypatch):
  both = Composite((BANDS, Color()), part_names=("band", "ink"))
  spoils_the_first = lambda x, f: draw(np.argmax(f[:, :4], 1), f[:, 4:] * (0.5 + 0.1 * f[:, 1:2] + 0.5 * f[:, 2:3]))  # noqa: E731
  one = measured(Fake(both, spoils_the_first), monkeypatch, read_label)
  assert list(one.worst) == ["band", "ink"]
  worst = one.worst["ink"]
  error = np.abs(read_color(worst.fusion).astype(float) - read_color(worst.partner)).mean(1)
  assert (np.diff(error) <= 0.6).all() and error[-1] > 50 and not (read_label(worst.source) == 2).any()
  assert all(re.fullmatch("#[0-9a-f]{6}", word) for word in (*worst.asked, *worst.read))


def test_images_that_a_judge_does_not_judge_are_not_shown(monkeypatch):
  never = Fake(BANDS, lambda x, f: draw(0 * read_label(x), read_color(x)))
  judge = bands_dataset(train=20).judges
  unjudged = judge[0]._replace(symmetric=(("label", (1, 2)),))
  (worst,) = measured(never, monkeypatch, read_label, judges=(unjudged, judge[1])).worst.values()
  assert set(worst.asked[:4]) == {"$fourth$"} and set(worst.asked) <= {"first", "$fourth$"}


def test_without_a_judge_of_the_feature_nothing_is_shown(monkeypatch):
  color = bands_dataset(train=20).judges[1:]
  assert not measured(Fake(BANDS, swaps_band), monkeypatch, read_label, judges=color).worst


def test_the_picture_has_three_lines_for_each_part():
  x = np.random.default_rng(0).integers(256, size=(8, 12, 10, 3), dtype=np.uint8)
  of = Judged("a", x, x[::-1], x[::2].repeat(2, 0), ["$5 and $6"] * 8, ["none"] * 8)
  few = Judged("b", *([x[:2]] * 3), ["1", "2"], ["2", "1"])
  sheet = worst_sheet([of, few], "a run")
  assert sheet.title == "a run" and [block.sources for block in sheet.blocks] == [(2, 0)] * 2
  for block, part in zip(sheet.blocks, (of, few)):
    np.testing.assert_array_equal(block.rows, [part.source, part.partner, part.fusion])
    assert block.columns == [f"asked: {asked}\nread: {read}" for asked, read in zip(part.asked, part.read)]
    assert block.lines == ["image", f"gives {part.name}", "fusion"]
  pixels = np.array(PIL.Image.open(io.BytesIO(judged_fusions([of, few], "a run"))))
  np.testing.assert_array_equal(pixels, sheet.draw())
  grey = Judged("a", *([x[..., :1]] * 3), ["1"] * 8, ["2"] * 8)
  assert judged_fusions([grey]) == judged_fusions([grey])
