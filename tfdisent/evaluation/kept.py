"""Weights of the networks that the evaluation trains, in the cache, under a hash of all that they depend on."""

import hashlib
import json
import os
import pathlib
import tempfile
from collections.abc import Callable, Mapping

import keras
import numpy as np
from absl import logging

from tfdisent.cache import MAKING, cache_folder, make_room, used
from tfdisent.console import say
from tfdisent.data import dataset
from tfdisent.data.dataset import Examples, fingerprint
from tfdisent.run import writing

ADVICE = "Make room; TFDISENT_CACHE names another folder."

CHECKSUM = b"\nsha256 "
"""What stands between the weights in a file and their SHA-256."""


def keep(
  network: keras.Model, name: str, fit: Callable[[], None], what: str, learned: Examples, recipe: Mapping
) -> None:
  """Loads the weights of a network from the cache. If the cache does not hold them, fits the network and keeps them.

  The file's name has a hash of all that the weights depend on, so that a network that learned from wrong labels, or by
  another recipe, is no longer used after these are corrected.

  Args:
    network: a network that is built; its weights are set.
    name: the first part of the file's name.
    fit: trains the network.
    what: what is trained, for the line that announces it.
    learned: the columns that the network learns from.
    recipe: how the network learns them, as data of JSON.
  """
  cache = cache_folder()
  depends_on = {
    "network": [network.get_config(), [list(weight.shape) for weight in network.weights]],
    "data": fingerprint(learned),
    "file": _unread(learned["image"]),
    "recipe": recipe,
    "keras": keras.__version__,
  }
  depends_on = json.loads(json.dumps(depends_on), object_hook=_without_name)
  key = hashlib.sha256(json.dumps(depends_on, sort_keys=True).encode()).hexdigest()[:16]
  file = cache / f"{name}-{key}.weights.h5"
  if file.is_file():
    initial = network.get_weights()
    try:
      _check_whole(file)
      network.load_weights(file)
      used(file)
      return
    except Exception as error:  # Keras and h5py raise many types
      logging.warning("%s cannot be read (%s); it is made again.", file, error)
      network.set_weights(initial)  # some may have been read
  say(f"Training {what}; it is kept in {cache}.")
  with writing(str(cache), ADVICE):  # before the training, which takes minutes
    cache.mkdir(parents=True, exist_ok=True)
  fit()
  # It is renamed when it is whole, since another process may write it, too.
  with writing(f"what was learned of {what}", ADVICE), tempfile.TemporaryDirectory(dir=cache, prefix=MAKING) as folder:
    made = pathlib.Path(folder) / file.name
    network.save_weights(made)
    digest = hashlib.sha256(made.read_bytes()).hexdigest()
    with made.open("ab") as opened:
      opened.write(CHECKSUM + digest.encode())  # HDF5 does not read what follows its own end
    os.replace(made, file)
  make_room(file)


def _check_whole(file: pathlib.Path) -> None:
  """Raises `ValueError` if a file of weights is not the one that was written."""
  content, mark, digest = file.read_bytes().rpartition(CHECKSUM)
  if mark and hashlib.sha256(content).hexdigest().encode() != digest:
    raise ValueError("its checksum is wrong")


def _unread(image: np.ndarray) -> list | str | None:
  """What tells the images that `fingerprint` does not read: of a large file or array it reads only a part."""
  if getattr(image, "filename", None):
    of_file = os.stat(image.filename)
    return [of_file.st_size, of_file.st_mtime_ns]
  return hashlib.sha256(np.ascontiguousarray(image)).hexdigest() if image.nbytes > dataset.FINGERPRINT_BYTES else None


def _without_name(config: dict) -> dict:
  """A part of a Keras config without its name: Keras numbers objects in the order in which the process makes them.

  The name of a type, {"name": "float32"}, stays.
  """
  return config if len(config) == 1 else {key: value for key, value in config.items() if key != "name"}
