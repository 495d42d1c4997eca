"""What the figures of a run say, in plain words: what was controlled, what was kept, what leaks, and what to try."""

from collections.abc import Iterator, Mapping

from tfdisent.data.dataset import Dataset, Judge
from tfdisent.evaluation.control import COMPARISONS
from tfdisent.evaluation.measurement import Metrics
from tfdisent.feature.contract import DISCRETE, Feature

TRUSTED, WEAK = 0.8, 0.9
"""A classifier's accuracy on real images, and the share of it that a good control reaches."""
KEPT = 0.8
"""Of the way from an unrelated image to the judge's own figure: what is kept less is poor."""
TELLING = 0.1
"""A probe that reads a class so far above chance, or so much of the variance of a number, finds a leak."""
SOFT = 0.7
"""Of the sharpness of real images: less is visibly softer."""

REMEDIES = {
  "judge": "The judge reads {names} badly in real images, so that its figures say little: look for wrong labels, or "
  "bring more images.",
  "control": "Control of {names} is poor: raise `objective.lambda3` threefold, and train for more epochs. If L_f is "
  "low all the same, q reads another thing than the judge: raise `objective.q_noise`.",
  "kept": "What was not asked for changes with {names}: raise `model.z1_width` and `train.epochs`, or lower "
  "`objective.lambda3`. Name what must be kept as a feature of its own.",
  "leak": "z1 still tells {names}: raise `objective.adversary` twofold, or lower `model.z1_width`.",
  "blurred": "The {names} are softer than the real ones: lower `objective.stddev`, raise `model.z1_width`, and train "
  "for more epochs.",
}


def in_words(name: str, feature: Feature, dataset: Dataset, split: str, metrics: Metrics) -> str:
  """The figures of a run as a text in Markdown.

  Args:
    name: of the run.
    feature: that was controlled.
    dataset: on which it was measured.
    split: "validation" or "test".
    metrics: of `tfdisent.evaluation.evaluate`; what they lack is not told.
  """
  parts = feature.part_names if len(feature.parts) > 1 else (feature.column or feature.name,)
  found = _Findings(metrics, dataset, split, len(feature.parts) > 1)
  lines = [f"# {name}", "", f"Measured on {len(dataset[split]['image']):,} images of the {split} split.", ""]
  lines += ["## What was asked for", ""]
  for part, of in zip(parts, feature.parts):
    lines += [f"- {sentence}" for sentence in found.control(part, of)]
  if kept := [row for part in parts for row in found.kept(part)]:
    head = ("when this changes", "this", "is kept", "the judge on real images", "an unrelated image")
    lines += ["", "## What was kept", "", _row(head), _row(["---"] * len(head)), *map(_row, kept)]
  if leaks := [sentence for part, of in zip(parts, feature.parts) for sentence in found.leak(part, of)]:
    lines += ["", "## What z1 still tells", "", *(f"- {sentence}" for sentence in leaks)]
  if quality := list(found.quality()):
    lines += ["", "## How the pictures look", "", *(f"- {sentence}" for sentence in quality)]
  lines += ["", "## What to try", "", *(f"- {line}" for line in found.advice() or ["Nothing stands out."])]
  if split != "test":
    lines += ["- `tfdisent --mode=eval` measures the test split, with six probes of z1 and the FID of fusions."]
  return "\n".join(lines) + "\n"


class _Findings:
  """Reads figures by their names, and notes what is poor: the remedy, and the properties it is for."""

  def __init__(self, metrics: Metrics, dataset: Dataset, split: str, several: bool):
    self._metrics, self._judges, self._split, self._several = metrics, dataset.judges, split, several
    self.poor: dict[str, list[str]] = {}

  def control(self, part: str, feature: Feature) -> Iterator[str]:
    """What was asked for, and what is seen."""
    judge = next((judge for judge in self._judges if judge.column == feature.column), None)
    if judge is None:
      for figure in ("median_error", "own_f_accuracy", "own_f_mae"):
        if (seen := self._of(part, f"control/{figure}_mean")) is not None:
          yield f"Asked for another {part}, the {figure.replace('_', ' ')} is {seen:.3g}; no column's judge reads it."
      return
    seen, real = self._of(part, f"control/{_figure(judge)}_mean"), self._real(judge)
    if seen is None:
      return
    beside = "" if real is None else f" ({_show(judge, real)} on real images)"
    if judge.kind == "classifier":
      if real is not None and real < TRUSTED:
        self._note("judge", part)
      elif seen < WEAK * (real or 1):
        self._note("control", part)
      where = f"{_show(judge, seen)} of the fusions{beside}"
      yield f"Asked for another {part}, an independent classifier sees it in {where}."
    else:
      if real is not None and seen > 2 * real:
        self._note("control", part)
      yield f"Asked for another {part}, an independent reader finds it with an error of {_show(judge, seen)}{beside}."

  def kept(self, part: str) -> Iterator[tuple[str, ...]]:
    """Rows of the table of what must stay when a part changes."""
    for judge in self._judges:
      name = f"{judge.name}_{_figure(judge)}"
      kept, chance = (self._of(part, f"{kind}/{name}") for kind in ("complement", "complement_chance"))
      if kept is None or chance is None:
        continue
      real = self._real(judge)
      best = real if real is not None else float(judge.kind == "classifier")
      if best != chance and (kept - chance) / (best - chance) < KEPT:
        self._note("kept", part)
      yield part, judge.name, *("" if value is None else _show(judge, value) for value in (kept, real, chance))

  def leak(self, part: str, feature: Feature) -> Iterator[str]:
    """How well probes read a part from z1."""
    name, who = "leakage/worst", "the best of six probes"
    if self._of(part, name) is None:
      name, who = "leakage/linear_mean", "a linear probe"
    if (seen := self._of(part, name)) is None:
      return
    chance = self._of(part, "leakage/chance") or 0.0
    if seen > chance + min(TELLING, (1 - chance) / 2):  # where one class is frequent, there is little to gain
      self._note("leak", part)
    read = f"{who}{self._images(part, name)} {self._reads(feature, seen)}"
    yield f"{part}: {read}; knowing nothing gives {_percent(chance) if feature.kind == DISCRETE else '0 %'}."
    if (seen := self._of(part, "leakage/worst_all")) is not None:
      images = self._images(part, "leakage/worst_all", "all ", "training ")
      yield f"{part}: the best of six others{images} {self._reads(feature, seen)}."
    if (nats := self._of(part, "leakage/worst_nats")) is not None:
      most = self._of(part, "leakage/ceiling_nats")
      beside = "" if most is None else f", of {most:.2f} that tell all"
      yield f"{part}: a probe can use {nats:.2f} nats of z1{beside}."

  def _images(self, part: str, figure: str, before: str = "", kind: str = "") -> str:
    count = self._found(part, figure).get("probe_images")
    return "" if count is None else f", which learned from {before}{count:,} {kind}images,"

  @staticmethod
  def _reads(feature: Feature, seen: float) -> str:
    if feature.kind == DISCRETE:
      return f"reads it in {_percent(seen)} of the images"
    return f"explains {_percent(max(seen, 0))} of its variance"

  def quality(self) -> Iterator[str]:
    """How near reconstructions are to their images, and how sharp they and the fusions are."""
    if (psnr := self._value("quality/psnr")) is not None:
      yield f"Reconstructions have a PSNR of {psnr:.1f} dB."
    for figure, name in (("rec", "reconstructions"), ("fusion", "fusions")):
      if (sharpness := self._value(f"quality/sharpness_{figure}")) is not None:
        if sharpness < SOFT:
          self._note("blurred", name)
        softer = ": they are softer than the real ones" if sharpness < SOFT else ""
        yield f"{name.capitalize()} are {sharpness:.2f} times as sharp as real images{softer}."

  def advice(self) -> list[str]:
    """What to try."""
    return [text.format(names=", ".join(self.poor[key])) for key, text in REMEDIES.items() if key in self.poor]

  def _of(self, part: str, figure: str) -> float | None:
    return self._found(part, figure).get("value")

  def _found(self, part: str, figure: str) -> Mapping:
    """A figure of a part, as it is in the metrics; empty if they lack it."""
    kind, name = figure.split("/")
    return self._metrics.get(f"{kind}/{part}/{name}" if self._several else figure, {})

  def _real(self, judge: Judge) -> float | None:
    """The judge's own figure on real images; that of the only classifier has no name in its key."""
    named = self._value(f"oracle/{self._split}_{judge.name}_{_figure(judge)}")
    return named if named is not None or judge.kind != "classifier" else self._value(f"oracle/{self._split}_accuracy")

  def _value(self, key: str) -> float | None:
    return self._metrics[key]["value"] if key in self._metrics else None

  def _note(self, remedy: str, name: str) -> None:
    names = self.poor.setdefault(remedy, [])
    names += [] if name in names else [name]


def _figure(judge: Judge) -> str:
  return COMPARISONS[judge.kind].figure


def _show(judge: Judge, value: float) -> str:
  return (
    _percent(value) if judge.kind == "classifier" else f"{value:.3g}{'°' if judge.kind in ('angle', 'axis') else ''}"
  )


def _percent(value: float) -> str:
  return f"{100 * value:.1f} %"


def _row(cells) -> str:
  return f"| {' | '.join(cells)} |"
