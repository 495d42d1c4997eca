"""What annotations allow: every kind, from values that are right, nearly right, and wrong."""

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import gin
import numpy as np
import pytest
from numpy.typing import ArrayLike

from tests.conftest import in_new_process
from tfdisent.arguments import check, checked, checked_methods
from tfdisent.config import GinBinder
from tfdisent.errors import ConfigError
from tfdisent.registry import Registry

UNEQUAL = [np.zeros([2, 2]), np.zeros([3, 2])]


@pytest.mark.parametrize(
  ("hint", "right", "wrong"),
  [
    (int, [0, -3, np.int64(3), 2**63 - 1], [3.0, "3", None, True, np.True_, (3,), 2**63, 1j, b"3"]),
    (float, [0, 0.5, np.float32(1), -1e300], ["0.5", None, True, float("nan"), float("inf"), 10**400, (0.5,)]),
    (bool, [True, False, 0, 1, np.True_], ["yes", None, 2, 0.5, ()]),
    (str, ["", "é", pathlib.Path("a"), "\udce9"], [3, None, b"a", "a\0b", "\ud800", ("a",)]),
    (pathlib.Path, [pathlib.Path("a"), "a"], [3, None, pathlib.Path("a\0b")]),
    (str | None, ["a", None], [3, ("a",)]),
    (int | tuple[int, int], [3, (3, 4), [3, 4]], [3.0, (3,), (3, 4, 5), "34", None, (3.0, 4)]),
    (Sequence[str], [(), ("a",), ["a", "b"]], ["a", None, ("a", 3), {"a": 3}, {"a"}, b"a"]),
    (Sequence[float], [(1, 0.5), np.ones(3)], [np.ones([]), np.ones([2, 2]), ("1",), 3.0]),
    (tuple[float, float], [(0, 1), [0.5, 1.0], np.zeros(2)], [(0,), 0.5, ("0", "1")]),
    (tuple[int, ...], [(), (1, 2, 3)], [(1, 0.5), 1]),
    (Mapping[str, float], [{}, {"a": 360}], [("a",), {"a": "360"}, {1: 2}, None]),
    (Mapping, [{}, {1: None}], [(), "a"]),
    (dict[str, Sequence[str]], [{"a": ("b",)}], [{"a": "b"}]),
    (Literal["a", 1], ["a", 1], ["b", True, 1.0]),
    (Callable[[int], int], [len, int], ["len", None]),
    (ArrayLike | Mapping[str, ArrayLike], [3, "a", [[1], [2]], {"a": [1]}, np.zeros(2)], [UNEQUAL]),
    (np.ndarray, [np.zeros(2), [[1, 2]], 3, "a"], [UNEQUAL]),
    (ArrayLike, [np.zeros(2), [[1, 2]], 3, "a"], [UNEQUAL]),
    (Registry, [Registry("a", "b")], [Registry, "feature", None]),
    (Any, [None, object()], []),
    (Sequence, [(), [None]], ["a", None]),
  ],
)
def test_values_that_fit_are_taken_and_others_are_named(hint, right, wrong):
  def function(value):
    pass

  function.__annotations__["value"] = hint
  for value in right:
    check(function, "it", {"value": value})
  for value in wrong:
    with pytest.raises(ConfigError, match=r"^it\.value = .* must be ") as error:
      check(function, "it", {"value": value})
    assert "\n" not in str(error.value) and len(str(error.value)) < 300


@checked("thing")
def thing(size: int | tuple[int, int] = 32, names: Sequence[str] = (), seed: int = 0, free=None, **others: int) -> str:
  """Says."""
  return f"{size!r} {names} {seed} {free} {others}"


@pytest.mark.parametrize(
  ("arguments", "message"),
  [
    ({"names": "label"}, "thing.names = 'label' must be a tuple of texts: did you mean ('label',)?"),
    ({"size": 32.0}, "thing.size = 32.0 must be a whole number or a tuple of 2 whole numbers: did you mean 32?"),
    ({"size": "32"}, "thing.size = '32' must be a whole number or a tuple of 2 whole numbers: did you mean 32?"),
    ({"size": (32,)}, "thing.size = (32,) must be a whole number or a tuple of 2 whole numbers: did you mean 32?"),
    (
      {"size": (3, 4, 5)},
      "thing.size = (3, 4, 5) must be a whole number or a tuple of 2 whole numbers: did you mean 3?",
    ),
    ({"size": None}, "thing.size = None must be a whole number or a tuple of 2 whole numbers."),
    ({"seed": -1}, "thing.seed = -1 must be a whole number from 0 to 4294967295."),
    ({"seed": 2**32}, "thing.seed = 4294967296 must be a whole number from 0 to 4294967295."),
  ],
)
def test_the_message_names_the_argument_and_what_was_meant(arguments, message):
  with pytest.raises(ConfigError) as error:
    thing(**arguments)
  assert str(error.value) == message


def test_a_call_that_is_right_or_wrong_in_itself_is_as_it_was():
  assert thing(3, ["a"], 2**32 - 1, free=len, more="x") == f"3 ['a'] {2**32 - 1} {len} {{'more': 'x'}}"
  assert thing(np.int64(3)).startswith("3 ")  # JSON takes Python's numbers alone
  assert thing.__name__ == "thing" and thing.__doc__ == "Says."
  with pytest.raises(TypeError, match=r"thing\(\) got multiple values for argument 'size'"):
    thing(1, size=2)


def test_a_default_is_taken_whatever_the_annotation_says():
  @checked("loose")
  def loose(names: Sequence[str] = None, later: "NotThere" = 3):  # noqa: F821, RUF013
    return names, later

  assert loose(None, "x") == (None, "x")


def test_a_class_stays_itself_and_what_has_no_annotations_too():
  @dataclasses.dataclass(frozen=True)
  class Plain:
    size: int = 3

  assert checked("plain")(Plain) is Plain and Plain(4).size == 4
  with pytest.raises(ConfigError, match=r"plain\.size = 'x' must be a whole number"):
    dataclasses.replace(Plain(4), size="x")
  free = lambda value: value  # noqa: E731
  assert checked("free")(free) is free

  @checked_methods("grow")
  class Growing:
    def grow(self, by: int):
      return by

  assert Growing().grow(2) == 2
  with pytest.raises(ConfigError, match=r"grow\.by = '2' must be a whole number: did you mean 2\?"):
    Growing().grow("2")


def test_a_plugin_is_checked_when_it_is_called_and_when_a_configuration_binds_it():
  registry = Registry("feature", "features")
  registry.bind_with(GinBinder())

  @registry.register("checked_thing_of_this_test")
  def plugin(names: Sequence[str] = ()):
    return names

  gin.clear_config()
  gin.parse_config("checked_thing_of_this_test.names = ('label')")
  try:
    for call in (lambda: registry.create("checked_thing_of_this_test"), lambda: plugin(names="label")):
      with pytest.raises(ConfigError, match=r"^checked_thing_of_this_test\.names = 'label' must be a tuple of texts"):
        call()
    with pytest.raises(ValueError, match="doesn't have a parameter named 'name'"):  # gin still sees the arguments
      gin.parse_config("checked_thing_of_this_test.name = 3")
  finally:
    gin.clear_config()


def test_keras_is_set_to_what_the_library_needs(tmp_path, monkeypatch):
  """Whatever the machine's settings are, where tfdisent is imported first; else a line says what to do."""
  (tmp_path / "keras.json").write_text('{"backend": "jax", "floatx": "float64", "image_data_format": "channels_first"}')
  monkeypatch.setenv("KERAS_HOME", str(tmp_path))
  monkeypatch.delenv("KERAS_BACKEND", raising=False)
  told = "print(keras.config.backend(), keras.config.floatx(), keras.config.image_data_format())"
  assert in_new_process(f"import tfdisent, keras; {told}").split() == ["tensorflow", "float32", "channels_last"]
