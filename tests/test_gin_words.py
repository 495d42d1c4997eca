"""gin's riddles, from real files and bindings, and what is said in their place."""

import gin
import pytest

from tfdisent import config
from tfdisent.errors import ConfigError
from tfdisent.gin_words import in_words


@pytest.fixture(autouse=True)
def forget():
  yield
  gin.clear_config()


@pytest.mark.parametrize(
  ("binding", "words"),
  [
    ("train.dataset = photos", r"photos is no value: a text wants quotes, as in 'photos' \('train.dataset = photos', "),
    ("train.data_dir = ~/photos", "this is no value: a text wants quotes on both sides"),
    ("train.dataset = 'photos", "quotes on both sides"),
    ("train.jit_compile = true", "true is no value: Python writes it True"),
    ("train.feature = none", "none is no value: Python writes it None"),
    ("train.epochs = %N", "%N has no value: write `N = …`"),
    ("train.epochs = %a/N", "%N has no value"),
    ("train.epochs = (3", "a bracket or a quote is opened and never closed.*train.epochs"),
    ("train.epochs = 3 4", "a binding is one value"),
    ("train.epochs = 1 + 1", "a binding is one value"),
    ("train.run_dir = 'x'", r"train\.run_dir is no binding: the command or the library gives it"),
    ("train.epoch = 3", "'train' doesn't have a parameter named 'epoch'"),
    ("trian.epochs = 3", "No configurable matching 'trian'"),
    ("import nothing_of_this_name", "a module that is not there: No module named 'nothing_of_this_name'"),
    ("include 'nothing.gin'", r"Unable to open file: nothing\.gin"),
  ],
)
def test_a_binding_that_is_wrong_is_told_in_a_line(binding, words, capfd):
  with pytest.raises(ConfigError, match=words) as error:
    config.read([], ["train.seed = 3", binding])
  assert "\n" not in str(error.value) and "object at 0x" not in str(error.value)
  assert "# Parameters" not in str(error.value)
  assert not capfd.readouterr().err


def test_a_file_is_named_with_its_line(tmp_path):
  (tmp_path / "a.gin").write_text("train.seed = 3\ntrain.dataset = photos\n")
  with pytest.raises(ConfigError, match=rf"\('train.dataset = photos', line 2 of {tmp_path}/a.gin\)"):
    config.read([str(tmp_path / "a.gin")])


def test_a_call_that_lacks_a_value_is_told_without_gins_trailer():
  config.read([], ["import tfdisent.data.color_mnist", "color_mnist.seed = @train()"])
  with pytest.raises(ConfigError, match=r"^gin: train\(\) missing 1 required positional argument: 'run_dir', and"):
    config.make_dataset("color_mnist", None)


def test_other_messages_stay_in_one_line():
  assert in_words("a\n  b  c") == "a b c"
