"""Graphs without AutoGraph, and with it where a plug-in needs it."""

import inspect

import pytest
import tensorflow as tf

from tests.model.test_step import optimized
from tfdisent.model.graphs import found_once, in_graph


def test_what_needs_no_autograph_goes_without():
  files = []

  def double(x):
    files.append(inspect.currentframe().f_code.co_filename)  # AutoGraph calls a translated copy, in a file of its own
    return {"y": 2 * x["x"]}

  function = in_graph(double)
  assert [int(function({"x": tf.constant(i)})["y"]) for i in range(3)] == [0, 2, 4]
  assert files == [__file__]


@pytest.mark.parametrize("value, expected", [(3, 6), (-3, 3)])
def test_python_that_branches_on_a_tensor_is_translated(value, expected):
  def branch(x):
    if x > 0:
      return 2 * x
    return -x

  function = in_graph(branch)
  assert int(function(tf.constant(value))) == expected and int(function(tf.constant(value))) == expected


def test_python_that_counts_by_a_tensor_is_translated():
  def total(count):
    result = 0
    for i in range(count):
      result += i
    return result

  assert int(in_graph(total)(tf.constant(5))) == 10


class Looking:
  """A `tf.function` that notes the shapes of what a graph was looked for."""

  def __init__(self, function):
    self.get_concrete_function, self._function, self.shapes = function.get_concrete_function, function, []

  def __call__(self, x):
    self.shapes.append(getattr(x, "shape", None))
    return self._function(x)


def test_a_graph_is_looked_for_when_the_shapes_change():
  looking = Looking(tf.function(lambda x: 2 * x))
  twice = found_once(looking)
  for count in (3, 3, 3, 2, 2, 3):
    assert twice(tf.ones([count])).numpy().tolist() == [2.0] * count
  assert looking.shapes == [[3], [2], [3]]


def test_a_graph_is_looked_for_when_the_dtype_changes_or_no_tensor_is_given():
  twice = found_once(Looking(tf.function(lambda x: 2 * x)))
  assert twice(tf.constant(1.5)).numpy() == 3.0 and twice(tf.constant(2)).numpy() == 4
  assert twice(3).numpy() == 6 and twice(4).numpy() == 8 and twice(tf.constant(2)).numpy() == 4


def test_functions_that_run_eagerly_are_not_called_as_graphs():
  eager = []
  function = found_once(tf.function(lambda x: eager.append(tf.executing_eagerly()) or x))
  function(tf.constant(1))
  tf.config.run_functions_eagerly(True)
  try:
    function(tf.constant(1))
  finally:
    tf.config.run_functions_eagerly(False)
  assert eager == [False, True]


def test_a_mistake_of_a_plugin_is_told_as_it_is():
  def wrong(x):
    return len(x.no_such_thing)

  with pytest.raises(AttributeError, match="no_such_thing"):
    in_graph(wrong)(tf.constant(1))


def test_a_sum_of_large_tensors_is_added_up_in_the_order_of_the_graph():
  """TensorFlow alone lets threads add to a variable as they come, once it takes more than 0.8 of 256 MB."""
  x = tf.zeros([2**24])

  def total(x):
    return tf.add_n([tf.sin(x), tf.cos(x), tf.exp(x), tf.tanh(x)])

  alone, here = ({node.op for node in optimized(function, x)} for function in (tf.function(total), in_graph(total)))
  assert "TemporaryVariable" in alone and "AddN" not in alone
  assert "AddN" in here and "TemporaryVariable" not in here
