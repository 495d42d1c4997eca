"""A model server for the tests: `tensorflow_model_server`, where it is on the PATH, or a double of it.

The double speaks the real gRPC protocol (`tensorflow.serving.PredictionService`) and runs the SavedModel as TensorFlow
Serving does, in a session that feeds the tensors of its signatures; in Python.
"""

import concurrent.futures
import contextlib
import pathlib
import shutil
import socket
import subprocess
import time

import grpc
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

BINARY = shutil.which("tensorflow_model_server")


@contextlib.contextmanager
def serve(folder: pathlib.Path):
  """Serves the newest version of the model in `folder`, by its name, on loopback; gives the address."""
  if BINARY:
    with socket.socket() as one:
      one.bind(("127.0.0.1", 0))
      address = f"127.0.0.1:{one.getsockname()[1]}"
    command = [BINARY, f"--port={address.split(':')[1]}", f"--model_name={folder.name}", f"--model_base_path={folder}"]
    server = subprocess.Popen([*command, f"--grpc_socket_path={folder.parent}/socket"], stderr=subprocess.DEVNULL)
    try:
      grpc.channel_ready_future(grpc.insecure_channel(address)).result(60)
      time.sleep(1)
      yield address
    finally:
      server.terminate()
      server.wait()
    return
  version = max(folder.glob("[0-9]*"), key=lambda path: int(path.name))
  server = grpc.server(concurrent.futures.ThreadPoolExecutor(8))
  double = Double(folder.name, version)
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(double, server)
  port = server.add_insecure_port("127.0.0.1:0")
  server.start()
  try:
    yield f"127.0.0.1:{port}"
  finally:
    server.stop(None).wait()
    double.session.close()


class Double(prediction_service_pb2_grpc.PredictionServiceServicer):
  """PredictionService for one version of one model."""

  def __init__(self, name: str, version: pathlib.Path):
    self.name, self.version = name, int(version.name)
    self.session = tf.compat.v1.Session(graph=tf.Graph())
    with self.session.graph.as_default():
      self.meta = tf.compat.v1.saved_model.load(self.session, ["serve"], str(version))

  def Predict(self, request, context):
    signature = self._signature(request, context)
    if missing := set(signature.inputs) ^ set(request.inputs):
      self._refuse(context, f"input keys do not match the signature: {sorted(missing)}")
    feeds = {}
    for key, proto in request.inputs.items():
      info = signature.inputs[key]
      if proto.dtype != info.dtype:
        self._refuse(context, f"'{key}' must be {tf.as_dtype(info.dtype).name}")
      try:
        feeds[info.name] = tf.make_ndarray(proto)
      except (ValueError, TypeError) as error:
        self._refuse(context, f"'{key}' is no tensor: {error}")
    wanted = [key for key in signature.outputs if not request.output_filter or key in request.output_filter]
    try:
      values = self.session.run([signature.outputs[key].name for key in wanted], feeds)
    except tf.errors.OpError as error:
      context.abort(list(grpc.StatusCode)[error.error_code], str(error.message))
    except ValueError as error:  # Python's session refuses shapes itself
      self._refuse(context, str(error))
    response = predict_pb2.PredictResponse()
    self._tell(response.model_spec, request)
    for key, value in zip(wanted, values):
      response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
    return response

  def GetModelMetadata(self, request, context):
    self._check_name(request, context)
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    self._tell(response.model_spec, request)
    signatures = get_model_metadata_pb2.SignatureDefMap(signature_def=self.meta.signature_def)
    response.metadata["signature_def"].Pack(signatures)
    return response

  def _signature(self, request, context):
    self._check_name(request, context)
    name = request.model_spec.signature_name or "serving_default"
    if name not in self.meta.signature_def:
      self._refuse(context, f'Serving signature key "{name}" not found.')
    return self.meta.signature_def[name]

  def _check_name(self, request, context):
    if request.model_spec.name != self.name:
      context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({request.model_spec.name})")

  def _tell(self, spec, request):
    spec.name, spec.version.value = self.name, self.version
    spec.signature_name = getattr(request.model_spec, "signature_name", "")

  def _refuse(self, context, words):
    context.abort(grpc.StatusCode.INVALID_ARGUMENT, words)
