"""The folder in which trained judges and prepared images are kept."""

import os
import pathlib

from tfdisent.paths import expanded


def cache_folder() -> pathlib.Path:
  """`$TFDISENT_CACHE`, or `~/.cache/tfdisent`; it need not exist yet.

  Raises:
    ConfigError: `$TFDISENT_CACHE` is not set, and there is no home.
  """
  return expanded(os.environ.get("TFDISENT_CACHE") or "~/.cache/tfdisent")
