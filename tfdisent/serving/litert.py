"""Export of a trained model as a LiteRT (TensorFlow Lite) file, for phones and browsers.

The file has the signatures `encode` and `control` of `tfdisent.serving.signatures`, which take at least one image.
LiteRT has no assertions, so a label out of range is no error: its f(x) is the zero vector, which stands for no class.
"""

import pathlib
import tempfile

import tensorflow as tf

from tfdisent.errors import RunError
from tfdisent.inference import TrainedModel
from tfdisent.registry import register_exporter
from tfdisent.run import replace
from tfdisent.serving.signatures import ServedModel


@register_exporter("litert")
def export(trained: TrainedModel, folder: pathlib.Path, config: str = "") -> pathlib.Path:
  """`export_litert` to `folder`.tflite; the file keeps no `config`."""
  return export_litert(trained, folder.with_name(f"{folder.name}.tflite"))


def export_litert(trained: TrainedModel, path: pathlib.Path) -> pathlib.Path:
  """Writes `encode` and `control` as one LiteRT file of native operations; a file at `path` is replaced.

  Args:
    trained: the model.
    path: the file, `….tflite`.

  Returns:
    `path`.

  Raises:
    RunError: the file cannot be written, or the model cannot be converted, for instance since f uses an operation that
      LiteRT lacks; the message holds the converter's error.
  """
  trained = TrainedModel(trained.model.in_float32(), trained.batch_size, trained.class_names)  # it has no bfloat16
  served, module = ServedModel(trained, pad_empty=False), tf.Module(name="tfdisent")
  module.weights = served.weights()
  functions = served.signatures(["encode", "control"])
  try:
    with tempfile.TemporaryDirectory() as folder:
      tf.saved_model.save(module, folder, signatures=functions)
      converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
      content = converter.convert()
  except Exception as error:  # the converter raises errors of many kinds
    raise RunError(f"the model cannot be converted to LiteRT: {error}") from error
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content)
  except OSError as error:
    raise RunError(f"the model cannot be exported to {path}: {error}.") from error
  return path
