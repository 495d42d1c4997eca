"""Which values an argument takes, by its annotation: a wrong one is refused by its name, before anything is done.

    @checked("image_table")
    def image_table(size: int | tuple[int, int] = 64, discrete: Sequence[str] = ()): …

    image_table(discrete="label")  # image_table.discrete = 'label' must be a tuple of texts: did you mean ('label',)?

| annotation            | takes                                                                                    |
|-----------------------|------------------------------------------------------------------------------------------|
| `int`                 | a whole number of 64 bits, NumPy's too; no 32.0, and no True                              |
| `float`               | a finite number; no True                                                                 |
| `bool`                | True, False, 1 or 0                                                                      |
| `str`, a path         | a text that UTF-8 can hold, or a path, without a NUL                                     |
| `Sequence[X]`, `list` | a list, a tuple or an array of such values; no text                                      |
| `tuple[X, Y]`         | likewise, of this length                                                                 |
| `Mapping[X, Y]`       | a dict of such keys and values                                                           |
| an array, `ArrayLike` | what `np.asarray` takes: no lists of unequal lengths                                     |
| a class, a function   | an instance, a callable                                                                  |

An `int` that is called `seed` lies in [0, 2³²), as NumPy and Keras want it. A default is taken as it is, and so is what
has no annotation. Ranges of other arguments are checked by the function itself.
"""

import ast
import collections.abc
import contextlib
import functools
import inspect
import math
import numbers
import os
import pathlib
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from tfdisent.errors import ConfigError, shown

SEEDS = 2**32

# What is decorated keeps its type: a type checker would see nothing of its arguments otherwise.
Checked = typing.TypeVar("Checked", bound=Callable)
CheckedClass = typing.TypeVar("CheckedClass", bound=type)


def checked(who: str) -> Callable[[Checked], Checked]:
  """Decorator that checks the arguments of each call of a function, or of each instance of a class.

  A class stays the same class, and so does what has no annotations.

  Args:
    who: the name of the function in messages, as a configuration binds it: "image_table".
  """

  def decorate(function):
    if inspect.isclass(function):
      if _is_annotated(function.__init__):
        function.__init__ = _checking(function.__init__, who)
      return function
    return _checking(function, who) if _is_annotated(function) else function

  return decorate


def checked_methods(*names: str) -> Callable[[CheckedClass], CheckedClass]:
  """Decorator of a class that checks the arguments of some of its methods, as `checked` does."""

  def decorate(cls):
    for name in names:
      setattr(cls, name, _checking(vars(cls)[name], name))
    return cls

  return decorate


def check(function: Callable, who: str, arguments: Mapping[str, object]) -> None:
  """Raises `ConfigError` if one of the named `arguments` is none that the annotations of `function` allow."""
  hints, parameters = _hints(function), inspect.signature(function).parameters
  for name, value in arguments.items():
    default = parameters[name].default if name in parameters else inspect.Parameter.empty
    if name not in hints or value is default:
      continue
    if not _fits(value, hints[name]):
      raise ConfigError(f"{who}.{name} = {shown(value)} must be {_words(hints[name])}{_question(value, hints[name])}")
    if name == "seed" and hints[name] is int and not 0 <= value < SEEDS:
      raise ConfigError(f"{who}.{name} = {shown(value)} must be a whole number from 0 to {SEEDS - 1}.")


def _is_annotated(function) -> bool:
  return bool(set(getattr(function, "__annotations__", ())) - {"return"})


def _checking(function, who):
  signature = inspect.signature(function)
  variadic = {p.name for p in signature.parameters.values() if p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}

  @functools.wraps(function)
  def call(*positional, **keywords):
    try:
      given = signature.bind(*positional, **keywords)
    except TypeError:  # the call itself is wrong, which Python says best
      return function(*positional, **keywords)
    check(function, who, {name: value for name, value in given.arguments.items() if name not in variadic})
    for name, value in given.arguments.items():
      if isinstance(value, np.generic):  # JSON, and so a run folder, takes no numbers of NumPy
        given.arguments[name] = value.item()
    return function(*given.args, **given.kwargs)

  call.__signature__ = signature  # gin does not look behind the wrapper
  return call


@functools.cache
def _hints(function) -> dict[str, object]:
  try:
    return typing.get_type_hints(function)
  except (NameError, TypeError, AttributeError):  # names that are imported for type checkers alone
    return {}


def _is_number(value, kind) -> bool:
  return isinstance(value, kind) and not isinstance(value, (bool, np.bool_))


def _is_finite(value) -> bool:
  try:
    return math.isfinite(value)
  except OverflowError:  # a whole number that no float can hold
    return False


def _is_text(value) -> bool:
  if not isinstance(value, (str, os.PathLike)):
    return False
  try:
    return b"\0" not in os.fspath(value).encode("utf-8", "surrogateescape")
  except (UnicodeEncodeError, AttributeError):  # half of a pair of UTF-16; a path of bytes
    return False


def _is_array(value) -> bool:
  try:
    np.asarray(value)
  except Exception:  # of any kind: it is the value's own method
    return False
  return True


def _is_sequence(value) -> bool:
  return (
    isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes)) and getattr(value, "ndim", 1) > 0
  )


def _is_union(value, inner) -> bool:
  return _is_array(value) if _is_array_like(inner) else any(_fits(value, one) for one in inner)


def _is_array_like(inner) -> bool:
  """Whether these are the parts of `numpy.typing.ArrayLike`, perhaps with others."""
  return any(one is ArrayLike or getattr(typing.get_origin(one), "__name__", "") == "_SupportsArray" for one in inner)


def _is_list(value, inner) -> bool:
  return _is_sequence(value) and all(_fits(one, inner[0]) for one in (value if inner else ()))


def _is_tuple(value, inner) -> bool:
  if not inner or inner[-1] is Ellipsis:
    return _is_list(value, inner)
  return _is_sequence(value) and len(value) == len(inner) and all(map(_fits, value, inner))


def _is_dict(value, inner) -> bool:
  return isinstance(value, Mapping) and all(
    _fits(key, inner[0]) and _fits(of_key, inner[1]) for key, of_key in (value.items() if inner else ())
  )


_TESTS = {
  type(None): lambda value, inner: value is None,
  bool: lambda value, inner: (
    isinstance(value, (bool, np.bool_)) or (_is_number(value, numbers.Integral) and value in (0, 1))
  ),
  int: lambda value, inner: _is_number(value, numbers.Integral) and -(2**63) <= value < 2**63,
  float: lambda value, inner: _is_number(value, numbers.Real) and _is_finite(value),
  str: lambda value, inner: _is_text(value),
  pathlib.Path: lambda value, inner: _is_text(value),
  np.ndarray: lambda value, inner: _is_array(value),
  ArrayLike: lambda value, inner: _is_array(value),  # a name of its own since NumPy 2.5, a union before
  typing.Union: _is_union,
  types.UnionType: _is_union,
  typing.Literal: lambda value, inner: any(type(value) is type(one) and value == one for one in inner),
  collections.abc.Sequence: _is_list,
  list: _is_list,
  tuple: _is_tuple,
  collections.abc.Mapping: _is_dict,
  dict: _is_dict,
  collections.abc.Callable: lambda value, inner: callable(value),
}


def _fits(value, hint) -> bool:
  """Whether an annotation allows a value."""
  origin = typing.get_origin(hint) or hint
  if origin in _TESTS:
    return _TESTS[origin](value, typing.get_args(hint))
  try:
    return isinstance(value, origin)
  except TypeError:  # what is no class, and a protocol that cannot be asked
    return True


_NAMES = {
  type(None): ("None", "None"),
  bool: ("True or False", "True or False"),
  int: ("a whole number", "whole numbers"),
  float: ("a number", "numbers"),
  str: ("a text", "texts"),
  pathlib.Path: ("a path", "paths"),
  np.ndarray: ("an array", "arrays"),
  ArrayLike: ("an array", "arrays"),
  collections.abc.Sequence: ("a tuple", "tuples"),
  list: ("a list", "lists"),
  tuple: ("a tuple", "tuples"),
  collections.abc.Mapping: ("a dict", "dicts"),
  dict: ("a dict", "dicts"),
  collections.abc.Callable: ("a function", "functions"),
}


def _words(hint, many: bool = False) -> str:
  """What an annotation allows, for people."""
  origin, inner = typing.get_origin(hint) or hint, typing.get_args(hint)
  if origin in (typing.Union, types.UnionType):
    if _is_array_like(inner):
      return _words(np.ndarray, many)
    return " or ".join(dict.fromkeys(_words(one, many) for one in inner))
  if origin is typing.Literal:
    return f"one of {', '.join(map(repr, inner))}"
  if origin not in _NAMES:
    return f"{'instances' if many else 'an instance'} of {getattr(origin, '__name__', origin)}"
  words = _NAMES[origin][many]
  if _TESTS[origin] is _is_dict and inner:
    words += f" from {_words(inner[0], True)} to {_words(inner[1], True)}"
  elif _TESTS[origin] in (_is_list, _is_tuple) and inner and inner[0] is not typing.Any:
    count = f"{len(inner)} " if origin is tuple and inner[-1] is not Ellipsis else ""
    words += f" of {count}{_words(inner[0], True)}"
  return words


def _question(value, hint) -> str:
  """The end of the message: what was meant, if that can be guessed."""
  meant = next((other for other in _others(value) if _fits(other, hint)), None)
  return "." if meant is None else f": did you mean {shown(meant)}?"


def _others(value) -> Iterator[object]:
  """What may have been meant by a value: ('label',) by 'label', 32 by 32.0, "32" or (32,)."""
  if isinstance(value, str):
    with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
      yield ast.literal_eval(value)
    yield (value,)
  if _is_number(value, numbers.Real) and _is_finite(value) and value == int(value):
    yield int(value)
  if isinstance(value, (tuple, list)):
    yield from value[:1]
    yield tuple(value[:2])
