"""What a model is trained for: the weights and the kinds of the terms of L."""

import dataclasses
import numbers

import numpy as np

from tfdisent.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Objective:
  """L = L_VAE + λ3 L_f + λ4 L_GAN, with L_VAE = -log p(x | z1, z2) + λ1 KL(z1) + λ2 KL(z2).

  Beyond the paper, L has + λ5 L_mirror - λ6 L_a + λ7 L_cycle. The defaults are the paper's.

  Attributes:
    likelihood: p(x | z1, z2), "gaussian" or "laplace" of scale `stddev`, or "bernoulli".
    stddev: σ of the Gaussian or Laplace likelihood, in units of the image's range [0, 1]: ‖x - x'‖² is weighted by
      1 / (2 σ²), ‖x - x'‖₁ by √2 / σ.
    lambda1: weight of KL(q(z1 | x) ‖ N(0, I)).
    lambda2: weight of KL(q(z2 | f(x)) ‖ N(0, I)); a z2 that is f(x) itself has none.
    lambda3: weight of L_f; 0 leaves q and L_f out.
    lambda4: weight of L_GAN; 0 leaves D and L_D out.
    feature_loss: "f1" (the first bound, L_f1) or "f2" (the second, L_f2); None takes the feature's kind: L_f1 for
      discrete, L_f2 for continuous. Under L_f1 the encoder of a learned z2 learns from L_VAE alone: see
      `losses.feature_loss_f1`.
    q_data: what q(z̃2 | z1, x̂) learns from: "fusions", jointly with G (the paper); "pairs", real images and their z2, so
      that G cannot write z̃2 in a hand that only q reads; or "both". On a pair, z1 comes from another image: as on a
      fusion it then tells nothing of the code, and q must read the image. The bound holds for any q.
    q_noise: standard deviation of normal noise ε added to the images that q reads, and in L_f2 the network of a learned
      f, in units of the image's range; 0 is the paper. A q of the noisy image is a bound too, since I(z̃2; x̂ | z1) ≥
      I(z̃2; x̂ + ε | z1) (data processing), and G cannot win it with a faint pattern: it must draw f large.
    d_real: the images that D takes for real: "reconstructions" x' (the paper) or "originals" x.
    lambda5: weight of L_mirror, which keeps z1 readable in the fusion: see `losses.mirror_loss`. 0 is the paper.
    lambda6: weight of -L_a: what an adversary a(f(x) | z1) reads in z1, its mean and its sample alike, is taken out of
      it; see `losses.adversary_loss`. 0 is the paper, and leaves a out.
    a_optimizer: which optimizer a learns with: "eg", with the encoders and the generator, or "d", with D, at a rate of
      its own. An adversary that is slower than E1 is evaded rather than convinced (the two time-scales of Heusel et al.
      2017).
    lambda7: weight of L_cycle, the cycle consistency of Jha et al. 2018, as a baseline: see `losses.cycle_loss`. 0 is
      the paper.
    ramp_steps: λ5, λ6 and λ7 rise to their value over so many steps, in proportion, and a Gaussian likelihood turns
      into the Laplace one, where that is asked for; 0 has all of it from the start.
    prior_fusions: share of the fusions whose z1 is drawn from the prior N(0, I) instead of q(z1 | x), in L_f and L_GAN
      alike, in [0, 1]; 0 is the paper. It teaches G the prior, from which `TrainedModel.generate` draws.
  """

  likelihood: str = "gaussian"
  stddev: float = 0.25
  lambda1: float = 1.0
  lambda2: float = 1.0
  lambda3: float = 10.0
  lambda4: float = 1.0
  lambda5: float = 0.0
  lambda6: float = 0.0
  lambda7: float = 0.0
  ramp_steps: int = 0
  feature_loss: str | None = None
  q_data: str = "fusions"
  q_noise: float = 0.0
  d_real: str = "reconstructions"
  prior_fusions: float = 0.0
  a_optimizer: str = "eg"

  def __post_init__(self):
    for name, known in (
      ("likelihood", ("gaussian", "laplace", "bernoulli")),
      ("feature_loss", (None, "f1", "f2")),
      ("q_data", ("fusions", "pairs", "both")),
      ("d_real", ("reconstructions", "originals")),
      ("a_optimizer", ("eg", "d")),
    ):
      if getattr(self, name) not in known:
        raise ConfigError(f"objective.{name} = {getattr(self, name)!r}: choose one of {', '.join(map(repr, known))}.")
    for name in (*(f"lambda{i}" for i in range(1, 8)), "stddev", "q_noise", "prior_fusions", "ramp_steps"):
      value = getattr(self, name)
      if not (isinstance(value, numbers.Real) and np.isfinite(value) and value >= 0):
        raise ConfigError(f"objective.{name} = {value!r} must be a number, finite and not negative.")
    if not self.stddev:
      raise ConfigError(f"objective.stddev = {self.stddev} must be positive.")
    if self.prior_fusions > 1:
      raise ConfigError(f"objective.prior_fusions = {self.prior_fusions} must lie in [0, 1].")
