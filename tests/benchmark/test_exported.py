"""An exported model is timed."""

import json

from tfdisent.benchmark import bench_export
from tfdisent.serving.saved_model import export


def test_an_exported_model_is_timed_beside_its_concrete_function(digit_run, tmp_path):
  path = export(digit_run.trained, tmp_path / "digit")
  result = json.loads(json.dumps(bench_export(path, digit_run.trained, requests=10, batch_size=4, repeats=2)))
  for name in ("", "concrete_"):
    p50, p99, rate = (result.pop(f"{name}{figure}") for figure in ("p50_ms", "p99_ms", "images_per_s"))
    assert 0 < p50 <= p99 and rate > 0
  assert result == {"model": str(path), "requests": 10, "batch": 4, "repeats": 2}
