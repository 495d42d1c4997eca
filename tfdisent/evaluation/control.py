"""Control: whether a fusion has the f that it was asked for; and complement: what it keeps of the rest of its source.

Here x̂ is made with the f of another image whose f differs. The *target* of a fusion is that f, or the property of that
image. Each part of f is controlled alone: the other parts stay those of the source.

| key | what it is |
|---|---|
| `control/accuracy_{mean,sample,prior}` | share of the fusions in which the oracle reads the target class; z1 the posterior's mean, a sample of it, or drawn from the prior |
| `control/mae_{mean,sample,prior}` | instead, for a colour: mean absolute error of the measured one; for a number: of an estimator's |
| `control/median_error_{mean,sample,prior}` | instead, for an angle, an axis or another learned f: median absolute error, in degrees where f's unit is that, of an estimator's or of the measured one |
| `control/own_f_{mae,accuracy}_{mean,sample,prior}` | instead, for an f of pixels without a judge: what f itself says of the fusion, its error, or the share of the fusions in which every number of a discrete f is the target's. Weak: the model was trained against this f |
| `control/accuracy_unseen` | `control/accuracy_mean` of the fusions that combine what the training never showed together |
| `control_by_class/K` | `control/accuracy_mean` where the class K is the target |
| `control_by_source/K`, `oracle_by_class/K` | of an angle or a number, where there are classes as well: `control/…_mean` of the fusions whose source is of class K; the judge's error on real images of that class |
| `complement/{digit}_accuracy`, `complement/color_mae` | the other properties of the fusion (z1 the mean), against the source's |
| `complement/{ink_iou,slant_mae,stroke_mae}` | the shape of the fusion: see `strokes.ink_iou`, `.slant` (degrees), `.stroke_thickness` (pixels); the last two against the mean of real images of the same class, since a 1 is thinner than an 8 whoever writes it. What a change of f must change is left out |
| `complement_chance/*` | the same of another real image, drawn at random |
| `oracle/{split}_accuracy`, `oracle/{split}_{rotation}_median_error` | of the judges on real images |

On images of a class that looks the same whatever a property is (`Judge.symmetric`), the property is not judged.
"""  # noqa: E501 (a table)

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdisent.data.batches import joined
from tfdisent.data.dataset import Examples, Judge
from tfdisent.data.pixels import to_uint8
from tfdisent.evaluation import strokes
from tfdisent.evaluation.case import Case, Part, other_feature
from tfdisent.evaluation.intervals import median_with_interval, with_interval
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics
from tfdisent.evaluation.readers import class_column, feature_reader
from tfdisent.evaluation.worst import Judged
from tfdisent.feature.contract import DISCRETE
from tfdisent.feature.learned import LearnedFeature
from tfdisent.feature.values import feature_values
from tfdisent.pictures import value_words
from tfdisent.registry import register_measurement

_mean_error, _median_error = (
  functools.partial(statistic, within=(0, None)) for statistic in (with_interval, median_with_interval)
)


WORST = 8
"""Fusions of each part of f that are shown because their judge finds them worst."""


class Comparison(NamedTuple):
  """How what a judge's reader reads is compared with the truth, for one kind of judge."""

  figure: str
  """The last word of the figure's name."""
  compare: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
  """What was read and what is true, to one number per example, [N]; the last argument is the judge's `turn`."""
  summary: Callable[[np.ndarray], dict]
  """Those numbers, to a figure with its interval."""


COMPARISONS = {
  "classifier": Comparison("accuracy", lambda read, truth, turn: read == truth, with_interval),
  "color": Comparison("mae", lambda read, truth, turn: _error(read, truth), _mean_error),
  "number": Comparison("mae", lambda read, truth, turn: _error(read, truth), _mean_error),
  "angle": Comparison(
    "median_error", lambda read, truth, turn: strokes.angle_error(read, truth, turn) * (360 / turn), _median_error
  ),
  "axis": Comparison("median_error", lambda read, truth, turn: strokes.angle_error(read, truth, 180.0), _median_error),
}


class Swap(NamedTuple):
  """The measured images, fused with another f in one part."""

  partner: np.ndarray
  """Row of the image whose f each fusion is asked for, [N]."""
  unrelated: np.ndarray
  """Row of a real image that is drawn at random, [N]: the complement that comes by chance."""
  fusions: dict[str, np.ndarray]
  """uint8 [N, H, W, C], with z1 the "mean" or a "sample" of q(z1 | x), or drawn from the "prior"."""


def swap(case: Case, part: Part, of: Sequence[str] = ("mean", "sample", "prior")) -> Swap:
  """Fusions in which one part of f is another image's, `of` some z1. A case does not keep so many images."""
  model, f, z1 = case.model, case.f["score"], case.z1["score"]
  random_state = np.random.default_rng(case.seed)
  f_parts = model.feature.split(f)
  partner, unrelated = other_feature(f_parts[part.index], random_state), random_state.permutation(len(f))
  f_parts[part.index] = _known(case, part)[partner]
  z2_partner = model.encode_z2(np.concatenate(f_parts, 1))
  code = {
    "mean": lambda: z1,
    "sample": lambda: case.z1_sample["score"],
    "prior": lambda: random_state.standard_normal(z1.shape).astype(np.float32),
  }
  return Swap(partner, unrelated, {name: to_uint8(model.decode(code[name](), z2_partner)) for name in of})


def _known(case: Case, part: Part) -> np.ndarray:
  """This part of f as it is known of the measured examples, [N, width], where f is what a network reads in them."""
  if part.feature.as_known is part.feature:
    return case.model.feature.split(case.f["score"])[part.index]
  return feature_values(part.feature.as_known, case.examples)


@register_measurement("control")
class Control(Measurement):
  """Control and complement of each part of f, and what the judges make of real images."""

  stage = "control and complement"
  quick = True
  figures = (
    Figure("control/accuracy_mean", "high", column=True, printed=True, curve=True),
    Figure("control/accuracy_sample", "high", column=True),
    Figure("control/accuracy_prior", "high", column=True, curve=True),
    Figure("control/mae_mean", "low", column=True, printed=True, curve=True),
    Figure("control/mae_sample", "low", column=True),
    Figure("control/mae_prior", "low", column=True),
    Figure("control/median_error_mean", "low", column=True, printed=True),
    Figure("control/median_error_sample", "low", column=True),
    Figure("control/median_error_prior", "low", column=True),
    Figure("control/own_f_accuracy_*", "high"),
    Figure("control/own_f_mae_*", "low"),
    Figure("control/accuracy_unseen", "high"),
    Figure("control_by_class/*", "high"),
    Figure("control_by_source/*", "low"),
    Figure("complement/color_mae", "low", column=True, printed=True, curve=True),
    Figure("complement/digit_accuracy", "high", column=True, printed=True, curve=True),
    Figure("complement/ink_iou", "high", column=True),
    *(
      Figure(f"{kind}/{name}", better)
      for kind in ("complement", "oracle")
      for name, better in (("*_accuracy", "high"), ("*_mae", "low"), ("*_median_error", "low"))
    ),
    Figure("complement_chance/*"),
    Figure("oracle_by_class/*", "low"),
  )

  def measure(self, case: Case) -> Metrics:
    judge_errors = {
      judge: COMPARISONS[judge.kind].compare(read(case.x), case.truth[judge], judge.turn)
      for judge, read in case.readers.items()
      if judge.kind not in ("color", "axis")  # what is measured of pixels is the truth itself
    }
    metrics = _of_judges(case, judge_errors)
    for part in case.parts:
      metrics |= _of_part(case, part, swap(case, part), judge_errors)
    return metrics


def _of_judges(case: Case, judge_errors: dict[Judge, np.ndarray]) -> Metrics:
  """What the judges make of real images."""
  classifiers = [judge for judge in case.dataset.judges if judge.kind == "classifier"]
  metrics = {}
  for judge, error in judge_errors.items():
    comparison = COMPARISONS[judge.kind]
    name = comparison.figure if classifiers == [judge] else f"{judge.name}_{comparison.figure}"
    metrics[f"oracle/{case.split}_{name}"] = comparison.summary(error[is_readable(judge, case.examples)])
  return metrics


def is_readable(judge: Judge, examples: Examples) -> np.ndarray:
  """Which examples a judge judges, bool [N]: none of a class that looks the same whatever the property is."""
  readable = np.ones(len(examples["image"]), bool)
  for column, classes in judge.symmetric:
    readable &= ~np.isin(examples[column], classes)
  return readable


def _of_part(case: Case, part: Part, swap: Swap, judge_errors: dict[Judge, np.ndarray]) -> Metrics:
  """Control and complement of one part of f."""
  metrics: Metrics = {}
  controlled = next((judge for judge in case.dataset.judges if judge.column == part.feature.column), None)
  target = {  # what each fusion is to show
    name: column[swap.partner] if name == part.feature.column else column for name, column in case.examples.items()
  }
  for judge, read in case.readers.items():
    figure, compare, summary = COMPARISONS[judge.kind]
    truth, readable = case.truth[judge], is_readable(judge, target)
    if judge is controlled:
      errors = {z1: compare(read(x), truth[swap.partner], judge.turn) for z1, x in swap.fusions.items()}
      metrics |= {part.key(f"control/{figure}_{z1}"): summary(error[readable]) for z1, error in errors.items()}
      metrics |= _by_class(case, part, judge, truth[swap.partner], errors["mean"], judge_errors.get(judge))
      metrics |= _unseen(case, part, judge, swap, errors["mean"])
      case.worst[part.name] = _worst(case, part, judge, swap, errors["mean"], readable)
    else:
      for kind, value in (("complement", read(swap.fusions["mean"])), ("complement_chance", truth[swap.unrelated])):
        metrics[part.key(f"{kind}/{judge.name}_{figure}")] = summary(compare(value, truth, judge.turn)[readable])

  if any(judge.kind == "color" for judge in case.dataset.judges):  # ink on black: it has a shape
    for name, complement, chance in _shape(case, controlled, swap):
      within = (0, 1) if name == "ink_iou" else (0, None)
      metrics[part.key(f"complement/{name}")] = with_interval(complement, within=within)
      metrics[part.key(f"complement_chance/{name}")] = with_interval(chance, within=within)

  if not controlled and part.feature.has_pixels:
    metrics |= _unjudged(case, part, swap)
  elif not controlled:
    case.progress(
      f"{part.name} has no control: no judge reads the column {part.feature.column!r}, and f is no function of pixels"
    )
  return metrics


def _worst(case: Case, part: Part, judge: Judge, swap: Swap, error: np.ndarray, readable: np.ndarray) -> Judged:
  """The `WORST` fusions that are furthest from what was asked for: of a class, where its probability is the least."""
  read, fusion = case.readers[judge], swap.fusions["mean"]
  asked, seen = case.truth[judge][swap.partner], read(fusion)
  if judge.kind == "classifier":
    error = ~error
    if hasattr(read, "probabilities"):
      probabilities = read.probabilities(fusion)
      known = np.minimum(asked, probabilities.shape[1] - 1)
      error = np.where(known == asked, 1 - probabilities[np.arange(len(asked)), known], 1.0)
  rows = np.flatnonzero(readable)
  rows = rows[np.argsort(-error[rows].astype(float), kind="stable")[:WORST]]
  names = case.dataset.class_names.get(judge.column, ())
  in_words = [value_words(values[rows], names, judge.kind == "color", judge.turn) for values in (asked, seen)]
  return Judged(part.name, case.x[rows], case.x[swap.partner[rows]], fusion[rows], *in_words)


def _by_class(case, part, judge, target, control, judge_error) -> Metrics:
  """Control [N] by the target class; of an angle or a number by the source's class, beside the judge's error on real
  images, `judge_error` [N].
  """
  if judge.kind == "classifier":
    values, classes, names = {"control_by_class": control}, target, {}
  elif judge.kind in ("angle", "number") and (column := class_column(case.dataset)):
    values, classes = {"control_by_source": control, "oracle_by_class": judge_error}, case.examples[column]
    names = dict(enumerate(case.dataset.class_names.get(column, ())))
  else:
    return {}
  return {
    part.key(f"{key}/{names.get(k, k)}"): COMPARISONS[judge.kind].summary(of_key[classes == k])
    for key, of_key in values.items()
    for k in np.unique(classes)
  }


def _unseen(case, part, judge, swap, control) -> Metrics:
  """Control of a class [N], where a fusion combines what the training never shows together."""
  if not (case.dataset.unseen and judge.kind == "classifier"):
    return {}
  unseen = case.dataset.unseen(case.examples, {name: column[swap.partner] for name, column in case.examples.items()})
  return {part.key("control/accuracy_unseen"): with_interval(control[unseen])} if unseen.any() else {}


def _unjudged(case, part, swap) -> Metrics:
  """Control of an f of pixels that no column's judge reads.

  A learned f that is continuous is read by a second network, an estimator of f itself; any other by f.
  """
  feature, metrics = part.feature, {}
  f = feature_values(feature.as_known, case.examples)
  name, compare, summary = "own_f_mae", feature.error, _mean_error
  read = functools.partial(_f_of_images, feature)
  if feature.kind == DISCRETE:
    name, compare, summary = "own_f_accuracy", lambda read, target: (read == target).all(1), with_interval
  elif isinstance(feature, LearnedFeature):
    read = feature_reader(feature, case.dataset)
    name, summary = "median_error", _median_error
    metrics = {part.key(f"oracle/{case.split}_{name}"): summary(feature.error(read(case.x), f))}
  for z1, fusion in swap.fusions.items():
    metrics[part.key(f"control/{name}_{z1}")] = summary(compare(read(fusion), f[swap.partner]))
  return metrics


def _f_of_images(feature, image):
  """f of uint8 images, [N, width]; unlike in `feature_values`, it may be the same for all."""
  return joined(lambda x: feature.of_image(tf.image.convert_image_dtype(x, tf.float32)), image, size=512)


def _shape(case: Case, controlled: Judge | None, swap: Swap) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
  """What a change of f must leave of the ink's shape: a name, its measure [N] on the fusions, and on unrelated images.

  A pose moves the ink, and an f without a judge may move it: then only the thickness of the strokes must stay.
  """
  x, fusion, column = case.x, swap.fusions["mean"], class_column(case.dataset)
  label = case.examples[column] if column else np.zeros(len(x), int)
  is_class_controlled = controlled is not None and controlled.column == column
  moves = controlled is None or controlled.kind not in ("classifier", "color")
  target = label[swap.partner] if is_class_controlled else label
  for name, measure in (("slant", strokes.slant), ("stroke", strokes.stroke_thickness)):
    if name == "stroke" or not moves:
      usual = np.bincount(label, measure(x)) / np.maximum(np.bincount(label), 1)  # of each class
      real, got = measure(x) - usual[label], measure(fusion) - usual[target]
      yield f"{name}_mae", _error(got, real), _error(real[swap.unrelated], real)
  if not moves and not is_class_controlled:
    yield "ink_iou", strokes.ink_iou(fusion, x), strokes.ink_iou(x[swap.unrelated], x)


def _error(a, b):
  """Absolute error of each example, [N], the mean over its components."""
  return np.abs(a - b).reshape(len(a), -1).mean(1)
