"""The model of the paper: its objective, its networks in their places, and its training step."""

from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

__all__ = ["DisentangledVAE", "Objective"]
