"""What measurements read: one trained model on one split of a data set."""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Literal, NamedTuple

import numpy as np

from tfdisent.data.dataset import Dataset, Examples, Judge
from tfdisent.data.pixels import to_uint8
from tfdisent.errors import DataError
from tfdisent.evaluation.probes import ProbeData
from tfdisent.evaluation.readers import Reader, readers
from tfdisent.evaluation.worst import Judged
from tfdisent.feature.contract import DISCRETE, Feature
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel

TRAINING_FUSIONS = 12_000
ROLES = ("score", "fit", "select")
"""Of `ProbeData`, in the order in which random numbers are drawn for them."""


class ByRole(Mapping):
  """`ProbeData` whose arrays are computed when they are read: the quick measurements read "score" alone."""

  def __init__(self, array: Callable[[str], np.ndarray]):
    self._array = array

  def __getitem__(self, role: str) -> np.ndarray:
    if role not in ROLES:
      raise KeyError(role)
    return self._array(role)

  def __iter__(self) -> Iterator[str]:
    return iter(ROLES)

  def __len__(self) -> int:
    return len(ROLES)


def _by_role(method: Callable[["Case", str], np.ndarray]) -> property:
  """A property of a `Case` that is `ByRole`, from a method that computes the array of one role.

  The case keeps the arrays. `ByRole` is made anew each time: a case that held it would be a cycle, and its arrays would
  fill the memory until Python looks for cycles.
  """

  @functools.wraps(method)
  def by_role(case: "Case") -> ByRole:
    def array(role):
      key = (method.__name__, role)
      if key not in case._arrays:
        case._arrays[key] = method(case, role)
      return case._arrays[key]

    return ByRole(array)

  return property(by_role)


class Pairs(NamedTuple):
  """Which images are fused with which, each a dict of int [M] by role."""

  row: dict[str, np.ndarray]
  """Rows of the images that give z1; each image of "fit" has several of them where there are few."""
  partner: dict[str, np.ndarray]
  """Rows of the images that give z̃2: the same rows in another order, hence independent of z1."""
  random_state: np.random.Generator
  """As it is after the draws. Whoever draws on takes a copy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
  """One trained model on one split, with all that measurements read. Each thing is computed once, when first read.

  What probes need is `ProbeData`: an array for each of the roles "fit", "select" and "score". "score" are the measured
  images; `x`, `examples` and the like are short for that role.

  Attributes:
    model: the trained model.
    dataset: judges and splits.
    split: that is measured, "test" or "validation".
    seed: of the pairs, the samples and the probes.
    limit: at most so many images are measured, evenly spaced in the split; None for all.
    progress: told of what is under way, as a line.
    learned_on: the split that probes are fitted on: "probe", which the model never saw, or "train", all images that the
      model itself was trained on.
    worst: by the name of a part of f, the fusions in which its judge finds the asked-for value least; the measurement
      "control" puts them here.
  """

  model: TrainedModel
  dataset: Dataset
  split: str = "test"
  seed: int = 0
  limit: int | None = None
  progress: Callable[[str], None] = lambda line: None
  learned_on: Literal["probe", "train"] = "probe"
  worst: dict[str, Judged] = dataclasses.field(default_factory=dict, init=False, repr=False)
  _arrays: dict[tuple[str, str], np.ndarray] = dataclasses.field(default_factory=dict, init=False, repr=False)

  # --- Images and their codes -----------------------------------------------------------------------------------------

  @functools.cached_property
  def data(self) -> dict[str, Examples]:
    """The examples of each role: disjoint from one another, and from `dataset.train` unless probes are fitted on it.

    Raises:
      DataError: the split is neither "test" nor "validation".
    """
    probe, learned = self.dataset.probe, {"fit": self.dataset.train} if self.learned_on == "train" else {}
    if self.split == "test":
      return {"fit": probe, "select": self.dataset.validation, "score": self._measured, **learned}
    if self.split == "validation":
      count = len(probe["image"]) * 4 // 5
      fit, select = (_rows(probe, rows) for rows in (slice(count), slice(count, None)))
      return {"fit": fit, "select": select, "score": self._measured, **learned}
    raise DataError(f"a model is evaluated on the split 'test' or 'validation', not on '{self.split}'.")

  @property
  def _measured(self) -> Examples:
    count = len(self.dataset[self.split]["image"])
    few = self.limit is not None and self.limit < count
    return _rows(self.dataset[self.split], np.linspace(0, count - 1, self.limit).astype(int) if few else slice(None))

  @property
  def examples(self) -> Examples:
    """The measured examples."""
    return self.data["score"]

  @property
  def x(self) -> np.ndarray:
    """The measured images, uint8 [N, H, W, C]."""
    return self.examples["image"]

  @_by_role
  def image(self, role):
    """Images, uint8 [N, H, W, C]."""
    return self.data[role]["image"]

  @_by_role
  def f(self, role):
    """f(x), float32 [N, width]."""
    return feature_values(self.model.feature, self.data[role])

  @_by_role
  def z1(self, role):
    """The means of q(z1 | x), float32 [N, Z1]."""
    return self.model.encode_z1(self.image[role])[0]

  @_by_role
  def z1_sample(self, role):
    """A sample of each q(z1 | x), float32 [N, Z1]."""
    return self.model.sample_z1(self.image[role], self.seed + ROLES.index(role))

  @functools.cached_property
  def x_rec(self) -> np.ndarray:
    """The reconstructions x' of the measured images, uint8 [N, H, W, C]."""
    return to_uint8(self.model.decode(self.z1["score"], self.model.encode_z2(self.f["score"])))

  @property
  def parts(self) -> tuple["Part", ...]:
    """The parts of f; f itself is the only one, unless it is a composite."""
    return tuple(Part(self, index) for index in range(len(self.model.feature.parts)))

  @functools.cached_property
  def _targets(self) -> tuple[ProbeData, ...]:
    return tuple(targets(part.f) if part.feature.kind == DISCRETE else part.f for part in self.parts)

  # --- Fusions with the f of an independent image ---------------------------------------------------------------------

  @functools.cached_property
  def pairs(self) -> Pairs:
    """Independent pairs of images of one role. From few images of "fit", many fusions are made to train on."""
    random_state = np.random.default_rng([self.seed, 1])
    row = {role: np.arange(len(self.image[role])) for role in ROLES}
    row["fit"] = np.resize(row["fit"], max(TRAINING_FUSIONS, len(row["fit"])))
    return Pairs(row, {role: random_state.permutation(row[role]) for role in ROLES}, random_state)

  @_by_role
  def z2_partner(self, role):
    """z̃2 of each pair, float32 [M, Z2]."""
    return self.model.encode_z2(self.f[role][self.pairs.partner[role]])

  @_by_role
  def z1_fusion(self, role):
    """The sample of z1 that each fusion is made from, float32 [M, Z1]."""
    return self.z1_sample[role][self.pairs.row[role]]

  @_by_role
  def fusion(self, role):
    """x̂ = G(z1, z̃2) of each pair with a sample of z1, uint8 [M, H, W, C]."""
    return to_uint8(self.model.decode(self.z1_fusion[role], self.z2_partner[role]))

  @_by_role
  def fusion_of_mean(self, role):
    """x̂ of each pair with the mean of z1, uint8 [M, H, W, C]."""
    return to_uint8(self.model.decode(self.z1[role][self.pairs.row[role]], self.z2_partner[role]))

  # --- Judges ---------------------------------------------------------------------------------------------------------

  @functools.cached_property
  def readers(self) -> dict[Judge, Reader]:
    """What reads each judge's property from images; networks that are not in the cache are trained."""
    return readers(self.dataset)

  @functools.cached_property
  def truth(self) -> dict[Judge, np.ndarray]:
    """Each judge's property of the measured images, [N] or [N, K]: its column, or what is measured of their pixels."""
    return {
      judge: read(self.x) if judge.kind in ("color", "axis") else self.examples[judge.column]
      for judge, read in self.readers.items()
    }


class Part(NamedTuple):
  """One part of f in a `Case`."""

  case: Case
  index: int
  """Among the parts of f."""

  @property
  def name(self) -> str:
    return self.case.model.feature.part_names[self.index]

  @property
  def feature(self) -> Feature:
    return self.case.model.feature.parts[self.index]

  @property
  def f(self) -> ProbeData:
    """This part of f(x), float32 [N, width]."""
    return {role: self.case.model.feature.split(f)[self.index] for role, f in self.case.f.items()}

  @property
  def target(self) -> ProbeData:
    """What a probe of this part learns to read: classes [N] of a discrete part, else f [N, width]."""
    return self.case._targets[self.index]

  def key(self, name: str) -> str:
    """What a figure of this part is called: "leakage/worst" is "leakage/color/worst" where f has several parts."""
    if len(self.case.parts) == 1:
      return name
    kind, figure = name.split("/", 1)
    return f"{kind}/{self.name}/{figure}"


def targets(f: ProbeData) -> ProbeData:
  """Classes [N] of a discrete f [N, width] for each role: the position of the 1, or a number for each combination."""
  if all((values.sum(1) == 1).all() for values in f.values()):
    return {role: values.argmax(1) for role, values in f.items()}
  _, classes = np.unique(np.concatenate(list(f.values())), axis=0, return_inverse=True)
  return dict(zip(f, np.split(classes.ravel(), np.cumsum([len(values) for values in f.values()])[:-1])))


def other_feature(f: np.ndarray, random_state: np.random.Generator) -> np.ndarray:
  """For each example the row [N] of a partner x̃ drawn at random among those with another f, from f [N, width].

  Raises:
    ValueError: all examples have the same f.
  """
  if not np.ptp(f, axis=0).any():
    raise ValueError("all examples have the same feature: there is no other one to ask for.")
  partner = random_state.permutation(len(f))
  while (same := np.flatnonzero((f == f[partner]).all(1))).size:
    partner[same] = random_state.integers(len(f), size=same.size)
  return partner


def _rows(examples: Examples, rows: slice | np.ndarray) -> Examples:
  return {name: column[rows] for name, column in examples.items()}
