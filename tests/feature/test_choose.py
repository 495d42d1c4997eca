"""From names of columns to a feature."""

import math
import types

import numpy as np
import pytest

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.number import Number
from features.pose import Rotation
from features.rgb import Rgb
from tests.processes import in_fork
from tfdisent.data.dataset import Dataset, Judge
from tfdisent.errors import ConfigError
from tfdisent.feature import choose as module
from tfdisent.feature.choose import choose

COLUMNS = {
  "smile": ("attribute", 0.0),
  "hair": ("category", 0.0),
  "age": ("number", 0.0),
  "skin": ("color", 0.0),
  "azimuth": ("angle", 360.0),
  "a:b": ("number", 0.0),
}


@pytest.fixture
def data(monkeypatch):
  """A data set that knows its columns, of two images a split; and one column of which nothing is known."""
  random_state = np.random.default_rng(0)
  splits = {
    split: {
      "image": random_state.integers(256, size=(2, 4, 4, 3), dtype=np.uint8),
      **{name: np.zeros([2, 3]) if kind == "color" else np.zeros(2) for name, (kind, _) in COLUMNS.items()},
      "other": np.zeros(2),
    }
    for split in ("train", "probe", "validation", "test")
  }
  dataset = Dataset(**splits, name="known")
  columns = {name: types.SimpleNamespace(kind=kind, turn=turn) for name, (kind, turn) in COLUMNS.items()}
  object.__setattr__(dataset, "columns", columns)
  return dataset


@pytest.mark.parametrize(
  ("name", "feature"),
  [
    ("smile", Attribute(("smile",))),
    ("hair", Category("hair", None)),
    ("age", Number(("age",))),
    ("skin", Rgb("skin")),
    ("azimuth", Rotation("azimuth", 360.0)),
    ("azimuth:angle=18", Rotation("azimuth", 18.0)),
    ("age:angle=24", Rotation("age", 24.0)),
    ("azimuth:number", Number(("azimuth",))),
    ("smile:category", Category("smile", None)),
    ("a:b", Number(("a:b",))),
    ("a:b:angle=2", Rotation("a:b", 2.0)),
    ("other:number", Number(("other",))),
    (["age"], Number(("age",))),
    ("color", Color()),  # no column, but a registered feature
  ],
)
def test_one_column_is_the_feature_of_its_kind(data, name, feature):
  assert choose(name, data) == feature
  assert choose(feature, data) is feature


def test_several_columns_are_parts_that_have_their_names(data):
  for names in (["smile", "age", "hair", "skin"], "smile, age,hair:category, skin"):
    f = choose(names, data)
    assert isinstance(f, Composite) and f.part_names == ("smile", "age", "hair", "skin")
    assert f.parts == (Attribute(("smile",)), Number(("age",)), Category("hair", None), Rgb("skin"))
  assert choose(["age", "color"], data).part_names == ("age", "color")


@pytest.mark.parametrize(
  ("names", "words"),
  [
    ("aeg", r"no column 'aeg'\. Did you mean 'age'[?] There are: a:b, age, azimuth, hair, other, skin, smile\."),
    ("aeg:number", "no column 'aeg'. Did you mean 'age'"),
    (",", r"no column '' \(features = ','\)\. There are: "),
    (("age", " x"), r"no column 'x' \(features = \('age', ' x'\)\)\."),
    ("image", "no column 'image'"),
    ("other", "'other' may be of any kind .*'other:number'"),
    ("age:numbre", "column 'age' cannot be of the kind 'numbre': the kinds are attribute"),
    ("age:category", "'age' was read as number, .* not those of category. Give the kind where the data is read"),
    ("hair:number", "'hair' was read as category"),
    ("age:angle", "an angle needs a full turn in its unit, as in 'age:angle=360'"),
    ("age:angle=-1", "a full turn in its unit"),
    ("age:angle=x", "a full turn in its unit"),
    (["age", "age"], "name each feature once"),
    ([], "no feature is named"),
  ],
)
def test_what_is_unknown_or_of_another_kind_is_refused(data, names, words):
  with pytest.raises(ConfigError, match=words):
    choose(names, data)


def test_a_data_set_without_columns_tells_the_kinds_by_its_judges(data):
  object.__setattr__(data, "columns", {})
  judges = (
    Judge("hair", "hair", "classifier"),
    Judge("age", "age", "number"),
    Judge("a", "azimuth", "angle", math.tau),
  )
  object.__setattr__(data, "judges", judges)
  assert choose("hair", data) == Category("hair", None) and choose("age", data) == Number(("age",))
  assert choose("azimuth", data) == Rotation("azimuth", math.tau)
  with pytest.raises(ConfigError, match="'smile' may be of any kind"):
    choose("smile", data)


def test_the_library_imports_a_feature_when_it_is_chosen():
  code = f"import sys, {module.__name__}; print(any(name.split('.')[0] == 'features' for name in sys.modules))"
  assert in_fork(code) == "False\n"
