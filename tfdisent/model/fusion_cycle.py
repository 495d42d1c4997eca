"""A loss beyond the paper: the way back from a fusion ends at its source. `objective.losses = ('fusion_cycle',)`."""

import dataclasses

from tfdisent import losses
from tfdisent.model.loss import Loss
from tfdisent.registry import register_loss


@register_loss("fusion_cycle")
@dataclasses.dataclass(frozen=True)
class FusionCycle(Loss):
  """L_back: G(E1(x̂), z2) is x, with the mean of q(z1 | x̂). See `losses.fusion_cycle_loss`.

  A fusion whose z1 is the prior's has no source, and does not count. It costs another pass of E1 and of G.
  """

  symbol = "L_back"
  needs_source = True

  def __call__(self, model, forward):
    x_back = model.decode(model.posterior_z1(forward.x_fusion).mean(), forward.z2)
    return forward.mean_with_source(losses.fusion_cycle_loss(forward.x, x_back, model.objective.stddev))
