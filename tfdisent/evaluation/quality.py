"""Quality of reconstructions and fusions, from pixels or from an extractor's features.

| key | what it is |
|---|---|
| `quality/psnr`, `quality/ssim` | of x', in dB, and in [-1, 1] |
| `quality/sharpness_{rec,fusion}` | variance of the Laplacian of x', and of fusions with independent features (z1 a sample), over that of x; 1 is ideal, and less is softer |
| `quality/{fid,kid}` | between real images of the split and as many fusions of *other* real images with independent features (z1 a sample); `extractor` names the network |
| `quality/fid_floor` | between the same real images and those other images themselves: what a model that copies its input would get |
"""  # noqa: E501 (a table)

import copy

import numpy as np
import tensorflow as tf

from tfdisent.data.batches import joined
from tfdisent.evaluation.case import Case
from tfdisent.evaluation.intervals import with_interval
from tfdisent.evaluation.judges import FIDExtractor
from tfdisent.evaluation.measurement import Figure, Measurement, Metrics
from tfdisent.evaluation.readers import class_column
from tfdisent.registry import register_measurement

FID_IMAGES = 10_000
LARGEST_PSNR = np.float32(10 * np.log10(12 * 255.0**2))
"""58.9 dB, the error of rounding to uint8, 1/12: one perfect image must not make a mean infinite."""


@register_measurement("psnr")
class PSNR(Measurement):
  """Of the reconstructions of the measured images."""

  stage = "PSNR"
  quick = True
  figures = (Figure("quality/psnr", "high", column=True, curve=True),)

  def measure(self, case: Case) -> Metrics:
    return {"quality/psnr": with_interval(psnr(case.x, case.x_rec), within=(0, None))}


@register_measurement("sharpness")
class Sharpness(Measurement):
  """Of reconstructions and fusions of the measured images, over that of the images themselves."""

  stage = "sharpness"
  quick = True
  figures = (
    Figure("quality/sharpness_rec", column=True, curve=True),
    Figure("quality/sharpness_fusion", column=True, curve=True),
  )

  def measure(self, case: Case) -> Metrics:
    real = edge_variance(case.x)
    if not real.any():
      return {}  # flat images have no sharpness
    return {
      f"quality/sharpness_{name}": with_interval(
        np.stack([edge_variance(made), real], axis=1), lambda means: means[..., 0] / means[..., 1], within=(0, None)
      )
      for name, made in (("rec", case.x_rec), ("fusion", case.fusion["score"]))
    }


@register_measurement("ssim")
class SSIM(Measurement):
  """Of the reconstructions of the measured images."""

  stage = "SSIM"
  figures = (Figure("quality/ssim", "high"),)

  def measure(self, case: Case) -> Metrics:
    return {"quality/ssim": with_interval(ssim(case.x, case.x_rec), within=(-1, 1))}


@register_measurement("fid")
class FID(Measurement):
  """FID and KID of fusions; there are none without a judge of a class, whose column the extractor learns."""

  stage = "FID and KID"
  figures = (
    Figure("quality/fid", "low", column=True),
    Figure("quality/kid", "low"),
    Figure("quality/fid_floor"),
  )

  def measure(self, case: Case) -> Metrics:
    column = class_column(case.dataset)
    if not column:
      return {}
    extractor, random_state = FIDExtractor(case.dataset, column), copy.deepcopy(case.pairs.random_state)
    # Fusions of the measured images themselves would be nearer to them than other real images are.
    others = np.concatenate([case.image["fit"], case.image["select"]])
    fusions = np.concatenate([case.fusion["fit"][: len(case.image["fit"])], case.fusion["select"]])  # each image once
    count = min(FID_IMAGES, len(case.x), len(others))
    rows, other_rows = (random_state.permutation(len(image))[:count] for image in (case.x, others))
    real, others, fusions = extractor(case.x[rows]), extractor(others[other_rows]), extractor(fusions[other_rows])
    how = {"extractor": extractor.name, "images": count}
    return {
      "quality/fid": {"value": fid(real, fusions), "range": [0, None], **how},
      "quality/kid": {"value": kid(real, fusions, random_state), **how},
      "quality/fid_floor": {"value": fid(real, others), "range": [0, None], **how},
    }


def psnr(x: np.ndarray, x_rec: np.ndarray) -> np.ndarray:
  """PSNR in dB of each reconstruction, [N]: 10 log10(255² / mean squared error), at most `LARGEST_PSNR`."""
  return np.minimum(joined(lambda a, b: tf.image.psnr(a, b, 255), x, x_rec, size=1000), LARGEST_PSNR)


def ssim(x: np.ndarray, x_rec: np.ndarray) -> np.ndarray:
  """Structural similarity of each reconstruction, [N] in [-1, 1] (Wang et al. 2004; `tf.image.ssim`).

  The Gaussian window is of 11 pixels, or as large as a smaller image.
  """
  size = min(11, *x.shape[1:3])
  return joined(lambda a, b: tf.image.ssim(a, b, 255, filter_size=size), x, x_rec, size=1000)


LUMA = np.float32([0.299, 0.587, 0.114])
"""Of red, green and blue (ITU-R BT.601)."""


def edge_variance(image: np.ndarray) -> np.ndarray:
  """Variance over the pixels of the Laplacian of each image, [N], of its luma in [0, 1]: large where edges are sharp.

  As used to tell whether an image is in focus (Pech-Pacheco et al. 2000). Images are uint8 [N, H, W, C].
  """

  def of_batch(x):
    x = x.astype(np.float32) / 255
    luma = x @ LUMA if x.shape[3] == 3 else x.mean(3)
    up, down, left, right = luma[:, :-2, 1:-1], luma[:, 2:, 1:-1], luma[:, 1:-1, :-2], luma[:, 1:-1, 2:]
    return (up + down + left + right - 4 * luma[:, 1:-1, 1:-1]).var(axis=(1, 2))

  return joined(of_batch, image, size=1000)


def fid(features: np.ndarray, other: np.ndarray) -> float:
  """Fréchet distance of two sets [N, D] and [M, D] of an extractor's features (Heusel et al. 2017).

  With normal distributions fitted to both, ‖μ - μ'‖² + tr(Σ + Σ' - 2 (Σ^½ Σ' Σ^½)^½). At least 0; it is biased upwards
  for small sets, so only sets of one size compare.
  """
  features, other = features.astype(np.float64), other.astype(np.float64)
  covariance, other_covariance = (np.atleast_2d(np.cov(a, rowvar=False)) for a in (features, other))
  eigenvalues, vectors = np.linalg.eigh(covariance)
  root = (vectors * np.sqrt(np.maximum(eigenvalues, 0))) @ vectors.T
  cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ other_covariance @ root), 0)).sum()
  distance = np.square(features.mean(0) - other.mean(0)).sum()
  return float(max(0.0, distance + np.trace(covariance) + np.trace(other_covariance) - 2 * cross))


def kid(
  features: np.ndarray, other: np.ndarray, random_state: np.random.Generator, size: int = 1000, subsets: int = 20
) -> float:
  """Kernel distance of two sets [N, D] and [M, D] of an extractor's features (Bińkowski et al. 2018).

  The unbiased estimate of MMD² with the kernel (a·b / D + 1)³, averaged over random subsets of `size`. It may be
  below 0.
  """
  size = min(size, len(features), len(other))

  def mean_off_diagonal(kernel):
    return (kernel.sum() - np.trace(kernel)) / (size * (size - 1))

  estimates = []
  for _ in range(subsets):
    a = features[random_state.permutation(len(features))[:size]].astype(np.float64)
    b = other[random_state.permutation(len(other))[:size]].astype(np.float64)
    aa, bb, ab = ((u @ v.T / a.shape[1] + 1) ** 3 for u, v in ((a, a), (b, b), (a, b)))
    estimates.append(mean_off_diagonal(aa) + mean_off_diagonal(bb) - 2 * ab.mean())
  return float(np.mean(estimates))
