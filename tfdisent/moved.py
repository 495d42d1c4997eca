"""Names of version 0.1, for the gin files, run folders and code that use them.

`import tfdisent.datasets.color_mnist` gives `tfdisent.data.color_mnist`, the very same module: a copy would register
its plug-in a second time. A configuration that says `objective.lambda5` is read as one that says `objective.mirror`.
"""

import importlib
import importlib.abc
import importlib.util
import re
import sys
from collections.abc import Callable

MOVED = {
  "tfdisent.datasets": "tfdisent.data",
  "tfdisent.dataset": "tfdisent.data.dataset",
  "tfdisent.learned": "tfdisent.feature.learned",
}

BINDINGS = {
  "objective.lambda5": "objective.mirror",
  "objective.lambda6": "objective.adversary",
  "objective.lambda7": "objective.cycle",
  "composite.leakage_weights": "composite.adversary_weights",
}
"""Arguments that have a new name, as a configuration binds them."""

ALWAYS_SO = frozenset(
  {
    "objective.losses = ()",
    "objective.adversary_ceiling = False",
    "objective.gan = 'logistic'",
    "objective.matching = 0.0",
    "objective.r1 = 0.0",
    "objective.r1_every = 16",
    "model.networks = 'plain'",
    "model.ema = 0.0",
    "model.z1_stddev = None",
    "train.augment = None",
    "train.independent_of = ()",
    "train.largest_weight = 50.0",
    "train.best = 'loss'",
    "train.measurements = ()",
    *(f"{dataset}.background = 'white'" for dataset in ("image_folder", "image_table", "folder", "table")),
    "image_table.missing = 'refuse'",
    "table.missing = 'refuse'",
  }
)
"""Defaults of arguments that version 0.1 does not have: its configurations mean them, and do not say so."""
ALWAYS_SO_OF_LEARNED = ".network = None"
"""The same of every learned feature, also of those that users have written."""

_COMMENT = r"#.*"
_OLD_BINDING = re.compile(rf"{_COMMENT}|\b(?:{'|'.join(map(re.escape, BINDINGS))})\b")
_MODULE = re.compile(rf"{_COMMENT}|\btfdisent(?:\.\w+)+")


def new_name(module: str) -> str:
  """The name that a module has now."""
  old = next((old for old in MOVED if module == old or module.startswith(f"{old}.")), None)
  return module if old is None else MOVED[old] + module[len(old) :]


def renamed(config: str, tell: Callable[[str, str], None] = lambda old, new: None) -> str:
  """The text of a configuration with new names in place of old ones, of modules and of bindings; comments stay.

  Args:
    config: gin's language.
    tell: is called with the old and the new name, for each place.
  """

  def rename(match):
    old = match[0]
    new = old if old.startswith("#") else BINDINGS.get(old) or new_name(old)
    if new != old:
      tell(old, new)
    return new

  return _MODULE.sub(rename, _OLD_BINDING.sub(rename, config))


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Gives Python the moved module when its old name is imported."""

  def find_spec(self, name, path=None, target=None):
    return importlib.util.spec_from_loader(name, self) if new_name(name) != name else None

  def create_module(self, spec):
    module = importlib.import_module(new_name(spec.name))
    self._spec = module.__spec__
    return module

  def exec_module(self, module):
    module.__spec__ = self._spec  # Python has replaced it by that of the old name


def install() -> None:
  """Lets this process import the old names."""
  sys.meta_path.insert(0, _Finder())  # first: the finder of files would load a second copy from `tfdisent.data`'s path
