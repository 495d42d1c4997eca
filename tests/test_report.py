"""The report: one file, with everything in it."""

import base64
import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import tensorflow as tf

from tfdisent import pictures
from tfdisent.evaluation.report import draw_curves, read_curves, write_report
from tfdisent.feature import feature_values
from tfdisent.training import write_scalars

METRICS = {
  "leakage/mlp_mean": {"value": 0.5, "low": 0.4, "high": 0.6},
  "leakage/worst": {"value": 0.5, "low": 0.4, "high": 0.6},
  "leakage/chance": {"value": 0.1135},
  "leakage/control_shuffled": {"value": 0.11, "low": 0.1, "high": 0.12},
  "control_by_class/7": {"value": 0.875, "low": 0.8, "high": 0.9},
  "quality/fid": {"value": 12.5, "extractor": "a-network", "images": 500},
}


ORIGIN = {"split": "test", "checkpoint": "<best>", "test_reads": 17, "versions": {"keras": "9.8.7"}}


@pytest.fixture(scope="module")
def report(digit_run, few_digits, tmp_path_factory):
  path = tmp_path_factory.mktemp("reports") / "report.html"
  curves = read_curves(digit_run.folder / "tensorboard")
  write_report(path, digit_run.trained, few_digits.test, METRICS, curves, "train.x = '<b>'", ORIGIN)
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


def test_its_picture_is_the_fusion_grid_of_the_split(report, digit_run, few_digits):
  (png,) = re.findall(r'alt="fusion grid" src="data:image/png;base64,([^"]+)"', report)
  picture = tf.io.decode_png(base64.b64decode(png)).numpy()[::2, ::2]
  f = feature_values(digit_run.trained.feature, few_digits.test)
  columns, rows = pictures.pick(f, digit_run.trained.feature), np.random.default_rng(1).permutation(len(f))[:8]
  x = few_digits.test["image"]
  np.testing.assert_array_equal(picture, pictures.fusion_grid(digit_run.trained, x[rows], x[columns], f[columns]))


def test_it_draws_a_curve_of_each_term_over_the_epochs(report, digit_run):
  assert 'alt="every term of the loss by epoch"' in report
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
