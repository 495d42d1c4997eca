"""Data sets: their contract, the batches that training draws, and the sets that come with the library.

data = tfdisent.data.from_folder("photos")
print(tfdisent.data.describe(data))
"""

import importlib

_EXPORTS = {
  "from_folder": "sources",
  "from_table": "sources",
  "from_arrays": "arrays",
  "from_dataframe": "sources",
  "from_shards": "shards",
  "from_tfds": "sources",
  "describe": "look",
  "Findings": "look",
  "Column": "columns",
}
__all__ = list(_EXPORTS)


def __getattr__(name):
  """Imports a name when it is used."""
  if name not in _EXPORTS:
    raise AttributeError(f"module 'tfdisent.data' has no attribute '{name}'")
  return getattr(importlib.import_module(f"tfdisent.data.{_EXPORTS[name]}"), name)


def __dir__():
  return sorted([*globals(), *__all__])
