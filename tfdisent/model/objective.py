"""What a model is trained for: the weights and the kinds of the terms of L."""

import dataclasses
import numbers
import sys
from collections.abc import Mapping, Sequence

from tfdisent.errors import ConfigError, shown
from tfdisent.losses import OF_GAN
from tfdisent.model.beyond import Adversary, Cycle, Matching, Mirror
from tfdisent.model.change import Change as _registers_change  # noqa: F401
from tfdisent.model.equivariance import Equivariance as _registers_equivariance  # noqa: F401
from tfdisent.model.fusion_cycle import FusionCycle as _registers_fusion_cycle  # noqa: F401
from tfdisent.model.loss import Loss, make_loss
from tfdisent.model.smooth import Smooth as _registers_smooth  # noqa: F401
from tfdisent.moved import BINDINGS

WEIGHTS = ("lambda1", "lambda2", "lambda3", "lambda4", "mirror", "adversary", "cycle", "matching", "r1")
OF_VAE = ("lambda1", "lambda2")
"""The weights of L_VAE; without the others, what is left is a plain VAE."""


@dataclasses.dataclass(frozen=True)
class Objective:
  """L = L_VAE + λ3 L_f + λ4 L_GAN, with L_VAE = -log p(x | z1, z2) + λ1 KL(z1) + λ2 KL(z2).

  Beyond the paper, L has + mirror · L_mirror - adversary · L_a + cycle · L_cycle + matching · L_match, and the losses
  of plug-ins. The defaults are the paper's.

  Attributes:
    likelihood: p(x | z1, z2), "gaussian" or "laplace" of scale `stddev`, or "bernoulli".
    stddev: σ of the Gaussian or Laplace likelihood, in units of the image's range [0, 1]: ‖x - x'‖² is weighted by
      1 / (2 σ²), ‖x - x'‖₁ by √2 / σ.
    lambda1: weight of KL(q(z1 | x) ‖ N(0, I)).
    lambda2: weight of KL(q(z2 | f(x)) ‖ N(0, I)); a z2 that is f(x) itself has none.
    lambda3: weight of L_f; 0 leaves q and L_f out.
    lambda4: weight of L_GAN; 0 leaves D and L_D out.
    mirror: weight of L_mirror, which keeps z1 readable in the fusion: see `losses.mirror_loss`. 0 is the paper.
    adversary: weight of -L_a: E1 takes out of z1 what an adversary a(f(x) | z1) reads in its mean or its sample; see
      `losses.adversary_loss`. 0 is the paper, and leaves a out.
    cycle: weight of L_cycle, the cycle consistency of Jha et al. 2018, as a baseline: see `losses.cycle_loss`. 0 is the
      paper.
    matching: weight of L_match, a likelihood of x' in the layers of D: see `losses.matching_loss`. 0 is the paper.
    r1: weight of R1 / 2 in L_D, which keeps D from winning; 1 to 10 is usual. See `losses.r1_penalty`. 0 is the paper.
    r1_every: R1 is computed once in so many steps, with so many times the weight (Karras et al. 2020).
    gan: L_D and L_GAN: "logistic" (the paper) or "hinge", see `losses.hinge_discriminator_loss`.
    ramp_steps: the weights beyond the paper rise from 0 over so many steps, in proportion, and a Gaussian likelihood
      turns into the Laplace one, where that is chosen; 0 has all of it from the start.
    feature_loss: "f1" (the first bound, L_f1) or "f2" (the second, L_f2); None takes the feature's kind: L_f1 for
      discrete, L_f2 for continuous. Under L_f1 the encoder of a learned z2 learns from L_VAE alone: see
      `losses.feature_loss_f1`.
    q_data: what q(z̃2 | z1, x̂) learns from: "fusions", jointly with G (the paper); "pairs", real images and their own
      z2; or "both". With pairs, G and q cannot agree on a pattern that q alone recognises. A pair has the z1 of another
      image: in a fusion z1 is independent of z̃2, so q must read the image. The bound holds for any q.
    q_noise: standard deviation of normal noise ε added to the images that q reads, and in L_f2 the network of a learned
      f, in units of the image's range; 0 is the paper. A q of the noisy image is a bound too, since I(z̃2; x̂ | z1) ≥
      I(z̃2; x̂ + ε | z1) (data processing), and G cannot win it with a faint pattern: it must draw f large.
    d_real: the images that D takes for real: "reconstructions" x' (the paper) or "originals" x.
    prior_fusions: share of the fusions whose z1 is drawn from the prior N(0, I) instead of q(z1 | x), in L_f and L_GAN
      alike, in [0, 1]; 0 is the paper. It teaches G the prior, from which `TrainedModel.generate` draws.
    a_optimizer: which optimizer a learns with: "eg", that of the encoders and the generator, or "d", that of D, which
      has a rate of its own. If a learns more slowly than E1, E1 lowers a's accuracy by moving its codes, not by
      removing f; "d" gives a the faster optimizer (the two time-scales of Heusel et al. 2017).
    adversary_ceiling: whether E1 raises L_a of each part of f no further than a z1 that tells nothing has it: see
      `losses.entropy_bound`. False is as in Lample et al. 2017.
    losses: more terms of L: `Loss` records, or names of registered ones. Each has a weight of its own.
  """

  likelihood: str = "gaussian"
  stddev: float = 0.25
  lambda1: float = 1.0
  lambda2: float = 1.0
  lambda3: float = 10.0
  lambda4: float = 1.0
  mirror: float = 0.0
  adversary: float = 0.0
  cycle: float = 0.0
  matching: float = 0.0
  r1: float = 0.0
  r1_every: int = 16
  gan: str = "logistic"
  ramp_steps: int = 0
  feature_loss: str | None = None
  q_data: str = "fusions"
  q_noise: float = 0.0
  d_real: str = "reconstructions"
  prior_fusions: float = 0.0
  a_optimizer: str = "eg"
  adversary_ceiling: bool = False
  losses: Sequence[Loss | str | Mapping] = ()

  def __post_init__(self):
    for name, known in (
      ("likelihood", ("gaussian", "laplace", "bernoulli")),
      ("feature_loss", (None, "f1", "f2")),
      ("q_data", ("fusions", "pairs", "both")),
      ("d_real", ("reconstructions", "originals")),
      ("a_optimizer", ("eg", "d")),
      ("adversary_ceiling", (False, True)),
      ("gan", tuple(OF_GAN)),
    ):
      if getattr(self, name) not in known:
        raise ConfigError(
          f"objective.{name} = {shown(getattr(self, name))}: choose one of {', '.join(map(repr, known))}."
        )
    for name in (*WEIGHTS, "stddev", "q_noise", "prior_fusions", "ramp_steps"):
      value = getattr(self, name)
      if not (isinstance(value, numbers.Real) and 0 <= value <= sys.float_info.max):
        raise ConfigError(f"objective.{name} = {shown(value)} must be a number, finite and not negative.")
    if not self.stddev:
      raise ConfigError(f"objective.stddev = {self.stddev} must be positive.")
    if self.prior_fusions > 1:
      raise ConfigError(f"objective.prior_fusions = {self.prior_fusions} must lie in [0, 1].")
    if not (isinstance(self.r1_every, int) and self.r1_every >= 1):
      raise ConfigError(f"objective.r1_every = {shown(self.r1_every)} must be a whole number of at least 1.")
    for name in ("matching", "r1"):
      if getattr(self, name) and not self.lambda4:
        raise ConfigError(f"objective.{name} = {getattr(self, name)} is of D, which objective.lambda4 = 0 leaves out.")
    if isinstance(self.losses, (str, bytes, Mapping)) or not isinstance(self.losses, Sequence):
      raise ConfigError(f"objective.losses = {shown(self.losses)} must list names of losses, as in ('my_loss',).")
    object.__setattr__(self, "losses", tuple(map(make_loss, self.losses)))
    if self.prior_fusions == 1 and (without := next((loss for loss in self.beyond if loss.needs_source), None)):
      raise ConfigError(
        f"objective.prior_fusions = 1 makes every fusion from the prior, and the loss '{without.name}' compares a "
        "fusion with the image that it was made from: it would have nothing to compare. Take a share below 1, such as "
        "0.5, or leave the loss out of objective.losses."
      )
    symbols = [loss.symbol for loss in self.beyond]
    if twice := next((symbol for symbol in symbols if symbols.count(symbol) > 1), None):
      raise ConfigError(f"objective.losses has two losses of the symbol '{twice}': the logs could not tell them apart.")

  @property
  def beyond(self) -> tuple[Loss, ...]:
    """The losses beyond the paper that L has."""
    adversary = Adversary(self.adversary, self.a_optimizer, self.adversary_ceiling)
    own = (Mirror(self.mirror), adversary, Cycle(self.cycle), Matching(self.matching))
    return tuple(loss for loss in (*own, *self.losses) if loss.weight)

  def only_vae(self) -> "Objective":
    """The same objective with L_VAE alone."""
    zeros = dict.fromkeys(set(WEIGHTS) - set(OF_VAE), 0.0)
    return dataclasses.replace(self, **zeros, losses=())

  def get_config(self) -> dict:
    """The arguments as plain data."""
    fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
    return {**fields, "losses": [loss.get_config() for loss in self.losses]}

  @classmethod
  def from_config(cls, config: Mapping) -> "Objective":
    """The objective of `get_config`, also of a version that called λ5, λ6 and λ7 so."""
    old = {key.removeprefix("objective."): new.removeprefix("objective.") for key, new in BINDINGS.items()}
    return cls(**{old.get(name, name): value for name, value in config.items()})
