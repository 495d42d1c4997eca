"""From a folder of images to a configuration: what it holds, what can be controlled, and by which recipe.

    name, lines = source("photos", ("age:number",))
    plan = make(dataset, name, ("smile", "age"))
    print(plan)

The command line does so where no gin file is given. Both give lines of a configuration, which a user may overrule.
"""

import dataclasses
from collections.abc import Mapping, Sequence

from tfdisent.data.archives import shards_in
from tfdisent.data.columns import parse
from tfdisent.data.dataset import Dataset
from tfdisent.data.folders import classes_in, root_folder
from tfdisent.data.look import TELLING, association, describe
from tfdisent.data.tables import tables_in
from tfdisent.errors import ConfigError
from tfdisent.feature.choose import KINDS, choose
from tfdisent.feature.contract import Feature
from tfdisent.presets import AUTO, Preset, preset

OF_FEATURES = tuple(f"import {module}" for module in sorted({"features.composite", *(of for of, _ in KINDS.values())}))
"""The lines by which a configuration may bind arguments of any feature, before it is known which are used."""
WITH_COLUMNS = ("table", "shards")
"""Data sets with several columns, whose kinds can be forced."""
OF_TFDS = ("dataset_info.json", "features.json")
"""Files beside TFDS's shards."""
USUAL_LABELS = ("label", "class", "category", "target", "y")
"""Columns that are meant where none is named."""
MOST_KEPT = 12
"""Other properties that are judged without being asked for. One network reads all: more of them cost hardly more."""


@dataclasses.dataclass(frozen=True)
class Plan:
  """What would be trained; `str` of it is for people.

  Attributes:
    dataset: what was found.
    feature: what is to be controlled.
    preset: the recipe.
    bindings: lines of a configuration.
    reasons: why a choice was made, by the name of its binding.
  """

  dataset: Dataset
  feature: Feature
  preset: Preset
  bindings: tuple[str, ...]
  reasons: Mapping[str, str]

  def __str__(self):
    alone = self.feature.column or self.feature.name
    parts = ", ".join(self.feature.part_names if len(self.feature.parts) > 1 else [alone])
    recipe = f"Recipe '{self.preset.name}', for {self.preset.why}"
    return f"{describe(self.dataset)}\nTo be controlled: {parts}. {recipe}."


def source(data_dir: str, features: Sequence[str] = ()) -> tuple[str, list[str]]:
  """The registered name of the data set of a folder, and the lines of a configuration that choose it.

  It is "table" where there is a table beside the images, "shards" where there are shards and no images in folders, and
  else "folder", a folder for each class.

  Args:
    data_dir: the folder.
    features: names of columns, some with a kind that is to be forced: "age:category".

  Raises:
    ConfigError: a kind is unknown.
    DataError: there is no such folder.
  """
  root = root_folder(data_dir, "tfdisent")
  forced = tuple(word for word in features if parse(word).kind)
  tables = [path for path in tables_in(root) if path.name not in OF_TFDS]
  name = "table" if tables else "shards" if shards_in(root) and not classes_in(root) else "folder"
  module = "shards" if name == "shards" else "sources"
  lines = [f"import tfdisent.data.{module}", f"train.dataset = {name!r}", f"train.data_dir = {str(root.absolute())!r}"]
  return name, [*lines, f"{name}.kinds = {forced!r}"] if name in WITH_COLUMNS and forced else lines


def make(dataset: Dataset, source_name: str, features: Sequence[str] = (), name: str = AUTO) -> Plan:
  """What to train on a data set of `source`.

  Args:
    dataset: the data set.
    source_name: its registered name, "table", "shards" or "folder".
    features: names of columns that shall be controlled; none for the class of each image.
    name: of the recipe: see `tfdisent.presets.preset`.

  Raises:
    ConfigError: a name is unknown, or it must be said what is to be controlled.
  """
  features = tuple(features) or _usual(dataset)
  chosen = choose(features, dataset).of_dataset(dataset)
  recipe = preset(name, dataset, chosen)
  columns = [parse(word).name for word in features]
  kinds = {dataset.columns[column].kind for column in columns if column in dataset.columns}
  kinds |= {asked.kind for asked in map(parse, features) if asked.kind}
  modules = sorted({KINDS[kind][0] for kind in kinds} | ({"features.composite"} if len(features) > 1 else set()))
  height, width, channels = dataset.image_shape
  found = {
    f"{source_name}.size": height if height == width else (height, width),
    f"{source_name}.channels": channels,
    **({f"{source_name}.judged": (*columns, *_kept(dataset, columns))} if source_name in WITH_COLUMNS else {}),
    "train.feature": features[0] if len(features) == 1 and features[0] in dataset.columns else features,
  }
  groups = ("model", "objective", "optimizer", "optimizer_d", "composite")
  of_recipe = {f"{group}.{key}": value for group in groups for key, value in getattr(recipe, group).items()}
  of_recipe |= {f"train.{key}": value for key, value in recipe.training.items()}
  reasons = {
    f"{source_name}.size": "the nearest of the usual sizes that most files have",
    f"{source_name}.channels": "1 is grey, 3 is RGB",
    f"{source_name}.judged": "read by an independent network: what is controlled, and what must be kept",
    "train.feature": "columns that are controlled; 'age:category' and 'azimuth:angle=360' force a kind",
    **recipe.reasons,
  }
  lines = [f"import {module}" for module in modules]
  lines += [f"{name} = {value!r}" for name, value in (found | of_recipe).items()]
  return Plan(dataset, recipe.weighted(chosen), recipe, tuple(lines), reasons)


def _usual(dataset: Dataset) -> tuple[str]:
  """The one column that is meant where none is named."""
  named = [column for column in dataset.columns if column.lower() in USUAL_LABELS]
  columns = named[:1] or list(dataset.columns)
  if len(columns) == 1:
    return (columns[0],)
  found = ", ".join(dataset.columns) or "none of a known kind"
  raise ConfigError(f"say what shall be controlled, as in --feature={next(iter(dataset.columns), 'label')}: {found}.")


def _kept(dataset: Dataset, asked: Sequence[str]) -> list[str]:
  """Other columns that tell nothing of those asked for, nor of one another, at most `MOST_KEPT`."""
  chosen, kept, train = [name for name in asked if name in dataset.columns], [], dataset.train
  for name, column in dataset.columns.items():
    tells = lambda other: association(column, train[name], dataset.columns[other], train[other])[0]  # noqa: B023, E731
    if len(kept) < MOST_KEPT and name not in chosen and not any(tells(other) >= TELLING for other in chosen + kept):
      kept.append(name)
  return kept


def annotated(config: str, title: str, reasons: Mapping[str, str]) -> str:
  """The text of a configuration under a title, with the reason above each line that has one."""
  lines = [f"# {line}" for line in title.splitlines()]
  for line in config.splitlines():
    if reason := reasons.get(line.partition(" = ")[0]):
      lines.append(f"# {reason[0].upper()}{reason[1:]}.")
    lines.append(line)
  return "\n".join(lines) + "\n"
