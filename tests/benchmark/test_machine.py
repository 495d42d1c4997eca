"""What is counted is right where the answer is known."""

import os
import subprocess
import sys

import tensorflow as tf

from tfdisent.benchmark import machine


def test_flops_are_those_of_what_runs():
  weight = tf.Variable(tf.ones([20, 30]))

  @tf.function(autograph=False)
  def product(x):
    y = x @ weight
    tf.matmul(y, tf.ones([30, 500]))  # nothing reads it
    return tf.reduce_sum(y)

  concrete = product.get_concrete_function(tf.TensorSpec([10, 20]))
  total = machine.flops(concrete.graph, concrete.outputs)
  assert 2 * 10 * 20 * 30 <= total <= 2 * 10 * 20 * 30 + 10 * 30  # and the sum


def test_gradients_that_only_change_a_variable_count():
  weight = tf.Variable(tf.ones([20, 30]))

  @tf.function(autograph=False)
  def step(x):
    with tf.GradientTape() as tape:
      loss = tf.reduce_sum(x @ weight)
    weight.assign_sub(tape.gradient(loss, weight))
    return x

  concrete = step.get_concrete_function(tf.TensorSpec([10, 20]))
  assert machine.flops(concrete.graph, concrete.outputs) >= 2 * 10 * 20 * 30


def test_the_spin_test_sees_other_work():
  command = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
  count = 4 * (os.cpu_count() or 1)
  busy = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(count)]
  try:
    for process in busy:
      process.stdout.readline()
    assert machine.share_of_cores(0.5) < machine.LOADED
  finally:
    for process in busy:
      process.kill()
      process.communicate()


def test_a_peak_and_a_process():
  assert machine.matrix_peak(size=64) > 0 and machine.matrix_peak("mixed_bfloat16", size=64) > 0
  assert 0 < machine.resident() <= 1.01 * machine.peak_memory()
  first = machine.age()
  assert 0 < first < machine.age()
