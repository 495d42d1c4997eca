"""Graphs of the library's own functions: traced without AutoGraph where they can be, and equal to the bit each time."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf
from tensorflow.python.eager import context


def in_graph(function: Callable, **keywords: Any) -> Callable:
  """`tf.function` of a function, without AutoGraph as long as nothing needs it.

  AutoGraph translates the source of every function that is called, for more than half of the time of tracing, and only
  for Python that branches or loops by the value of a tensor. The library has none. A plug-in may: then tracing fails
  with a TypeError before anything is computed, and the function is traced again with AutoGraph, from then on.

  It runs with `sums_in_order`, and `found_once`.

  Args:
    function: takes and gives tensors, in any structure.
    keywords: of `tf.function`.
  """
  quick, translated = (
    found_once(tf.function(function, autograph=is_translated, **keywords)) for is_translated in (False, True)
  )
  needs_autograph = False

  def call(*arguments):
    nonlocal needs_autograph
    with sums_in_order():
      if not needs_autograph:
        try:
          return quick(*arguments)
        except TypeError:  # OperatorNotAllowedInGraphError is one, and so is what `range` says of a tensor
          needs_autograph = True
      return translated(*arguments)

  return call


def found_once(function: Callable) -> Callable:
  """A `tf.function` whose graph is not looked for again as long as the tensors have the shapes and dtypes of before.

  TensorFlow compares all weights that a graph reads in each call, for up to half a millisecond in a training step.
  """
  known, graph = None, None

  def call(*arguments):
    nonlocal known, graph
    if tf.config.functions_run_eagerly():  # somebody debugs
      return function(*arguments)
    given = tf.nest.map_structure(_shape_and_dtype, arguments)
    if given == known:
      return graph(*arguments)
    result = function(*arguments)
    if None not in tf.nest.flatten(given):
      known, graph = given, function.get_concrete_function(*arguments)
    return result

  return call


def _shape_and_dtype(value):
  """What a graph was made for; None of what is no tensor, as the parts of a batch for several replicas."""
  return tf.TensorSpec(value.shape, value.dtype) if isinstance(value, tf.Tensor) else None


@contextlib.contextmanager
def sums_in_order() -> Iterator[None]:
  """Within it, a function of TensorFlow that is called for the first time adds up gradients in the order of its graph.

  If it takes more than some 200 MB on a processor (whose memory TensorFlow takes for 256), its memory optimizer makes
  of a sum of three or more one to which threads add as they come, and equal steps differ in the last bit: a training
  that goes on was another one. TensorFlow has no public option for it.
  """
  running = context.context()
  before = running.function_call_options
  running.function_call_options = _without_memory_optimizer(type(before), before.config_proto_serialized)
  try:
    yield
  finally:
    running.function_call_options = before


@functools.lru_cache(maxsize=8)
def _without_memory_optimizer(options: type, config: bytes) -> Any:
  changed = tf.compat.v1.ConfigProto.FromString(config)
  rewriting = changed.graph_options.rewrite_options
  rewriting.memory_optimization = rewriting.NO_MEM_OPT
  return options(config_proto=changed)
