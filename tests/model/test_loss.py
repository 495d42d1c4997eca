"""Losses beyond the paper: the contract, and what a plug-in gets."""

import tensorflow as tf

from tfdisent.model.loss import weighted_mean


def test_the_weighted_mean():
  values = tf.constant([1.0, 2.0, float("inf")])
  assert float(weighted_mean(values, tf.constant([1.0, 1.0, 0.0]))) == 1.5
  assert float(weighted_mean(values, tf.zeros(3))) == 0.0
  assert float(weighted_mean(tf.constant([1.0, 2.0, 9.0, 3.0, 6.0, 9.0]), tf.constant([1.0, 1.0, 0.0]))) == 3.0
  assert float(weighted_mean(values, None)) == float("inf")
