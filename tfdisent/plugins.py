"""Which modules a run folder may import. It may come from anybody, and to import a module is to run its code."""

import importlib.metadata
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

from gin import config_parser

from tfdisent.errors import ConfigError

GROUP = "tfdisent.plugins"
"""The entry points by which an installed package says that it has plug-ins, in its pyproject.toml:

    [project.entry-points."tfdisent.plugins"]
    my_package = "my_package"
"""


class _Nothing(config_parser.ParserDelegate):
  """Makes nothing of what a config refers to: only its imports are looked at."""

  def configurable_reference(self, scoped_configurable_name, evaluate):
    return None

  def macro(self, scoped_name):
    return None


def check_import(module: str, what: str, trusted: Sequence[str] = ()) -> None:
  """Raises `ConfigError`, naming `what` asks for it, unless `module` may be imported.

  It may, if it is ours, imported already, of a package that is installed with an entry point of `GROUP`, or of one of
  the packages `trusted`.
  """
  package = module.split(".", maxsplit=1)[0]
  if package in {*_known_packages(), *trusted} or module in sys.modules:
    return
  raise ConfigError(
    f"{what} imports the module '{module}', which runs its code, and the package '{package}' does not say that it has "
    f"plug-ins (an entry point '{GROUP}'). If you trust it, pass --trust={package} (from Python, trust=['{package}'])."
  )


def to_be_trusted(file: pathlib.Path) -> list[str]:
  """The packages that the gin file of a run imports, and that another process would ask about."""
  imports = [
    statement.module for statement in _statements(file) if isinstance(statement, config_parser.ImportStatement)
  ]
  return sorted({module.split(".", maxsplit=1)[0] for module in imports} - _known_packages())


def _known_packages() -> set[str]:
  entries = importlib.metadata.entry_points(group=GROUP)
  return {"tfdisent", "features", *(entry.value.split(":")[0].split(".")[0] for entry in entries)}


def _statements(file: pathlib.Path) -> config_parser.ConfigParser:
  return config_parser.ConfigParser(file.read_text(encoding="utf-8"), _Nothing())


def check_config(file: pathlib.Path, trusted: Sequence[str] = ()) -> None:
  """Raises `ConfigError` if the gin file of a run folder imports what it may not, or includes another file."""
  try:
    for statement in _statements(file):
      if isinstance(statement, config_parser.ImportStatement):
        check_import(statement.module, str(file), trusted)
      if isinstance(statement, config_parser.IncludeStatement):
        raise ConfigError(f"{file} includes {statement.filename}: the configuration of a run includes no other.")
  except (OSError, SyntaxError, ValueError) as error:
    if isinstance(error, ConfigError):
      raise
    raise ConfigError(f"the configuration {file} cannot be read: {' '.join(str(error).split())}") from error


def check_model(config: Mapping, what: str, trusted: Sequence[str] = ()) -> None:
  """Raises `ConfigError` if the description of a model asks for a plug-in that may not be imported."""
  for module in _modules(config.get("feature")):
    check_import(str(module), what, trusted)


def _modules(config) -> Iterator[str]:
  """Of a feature's configuration, and of its parts'."""
  if isinstance(config, Mapping):
    yield from [config["module"]] if "module" in config else []
    config = list(config.values())
  if isinstance(config, list):
    for value in config:
      yield from _modules(value)
