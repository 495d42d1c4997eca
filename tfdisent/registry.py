"""Registries that map a name to a plug-in, one for each kind of them.

| registry       | decorator              | a plug-in is                                                          |
|----------------|------------------------|-----------------------------------------------------------------------|
| `FEATURES`     | `register_feature`     | a `tfdisent.Feature`: f(x)                                            |
| `DATASETS`     | `register_dataset`     | a function that returns a `tfdisent.Dataset`                          |
| `NETWORKS`     | `register_networks`    | a function that makes a network from its symbol: `tfdisent.networks`  |
| `LOSSES`       | `register_loss`        | a `tfdisent.Loss`: a term of L beyond the paper                       |
| `MEASUREMENTS` | `register_measurement` | a `tfdisent.Measurement` of a trained model: `tfdisent.evaluation`    |
| `EXPORTERS`    | `register_exporter`    | a function that writes a trained model in a format: `tfdisent.serving`|

What is registered stays the class or function that it was, and takes only the values that its annotations allow: see
`tfdisent.arguments`. Once `tfdisent.config` is imported, a configuration binds
the arguments of what is called by its name (`rotation.turn = 360.0`); networks take theirs from the model's.
"""

import difflib
import importlib
import inspect
import pkgutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Protocol, TypeVar

from tfdisent.arguments import checked
from tfdisent.errors import ConfigError, RegistryError, TfdisentError, shown
from tfdisent.moved import new_name

Plugin = TypeVar("Plugin", bound=Callable)


class Binder(Protocol):
  """Gives plug-ins the arguments that a configuration binds to their names."""

  def add(self, name: str, plugin: Callable) -> None:
    """Lets a configuration bind arguments of `plugin` as `name.argument`."""

  def bindings(self, scope: str, plugin: Callable) -> dict[str, object]:
    """The arguments that are bound to `plugin`; those of `scope` replace the others."""

  def call(self, scope: str, plugin: Callable, arguments: Mapping[str, object]) -> object:
    """Calls `plugin` with its `bindings`, which `arguments` replace."""


class Registry:
  """Names to plug-ins, with a clear miss and a clear duplicate.

  Args:
    kind: what the plug-ins are, for messages ("feature").
    package: where the plug-ins of this project live, to suggest the missing `import` ("features").
    checks: whether calls of the plug-ins are checked by their annotations.
  """

  def __init__(self, kind: str, package: str, checks: bool = True):
    self.kind = kind
    self.package = package
    self._checks = checks
    self._entries: dict[str, Callable] = {}
    self._binder: Binder | None = None

  def bind_with(self, binder: Binder) -> None:
    """Lets `binder` give arguments to the plug-ins that are registered now and later."""
    self._binder = binder
    for name, plugin in self._entries.items():
      binder.add(name, plugin)

  def register(self, name: str) -> Callable[[Plugin], Plugin]:
    """Decorator that registers a class or factory under `name`.

        @tfdisent.register_feature("brightness")
        class Brightness(tfdisent.Feature): ...

    Raises:
      RegistryError: the name is taken.
    """

    def decorate(plugin: Plugin) -> Plugin:
      other = self._entries.get(name)
      if other is not None:
        raise RegistryError(
          f"{self.kind} '{name}' is registered twice: by {_where(other)} and by {_where(plugin)}. "
          "Give one of them another name."
        )
      plugin = checked(name)(plugin) if self._checks else plugin
      if self._binder:
        self._binder.add(name, plugin)
      self._entries[name] = plugin
      return plugin

    return decorate

  def __getitem__(self, name: str) -> Callable:
    """The plug-in called `name`; raises `RegistryError` that lists the known names on a miss."""
    if name in self._entries:
      return self._entries[name]
    raise RegistryError(
      f"unknown {self.kind} '{name}'. "
      + did_you_mean(name, self._entries)
      + f"Registered: {', '.join(sorted(self._entries)) or 'none'}. "
      + f"A plug-in registers when it is imported: is `import {self.package}.{name}` missing "
      + "from the gin file (or from your code)?"
    )

  def imported(
    self,
    description: str | Mapping,
    who: str = "the model was trained with",
    error: type[TfdisentError] = RegistryError,
  ) -> Callable:
    """The plug-in of a name, or of a description `{"name": …, "module": …}`, whose module is imported if need be.

    Args:
      description: the module may have the name that it had in version 0.1. A name alone is looked for: see `find`.
      who: names the plug-in, for the message.
      error: is raised if the module cannot be imported.

    Raises:
      RegistryError: the module registers no such plug-in; or it cannot be imported, unless `error` is another one.
    """
    if isinstance(description, str):
      self.find(description)
      return self[description]
    if not (
      isinstance(description, Mapping) and all(isinstance(description.get(key), str) for key in ("name", "module"))
    ):
      raise error(f"a {self.kind} is a name, or {{'name': …, 'module': …}}, and not {shown(description)}.")
    name, module = description["name"], new_name(description["module"])
    if name not in self._entries:
      try:
        importlib.import_module(module)
      except ImportError as cause:
        raise error(
          f"{who} the {self.kind} '{name}' of the module '{module}', which cannot be imported ({cause}). Install the "
          "package that has it."
        ) from cause
    return self[name]

  def find(self, name: str) -> bool:
    """Whether there is a plug-in called `name`; those of this project are imported where none is registered yet."""
    if name not in self._entries:
      package = importlib.import_module(self.package)
      for module in pkgutil.iter_modules(package.__path__, f"{self.package}."):
        importlib.import_module(module.name)
    return name in self._entries

  def _scoped(self, name: str) -> tuple[str, str, Callable]:
    """The scope, the name and the plug-in of "scope/name"; the scope is "" where there is none."""
    scope, _, last = name.rpartition("/")
    return scope, last, self[last or name]

  def create(self, name: str, /, **arguments):
    """Calls the plug-in called `name` with its bindings, which `arguments` replace.

    With a `name` of "scope/plug-in" the bindings of this scope of gin replace those without a scope.
    """
    scope, name, plugin = self._scoped(name)
    return self._binder.call(scope, plugin, arguments) if self._binder else plugin(**arguments)

  def describe(self, name: str, /, **arguments) -> dict[str, object]:
    """Plain data, as JSON has it, from which `create` can be repeated without a configuration.

    Returns:
      The registered `name`, the `module` that registers it, and all its `arguments`: those given, those bound, and the
      defaults. A default that is no plain data is left out: the plug-in itself has it.

    Raises:
      ConfigError: an argument that is given or bound is no plain data; the message names it.
    """
    scope, name, plugin = self._scoped(name)
    chosen = {**(self._binder.bindings(scope, plugin) if self._binder else {}), **arguments}
    for argument, value in chosen.items():
      if not _is_plain(value):
        raise ConfigError(
          f"{name}.{argument} = {shown(value)} is no plain data, and a run keeps the arguments as JSON. Bind "
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
    """Forgets on exit what was registered inside; for tests. A binder keeps its own entry, so use a fresh name."""
    before = dict(self._entries)
    try:
      yield self
    finally:
      self._entries = before


def did_you_mean(name: object, known: Iterable[str]) -> str:
  """A question for an error, "Did you mean 'blond'? ", if a known name is close to `name`; else nothing."""
  close = difflib.get_close_matches(str(name), map(str, known), n=1)
  return f"Did you mean '{close[0]}'? " if close else ""


def _is_plain(value) -> bool:
  """Whether a value is the same after it was written as JSON and read, except that tuples become lists."""
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
NETWORKS = Registry("family of networks", "tfdisent.networks", checks=False)  # `networks.make` checks what a user gave
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
