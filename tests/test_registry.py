"""The registry: hits, misses and duplicates."""

import types

import gin
import pytest

import tfdisent.data.color_mnist  # noqa: F401  (registers)
from features.digit_label import DigitLabel
from tfdisent.config import GinBinder
from tfdisent.errors import ConfigError, RegistryError
from tfdisent.registry import DATASETS, FEATURES, NETWORKS, REGISTRIES, Registry


def test_a_plugin_is_found_by_its_name():
  assert FEATURES["digit_label"] is DigitLabel
  assert "color_mnist" in DATASETS


def test_a_miss_lists_the_known_names_and_the_import():
  with pytest.raises(RegistryError) as error:
    FEATURES["digit_lable"]
  for words in ("digit_lable", "Did you mean 'digit_label'", "Registered: ", "import features.digit_lable"):
    assert words in str(error.value)


SHIPPED = Registry("thing", "shipped_with_test_registry")


def test_a_plugin_of_the_project_is_imported_by_its_name_alone(tmp_path, monkeypatch):
  (tmp_path / SHIPPED.package).mkdir()
  (tmp_path / SHIPPED.package / "__init__.py").touch()
  code = f"from {__name__} import SHIPPED\nSHIPPED.register('a_shipped_thing')(dict)"
  (tmp_path / SHIPPED.package / "another_name.py").write_text(code)
  monkeypatch.syspath_prepend(tmp_path)
  assert "a_shipped_thing" not in SHIPPED and not SHIPPED.find("nothing")
  assert SHIPPED.find("a_shipped_thing") and SHIPPED.imported("a_shipped_thing") is dict
  with pytest.raises(RegistryError, match="Registered: a_shipped_thing"):
    SHIPPED.imported("nothing")


def test_a_duplicate_names_both():
  registry = Registry("feature", "features")

  @registry.register("a_thing_of_this_test")
  def first():
    pass

  def second():
    pass

  with pytest.raises(RegistryError, match=r"registered twice: by .*first and by .*second"):
    registry.register("a_thing_of_this_test")(second)


def test_gin_binds_what_a_config_creates_and_not_what_python_calls():
  registry = Registry("feature", "features")
  registry.bind_with(GinBinder())

  @registry.register("bindable_thing_of_this_test")
  def thing(size=1):
    return size

  gin.clear_config()
  gin.parse_config("bindable_thing_of_this_test.size = 5")
  try:
    assert registry.create("bindable_thing_of_this_test") == 5
    assert registry.create("bindable_thing_of_this_test", size=7) == 7
    assert thing() == 1
  finally:
    gin.clear_config()


def test_without_a_binder_a_plugin_is_called_as_it_is():
  registry = Registry("feature", "features")
  registry.register("plain_thing_of_this_test")(lambda size=1, color=2: (size, color))
  assert registry.create("plain_thing_of_this_test") == (1, 2)
  assert registry.create("scope/plain_thing_of_this_test", size=5) == (5, 2)
  assert registry.describe("plain_thing_of_this_test", size=5)["arguments"] == {"size": 5, "color": 2}


def test_a_binder_gets_what_is_registered_before_it_and_what_comes_after():
  registry, added = Registry("feature", "features"), []
  first, second = lambda: 1, lambda: 2
  registry.register("first")(first)
  registry.bind_with(types.SimpleNamespace(add=lambda *arguments: added.append(arguments)))
  registry.register("second")(second)
  assert added == [("first", first), ("second", second)]


def test_gin_binds_every_kind_but_networks():
  assert [registry for registry in REGISTRIES if not isinstance(registry._binder, GinBinder)] == [NETWORKS]


def test_a_scope_of_gin_goes_before_what_has_none():
  registry = Registry("feature", "features")
  registry.bind_with(GinBinder())
  registry.register("scoped_thing_of_this_test")(lambda size=1, color=2: (size, color))
  gin.clear_config()
  gin.parse_config("scoped_thing_of_this_test.size = 5\nhat/scoped_thing_of_this_test.size = 6")
  try:
    assert registry.create("scoped_thing_of_this_test") == (5, 2)
    assert registry.create("hat/scoped_thing_of_this_test", color=3) == (6, 3)
  finally:
    gin.clear_config()


def test_temporary_forgets():
  registry = Registry("feature", "features")
  with registry.temporary():
    registry.register("passing_thing_of_this_test")(lambda: None)
    assert list(registry) == ["passing_thing_of_this_test"]
  assert list(registry) == []


@pytest.fixture
def bound():
  """A registry with a plug-in, and a function that binds its arguments."""
  registry = Registry("feature", "features")
  registry.bind_with(GinBinder())
  with gin.unlock_config():
    gin.clear_config()
  yield registry, gin.parse_config
  gin.clear_config()


def test_a_plugin_is_described_by_its_defaults_its_bindings_and_what_is_given(bound):
  registry, bind = bound

  @registry.register("describable_thing_of_this_test")
  def thing(size, colors=(1, 2), seed=0, data_dir=None, draw=len):
    raise AssertionError("it is described, and not made")

  bind("describable_thing_of_this_test.seed = 5\nscope/describable_thing_of_this_test.size = {'a': (1.5, True, 'x')}")
  described = registry.describe("scope/describable_thing_of_this_test", data_dir="/here")
  arguments = {"size": {"a": (1.5, True, "x")}, "colors": (1, 2), "seed": 5, "data_dir": "/here"}
  assert described == {"name": "describable_thing_of_this_test", "module": __name__, "arguments": arguments}
  assert registry.describe("describable_thing_of_this_test", seed=6)["arguments"] == {
    "colors": (1, 2),
    "seed": 6,
    "data_dir": None,
  }
  assert registry.modules == {__name__}
  with pytest.raises(RegistryError, match="unknown feature 'nothing'"):
    registry.describe("nothing")


@pytest.mark.parametrize("value", [len, (1, len), {"a": [len]}, {1: 2}, {1, 2}, b"x"])
def test_what_is_no_plain_data_is_named(value):
  registry = Registry("feature", "features")
  registry._entries["thing"] = DigitLabel
  with pytest.raises(ConfigError, match=r"thing\.size = .* is no plain data, and a run keeps the arguments as JSON"):
    registry.describe("thing", size=value)
