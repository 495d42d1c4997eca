"""The whole protocol on one trained model."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfdisent.data.dataset import Dataset, Examples, Judge
from tfdisent.errors import DataError
from tfdisent.evaluation import quality, strokes
from tfdisent.evaluation.bound import cells, information_bound
from tfdisent.evaluation.case import other_feature
from tfdisent.evaluation.intervals import median_with_interval, with_interval
from tfdisent.evaluation.judges import Estimator, FIDExtractor, Oracle, plain_vae, read_images
from tfdisent.evaluation.probes import PROBES, ProbeData, chance, is_classes, leakage, score
from tfdisent.feature.contract import DISCRETE, feature_values
from tfdisent.feature.learned import LearnedFeature
from tfdisent.inference import TrainedModel, to_uint8

FID_IMAGES = 10_000
TRAINING_FUSIONS = 12_000

Metrics = dict[str, dict]
"""`{"control/accuracy_mean": {"value": 0.99, "low": 0.98, "high": 1.0}, …}`."""


def _print(line: str) -> None:
  print(line, flush=True)


def evaluate(
  model: TrainedModel,
  dataset: Dataset,
  split: str = "test",
  seed: int = 0,
  quick: bool = False,
  limit: int | None = None,
  progress: Callable[[str], None] | None = _print,
) -> Metrics:
  """Control, complement, quality, leakage and the bound of a model on a split.

  Every figure is `{"value": …}`, with the `low` and `high` of its 95 % interval over the examples of the split where it
  is a statistic of them; `tfdisent.evaluation` says what the intervals hold. The quick subset is marked *. Of a feature
  with several parts, each part has figures of its own, `control/NAME/…`, `complement/NAME/…`, `leakage/NAME/…` and
  `bound/NAME/…`; in its control and complement this part alone is another image's. On images of a class that looks the
  same whatever a property is (`Judge.symmetric`), the property is judged by class alone.

  | key | what it is |
  |---|---|
  | `control/accuracy_{mean,sample,prior}` * | share of the fusions in which the oracle reads the asked-for class, another one than the source's; z1 the posterior's mean, a sample of it, or drawn from the prior |
  | `control/mae_{mean,sample,prior}` * | instead, for a colour: mean absolute error of the measured one; for a number: of an estimator's |
  | `control/median_error_{mean,sample,prior}` * | instead, for an angle, an axis or another learned f: median absolute error, in degrees where f's unit is that, of an estimator's or of the measured one |
  | `control/own_f_{mae,accuracy}_*` * | instead, for an f of pixels without a judge: what f itself says of the fusion, its error, or the share of them in which every number of a discrete f is the asked-for one. Weak: the model was trained against it |
  | `control/accuracy_unseen` * | `control/accuracy_mean` of the fusions that combine what the training never showed together |
  | `control_by_class/K` * | `control/accuracy_mean` where the class K is asked for |
  | `control_by_source/K`, `oracle_by_class/K` * | of an angle or a number, where there are classes as well: `control/…_mean` of the fusions whose source is of class K; the judge's own error on real images of that class |
  | `complement/{digit}_accuracy`, `complement/color_mae` * | the other properties of the fusion (z1 the mean), against the source's |
  | `complement/{ink_iou,slant_mae,stroke_mae}` * | its shape: see `strokes.ink_iou`, `.slant` (degrees), `.stroke_thickness` (pixels); the last two against the mean of real images of the same class, since a 1 is thinner than an 8 whoever writes it. What a change of f must change is left out |
  | `complement_chance/*` * | the same of another real image, drawn at random |
  | `quality/psnr` *, `quality/ssim` | of x', in dB, and in [-1, 1] |
  | `quality/{fid,kid}`, `quality/fid_floor` | between real images of the split and as many fusions of *other* real images with independent features (z1 a sample); between the former and those others themselves, which is what a model that copies its input would get; `extractor` names the network |
  | `oracle/{split}_accuracy`, `oracle/{split}_{rotation}_median_error` * | of the judges on real images |
  | `leakage/{linear,mlp,trees}_{mean,sample}` | f read from z1: accuracy, or R² of a continuous f |
  | `leakage/worst`, `leakage/chance` | the largest of the six, its `probe`, and that one's interval (so it lies above the truth rather than below); the majority class, or 0 |
  | `leakage/control_{shuffled,pixels,untrained,plain_vae}` | the MLP with shuffled targets, on raw pixels, and on the means of an untrained encoder and of a plain VAE's |
  | `leakage/image` | the *source's* f, read from fusions with independent features (z1 the mean) |
  | `bound/{nats,ceiling_nats,ratio}` | see `tfdisent.evaluation.bound`; a continuous f in ten cells |

  Args:
    model: the trained model.
    dataset: judges and splits. Probes train on `probe` and stop early on `validation`; for the split "validation" a
      fifth of `probe` takes that part.
    split: "test" for figures to publish, "validation" for choices.
    seed: of the pairs, the samples and the probes.
    quick: control, complement and PSNR alone.
    limit: at most so many images, evenly spaced in the split.
    progress: told of every stage, as a line; None for silence.

  Raises:
    DataError: the split is neither "test" nor "validation".
  """  # noqa: E501 (a table)
  start = time.monotonic()

  def tell(stage):
    if progress:
      progress(f"[{time.monotonic() - start:5.1f} s] {stage}")

  data = _data(dataset, split, limit)
  x = data["score"]["image"]
  f = {"score": feature_values(model.feature, data["score"])}
  z1 = {"score": model.encode_z1(x)[0]}
  tell(f"control and complement of {len(x)} fusions")
  metrics = _control_and_complement(model, dataset, data["score"], f["score"], z1["score"], split, seed, tell)
  x_rec = to_uint8(model.decode(z1["score"], model.encode_z2(f["score"])))
  metrics["quality/psnr"] = with_interval(quality.psnr(x, x_rec), within=(0, None))
  if quick:
    return metrics
  metrics["quality/ssim"] = with_interval(quality.ssim(x, x_rec), within=(-1, 1))

  f |= {role: feature_values(model.feature, data[role]) for role in ("fit", "select")}
  image = {role: examples["image"] for role, examples in data.items()}
  z1 |= {role: model.encode_z1(image[role])[0] for role in ("fit", "select")}
  z1_sample = {role: model.sample_z1(image[role], seed + i) for i, role in enumerate(("score", "fit", "select"))}

  # Fusions with independent features; from few images many are made to train on.
  random_state = np.random.default_rng([seed, 1])
  row = {role: np.arange(len(values)) for role, values in f.items()}
  row["fit"] = np.resize(row["fit"], max(TRAINING_FUSIONS, len(row["fit"])))
  partner = {role: random_state.permutation(rows) for role, rows in row.items()}
  z2_partner = {role: model.encode_z2(f[role][partner[role]]) for role in f}
  z1_fusion = {role: z1_sample[role][row[role]] for role in f}
  fusion_of_mean = {role: to_uint8(model.decode(z1[role][row[role]], z2_partner[role])) for role in f}
  fusion = {role: to_uint8(model.decode(z1_fusion[role], z2_partner[role])) for role in f}

  for index, (name, feature) in enumerate(zip(model.feature.part_names, model.feature.parts)):
    of_part = "" if len(model.feature.parts) == 1 else f"{name}/"
    tell(f"leakage of {name}")
    f_part = {role: model.feature.split(values)[index] for role, values in f.items()}
    target = targets(f_part) if feature.kind == DISCRETE else f_part
    metrics |= _leakage({"mean": z1, "sample": z1_sample}, target, seed, of_part, tell)
    metrics |= _leakage_controls(model, dataset, image, z1, target, seed, of_part, tell)

    tell(f"leakage of the source's {name} into the fusion")
    source = {role: target[role][row[role]] for role in f}
    read = read_images(fusion_of_mean, source, seed)
    metrics[f"leakage/{of_part}image"] = score(source["score"], read.argmax(1) if is_classes(source["score"]) else read)

    tell(f"the bound of I(z̃2; x̂ | z1), {name}")
    classes = target if feature.kind == DISCRETE else cells(f_part)
    asked = {role: classes[role][partner[role]] for role in f}
    bound = information_bound(z1_fusion, fusion, asked, seed)
    metrics |= {f"bound/{of_part}{figure}": value for figure, value in bound.items()}

  if column := _class_column(dataset):
    tell("FID and KID")
    # Fusions of the measured images themselves would be nearer to them than other real images are.
    others = np.concatenate([image["fit"], image["select"]])
    of_others = np.concatenate([fusion["fit"][: len(image["fit"])], fusion["select"]])  # each image once
    metrics |= _distances(FIDExtractor(dataset, column), image["score"], others, of_others, random_state)
  tell("done")
  return metrics


def targets(f: ProbeData) -> ProbeData:
  """Classes [N] of a discrete f [N, width] for each role: the place of the 1, or a number for each combination."""
  if all((values.sum(1) == 1).all() for values in f.values()):
    return {role: values.argmax(1) for role, values in f.items()}
  _, classes = np.unique(np.concatenate(list(f.values())), axis=0, return_inverse=True)
  return dict(zip(f, np.split(classes.ravel(), np.cumsum([len(values) for values in f.values()])[:-1])))


def _data(dataset: Dataset, split: str, limit: int | None) -> dict[str, Examples]:
  """What probes train on, stop early on, and are scored on: disjoint from one another and from `dataset.train`."""

  def rows(split, which):
    return {name: column[which] for name, column in dataset[split].items()}

  count = len(dataset[split]["image"]) if split in ("test", "validation") else 0
  measured = slice(None) if limit is None or limit >= count else np.linspace(0, count - 1, limit).astype(int)
  if split == "test":
    return {"fit": dataset.probe, "select": dataset.validation, "score": rows("test", measured)}
  if split == "validation":
    count = len(dataset.probe["image"]) * 4 // 5
    fit, select = rows("probe", slice(count)), rows("probe", slice(count, None))
    return {"fit": fit, "select": select, "score": rows("validation", measured)}
  raise DataError(f"a model is evaluated on the split 'test' or 'validation', not on '{split}'.")


def train_judges(dataset: Dataset) -> None:
  """Trains the networks that judge images of a data set, where they are not in the cache yet."""
  for judge in dataset.judges:
    _reader(judge, dataset)


def _class_column(dataset):
  return next((judge.column for judge in dataset.judges if judge.kind == "classifier"), None)


# --- Control and complement -------------------------------------------------------------------------------------------


class _Reading(NamedTuple):
  """How a kind of property is read, compared and summed up."""

  measure: str
  compare: Callable[[np.ndarray, np.ndarray, float], np.ndarray]
  """What was read and what is true, to one number per example; the last argument is the judge's `turn`."""
  statistic: Callable[[np.ndarray], dict] = with_interval


_mean_error, _median_error = (
  functools.partial(statistic, within=(0, None)) for statistic in (with_interval, median_with_interval)
)

READINGS = {
  "classifier": _Reading("accuracy", lambda read, true, turn: read == true),
  "color": _Reading("mae", lambda read, true, turn: _error(read, true), _mean_error),
  "number": _Reading("mae", lambda read, true, turn: _error(read, true), _mean_error),
  "angle": _Reading(
    "median_error", lambda read, true, turn: strokes.angle_error(read, true, turn) * (360 / turn), _median_error
  ),
  "axis": _Reading("median_error", lambda read, true, turn: strokes.angle_error(read, true, 180.0), _median_error),
}


def _reader(judge: Judge, dataset: Dataset) -> Callable[[np.ndarray], np.ndarray]:
  """What reads the property from images."""
  if judge.kind == "classifier":
    return Oracle(dataset, judge.column)
  return {"color": strokes.measured_color, "axis": strokes.axis}.get(judge.kind) or Estimator(
    dataset, judge.column, judge.turn
  )


def _readable(judge: Judge, examples: Examples) -> np.ndarray:
  """On which examples [N] the judge is asked: on none of a class that looks the same whatever the property is."""
  readable = np.ones(len(examples["image"]), bool)
  for column, classes in judge.symmetric:
    readable &= ~np.isin(examples[column], classes)
  return readable


def _control_and_complement(model, dataset, examples, f, z1, split, seed, tell) -> Metrics:
  x, metrics = examples["image"], {}
  readers = {judge: _reader(judge, dataset) for judge in dataset.judges}
  is_measured = {judge: judge.kind in ("color", "axis") for judge in dataset.judges}
  true = {judge: reader(x) if is_measured[judge] else examples[judge.column] for judge, reader in readers.items()}
  classifiers = [judge for judge in dataset.judges if judge.kind == "classifier"]
  own = {}  # what the judges make of real images
  for judge, reader in readers.items():
    if not is_measured[judge]:
      measure, compare, statistic = READINGS[judge.kind]
      name = measure if classifiers == [judge] else f"{judge.name}_{measure}"
      own[judge] = compare(reader(x), true[judge], judge.turn)
      metrics[f"oracle/{split}_{name}"] = statistic(own[judge][_readable(judge, examples)])

  for index, (name, feature) in enumerate(zip(model.feature.part_names, model.feature.parts)):
    of_part = "" if len(model.feature.parts) == 1 else f"{name}/"
    random_state = np.random.default_rng(seed)
    f_parts = model.feature.split(f)
    partner, stranger = other_feature(f_parts[index], random_state), random_state.permutation(len(f))
    known = f_parts[index] if feature.as_known is feature else feature_values(feature.as_known, examples)
    f_parts[index] = known[partner]  # this part alone is another one's; what is asked for is known
    z2_partner = model.encode_z2(np.concatenate(f_parts, 1))
    fusions = {
      "mean": to_uint8(model.decode(z1, z2_partner)),
      "sample": to_uint8(model.decode(model.sample_z1(x, seed), z2_partner)),
      "prior": to_uint8(model.decode(random_state.standard_normal(z1.shape).astype(np.float32), z2_partner)),
    }

    controlled = next((judge for judge in dataset.judges if judge.column == feature.column), None)
    shown = {name: column[partner] if name == feature.column else column for name, column in examples.items()}
    for judge, reader in readers.items():
      measure, compare, statistic = READINGS[judge.kind]
      readable = _readable(judge, shown)
      if judge is controlled:
        asked = true[judge][partner]
        values = {kind: compare(reader(fusion), asked, judge.turn) for kind, fusion in fusions.items()}
        metrics |= {f"control/{of_part}{measure}_{kind}": statistic(v[readable]) for kind, v in values.items()}
        metrics |= _by_class(dataset, judge, examples, asked, values["mean"], own.get(judge), of_part)
        if dataset.unseen and judge.kind == "classifier":
          unseen = dataset.unseen(examples, {name: column[partner] for name, column in examples.items()})
          if unseen.any():
            metrics[f"control/{of_part}accuracy_unseen"] = with_interval(values["mean"][unseen])
      else:
        kept = compare(reader(fusions["mean"]), true[judge], judge.turn)
        metrics[f"complement/{of_part}{judge.name}_{measure}"] = statistic(kept[readable])
        metrics[f"complement_chance/{of_part}{judge.name}_{measure}"] = statistic(
          compare(true[judge][stranger], true[judge], judge.turn)[readable]
        )

    if any(judge.kind == "color" for judge in dataset.judges):  # ink on black: it has a shape
      for shape, kept, of_stranger in _shape(
        _class_column(dataset), controlled, examples, partner, stranger, fusions["mean"]
      ):
        within = (0, 1) if shape == "ink_iou" else (0, None)
        metrics[f"complement/{of_part}{shape}"] = with_interval(kept, within=within)
        metrics[f"complement_chance/{of_part}{shape}"] = with_interval(of_stranger, within=within)

    if not controlled and feature.has_pixels:
      metrics |= _unjudged(dataset, feature, examples, partner, fusions, split, of_part)
    elif not controlled:
      tell(f"{name} has no control: no judge reads the column {feature.column!r}, and f is no function of pixels")
  return metrics


def _by_class(dataset, judge, examples, asked, control, own, of_part) -> Metrics:
  """Control [N] by the class that was asked for; of an angle or a number by the source's, beside the judge's own error
  on real images, `own` [N].
  """
  if judge.kind == "classifier":
    values, classes, names = {"control_by_class": control}, asked, {}
  elif judge.kind in ("angle", "number") and (column := _class_column(dataset)):
    values, classes = {"control_by_source": control, "oracle_by_class": own}, examples[column]
    names = dict(enumerate(dataset.class_names.get(column, ())))
  else:
    return {}
  return {
    f"{key}/{of_part}{names.get(k, k)}": READINGS[judge.kind].statistic(of_key[classes == k])
    for key, of_key in values.items()
    for k in np.unique(classes)
  }


def _unjudged(dataset, feature, examples, partner, fusions, split, of_part) -> Metrics:
  """Control of an f of pixels that no column's judge reads.

  A learned f that is continuous is read by a second network, an estimator of f itself; any other by f.
  """
  f = feature_values(feature.as_known, examples)
  name, compare, statistic, metrics = "own_f_mae", feature.error, _mean_error, {}
  read = functools.partial(_own_f, feature)
  if feature.kind == DISCRETE:
    name, compare, statistic = "own_f_accuracy", lambda read, asked: (read == asked).all(1), with_interval
  elif isinstance(feature, LearnedFeature):
    read = Estimator(dataset, feature.name, values=lambda examples: feature_values(feature.as_known, examples))
    name, statistic = "median_error", _median_error
    metrics = {f"oracle/{of_part}{split}_{name}": statistic(feature.error(read(examples["image"]), f))}
  asked = f[partner]
  for kind, fusion in fusions.items():
    metrics[f"control/{of_part}{name}_{kind}"] = statistic(compare(read(fusion), asked))
  return metrics


def _own_f(feature, image, size=512):
  """f of uint8 images, [N, width]; unlike in `feature_values`, it may be the same for all."""
  batches = (tf.image.convert_image_dtype(image[i : i + size], tf.float32) for i in range(0, len(image), size))
  return np.concatenate([np.asarray(feature.of_image(batch)) for batch in batches])


def _shape(class_column, controlled, examples, partner, stranger, fusion):
  """What of the ink's shape a change of f must leave: its name, its measure on each fusion, and on each stranger.

  Of an f that moves the ink (a pose), or may do so, the thickness of the strokes alone.
  """
  x = examples["image"]
  label = examples[class_column] if class_column else np.zeros(len(x), int)
  is_class_controlled = controlled is not None and controlled.column == class_column
  moves = controlled is None or controlled.kind not in ("classifier", "color")
  asked = label[partner] if is_class_controlled else label
  for name, measure in (("slant", strokes.slant), ("stroke", strokes.stroke_thickness)):
    if name == "stroke" or not moves:
      usual = np.bincount(label, measure(x)) / np.maximum(np.bincount(label), 1)  # of each class
      real, got = measure(x) - usual[label], measure(fusion) - usual[asked]
      yield f"{name}_mae", _error(got, real), _error(real[stranger], real)
  if not moves and not is_class_controlled:
    yield "ink_iou", strokes.ink_iou(fusion, x), strokes.ink_iou(x[stranger], x)


def _error(a, b):
  """Absolute error of each example, [N], the mean over its components."""
  return np.abs(a - b).reshape(len(a), -1).mean(1)


# --- Leakage and distances --------------------------------------------------------------------------------------------


def _leakage(z1: dict[str, ProbeData], target: ProbeData, seed, of_part, tell) -> Metrics:
  metrics: Metrics = {}
  for probe in PROBES:
    for kind, codes in z1.items():
      tell(f"leakage: {probe} on the {kind} of z1")
      metrics[f"leakage/{of_part}{probe}_{kind}"] = leakage(codes, target, probe, seed)
  worst = max(metrics, key=lambda key: metrics[key]["value"])
  metrics[f"leakage/{of_part}worst"] = {**metrics[worst], "probe": worst.removeprefix(f"leakage/{of_part}")}
  metrics[f"leakage/{of_part}chance"] = chance(target)
  return metrics


def _leakage_controls(
  model, dataset, image: ProbeData, z1: ProbeData, target: ProbeData, seed, of_part, tell
) -> Metrics:
  tell("leakage: controls of the probe")
  random_state = np.random.default_rng([seed, 2])
  shuffled = {role: y if role == "score" else random_state.permutation(y) for role, y in target.items()}
  others = {"untrained": model.untrained(seed), "plain_vae": plain_vae(model, dataset)}
  return {
    f"leakage/{of_part}control_shuffled": leakage(z1, shuffled, seed=seed),
    f"leakage/{of_part}control_pixels": leakage({role: _pixels(x) for role, x in image.items()}, target, seed=seed),
    **{
      f"leakage/{of_part}control_{name}": leakage(
        {role: other.encode_z1(x)[0] for role, x in image.items()}, target, seed=seed
      )
      for name, other in others.items()
    },
  }


def _pixels(x: np.ndarray) -> np.ndarray:
  """Images uint8 [N, H, W, C] as float32 [N, H·W·C] in [0, 1], without a float64 copy in between."""
  return np.divide(x.reshape(len(x), -1), 255, dtype=np.float32)


def _distances(extractor: FIDExtractor, real, others, fusion_of_others, random_state) -> Metrics:
  """Of real images [N], to fusions [M] of others, and to those others [M] themselves."""
  count = min(FID_IMAGES, len(real), len(others))
  rows, other_rows = (random_state.permutation(len(image))[:count] for image in (real, others))
  real, others, fusion = extractor(real[rows]), extractor(others[other_rows]), extractor(fusion_of_others[other_rows])
  of = {"extractor": extractor.name, "images": count}
  return {
    "quality/fid": {"value": quality.fid(real, fusion), "range": [0, None], **of},
    "quality/kid": {"value": quality.kid(real, fusion, random_state), **of},
    "quality/fid_floor": {"value": quality.fid(real, others), "range": [0, None], **of},
  }
