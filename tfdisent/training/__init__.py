"""Training a model: the loop, what happens beside its steps, and the optimizers."""
