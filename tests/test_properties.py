"""Whatever a user types or brings, what comes back is a result or an error of ours that says what is wrong."""

import contextlib
import io
import string

import gin
import numpy as np
import pytest
import tensorflow as tf
from absl import flags
from absl.testing import flagsaver
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from features.color import Color
from features.digit_label import DigitLabel
from features.pose import Pose, Rotation
from tests.conftest import CONFIG
from tfdisent import CONTINUOUS, DISCRETE, Feature, config, main, run
from tfdisent.config import model as make_model
from tfdisent.data.dataset import Dataset, check_images
from tfdisent.errors import ConfigError, DataError, FeatureError, RunError, TfdisentError
from tfdisent.feature.values import feature_values
from tfdisent.flags import MODES
from tfdisent.model.objective import Objective
from tfdisent.training.optimizers import make_optimizer

quickly = settings(
  max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

NUMBERS = st.one_of(st.integers(-3, 3), st.floats(), st.none(), st.booleans(), st.text(max_size=3))
ANYTHING = st.recursive(
  NUMBERS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=4
)
ARRAYS = npst.arrays(
  st.sampled_from([np.uint8, np.float32, np.float64, np.int64, bool, "U2", object]),
  npst.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=4),
)


# --- Configs ----------------------------------------------------------------------------------------------------------


@quickly
@given(st.lists(st.text(string.printable, max_size=30) | st.sampled_from(CONFIG.splitlines()), max_size=4))
def test_any_text_is_a_config_or_an_error_of_ours(lines):
  try:
    config.read([], lines)
  except ConfigError as error:
    assert str(error)
  finally:
    gin.clear_config()


@quickly
@given(st.binary(max_size=40) | st.text(string.printable, max_size=60).map(str.encode))
def test_any_bytes_describe_a_run_or_are_an_error_of_ours(tmp_path, content):
  (tmp_path / "run.json").write_bytes(content)
  with contextlib.suppress(RunError):
    assert isinstance(run.read_description(tmp_path), dict)
  with pytest.raises((ConfigError, RunError)):
    run.read_dataset(tmp_path)


@quickly
@given(st.sampled_from([*Objective.__dataclass_fields__]), ANYTHING)
def test_any_value_of_the_objective_is_taken_or_refused(name, value):
  with contextlib.suppress(ConfigError):
    Objective(**{name: value})


@quickly
@given(
  st.sampled_from(["algorithm", "learning_rate", "decay", "warmup_steps", "arguments"]),
  ANYTHING | st.just({"beta_1": "high"}),
)
def test_any_value_of_the_optimizer_is_taken_or_refused(name, value):
  with contextlib.suppress(ConfigError):
    make_optimizer(10, **{name: value})


@settings(quickly, max_examples=30)
@given(
  st.sampled_from(["z1_width", "z2_width", "code", "E1", "E2", "G", "q", "D", "a", "precision"]),
  ANYTHING | st.dictionaries(st.sampled_from(["conv", "dense", "activation", "name"]), ANYTHING, min_size=1),
)
def test_any_value_of_the_model_is_taken_or_refused(name, value):
  with contextlib.suppress(ConfigError):
    make_model((8, 8, 3), DigitLabel(), **{name: value})


# --- Images and features ----------------------------------------------------------------------------------------------


@quickly
@given(ARRAYS)
def test_any_array_is_a_batch_of_images_or_refused(array):
  try:
    check_images(array)
  except DataError as error:
    assert str(error)
  else:
    assert array.ndim == 4 and array.shape[3] in (1, 3)


@quickly
@given(ARRAYS, ARRAYS)
def test_any_columns_are_a_data_set_or_refused(image, label):
  with contextlib.suppress(DataError):
    Dataset(*({"image": image.copy(), "label": label} for _ in range(4)), name="any")


TYPES = ["uint8", "float16", "float32", "float64", "int8", "int64", "bool", "complex64", "U2", "O"]
VALUES = [0, 1, 0.5, 1e-7, 1.0001, -0.001, 2, 255, np.nan, np.inf]


@st.composite
def images_of_a_model(draw, shape=(28, 28, 3)):
  """Of the model's own shape, of any type, in a range that fits or does not; and whether it is a batch of images."""
  dtype, count = np.dtype(draw(st.sampled_from(TYPES))), draw(st.integers(0, 3))
  values = VALUES[: draw(st.integers(1, 4)) if draw(st.booleans()) else None] if dtype.kind == "f" else VALUES[:3]
  image = np.zeros([count, *shape], dtype)
  for _ in range(draw(st.integers(1, 3))):  # a rectangle of one value
    top, left = draw(st.integers(0, 27)), draw(st.integers(0, 27))
    image[draw(st.integers(0, 2)) :, top:, left:, draw(st.integers(0, 2)) :] = np.array(
      draw(st.sampled_from(values)), dtype
    )
  is_float = dtype.kind == "f" and np.isfinite(image).all() and not ((image < 0) | (image > 1)).any()
  return image, dtype == np.uint8 or is_float


@quickly
@given(images_of_a_model())
def test_a_trained_model_takes_any_images_or_refuses_them(digit_run, images):
  (image, is_good), trained = images, digit_run.trained
  label = np.zeros(len(image), int)
  if not is_good:
    for call in (trained.reconstruct, trained.encode, lambda image: trained.control(image, label)):
      with pytest.raises(DataError, match="images"):
        call(image)
    return
  z1 = trained.encode_z1(image)[0]
  assert z1.shape == (len(image), 4) and np.isfinite(z1).all()
  as_float = np.float32(image / 255 if image.dtype == np.uint8 else image)
  np.testing.assert_allclose(z1, trained.encode_z1(as_float)[0], atol=1e-6)
  for x in (trained.reconstruct(image), trained.control(image, label)):
    assert x.shape == image.shape and x.dtype == image.dtype
    assert np.isfinite(x).all() and (x >= 0).all() and (image.dtype == np.uint8 or (x <= 1).all())
  np.testing.assert_allclose(
    trained.reconstruct(image) / (255 if image.dtype == np.uint8 else 1),
    trained.reconstruct(as_float),
    atol=0.501 / 255 if image.dtype == np.uint8 else 1e-3 if image.dtype == np.float16 else 1e-6,
  )


@quickly
@given(ARRAYS)
def test_images_that_are_not_of_the_models_shape_are_refused(digit_run, image):
  with pytest.raises(DataError, match=r"shape|uint8|\[0, 1\]"):
    digit_run.trained.reconstruct(image)


@quickly
@given(ARRAYS | ANYTHING)
def test_any_value_of_a_feature_is_taken_or_refused(digit_run, value):
  for feature in (DigitLabel(), Color(), Pose(), Rotation()):
    with contextlib.suppress(FeatureError):
      vector = feature.to_vector(value)
      assert vector.shape[1:] == (feature.width,) and np.isfinite(vector).all()
  with contextlib.suppress(ConfigError, DataError, FeatureError):
    assert np.isfinite(digit_run.trained.generate(value)).all()


@quickly
@given(ANYTHING | ARRAYS | st.sampled_from([KeyError("x"), ZeroDivisionError(), tf.zeros([3, 2])]), st.integers(0, 3))
def test_any_plugin_gives_a_vector_or_is_refused(value, width):
  class Any(Feature):
    kind = DISCRETE if width % 2 else CONTINUOUS

    def of_example(self, example):
      if isinstance(value, Exception):
        raise value
      return value

  Any.width = width
  try:
    f = feature_values(Any(), {"image": np.zeros([3, 4, 4, 3], np.uint8)})
  except FeatureError as error:
    assert "Any" in str(error)
  else:
    assert f.shape == (3, width) and np.isfinite(f).all()


# --- Command lines ----------------------------------------------------------------------------------------------------

FLAGS = st.one_of(
  st.builds("--mode={}".format, st.sampled_from([mode for mode in MODES if mode != "bench"] + ["trian", ""])),
  st.builds("--run_dir={}/{}".format, st.just("{folder}"), st.text("abc/. ", max_size=4)),
  st.builds("--run_dirs={}".format, st.text("abc,/", max_size=5)),
  st.builds("--gin_file={}".format, st.sampled_from(["nothing.gin", "gin_configs/own_images.gin", ".", ""])),
  st.builds("--gin_param={}".format, st.text(string.printable, max_size=12)),
  st.builds("--data_dir={}".format, st.sampled_from(["nowhere", "", ".", "~/nowhere", "~nobody/x"])),
  st.builds("--seed={}".format, st.sampled_from(["1", "-1", "x", "9" * 30])),
  st.builds("--strategy={}".format, st.sampled_from(["two", "multi_worker", ""])),
  st.text(string.ascii_letters, min_size=1, max_size=4),
)


@quickly
@given(st.lists(FLAGS, max_size=5))
def test_any_command_line_ends_with_words_and_leaves_no_whole_run(tmp_path, monkeypatch, arguments):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  arguments = [argument.replace("{folder}", str(tmp_path)) for argument in arguments]
  err = io.StringIO()
  with flagsaver.flagsaver(), contextlib.redirect_stderr(err), contextlib.redirect_stdout(io.StringIO()):
    flags.FLAGS.unparse_flags()
    try:
      main.main(flags.FLAGS(["tfdisent", *arguments]))
      code = 0
    except SystemExit as error:
      code = error.code
    except flags.Error as error:
      code, words = 2, str(error)
      err.write(words)
    finally:
      gin.clear_config()
  assert code in (1, 2) and err.getvalue().strip()
  assert not list(tmp_path.rglob("model.json")) and not list(tmp_path.rglob("metrics.json"))


def test_errors_of_ours_are_all_of_one_kind():
  for error in (ConfigError, DataError, FeatureError):
    assert issubclass(error, TfdisentError)
  with pytest.raises(TfdisentError):
    config.read(["nothing.gin"])
