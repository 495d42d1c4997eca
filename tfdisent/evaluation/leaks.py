"""Leakage: how well f can be read from z1, and how well the source's f can be read from fusions.

| key | what it is |
|---|---|
| `leakage/{linear,mlp,trees}_{mean,sample}` | f read from z1 by each of `PROBES`: accuracy, or R² of a continuous f |
| `leakage/{linear,mlp,trees}_{mean,sample}_nats` | what each of them can use of z1, in nats: see `probes.usable_information` |
| `leakage/worst_nats`, `leakage/ceiling_nats` | the largest of these six, and its `probe`; all that there is to tell of a discrete f |
| `leakage/…_all`, `leakage/…_all_nats` | the six, and the worst, of probes that learned on all images that the model was trained on; of the measurement `leakage_all_images`, for whoever asks for it |
| `leakage/worst`, `leakage/chance` | the largest of the six, its `probe`, and that one's interval (so it lies above the truth rather than below); the majority class, or 0 |
| `leakage/control_{shuffled,pixels,untrained,plain_vae}` | the MLP with shuffled targets, on raw pixels, and on the means of an untrained encoder and of a plain VAE's |
| `leakage/image` | the *source's* f, read from fusions with independent features (z1 the mean) |

Each says with `probe_images` from how many images its probe learned: more images, more leakage.
"""  # noqa: E501 (a table)

import dataclasses

import numpy as np

from tfdisent.evaluation.case import Case, targets
from tfdisent.evaluation.image_probe import read_parts
from tfdisent.evaluation.judges import plain_vae
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics
from tfdisent.evaluation.probes import PROBES, ceiling, chance, is_classes, leakage, leakage_and_nats, score
from tfdisent.feature.contract import DISCRETE
from tfdisent.registry import register_measurement

FEWEST_TO_FIT = 50
"""A probe that is fitted to fewer images tells nothing."""


_NAMES = tuple(f"{probe}_{kind}" for probe in PROBES for kind in ("mean", "sample"))


@register_measurement("leakage")
class Leakage(Measurement):
  """Each part of f, read from the means and the samples of z1."""

  stage = "leakage"
  figures = (
    *(Figure(f"leakage/{name}", "low") for name in _NAMES),
    *(Figure(f"leakage/{name}_nats", "low") for name in _NAMES),
    Figure("leakage/worst", "low", column=True, curve=True),
    Figure("leakage/worst_nats", "low", column=True),
    Figure("leakage/chance"),
    Figure("leakage/ceiling_nats"),
  )

  def measure(self, case: Case) -> Metrics:
    metrics: Metrics = {}
    for part in case.parts:
      scores, nats = {}, {}
      for probe in PROBES:
        for kind, codes in (("mean", case.z1), ("sample", case.z1_sample)):
          case.progress(f"leakage of {part.name}: {probe} on the {kind} of z1")
          name = f"{probe}_{kind}"
          scores[name], nats[name] = leakage_and_nats(codes, part.target, probe, case.seed)
      for figures in (scores, nats):
        worst = max(figures, key=lambda name: figures[name]["value"])
        figures["worst"] = {**figures[worst], "probe": worst}
      scores |= {f"{name}_nats": figure for name, figure in nats.items()} | {"chance": chance(part.target)}
      if is_classes(part.target["fit"]):
        scores["ceiling_nats"] = ceiling(part.target)
      metrics |= {part.key(f"leakage/{name}"): figure for name, figure in scores.items()}
    return _counted(case, metrics)


@register_measurement("leakage_all_images")
class LeakageFromAllImages(Leakage):
  """What `leakage` measures, by probes that learn on all images that the model was trained on.

  They are more than those that were held out, so they find more. That the model knows these images costs the probes
  something: their z1 may be unlike those of other images. The score is of the same held-out images all the same.
  """

  stage = "leakage, by probes of all training images"
  figures = (
    *(Figure(f"leakage/{name}_all{unit}", "low") for unit in ("", "_nats") for name in _NAMES),
    Figure("leakage/worst_all", "low", column=True),
    Figure("leakage/worst_all_nats", "low", column=True),
  )

  def measure(self, case: Case) -> Metrics:
    metrics = super().measure(dataclasses.replace(case, learned_on="train"))
    return {
      f"{key.removesuffix('_nats')}_all{'_nats' if key.endswith('_nats') else ''}": figure
      for key, figure in metrics.items()
      if "probe_images" in figure
    }


@register_measurement("linear_leakage")
class LinearLeakage(Measurement):
  """What `leakage` begins with, the linear probe of the means of z1: within seconds, for whoever asks for it."""

  stage = "leakage, by a linear probe"
  quick = True
  figures = (Figure("leakage/linear_mean", "low"), Figure("leakage/linear_mean_nats", "low"), Figure("leakage/chance"))

  def measure(self, case: Case) -> Metrics:
    if len(case.data["fit"]["image"]) < FEWEST_TO_FIT:
      return {}
    metrics: Metrics = {}
    roles = ("fit", "score")  # it is not stopped early, and a small set has hardly any images to "select" by
    z1, f = ({role: by_role[role] for role in roles} for by_role in (case.z1, case.f))
    for part in case.parts:
      target = {role: case.model.feature.split(f[role])[part.index] for role in roles}
      target = targets(target) if part.feature.kind == DISCRETE else target
      accuracy, nats = leakage_and_nats(z1, target, "linear", case.seed)
      figures = {"linear_mean": accuracy, "linear_mean_nats": nats, "chance": chance(target)}
      metrics |= {part.key(f"leakage/{name}"): figure for name, figure in figures.items()}
    return _counted(case, metrics)


@register_measurement("leakage_controls")
class LeakageControls(Measurement):
  """What the MLP scores where there is nothing to read, where everything is, and where no loss prevents leakage."""

  stage = "leakage: controls of the probe"
  figures = tuple(Figure(f"leakage/control_{name}") for name in ("shuffled", "pixels", "untrained", "plain_vae"))

  def measure(self, case: Case) -> Metrics:
    others = {"untrained": case.model.untrained(case.seed), "plain_vae": plain_vae(case.model, case.dataset)}
    codes = {name: {role: other.encode_z1(x)[0] for role, x in case.image.items()} for name, other in others.items()}
    metrics: Metrics = {}
    for part in case.parts:
      random_state = np.random.default_rng([case.seed, 2])
      shuffled = {role: y if role == "score" else random_state.permutation(y) for role, y in part.target.items()}
      metrics |= {
        part.key("leakage/control_shuffled"): leakage(case.z1, shuffled, seed=case.seed),
        part.key("leakage/control_pixels"): leakage(
          {role: _pixels(x) for role, x in case.image.items()}, part.target, seed=case.seed
        ),
        **{part.key(f"leakage/control_{name}"): leakage(z1, part.target, seed=case.seed) for name, z1 in codes.items()},
      }
    return _counted(case, metrics)


@register_measurement("leakage_image")
class ImageLeakage(Measurement):
  """The source's f, read from fusions: G may write what z1 tells no probe."""

  stage = "leakage of the source's f into the fusion"
  figures = (Figure("leakage/image", "low", column=True, curve=True),)

  def measure(self, case: Case) -> Metrics:
    sources = [{role: of[case.pairs.row[role]] for role, of in part.target.items()} for part in case.parts]
    metrics: Metrics = {}
    for part, source, read in zip(case.parts, sources, read_parts(case.fusion_of_mean, sources, case.seed)):
      values = read.argmax(1) if is_classes(source["score"]) else read
      metrics[part.key("leakage/image")] = score(source["score"], values)
    return _counted(case, metrics)


def _counted(case: Case, metrics: Metrics) -> Metrics:
  """Figures that say from how many images their probe learned; those that no probe gives have no such number."""
  count, of_none = len(case.data["fit"]["image"]), ("chance", "ceiling_nats")
  return {
    key: figure if key.endswith(of_none) else {**figure, "probe_images": count} for key, figure in metrics.items()
  }


def _pixels(x: np.ndarray) -> np.ndarray:
  """Images uint8 [N, H, W, C] as float32 [N, H·W·C] in [0, 1], without a float64 copy in between."""
  return np.divide(x.reshape(len(x), -1), 255, dtype=np.float32)
