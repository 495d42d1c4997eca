"""Serves an exported model by REST with KServe's model server: `python kserve_server.py FOLDER/VERSION NAME PORT`.

Run by the Python of an environment that has `kserve` and `tensorflow`, and nothing of this project.
"""

import base64
import sys

import kserve
import numpy as np
import tensorflow as tf


class SavedModel(kserve.Model):
  """The signatures of a SavedModel, in the columns of TensorFlow Serving's REST requests."""

  def __init__(self, name, folder):
    super().__init__(name)
    self.signatures = tf.saved_model.load(folder).signatures
    self.ready = True

  def predict(self, payload, headers=None, response_headers=None):
    function = self.signatures[payload.get("signature_name", "serving_default")]
    specs = function.structured_input_signature[1]
    inputs = {key: tf.constant(_bytes(value), specs[key].dtype) for key, value in payload["inputs"].items()}
    try:
      outputs = {key: value.numpy() for key, value in function(**inputs).items()}
    except tf.errors.InvalidArgumentError as error:
      raise kserve.errors.InvalidInput(error.message) from error
    outputs = {key: _json(value) for key, value in outputs.items()}
    return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}  # as TensorFlow Serving


def _bytes(value):
  if isinstance(value, list):
    return [_bytes(one) for one in value]
  return base64.b64decode(value["b64"]) if isinstance(value, dict) else value


def _json(value: np.ndarray):
  if value.dtype == object:
    return [{"b64": base64.b64encode(one).decode()} for one in value]
  return value.tolist()


if __name__ == "__main__":
  folder, name, port = sys.argv[1:]
  server = kserve.ModelServer(http_port=int(port), enable_grpc=False, workers=1)
  server.start([SavedModel(name, folder)])
