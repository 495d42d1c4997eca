"""PSNR, SSIM, FID and KID with answers that are known by hand or by theory."""

import math

import numpy as np
import pytest

from features.color import Color
from tests.bands import Fake, bands_dataset, swaps_nothing
from tfdisent.evaluation import Case, edge_variance, fid, kid, psnr, ssim
from tfdisent.evaluation.quality import Sharpness


def test_psnr_by_hand():
  x = np.zeros([3, 2, 2, 1], np.uint8)
  x_rec = x.copy()
  x_rec[0] = 51
  x_rec[1, 0, 0] = 102
  # mean squared errors 51² and 102² / 4, of 255²
  np.testing.assert_allclose(psnr(x, x_rec)[:2], [20 * math.log10(5)] * 2, rtol=1e-5)
  assert psnr(x, x_rec)[2] == pytest.approx(10 * math.log10(12 * 255**2))  # of rounding; a mean stays finite


def test_psnr_of_more_images_than_one_batch():
  x = np.zeros([2001, 1, 1, 1], np.uint8)
  x_rec = (np.arange(2001) % 255 + 1).astype(np.uint8).reshape(x.shape)
  expected = 20 * np.log10(255 / x_rec.ravel().astype(float))
  np.testing.assert_allclose(psnr(x, x_rec), expected, atol=1e-3)


def test_the_variance_of_edges_by_hand():
  """A white pixel in the middle of 5x5 black ones: of nine values one is -4, four are 1, and their mean is 0."""
  x = np.zeros([2, 5, 5, 1], np.uint8)
  x[0, 2, 2] = 255
  x[1] = 77  # flat
  np.testing.assert_allclose(edge_variance(x), [20 / 9, 0], atol=1e-6)
  np.testing.assert_allclose(edge_variance(np.repeat(x, 3, 3)), [20 / 9, 0], atol=1e-6)
  red = np.concatenate([x, 0 * x, 0 * x], axis=3)
  np.testing.assert_allclose(edge_variance(red)[0], 0.299**2 * 20 / 9, rtol=1e-5)
  ramp = np.arange(0, 250, 25, dtype=np.uint8) * np.ones([1, 6, 1], np.uint8)
  np.testing.assert_allclose(edge_variance(ramp[..., None]), 0, atol=1e-10)  # a slope is no edge


def test_sharpness_is_the_ratio_of_the_means_over_the_set():
  """G halves the contrast, and hence the variance to a quarter; of z1's samples, it shows only one image in four."""

  class Soft(Fake):
    def sample_z1(self, x, seed):
      return super().sample_z1(x, seed) * (np.arange(len(x)) % 4 == 0)[:, None]

  dataset = bands_dataset(train=20, test=40)
  case = Case(Soft(Color(), lambda x, f: x / 2), dataset)
  metrics, real = Sharpness().measure(case), edge_variance(dataset.test["image"])
  assert metrics["quality/sharpness_rec"]["value"] == pytest.approx(0.25, abs=0.005)
  share = real[::4].sum() / real.sum()
  fusion = metrics["quality/sharpness_fusion"]
  assert fusion["value"] == pytest.approx(0.25 * share, abs=0.005)
  assert 0 < fusion["low"] < fusion["value"] - 0.01 and fusion["value"] + 0.01 < fusion["high"]
  assert fusion["range"] == [0, None]
  copies = Sharpness().measure(Case(Fake(Color(), swaps_nothing), dataset))
  assert {figure["value"] for figure in copies.values()} == {1.0}


def test_flat_images_have_no_sharpness():
  dataset = bands_dataset(train=20, test=10)
  dataset.test["image"][:] = 9
  assert Sharpness().measure(Case(Fake(Color(), swaps_nothing), dataset)) == {}


@pytest.mark.parametrize("size", [11, 8])
def test_ssim_of_one_window(size):
  """Of an image as large as the window, the formula of Wang et al. (2004) by hand."""
  x, x_rec = np.random.default_rng(0).integers(256, size=(2, 4, size, size, 3), dtype=np.uint8)
  place = np.arange(size) - (size - 1) / 2
  weight = np.exp(-(place**2) / (2 * 1.5**2))
  weight = np.outer(weight, weight)[None, ..., None] / weight.sum() ** 2
  a, b = x.astype(float), x_rec.astype(float)
  mean = lambda image: (weight * image).sum((1, 2))  # noqa: E731
  c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
  luminance = (2 * mean(a) * mean(b) + c1) / (mean(a) ** 2 + mean(b) ** 2 + c1)
  covariance, variances = mean(a * b) - mean(a) * mean(b), mean(a * a) + mean(b * b) - mean(a) ** 2 - mean(b) ** 2
  structure = (2 * covariance + c2) / (variances + c2)
  np.testing.assert_allclose(ssim(x, x_rec), (luminance * structure).mean(1), atol=1e-5)


def test_ssim_of_flat_images_and_of_more_than_one_batch():
  a, b = np.full([1003, 12, 12, 1], 20, np.uint8), np.full([1003, 12, 12, 1], 10, np.uint8)
  b[1001:] = 20
  c1 = (0.01 * 255) ** 2
  expected = np.where(np.arange(1003) < 1001, (2 * 20 * 10 + c1) / (20**2 + 10**2 + c1), 1)
  np.testing.assert_allclose(ssim(a, b), expected, atol=1e-5)


def gaussian(count, mean, root, seed=0):
  """Features [count, D] whose sample mean is `mean`, and whose sample covariance is root rootᵀ, exactly."""
  z = np.random.default_rng(seed).normal(size=(count, len(mean)))
  z -= z.mean(0)
  return np.linalg.solve(np.linalg.cholesky(np.cov(z, rowvar=False)), z.T).T @ np.transpose(root) + mean


def test_fid_of_a_set_with_itself_is_zero():
  features = np.random.default_rng(0).normal(size=(500, 8))
  assert fid(features, features) == pytest.approx(0, abs=1e-8)


def test_fid_of_gaussians_is_the_analytic_value():
  """‖Δμ‖² + Σ (σ - σ')² of axis-aligned ones, in a turned basis as well; sets may differ in size."""
  shift, scale = np.array([1.0, -2.0, 0.5]), np.array([1.0, 2.0, 0.5])
  a, b = gaussian(50, np.zeros(3), np.eye(3)), gaussian(70, shift, np.diag(scale), seed=1)
  expected = np.sum(shift**2) + np.sum((1 - scale) ** 2)
  turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
  for turned in (np.eye(3), turn):
    assert fid(a @ turned, b @ turned) == pytest.approx(expected, rel=1e-9)
    assert fid(b @ turned, a @ turned) == pytest.approx(expected, rel=1e-9)


def test_fid_of_gaussians_whose_axes_differ():
  """In two dimensions tr √M = √(tr M + 2 √det M), of M = Σ Σ'."""
  roots = [[1.0, 0.0], [0.7, 0.4]], [[0.3, 1.1], [0.0, 2.0]]
  a, b = (np.array(root) @ np.array(root).T for root in roots)
  cross = math.sqrt(np.trace(a @ b) + 2 * math.sqrt(np.linalg.det(a @ b)))
  features = [gaussian(40, mean, root, seed) for seed, (mean, root) in enumerate(zip(([0, 0], [1, 3]), roots))]
  assert fid(*features) == pytest.approx(10 + np.trace(a) + np.trace(b) - 2 * cross, rel=1e-9)
  assert fid(*(f.astype(np.float32) for f in features)) == pytest.approx(fid(*features), rel=1e-5)


def test_fid_of_a_single_feature():
  assert fid(np.array([[0.0], [2.0]]), np.array([[5.0], [9.0]])) == pytest.approx(36 + (2**0.5 - 8**0.5) ** 2)


def naive_mmd(a, b):
  """The unbiased estimate of MMD², pair by pair."""
  kernel = lambda u, v: (np.dot(u, v) / len(u) + 1) ** 3  # noqa: E731
  within = [np.mean([kernel(u, v) for i, u in enumerate(x) for j, v in enumerate(x) if i != j]) for x in (a, b)]
  return sum(within) - 2 * np.mean([kernel(u, v) for u in a for v in b])


def test_kid_is_the_mmd_of_its_kernel():
  """For two unit masses at u and v, MMD² = k(u, u) + k(v, v) - 2 k(u, v)."""
  u, v = np.ones((10, 2)), np.zeros((10, 2))
  assert kid(u, v, np.random.default_rng(0)) == pytest.approx(2**3 + 1 - 2)
  a, b = np.random.default_rng(0).normal(size=(2, 7, 3))
  assert kid(a, b, np.random.default_rng(0)) == pytest.approx(naive_mmd(a, b), rel=1e-9)
  assert kid(a, b, np.random.default_rng(0)) < kid(a, b + 1, np.random.default_rng(0))


def test_kid_is_the_mean_over_subsets():
  random_state = np.random.default_rng(0)
  a, b = random_state.normal(size=(9, 3)), random_state.normal(1, 2, size=(6, 3))
  draw = lambda random_state, x, size: x[random_state.permutation(len(x))[:size]]  # noqa: E731
  for size, asked in ((4, {"size": 4, "subsets": 3}), (6, {})):  # at most as many as the smaller set has
    random_state = np.random.default_rng(5)
    pairs = [(draw(random_state, a, size), draw(random_state, b, size)) for _ in range(asked.get("subsets", 20))]
    expected = np.mean([naive_mmd(*pair) for pair in pairs])
    assert kid(a, b, np.random.default_rng(5), **asked) == pytest.approx(expected, rel=1e-9)
