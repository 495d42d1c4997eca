"""Modules of version 0.1 under their old names, for gin files, run folders and code that import them.

`import tfdisent.datasets.color_mnist` gives `tfdisent.data.color_mnist`, the very same module: a copy would register
its plug-in a second time.
"""

import importlib
import importlib.abc
import importlib.util
import re
import sys

MOVED = {
  "tfdisent.datasets": "tfdisent.data",
  "tfdisent.dataset": "tfdisent.data.dataset",
  "tfdisent.learned": "tfdisent.feature.learned",
  "tfdisent.export": "tfdisent.serving.saved_model",
}

BINDINGS = {
  "objective.lambda5": "objective.mirror",
  "objective.lambda6": "objective.adversary",
  "objective.lambda7": "objective.cycle",
  "composite.leakage_weights": "composite.adversary_weights",
}
"""Arguments that are called otherwise now, as a configuration binds them."""


def new_name(module: str) -> str:
  """What a module is called now."""
  old = next((old for old in MOVED if module == old or module.startswith(f"{old}.")), None)
  return module if old is None else MOVED[old] + module[len(old) :]


def renamed(text: str) -> str:
  """A text, as of a configuration, with the new names of modules for the old ones."""
  return re.sub(r"\btfdisent(\.\w+)+", lambda match: new_name(match[0]), text)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
  """Gives Python the moved module itself where the old name is imported."""

  def find_spec(self, name, path=None, target=None):
    return importlib.util.spec_from_loader(name, self) if new_name(name) != name else None

  def create_module(self, spec):
    module = importlib.import_module(new_name(spec.name))
    self._spec = module.__spec__
    return module

  def exec_module(self, module):
    module.__spec__ = self._spec  # Python gave it that of the old name


def install() -> None:
  """Lets this process import the old names."""
  sys.meta_path.insert(0, _Finder())  # before what finds files: `tfdisent.data` has a path to search
