"""The model of the paper: its objective, its terms, its networks in their places, and its training step."""

from tfdisent.model.loss import Forward, Loss, Term
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

__all__ = ["DisentangledVAE", "Forward", "Loss", "Objective", "Term"]
