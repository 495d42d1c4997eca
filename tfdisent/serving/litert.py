"""Export of a trained model as a LiteRT (TensorFlow Lite) file, for phones and browsers."""

import pathlib
import tempfile

import tensorflow as tf

from tfdisent.errors import RunError
from tfdisent.inference import TrainedModel
from tfdisent.run import replace
from tfdisent.serving.signatures import Served


def export_litert(trained: TrainedModel, path: pathlib.Path) -> pathlib.Path:
  """Writes `encode` and `control` as a LiteRT (TensorFlow Lite) file of native operations, replacing one that is there.

  Args:
    trained: the model.
    path: of the file, `….tflite`.

  Returns:
    `path`.

  Raises:
    RunError: the file cannot be written, or the converter cannot take the model (a feature computed with an operation
      that LiteRT lacks, say); the message has the converter's words.
  """
  served, module = Served(trained, takes_none=False), tf.Module(name="tfdisent")
  module.weights = served.weights()
  functions = served.signatures(["encode", "control"])
  try:
    with tempfile.TemporaryDirectory() as folder:
      tf.saved_model.save(module, folder, signatures=functions)
      converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
      content = converter.convert()
  except Exception as error:  # the converter has its own kinds
    raise RunError(f"the model cannot be converted to LiteRT: {error}") from error
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content)
  except OSError as error:
    raise RunError(f"the model cannot be exported to {path}: {error}.") from error
  return path
