"""Measuring a run: its figures, a report and a page in plain words, kept in its folder."""

import pathlib
from collections.abc import Sequence

from tfdisent import evaluation, loading, pictures, run, shipped
from tfdisent.arguments import checked
from tfdisent.console import Progress, say
from tfdisent.data.dataset import Dataset
from tfdisent.errors import RunError
from tfdisent.evaluation import report, words
from tfdisent.evaluation.monitor import write_scalars
from tfdisent.evaluation.protocol import Metrics
from tfdisent.evaluation.small_judges import save_judges
from tfdisent.evaluation.worst import Judged, judged_fusions


@checked("evaluate")
def evaluate(
  run_dir: str | pathlib.Path,
  dataset: Dataset | None = None,
  split: str = "test",
  checkpoint: str = "best",
  data_dir: str | None = None,
  measurements: Sequence = (),
  trust: Sequence[str] = (),
  progress: Progress = say,
) -> Metrics:
  """Measures a finished run, and keeps the figures and a report in its folder.

      figures = tfdisent.evaluate("runs/color", split="validation")
      figures["control/mae_mean"]  # {"value": …, "low": …, "high": …}

  `tfdisent.evaluation.evaluate` measures a model that is in no folder, and keeps nothing.

  Args:
    run_dir: the run folder.
    dataset: None for the one that the run was trained on, if the folder names it.
    split: "test" for figures to publish: the folder counts its reads. "validation" for choices.
    checkpoint: "best" (on validation) or "last".
    data_dir: where the data lies; None for where it lay in training.
    measurements: names or instances of measurements to take besides; none for those that the training was given.
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    progress: told of every stage and figure, as lines.

  Returns:
    The figures: see `tfdisent.evaluation.evaluate`.

  Raises:
    RunError: the folder holds no trained model, or names no data set.
    ConfigError: the folder asks for a plug-in that is not known.
    DataError: the data is not there, or `split` is another one.
  """
  with shipped.unpacked(run_dir) as folder:
    run.check_writable(folder)
    trained = loading.load(folder, checkpoint, trust)
    dataset = dataset or run.read_dataset(folder, data_dir, trust)
    measurements = measurements or run.read_measurements(folder, trust)
  if split == "test":
    progress(f"Reads of the test split, with this one: {run.count_test_read(folder, trained.checkpoint)}")
  metrics, provenance, path, worst = measure_run(folder, trained, dataset, split, progress, measurements)
  curves = folder / run.TENSORBOARD_FOLDER
  scalars = {key: figure["value"] for key, figure in metrics.items()}
  write_scalars(curves / run.named(run.EVALUATION_FOLDER, split, checkpoint), scalars)
  page = folder / run.named(run.REPORT_FILE, split, checkpoint)
  config = run.read_config(folder)
  report.write_report(page, trained, dataset[split], metrics, report.read_curves(curves), config, provenance, worst)
  progress(f"\nWritten to {path}; look at {page}")
  return metrics


def measure_run(run_dir, trained, dataset, split, progress, measurements, quick=False):
  """The figures of a run on a split, printed and kept; with their provenance, the path of their file, and a PNG of the
  fusions that were judged worst, if any were judged.
  """
  judged: list[Judged] = []

  def look(case):
    judged.extend(case.worst.values())
    save_judges(run_dir, dataset, split, case.readers)

  metrics = evaluation.evaluate(
    trained,
    dataset,
    split,
    quick=quick,
    progress=progress,
    measurements=measurements,
    look=look,
  )
  title = pictures.run_words(run_dir.absolute().name, trained.checkpoint)
  worst = judged_fusions(judged, title) if judged else None
  for name, figure in sorted(metrics.items()):
    interval = f"  [{figure['low']:.4f}, {figure['high']:.4f}]" if "low" in figure else ""
    progress(f"  {name:<32} {figure['value']:.4f}{interval}")
  if trained.checkpoint.kind == "best":
    text = words.in_words(run_dir.absolute().name, trained.feature, dataset, split, metrics)
    run.write(run_dir / run.WORDS_FILE, text)
    if worst:
      run.write(run_dir / run.WORST_FILE, worst)
  provenance = run.provenance(run_dir, dataset, split, trained.checkpoint, trained.model.seed)
  return metrics, provenance, run.write_metrics(run_dir, metrics, provenance), worst


def is_measured(run_dir, trained, dataset, split) -> bool:
  """Whether the folder holds the figures of these very weights on this very split."""
  try:
    _, there = run.read_metrics(run_dir, split)
  except (FileNotFoundError, RunError):
    return False
  now = run.provenance(run_dir, dataset, split, trained.checkpoint, trained.model.seed)
  # Not by the hash of the configuration: an older version writes the same one in other words. Another one is refused.
  names = ("split", "images", "data", "checkpoint", "epoch", "step", "seed")
  return all(name in there and there[name] == now[name] for name in names)
