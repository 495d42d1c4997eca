"""The exported SavedModel against the model in use, in Python and through TensorFlow's C API."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from features.pose import Pose, Rotation, Viewpoint
from tests.conftest import TINY
from tfdisent.export import export, has_warmup
from tfdisent.inference import TrainedModel
from tfdisent.model import DisentangledVAE, Objective

SIGNATURES = {"encode", "reconstruct", "fuse", "control", "serving_default", "generate", "encode_png", "control_png"}


@pytest.fixture(scope="module")
def exported(digit_run, tmp_path_factory):
  """The folder of the first version."""
  folder = tmp_path_factory.mktemp("export") / "digit"
  assert export(digit_run.trained, folder, "train.epochs = 3\n") == folder / "1"
  return folder


@pytest.fixture(scope="module")
def signatures(exported):
  return tf.saved_model.load(str(exported / "1")).signatures


def test_versions_count_up_and_leave_nothing_half_written(exported, digit_run):
  assert [path.name for path in exported.iterdir()] == ["1"]
  assert export(digit_run.trained, exported) == exported / "2"
  assert sorted(path.name for path in exported.iterdir()) == ["1", "2"]
  assert (exported / "2" / "saved_model.pb").is_file()


def test_the_version_after_the_tenth_is_the_eleventh(digit_run, tmp_path):
  for name in ("9", "10", "2.partial", "notes"):
    (tmp_path / "new" / name).mkdir(parents=True)
  assert export(digit_run.trained, tmp_path / "new").name == "11"


def test_what_an_interrupted_export_left_is_overwritten(digit_run, tmp_path):
  (tmp_path / "digit" / "1.partial").mkdir(parents=True)
  (tmp_path / "digit" / "1.partial" / "saved_model.pb").write_bytes(b"half")
  tf.saved_model.load(str(export(digit_run.trained, tmp_path / "digit")))
  assert [path.name for path in (tmp_path / "digit").iterdir()] == ["1"]


def test_a_server_is_configured_beside_it(exported):
  assert 'base_path: "/models/digit"' in (exported.parent / "models.config").read_text()
  assert "max_batch_size { value: 128 }" in (exported.parent / "batching_parameters.txt").read_text()


def test_assets_tell_of_the_feature_and_of_the_training(exported):
  assets = exported / "1" / "assets"
  assert (assets / "config.gin").read_text() == "train.epochs = 3\n"
  feature = json.loads((assets / "feature.json").read_text())["feature"]
  assert feature["dtype"] == "int64" and feature["shape"] == [None] and feature["classes"] == list("0123456789")


def test_nothing_of_the_training_is_in_it(exported):
  names = [name for name, _ in tf.train.list_variables(str(exported / "1" / "variables" / "variables"))]
  text = " ".join(names)
  assert "E1" in text and "G" in text and "q" in text and len(names) > 10
  assert not any("/D.S" in name or "/a.S" in name or "optimizer" in name for name in names), names
  model = tf.saved_model.load(str(exported / "1"))
  assert set(model.signatures) == SIGNATURES
  assert not [name for name in ("terms", "update", "call", "train_step") if hasattr(model, name)]


# --- The same answers -------------------------------------------------------------------------------------------------


def assert_same_images(got, expected):
  assert got.dtype == np.uint8 and got.shape == expected.shape
  assert (np.abs(got.astype(int) - expected) <= 1).all()  # a level, at rounding
  assert (got != expected).sum() <= 1e-3 * got.size


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_answers_are_those_of_the_model_in_use(signatures, digit_run, few_digits, count):
  trained, x, partner = digit_run.trained, few_digits.test["image"][:count], few_digits.test["image"][5 : 5 + count]
  label = np.arange(count)
  for signature in ("control", "serving_default"):
    image = signatures[signature](image=x, feature=label.astype(np.int64))["image"].numpy()
    assert_same_images(image, trained.control(x, label))
  assert_same_images(signatures["reconstruct"](image=x)["image"].numpy(), trained.reconstruct(x))
  assert_same_images(signatures["fuse"](image=x, feature_image=partner)["image"].numpy(), trained.fuse(x, partner))
  generated = signatures["generate"](feature=label.astype(np.int64), seed=np.array([7, 0], np.int32))["image"].numpy()
  assert_same_images(generated, trained.generate(label, seed=7))
  codes, (mean, stddev) = signatures["encode"](image=x), trained.encode_z1(x)
  np.testing.assert_allclose(codes["z1_mean"], mean, atol=1e-5)
  np.testing.assert_allclose(codes["z1_stddev"], stddev, atol=1e-5)
  assert codes["feature"].shape == (count, 10)
  np.testing.assert_array_equal(np.argmax(codes["feature"], 1), trained.encode(x).feature)


@pytest.mark.parametrize("write", [tf.io.encode_png, lambda image: tf.io.encode_jpeg(image, quality=100)])
def test_encoded_images_are_taken_and_given(signatures, few_digits, write):
  x, label = few_digits.test["image"][:3], np.array([1, 2, 3])
  encoded = tf.stack([write(image) for image in x])
  decoded = np.stack([tf.io.decode_image(one, 3) for one in encoded])
  codes = signatures["encode_png"](image_bytes=encoded)
  for name, value in signatures["encode"](image=decoded).items():
    np.testing.assert_allclose(codes[name], value, atol=1e-5)
  pngs = signatures["control_png"](image_bytes=encoded, feature=label)["image_bytes"].numpy()
  images = signatures["control"](image=decoded, feature=label)["image"]
  np.testing.assert_array_equal(np.stack([tf.io.decode_png(png) for png in pngs]), images)
  assert signatures["control_png"](image_bytes=encoded[:0], feature=label[:0])["image_bytes"].shape == (0,)


def test_encoded_images_of_another_size_and_kind_are_cropped_and_resized(signatures, few_digits):
  x = few_digits.test["image"][:1]
  large = np.pad(np.kron(x[0], np.ones((3, 3, 1), np.uint8)), [(0, 0), (12, 12), (0, 0)])  # three times, and wider
  codes = signatures["encode_png"](image_bytes=tf.stack([tf.io.encode_png(large)]))
  np.testing.assert_allclose(codes["z1_mean"], signatures["encode"](image=x)["z1_mean"], atol=0.1)
  grey = tf.io.encode_png(x[0, :, :, :1])
  assert np.isfinite(signatures["encode_png"](image_bytes=tf.stack([grey]))["z1_mean"]).all()


def test_a_row_of_a_batch_is_the_row_alone(signatures, few_digits):
  x, label = few_digits.test["image"], few_digits.test["label"].astype(np.int64)
  images = signatures["control"](image=x, feature=label)["image"].numpy()
  for row in (0, 17, 63):
    alone = signatures["control"](image=x[row : row + 1], feature=label[row : row + 1])["image"].numpy()
    assert_same_images(alone, images[row : row + 1])


@pytest.mark.parametrize(
  "feature,names",
  [
    (Color(), {"feature": np.float32([[0.2, 0.5, 1.0]])}),
    (Pose(), {"feature": np.float32([0.3])}),
    (Rotation(turn=360.0), {"feature": np.float32([30.0])}),
    (Viewpoint(), {"feature": np.float32([[3.0, 4.0]])}),
    (
      Composite(parts=(DigitLabel(), Color())),
      {"feature_digit_label": np.array([3]), "feature_color": np.float32([[0.2, 0.5, 1.0]])},
    ),
  ],
  ids=["color", "pose", "rotation", "viewpoint", "composite"],
)
def test_a_feature_is_taken_in_its_natural_form(feature, names, few_digits, tmp_path):
  model = DisentangledVAE((28, 28, 3), feature, Objective(), **TINY)
  trained, x = TrainedModel(model), few_digits.test["image"][:1]
  signatures = tf.saved_model.load(str(export(trained, tmp_path / "model"))).signatures
  natural = {name.removeprefix("feature_"): value for name, value in names.items()}
  natural = natural if len(natural) > 1 else natural["feature"]
  assert_same_images(signatures["control"](image=x, **names)["image"].numpy(), trained.control(x, natural))


# --- Bad requests -----------------------------------------------------------------------------------------------------


def test_a_bad_request_gets_words_and_the_next_is_answered(signatures, few_digits):
  control, x = signatures["control"], few_digits.test["image"][:2]
  before = control(image=x, feature=np.array([1, 2]))["image"].numpy()
  for inputs, words in (
    ({"image": x, "feature": np.array([1, 10])}, "labels lie in 0 to 9"),
    ({"image": x, "feature": np.array([-1, 1])}, "labels lie in 0 to 9"),
    ({"image": x, "feature": np.array([1])}, "as many features as images"),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
      control(**inputs)
  for image_bytes in (b"", b"no image", tf.io.encode_png(x[0]).numpy()[:40]):
    with pytest.raises(tf.errors.InvalidArgumentError):
      signatures["control_png"](image_bytes=tf.constant([image_bytes]), feature=np.array([1]))
  np.testing.assert_array_equal(control(image=x, feature=np.array([1, 2]))["image"], before)


def test_batches_of_two_sizes_are_told_apart_whatever_they_are_joined_with(signatures, few_digits, tmp_path):
  x = few_digits.test["image"][:2]
  features = {"feature_digit_label": np.array([3, 4]), "feature_color": np.float32([[0.2, 0.5, 1.0]])}
  trained = TrainedModel(DisentangledVAE((28, 28, 3), Composite(parts=(DigitLabel(), Color())), Objective(), **TINY))
  generate = tf.saved_model.load(str(export(trained, tmp_path / "model"))).signatures["generate"]
  for function, inputs, words in (
    (signatures["fuse"], {"image": x, "feature_image": x[:1]}, "as many feature images as images"),
    (generate, {"seed": np.int32([0, 1]), **features}, "as many of one feature as of another"),
  ):
    for _ in range(20):  # whichever thread comes first
      with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        function(**inputs)


@pytest.mark.parametrize(
  "bad,words", [([np.nan, 0, 0], "NaN"), ([np.inf, 0, 0], "NaN|infinite"), ([2, 0, 0], "RGB lies")]
)
def test_a_bad_colour_gets_words(few_digits, tmp_path, bad, words):
  trained = TrainedModel(DisentangledVAE((28, 28, 3), Color(), Objective(), **TINY))
  signatures = tf.saved_model.load(str(export(trained, tmp_path / "model"))).signatures
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    signatures["control"](image=few_digits.test["image"][:1], feature=np.float32([bad]))


# --- Without Python ---------------------------------------------------------------------------------------------------

C_API = """
import ctypes, json, sys
import numpy as np

library, folder, calls = ctypes.CDLL(sys.argv[1]), sys.argv[2].encode(), json.load(open(sys.argv[3]))
P, I, L = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
for name, result, arguments in (
  ("TF_NewStatus", P, []), ("TF_GetCode", I, [P]), ("TF_Message", ctypes.c_char_p, [P]), ("TF_NewGraph", P, []),
  ("TF_NewSessionOptions", P, []), ("TF_GraphOperationByName", P, [P, ctypes.c_char_p]),
  ("TF_LoadSessionFromSavedModel", P, [P, P, ctypes.c_char_p, P, I, P, P, P]),
  ("TF_AllocateTensor", P, [I, P, I, ctypes.c_size_t]), ("TF_TensorData", P, [P]), ("TF_NumDims", I, [P]),
  ("TF_Dim", L, [P, I]), ("TF_TensorByteSize", ctypes.c_size_t, [P]), ("TF_TensorType", I, [P]),
  ("TF_SessionRun", None, [P, P, P, P, I, P, P, I, P, I, P, P]),
):
  function = getattr(library, name)
  function.restype, function.argtypes = result, arguments

class Output(ctypes.Structure):
  _fields_ = [("operation", P), ("index", I)]

TYPES = {"uint8": 4, "int64": 9, "int32": 3, "float32": 1}
status, graph = library.TF_NewStatus(), library.TF_NewGraph()
tags = (ctypes.c_char_p * 1)(b"serve")
session = library.TF_LoadSessionFromSavedModel(
  library.TF_NewSessionOptions(), None, folder, ctypes.cast(tags, P), 1, graph, None, status)
assert library.TF_GetCode(status) == 0, library.TF_Message(status)

def output(name):
  operation, index = name.split(":")
  return Output(library.TF_GraphOperationByName(graph, operation.encode()), int(index))

def tensor(value, dtype):
  array = np.ascontiguousarray(value, dtype)
  dims = (L * array.ndim)(*array.shape)
  result = library.TF_AllocateTensor(TYPES[dtype], ctypes.cast(dims, P), array.ndim, array.nbytes)
  ctypes.memmove(library.TF_TensorData(result), array.ctypes.data, array.nbytes)
  return result

def array(t):
  dtype = {value: key for key, value in TYPES.items()}[library.TF_TensorType(t)]
  shape = [library.TF_Dim(t, i) for i in range(library.TF_NumDims(t))]
  data = ctypes.string_at(library.TF_TensorData(t), library.TF_TensorByteSize(t))
  return np.frombuffer(data, dtype).reshape(shape).tolist()

answers = []
for call in calls:
  inputs = (Output * len(call["inputs"]))(*[output(one["name"]) for one in call["inputs"]])
  values = (P * len(inputs))(*[tensor(one["value"], one["dtype"]) for one in call["inputs"]])
  outputs = (Output * len(call["outputs"]))(*[output(name) for name in call["outputs"].values()])
  results = (P * len(outputs))()
  library.TF_SessionRun(
    session, None, inputs, values, len(inputs), outputs, results, len(outputs), None, 0, None, status)
  code = library.TF_GetCode(status)
  answers.append(
    {"code": code, "words": library.TF_Message(status).decode()} if code
    else {"code": 0, **{name: array(t) for name, t in zip(call["outputs"], results)}})
assert "tensorflow" not in sys.modules
print(json.dumps(answers))
"""


def test_the_loader_of_tensorflow_serving_runs_every_signature_without_python_tensorflow(
  exported, signatures, few_digits, tmp_path
):
  """Through TensorFlow's C API, in a process that has no TensorFlow of Python."""
  from tensorflow.core.protobuf import saved_model_pb2

  proto = saved_model_pb2.SavedModel.FromString((exported / "1" / "saved_model.pb").read_bytes())
  defs = proto.meta_graphs[0].signature_def
  x, label = few_digits.test["image"][:2], np.array([4, 5])
  given = {"image": x, "feature_image": x[::-1], "feature": label, "seed": np.array([1, 2], np.int32)}

  def call(signature, **other):
    values = {name: {**given, **other}[name] for name in defs[signature].inputs}
    return {
      "inputs": [
        {"name": defs[signature].inputs[name].name, "value": value.tolist(), "dtype": value.dtype.name}
        for name, value in values.items()
      ],
      "outputs": {name: tensor.name for name, tensor in defs[signature].outputs.items()},
    }

  tested = sorted(SIGNATURES - {"encode_png", "control_png"})  # strings are no arrays
  bad = [
    call("control", feature=np.array([4, 10])),
    call("control", image=few_digits.test["image"][:2, :20]),
    call("control", feature=np.float32([4, 5])),
    call("control", image=few_digits.test["image"][:2, :, :, :1]),
  ]
  (tmp_path / "calls.json").write_text(json.dumps([*map(call, tested), *bad, call("control")]))
  libraries = pathlib.Path(tf.__file__).parent.glob("libtensorflow_cc.so*")
  command = [sys.executable, "-c", C_API, str(sorted(libraries)[0]), str(exported / "1"), str(tmp_path / "calls.json")]
  answers = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
  for signature, answer in zip(tested, answers):
    inputs = {name: given[name] for name in defs[signature].inputs}
    for name, value in signatures[signature](**inputs).items():
      np.testing.assert_allclose(answer[name], value, atol=1 if value.dtype == tf.uint8 else 1e-5, err_msg=signature)
  for answer in answers[len(tested) : -1]:
    assert answer["code"] == 3 and answer["words"], answer  # INVALID_ARGUMENT
  assert answers[-1] == answers[tested.index("control")]


@pytest.mark.skipif(not has_warmup(), reason="tensorflow-serving-api is not installed (the extra 'serving')")
def test_the_warm_up_has_a_request_for_every_signature_that_is_answered(exported, signatures):
  from tensorflow_serving.apis import prediction_log_pb2

  file = exported / "1" / "assets.extra" / "tf_serving_warmup_requests"
  requests = [
    prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
    for record in tf.data.TFRecordDataset(str(file))
  ]
  assert {request.model_spec.signature_name for request in requests} == SIGNATURES
  for request in requests:
    assert request.model_spec.name == "digit"
    signatures[request.model_spec.signature_name](
      **{name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
    )
