"""The pictures of `--mode=sample`, by their names."""

import pathlib
from collections.abc import Sequence

from tfdisent import run
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, FeatureError, shown
from tfdisent.examples import load_feature_examples
from tfdisent.feature.contract import Feature
from tfdisent.feature.naming import unknown
from tfdisent.inference import TrainedModel
from tfdisent.pictures import sources, strips
from tfdisent.pictures.grids import SIDE, fusion_grid, sample_grid
from tfdisent.pictures.words import file_name, names_of, run_words

WHAT = {
  "samples": "new images: a row has a z1 from its prior, a column its feature",
  "swap": "images, a donor beside each, and what each feature of the donor makes of the image",
  "strip": "one image, and a line for each feature, which alone goes through its classes or its range",
  "grid": "images, and each of them with the features of each other one",
  "morph": "images in which one feature moves slowly, as an animated PNG",
}
"""What can be drawn."""
SWAPS, MORPHED, MOST_PARTS = 4, 4, 6
"""Lines of a swap, images of a morph, and features of a swap or a strip where none are named."""


def check_what(what: str) -> None:
  """Raises `ConfigError` if there is nothing called so, before a model is loaded for it."""
  if what not in WHAT:
    raise ConfigError(f"what = {shown(what)} cannot be drawn. {unknown(what, WHAT)}")


def write_sample(
  run_dir: pathlib.Path,
  trained: TrainedModel,
  what: str = "samples",
  features: Sequence[str] = (),
  seed: int = 0,
  data_dir: str | None = None,
  trust: Sequence[str] = (),
  dataset: Dataset | None = None,
) -> tuple[pathlib.Path, str]:
  """Draws a picture into a run folder.

  Args:
    run_dir: the run folder.
    trained: its model.
    what: one of `WHAT`.
    features: the names of the features that change; () for all, of a morph the first.
    seed: of z1 and of the choice of images.
    data_dir, trust, dataset: see `sources.find`.

  Returns:
    The path of the picture, and a line that says what it shows.

  Raises:
    ConfigError: there is nothing called `what`, or it does not take `features`.
    FeatureError: a name is none of a feature.
    RunError: there are no images, or the picture cannot be written.
  """
  check_what(what)
  parts = _parts(trained.feature, features)
  if what == "samples":
    if features:
      raise ConfigError("samples show all features: name one with what = 'swap', 'strip', 'grid' or 'morph'.")
    picture = sample_grid(trained, load_feature_examples(run_dir), seed=seed)
    line = "Rows share a z1 from the prior, columns share z2"
  else:
    found = sources.find(run_dir, trained, seed, data_dir, trust, dataset)
    picture = _drawn(what, trained, found, parts, bool(features))
    line = f"{what.capitalize()} of {found.words}"
  title = run_words(run_dir.absolute().name, trained.checkpoint)
  path = run_dir / file_name(what, *features)
  run.write(path, picture.titled(title).png())
  return path, f"{line}: {path}"


def _drawn(what, trained, found, parts, is_named):
  """The sheet or the animation."""
  few = parts if is_named else parts[:MOST_PARTS]
  if what == "swap":
    first, others = slice(SWAPS), sources.donors(found.f)[:SWAPS]
    return strips.swap(trained, found.image[first], found.image[others], found.f[first], found.f[others], few)
  if what == "strip":
    return strips.strip(trained, found.image[0], found.f[0], found.known, few)
  if what == "grid":
    x, f = found.image[:SIDE], found.f[:SIDE]
    return fusion_grid(trained, x, x, f, f, parts if is_named else None)
  if is_named and len(parts) > 1:
    raise ConfigError(f"a morph moves one feature, and {len(parts)} are named: name one of them.")
  return strips.morph(trained, found.image[:MORPHED], found.f[:MORPHED], found.known, parts[0])


def _parts(feature: Feature, names: Sequence[str]) -> list[int]:
  """The indices of the parts of these names; () names all."""
  known = [*feature.part_names, *names_of(feature)]
  if wrong := next((name for name in names if name not in known), None):
    raise FeatureError(f"the feature has no part {shown(wrong)}. {unknown(wrong, dict.fromkeys(known))}")
  count = len(feature.parts)
  return list(dict.fromkeys(known.index(name) % count for name in names)) or list(range(count))
