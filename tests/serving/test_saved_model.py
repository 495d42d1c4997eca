"""The exported SavedModel against the model in use, in Python and through TensorFlow's C API."""

import contextlib
import json
import pathlib
import struct
import subprocess
import sys
import zlib

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from features.pose import Pose, Rotation, Viewpoint
from tests.conftest import TINY
from tfdisent import ConfigError, RunError
from tfdisent.data.pixels import decode
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.serving import litert, saved_model
from tfdisent.serving import signatures as signatures_module
from tfdisent.serving.saved_model import export, has_warmup, newest_version
from tfdisent.serving.signatures import ServedModel, signature

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


@pytest.fixture
def quick(monkeypatch, digit_run):
  """Exports to a folder without a trace of the signatures: for what is said of files alone."""

  def save(module, path, signatures):
    assert signatures == {}
    pathlib.Path(path).mkdir(exist_ok=True)
    (pathlib.Path(path) / "saved_model.pb").write_bytes(b"whole")

  monkeypatch.setattr(ServedModel, "signatures", lambda self, names=(): {})
  monkeypatch.setattr(tf.saved_model, "save", save)
  return lambda folder: export(digit_run.trained, folder)


def test_versions_count_up_and_leave_nothing_half_written(exported, digit_run):
  assert [path.name for path in exported.iterdir()] == ["1"]
  assert export(digit_run.trained, exported) == exported / "2"
  assert sorted(path.name for path in exported.iterdir()) == ["1", "2"]
  assert (exported / "2" / "saved_model.pb").is_file()


def test_the_version_after_the_tenth_is_the_eleventh(quick, tmp_path):
  for name in ("9", "10", "2.partial", "notes"):
    (tmp_path / "new" / name).mkdir(parents=True)
  assert quick(tmp_path / "new") == tmp_path / "new" / "11"


def test_what_an_interrupted_export_left_is_overwritten(quick, tmp_path):
  (tmp_path / "digit" / "1.partial" / "variables").mkdir(parents=True)
  (tmp_path / "digit" / "1.partial" / "saved_model.pb").write_bytes(b"half")
  version = quick(tmp_path / "digit")
  assert (version / "saved_model.pb").read_bytes() == b"whole" and not (version / "variables").exists()
  assert [path.name for path in (tmp_path / "digit").iterdir()] == ["1"]


@pytest.mark.parametrize(
  "error",
  [
    OSError("no space left on device"),
    tf.errors.ResourceExhaustedError(None, None, "{{function_node a}} no space left on device [Op:SaveV2]"),
  ],
)
def test_a_version_appears_whole_or_not_at_all(quick, tmp_path, monkeypatch, error):
  def full(module, path, signatures):
    pathlib.Path(path).mkdir()
    raise error

  monkeypatch.setattr(tf.saved_model, "save", full)
  with pytest.raises(RunError, match=r"cannot be exported to .*digit: no space left on device\.$"):
    quick(tmp_path / "digit")
  assert not list((tmp_path / "digit").iterdir())
  with pytest.raises(RunError, match="holds no exported model: run tfdisent --mode=export first"):
    newest_version(tmp_path / "digit")
  assert not (tmp_path / "models.config").exists()


def test_a_litert_file_is_replaced_and_one_that_cannot_be_written_is_named(quick, digit_run, tmp_path, monkeypatch):
  class Converter:
    def __init__(self, folder, signature_keys):
      self.convert = lambda: b"lite"

  monkeypatch.setattr(tf.lite.TFLiteConverter, "from_saved_model", Converter)
  path = tmp_path / "new" / "digit.tflite"
  for _ in range(2):
    assert litert.export_litert(digit_run.trained, path) == path
    assert path.read_bytes() == b"lite" and list(path.parent.iterdir()) == [path]
  with pytest.raises(RunError, match=r"the model cannot be exported to .*below\.tflite: "):
    litert.export_litert(digit_run.trained, path / "below.tflite")


CATS = """\
  config {
    name: "cats"
    base_path: "/models/cats"
    model_platform: "tensorflow"
  }
"""


def test_a_server_is_configured_beside_it(quick, tmp_path):
  quick(tmp_path / "new" / "cats")
  assert (tmp_path / "new" / "models.config").read_text() == "model_config_list {\n" + CATS + "}\n"
  assert (tmp_path / "new" / "batching_parameters.txt").read_text().splitlines() == [
    "max_batch_size { value: 128 }",
    "batch_timeout_micros { value: 2000 }",
    "max_enqueued_batches { value: 100 }",
    "num_batch_threads { value: 4 }",
  ]
  assert sorted(path.name for path in (tmp_path / "new").iterdir()) == [
    "batching_parameters.txt",
    "cats",
    "models.config",
  ]


def test_a_second_model_stands_beside_the_first(quick, tmp_path):
  for name in ("cats", "dogs", "cats", "cat"):
    quick(tmp_path / name)
  every = CATS + CATS.replace("cats", "dogs") + CATS.replace("cats", "cat")
  text = (tmp_path / "models.config").read_text()
  assert text == "model_config_list {\n" + every + "}\n"
  config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
  from google.protobuf import text_format

  models = text_format.Parse(text, config.ModelServerConfig()).model_config_list.config
  assert [(model.name, model.base_path) for model in models] == [
    (name, f"/models/{name}") for name in ("cats", "dogs", "cat")
  ]


def test_what_a_user_wrote_into_the_configuration_stays(quick, tmp_path):
  written = 'model_config_list: { # name: "dogs"\n config { name: "cats" base_path: "/else" } }\n'
  (tmp_path / "models.config").write_text(written)
  (tmp_path / "batching_parameters.txt").write_text("max_batch_size { value: 7 }\n")
  quick(tmp_path / "cats")
  assert (tmp_path / "models.config").read_text() == written
  assert (tmp_path / "batching_parameters.txt").read_text() == "max_batch_size { value: 7 }\n"
  quick(tmp_path / "dogs")
  assert (tmp_path / "models.config").read_text() == written[:-2] + CATS.replace("cats", "dogs") + "}\n"


@pytest.mark.parametrize("content", [b"", b"}", b"name", b"\xff"])
def test_a_configuration_that_is_none_is_left_and_named(quick, tmp_path, content):
  (tmp_path / "models.config").write_bytes(content)
  with pytest.raises(RunError, match=r"models\.config is no list of models|cannot be exported"):
    quick(tmp_path / "cats")
  assert (tmp_path / "models.config").read_bytes() == content


def test_a_server_never_reads_half_a_configuration(quick, tmp_path, monkeypatch):
  quick(tmp_path / "cats")
  before, replace = (tmp_path / "models.config").read_text(), pathlib.Path.replace

  def stopped(path, target):
    if pathlib.Path(target).name == "models.config":
      raise OSError("stopped")
    return replace(path, target)

  monkeypatch.setattr(pathlib.Path, "replace", stopped)
  with pytest.raises(RunError, match="stopped"):
    quick(tmp_path / "dogs")
  assert (tmp_path / "models.config").read_text() == before


@pytest.mark.parametrize(
  "name", ['my "m"', "a:b", "a\\b", "a\nb", "..", "a\x7fb", "a\u2028b", " a", "é" * 101, "models.config"], ids=repr
)
def test_a_name_that_a_server_cannot_be_asked_for_is_refused(quick, tmp_path, name):
  with pytest.raises(ConfigError, match=r"a model cannot be called .*--model_name"):
    quick(tmp_path / name)
  assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a/b", "", ".", "\ud800", "a\0b", None, 7, "batching_parameters.txt"], ids=repr)
def test_the_check_of_a_name_refuses_no_folder_beside(name):
  with pytest.raises(ConfigError, match="a model cannot be called"):
    saved_model.check_name(name)
  for good in ("quick start-1.0_é", "bob's", "é" * 100, "1"):
    saved_model.check_name(good)


def test_assets_tell_of_the_feature_and_of_the_training(exported):
  assets = exported / "1" / "assets"
  assert (assets / "config.gin").read_text() == "train.epochs = 3\n"
  assert json.loads((assets / "feature.json").read_text()) == {"feature": DIGIT}


ATTRIBUTE = {"feature": "attribute", "kind": "discrete", "dtype": "int64", "shape": [None]}
DIGIT = {
  "feature": "digit_label",
  "kind": "discrete",
  "dtype": "int64",
  "shape": [None],
  "classes": list("0123456789"),
}


def test_each_part_of_a_feature_is_described_and_its_classes_have_their_names(tmp_path):
  parts = Composite(parts=(DigitLabel(), Color(), Attribute()), part_names=("digit/label", "color", "attribute"))
  model = DisentangledVAE((28, 28, 3), parts, Objective(), **TINY)
  names = ["nought", *"123456789"]
  served = ServedModel(TrainedModel(model, class_names={"label": names, "color": ["red"], "Smiling": ["no", "yes"]}))
  assert [asset.asset_path.numpy().decode() for asset in served.assets(tmp_path, "a = 1")] == [
    str(tmp_path / "config.gin"),
    str(tmp_path / "feature.json"),
  ]
  assert json.loads((tmp_path / "feature.json").read_text()) == {
    "feature_digit_label": {**DIGIT, "classes": names},
    "feature_color": {"feature": "color", "kind": "continuous", "dtype": "float32", "shape": [None, 3]},
    "feature_attribute": {**ATTRIBUTE, "classes": ["no", "yes"]},
  }


def test_nothing_of_the_training_is_in_it(exported):
  names = [name for name, _ in tf.train.list_variables(str(exported / "1" / "variables" / "variables"))]
  text = " ".join(names)
  assert "E1" in text and "G" in text and "q" in text and len(names) > 10
  assert not any("/D.S" in name or "/a.S" in name or "optimizer" in name for name in names), names
  model = tf.saved_model.load(str(exported / "1"))
  assert set(model.signatures) == SIGNATURES
  assert not [name for name in ("terms", "update", "call", "train_step") if hasattr(model, name)]


def traced(trained, name):
  """A signature before it is exported, which takes tensors alone: quicker than an export."""
  function = signature(trained, name)
  return lambda **inputs: function(**{key: tf.constant(value) for key, value in inputs.items()})


# --- The same answers -------------------------------------------------------------------------------------------------


def assert_same_images(got, expected):
  assert got.dtype == np.uint8 and got.shape == expected.shape
  assert (np.abs(got.astype(int) - expected) <= 1).all()  # a level, at rounding
  assert (got != expected).sum() <= 1e-3 * got.size


def sizes(specs):
  return {name: (spec.shape.as_list(), spec.dtype.name) for name, spec in specs.items()}


def test_every_input_and_output_is_a_batch_of_these_types(signatures):
  image, label, one = ([None, 28, 28, 3], "uint8"), ([None], "int64"), ([None], "string")
  codes = {"z1_mean": ([None, 4], "float32"), "z1_stddev": ([None, 4], "float32"), "feature": ([None, 10], "float32")}
  assert {
    name: (sizes(function.structured_input_signature[1]), sizes(function.structured_outputs))
    for name, function in signatures.items()
  } == {
    "encode": ({"image": image}, codes),
    "reconstruct": ({"image": image}, {"image": image}),
    "fuse": ({"image": image, "feature_image": image}, {"image": image}),
    "control": ({"image": image, "feature": label}, {"image": image}),
    "serving_default": ({"image": image, "feature": label}, {"image": image}),
    "generate": ({"feature": label, "seed": label}, {"image": image}),
    "encode_png": ({"image_bytes": one}, codes),
    "control_png": ({"image_bytes": one, "feature": label}, {"image_bytes": one}),
  }


def test_every_answer_is_that_of_the_networks(signatures, digit_run, few_digits):
  networks, x = digit_run.trained.model.networks, few_digits.test["image"][:4]
  mean, raw = np.split(networks["E1"](x / np.float32(255)).numpy(), 2, axis=1)
  logits = networks["q"](mean, x / np.float32(255)).numpy()
  odds = np.exp(logits - logits.max(1, keepdims=True))
  codes = signatures["encode"](image=x)
  np.testing.assert_allclose(codes["z1_mean"], mean, atol=1e-5)
  np.testing.assert_allclose(codes["z1_stddev"], np.log1p(np.exp(raw)) + 1e-4, atol=1e-5)
  np.testing.assert_allclose(codes["feature"], odds / odds.sum(1, keepdims=True), atol=1e-5)
  assert np.max(codes["feature"]) < 0.99  # probabilities, where the mode is 0 or 1

  def decoded(z1, label):
    logits = networks["G"](z1, np.eye(10, dtype=np.float32)[label]).numpy()
    return np.rint(255 / (1 + np.exp(-logits))).astype(np.uint8)

  read, label, seeds = logits.argmax(1), np.array([3, 1, 4, 1]), np.array([5, -1, 2**40, 5])
  drawn = np.stack([tf.random.stateless_normal([4], [seed, 0]) for seed in seeds])
  for name, inputs, expected in (
    ("reconstruct", {"image": x}, decoded(mean, read)),
    ("fuse", {"image": x, "feature_image": x[::-1]}, decoded(mean, read[::-1])),
    ("control", {"image": x, "feature": label}, decoded(mean, label)),
    ("serving_default", {"image": x, "feature": label}, decoded(mean, label)),
    ("generate", {"feature": label, "seed": seeds}, decoded(drawn, label)),
  ):
    assert_same_images(signatures[name](**inputs)["image"].numpy(), expected)


def test_a_feature_of_pixels_is_measured_in_each_image(few_digits):
  trained = TrainedModel(DisentangledVAE((28, 28, 3), Color(), Objective(), **TINY))
  model, x, partner = trained.model, few_digits.test["image"][:3], few_digits.test["image"][3:6]
  color = Color().of_image(partner / np.float32(255))
  assert np.ptp(color, axis=0).max() > 0.1
  np.testing.assert_allclose(traced(trained, "encode")(image=partner)["feature"], color, atol=1e-5)
  mean, _ = np.split(model.networks["E2"](color).numpy(), 2, axis=1)
  logits = model.networks["G"](model.networks["E1"](x / np.float32(255))[:, :4], mean).numpy()
  fusion = traced(trained, "fuse")(image=x, feature_image=partner)["image"].numpy()
  assert_same_images(fusion, np.rint(255 / (1 + np.exp(-logits))).astype(np.uint8))


def test_what_cannot_be_read_has_no_signature(few_digits):
  """Neither f, where q was not trained, nor f(x) of a learned code."""
  names = {"encode", "control", "serving_default", "generate", "encode_png", "control_png"}
  unread = TrainedModel(DisentangledVAE((28, 28, 3), DigitLabel(), Objective(lambda3=0.0), **TINY))
  assert set(ServedModel(unread).requests()) == names
  functions = ServedModel(unread).signatures(["encode", "reconstruct", "fuse"])
  assert set(functions) == {"encode"} and set(functions["encode"].structured_outputs) == {"z1_mean", "z1_stddev"}
  learned = TrainedModel(DisentangledVAE((28, 28, 3), DigitLabel(), Objective(), code="gaussian", **TINY))
  assert set(signature(learned, "encode").structured_outputs) == {"z1_mean", "z1_stddev"}


@pytest.mark.parametrize("count", [0, 1, 5])
def test_the_answers_are_those_of_the_model_in_use(signatures, digit_run, few_digits, count):
  trained, x, partner = digit_run.trained, few_digits.test["image"][:count], few_digits.test["image"][5 : 5 + count]
  label = np.arange(count)
  for name in ("control", "serving_default"):
    image = signatures[name](image=x, feature=label.astype(np.int64))["image"].numpy()
    assert_same_images(image, trained.control(x, label))
  assert_same_images(signatures["reconstruct"](image=x)["image"].numpy(), trained.reconstruct(x))
  assert_same_images(signatures["fuse"](image=x, feature_image=partner)["image"].numpy(), trained.fuse(x, partner))
  seeds = np.arange(count) + 7
  generated = signatures["generate"](feature=label.astype(np.int64), seed=seeds)["image"].numpy()
  assert_same_images(generated, trained.generate(label, seed=seeds))
  codes, (mean, stddev) = signatures["encode"](image=x), trained.encode_z1(x)
  np.testing.assert_allclose(codes["z1_mean"], mean, atol=1e-5)
  np.testing.assert_allclose(codes["z1_stddev"], stddev, atol=1e-5)
  assert codes["feature"].shape == (count, 10)
  np.testing.assert_array_equal(np.argmax(codes["feature"], 1), trained.encode(x).feature)


@pytest.mark.parametrize("write", [tf.io.encode_png, lambda image: tf.io.encode_jpeg(image, quality=100)])
def test_encoded_images_are_taken_and_given(signatures, few_digits, write):
  x, label = few_digits.test["image"][:3], np.array([1, 2, 3])
  encoded = tf.stack([write(image) for image in x])
  decoded = np.stack([decode(one, (28, 28, 3)).image for one in encoded.numpy()])
  codes = signatures["encode_png"](image_bytes=encoded)
  for name, value in signatures["encode"](image=decoded).items():
    np.testing.assert_allclose(codes[name], value, atol=1e-5)
  pngs = signatures["control_png"](image_bytes=encoded, feature=label)["image_bytes"].numpy()
  images = signatures["control"](image=decoded, feature=label)["image"]
  np.testing.assert_array_equal(np.stack([tf.io.decode_png(png) for png in pngs]), images)
  assert signatures["control_png"](image_bytes=encoded[:0], feature=label[:0])["image_bytes"].shape == (0,)


@pytest.mark.parametrize("shape", [(57, 81), (81, 57), (20, 40), (28, 29)], ids=str)
def test_encoded_images_of_another_size_are_cropped_at_their_centre_and_resized(signatures, shape):
  image = np.random.default_rng(0).integers(256, size=(*shape, 3), dtype=np.uint8)
  resized = decode(PIL.Image.fromarray(image), (28, 28, 3)).image
  codes = signatures["encode_png"](image_bytes=tf.stack([tf.io.encode_png(image)]))
  for name, value in signatures["encode"](image=resized[None]).items():
    np.testing.assert_allclose(codes[name], value, atol=1e-4)  # a pixel may be rounded the other way


@pytest.mark.parametrize("mode", ["RGBA", "I;16", "TIFF"])
def test_encoded_images_are_read_as_in_training(signatures, digit_run, mode, tmp_path):
  """By a signature, from a file, and as pixels that the training makes of the file."""
  random_state, file = np.random.default_rng(0), tmp_path / f"a.{'tif' if mode == 'TIFF' else 'png'}"
  if mode == "I;16":
    PIL.Image.fromarray(random_state.integers(2**16, size=(40, 50)).astype(np.uint16)).save(file)
  else:
    PIL.Image.fromarray(random_state.integers(256, size=(40, 50, 4), dtype=np.uint8)).save(file)
  image = decode(file, (28, 28, 3)).image[None]
  codes = signatures["encode_png"](image_bytes=tf.constant([file.read_bytes()]))
  for expected in (signatures["encode"](image=image)["z1_mean"], digit_run.trained.encode(file).z1_mean):
    np.testing.assert_allclose(codes["z1_mean"], expected, atol=1e-3)  # some pixels are a grey level off
  controlled = [digit_run.trained.control(given, 7) for given in (file, [str(file)], PIL.Image.open(file), image)]
  assert all((one == controlled[0]).all() and one.dtype == np.uint8 for one in controlled)


def test_an_export_composes_on_the_ground_of_its_training(monkeypatch):
  def grounds(image_bytes, shape, background):
    return tf.zeros([tf.size(image_bytes), *shape], tf.uint8) + tf.constant(background, tf.uint8)

  monkeypatch.setattr(signatures_module, "decode_images", grounds)
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(), **TINY)
  trained = TrainedModel(model, background=(10, 200, 30))
  expected = trained.encode_z1(np.broadcast_to(np.uint8([10, 200, 30]), (1, 28, 28, 3)))[0]
  np.testing.assert_allclose(traced(trained, "encode_png")(image_bytes=["a"])["z1_mean"], expected, atol=1e-5)


def test_an_encoded_grey_image_is_one_of_equal_channels(signatures, few_digits):
  grey = few_digits.test["image"][0, :, :, :1]
  codes = signatures["encode_png"](image_bytes=tf.stack([tf.io.encode_png(grey)]))
  for name, value in signatures["encode"](image=np.repeat(grey, 3, 2)[None]).items():
    np.testing.assert_allclose(codes[name], value, atol=1e-5)


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
def test_a_feature_is_taken_in_its_natural_form(feature, names, few_digits):
  model = DisentangledVAE((28, 28, 3), feature, Objective(), **TINY)
  trained, x = TrainedModel(model), few_digits.test["image"][:1]
  control = traced(trained, "control")
  natural = {name.removeprefix("feature_"): value for name, value in names.items()}
  natural = natural if len(natural) > 1 else natural["feature"]
  image = control(image=x, **names)["image"].numpy()
  assert_same_images(image, trained.control(x, natural))


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


def test_batches_of_two_sizes_are_told_apart_whatever_they_are_joined_with(signatures, few_digits):
  x = few_digits.test["image"][:2]
  features = {"feature_digit_label": np.array([3, 4]), "feature_color": np.float32([[0.2, 0.5, 1.0]])}
  trained = TrainedModel(DisentangledVAE((28, 28, 3), Composite(parts=(DigitLabel(), Color())), Objective(), **TINY))
  generate = traced(trained, "generate")
  for function, inputs, words in (
    (signatures["fuse"], {"image": x, "feature_image": x[:1]}, "as many feature images as images"),
    (generate, {"seed": np.array([0, 1]), **features}, "as many of one feature as of another"),
    (signatures["generate"], {"seed": np.array([0, 1]), "feature": np.array([3])}, "as many seeds as features"),
  ):
    for _ in range(20):  # whichever thread comes first
      with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        function(**inputs)


def test_an_image_of_another_shape_is_told_both_shapes(signatures, few_digits):
  x, label = few_digits.test["image"][:2], np.array([1, 2])
  whole = [(2, 27, 28, 3), (2, 28, 27, 3), (2, 14, 56, 3), (2, 29, 28, 3), (2, 28, 28, 1)]
  for shape in (*whole, (2, 28, 28), (28, 28, 3)):
    image, given = np.zeros(shape, np.uint8), rf"\[B, 28, 28, 3\], not of the shape\] \[{' '.join(map(str, shape))}\]"
    for name, inputs, noun in (
      ("encode", {"image": image}, "images"),
      ("reconstruct", {"image": image}, "images"),
      ("control", {"image": image, "feature": label}, "images"),
      ("fuse", {"image": image, "feature_image": x}, "images"),
      ("fuse", {"image": x, "feature_image": image}, "feature images"),
    ):
      words = rf"\[{noun} are {given}"
      with pytest.raises(tf.errors.InvalidArgumentError, match=words):
        signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})
  png = tf.io.encode_png(x[0])
  for name, inputs, words in (
    ("control", {"image": x, "feature": label[:, None]}, r"values of feature are \[B\], not of the shape\] \[2 1\]"),
    ("control", {"image": x, "feature": label[0]}, r"values of feature are \[B\], not of the shape\] \[\]"),
    ("generate", {"feature": label, "seed": label[:, None]}, r"seeds are \[B\], not of the shape\] \[2 1\]"),
    ("encode_png", {"image_bytes": png}, r"encoded images are \[B\], not of the shape\] \[\]"),
    ("control_png", {"image_bytes": tf.stack([[png]]), "feature": label}, r"encoded images are .*\[1 1\]"),
  ):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
      signatures[name](**{key: tf.constant(value) for key, value in inputs.items()})


def png(width, height, rows=0):
  """An RGB image of zeros, of which `rows` rows are there."""

  def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

  compress = zlib.compressobj(1)
  data = b"".join(compress.compress(bytes(1 + 3 * width)) for _ in range(rows)) + compress.flush()
  header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
  return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def jpeg(width, height):
  """An image whose header has this size."""
  small = tf.io.encode_jpeg(np.zeros([8, 8, 3], np.uint8)).numpy()
  start = small.index(b"\xff\xc0\x00\x11\x08") + 5
  return small[:start] + struct.pack(">HH", height, width) + small[start + 4 :]


def refusal(function, image_bytes):
  with pytest.raises(tf.errors.InvalidArgumentError) as info:
    function(image_bytes=tf.constant([image_bytes]))
  return str(info.value)


def test_an_image_of_too_many_pixels_is_refused_by_its_header(signatures):
  encode, words = signatures["encode_png"], "16777216 pixels at most"
  for bomb in (png(4096, 4097), png(2**24 + 1, 1), png(2**31 - 1, 2**31 - 1), jpeg(4096, 4097), jpeg(65500, 65500)):
    assert words in refusal(encode, bomb)
  for damaged in (png(4096, 4096), png(1, 2**31 + 1), png(2**32 - 1, 2**32 - 1)):  # few enough, or no size at all
    assert words not in refusal(encode, damaged)
  with pytest.raises(tf.errors.InvalidArgumentError, match=words):
    signatures["control_png"](image_bytes=tf.constant([png(4096, 4097)]), feature=np.array([1]))
  assert encode(image_bytes=tf.constant([png(30, 20, rows=20)]))["z1_mean"].shape == (1, 4)


def test_what_is_neither_png_nor_jpeg_nor_tiff_is_refused(signatures):
  gif, bmp = b"GIF89a" + bytes(40), b"BM" + bytes(60)
  late = png(30, 20)[:8] + struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt")) + png(30, 20)[8:]
  for image_bytes in (b"", b"\xff\xd8", b"no image", gif, bmp, late, png(30, 20)[:15]):
    assert "an encoded image is a PNG, a JPEG or a TIFF" in refusal(signatures["encode_png"], image_bytes)


@pytest.mark.parametrize("side,limit,taken", [(3900, 130, True), (5000, 30, False)], ids=["large", "too large"])
def test_an_encoded_image_takes_no_more_memory_than_its_pixels(signatures, side, limit, taken):
  """MB; the images have 46 and 75 as bytes, and four times that as float32."""
  clear = pathlib.Path("/proc/self/clear_refs")
  if not clear.exists():
    pytest.skip("the peak of the memory is read from Linux's /proc")
  encode, image_bytes = signatures["encode_png"], tf.constant([png(side, side, rows=side)])
  encode(image_bytes=tf.constant([png(30, 20, rows=20)]))

  def peak():
    return int(pathlib.Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024

  clear.write_text("5")  # the peak begins anew
  before = peak()
  with contextlib.nullcontext() if taken else contextlib.suppress(tf.errors.InvalidArgumentError):
    encode(image_bytes=image_bytes)
  assert peak() - before < limit


def test_a_bad_colour_gets_words(few_digits):
  control = traced(TrainedModel(DisentangledVAE((28, 28, 3), Color(), Objective(), **TINY)), "control")
  for bad, words in (([np.nan, 0, 0], "NaN"), ([np.inf, 0, 0], "NaN or infinite"), ([2, 0, 0], "RGB lies")):
    with pytest.raises(tf.errors.InvalidArgumentError, match=words):
      control(image=few_digits.test["image"][:1], feature=np.float32([bad]))


def test_a_label_of_no_class_is_told_the_names_of_all(few_digits):
  model = DisentangledVAE((28, 28, 3), Category(num_classes=2), Objective(), **TINY)
  control = traced(TrainedModel(model, class_names={"label": ["cat", "dog"]}), "control")
  with pytest.raises(tf.errors.InvalidArgumentError, match="labels lie in 0 to 1: 0 is cat, 1 is dog"):
    control(image=few_digits.test["image"][:1], feature=np.array([2]))


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
  given = {"image": x, "feature_image": x[::-1], "feature": label, "seed": np.array([1, 2])}

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
  for of_signature, answer in zip(tested, answers):
    inputs = {name: given[name] for name in defs[of_signature].inputs}
    for name, value in signatures[of_signature](**inputs).items():
      np.testing.assert_allclose(answer[name], value, atol=1 if value.dtype == tf.uint8 else 1e-5, err_msg=of_signature)
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
    assert [tensor.tensor_shape.dim[0].size for tensor in request.inputs.values()] == [1] * len(request.inputs)
    signatures[request.model_spec.signature_name](
      **{name: tf.constant(tf.make_ndarray(tensor)) for name, tensor in request.inputs.items()}
    )


@pytest.mark.parametrize("count", [1, 3, 4, 5, 9])
def test_a_large_batch_is_decoded_in_pieces(tmp_path, count):
  """Of four images: pieces of a whole one, and of less, are joined in their order."""
  trained = TrainedModel(DisentangledVAE((28, 28, 3), DigitLabel(), Objective()), batch_size=4)
  functions = tf.saved_model.load(str(export(trained, tmp_path))).signatures
  rng = np.random.default_rng(0)
  image, label = rng.integers(256, size=(count, 28, 28, 3), dtype=np.uint8), rng.integers(10, size=count)
  answer = functions["control"](image=tf.constant(image), feature=tf.constant(label))["image"]
  assert np.abs(answer.numpy().astype(int) - trained.control(image, label)).max() <= 1
  assert len(np.unique(answer.numpy().reshape(count, -1), axis=0)) == count
