"""Which images are fused with which."""

import numpy as np
import pytest

from tfdisent.evaluation import other_feature


@pytest.mark.parametrize("f", [np.eye(3)[[0] * 90 + [1] * 9 + [2]], np.random.default_rng(0).random((100, 2))])
def test_the_other_feature_is_another_one_for_every_row(f):
  for seed in range(5):
    partner = other_feature(f, np.random.default_rng(seed))
    assert partner.shape == (100,) and (f != f[partner]).any(1).all()
  assert (partner != other_feature(f, np.random.default_rng(99))).any()
  np.testing.assert_array_equal(partner, other_feature(f, np.random.default_rng(seed)))


def test_partners_come_from_all_other_examples():
  f = np.eye(2)[np.arange(40) % 2]
  drawn = {int(row) for seed in range(30) for row in other_feature(f, np.random.default_rng(seed))[:1]}
  assert len(drawn) > 10 and all(row % 2 == 1 for row in drawn)


def test_one_feature_for_all_has_no_other():
  with pytest.raises(ValueError, match="same feature"):
    other_feature(np.ones([5, 2]), np.random.default_rng(0))
