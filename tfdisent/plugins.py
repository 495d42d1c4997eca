"""Which modules a run folder may import. A folder may come from anybody, and importing a module runs its code."""

import importlib.metadata
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tfdisent.errors import ConfigError
from tfdisent.registry import REGISTRIES

GROUP = "tfdisent.plugins"
"""The group of entry points by which an installed package says that it has plug-ins, in its pyproject.toml:

    [project.entry-points."tfdisent.plugins"]
    my_package = "my_package"
"""


def check_import(module: str, what: str, trusted: Sequence[str] = ()) -> None:
  """Raises `ConfigError` unless `module` may be imported; the message says that `what` imports it.

  A module may be imported if it belongs to this project, has registered a plug-in in this process, or belongs to a
  package that is installed with an entry point of `GROUP` or is one of `trusted`. A module that was imported for
  another purpose may not.
  """
  package = module.split(".", maxsplit=1)[0]
  if package in {*_known_packages(), *trusted} or any(module in registry.modules for registry in REGISTRIES):
    return
  raise ConfigError(
    f"{what} imports the module '{module}', which runs its code, and the package '{package}' does not say that it has "
    f"plug-ins (an entry point '{GROUP}'). If you trust it, pass --trust={package} (from Python, trust=['{package}'], "
    "or import the module before)."
  )


def to_be_trusted(imports: Iterable[str]) -> list[str]:
  """The packages, of those of `imports`, that another process must be told to trust."""
  return sorted({module.split(".", maxsplit=1)[0] for module in imports} - _known_packages())


def check_model(config: Mapping, what: str, trusted: Sequence[str] = ()) -> None:
  """Raises `ConfigError` if the description of a model names a module that may not be imported, wherever in it."""
  for module in modules(config):
    check_import(module, what, trusted)


def modules(config) -> Iterator[str]:
  """The values of "module" in plain data, at every depth."""
  if isinstance(config, Mapping):
    yield from [str(config["module"])] if "module" in config else []
    config = list(config.values())
  if isinstance(config, list):
    for value in config:
      yield from modules(value)


def _known_packages() -> set[str]:
  entries = importlib.metadata.entry_points(group=GROUP)
  return {"tfdisent", "features", *(entry.value.split(":")[0].split(".")[0] for entry in entries)}
