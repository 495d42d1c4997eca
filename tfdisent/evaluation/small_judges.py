"""The judges of a run, kept in its folder, to read images where the data set is not: `judges.npz`.

    judges = load_judges(run_dir, (64, 64, 3))
    judges.words(images)  # [["yes", "no", "#5f3f33", …], …]
    judges.judges[0].right  # "right in 99.9 %", of real images

| in the file | what it is |
|---|---|
| `about` | JSON: the judges, the heads of their network, the order of its layers, and how well they read real images |
| `0`, `1`, … | the weights of the network in its order: int8 for kernels, float32 for the rest |
| `0/scale`, … | the step of each output channel of a kernel, float32 |

The network is the one that the evaluation reads with, rounded to int8, which makes it a quarter as large. How well it
reads real images is measured after the rounding.
"""

import functools
import io
import json
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfdisent.data.dataset import Dataset, Judge
from tfdisent.errors import RunError
from tfdisent.evaluation.control import COMPARISONS, is_readable
from tfdisent.evaluation.heads import make_head
from tfdisent.evaluation.judges import CachedNetwork, Estimator, Oracle, ReadOnce
from tfdisent.evaluation.layers import pools_first
from tfdisent.evaluation.readers import OF_PIXELS, HeadReader, Reader, Trunk, head_readers
from tfdisent.pictures import value_words
from tfdisent.run import JUDGES_FILE, write

NETWORKS = {network.name: network for network in (Oracle, Estimator, Trunk)}
BATCH = 500
MOST_IMAGES = 2000
"""So many real images tell how well the judges read them."""
STEPS = 127
"""Of int8, on each side of 0."""


class SmallJudge(NamedTuple):
  """One judge of a run."""

  judge: Judge
  read: Reader
  classes: tuple[str, ...]
  """The names of its classes."""
  is_color: bool
  """Whether it reads RGB in [0, 1]."""
  figure: str
  """The word for how it is compared with the truth: "accuracy", "mae" or "median_error"."""
  value: float | None
  """That figure on real images; None of what is measured in the pixels."""

  @property
  def right(self) -> str:
    """How well it reads real images, in words."""
    if self.value is None:
      return "measured in the pixels"
    if self.figure == "accuracy":
      return f"right in {self.value:.1%}".replace("%", " %").replace("100.0", "100")
    return f"off by {self.value:.2g}" + ("°" if self.figure == "median_error" else "")


class SmallJudges(NamedTuple):
  """The judges of a run."""

  judges: tuple[SmallJudge, ...]
  images: int
  """Real images on which their figures were measured."""

  def words(self, images: np.ndarray) -> list[list[str]]:
    """What each judge reads in each of the images, uint8 [N, H, W, C], in words: N lists.

    A property that cannot be seen on an image of its class is "–".
    """
    values = {one.judge.column: one.read(images) for one in self.judges}
    columns = []
    for one in self.judges:
      turn = 180.0 if one.judge.kind == "axis" else one.judge.turn
      words = value_words(values[one.judge.column], one.classes, one.is_color, turn)
      for column, classes in one.judge.symmetric:
        if column in values:
          words = ["–" if unseen else word for word, unseen in zip(words, np.isin(values[column], classes))]
      columns.append(words)
    return [list(of_image) for of_image in zip(*columns)]


def save_judges(run_dir: pathlib.Path, dataset: Dataset, split: str, readers: Mapping[Judge, Reader]) -> None:
  """Writes the judges of a data set into a run folder, and how well they read the real images of a split.

      save_judges(run_dir, dataset, "validation", tfdisent.evaluation.readers.readers(dataset))

  Raises:
    RunError: the file cannot be written.
  """
  readers = {judge: read for judge, read in readers.items() if judge.kind in OF_PIXELS or _network_of(read)[0]}
  if not readers:
    return
  network = next((network for network, _ in map(_network_of, readers.values()) if network), None)
  arrays = _rounded(network.weights) if network else {}
  heads = network.heads if network else []
  about = {
    "network": network.name if network else None,
    "image_shape": dataset.image_shape,
    "pool_first": pools_first(dataset.image_shape),
    "heads": [_head_of(judge, read) for judge, read in _by_head(readers, heads)],
    "judges": [_described(judge, read, dataset, heads) for judge, read in readers.items()],
  }
  rows = np.unique(np.linspace(0, len(dataset[split]["image"]) - 1, MOST_IMAGES).astype(int))
  examples = {name: column[rows] for name, column in dataset[split].items()}
  about["images"] = len(rows)
  for one, told in zip(_made(about, arrays).judges, about["judges"]):
    if one.judge.kind not in OF_PIXELS:
      compare = COMPARISONS[one.judge.kind].compare
      error = compare(one.read(examples["image"]), examples[one.judge.column], one.judge.turn)
      middle = np.median if one.figure == "median_error" else np.mean
      told["value"] = float(middle(error[is_readable(one.judge, examples)]))
  file = io.BytesIO()
  np.savez_compressed(file, about=np.frombuffer(json.dumps(about).encode(), np.uint8), **arrays)
  write(run_dir / JUDGES_FILE, file.getvalue())


def load_judges(run_dir: pathlib.Path, image_shape: tuple[int, int, int]) -> SmallJudges | None:
  """The judges that a run folder keeps, of images of a shape; None where it keeps none.

  Raises:
    RunError: the file is damaged, or is of other images.
  """
  file = run_dir / JUDGES_FILE
  if not file.is_file():
    return None
  try:
    with np.load(file, allow_pickle=False) as arrays:
      weights = {name: arrays[name] for name in arrays.files}
    about = json.loads(weights.pop("about").tobytes())
    if tuple(about["image_shape"]) != tuple(image_shape):
      raise ValueError(f"it is of images of {about['image_shape']}")
    return _made(about, weights)
  except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
    raise RunError(
      f"{file} cannot be read ({error}). Remove it, to go without judges, or measure the run anew: --mode=eval."
    ) from error


class _Network(ReadOnce):
  """A network of judges, from what the file has of it."""

  def __init__(self, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray], heads: Sequence):
    super().__init__()
    values = [_unrounded(arrays, str(number)) for number in range(sum("/" not in name for name in arrays))]
    if [len(bias) for bias in values[1 - 2 * len(heads) :: 2]] != [head.outputs for head in heads]:
      raise ValueError("its heads are not those of its weights")  # before a network of any size is made
    pool_first = about.get("pool_first", False)  # a file of before does not say so
    network = NETWORKS[about["network"]].make(tuple(about["image_shape"]), heads, pool_first)
    network.set_weights(values)
    self._network = network

  @functools.cached_property
  def _of_batch(self):
    spec = tf.TensorSpec([None, *self._network.input_shape[1:]], tf.uint8)
    return tf.function(lambda image: self._network(tf.cast(image, tf.float32), training=False), input_signature=[spec])

  def _compute(self, image):
    return np.concatenate([self._of_batch(image[i : i + BATCH]).numpy() for i in range(0, len(image), BATCH)])


def _made(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> SmallJudges:
  heads = [make_head(told["kind"], np.array(told["values"]), told["turn"]) for told in about["heads"]]
  of_heads = head_readers(_Network(about, arrays, heads), heads) if heads else []
  judges = []
  for told in about["judges"]:
    symmetric = tuple((column, tuple(classes)) for column, classes in told["judge"]["symmetric"])
    judge = Judge(**{**told["judge"], "symmetric": symmetric})
    read = OF_PIXELS[judge.kind] if told["head"] is None else of_heads[told["head"]]
    figure = COMPARISONS[judge.kind].figure
    value = None if told["value"] is None else float(told["value"])
    judges.append(SmallJudge(judge, read, tuple(told["classes"]), bool(told["is_color"]), figure, value))
  return SmallJudges(tuple(judges), int(about["images"]))


# --- What the file says -----------------------------------------------------------------------------------------------


def _network_of(read: Reader) -> tuple[CachedNetwork | None, Any]:
  """The network by which a judge reads, and its head there; of what is measured in the pixels, nothing."""
  if isinstance(read, HeadReader):
    return read.network, read.head
  return (read, read.heads[0]) if isinstance(read, CachedNetwork) else (None, None)


def _by_head(readers, heads):
  """The judge and the reader of each head, in the order of the heads."""
  of = {id(_network_of(read)[1]): (judge, read) for judge, read in readers.items()}
  return [of[id(head)] for head in heads]


def _head_of(judge: Judge, read: Reader) -> dict[str, Any]:
  return {"kind": judge.kind, "turn": judge.turn, "values": _network_of(read)[1].values.tolist()}


def _described(judge: Judge, read: Reader, dataset: Dataset, heads: Sequence) -> dict[str, Any]:
  head = _network_of(read)[1]
  classes = tuple(dataset.class_names.get(judge.column, ()))
  if judge.kind == "classifier" and judge.column != "label" and head.outputs == 2 and classes in ((), ("0", "1")):
    classes = ("no", "yes")
  column = dataset.columns.get(judge.column)
  return {
    "judge": judge._asdict(),
    "head": next((number for number, one in enumerate(heads) if one is head), None),
    "classes": classes,
    "is_color": judge.kind == "color" or (column is not None and column.kind == "color"),
    "value": None,
  }


def _rounded(weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
  """Weights as the file has them; a kernel is rounded to int8, in steps of its own for each output channel."""
  arrays = {}
  for number, weight in enumerate(map(np.asarray, weights)):
    arrays[str(number)] = weight
    if weight.ndim > 1:
      scale = np.maximum(np.abs(weight).max(tuple(range(weight.ndim - 1))) / STEPS, 1e-12).astype(np.float32)
      arrays |= {str(number): np.rint(weight / scale).astype(np.int8), f"{number}/scale": scale}
  return arrays


def _unrounded(arrays: Mapping[str, np.ndarray], name: str) -> np.ndarray:
  """A weight, float32, of what `_rounded` gives."""
  return arrays[name].astype(np.float32) * arrays.get(f"{name}/scale", np.float32(1))
