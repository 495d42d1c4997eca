"""Gives public functions and plug-ins arguments of every kind: out comes a result, or an error of ours in words.

  python -m tests.fuzz --minutes 60 --seed 1

Arguments are drawn from the annotations, right ones and wrong ones, one of a call at a time. An error must be a
`TfdisentError` of one line that has the name or the value of the argument in it. Prints what was found and how many
inputs were tried; exits with 1 if anything was found.
"""

import argparse
import collections
import contextlib
import functools
import inspect
import math
import os
import pathlib
import random
import tempfile
import time
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple
from unittest import mock

import hypothesis
import numpy as np
import PIL.Image
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

import features.attribute
import features.category
import features.color
import features.composite
import features.number
import features.pose
import features.rgb
from features.digit_label import DigitLabel
from tfdisent import Dataset, api, arguments, config, networks
from tfdisent.data import arrays, color_mnist, own_images, sources, tfds_images
from tfdisent.errors import TfdisentError
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.pictures import show_fusions
from tfdisent.registry import FEATURES
from tfdisent.training.optimizers import make_optimizer

WRONG = (object(), b"x", 1j, {1, 2}, math.nan, "a\0b", "\ud800", len)
"""Values that no annotation allows, but that of an array, and of a function for the last one."""
WORDS = ("label", "az", "file", "color", "0.png", "~", "~/x", "~nobody/x", "a/b", "..", "", "skip", "adam")
NUMBERS = st.integers(-2, 70) | st.sampled_from([2**40, 2**63 - 1, 2**70, -(2**40)])
SMALL = st.integers(-2, 40)
TEXTS = st.text(st.characters(blacklist_categories=["Cc", "Cs"]), max_size=4)
ANYTHING = st.recursive(
  st.none() | st.booleans() | SMALL | st.floats() | TEXTS | st.sampled_from([*WORDS, *WRONG[:-1]]),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(TEXTS | st.sampled_from(WORDS), inner, max_size=3)
  ),
  max_leaves=5,
)
ARRAYS = npst.arrays(
  st.sampled_from([np.uint8, np.float32, np.int64, bool, "U2", object]),
  npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
)
OF_OPTIMIZER = ("algorithm", "learning_rate", "decay", "warmup_steps", "arguments")
NETWORK = st.dictionaries(st.sampled_from(["conv", "dense", "activation", "family", "name"]), ANYTHING, min_size=1)


class Reached(Exception):
  """All arguments are taken: what follows would be a training."""


class Target(NamedTuple):
  """A function to be called.

  Attributes:
    who: its name in messages.
    call: the function.
    given: arguments that it works with.
    is_dear: whether a call with right arguments takes long, so that it gets wrong ones alone.
    drawn: how values of some arguments are drawn; the others are by their annotations.
    only: the arguments that are drawn; none for all.
    is_slow: whether a call takes a tenth of a second.
  """

  who: str
  call: Callable
  given: Mapping[str, object] = {}
  is_dear: bool = False
  drawn: Mapping[str, st.SearchStrategy] = {}
  only: Sequence[str] = ()
  is_slow: bool = False

  @property
  def arguments(self) -> dict[str, object]:
    """The annotations of the arguments."""
    parameters = inspect.signature(self.call).parameters.values()
    hints = typing.get_type_hints(self.call.__init__ if inspect.isclass(self.call) else self.call)
    kinds = inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL
    names = [p.name for p in parameters if p.name in hints and p.kind not in kinds and p.name in (self.only or hints)]
    return {name: hints[name] for name in names}

  def values(self, name: str) -> st.SearchStrategy:
    hint = self.arguments[name]
    wrong = st.sampled_from(WRONG[:-1] if "Callable" in str(hint) else WRONG)
    if self.is_dear:
      return wrong
    return (self.drawn[name] if name in self.drawn else like(hint)) | ANYTHING | wrong


def like(hint) -> st.SearchStrategy:
  """Values that an annotation asks for."""
  origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    return st.one_of(*map(like, inner))
  if origin in (tuple, list, Sequence):
    if origin is tuple and inner and inner[-1] is not Ellipsis:
      return st.tuples(*map(like, inner))
    return st.lists(like(inner[0]) if inner else ANYTHING, max_size=3).map(tuple)
  if origin in (dict, Mapping):
    return st.dictionaries(like(inner[0]), like(inner[1]), max_size=3) if inner else st.just({}) | NETWORK
  leaves = {
    int: NUMBERS,
    float: st.floats() | st.sampled_from([0.1, 0.5, 1.0]),
    str: TEXTS | st.sampled_from(WORDS),
    bool: st.booleans(),
    type(None): st.none(),
    np.ndarray: ARRAYS | st.lists(ARRAYS, max_size=2),
    pathlib.Path: st.sampled_from(WORDS).map(pathlib.Path),
  }
  return leaves.get(origin, st.nothing())


def write_images(folder: pathlib.Path) -> None:
  """Two classes of images, and a table of them."""
  rows = ["file,label,az,size"]
  for number in range(30):
    name = f"{'ab'[number % 2]}/{number}.png"
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    image = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    PIL.Image.fromarray(image).save(folder / name)
    rows.append(f"{name},{'ab'[number % 2]},{number},{number / 7}")
  (folder / "table.csv").write_text("\n".join(rows), encoding="utf-8")


def tiny() -> Dataset:
  """Random images with two classes."""
  images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), dtype=np.uint8)
  return arrays.from_arrays(images, {"label": np.arange(40) % 2})


def _reach(*arguments, **keywords):
  raise Reached


def make_model(**given):
  """A model of tiny images."""
  DisentangledVAE((8, 8, 3), DigitLabel(2), **given)


make_model.__signature__ = inspect.signature(DisentangledVAE)
make_model.__annotations__ = {
  name: hint
  for name, hint in typing.get_type_hints(DisentangledVAE.__init__).items()
  if name not in ("image_shape", "feature")
}


def targets(folder: pathlib.Path) -> list[Target]:
  """All of them.

  Args:
    folder: an empty one.
  """
  write_images(folder)
  tf.zeros([1])  # from here on the devices are fixed, whatever `strategy.logical_cpus` is
  data, place = tiny(), {"data_dir": str(folder)}
  table = {**place, "table": "table.csv"}
  run_dir = {"run_dir": str(folder / "run")}
  model = DisentangledVAE((8, 8, 3), DigitLabel(2), z1_width=2)
  trained, images = TrainedModel(model), data.train["image"][:2]
  narrow = dict.fromkeys(("z1_width", "z2_width"), SMALL)
  of_networks = dict.fromkeys(("E1", "E2", "G", "q", "D", "a"), NETWORK)
  network = {"symbol": "E1", "image_shape": (8, 8, 3), "outputs": 2}

  @functools.wraps(color_mnist.color_mnist)
  def few_digits(**given):
    digits = data.train["image"][..., 0], data.train["label"]
    with mock.patch.object(color_mnist, "_embedded", lambda: (digits, digits)):
      return color_mnist.color_mnist(**given)

  return [
    Target(
      "color_mnist",
      few_digits,
      only=tuple(name for name in inspect.signature(few_digits).parameters if name not in ("source", "data_dir")),
    ),
    *(
      Target(name, FEATURES[name], {"parts": ("digit_label", "color")} if name == "composite" else {})
      for name in FEATURES
    ),
    Target("image_folder", own_images.image_folder, {**place, "size": 8}, drawn={"size": SMALL}),
    Target("image_table", own_images.image_table, {**table, "discrete": ("label",), "size": 8}, drawn={"size": SMALL}),
    Target("folder", sources.folder, {**place, "size": 8}, drawn={"size": SMALL}),
    Target("table", sources.table, {**table, "size": 8}, drawn={"size": SMALL}),
    Target("tfds_images", tfds_images.tfds_images, {**place, "name": "nothing"}, only=("name",)),
    Target("tfds_images", tfds_images.tfds_images, {**place, "name": "nothing"}, is_dear=True),
    Target("from_arrays", arrays.from_arrays, {"images": data.train["image"], "columns": data.train["label"]}),
    Target("objective", Objective),
    Target("optimizer", make_optimizer, {"steps": 10}, only=OF_OPTIMIZER),
    Target("strategy", config.strategy),
    Target("sweep", config.sweep),
    Target("model", make_model, drawn={**narrow, **of_networks}, is_slow=True),
    Target("model.E1", networks.make, network, drawn={"arguments": NETWORK}, only=("arguments", "family", "dtype")),
    Target("encode", trained.encode, {"images": images}),
    Target("reconstruct", trained.reconstruct, {"images": images}),
    Target("fuse", trained.fuse, {"images": images, "feature_images": images}),
    Target("control", trained.control, {"images": images, "feature": 1}),
    Target("generate", trained.generate, {"feature": [0, 1], "seed": 1}),
    Target(
      "train",
      api.train,
      {**run_dir, "dataset": data, "features": "label", "make_model": _reach, "batch_size": 4},
      only=tuple(name for name in inspect.signature(api.train).parameters if name != "make_model"),  # None would train
    ),
    Target("fit_feature", api.fit_feature, {**run_dir, "dataset": data, "feature": DigitLabel(2)}, is_dear=True),
    Target("bench", config.bench, is_dear=True),
    *(Target(f.__name__, f, run_dir, is_dear=True) for f in (api.load, api.evaluate, api.export, api.sample)),
    Target("show_fusions", show_fusions, {"trained": trained, "images": images}),
  ]


def attempt(target: Target, name: str, value: object) -> str:
  """Calls a target with a value of one argument; returns what is wrong with what came out, or ""."""
  try:
    made = target.call(**{**target.given, name: value})
    if isinstance(made, features.category.Feature):
      _use(made)
  except Reached:
    return ""
  except TfdisentError as error:
    return _fault_of(str(error), name, value)
  except Exception as error:
    where = error.__traceback__
    while where.tb_next:
      where = where.tb_next
    code = where.tb_frame.f_code
    if code.co_filename == __file__:
      raise
    return f"{type(error).__name__}: {str(error)[:200]} ({pathlib.Path(code.co_filename).name}, {code.co_name})"
  if target.is_dear:
    return "it is taken"
  return ""


def _use(feature) -> None:
  feature.get_config()
  if feature.name != "number":  # it wants its numbers first
    assert feature.width > 0
    assert feature.natural


def _fault_of(message: str, name: str, value: object) -> str:
  if "\n" in message and "--mode=fit_feature" not in message:
    return f"several lines: {message}"
  values = [value, *(value if isinstance(value, (Mapping, list, tuple)) else ())]
  if isinstance(value, str) and value.startswith("~"):
    values += [os.path.expanduser(value)]
  values += [one.rpartition("/")[2] for one in values if isinstance(one, str)]
  words = {name.removesuffix("es").removesuffix("s")}
  words |= {write(one) for one in values for write in (str, repr, arguments.shown)}
  words |= {"digit_label"} if name == "feature" else set()
  return "" if any(word in message for word in words) else f"neither the name nor the value is in: {message}"


def pairs(folder: pathlib.Path) -> Iterator[tuple[Target, str]]:
  """Every argument of every target."""
  for target in targets(folder):
    yield from ((target, name) for name in target.arguments)


def search(target: Target, name: str, count: int, seed: int | None = None) -> tuple[int, tuple[object, str] | None]:
  """Tries values of an argument; returns how many, and the smallest that fails with what is wrong, or None.

  Args:
    seed: of the values; None for the same ones each time.
  """
  tried, found = 0, None

  @settings(
    max_examples=count,
    deadline=None,
    database=None,
    derandomize=seed is None,
    phases=[Phase.generate, Phase.shrink],
    suppress_health_check=list(HealthCheck),
  )
  @given(target.values(name))
  def one(value):
    nonlocal tried, found
    tried += 1
    if fault := attempt(target, name, value):
      found = value, fault
      raise AssertionError(fault)

  with contextlib.suppress(AssertionError, hypothesis.errors.HypothesisException, BaseExceptionGroup):
    (one if seed is None else hypothesis.seed(seed)(one))()
  return tried, found


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__)
  parser.add_argument("--minutes", type=float, default=60)
  parser.add_argument("--seed", type=int, default=0)
  flags = parser.parse_args()
  start, seeds = time.monotonic(), random.Random(flags.seed)
  tried, found = collections.Counter(), {}
  with tempfile.TemporaryDirectory() as folder:
    os.environ["TFDISENT_CACHE"] = f"{folder}/cache"
    every = list(pairs(pathlib.Path(folder, "data")))
    while time.monotonic() - start < 60 * flags.minutes:
      target, name = seeds.choice(every)
      count, fault = search(target, name, 40, seeds.randrange(2**32))
      tried[target.who] += count
      key = fault and (target.who, name, fault[1].split(":")[0])
      if fault and key not in found:
        found[key] = fault
        print(f"{target.who}.{name} = {fault[0]!r}: {fault[1]}", flush=True)
  print(f"{sum(tried.values())} inputs of {len(every)} arguments in {flags.minutes:g} minutes; {len(found)} found.")
  print(", ".join(f"{who} {count}" for who, count in sorted(tried.items())))
  return 1 if found else 0


if __name__ == "__main__":
  raise SystemExit(main())
