"""The benchmark of the step runs, and says what it measured."""

import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdisent.benchmark import bench
from tfdisent.data.batches import image_reader
from tfdisent.errors import ConfigError


def test_the_benchmark_gives_rates_and_its_settings_as_json():
  peer = f'{sys.executable} -c \'print("warming up"); print("{{\\"images_per_s\\": 2.0}}")\''
  result = json.loads(json.dumps(bench(batch_size=4, images=200, steps=3, warmup=1, rounds=2, peer_command=peer)))
  median = {name: figure["median"] for name, figure in result.items() if isinstance(figure, dict)}
  for name in ("step", "fed", "fit", "peer"):
    assert median[f"{name}_images_per_s"] > 0 and len(result[f"{name}_images_per_s"]["rounds"]) == 2
  steps = result["step_images_per_s"]["rounds"]
  np.testing.assert_allclose(result["over_peer"]["rounds"], np.array(steps) / 2, rtol=0.05)
  np.testing.assert_allclose(
    result["fit_lost"]["rounds"], 1 - np.array(result["fit_images_per_s"]["rounds"]) / steps, atol=0.02
  )
  assert 0 <= median["waiting"] < 1 and median["checkpoint_s"] > 0 and median["fit_start_s"] > 0
  assert 0 < median["share_of_cores"] <= 1 and median["peak_gflops"] > 0 and 0 < median["share_of_peak"] < 1
  assert 60e6 < result["flops_per_image"] < 120e6  # 83 million by hand
  assert 0 < result["first_step_s"] < result["seconds_to_first_step"] and result["peak_memory_mb"] > 100
  assert result["loaded"] == (min(result["share_of_cores"]["rounds"]) < 0.95)
  settings = {"preset": "reference", "precision": "float32", "networks": "plain", "image_size": 28, "batch": 4}
  settings |= {"replicas": 1, "images": 200, "on_disk": False, "steps": 3, "rounds": 2, "peer": peer}
  assert {name: result[name] for name in settings} == settings


@pytest.mark.parametrize("name, value", [("steps", 1), ("rounds", 0), ("images", -1)])
def test_a_count_that_measures_nothing_is_refused(name, value):
  with pytest.raises(ConfigError, match=f"bench.{name} = {value} must be a whole number of at least"):
    bench(**{name: value})


def test_images_of_a_file_are_read_as_those_in_memory(tmp_path):
  (tmp_path / "images").write_bytes(np.random.default_rng(0).bytes(10 * 4 * 5 * 3))
  mapped = np.memmap(tmp_path / "images", np.uint8, "r").reshape(-1, 4, 5, 3)
  rows = tf.constant([3, 0, 4])
  for part in (mapped, mapped[2:9], mapped[2:9][1:]):
    np.testing.assert_array_equal(image_reader(part)(rows), np.asarray(part)[[3, 0, 4]])
