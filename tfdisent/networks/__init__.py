"""The networks of a model."""
