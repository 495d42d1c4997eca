"""A LiteRT file answers what is right, and fails where other formats refuse."""

import re

import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.conftest import TINY
from tfdisent.errors import ConfigError
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.serving import litert
from tfdisent.serving.litert import export_litert

IMAGE = np.random.default_rng(0).integers(256, size=(4, 8, 8, 3), dtype=np.uint8)
FEATURES = {
  "feature_digit_label": np.array([1, 2, 3, 9]),
  "feature_color": np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3),
}


@pytest.fixture(scope="module")
def trained():
  return TrainedModel(DisentangledVAE((8, 8, 3), Composite(parts=(DigitLabel(), Color())), Objective(), **TINY))


@pytest.fixture(scope="module")
def path(trained, tmp_path_factory):
  return export_litert(trained, tmp_path_factory.mktemp("litert") / "model.tflite")


def ask(path, signature, **inputs):
  return tf.lite.Interpreter(str(path)).get_signature_runner(signature)(**inputs)


def operations(path):
  return {one["op_name"] for one in tf.lite.Interpreter(str(path))._get_ops_details()}


def test_smaller_weights_make_a_smaller_file_and_say_what_they_cost(path, trained, tmp_path, capsys):
  sizes, told = [path.stat().st_size], []
  for weights in ("float16", "int8"):
    smaller = litert.export(trained, tmp_path / weights, weights=weights)
    sizes.append(smaller.stat().st_size)
    assert not operations(smaller) & {"TRANSPOSE_CONV"}  # of which LiteRT is slow in integers
    told.append(float(re.search(rf"Of {weights} weights: .* to ([\d.]+|inf) dB", capsys.readouterr().out)[1]))
  assert max(sizes[1:]) < sizes[0]
  assert told[0] >= told[1] > 20
  assert litert.decibels(path, trained) >= told[0]
  with pytest.raises(ConfigError, match=r"litert\.weights = 'int4': choose one of 'float32', 'float16', 'int8'"):
    litert.export(trained, tmp_path / "int4", weights="int4")


@pytest.mark.parametrize("count", [1, 3, 4])
def test_what_is_right_is_answered(path, trained, count):
  features = {name: value[:count] for name, value in FEATURES.items()}
  image = ask(path, "control", image=IMAGE[:count], **features)["image"]
  expected = trained.control(IMAGE[:count], {name.removeprefix("feature_"): of for name, of in features.items()})
  assert image.shape == expected.shape and np.abs(image.astype(int) - expected).max() <= 1
  np.testing.assert_allclose(
    ask(path, "encode", image=IMAGE[:count])["z1_mean"], trained.encode_z1(IMAGE[:count])[0], atol=1e-3
  )


@pytest.mark.parametrize(
  "shape", [(4, 7, 8, 3), (4, 8, 7, 3), (4, 4, 16, 3), (4, 9, 8, 3), (4, 8, 8, 1), (4, 8, 8)], ids=str
)
def test_an_image_of_another_shape_fails(path, shape):
  for signature, features in (("encode", {}), ("control", FEATURES)):
    with pytest.raises(RuntimeError, match="CONCATENATION"):
      ask(path, signature, image=np.zeros(shape, np.uint8), **features)


@pytest.mark.parametrize("name", FEATURES)
@pytest.mark.parametrize("count", [0, 1, 3, 5])
def test_features_are_as_many_as_images(path, name, count):
  """One feature is not spread over four images. LiteRT of TensorFlow 2.18 fails in the other operation."""
  other = np.resize(FEATURES[name], (count, *FEATURES[name].shape[1:]))
  with pytest.raises(RuntimeError, match=r"gather index out of bounds|CONCATENATION"):
    ask(path, "control", image=IMAGE, **{**FEATURES, name: other})


@pytest.mark.parametrize(
  ("name", "value"),
  [
    ("feature_digit_label", 10),
    ("feature_digit_label", -1),
    *(("feature_color", v) for v in (1.5, -1, np.nan, np.inf)),
  ],
)
def test_a_value_out_of_range_fails(path, name, value):
  wrong = FEATURES[name].copy()
  wrong.flat[1] = value
  with pytest.raises(RuntimeError, match="gather index out of bounds"):
    ask(path, "control", image=IMAGE, **{**FEATURES, name: wrong})


def test_a_feature_of_another_shape_fails(path):
  for name, shape in (("feature_color", (4, 4)), ("feature_color", (4,)), ("feature_digit_label", (4, 1))):
    wrong = np.zeros(shape, FEATURES[name].dtype)
    with pytest.raises(RuntimeError, match="CONCATENATION"):
      ask(path, "control", image=IMAGE, **{**FEATURES, name: wrong})
