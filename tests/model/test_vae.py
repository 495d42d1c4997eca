"""The model: its networks, posteriors and configuration, and use as a Keras model."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.digit_label import DigitLabel
from tests.conftest import TINY
from tests.model.test_posteriors import by_hand
from tests.model.world import (
  make_world,
)
from tfdisent.errors import ConfigError, FeatureError
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.serving.signatures import ServedModel


def test_networks_are_those_that_the_objective_needs(make_tiny):
  assert set(make_tiny().networks) == {"E1", "G", "q", "D"}
  assert set(make_tiny(lambda4=0.0).networks) == {"E1", "G", "q"}
  assert set(make_tiny(lambda3=0.0, lambda4=0.0).networks) == {"E1", "G"}
  assert set(make_tiny(Color(), lambda4=0.0).networks) == {"E1", "E2", "G"}
  assert set(make_tiny(Color(), lambda4=0.0, feature_loss="f1").networks) == {"E1", "E2", "G", "q"}
  assert set(make_tiny(adversary=1.0).networks) == {"E1", "G", "q", "D", "a"}


def test_the_features_kind_picks_the_loss_and_the_objective_overrules(make_tiny):
  assert make_tiny().feature_losses == ("f1",)
  assert make_tiny(Color()).feature_losses == ("f2",)
  assert make_tiny(Color(), feature_loss="f1").feature_losses == ("f1",)


def test_get_config_makes_the_same_model(make_tiny):
  model = make_tiny(lambda3=4.0, q_data="both")
  again = DisentangledVAE.from_config(model.get_config())
  assert again.objective == model.objective and again.feature == model.feature and again.seed == model.seed
  assert {s: n.count_params() for s, n in again.networks.items()} == {
    s: n.count_params() for s, n in model.networks.items()
  }
  for a, b in zip(again.networks.values(), model.networks.values()):
    assert a.get_config() == b.get_config()


def test_the_model_called_on_images_reconstructs_them(world_batch):
  model, image, f = make_world(), world_batch["image"], world_batch["feature"]
  x = image.numpy() / np.float32(255)
  z1 = by_hand(model, "E1", x)[:, :2]
  with_f = 1 / (1 + np.exp(-by_hand(model, "G", z1, model.mean_z2(f)))).reshape(4, 4, 4, 1)
  read = 1 / (1 + np.exp(-by_hand(model, "G", z1, model.read_z2(tf.constant(z1), x)))).reshape(4, 4, 4, 1)
  for images in (image, x):
    np.testing.assert_allclose(model(images, f), with_f, rtol=1e-5)
    np.testing.assert_allclose(model(images), read, rtol=1e-5)
  np.testing.assert_allclose(model.predict(image.numpy(), verbose=0), read, rtol=1e-5)
  with pytest.raises(FeatureError, match=r"'category' cannot be computed from pixels.* `model\(x, f\)`"):
    make_world(lambda3=0.0)(image)


def test_a_fixed_noise_of_z1_leaves_e1_its_mean_alone(batch, tmp_path):
  objective = Objective(lambda4=0.0, cycle=1.0, mirror=1.0)
  model = DisentangledVAE((28, 28, 3), DigitLabel(), objective, z1_stddev=0.5, **TINY)
  mean = model.E1(tf.image.convert_image_dtype(batch["image"], tf.float32))
  assert mean.shape == (8, 4)
  kl = 0.5 * (np.square(mean).sum(1) + 4 * (0.25 - 1 - np.log(0.25)))  # a decay of the mean, and a constant
  terms = model.terms(batch, tf.constant(-1, tf.int64))
  assert float(terms["KL_z1"]) == pytest.approx(kl.mean(), rel=1e-5)
  assert all(np.isfinite(value) for value in terms.values())

  again = DisentangledVAE.from_config(model.get_config())
  for symbol, network in model.networks.items():
    again.networks[symbol].set_weights(network.get_weights())
  code = TrainedModel(again).encode(batch["image"].numpy())
  np.testing.assert_allclose(code.z1_mean, mean, atol=1e-5)
  np.testing.assert_array_equal(code.z1_stddev, np.full([8, 4], 0.5, np.float32))
  served = ServedModel(TrainedModel(again)).signatures({"encode"})["encode"](batch["image"])
  np.testing.assert_allclose(served["z1_mean"], mean, atol=1e-5)
  np.testing.assert_array_equal(served["z1_stddev"], np.full([8, 4], 0.5, np.float32))


def test_the_summary_names_the_networks(capsys):
  make_world(adversary=1.0).summary()
  assert "Total params" in capsys.readouterr().out


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"G": {"conv": ()}}, "at least one transposed convolution"),
    ({"z1_width": 0}, "model.z1_width = 0 must be a whole number of at least 1"),
    ({"z1_stddev": 0.0}, "model.z1_stddev = 0.0 must be positive, or None"),
    ({"z2_width": 2.0}, r"model.z2_width = 2.0 must be a whole number: did you mean 2\?"),
    ({"code": "ternary"}, "unknown code 'ternary'"),
    ({"feature": Color(), "code": "one_hot"}, r"model.code = 'one_hot' .*'color' is continuous: use 'gaussian'"),
    ({"feature": Color(), "code": "bernoulli"}, "continuous: use 'gaussian'"),
    ({"precision": "int8"}, "model.precision = 'int8': choose 'float32', 'mixed_bfloat16' or 'mixed_float16'"),
    ({"E1": {"layers": 3}}, r"model.E1 = .*'layers': 3"),
    ({"D": (32,)}, r"model.D = \(32,\) must be a dict or None"),
    ({"q": {"activation": "no_such"}}, "model.q = .*no_such"),
    ({"feature": {"smile": "attribute"}}, "must be a Feature, the name of a registered one, or a description"),
    ({"feature": 3}, "feature = 3 must be"),
  ],
)
def test_a_model_that_cannot_work_is_refused(arguments, words):
  with pytest.raises(ConfigError, match=words):
    DisentangledVAE(**{"image_shape": (8, 8, 3), "feature": DigitLabel(), **TINY, **arguments})


def test_a_model_has_its_defaults_in_its_configuration():
  model = DisentangledVAE((12, 8, 3), Color(), Objective(adversary=1.0, feature_loss="f1"))
  config = model.get_config()
  networks = dict.fromkeys(("E1", "E2", "G", "q", "D", "a"))
  assert config == {
    "image_shape": [12, 8, 3],
    "feature": Color().get_config(),
    "objective": {**dataclasses.asdict(model.objective), "losses": []},
    "z1_width": 16,
    "z2_width": 8,
    "code": None,
    "networks": {"name": "plain", "module": "tfdisent.networks.plain"},
    **networks,
    "precision": "float32",
    "ema": 0.0,
    "seed": 0,
    "z1_stddev": None,
  }
  of_networks = {symbol: network.get_config() for symbol, network in model.networks.items()}
  assert {symbol: c["outputs"] for symbol, c in of_networks.items() if symbol != "G"} == {
    "E1": 32,
    "E2": 16,
    "q": 16,
    "D": 1,
    "a": 3,
  }
  assert (model.z1_width, model.z2_width, model.image_shape, model.seed) == (16, 8, (12, 8, 3), 0)
  assert of_networks["E1"]["conv"] == of_networks["q"]["conv"] == of_networks["D"]["conv"] == (32,)
  assert DisentangledVAE((28, 28, 1), DigitLabel(), Objective(lambda3=0.0, lambda4=0.0)).G.get_config()["conv"] == (
    64,
    32,
  )
  assert model.G(tf.zeros([2, 16]), tf.zeros([2, 8])).shape == (2, 12, 8, 3)
