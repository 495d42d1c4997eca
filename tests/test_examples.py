"""Values of the feature that a run keeps for its samples."""

import numpy as np
import pytest

from tfdisent.errors import RunError
from tfdisent.examples import load_feature_examples, save_feature_examples


def test_examples_of_the_feature_are_kept_for_the_samples(tmp_path):
  f = np.array([[0.25, 1.0], [0.1, 0.0]], np.float32)
  save_feature_examples(tmp_path, f)
  kept = load_feature_examples(tmp_path)
  np.testing.assert_array_equal(kept, f)
  assert kept.dtype == np.float32


def test_examples_of_the_feature_that_are_missing_or_damaged_are_an_unfinished_training(tmp_path):
  with pytest.raises(RunError, match="its training has not ended"):
    load_feature_examples(tmp_path)
  (tmp_path / "feature_examples.json").write_text("[[0.25,")
  with pytest.raises(RunError, match="its training has not ended"):
    load_feature_examples(tmp_path)
