"""How fast it is: the training step of presets, alone, fed, within `fit` and beside a peer; and an exported model.

| module | what it has |
|---|---|
| `presets.py` | the networks that are timed, by name |
| `machine.py` | the spin test, the peak of the matrix product, FLOPs, memory |
| `rounds.py` | interleaved rounds, medians with intervals, the peer |
| `steps.py` | `bench`, and `seconds_per_step` of a model that is to be trained |
| `exported.py` | `bench_export` |
"""

from tfdisent.benchmark.exported import bench_export
from tfdisent.benchmark.steps import bench, seconds_per_step

__all__ = ["bench", "bench_export", "seconds_per_step"]
