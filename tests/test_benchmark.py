"""The benchmark runs, and says what it measured."""

import json

import numpy as np
import tensorflow as tf

from tfdisent.benchmark import bench, bench_export
from tfdisent.data.batches import image_reader
from tfdisent.serving.saved_model import export


def test_the_benchmark_gives_rates_and_its_settings_as_json():
  result = json.loads(json.dumps(bench(batch_size=4, steps=2, warmup=1, repeats=1)))
  rates = {name: result.pop(name) for name in ("images_per_s", "fit_images_per_s", "waiting", "memory_growth")}
  assert min(rates["images_per_s"], rates["fit_images_per_s"]) > 0 and 0 <= rates["waiting"] < 1
  settings = {"precision": "float32", "batch": 4, "replicas": 1, "image_size": 28, "images": 10000, "on_disk": False}
  settings["networks"] = "plain"
  assert result == {**settings, "steps": 2, "repeats": 1}


def test_an_exported_model_is_timed_beside_its_concrete_function(digit_run, tmp_path):
  path = export(digit_run.trained, tmp_path / "digit")
  result = json.loads(json.dumps(bench_export(path, digit_run.trained, requests=10, batch_size=4, repeats=2)))
  for name in ("", "concrete_"):
    p50, p99, rate = (result.pop(f"{name}{figure}") for figure in ("p50_ms", "p99_ms", "images_per_s"))
    assert 0 < p50 <= p99 and rate > 0
  assert result == {"model": str(path), "requests": 10, "batch": 4, "repeats": 2}


def test_images_of_a_file_are_read_as_those_in_memory(tmp_path):
  (tmp_path / "images").write_bytes(np.random.default_rng(0).bytes(10 * 4 * 5 * 3))
  mapped = np.memmap(tmp_path / "images", np.uint8, "r").reshape(-1, 4, 5, 3)
  rows = tf.constant([3, 0, 4])
  for part in (mapped, mapped[2:9], mapped[2:9][1:]):
    np.testing.assert_array_equal(image_reader(part)(rows), np.asarray(part)[[3, 0, 4]])
