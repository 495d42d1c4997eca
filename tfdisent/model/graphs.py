"""Graphs of the library's own functions, which are traced without AutoGraph where they can be."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def in_graph(function: Callable, **keywords: Any) -> Callable:
  """`tf.function` of a function, without AutoGraph as long as nothing needs it.

  AutoGraph translates the source of every function that is called, for more than half of the time of tracing, and only
  for Python that branches or loops by the value of a tensor. The library has none. A plug-in may: then tracing fails
  with a TypeError before anything is computed, and the function is traced again with AutoGraph, from then on.

  Args:
    function: takes and gives tensors, in any structure.
    keywords: of `tf.function`.
  """
  quick, translated = (tf.function(function, autograph=is_translated, **keywords) for is_translated in (False, True))
  needs_autograph = False

  def call(*arguments):
    nonlocal needs_autograph
    if not needs_autograph:
      try:
        return quick(*arguments)
      except TypeError:  # OperatorNotAllowedInGraphError is one, and so is what `range` says of a tensor
        needs_autograph = True
    return translated(*arguments)

  return call
