"""The exported model, served: by gRPC, by TensorFlow's own command line, by LiteRT; many requests, and bad ones."""

import base64
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
import tensorflow as tf

pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed (the extra 'serving')")

import grpc
from tensorflow.core.framework.tensor_pb2 import TensorProto
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from features.color import Color
from features.pose import Pose
from tests.conftest import TINY
from tests.processes import Fork, in_fork
from tests.serving.model_server import BatchingSession, Double, serve
from tfdisent import RunError
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.serving.litert import export_litert
from tfdisent.serving.saved_model import _write_warmup, export, newest_version

README = pathlib.Path(__file__).parent.parent.parent / "tfdisent" / "serving" / "README.md"


@pytest.fixture(scope="module")
def folder(digit_run, tmp_path_factory):
  folder = tmp_path_factory.mktemp("export") / "quickstart"
  export(digit_run.trained, folder)
  return folder


@pytest.fixture(scope="module")
def address(folder):
  with serve(folder) as address:
    yield address


@pytest.fixture(scope="module")
def predict(address):
  """Asks the server for a signature: outputs as arrays, or raises `grpc.RpcError`."""
  with grpc.insecure_channel(address) as channel:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)

    def ask(signature, inputs, name="quickstart", output_filter=()):
      request = predict_pb2.PredictRequest(output_filter=output_filter)
      request.model_spec.name, request.model_spec.signature_name = name, signature
      for key, value in inputs.items():
        request.inputs[key].CopyFrom(value if isinstance(value, TensorProto) else tf.make_tensor_proto(value))
      outputs = stub.Predict(request, timeout=60.0).outputs
      return {key: tf.make_ndarray(proto) for key, proto in outputs.items()}

    yield ask


def some_requests(few_digits, count, seed=0):
  """Good requests of every signature, of one to four examples each."""
  random_state = np.random.default_rng(seed)
  x = few_digits.test["image"]
  pngs = np.array([tf.io.encode_png(image).numpy() for image in x], object)
  requests = []
  for i in range(count):
    rows, partners = random_state.integers(len(x), size=(2, random_state.integers(1, 5)))
    feature = random_state.integers(10, size=len(rows))
    seed = random_state.integers(1000, size=len(rows))
    kinds = [
      ("encode", {"image": x[rows]}),
      ("reconstruct", {"image": x[rows]}),
      ("fuse", {"image": x[rows], "feature_image": x[partners]}),
      ("control", {"image": x[rows], "feature": feature}),
      ("serving_default", {"image": x[rows], "feature": feature}),
      ("generate", {"feature": feature, "seed": seed}),
      ("encode_png", {"image_bytes": pngs[rows]}),
      ("control_png", {"image_bytes": pngs[rows], "feature": feature}),
    ]
    requests.append(kinds[i % len(kinds)])
  return requests


def assert_same_answer(got, expected):
  assert set(got) == set(expected)
  for key in expected:
    a, b = got[key], expected[key]
    if b.dtype == object:  # PNG: their pixels
      a, b = (np.stack([tf.io.decode_png(png) for png in pngs]) for pngs in (a, b))
    if b.dtype == np.uint8:
      assert np.abs(a.astype(int) - b).max(initial=0) <= 1  # a level, at rounding
    else:
      np.testing.assert_allclose(a, b, atol=1e-5)


def test_every_signature_answers_by_grpc_as_it_does_in_python(predict, folder, few_digits):
  signatures = tf.saved_model.load(str(folder / "1")).signatures
  for signature, inputs in some_requests(few_digits, 16):
    here = signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
    assert_same_answer(predict(signature, inputs), {key: value.numpy() for key, value in here.items()})
  z1_mean = predict("encode", {"image": few_digits.test["image"][:2]}, output_filter=["z1_mean"])
  assert set(z1_mean) == {"z1_mean"}


def test_the_server_tells_of_the_signatures(address):
  request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
  request.model_spec.name = "quickstart"
  with grpc.insecure_channel(address) as channel:
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).GetModelMetadata(request, timeout=60.0)
  signatures = get_model_metadata_pb2.SignatureDefMap()
  response.metadata["signature_def"].Unpack(signatures)
  control = signatures.signature_def["control"]
  assert set(control.inputs) == {"image", "feature"} and set(control.outputs) == {"image"}
  assert [dim.size for dim in control.inputs["image"].tensor_shape.dim] == [-1, 28, 28, 3]
  assert control.inputs["image"].dtype == tf.uint8.as_datatype_enum
  assert response.model_spec.version.value == 1


def test_rows_of_a_batch_are_the_rows_alone(predict, few_digits):
  x, feature = few_digits.test["image"], few_digits.test["label"].astype(np.int64)
  images = predict("control", {"image": x, "feature": feature})["image"]
  for row in (0, 31, 63):
    alone = predict("control", {"image": x[row : row + 1], "feature": feature[row : row + 1]})["image"]
    assert_same_answer({"image": alone}, {"image": images[row : row + 1]})


def test_eight_threads_get_what_one_gets(predict, few_digits):
  requests = some_requests(few_digits, 800)
  with concurrent.futures.ThreadPoolExecutor(8) as threads:
    answers = list(threads.map(lambda request: predict(*request), requests))
  for request, answer in zip(requests, answers, strict=True):
    assert_same_answer(answer, predict(*request))


def test_a_seed_gives_the_same_images_after_a_reload(predict, folder, few_digits):
  inputs = {"feature": np.arange(10), "seed": np.arange(10) * 2**40}
  images = predict("generate", inputs)["image"]
  np.testing.assert_array_equal(predict("generate", inputs)["image"], images)
  again = tf.saved_model.load(str(folder / "1")).signatures["generate"]
  assert_same_answer({"image": again(**inputs)["image"].numpy()}, {"image": images})
  other = predict("generate", {**inputs, "seed": inputs["seed"] + 1})["image"]
  assert (other != images).any((1, 2, 3)).all()


# --- Requests that a server joins -------------------------------------------------------------------------------------

LONG = "max_batch_size { value: 5 }\nbatch_timeout_micros { value: 30000000 }\n"
NONE = "max_batch_size { value: 8 }\nbatch_timeout_micros { value: 0 }\n"


def as_request(signature, inputs):
  request = predict_pb2.PredictRequest()
  request.model_spec.name, request.model_spec.signature_name = "quickstart", signature
  for key, value in inputs.items():
    request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
  return request


def answered(double, signature, inputs):
  return {key: tf.make_ndarray(proto) for key, proto in double.answer(as_request(signature, inputs)).outputs.items()}


@pytest.fixture(scope="module")
def long_double(folder):
  double = Double("quickstart", folder / "1", NONE)  # the warm-up is not to wait
  double.session = BatchingSession(double._session.run, double.session._signatures, LONG)
  yield double
  double.close()


@pytest.mark.parametrize("signature", ["encode", "reconstruct", "fuse", "control", "generate", "control_png"])
def test_requests_that_are_joined_get_what_each_gets_alone(long_double, folder, few_digits, signature):
  x, label = few_digits.test["image"][:5], np.array([3, 3, 3, 4, 4])
  given = {"image": x, "feature_image": x[::-1], "feature": label, "seed": np.array([1, 2, 3, 3, 2**33])}
  given["image_bytes"] = np.array([tf.io.encode_png(image).numpy() for image in x], object)
  alone = tf.saved_model.load(str(folder / "1")).signatures[signature]
  inputs = {key: given[key] for key in alone.structured_input_signature[1]}
  parts = [{key: value[rows] for key, value in inputs.items()} for rows in (slice(0, 3), slice(3, 5))]
  with concurrent.futures.ThreadPoolExecutor(2) as threads:
    answers = list(threads.map(lambda part: answered(long_double, signature, part), parts))
  assert sorted(long_double.session.batches[-1]) == [2, 3]  # one run of the session
  for part, answer in zip(parts, answers):
    expected = alone(**{key: tf.constant(value) for key, value in part.items()})
    assert_same_answer(answer, {key: value.numpy() for key, value in expected.items()})


def test_a_seed_gives_its_image_in_any_batch_and_at_any_place(predict):
  feature, seed = np.array([3, 5, 3, 3]), np.array([11, 11, 12, 11])
  images = predict("generate", {"feature": feature, "seed": seed})["image"]
  for row in range(4):
    alone = predict("generate", {"feature": feature[row : row + 1], "seed": seed[row : row + 1]})["image"]
    assert_same_answer({"image": alone[0]}, {"image": images[row]})
  assert_same_answer({"image": images[3]}, {"image": images[0]})
  assert (images[1] != images[0]).any() and (images[2] != images[0]).any()


@pytest.mark.parametrize("sizes", [(4, 2), (2, 0)], ids=str)
def test_inputs_of_two_lengths_are_refused_in_the_words_of_the_batching(predict, sizes):
  inputs = {"feature": np.zeros(sizes[0], np.int64), "seed": np.zeros(sizes[1], np.int64)}
  error = refused(predict, "generate", inputs)
  assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
  assert "input tensors must have equal 0th-dimension size" in error.details()


def test_a_request_larger_than_a_batch_is_refused(predict):
  inputs = {"feature": np.zeros(129, np.int64), "seed": np.arange(129)}
  assert "larger than maximum input batch size 128" in refused(predict, "generate", inputs).details()
  inputs = {"feature": np.zeros(128, np.int64), "seed": np.arange(128)}
  assert predict("generate", inputs)["image"].shape == (128, 28, 28, 3)


def test_a_warm_up_request_that_fails_fails_the_load(folder, tmp_path):
  version = shutil.copytree(folder / "1", tmp_path / "quickstart" / "1")
  shutil.rmtree(version / "assets.extra")
  requests = {"generate": {"feature": np.zeros(1, np.int64), "seed": np.zeros(2, np.int64)}}
  _write_warmup(version / "assets.extra", "quickstart", requests)
  with pytest.raises(tf.errors.InvalidArgumentError, match="must have equal 0th-dimension size"):
    Double("quickstart", version, NONE)


def test_the_double_joins_fills_and_parts_as_the_server_does():
  def run(fetches, feeds):
    return [feeds["x"] * 2, feeds["y"][:, 0]][: len(fetches)]

  x, y = np.arange(3), np.ones([3, 2])
  session = BatchingSession(run, [({"x", "y"}, {"a", "b"})], NONE + "allowed_batch_sizes: 4\nallowed_batch_sizes: 8\n")
  a, b = session.run(["a", "b"], {"x": x, "y": y})
  np.testing.assert_array_equal(a, [0, 2, 4])
  np.testing.assert_array_equal(b, [1, 1, 1])
  assert session.batches == [[3, 1]]
  session.run(["a"], {"x": x, "y": y})  # other tensors than a signature's
  assert session.batches == [[3, 1]]
  for inputs, words in (
    ({"x": x, "y": y[:2]}, "must have equal 0th-dimension size"),
    ({"x": x, "y": np.float32(1)}, "must have at least one dimension"),
    ({"x": np.arange(9), "y": np.ones([9, 2])}, "Task size 9 is larger than maximum input batch size 8"),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
      session.run(["a", "b"], inputs)
  whole = BatchingSession(lambda *_: [np.zeros(1), np.zeros(3)], [({"x"}, {"a", "b"})], NONE)
  with pytest.raises(tf.errors.FailedPreconditionError, match="does not equal the sum"):
    whole.run(["a", "b"], {"x": x})
  apart = BatchingSession(run, [({"x", "y"}, {"a", "b"})], LONG)
  with concurrent.futures.ThreadPoolExecutor(2) as threads:
    runs = [threads.submit(apart.run, ["a", "b"], {"x": np.zeros(rows), "y": np.ones([rows, rows])}) for rows in (2, 3)]
    for one in runs:
      with pytest.raises(tf.errors.FailedPreconditionError, match="'y' from different tasks have different shapes"):
        one.result()


# --- Clients ----------------------------------------------------------------------------------------------------------


def code_of_readme(words: str) -> str:
  """The one Python block of the README with these words in it."""
  (code,) = [block for block in re.findall(r"```python\n(.*?)```", README.read_text(), re.S) if words in block]
  return code


@pytest.mark.parametrize("words", ["PredictionServiceStub", "make_grpc_client"])
def test_the_clients_of_the_readme_work(address, few_digits, predict, tmp_path, monkeypatch, words):
  if "make_grpc_client" in words:
    pytest.importorskip("ovmsclient", reason="ovmsclient is not installed")
  code = code_of_readme(words)
  assert "localhost:8500" in code
  x = few_digits.test["image"][:1]
  (tmp_path / "digit.png").write_bytes(tf.io.encode_png(x[0]).numpy())
  script = f"import os; os.chdir({str(tmp_path)!r})\n" + code.replace("localhost:8500", address)
  in_fork(script)
  seven = tf.io.decode_png((tmp_path / "seven.png").read_bytes())[None].numpy()
  assert_same_answer({"image": seven}, predict("control", {"image": x, "feature": np.array([7])}))


def test_ovmsclient_gets_the_default_signature_and_the_words_of_an_error(address, few_digits, predict):
  ovmsclient = pytest.importorskip("ovmsclient", reason="ovmsclient is not installed")
  client = ovmsclient.make_grpc_client(address)
  inputs = {"image": few_digits.test["image"][:3], "feature": np.array([1, 2, 3])}
  assert_same_answer({"image": client.predict(inputs, "quickstart")}, predict("control", inputs))
  with pytest.raises(Exception, match="labels lie in 0 to 9"):
    client.predict({**inputs, "feature": np.array([1, 2, 30])}, "quickstart")


@pytest.fixture(scope="module")
def rest(folder):
  """The address of KServe's model server; skips where there is no environment with it."""
  python = os.environ.get("TFDISENT_KSERVE_PYTHON")
  if not python:
    pytest.skip("TFDISENT_KSERVE_PYTHON names no Python with kserve and tensorflow")
  with socket.socket() as one:
    one.bind(("127.0.0.1", 0))
    port = one.getsockname()[1]
  script = str(pathlib.Path(__file__).parent / "kserve_server.py")
  environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
  command = [python, script, str(folder / "1"), "quickstart", str(port)]
  server = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
  try:
    for _ in range(300):
      assert server.poll() is None, "KServe's model server has ended"
      try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/quickstart", timeout=5).close()
        break
      except OSError:
        time.sleep(0.2)
    yield f"127.0.0.1:{port}"
  finally:
    server.terminate()
    server.wait()


def test_the_rest_call_of_the_readme_works(rest, few_digits, predict, tmp_path):
  x = few_digits.test["image"][:1]
  (tmp_path / "digit.png").write_bytes(tf.io.encode_png(x[0]).numpy())
  code = code_of_readme("urllib.request")
  assert "localhost:8501" in code
  in_fork(f"import os; os.chdir({str(tmp_path)!r})\n" + code.replace("localhost:8501", rest))
  seven = tf.io.decode_png((tmp_path / "seven.png").read_bytes())[None].numpy()
  assert_same_answer({"image": seven}, predict("control", {"image": x, "feature": np.array([7])}))


def test_every_signature_answers_by_rest(rest, few_digits, predict):
  def ask(signature, inputs):
    body = {"signature_name": signature, "inputs": {key: as_json(value) for key, value in inputs.items()}}
    url, header = f"http://{rest}/v1/models/quickstart:predict", {"Content-Type": "application/json"}
    request = urllib.request.Request(url, json.dumps(body).encode(), header)
    with urllib.request.urlopen(request) as response:
      return json.load(response)["outputs"]

  for signature, inputs in some_requests(few_digits, 8):
    expected, outputs = predict(signature, inputs), ask(signature, inputs)
    outputs = outputs if isinstance(outputs, dict) else dict(zip(expected, [outputs]))  # one has no name
    got = {
      key: np.array([base64.b64decode(png["b64"]) for png in value], object)
      if isinstance(value[0], dict)
      else np.array(value, expected[key].dtype)
      for key, value in outputs.items()
    }
    assert_same_answer(got, expected)
  with pytest.raises(urllib.error.HTTPError) as info:
    ask("control", {"image": few_digits.test["image"][:1], "feature": np.array([10])})
  assert info.value.code == 400 and b"labels lie in 0 to 9" in info.value.read()


def as_json(value):
  return [{"b64": base64.b64encode(png).decode()} for png in value] if value.dtype == object else value.tolist()


# --- Bad requests -----------------------------------------------------------------------------------------------------


def refused(predict, *arguments, **keywords):
  with pytest.raises(grpc.RpcError) as info:
    predict(*arguments, **keywords)
  return info.value


@pytest.mark.parametrize(
  "change,words",
  [
    ({"image": None}, ""),
    ({"picture": np.zeros([1, 28, 28, 3], np.uint8)}, ""),
    ({"image": np.zeros([2, 28, 28, 3], np.float32)}, ""),
    ({"feature": np.float32([1, 2])}, ""),
    ({"image": np.zeros([28, 28, 3], np.uint8)}, ""),
    ({"image": np.zeros([2, 14, 28, 3], np.uint8)}, ""),
    ({"image": np.zeros([2, 28, 28, 1], np.uint8)}, ""),
    ({"feature": np.array([[1, 2]])}, ""),
    ({"feature": np.array([1, 10])}, "labels lie in 0 to 9"),
    ({"feature": np.array([-1, 1])}, "labels lie in 0 to 9"),
    ({"feature": np.array([1])}, "must have equal 0th-dimension size"),
  ],
)
def test_a_bad_request_is_an_invalid_argument_with_words(predict, few_digits, change, words):
  good = {"image": few_digits.test["image"][:2], "feature": np.array([1, 2])}
  before = predict("control", good)
  bad = {key: value for key, value in {**good, **change}.items() if value is not None}
  error = refused(predict, "control", bad)
  assert error.code() == grpc.StatusCode.INVALID_ARGUMENT and error.details() and words in error.details()
  assert_same_answer(predict("control", good), before)


def test_no_images_get_no_images(predict):
  image = predict("control", {"image": np.zeros([0, 28, 28, 3], np.uint8), "feature": np.zeros([0], np.int64)})["image"]
  assert image.shape == (0, 28, 28, 3) and image.dtype == np.uint8


def test_a_model_or_a_signature_that_is_not_there_is_named(predict, few_digits):
  inputs = {"image": few_digits.test["image"][:1]}
  assert refused(predict, "encode", inputs, name="other").code() == grpc.StatusCode.NOT_FOUND
  assert "paint" in refused(predict, "paint", inputs).details()


def fuzzed(random_state, signature, inputs):
  """A good request with up to three things spoilt, or none."""
  inputs = dict(inputs)
  for _ in range(random_state.integers(4)):
    if not inputs:
      break
    key = str(random_state.choice(list(inputs)))
    value = inputs[key]
    kind = random_state.integers(8)
    if kind == 0:
      del inputs[key]
    elif kind == 1:
      inputs["".join(map(chr, random_state.integers(32, 1000, size=5)))] = value
    elif kind == 2 and value.dtype != object:
      dtypes = [np.uint8, np.int8, np.int32, np.int64, np.float32, np.float64, bool]
      inputs[key] = np.asarray(value, dtypes[random_state.integers(len(dtypes))])
    elif kind == 3 and value.size:
      inputs[key] = np.resize(value, random_state.integers(4, size=random_state.integers(6)))
    elif kind == 4:
      inputs[key] = value[:0] if value.ndim and random_state.integers(2) else value[..., None]
    elif kind == 5 and value.dtype == object and value.size:
      spoilt = [bytearray(one if isinstance(one, bytes) else b"") for one in value.ravel()]
      for png in spoilt:
        for place in random_state.integers(max(len(png), 1), size=random_state.integers(1, 20)):
          if place < len(png):
            png[place] = random_state.integers(256)
        del png[random_state.integers(len(png) + 1) if random_state.integers(2) else len(png) :]
      inputs[key] = np.array([bytes(png) for png in spoilt], object).reshape(value.shape)
    elif kind == 6 and value.dtype.kind in "iuf":
      info = np.iinfo(value.dtype) if value.dtype.kind in "iu" else np.finfo(value.dtype)
      inputs[key] = np.full_like(value, random_state.choice([info.min, info.max]))
    elif kind == 7 and value.dtype != object:
      proto = tf.make_tensor_proto(value)
      proto.tensor_content = proto.tensor_content[: random_state.integers(max(len(proto.tensor_content), 1))]
      return signature, {**inputs, key: proto}
  return signature, inputs


@pytest.mark.parametrize(
  "count", [500, pytest.param(10_000, marks=[pytest.mark.long])], ids=["500 requests", "10000 requests"]
)
def test_fuzzed_requests_get_an_answer_or_an_invalid_argument(predict, few_digits, count, record_property):
  random_state = np.random.default_rng(count)
  good, codes = some_requests(few_digits, 64, seed=1), {}
  expected = [predict(*request) for request in good[:8]]
  for i in range(count):
    signature, inputs = fuzzed(random_state, *good[i % len(good)])
    try:
      predict(signature, inputs)
      code = grpc.StatusCode.OK
    except grpc.RpcError as error:
      code = error.code()
      assert error.details()
      assert code == grpc.StatusCode.INVALID_ARGUMENT, (i, signature, error)
    codes[code.name] = codes.get(code.name, 0) + 1
    if i % 100 == 0:
      assert_same_answer(predict(*good[i // 100 % 8]), expected[i // 100 % 8])
  record_property("codes", json.dumps(codes))
  print(codes)
  assert min(codes["OK"], codes["INVALID_ARGUMENT"]) > count / 10


# --- TensorFlow's own command line, and LiteRT ------------------------------------------------------------------------


def test_saved_model_cli_shows_and_runs_it(folder, digit_run, few_digits, tmp_path):
  tool = "from tensorflow.python.tools import saved_model_cli; saved_model_cli.main()"  # as the command does
  asked = ("--dir", str(folder / "1"), "--tag_set", "serve", "--signature_def", "control")
  code, shown = Fork(tool, "show", *asked).end(300)
  assert code == 0, shown
  assert "inputs['image']" in shown and "DT_UINT8" in shown and "(-1, 28, 28, 3)" in shown
  x, feature = few_digits.test["image"][:3], np.array([1, 2, 3])
  np.save(tmp_path / "x.npy", x)
  np.save(tmp_path / "feature.npy", feature)
  given = f"image={tmp_path}/x.npy;feature={tmp_path}/feature.npy"
  code, output = Fork(tool, "run", *asked, "--inputs", given, "--outdir", str(tmp_path)).end(300)
  assert code == 0, output
  image = np.load(tmp_path / "image.npy")
  assert_same_answer({"image": image}, {"image": digit_run.trained.control(x, feature)})


def interpreter(path):
  return tf.lite.Interpreter(model_path=str(path))


def test_litert_answers_as_the_saved_model_does(folder, digit_run, few_digits, tmp_path):
  path = export_litert(digit_run.trained, tmp_path / "export" / "digit.tflite")
  assert [file.name for file in path.parent.iterdir()] == ["digit.tflite"]
  lite, signatures = interpreter(path), tf.saved_model.load(str(folder / "1")).signatures
  assert set(lite.get_signature_list()) == {"encode", "control"}
  for count in (1, 5):
    x, feature = few_digits.test["image"][:count], np.arange(count)
    codes = lite.get_signature_runner("encode")(image=x)
    for key, value in signatures["encode"](image=x).items():
      np.testing.assert_allclose(codes[key], value, atol=1e-3)
    image = lite.get_signature_runner("control")(image=x, feature=feature)["image"]
    assert_same_answer({"image": image}, {"image": signatures["control"](image=x, feature=feature)["image"].numpy()})


@pytest.mark.parametrize("feature,value", [(Color(), [[0.2, 0.5, 1.0]]), (Pose(), [0.3])], ids=["color", "pose"])
def test_litert_takes_a_continuous_feature(feature, value, few_digits, tmp_path):
  trained = TrainedModel(DisentangledVAE((28, 28, 3), feature, Objective(), **TINY))
  x = few_digits.test["image"][:1]
  lite = interpreter(export_litert(trained, tmp_path / "model.tflite"))
  image = lite.get_signature_runner("control")(image=x, feature=np.float32(value))["image"]
  assert_same_answer({"image": image}, {"image": trained.control(x, np.float32(value))})


def test_what_litert_cannot_take_is_said(tmp_path):
  class Sorted(Color):
    def of_served(self, value):
      return tf.numpy_function(lambda v: v, [value], tf.float32)

  trained = TrainedModel(DisentangledVAE((28, 28, 3), Sorted(), Objective(), **TINY))
  with pytest.raises(RunError, match="cannot be converted to LiteRT"):
    export_litert(trained, tmp_path / "model.tflite")
  assert not list(tmp_path.iterdir())


def test_the_newest_version_is_found(folder, tmp_path):
  assert newest_version(folder) == folder / "1"
  for name in ("2", "10", "11.partial"):
    (tmp_path / name).mkdir()
  assert newest_version(tmp_path) == tmp_path / "10"
  with pytest.raises(RunError, match="--mode=export"):
    newest_version(tmp_path / "10")
