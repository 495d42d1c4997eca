"""What a network learns of a property, and that the same is read from what it gives."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tfdisent.evaluation.heads import AngleHead, ClassHead, NumberHead, joined, make_head, sum_of_losses

CLASSES, DEGREES = np.array([0, 2, 1, 2]), np.array([0.0, 90.0, -170.0, 45.0])
PAIRS = np.array([[1.0, -5.0], [2.0, 5.0], [3.0, 5.0], [6.0, -5.0]])


def test_the_kind_of_a_judge_chooses_the_head():
  made = [make_head("classifier", CLASSES), make_head("angle", DEGREES, 360.0), make_head("number", DEGREES)]
  assert [type(head) for head in made] == [ClassHead, AngleHead, NumberHead]
  assert [head.outputs for head in (*made, make_head("number", PAIRS))] == [3, 2, 1, 2]


def test_what_is_learned_is_read_again():
  angle, number, numbers = AngleHead(DEGREES, 360.0), NumberHead(DEGREES), NumberHead(PAIRS)
  np.testing.assert_allclose(angle.target[1], [0, 1], atol=1e-7)
  np.testing.assert_allclose(angle.read(3 * angle.target), DEGREES, atol=1e-4)
  np.testing.assert_allclose(number.read(number.target), DEGREES, rtol=1e-5, atol=1e-5)
  np.testing.assert_allclose(numbers.read(numbers.target), PAIRS, rtol=1e-6)
  np.testing.assert_allclose([numbers.target.mean(0), numbers.target.std(0)], [[0, 0], [1, 1]], atol=1e-6)


def test_other_values_are_held_against_the_same_scale():
  np.testing.assert_array_equal(ClassHead(CLASSES).encode(np.array([5, 0])), [5, 0])
  np.testing.assert_allclose(AngleHead(DEGREES, 360.0).encode(np.array([-90.0])), [[0, -1]], atol=1e-7)
  np.testing.assert_allclose(NumberHead(PAIRS).encode(np.array([[3.0, 10.0]])), [[0, 2]], atol=1e-6)


def test_a_class_is_the_likeliest_one():
  head = ClassHead(CLASSES)
  logits = np.log([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]])
  assert head.read(logits).tolist() == [0, 2]
  np.testing.assert_allclose(head.probabilities(5 + logits), np.exp(logits))


def test_the_loss_is_the_sum_of_those_of_the_heads():
  """By hand: a cross-entropy of ln 3, an angle that is given as (0, 0), numbers that are one spread off."""
  heads = [ClassHead(CLASSES), AngleHead(DEGREES, 360.0), NumberHead(PAIRS)]
  target = joined([head.target for head in heads])
  assert target.shape == (4, 1 + 2 + 2) and target.dtype == np.float32
  outputs = np.concatenate([np.zeros((4, 3)), np.zeros((4, 2)), heads[2].target + 1], axis=1)
  loss = sum_of_losses(heads)(tf.constant(target), tf.constant(outputs, tf.float32))
  assert float(loss) == pytest.approx(math.log(3) + 0.5 + 1, rel=1e-6)
