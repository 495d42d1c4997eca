"""Which images are fused with which."""

import numpy as np


def other_feature(f: np.ndarray, random_state: np.random.Generator) -> np.ndarray:
  """For each example the row [N] of a partner x̃ drawn at random among those with another f, from f [N, width].

  Raises:
    ValueError: all examples have the same f.
  """
  if not np.ptp(f, axis=0).any():
    raise ValueError("all examples have the same feature: there is no other one to ask for.")
  partner = random_state.permutation(len(f))
  while (same := np.flatnonzero((f == f[partner]).all(1))).size:
    partner[same] = random_state.integers(len(f), size=same.size)
  return partner
