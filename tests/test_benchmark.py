"""The benchmark runs, and says what it measured."""

import json

from tfdisent.benchmark import bench


def test_the_benchmark_gives_rates_and_its_settings_as_json():
  result = json.loads(json.dumps(bench(batch_size=4, steps=2, warmup=1, repeats=1)))
  rates = {name: result.pop(name) for name in ("images_per_s", "fit_images_per_s")}
  assert all(rate > 0 for rate in rates.values())
  assert result == {"precision": "float32", "batch": 4, "steps": 2, "repeats": 1}
