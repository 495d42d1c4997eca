"""The benchmark runs, and says what it measured."""

import json

import numpy as np
import tensorflow as tf

from tfdisent.benchmark import bench
from tfdisent.dataset import image_reader


def test_the_benchmark_gives_rates_and_its_settings_as_json():
  result = json.loads(json.dumps(bench(batch_size=4, steps=2, warmup=1, repeats=1)))
  rates = {name: result.pop(name) for name in ("images_per_s", "fit_images_per_s", "waiting", "memory_growth")}
  assert min(rates["images_per_s"], rates["fit_images_per_s"]) > 0 and 0 <= rates["waiting"] < 1
  settings = {"precision": "float32", "batch": 4, "replicas": 1, "image_size": 28, "images": 10000, "on_disk": False}
  assert result == {**settings, "steps": 2, "repeats": 1}


def test_images_of_a_file_are_read_as_those_in_memory(tmp_path):
  (tmp_path / "images").write_bytes(np.random.default_rng(0).bytes(10 * 4 * 5 * 3))
  mapped = np.memmap(tmp_path / "images", np.uint8, "r").reshape(-1, 4, 5, 3)
  rows = tf.constant([3, 0, 4])
  for part in (mapped, mapped[2:9], mapped[2:9][1:]):
    np.testing.assert_array_equal(image_reader(part)(rows), np.asarray(part)[[3, 0, 4]])
