"""Registries that map a name in a config to a plug-in: `FEATURES` for f(x), `DATASETS` for images.

A registered class or function is registered with gin under the same name, so a config binds its arguments
(`color.threshold = 0.1`), while called from Python it stays what it was.
"""

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gin

from tfdisent.errors import RegistryError


class Registry:
  """Names to plug-ins, with a clear miss and a clear duplicate.

  Args:
    kind: what the plug-ins are, for messages ("feature").
    package: where the plug-ins of this project live, to suggest the missing `import` ("features").
  """

  def __init__(self, kind: str, package: str):
    self.kind = kind
    self.package = package
    self._entries: dict[str, Callable] = {}

  def register(self, name: str) -> Callable[[Callable], Callable]:
    """Decorator that registers a class or factory under `name`; raises `RegistryError` on a duplicate."""

    def decorate(plugin):
      known = self._entries.get(name)
      if known is not None:
        raise RegistryError(
          f"{self.kind} '{name}' is registered twice: by {_where(known)} and by {_where(plugin)}. "
          "Give one of them another name."
        )
      with gin.unlock_config():  # a plug-in may come after the config, when a trained run is loaded
        gin.register(name, module=plugin.__module__)(plugin)
      self._entries[name] = plugin
      return plugin

    return decorate

  def __getitem__(self, name: str) -> Callable:
    """The plug-in called `name`; raises `RegistryError` that lists the known names on a miss."""
    if name in self._entries:
      return self._entries[name]
    close = difflib.get_close_matches(str(name), self._entries, n=1)
    raise RegistryError(
      f"unknown {self.kind} '{name}'. "
      + (f"Did you mean '{close[0]}'? " if close else "")
      + f"Registered: {', '.join(sorted(self._entries)) or 'none'}. "
      + f"A plug-in registers when it is imported: is `import {self.package}.{name}` missing "
      + "from the gin file (or from your code)?"
    )

  def create(self, name: str, **arguments):
    """Calls the plug-in called `name` with its gin bindings, `arguments` going first.

    With a `name` of "scope/plug-in" those of gin's scope go before the others.
    """
    scope, _, name = name.rpartition("/")
    with gin.config_scope(scope or None):
      return gin.get_configurable(self[name])(**arguments)

  def __contains__(self, name: str) -> bool:
    return name in self._entries

  def __iter__(self) -> Iterator[str]:
    return iter(sorted(self._entries))

  @contextmanager
  def temporary(self):
    """Forgets on exit what was registered inside; for tests. (gin keeps its own entry: use a fresh name.)"""
    before = dict(self._entries)
    try:
      yield self
    finally:
      self._entries = before


def _where(plugin: Callable) -> str:
  return f"{plugin.__module__}.{plugin.__qualname__}"


FEATURES = Registry("feature", "features")
DATASETS = Registry("data set", "tfdisent.datasets")
register_feature = FEATURES.register
register_dataset = DATASETS.register
