"""The benchmark of the step runs, and says what it measured."""

import dataclasses
import json
import sys

import numpy as np
import pytest
import tensorflow as tf

from tfdisent.benchmark import bench, seconds_per_step
from tfdisent.data import from_arrays
from tfdisent.data.batches import image_reader
from tfdisent.errors import ConfigError
from tfdisent.feature.choose import choose
from tfdisent.recipe import complete


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


def test_the_time_of_a_step_is_told_where_the_first_images_are_all_of_one_class():
  """Those of a rare class were dealt out to the other splits, and come late in the training split."""
  bald = np.arange(200) >= 150
  dataset = from_arrays(np.random.default_rng(0).integers(256, size=(200, 8, 8, 3), dtype=np.uint8), {"bald": bald})
  few = {name: column[np.argsort(dataset.train["bald"])] for name, column in dataset.train.items()}
  dataset = dataclasses.replace(dataset, train=few)
  feature = choose("bald", dataset).of_dataset(dataset)
  recipe = complete(dataset, "bald", model={symbol: {"conv": (4,), "dense": (8,)} for symbol in ("E1", "G", "q", "D")})
  makers = recipe.make_model, recipe.make_optimizer_eg, recipe.make_optimizer_d
  assert len(np.unique(few["bald"][:64])) == 1
  assert 0 < seconds_per_step(*makers, dataset, feature, 64) < 60
