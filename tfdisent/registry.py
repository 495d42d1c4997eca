"""Registries that map a name to a plug-in, one for each kind of them.

| registry       | decorator              | a plug-in is                                                          |
|----------------|------------------------|-----------------------------------------------------------------------|
| `FEATURES`     | `register_feature`     | a `tfdisent.Feature`: f(x)                                            |
| `DATASETS`     | `register_dataset`     | a function that returns a `tfdisent.Dataset`                          |
| `NETWORKS`     | `register_networks`    | a function that makes a network from its symbol: `tfdisent.networks`  |
| `LOSSES`       | `register_loss`        | a `tfdisent.Loss`: a term of L beyond the paper                       |
| `MEASUREMENTS` | `register_measurement` | a `tfdisent.Measurement` of a trained model: `tfdisent.evaluation`    |
| `EXPORTERS`    | `register_exporter`    | a function that writes a trained model in a format: `tfdisent.serving`|

A registered class or function is registered with gin under the same name, so a config binds its arguments
(`color.threshold = 0.1`), while called from Python it stays what it was.
"""

import difflib
import importlib
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import gin

from tfdisent.errors import ConfigError, RegistryError


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

  def imported(self, description: str | Mapping) -> Callable:
    """The plug-in of a name, or of a description `{"name": …, "module": …}`, whose module is imported if need be.

    Raises:
      RegistryError: the module cannot be imported, or registers no such plug-in.
    """
    if isinstance(description, str):
      return self[description]
    name, module = description["name"], description["module"]
    if name not in self._entries:
      try:
        importlib.import_module(module)
      except ImportError as error:
        raise RegistryError(
          f"the model was trained with the {self.kind} '{name}' of the module '{module}', which cannot be imported "
          f"({error}). Install the package that has it."
        ) from error
    return self[name]

  def create(self, name: str, /, **arguments):
    """Calls the plug-in called `name` with its gin bindings, `arguments` going first.

    With a `name` of "scope/plug-in" those of gin's scope go before the others.
    """
    scope, _, name = name.rpartition("/")
    with gin.config_scope(scope or None):
      return gin.get_configurable(self[name])(**arguments)

  def describe(self, name: str, /, **arguments) -> dict[str, object]:
    """What makes the plug-in again that `create` makes with the same arguments, as plain data of JSON.

    Returns:
      The registered `name`, the `module` that registers it, and all its `arguments`: those given, bound, and defaults.
      A default that is no plain data is left out, since the plug-in itself has it.

    Raises:
      ConfigError: an argument that is given or bound is no plain data; the message names it.
    """
    scope, _, name = name.rpartition("/")
    plugin = self[name]
    with gin.config_scope(scope or None):
      chosen = {**gin.get_bindings(plugin), **arguments}
    for argument, value in chosen.items():
      if not _is_plain(value):
        raise ConfigError(
          f"{name}.{argument} = {value!r} is no plain data: a run keeps the arguments of its {self.kind} as JSON. Bind "
          "numbers, texts, booleans, None, or lists, tuples and dicts of them; register a plug-in for anything else."
        )
    parameters = inspect.signature(plugin).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and _is_plain(p.default)}
    return {"name": name, "module": plugin.__module__, "arguments": {**defaults, **chosen}}

  @property
  def modules(self) -> set[str]:
    """The modules that have registered a plug-in."""
    return {plugin.__module__ for plugin in self._entries.values()}

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


def _is_plain(value) -> bool:
  """Whether JSON gives back what it was given, but for lists in place of tuples."""
  if isinstance(value, dict):
    return all(isinstance(key, str) and _is_plain(of_key) for key, of_key in value.items())
  if isinstance(value, (list, tuple)):
    return all(map(_is_plain, value))
  return value is None or isinstance(value, (bool, int, float, str))


def tuples_for_lists(value):
  """Plain data of JSON with tuples in place of lists: what it was before it was written."""
  if isinstance(value, dict):
    return {key: tuples_for_lists(of_key) for key, of_key in value.items()}
  return tuple(map(tuples_for_lists, value)) if isinstance(value, list) else value


def _where(plugin: Callable) -> str:
  return f"{plugin.__module__}.{plugin.__qualname__}"


FEATURES = Registry("feature", "features")
DATASETS = Registry("data set", "tfdisent.data")
NETWORKS = Registry("family of networks", "tfdisent.networks")
LOSSES = Registry("loss", "tfdisent.model")
MEASUREMENTS = Registry("measurement", "tfdisent.evaluation")
EXPORTERS = Registry("export format", "tfdisent.serving")
REGISTRIES = (FEATURES, DATASETS, NETWORKS, LOSSES, MEASUREMENTS, EXPORTERS)

register_feature = FEATURES.register
register_dataset = DATASETS.register
register_networks = NETWORKS.register
register_loss = LOSSES.register
register_measurement = MEASUREMENTS.register
register_exporter = EXPORTERS.register
