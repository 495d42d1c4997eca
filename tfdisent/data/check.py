"""The contract of a data set as a test, for the suites of those who register one.

from tfdisent.testing import check_dataset

def test_my_images_keep_the_contract(tmp_path):
  check_dataset(my_images, {"data_dir": str(tmp_path)}, other={"size": 16})
"""

import json
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

from tfdisent.data.batches import training_batches
from tfdisent.data.dataset import SPLITS, Dataset, Judge, fingerprint
from tfdisent.errors import DataError, RegistryError, shown
from tfdisent.registry import DATASETS, tuples_for_lists

INTEGERS, NUMBERS = "iu", "iuf"  # kinds of NumPy's dtypes
KINDS_OF_JUDGES = {"classifier": INTEGERS, "angle": NUMBERS, "number": NUMBERS, "color": "f", "axis": NUMBERS}
MEASURED = ("color", "axis")  # judged from pixels alone: their column may be absent
ROWS_DRAWN = 8


def check_dataset(
  make: Callable[..., Dataset] | str,
  arguments: Mapping[str, object] | None = None,
  other: Mapping[str, object] | None = None,
) -> None:
  """Checks that a data set can be trained on, measured, and made again from the description of a run.

  It is made twice: from the arguments, and from what a run keeps of them. All that `Dataset` checks by itself is
  checked then. Here the columns, judges, class names, `unbiased` and `unseen` are checked, and a batch is drawn from
  each split. Use small inputs: images of a split are copied into memory unless they are a mapped file.

  Args:
    make: the registered function, or its name.
    arguments: of the function, as a gin file would bind them.
    other: arguments that replace some of `arguments` and change the examples, such as {"seed": 1}; the name of the data
      set must change with them. None skips this check.

  Raises:
    DataError: what is wrong, and what to do about it.
    ConfigError: an argument is no plain data, so that no run can keep it.
    RegistryError: the function is not registered.
  """
  registered = _registered_name(make)
  arguments = dict(arguments or {})
  described = DATASETS.describe(registered, **arguments)
  dataset = _made(registered, arguments)
  if not isinstance(dataset.name, str) or not dataset.name:
    raise DataError(
      f"the data set '{registered}' has the name {shown(dataset.name)}: it must be a text that is not empty."
    )
  what = f"the data set '{dataset.name}'"
  _check_columns(dataset, what)
  _check_judges(dataset, what)
  _check_class_names(dataset, what)
  _check_unbiased(dataset, what)
  _check_unseen(dataset, what)
  _check_batches(dataset, what)
  _check_same(dataset, _made(registered, tuples_for_lists(json.loads(json.dumps(described["arguments"])))), what)
  if other is not None:
    _check_other(dataset, _made(registered, {**arguments, **other}), dict(other), what)


def _registered_name(make) -> str:
  if isinstance(make, str):
    DATASETS[make]  # raises RegistryError on a miss
    return make
  name = next((name for name in DATASETS if DATASETS[name] is make), None)
  if name is None:
    called = getattr(make, "__qualname__", repr(make))
    raise RegistryError(f"{called} is no registered data set: decorate it with @tfdisent.register_dataset('<name>').")
  return name


def _made(registered, arguments) -> Dataset:
  dataset = DATASETS.create(registered, **arguments)
  if not isinstance(dataset, Dataset):
    raise DataError(f"the data set '{registered}' returns a {type(dataset).__name__}: return a tfdisent.Dataset.")
  return dataset


def _type(column):
  """What must be equal in all splits: dtype and shape of an example. Texts may have any length."""
  return (column.dtype.kind if column.dtype.kind in "US" else column.dtype.name), column.shape[1:]


def _check_columns(dataset, what):
  """Columns are those of `train` in every split, [N] or [N, K], and of types that TensorFlow reads."""
  for split in SPLITS:
    if difference := sorted(set(dataset[split]) ^ set(dataset.train)):
      raise DataError(
        f"{what} has the column '{difference[0]}' in only one of 'train' and '{split}': give all splits all columns."
      )
    for name, column in dataset[split].items():
      if _type(column) != _type(dataset.train[name]):
        raise DataError(
          f"column '{name}' of {what} is {column.dtype} {list(column.shape)} in '{split}' and "
          f"{dataset.train[name].dtype} {list(dataset.train[name].shape)} in 'train': convert it to one type and shape."
        )
      if name != "image" and column.ndim > 2:
        raise DataError(f"column '{name}' of {what} has the shape {list(column.shape)}: it must be [N] or [N, K].")
      try:
        tf.convert_to_tensor(column if column.dtype.hasobject else column[:1])
      except (ValueError, TypeError) as error:
        raise DataError(
          f"column '{name}' of split '{split}' of {what} cannot be read by TensorFlow ({error}): convert its "
          f"{column.dtype} to numbers or texts."
        ) from error


def _column(dataset, column, of, what):
  if column not in dataset.train:
    raise DataError(f"{of} of {what} reads the column '{column}': its columns are {', '.join(sorted(dataset.train))}.")
  return dataset.train[column]


def _check_integers(dataset, column, of, what):
  """Raises unless `column` is integers from 0, [N], in each split; returns the largest one."""
  values = _column(dataset, column, of, what)
  if values.dtype.kind not in INTEGERS or values.ndim != 1:
    raise DataError(f"{of} of {what} needs integers [N] in '{column}', not {values.dtype} {list(values.shape)}.")
  if (least := min(dataset[split][column].min() for split in SPLITS)) < 0:
    raise DataError(f"{of} of {what} needs classes from 0 in '{column}', and there is {least}: number them from 0.")
  return max(int(dataset[split][column].max()) for split in SPLITS)


def _check_judges(dataset, what):
  """Judges have names of their own, and columns of the dtype, shape and range that their kind reads."""
  for judge in dataset.judges:
    if not isinstance(judge, Judge) or judge.kind not in KINDS_OF_JUDGES:
      kinds = ", ".join(KINDS_OF_JUDGES)
      raise DataError(f"a judge of {what} is {shown(judge)}: it must be a tfdisent.Judge of one of the kinds {kinds}.")
  names = [judge.name for judge in dataset.judges]
  if repeated := [name for name in names if names.count(name) > 1]:
    raise DataError(f"{what} has two judges called '{repeated[0]}': their figures would replace each other.")
  for judge in dataset.judges:
    of = f"judge '{judge.name}'"
    if judge.kind == "classifier":
      _check_integers(dataset, judge.column, of, what)
    elif judge.kind not in MEASURED or judge.column in dataset.train:
      values = _column(dataset, judge.column, of, what)
      dimensions = {"color": (2,), "number": (1, 2)}.get(judge.kind, (1,))
      is_colors = judge.kind != "color" or values.shape[1:] == (3,)
      if values.dtype.kind not in KINDS_OF_JUDGES[judge.kind] or values.ndim not in dimensions or not is_colors:
        needed = {"color": "floats [N, 3]", "number": "numbers [N] or [N, K]"}.get(judge.kind, "numbers [N]")
        raise DataError(
          f"{of} of {what} is of the kind '{judge.kind}', which needs {needed} in '{judge.column}', not "
          f"{values.dtype} {list(values.shape)}."
        )
      if judge.kind == "color" and any((abs(dataset[s][judge.column] - 0.5) > 0.5).any() for s in SPLITS):
        raise DataError(f"{of} of {what} needs colours in [0, 1] in '{judge.column}': divide by the largest value.")
    if judge.kind == "angle" and not judge.turn > 0:
      raise DataError(f"{of} of {what} has turn = {judge.turn}: set it to a full turn in the unit of '{judge.column}'.")
    try:
      hash(judge)
    except TypeError as error:
      raise DataError(f"{of} of {what} has symmetric = {judge.symmetric}: write tuples, not lists or dicts.") from error
    for column, classes in judge.symmetric:
      _check_integers(dataset, column, f"`symmetric` of {of}", what)
      if all(np.isin(dataset[split][column], classes).all() for split in SPLITS):
        raise DataError(f"`symmetric` of {of} of {what} has every class of '{column}': no image is left to judge.")


def _check_class_names(dataset, what):
  """Every class of a column with names has a name of its own."""
  for column, names in dataset.class_names.items():
    of = f"`class_names` of '{column}'"
    largest = _check_integers(dataset, column, of, what)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names):
      raise DataError(f"{of} of {what} must be different texts, one for each class, not {tuple(names)}.")
    if largest >= len(names):
      raise DataError(f"{of} of {what} has {len(names)} names, and there is a class {largest}: name all from 0 on.")


def _check_unbiased(dataset, what):
  """`unbiased` has the columns of the biased data set and a name of its own, and is not biased itself."""
  unbiased = dataset.unbiased
  if unbiased is None:
    return
  if not isinstance(unbiased, Dataset):
    raise DataError(f"`unbiased` of {what} is a {type(unbiased).__name__}: it must be a tfdisent.Dataset or None.")
  _check_columns(unbiased, f"`unbiased` of {what}")
  types, of_unbiased = ({n: _type(column) for n, column in one.train.items()} for one in (dataset, unbiased))
  if types != of_unbiased:
    name = next(name for name in sorted({*types, *of_unbiased}) if types.get(name) != of_unbiased.get(name))
    raise DataError(
      f"`unbiased` of {what} has another column '{name}' ({of_unbiased.get(name)}, not {types.get(name)}): both must "
      "have the same columns, since judges learn from the one and judge the other."
    )
  if unbiased.unbiased is not None:
    raise DataError(f"`unbiased` of {what} has an `unbiased` itself: give the data set without any bias.")
  if unbiased.name == dataset.name and unbiased.fingerprint != dataset.fingerprint:
    raise DataError(f"`unbiased` of {what} has the same name and other examples: put the bias into the name.")


def _check_unseen(dataset, what):
  if dataset.unseen is None:
    return
  examples = dict(dataset.test)
  partner = {name: column[::-1] for name, column in examples.items()}
  try:
    unseen = dataset.unseen(examples, partner)
  except Exception as error:  # a plug-in may raise anything
    raise DataError(f"`unseen` of {what} fails on examples of 'test' ({type(error).__name__}: {error}).") from error
  count = len(examples["image"])
  is_array = isinstance(unseen, np.ndarray)
  if not is_array or unseen.dtype.kind != "b" or unseen.shape != (count,):
    given = f"{unseen.dtype} {list(unseen.shape)}" if is_array else type(unseen).__name__
    raise DataError(f"`unseen` of {what} gives {given} for {count} examples: return bool [{count}], one for each pair.")


def _check_batches(dataset, what):
  """The input pipeline reads the same images as NumPy does, also from a mapped file."""
  for split in SPLITS:
    image = dataset[split]["image"]
    count = min(ROWS_DRAWN, len(image))
    feature = np.zeros([len(image), 1], np.float32)
    try:
      batch = next(iter(training_batches(dataset[split], feature, count, seed=0, shuffle=False)))
    except Exception as error:  # TensorFlow and the file system raise many types
      raise DataError(
        f"no batch can be drawn from split '{split}' of {what} ({type(error).__name__}: {error}). A mapped file must "
        "stay where it is as long as the data set is used."
      ) from error
    if not np.array_equal(batch["image"], image[:count]):
      raise DataError(
        f"a batch from split '{split}' of {what} has other images than the split: a mapped file must not change."
      )


def _check_same(dataset, again, what):
  """The data set is the same when it is made again, from the arguments that a run keeps."""
  twice = f"{what}, made twice with the same arguments,"
  for split in SPLITS:
    if fingerprint(dataset[split]) == fingerprint(again[split]):
      continue
    columns = [
      name
      for name in sorted({*dataset[split], *again[split]})
      if not np.array_equal(dataset[split].get(name), again[split].get(name))
    ]
    raise DataError(
      f"{twice} has other values in {', '.join(columns)} of split '{split}': draw random numbers from a seed that is "
      "an argument, and sort the files of a folder."
    )
  if again.name != dataset.name:
    raise DataError(
      f"{twice} is called '{again.name}' the second time, as if it had other examples. Leave out of the name what "
      "changes, such as times and addresses of objects, and convert lists to tuples, which a run that is read has."
    )
  if (again.judges, dict(again.class_names)) != (dataset.judges, dict(dataset.class_names)):
    raise DataError(f"{twice} has other judges or class names the second time: derive them from the arguments alone.")


def _check_other(dataset, changed, other, what):
  if changed.fingerprint == dataset.fingerprint:
    raise DataError(
      f"{what} has the same examples with {other}: an argument is ignored, or `other` of check_dataset changes none."
    )
  if changed.name == dataset.name:
    raise DataError(
      f"{what} has the same name with {other} and other examples: put every argument that changes the examples into "
      "the name. Otherwise a fitted feature does not tell which examples it was fitted on."
    )
