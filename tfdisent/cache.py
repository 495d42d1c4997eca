"""The folder in which trained judges and prepared images are kept."""

import os
import pathlib


def cache_folder() -> pathlib.Path:
  """`$TFDISENT_CACHE`, or `~/.cache/tfdisent`; it need not exist yet."""
  return pathlib.Path(os.environ.get("TFDISENT_CACHE", pathlib.Path.home() / ".cache" / "tfdisent"))
