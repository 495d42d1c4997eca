"""Several features at once: each part has its own code, its own L_f, and its own control, measures and pictures."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.conftest import TINY, train_tiny
from tfdisent import losses
from tfdisent.data.dataset import SPLITS
from tfdisent.errors import FeatureError
from tfdisent.evaluation import evaluate
from tfdisent.feature.choose import choose
from tfdisent.loading import load
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.pictures import write_pictures

BOTH = Composite((DigitLabel(), Color()), weights=(2.0, 300.0), adversary_weights=(1.0, 5.0))


@pytest.fixture
def both_batch(batch):
  random_state = np.random.default_rng(2)
  colors = {name: random_state.random((8, 3), np.float32) for name in ("feature", "partner")}
  return {**batch, **{name: tf.concat([batch[name], color], 1) for name, color in colors.items()}}


@pytest.fixture(scope="module")
def both_run(few_digits, tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "both"
  objective = {"q_data": "both", "mirror": 0.1, "adversary": 0.1}
  return folder, train_tiny(folder, few_digits, BOTH, objective=objective, evaluate_every=0)


def test_z2_is_the_label_itself_beside_a_code_of_the_colour(make_tiny, both_batch):
  model = make_tiny(BOTH)
  assert set(model.networks) == {"E1", "E2/color", "G", "q", "D"}
  assert [code.width for code in model.codes] == [10, model.codes[1].width] and not model.codes[0].learned
  z2 = model.mean_z2(both_batch["feature"])
  np.testing.assert_array_equal(z2[:, :10], both_batch["feature"][:, :10])
  alone = make_tiny(Color())
  alone.E2[0].set_weights(model.networks["E2/color"].get_weights())
  np.testing.assert_allclose(z2[:, 10:], alone.mean_z2(both_batch["feature"][:, 10:]), atol=1e-6)


def test_a_part_of_z2_depends_on_its_own_part_of_f_alone(make_tiny, both_batch):
  model, f = make_tiny(BOTH), both_batch["feature"].numpy()
  other = f.copy()
  other[:, 10:] = f[::-1, 10:]
  a, b = model.mean_z2(tf.constant(f)).numpy(), model.mean_z2(tf.constant(other)).numpy()
  np.testing.assert_array_equal(a[:, :10], b[:, :10])
  assert (a[:, 10:] != b[:, 10:]).any()


def test_l_f_is_the_weighted_sum_of_the_parts(make_tiny, both_batch):
  terms = make_tiny(BOTH).terms(both_batch, tf.constant(0, tf.int64))
  np.testing.assert_allclose(terms["L_f"], 2 * terms["L_f/digit_label"] + 300 * terms["L_f/color"], rtol=1e-5)
  np.testing.assert_allclose(terms["L_q"], terms["L_f/digit_label"], rtol=1e-6)  # q reads the label alone


def test_l_a_is_the_weighted_sum_of_what_the_adversary_reads_of_each_part(make_tiny, both_batch, monkeypatch):
  model, seen = make_tiny(BOTH, adversary=1.0), []
  true = losses.adversary_loss

  def spy(*arguments):
    seen.append(tf.reduce_mean(true(*arguments)))
    return true(*arguments)

  monkeypatch.setattr(losses, "adversary_loss", spy)
  terms = model.terms(both_batch, tf.constant(0, tf.int64))
  np.testing.assert_allclose(terms["L_a"], seen[0] + 5 * seen[1], rtol=1e-5)
  np.testing.assert_allclose(seen[0], np.log(10), rtol=0.1)  # nothing learned yet: a categorical of ten


def test_all_networks_learn(make_tiny, both_batch):
  model = make_tiny(BOTH, adversary=1.0)
  before = {symbol: network.get_weights() for symbol, network in model.networks.items()}
  terms = model.update(both_batch)
  for symbol, network in model.networks.items():
    assert float(terms[f"gradient_norm/{symbol}"]) > 0
    assert any((a != b).any() for a, b in zip(before[symbol], network.get_weights())), symbol


def test_attributes_are_bernoulli_bits_that_q_reads_one_by_one(make_tiny, batch):
  bits = np.float32(np.random.default_rng(0).integers(2, size=(2, 8, 3)))
  model = make_tiny(Attribute(("a", "b", "c")), q_data="both")
  assert set(model.networks) == {"E1", "G", "q", "D"} and model.z2_width == 3
  terms = model.terms({**batch, "feature": bits[0], "partner": bits[1]}, tf.constant(0, tf.int64))
  assert {"L_f/a", "L_f/b", "L_f/c"} <= set(terms)
  np.testing.assert_allclose(terms["L_f"], sum(terms[f"L_f/{name}"] for name in "abc"), rtol=1e-6)
  np.testing.assert_allclose(terms["L_f/a"], np.log(2), rtol=0.2)


# --- A short training -------------------------------------------------------------------------------------------------


def test_a_run_is_loaded_again_with_its_parts(both_run, few_digits):
  folder, trained = both_run
  loaded, x = load(folder), few_digits.test["image"]
  assert loaded.feature == BOTH
  for name, value in trained.encode(x).feature.items():
    np.testing.assert_array_equal(loaded.encode(x).feature[name], value)


def test_what_control_does_not_name_stays_as_it_is_in_the_image(both_run, few_digits):
  _, trained = both_run
  x = few_digits.test["image"] / np.float32(255)
  own, asked = trained.encode(x).feature, few_digits.test["color"][::-1]
  np.testing.assert_allclose(
    trained.control(x, {"color": asked}), trained.control(x, {**own, "color": asked}), atol=1e-6
  )
  np.testing.assert_allclose(trained.control(x, {}), trained.reconstruct(x), atol=1e-5)
  assert trained.generate({"digit_label": [1, 2], "color": asked[:2]}).shape == (2, *trained.image_shape)


def test_each_part_is_measured_while_the_other_stays(both_run, few_digits):
  _, trained = both_run
  metrics = evaluate(trained, few_digits, quick=True, progress=None)
  assert {f"control/digit_label/accuracy_{kind}" for kind in ("mean", "sample", "prior")} <= set(metrics)
  assert {f"control/color/mae_{kind}" for kind in ("mean", "sample", "prior")} <= set(metrics)
  assert {"complement/digit_label/color_mae", "complement/color/digit_accuracy", "complement/color/ink_iou"} <= set(
    metrics
  )
  assert "complement/digit_label/digit_accuracy" not in metrics and "complement/color/color_mae" not in metrics


def test_each_part_has_its_pictures(both_run, few_digits, tmp_path):
  _, trained = both_run
  f = np.asarray(BOTH.of_example({**few_digits.test, "image": tf.constant(few_digits.test["image"] / np.float32(255))}))
  names = [path.name for path in write_pictures(tmp_path, trained, few_digits.test, f)]
  assert names == [
    "fusion.png",
    "reconstruction.png",
    "fusion_digit_label.png",
    "traversal_digit_label.png",
    "fusion_color.png",
    "traversal_color.png",
  ]
  assert all((tmp_path / name).stat().st_size > 1000 for name in names)


# --- A number, an attribute and a colour of columns, by their names ---------------------------------------------------


@pytest.fixture(scope="module")
def people(few_digits):
  """Digits with an age and a bit that follow from the digit, of which the bit has names."""
  splits = {
    split: {
      **few_digits[split],
      "age": np.float32(20 + 7 * few_digits[split]["label"]),
      "odd": few_digits[split]["label"] % 2,
    }
    for split in SPLITS
  }
  dataset = dataclasses.replace(few_digits, **splits, judges=(), class_names={"odd": ("no", "yes")}, name="people")
  return dataset, choose("age:number,odd:attribute,color:color", dataset)


@pytest.fixture(scope="module")
def people_run(people, tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "people"
  dataset, feature = people
  objective = {"lambda4": 0.0}
  return folder, train_tiny(folder, dataset, feature, objective, epochs=1, evaluate_every=0, fitting={"epochs": 1})


def test_number_attribute_and_colour_are_trained_at_once_and_loaded_again(people_run, people):
  folder, trained = people_run
  loaded, x = load(folder), people[0].test["image"]
  age = loaded.feature.parts[0]
  assert loaded.feature == trained.feature and age.mean[0] == pytest.approx(people[0].train["age"].mean())
  assert json.loads((folder / "model.json").read_text())["feature"]["arguments"]["parts"][0]["arguments"]["scale"]
  assert trained.model.feature_losses == ("f2", "f1", "f2")  # the attribute alone is no function of pixels
  assert sorted(path.name for path in (folder / "features").iterdir()) == ["age", "color"]
  for name, value in trained.encode(x).feature.items():
    np.testing.assert_array_equal(loaded.encode(x).feature[name], value)


def test_control_takes_names_and_one_value_for_all_images(people_run, people):
  m, x = load(people_run[0]), people[0].test["image"][:5] / np.float32(255)
  named = m.control(x, {"odd": "yes", "age": 60, "color": [1, 0, 0]})
  arrays = {"odd": np.ones(5, int), "age": np.full(5, 60.0), "color": np.tile([1.0, 0, 0], (5, 1))}
  np.testing.assert_array_equal(named, m.control(x, arrays))
  assert (named != m.control(x, {"odd": "no", "age": 60, "color": [1, 0, 0]})).any()
  own = m.encode(x).feature
  np.testing.assert_allclose(m.control(x, {"odd": "no"}), m.control(x, {**own, "odd": np.zeros(5, int)}), atol=1e-6)
  with pytest.raises(FeatureError, match="'odd' has no class 'yess'"):
    m.control(x, {"odd": "yess"})
  all_of = {"odd": "no", "age": 60, "color": [1, 0, 0]}
  np.testing.assert_array_equal(m.generate(all_of, [3, 4]), m.generate({k: [v] * 2 for k, v in all_of.items()}, [3, 4]))
  assert len(m.generate({**all_of, "age": [20, 40, 60]})) == 3


def test_a_gaussian_q_reads_a_number_where_it_is_asked_for(people):
  dataset, _ = people
  feature = choose("age:number", dataset).of_dataset(dataset)
  model = DisentangledVAE((28, 28, 3), feature, Objective(feature_loss="f1", lambda4=0.0), **TINY)
  f = feature.of_example(dataset.train)
  batch = {"image": dataset.train["image"][:8], "feature": f[:8], "partner": f[8:16], "position": tf.range(8)}
  terms = model.terms(batch, tf.constant(0, tf.int64))
  assert model.feature_losses == ("f1",) and model.q is not None and np.isfinite(terms["L_f"])
  assert isinstance(model.variational_z2(*model_inputs(model))[0], tfp.distributions.MultivariateNormalDiag)


def model_inputs(model):
  return tf.zeros([2, model.z1_width]), tf.zeros([2, *model.image_shape])


def test_classes_that_are_counted_train_as_those_that_are_given(few_digits, no_graphs, tmp_path):
  quick = {"objective": {"lambda4": 0.0}, "epochs": 1, "evaluate_every": 0}
  given, counted = (
    train_tiny(tmp_path / str(classes), few_digits, Category(num_classes=classes), **quick).model
    for classes in (10, None)
  )
  assert counted.get_config() == given.get_config()
  for symbol, network in given.networks.items():
    for weight, again in zip(network.get_weights(), counted.networks[symbol].get_weights()):
      np.testing.assert_array_equal(weight, again, err_msg=symbol)
