"""The report: one file, with everything in it."""

import base64
import dataclasses
import html
import math
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tensorflow as tf

from features.attribute import Attribute
from features.color import Color
from tests.bands import Fake, bands, swaps_color
from tfdisent import __version__, pictures
from tfdisent.evaluation import report as module
from tfdisent.evaluation.monitor import write_scalars
from tfdisent.evaluation.report import draw_curves, read_curves, write_report
from tfdisent.feature.values import feature_values

METRICS = {
  "leakage/mlp_mean": {"value": 0.5, "low": 0.4, "high": 0.6},
  "leakage/worst": {"value": 0.5, "low": 0.4, "high": 0.6},
  "leakage/chance": {"value": 0.1135},
  "leakage/control_shuffled": {"value": 0.11, "low": 0.1, "high": 0.12},
  "control_by_class/7": {"value": 0.875, "low": 0.8, "high": 0.9},
  "quality/fid": {"value": 12.5, "extractor": "a-network", "images": 500, "range": [0, None]},
}

MODEL, EXAMPLES = Fake(dataclasses.replace(Color()), swaps_color), bands(40, 0)
CURVE = {f"{part}/{name}": {1: 3.0, 2: 2.0, 3: math.nan} for part in ("train", "validation") for name in ("L", "psnr")}


ORIGIN = {"split": "test", "checkpoint": "<best>", "test_reads": 17, "versions": {"keras": "9.8.7"}}


@pytest.fixture(scope="module")
def report(tmp_path_factory):
  path = tmp_path_factory.mktemp("reports") / "<run>" / "report.html"
  path.parent.mkdir()
  write_report(path, MODEL, EXAMPLES, METRICS, CURVE, "train.x = '<b>'", ORIGIN, worst=b"a png")
  return path.read_text(encoding="utf-8")


def test_it_is_well_formed_and_loads_nothing(report):
  assert not re.search(r"https?:|<script|<link|url\(|@import", report)
  assert all(source.startswith("data:") for source in re.findall(r'src="([^"]*)"', report))
  body = re.sub(r"<img[^>]*>", "", report[report.index("<body>") : report.index("</body>") + 7])
  ET.fromstring(body)


def test_it_shows_the_figures_with_their_intervals_and_the_network_that_judged(report):
  for text in ("0.875", "0.800 to 0.900", "0.114", "control_shuffled", "a-network", "12.500"):
    assert text in report
  assert report.index("mlp_mean") < report.index("control_shuffled") < report.index("Control, by the class")


def test_it_shows_what_was_measured_and_how_often_the_test_split_was(report):
  assert "Reads of the test split so far: 17." in report
  for name, value in (("split", "test"), ("checkpoint", "&lt;best&gt;"), ("test_reads", "17"), ("keras", "9.8.7")):
    assert f"<tr><td>{name}</td><td>{value}</td></tr>" in report
  assert "versions" not in report


def test_it_shows_the_config_as_text(report):
  assert "train.x = &#x27;&lt;b&gt;&#x27;" in report


def test_it_says_whose_it_is_and_what_its_intervals_hold(report):
  reads = "Reads of the test split so far: 17."
  assert f"<h1>&lt;run&gt;</h1><p>Feature f(x): color. {reads} tfdisent {__version__}.</p>" in report
  assert "<title>&lt;run&gt;</title>" in report
  assert "over the 40 images of the split: Clopper-Pearson of proportions, else bootstrap." in report
  assert "neither what another seed of the training or of a probe would give" in report


OPEN = ["Fusions", "Fusions that the judges find worst", "What each feature changes", "Images made again", "Curves"]
FOLDED = [
  "Leakage: f read from z1, and what the probes read elsewhere",
  "Control, by the class that was asked for",
  "All figures",
  "What was measured",
  "Configuration",
]


def test_its_sections_and_their_order(report):
  assert re.findall("<h2>(.*?)</h2>", report) == [*OPEN, "Figures", *FOLDED]
  assert re.findall("<details><summary><h2>(.*?)</h2></summary>", report) == FOLDED
  assert "<img" not in report[report.index("<details>") :] and report.index("<h1>") < report.index("<img")


def test_it_can_be_read_on_a_dark_screen(report):
  """Every colour but those within images is one of the page's, of which there are two sets."""
  style = re.search("<style>(.*?)</style>", report, re.DOTALL)[1]
  light, dark = (re.findall(r"(--\w+): #", part) for part in style.split("@media (prefers-color-scheme: dark)"))
  assert set(re.findall(r"var\((--\w+)\)", style)) == set(light) == set(dark)
  assert "color-scheme: light dark" in style
  body = re.sub(r"<img[^>]*>|<pre>.*?</pre>", "", report[report.index("<body>") :])
  assert not re.search(r'(fill|stroke|color|style)="', body)


def test_sections_without_content_are_left_out(tmp_path):
  path = tmp_path / "report.html"
  write_report(path, MODEL, EXAMPLES, {"quality/fid": METRICS["quality/fid"]}, {}, "")
  heads = re.findall("<h2>(.*?)</h2>", path.read_text(encoding="utf-8"))
  assert heads == ["Fusions", OPEN[2], OPEN[3], "Figures", "All figures", "Configuration"]


def test_a_bar_reaches_from_zero_to_the_value_and_its_interval_lies_on_it():
  figures = {
    "leakage/a<b": {"value": 0.5, "low": 0.4, "high": 0.6},
    "leakage/wide": {"value": -0.05, "low": -0.3, "high": 1.5},
    "leakage/no_interval": {"value": 0.25},
    "control/x": {"value": 1},
  }
  rows = re.findall("<tr>(.*?)</tr>", module._bars(figures, "leakage/"))
  assert [re.findall("<td[^>]*>(?!<svg)(.*?)</td>", row) for row in rows] == [
    ["a&lt;b", "0.500", "0.400 to 0.600"],
    ["wide", "-0.05", "-0.300 to 1.500"],
    ["no_interval", "0.250", ""],
  ]
  widths = [
    re.findall(r'<rect width="([\d.]+)" height="14" class="bar"/><line x1="([\d.]+)" x2="([\d.]+)"', row)
    for row in rows
  ]
  assert widths == [[("100.0", "80.0", "120.0")], [("0.0", "0.0", "200.0")], [("50.0", "50.0", "50.0")]]
  assert module._bars(figures, "bound/") == ""


@pytest.mark.parametrize(
  ("value", "text"), [(0.1, "0.100"), (0.09996, "0.09996"), (-0.00012345, "-0.0001234"), (12.5, "12.500")]
)
def test_digits_of_a_number(value, text):
  assert module._number(value) == text


def test_the_table_of_all_figures():
  rows = re.findall("<tr>(.*?)</tr>", module._table(METRICS))
  cells = [re.findall("<t[dh][^>]*>(.*?)</t[dh]>", row) for row in rows]
  assert cells[0] == ["key", "value", "95 %", ""]
  assert [row[0] for row in cells[1:]] == sorted(METRICS)
  assert cells[-1] == ["quality/fid", "12.500", "", "extractor a-network, images 500"]
  assert cells[1] == ["control_by_class/7", "0.875", "0.800 to 0.900", ""]


def test_leakage_shows_the_probes_then_the_worst_then_the_controls_of_each_part():
  names = [f"{probe}_{kind}" for kind in ("mean", "sample") for probe in ("linear", "mlp", "trees")]
  names += [
    "worst",
    "image",
    "chance",
    *(f"control_{name}" for name in ("shuffled", "untrained", "plain_vae", "pixels")),
  ]
  metrics = {f"leakage/{part}{name}": {"value": 0.5} for part in ("color/", "digit/") for name in reversed(names)}
  shown = re.findall("<tr><td>(.*?)</td>", module._leakage({**metrics, "bound/worst": {"value": 1}}))
  assert shown == [f"{part}/{name}" for part in ("color", "digit") for name in names]


def test_leakage_tells_its_nats_and_from_how_many_images_the_probes_learned():
  metrics = {
    "leakage/color/worst": {"value": 0.5, "probe_images": 6000},
    "leakage/color/worst_nats": {"value": 0.25},
    "leakage/color/worst_all": {"value": 0.5, "probe_images": 48000},
    "leakage/color/chance": {"value": 0.1},
    "leakage/color/ceiling_nats": {"value": 2.3},
  }
  notes = re.findall("<td>([^<]*)</td></tr>", module._leakage(metrics))
  assert notes == ["0.250 nats, learned from 6,000 images", "learned from 48,000 images", "2.300 nats tell all"]


def test_its_pictures_are_those_of_a_run_on_the_split(report):
  f = feature_values(MODEL.feature, EXAMPLES)
  sheets = pictures.pictures_of(MODEL, EXAMPLES, f, "<run>")
  shown = re.findall(r'alt="([^"]*)" src="data:image/png;base64,([^"]+)"', report)
  for place, name in ((0, "fusion"), (2, "traversal"), (3, "reconstruction")):
    words, png = shown[place]
    assert base64.b64decode(png) == sheets[name].png() and html.unescape(words) == sheets[name].words
  assert len(shown) == 5


def test_of_very_many_features_the_first_have_pictures(tmp_path, monkeypatch):
  monkeypatch.setattr(module, "MOST_PARTS", 1)
  names = ("bit", "other", "third")
  examples = {"image": EXAMPLES["image"], **{name: np.arange(40) % 2 for name in names}}
  write_report(tmp_path / "report.html", Fake(Attribute(names), lambda x, f: x), examples, {}, {}, "")
  page = (tmp_path / "report.html").read_text(encoding="utf-8")
  assert page.count("<img") == 4 and "2 more features have their pictures in the run folder." in page


def test_the_worst_fusions_stand_beside_the_grid(report):
  (png,) = re.findall(r'alt="fusions that are judged worst" src="data:image/png;base64,([^"]+)"', report)
  assert base64.b64decode(png) == b"a png"


def test_it_shows_the_curves(report):
  (png,) = re.findall(r'alt="every term of the loss by epoch" src="data:image/png;base64,([^"]+)"', report)
  height, width, _ = tf.io.decode_png(base64.b64decode(png)).shape
  assert (height, width) == (210, 1000)


def test_curves_of_two_epochs_and_more_are_drawn_as_they_were_logged_three_to_a_line():
  names = ("L", "my_term", "L_f", "L_f/color", "psnr")
  curves = {f"train/{name}": {3: 1.0, 1: 3.0, 2: 2.0} for name in names}
  curves |= {"learning_rate": {1: 1.0, 2: 2.0}, "gradient_norm/G": {1: 1.0, 2: 2.0}}
  curves |= {"validation/L": {1: 2.0, 2: 4.0}, "validation/psnr": {1: 5.0}}
  figure = draw_curves(curves)
  assert [axes.get_title() for axes in figure.axes if axes.axison] == ["L", "my_term", "L_f", "psnr"]
  assert len(figure.axes) == 6 and tuple(figure.get_size_inches()) == (10, 4.2)
  of_l, of_psnr = figure.axes[0].lines, figure.axes[3].lines
  assert [(line.get_label(), *line.get_xydata().tolist()) for line in of_l] == [
    ("train", [1, 3], [2, 2], [3, 1]),
    ("validation", [1, 2], [2, 4]),
  ]
  assert [line.get_color() for line in of_l] == [module.COLORS["train"], module.COLORS["validation"]]
  assert [line.get_label() for line in of_psnr] == ["train"]  # a single epoch is no curve
  assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "validation"]
  assert draw_curves({"train/L": {1: 1.0}, "evaluation/quality/psnr": {1: 1.0, 2: 1.0}}) is None


def test_it_draws_a_curve_of_each_term_over_the_epochs(digit_run):
  curves = read_curves(digit_run.folder / "tensorboard")
  axes = {axes.get_title(): axes for axes in draw_curves(curves).axes}
  assert set(axes) >= {"L", "reconstruction", "KL_z1", "L_f", "L_GAN", "L_D", "psnr"}
  for part, line in zip(("train", "validation"), axes["L_f"].lines):
    np.testing.assert_array_equal(line.get_xdata(), [1, 2, 3])
    np.testing.assert_array_equal(line.get_ydata(), [curves[f"{part}/L_f"][step] for step in (1, 2, 3)])
  assert draw_curves({}) is None


def test_curves_are_read_as_far_as_they_go_and_the_later_training_counts(tmp_path):
  for values in ((1.0, 2.0, 3.0), (5.0,)):
    with tf.summary.create_file_writer(str(tmp_path)).as_default():
      for step, value in enumerate(values, start=3 if len(values) == 1 else 1):
        tf.summary.scalar("train/L", value, step=step)
  assert read_curves(tmp_path) == {"train/L": {1: 1.0, 2: 2.0, 3: 5.0}}
  last = max(tmp_path.iterdir(), key=lambda path: path.stat().st_mtime_ns)
  last.write_bytes(last.read_bytes()[:-5])
  assert read_curves(tmp_path) == {"train/L": {1: 1.0, 2: 2.0, 3: 3.0}}
  assert read_curves(tmp_path / "nowhere") == {}


def test_scalars_are_written_in_place_of_the_old_ones(tmp_path):
  write_scalars(tmp_path, {"leakage/worst": 0.5, "old": 1.0})
  write_scalars(tmp_path, {"leakage/worst": 0.25})
  assert read_curves(tmp_path) == {"leakage/worst": {0: 0.25}}
