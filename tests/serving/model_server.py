"""A model server for the tests: `tensorflow_model_server`, where it is on the PATH, or a double of it.

The double speaks the real gRPC protocol (`tensorflow.serving.PredictionService`) and runs the SavedModel as TensorFlow
Serving does with `--enable_batching`, in Python: in a session that feeds the tensors of its signatures, with the
requests of several clients joined; and the warm-up requests go the same way before the first client's.
"""

import concurrent.futures
import contextlib
import pathlib
import re
import shutil
import socket
import subprocess
import threading
import time

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_log_pb2, prediction_service_pb2_grpc

BINARY = shutil.which("tensorflow_model_server")


@contextlib.contextmanager
def serve(folder: pathlib.Path):
  """Serves the newest version of the model in `folder`, by its name, on loopback; gives the address.

  It batches by the parameters that lie beside the folder, as the README's command does.
  """
  batching = folder.parent / "batching_parameters.txt"
  if BINARY:
    with socket.socket() as one:
      one.bind(("127.0.0.1", 0))
      address = f"127.0.0.1:{one.getsockname()[1]}"
    command = [BINARY, f"--port={address.split(':')[1]}", f"--model_name={folder.name}", f"--model_base_path={folder}"]
    command += ["--enable_batching", f"--batching_parameters_file={batching}"]
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
  double = Double(folder.name, version, batching.read_text())
  prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(double, server)
  port = server.add_insecure_port("127.0.0.1:0")
  server.start()
  try:
    yield f"127.0.0.1:{port}"
  finally:
    server.stop(None).wait()
    double.close()


class Double(prediction_service_pb2_grpc.PredictionServiceServicer):
  """PredictionService for one version of one model.

  Args:
    name: of the model.
    version: its folder.
    batching: the text of a `batching_parameters.txt`.

  Raises:
    tf.errors.OpError: the model cannot be loaded, as when a warm-up request fails.
  """

  def __init__(self, name: str, version: pathlib.Path, batching: str):
    self.name, self.version = name, int(version.name)
    self._session = tf.compat.v1.Session(graph=tf.Graph())
    with self._session.graph.as_default():
      self.meta = tf.compat.v1.saved_model.load(self._session, ["serve"], str(version))
    signatures = [
      ({info.name for info in signature.inputs.values()}, {info.name for info in signature.outputs.values()})
      for signature in self.meta.signature_def.values()
      if signature.inputs
    ]
    self.session = BatchingSession(self._session.run, signatures, batching)
    for record in tf.compat.v1.io.tf_record_iterator(str(version / "assets.extra" / "tf_serving_warmup_requests")):
      self.answer(prediction_log_pb2.PredictionLog.FromString(record).predict_log.request)

  def close(self):
    self._session.close()

  def Predict(self, request, context):
    self._check_name(request, context)
    try:
      return self.answer(request)
    except tf.errors.OpError as error:
      context.abort(list(grpc.StatusCode)[error.error_code], str(error.message))
    except ValueError as error:  # TensorFlow's Python session checks shapes itself
      context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))

  def answer(self, request: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    """The response to a request of this model; raises `tf.errors.OpError`, or ValueError for a wrong shape."""
    name = request.model_spec.signature_name or "serving_default"
    if name not in self.meta.signature_def:
      raise _invalid(f'Serving signature key "{name}" not found.')
    signature = self.meta.signature_def[name]
    if missing := set(signature.inputs) ^ set(request.inputs):
      raise _invalid(f"input keys do not match the signature: {sorted(missing)}")
    feeds = {}
    for key, proto in request.inputs.items():
      info = signature.inputs[key]
      if proto.dtype != info.dtype:
        raise _invalid(f"'{key}' must be {tf.as_dtype(info.dtype).name}")
      try:
        feeds[info.name] = tf.make_ndarray(proto)
      except (ValueError, TypeError) as error:
        raise _invalid(f"'{key}' is no tensor: {error}") from error
    wanted = [key for key in signature.outputs if not request.output_filter or key in request.output_filter]
    values = self.session.run([signature.outputs[key].name for key in wanted], feeds)
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

  def _check_name(self, request, context):
    if request.model_spec.name != self.name:
      context.abort(grpc.StatusCode.NOT_FOUND, f"Servable not found for request: Latest({request.model_spec.name})")

  def _tell(self, spec, request):
    spec.name, spec.version.value = self.name, self.version
    spec.signature_name = getattr(request.model_spec, "signature_name", "")


class BatchingSession:
  """Joins runs of a session, in the terms and words of TensorFlow Serving's `batching_session.cc`.

  Runs that arrive within `batch_timeout_micros` become one run of their inputs, concatenated along dimension 0, and
  each gets its rows of the outputs. Where `allowed_batch_sizes` are given, a batch is filled up to one of these sizes
  with copies of a row. A run of other tensors than those of one signature is not joined. If the run of a batch fails,
  each of the joined runs raises its error.

  Args:
    run: of the session: names of outputs, arrays of inputs by name.
    signatures: names of the inputs and of the outputs of each.
    parameters: the text of a `batching_parameters.txt`.
  """

  def __init__(self, run, signatures, parameters: str):
    self._run, self._signatures = run, signatures
    values = {key: int(value) for key, value in re.findall(r"(\w+) \{ value: (\d+) \}", parameters)}
    self._max_batch_size, self._timeout = values["max_batch_size"], values["batch_timeout_micros"] / 1e6
    self._allowed = [int(size) for size in re.findall(r"allowed_batch_sizes: (\d+)", parameters)]
    self._open, self._lock = {}, threading.Lock()
    self.batches = []
    """For each batch the sizes of its runs, and then the number of rows that fill it, where there are any."""

  def run(self, fetches: list[str], feeds: dict[str, np.ndarray]) -> list[np.ndarray]:
    if (set(feeds), set(fetches)) not in self._signatures:
      return self._run(fetches, feeds)
    key, size = tuple(sorted(feeds)), _batch_size(feeds.values())
    if size > self._max_batch_size:
      raise _invalid(f"Task size {size} is larger than maximum input batch size {self._max_batch_size}")
    with self._lock:
      batch = self._open.get(key)
      leads = batch is None or batch.size + size > self._max_batch_size
      if leads:
        if batch:
          batch.closed.set()
        batch = self._open[key] = _Batch()
      index = batch.add(feeds, size)
      if batch.size == self._max_batch_size:
        batch.closed.set()
    if leads:
      batch.closed.wait(self._timeout)
      with self._lock:
        if self._open.get(key) is batch:
          del self._open[key]
      try:
        batch.outputs.set_result(self._process(batch, fetches))
      except Exception as error:  # `result` below raises it in each run of the batch
        batch.outputs.set_exception(error)
    values = batch.outputs.result()[index]
    return [values[name] for name in fetches]

  def _process(self, batch, fetches) -> list[dict[str, np.ndarray]]:
    sizes, padding = [_batch_size(task.values()) for task in batch.tasks], 0
    if self._allowed:
      padding = min(size for size in self._allowed if size >= batch.size) - batch.size
    merged = {}
    for name in batch.tasks[0]:
      tensors = [task[name] for task in batch.tasks]
      if any(tensor.shape[1:] != tensors[0].shape[1:] for tensor in tensors):
        words = f"Tensors with name '{name}' from different tasks have different shapes and padding is turned off."
        raise tf.errors.FailedPreconditionError(None, None, words)
      merged[name] = np.concatenate([*tensors, *[tensors[-1][:1]] * padding])
    self.batches.append([*sizes, *[padding] * (padding > 0)])
    outputs = {}
    for name, value in zip(fetches, self._run(fetches, merged)):
      if not value.ndim or len(value) != batch.size + padding:
        words = "Batched output tensor's 0th dimension does not equal the sum of the 0th dimension sizes of the input"
        raise tf.errors.FailedPreconditionError(None, None, words)
      outputs[name] = np.split(value, np.cumsum(sizes))
    return [{name: parts[i] for name, parts in outputs.items()} for i in range(len(sizes))]


class _Batch:
  """Runs that are joined; the thread of the first one runs the batch."""

  def __init__(self):
    self.tasks, self.size = [], 0
    self.closed, self.outputs = threading.Event(), concurrent.futures.Future()

  def add(self, feeds, size) -> int:
    self.tasks.append(feeds)
    self.size += size
    return len(self.tasks) - 1


def _batch_size(tensors) -> int:
  """The size of dimension 0, which all tensors of a run must share."""
  tensors = list(tensors)
  if not all(tensor.ndim for tensor in tensors):
    raise _invalid("Batching Run() input tensors must have at least one dimension")
  if len({len(tensor) for tensor in tensors}) > 1:
    raise _invalid("Batching Run() input tensors must have equal 0th-dimension size")
  return len(tensors[0])


def _invalid(words: str) -> tf.errors.InvalidArgumentError:
  return tf.errors.InvalidArgumentError(None, None, words)
