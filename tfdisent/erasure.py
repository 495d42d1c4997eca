"""Taking out of z1 what a linear reader finds of f, once a model is trained: least-squares concept erasure (LEACE).

Belrose, Schneider-Joseph, Ravfogel, Cotterell, Raff, Biderman 2023: LEACE: Perfect linear concept erasure in closed
form. An adversary learns with E1 and follows it; this is computed from the codes of all training images.
"""

from typing import NamedTuple

import keras
import numpy as np

from tfdisent.errors import ConfigError, DataError

SMALLEST = 1e-10
"""A variance of z1 below this share of the largest is none, and so is a covariance of the whitened z1 with f."""


class Erasure(NamedTuple):
  """The affine map z1 → matrix z1 + offset; matrix is float64 [Z1, Z1], offset [Z1]."""

  matrix: np.ndarray
  offset: np.ndarray

  def __call__(self, z1: np.ndarray) -> np.ndarray:
    """What it makes of codes [N, Z1]."""
    return z1 @ self.matrix.T + self.offset


def leace(z1: np.ndarray, f: np.ndarray) -> Erasure:
  """Of all affine maps after which no affine reader of z1 beats the mean of f, the one that changes z1 least.

  r(z) = z - W⁺ P W (z - E z), where W = Σ_zz^(-1/2) and P is the orthogonal projection on the columns of W Σ_zf,
  as they derive. After it the covariance of z1 and f is 0 over the given images, whatever a reader's convex loss.

  Args:
    z1: codes [N, Z1].
    f: features [N, width], discrete ones as one-hot vectors.

  Raises:
    DataError: there are too few images to know the covariances.
    ConfigError: f varies in so many directions that nothing of z1 would be left.
  """
  count, width = z1.shape
  if count <= width + f.shape[1]:
    raise DataError(
      f"{count} training images are too few to erase f from the {width} numbers of z1: there must be more than "
      f"{width + f.shape[1]}, and ten times as many are better."
    )
  z1, f = z1.astype(np.float64), f.astype(np.float64)
  mean = z1.mean(0)
  variances, axes = np.linalg.eigh(np.cov(z1, rowvar=False).reshape(width, width))
  stddevs = np.sqrt(np.where(variances > SMALLEST * variances.max(), variances, 0.0))
  whiten = axes * np.divide(1.0, stddevs, where=stddevs > 0, out=np.zeros(width)) @ axes.T
  covariance = (z1 - mean).T @ (f - f.mean(0)) / (count - 1)
  columns, sizes, _ = np.linalg.svd(whiten @ covariance, full_matrices=False)
  columns = columns[:, sizes > SMALLEST * max(sizes.max(), 1.0)]
  erased, varied = columns.shape[1], np.count_nonzero(stddevs)
  if erased >= varied:
    raise ConfigError(
      f"f varies in {erased} directions (K classes in K - 1) and z1 in {varied}: erasing it would leave nothing. Train "
      "with a larger model.z1_width."
    )
  matrix = np.eye(width) - axes * stddevs @ axes.T @ columns @ columns.T @ whiten
  return Erasure(matrix, mean - matrix @ mean)


def fold(encoder: keras.Model, erasure: Erasure) -> None:
  """Gives E1 the weights with which the mean of q(z1 | x) is what the erasure makes of it; σ stays.

  Raises:
    ConfigError: E1 does not end in a dense layer, `output_layer`.
  """
  layer, width = getattr(encoder, "output_layer", None), len(erasure.offset)
  if not isinstance(layer, keras.layers.Dense) or layer.bias is None or layer.kernel.shape[1] % width:
    raise ConfigError(
      "the erasure goes into the last layer of E1, and this family's E1 has none: it must end in a keras.layers.Dense "
      "with a bias, its attribute `output_layer`, as that of tfdisent.networks.plain.ConvolutionalNetwork."
    )
  kernel, bias = layer.kernel.numpy().astype(np.float64), layer.bias.numpy().astype(np.float64)
  kernel[:, :width] = kernel[:, :width] @ erasure.matrix.T
  bias[:width] = erasure(bias[:width])
  layer.kernel.assign(kernel)
  layer.bias.assign(bias)
