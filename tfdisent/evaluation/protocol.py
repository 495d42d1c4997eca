"""The whole protocol on one trained model."""

import time
from collections.abc import Callable

import numpy as np

from tfdisent.dataset import Dataset, Examples
from tfdisent.errors import DataError
from tfdisent.evaluation import metrics as m
from tfdisent.evaluation.bound import cells, information_bound
from tfdisent.evaluation.judges import FIDExtractor, Oracle, plain_vae, read_images
from tfdisent.evaluation.probes import PROBES, Parts, chance, is_classes, leakage, score
from tfdisent.feature import DISCRETE, feature_values
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

  Every figure is `{"value": …}`, with the `low` and `high` of its bootstrap 95 % interval over the examples of the split
  where it is a statistic of them. The quick subset is marked *.

  | key | what it is |
  |---|---|
  | `control/accuracy_{mean,sample,prior}` * | share of the fusions in which the oracle reads the asked-for class, another one than the source's; z1 the posterior's mean, a sample of it, or drawn from the prior |
  | `control/mae_{mean,sample,prior}` * | instead, for a colour: mean absolute error of the measured one |
  | `control/own_f_mae_*` * | instead, for a continuous f without a judge: that of f itself. Weak: the model was trained against it |
  | `control/accuracy_unseen` * | `control/accuracy_mean` of the fusions that combine what the training never showed together |
  | `control_by_class/K` * | `control/accuracy_mean` where the class K is asked for |
  | `complement/{digit}_accuracy`, `complement/color_mae` * | the other properties of the fusion (z1 the mean), against the source's |
  | `complement/{ink_iou,slant_mae,stroke_mae}` * | its shape: see `metrics.ink_iou`, `.slant` (degrees), `.stroke_thickness` (pixels); the last two against the mean of real images of the same class, since a 1 is thinner than an 8 whoever writes it. What a change of f must change is left out |
  | `complement_chance/*` * | the same of another real image, drawn at random |
  | `quality/psnr` *, `quality/ssim` | of x', in dB, and in [-1, 1] |
  | `quality/{fid,kid}`, `quality/fid_floor` | between real images of the split and their fusions with independent features (z1 a sample); between them and as many other real images; `extractor` names the network |
  | `oracle/{split}_accuracy` * | of the oracle on real images |
  | `leakage/{linear,mlp,trees}_{mean,sample}` | f read from z1: accuracy, or R² of a continuous f |
  | `leakage/worst`, `leakage/chance` | the largest of the six, and its `probe`; the majority class, or 0 |
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

  parts = _parts(dataset, split, limit)
  x = parts["test"]["image"]
  f = {"test": feature_values(model.feature, parts["test"])}
  z1 = {"test": model.encode_z1(x)[0]}
  tell(f"control and complement of {len(x)} fusions")
  metrics = _control_and_complement(model, dataset, parts["test"], f["test"], z1["test"], split, seed)
  x_rec = to_uint8(model.decode(z1["test"], model.encode_z2(f["test"])))
  metrics["quality/psnr"] = m.with_interval(m.psnr(x, x_rec))
  if quick:
    return metrics
  metrics["quality/ssim"] = m.with_interval(m.ssim(x, x_rec))

  f |= {part: feature_values(model.feature, parts[part]) for part in ("train", "validation")}
  image = {part: examples["image"] for part, examples in parts.items()}
  z1 |= {part: model.encode_z1(image[part])[0] for part in ("train", "validation")}
  z1_sample = {part: model.sample_z1(image[part], seed + i) for i, part in enumerate(sorted(image))}
  target = targets(f) if model.feature.kind == DISCRETE else f

  metrics |= _leakage({"mean": z1, "sample": z1_sample}, target, seed, tell)
  metrics |= _leakage_controls(model, dataset, image, z1, target, seed, tell)

  # Fusions with independent features; from few images many are made to train on.
  random_state = np.random.default_rng([seed, 1])
  row = {part: np.arange(len(values)) for part, values in f.items()}
  row["train"] = np.resize(row["train"], max(TRAINING_FUSIONS, len(row["train"])))
  partner = {part: random_state.permutation(rows) for part, rows in row.items()}
  z2_partner = {part: model.encode_z2(f[part][partner[part]]) for part in f}

  tell("leakage of the source's f into the fusion")
  fusion = {part: to_uint8(model.decode(z1[part][row[part]], z2_partner[part])) for part in f}
  source = {part: target[part][row[part]] for part in f}
  read = read_images(fusion, source, seed)
  metrics["leakage/image"] = score(source["test"], read.argmax(1) if is_classes(source["test"]) else read)

  tell("the bound of I(z̃2; x̂ | z1)")
  z1_fusion = {part: z1_sample[part][row[part]] for part in f}
  fusion = {part: to_uint8(model.decode(z1_fusion[part], z2_partner[part])) for part in f}
  classes = target if model.feature.kind == DISCRETE else cells(f)
  asked = {part: classes[part][partner[part]] for part in f}
  metrics |= {f"bound/{name}": value for name, value in information_bound(z1_fusion, fusion, asked, seed).items()}

  if column := _class_column(dataset):
    tell("FID and KID")
    others = np.concatenate([image["train"], image["validation"]])
    metrics |= _distances(FIDExtractor(dataset, column), image["test"], fusion["test"], others, random_state)
  tell("done")
  return metrics


def targets(f: Parts) -> Parts:
  """Classes [N] of a discrete f [N, width] for each part: the place of the 1, or a number for each combination."""
  if all((values.sum(1) == 1).all() for values in f.values()):
    return {part: values.argmax(1) for part, values in f.items()}
  _, classes = np.unique(np.concatenate(list(f.values())), axis=0, return_inverse=True)
  return dict(zip(f, np.split(classes.ravel(), np.cumsum([len(values) for values in f.values()])[:-1])))


def _parts(dataset: Dataset, split: str, limit: int | None) -> dict[str, Examples]:
  """What probes train on, stop early on, and are scored on: disjoint from one another and from `dataset.train`."""

  def rows(split, which):
    return {name: column[which] for name, column in dataset[split].items()}

  count = len(dataset[split]["image"]) if split in ("test", "validation") else 0
  measured = slice(None) if limit is None or limit >= count else np.linspace(0, count - 1, limit).astype(int)
  if split == "test":
    return {"train": dataset.probe, "validation": dataset.validation, "test": rows("test", measured)}
  if split == "validation":
    count = len(dataset.probe["image"]) * 4 // 5
    train, validation = rows("probe", slice(count)), rows("probe", slice(count, None))
    return {"train": train, "validation": validation, "test": rows("validation", measured)}
  raise DataError(f"a model is evaluated on the split 'test' or 'validation', not on '{split}'.")


def train_judges(dataset: Dataset) -> None:
  """Trains the oracles of a data set that are not in the cache yet."""
  for judge in dataset.judges:
    if judge.kind == "classifier":
      Oracle(dataset, judge.column)


def _class_column(dataset):
  return next((judge.column for judge in dataset.judges if judge.kind == "classifier"), None)


# --- Control and complement -------------------------------------------------------------------------------------------


def _control_and_complement(model, dataset, examples, f, z1, split, seed) -> Metrics:
  random_state = np.random.default_rng(seed)
  x = examples["image"]
  partner, stranger = m.other_feature(f, random_state), random_state.permutation(len(f))
  z2_partner = model.encode_z2(f[partner])
  fusions = {
    "mean": to_uint8(model.decode(z1, z2_partner)),
    "sample": to_uint8(model.decode(model.sample_z1(x, seed), z2_partner)),
    "prior": to_uint8(model.decode(random_state.standard_normal(z1.shape).astype(np.float32), z2_partner)),
  }
  fusion = fusions["mean"]
  metrics: Metrics = {}

  def control(name, compare):
    values = {kind: compare(image) for kind, image in fusions.items()}
    metrics.update({f"control/{name}_{kind}": m.with_interval(of_kind) for kind, of_kind in values.items()})
    return values["mean"]

  def complement(name, of_fusion, of_stranger):
    metrics[f"complement/{name}"] = m.with_interval(of_fusion)
    metrics[f"complement_chance/{name}"] = m.with_interval(of_stranger)

  for judge in dataset.judges:
    is_controlled = judge.column == model.feature.column
    if judge.kind == "classifier":
      oracle, label = Oracle(dataset, judge.column), examples[judge.column]
      metrics[f"oracle/{split}_accuracy"] = m.with_interval(oracle(x) == label)
      if is_controlled:
        asked = label[partner]
        right = control("accuracy", lambda image, oracle=oracle, asked=asked: oracle(image) == asked)
        metrics |= {f"control_by_class/{k}": m.with_interval(right[asked == k]) for k in np.unique(asked)}
        if dataset.unseen:
          unseen = dataset.unseen(examples, {name: column[partner] for name, column in examples.items()})
          if unseen.any():
            metrics["control/accuracy_unseen"] = m.with_interval(right[unseen])
      else:
        complement(f"{judge.name}_accuracy", oracle(fusion) == label, label[stranger] == label)
    else:
      real = m.measured_color(x)
      if is_controlled:
        control("mae", lambda image, asked=real[partner]: _error(m.measured_color(image), asked))
      else:
        complement(f"{judge.name}_mae", _error(m.measured_color(fusion), real), _error(real[stranger], real))

  is_judged = any(judge.column == model.feature.column for judge in dataset.judges)
  if any(judge.kind == "color" for judge in dataset.judges):  # ink on black: it has a shape
    for name, *values in _shape(
      _class_column(dataset), model.feature.column, is_judged, examples, partner, stranger, fusion
    ):
      complement(name, *values)

  if not is_judged and model.feature.has_pixels and model.feature.kind != DISCRETE:
    control("own_f_mae", lambda image: _error(feature_values(model.feature, {"image": image}), f[partner]))
  return metrics


def _shape(class_column, controlled, is_judged, examples, partner, stranger, fusion):
  """What of the ink's shape a change of f must leave: its name, its measure on each fusion, and on each stranger."""
  x = examples["image"]
  label = examples[class_column] if class_column else np.zeros(len(x), int)
  is_class_controlled = class_column is not None and class_column == controlled
  asked = label[partner] if is_class_controlled else label
  for name, measure in (("slant", m.slant), ("stroke", m.stroke_thickness)):
    if name == "stroke" or is_judged:  # a feature that is not judged may be a pose, and move the slant
      usual = np.bincount(label, measure(x)) / np.maximum(np.bincount(label), 1)  # of each class
      real, got = measure(x) - usual[label], measure(fusion) - usual[asked]
      yield f"{name}_mae", _error(got, real), _error(real[stranger], real)
  if is_judged and not is_class_controlled:
    yield "ink_iou", m.ink_iou(fusion, x), m.ink_iou(x[stranger], x)


def _error(a, b):
  """Absolute error of each example, [N], the mean over its components."""
  return np.abs(a - b).reshape(len(a), -1).mean(1)


# --- Leakage and distances --------------------------------------------------------------------------------------------


def _leakage(z1: dict[str, Parts], target: Parts, seed, tell) -> Metrics:
  metrics: Metrics = {}
  for probe in PROBES:
    for kind, codes in z1.items():
      tell(f"leakage: {probe} on the {kind} of z1")
      metrics[f"leakage/{probe}_{kind}"] = leakage(codes, target, probe, seed)
  worst = max(metrics, key=lambda key: metrics[key]["value"])
  metrics["leakage/worst"] = {**metrics[worst], "probe": worst.removeprefix("leakage/")}
  metrics["leakage/chance"] = chance(target)
  return metrics


def _leakage_controls(model, dataset, image: Parts, z1: Parts, target: Parts, seed, tell) -> Metrics:
  tell("leakage: controls of the probe")
  random_state = np.random.default_rng([seed, 2])
  shuffled = {part: y if part == "test" else random_state.permutation(y) for part, y in target.items()}
  others = {"untrained": model.untrained(seed), "plain_vae": plain_vae(model, dataset)}
  return {
    "leakage/control_shuffled": leakage(z1, shuffled, seed=seed),
    "leakage/control_pixels": leakage(
      {part: np.float32(x.reshape(len(x), -1) / 255) for part, x in image.items()}, target, seed=seed
    ),
    **{
      f"leakage/control_{name}": leakage({part: other.encode_z1(x)[0] for part, x in image.items()}, target, seed=seed)
      for name, other in others.items()
    },
  }


def _distances(extractor: FIDExtractor, real, fusion, others, random_state) -> Metrics:
  count = min(FID_IMAGES, len(real), len(others))
  real, fusion, others = (
    extractor(image[random_state.permutation(len(image))[:count]]) for image in (real, fusion, others)
  )
  of = {"extractor": extractor.name, "images": count}
  return {
    "quality/fid": {"value": m.fid(real, fusion), **of},
    "quality/kid": {"value": m.kid(real, fusion, random_state), **of},
    "quality/fid_floor": {"value": m.fid(real, others), **of},
  }
