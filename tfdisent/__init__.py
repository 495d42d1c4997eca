"""tfdisent: disentangled representation learning for controllable image synthesis, with features you plug in.

After Tang, Zhou, He, Ma: Disentangled Representation Learning for Controllable Image Synthesis: an
Information-Theoretic Perspective.

    import tfdisent
    m = tfdisent.load("runs/quickstart")
    fusions = m.fuse(images, feature_images)
"""

import importlib

from tfdisent import hardware, keras_names, moved

__version__ = "0.2.0"

hardware.use_onednn()  # before TensorFlow is imported

moved.install()
keras_names.install()

_EXPORTS = {
  "load": "api",
  "models": "shipped",
  "TrainedRun": "api",
  "show_fusions": "pictures",
  "TrainedModel": "inference",
  "Encoding": "inference",
  "Feature": "feature.contract",
  "DISCRETE": "feature.contract",
  "CONTINUOUS": "feature.contract",
  "COMPOSITE": "feature.contract",
  "LearnedFeature": "feature.learned",
  "train": "api",
  "fit_feature": "api",
  "evaluate": "api",
  "erase": "api",
  "export": "api",
  "Dataset": "data.dataset",
  "DisentangledVAE": "model.vae",
  "Objective": "model.objective",
  "Loss": "model.loss",
  "Forward": "model.loss",
  "Judge": "data.dataset",
  "Measurement": "evaluation.measurement",
  "Case": "evaluation.case",
  "register_feature": "registry",
  "register_dataset": "registry",
  "register_networks": "registry",
  "register_loss": "registry",
  "register_measurement": "registry",
  "register_exporter": "registry",
  "TfdisentError": "errors",
  "ConfigError": "errors",
  "DataError": "errors",
  "FeatureError": "errors",
  "RegistryError": "errors",
  "RunError": "errors",
  "CheckpointError": "errors",
  "Interrupted": "errors",
  "NonFiniteLossError": "errors",
}
__all__ = list(_EXPORTS)


def __getattr__(name):
  """Imports a name when it is used, so that `tfdisent --help` does not wait for TensorFlow."""
  if name == "data":
    return importlib.import_module("tfdisent.data")
  if name not in _EXPORTS:
    raise AttributeError(f"module 'tfdisent' has no attribute '{name}'")
  return getattr(importlib.import_module(f"tfdisent.{_EXPORTS[name]}"), name)


def __dir__():
  return sorted([*globals(), *__all__])
