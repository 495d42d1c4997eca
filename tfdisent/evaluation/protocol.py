"""The whole protocol on one trained model: every built-in measurement, and those that are asked for besides."""

import time
from collections.abc import Callable, Sequence

from tfdisent.console import say
from tfdisent.data.dataset import Dataset
from tfdisent.evaluation import bound, control, counterpart, leaks, quality  # noqa: F401 (each registers its measurements)
from tfdisent.evaluation.case import Case
from tfdisent.evaluation.measurement import BUILT_IN, Measurement, Metrics
from tfdisent.evaluation.readers import feature_reader, readers
from tfdisent.feature.contract import CONTINUOUS, Feature
from tfdisent.feature.learned import LearnedFeature
from tfdisent.inference import TrainedModel
from tfdisent.registry import MEASUREMENTS


def evaluate(
  model: TrainedModel,
  dataset: Dataset,
  split: str = "test",
  seed: int = 0,
  quick: bool = False,
  limit: int | None = None,
  progress: Callable[[str], None] | None = say,
  measurements: Sequence[str | Measurement] = (),
  look: Callable[[Case], None] | None = None,
) -> Metrics:
  """Control, complement, quality, leakage and the bound of a model on a split.

  Every figure is `{"value": …}`, with the `low` and `high` of its 95 % interval over the examples of the split where it
  is a statistic of them; `tfdisent.evaluation` says what the intervals include. Where f has several parts, each part
  has figures of its own, `control/NAME/…`, `complement/NAME/…`, `leakage/NAME/…` and `bound/NAME/…`.

  | figures | measurement | explained in |
  |---|---|---|
  | `control/…`, `complement/…`, `oracle/…` | `control` * | `evaluation.control` |
  | `quality/…` | `psnr` *, `sharpness` *, `ssim`, `fid` | `evaluation.quality` |
  | `leakage/…` | `leakage`, `leakage_controls`, `leakage_image` | `evaluation.leaks` |
  | `bound/…` | `bound` | `evaluation.bound` |
  | `counterpart/…` | `counterpart`, where it is asked for | `evaluation.counterpart` |

  * the quick subset

  Args:
    model: the trained model.
    dataset: judges and splits. Probes are fitted on `probe` and stop early on `validation`; for the split "validation"
      they stop early on a fifth of `probe`.
    split: "test" for figures to publish, "validation" for choices.
    seed: of the pairs, the samples and the probes.
    quick: control, complement, PSNR and sharpness alone, and `measurements`.
    limit: at most so many images, evenly spaced in the split; None for all.
    progress: told of every stage, as a line; None for silence.
    measurements: more of them, which run after the built-in ones: registered names, or instances. There are
      "linear_leakage", which is quick; "leakage_all_images", probes that learn on all training images of the model; and
      "counterpart", which needs pictures of the same thing with another f.
    look: is called with the `Case` once all is measured, for what figures do not show, as its `worst` fusions.

  Raises:
    DataError: the split is neither "test" nor "validation".
    RegistryError: no measurement is registered under a name in `measurements`.
  """
  start = time.monotonic()

  def tell(stage):
    if progress:
      progress(f"[{time.monotonic() - start:5.1f} s] {stage}")

  built_in = [MEASUREMENTS.create(name) for name in BUILT_IN if MEASUREMENTS[name].quick or not quick]
  more = [MEASUREMENTS.create(given) if isinstance(given, str) else given for given in measurements]
  case = Case(model, dataset, split, seed, limit, tell)
  metrics: Metrics = {}
  for measurement in (*built_in, *more):
    tell(measurement.stage)
    metrics |= measurement.measure(case)
  if look:
    look(case)
  tell("done")
  return metrics


def train_judges(dataset: Dataset, feature: Feature) -> None:
  """Trains the networks that judge the control of f on a data set, where the cache does not hold them yet."""
  readers(dataset)
  judged = {judge.column for judge in dataset.judges}
  for part in feature.parts:
    if isinstance(part, LearnedFeature) and part.kind == CONTINUOUS and part.column not in judged:
      feature_reader(part, dataset)
