"""The training step: what learns from which loss, and that it does not depend on how the batch is split."""

import dataclasses
import math
from types import MappingProxyType

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tfdisent import losses
from tfdisent.errors import ConfigError
from tfdisent.feature import Feature
from tfdisent.model import DisentangledVAE, Objective

from .conftest import TINY


def weights(model):
  return {symbol: [w.copy() for w in network.get_weights()] for symbol, network in model.networks.items()}


def moved(before, after):
  """Symbols of the networks of which a weight changed."""
  return {symbol for symbol in before if any((a != b).any() for a, b in zip(before[symbol], after[symbol]))}


def test_networks_are_those_that_the_objective_needs(make_tiny):
  assert set(make_tiny().networks) == {"E1", "G", "q", "D"}
  assert set(make_tiny(lambda4=0.0).networks) == {"E1", "G", "q"}
  assert set(make_tiny(lambda3=0.0, lambda4=0.0).networks) == {"E1", "G"}
  assert set(make_tiny(Color(), lambda4=0.0).networks) == {"E1", "E2", "G"}
  assert set(make_tiny(Color(), lambda4=0.0, feature_loss="f1").networks) == {"E1", "E2", "G", "q"}
  assert set(make_tiny(lambda6=1.0).networks) == {"E1", "G", "q", "D", "a"}


def test_the_features_kind_picks_the_loss_and_the_objective_overrules(make_tiny):
  assert make_tiny().feature_losses == ("f1",)
  assert make_tiny(Color()).feature_losses == ("f2",)
  assert make_tiny(Color(), feature_loss="f1").feature_losses == ("f1",)


def test_the_total_is_the_weighted_sum_of_its_terms(make_tiny, batch):
  weight = {"lambda1": 2.0, "lambda3": 7.0, "lambda4": 0.5}
  terms = make_tiny(**weight).terms(batch, tf.constant(3, tf.int64))
  expected = terms["reconstruction"] + 2 * terms["KL_z1"] + 7 * terms["L_f"] + 0.5 * terms["L_GAN"]
  np.testing.assert_allclose(terms["L"], expected, rtol=1e-6)


def test_a_gaussian_z2_adds_its_kl_weighted_by_lambda2(make_tiny, batch):
  f, partner = tf.random.uniform([8, 3], seed=1), tf.random.uniform([8, 3], seed=2)
  color_batch = {**batch, "feature": f, "partner": partner}
  terms = make_tiny(Color(), lambda2=3.0, lambda3=0.0, lambda4=0.0).terms(color_batch, tf.constant(0, tf.int64))
  np.testing.assert_allclose(terms["L"], terms["reconstruction"] + terms["KL_z1"] + 3 * terms["KL_z2"], rtol=1e-6)


def test_terms_are_those_of_the_losses_on_the_images_that_the_networks_give(make_tiny, batch):
  """The whole forward pass once more, written out from the paper, without noise."""
  model = make_tiny(stddev=0.5)
  model._noise = lambda place, step, width: tf.zeros([8, width])
  terms = model.terms(batch, tf.constant(0, tf.int64))
  x, z2, z2_partner = tf.cast(batch["image"], tf.float32) / 255, batch["feature"], batch["partner"]
  z1 = model.encode_z1(x).mean()
  x_rec, x_fusion = model.generate(z1, z2), model.generate(z1, z2_partner)
  np.testing.assert_allclose(terms["reconstruction"], tf.reduce_sum((x - x_rec) ** 2) / 8 / (2 * 0.25), rtol=1e-5)
  log_q = tf.nn.log_softmax(model.q(z1, x_fusion))
  np.testing.assert_allclose(terms["L_f"], -tf.reduce_mean(tf.reduce_sum(z2_partner * log_q, 1)), rtol=1e-5)
  d_real, d_fusion = tf.sigmoid(model.D(z2, x_rec)), tf.sigmoid(model.D(z2_partner, x_fusion))
  np.testing.assert_allclose(terms["L_D"], -tf.reduce_mean(tf.math.log(d_real) + tf.math.log(1 - d_fusion)), rtol=1e-4)
  np.testing.assert_allclose(terms["L_GAN"], -tf.reduce_mean(tf.math.log(d_fusion)), rtol=1e-4)


def test_one_step_moves_every_network(make_tiny, batch):
  model = make_tiny()
  before = weights(model)
  model.update(batch)
  assert moved(before, weights(model)) == {"E1", "G", "q", "D"}


def test_the_discriminator_learns_from_l_d_alone(make_tiny, batch):
  """D moves down its own loss, and neither E1, G nor q follow it: with λ4 tiny they step as without a GAN."""
  sgd = keras.optimizers.SGD
  with_gan, without = make_tiny(lambda4=1e-30, optimizers=sgd), make_tiny(lambda4=0.0, optimizers=sgd)
  for symbol in ("E1", "G", "q"):
    without.networks[symbol].set_weights(with_gan.networks[symbol].get_weights())
  with_gan.update(batch)
  without.update(batch)
  for symbol in ("E1", "G", "q"):
    for a, b in zip(with_gan.networks[symbol].get_weights(), without.networks[symbol].get_weights()):
      np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_q_on_pairs_ignores_the_fusions(make_tiny, batch):
  """The step of q is the same whatever G does."""
  steps = []
  for scale in (1.0, 0.0):
    model = make_tiny(q_data="pairs", lambda4=0.0, optimizers=keras.optimizers.SGD)
    model.G.set_weights([scale * w for w in model.G.get_weights()])
    before = weights(model)["q"]
    model.update(batch)
    steps.append([a - b for a, b in zip(weights(model)["q"], before)])
  for a, b in zip(*steps):
    np.testing.assert_allclose(a, b, atol=1e-7)
  assert any(np.abs(step).max() > 0 for step in steps[0])


def test_q_on_both_adds_the_losses(make_tiny, batch):
  step = tf.constant(0, tf.int64)
  losses_of_q = {data: float(make_tiny(q_data=data).terms(batch, step)["L_q"]) for data in ("fusions", "pairs", "both")}
  assert math.isclose(losses_of_q["both"], losses_of_q["fusions"] + losses_of_q["pairs"], rel_tol=1e-5)


def test_on_pairs_q_is_given_the_z1_of_another_image(make_tiny, batch):
  """So it cannot read the code from z1, which encodes the very image on the pair."""
  seen = []
  model = make_tiny(q_data="pairs", lambda4=0.0)
  call = model.q.call
  model.q.call = lambda z1, x: (seen.append((z1.numpy(), x.numpy())), call(z1, x))[1]
  model.terms(batch, tf.constant(0, tf.int64))
  (z1_fusion, _), (z1_pair, x_pair) = seen
  np.testing.assert_allclose(x_pair, np.asarray(batch["image"]) / 255, rtol=1e-6)
  np.testing.assert_array_equal(z1_pair, z1_fusion.reshape(4, 2, 4)[:, ::-1].reshape(8, 4))


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, 4), (0.25, 2), (1.0, 8)])
def test_the_share_of_fusions_from_the_prior(make_tiny, batch, share, expected):
  model = make_tiny(prior_fusions=share, lambda4=0.0)
  seen = []
  call = model.q.call
  model.q.call = lambda z1, x: (seen.append(z1.numpy()), call(z1, x))[1]
  step = tf.constant(0, tf.int64)
  model.terms(batch, step)
  prior = model._noise(batch["place"], step, 4 + 4 + 10 + 10).numpy()[:, 4:8]
  assert (seen[0] == prior).all(1).sum() == expected


def test_real_images_of_the_discriminator(make_tiny, batch):
  for d_real in ("reconstructions", "originals"):
    model, seen = make_tiny(d_real=d_real), []
    call = model.D.call
    model.D.call = lambda z2, x, call=call, seen=seen: (seen.append(x.numpy()), call(z2, x))[1]
    model.terms(batch, tf.constant(0, tf.int64))
    is_original = np.allclose(seen[0], np.asarray(batch["image"]) / 255)
    assert is_original == (d_real == "originals")


BEYOND = {"lambda5": 2.0, "lambda6": 3.0, "lambda7": 5.0}


def test_what_goes_beyond_the_paper_is_added_and_the_leakage_taken_off(make_tiny, batch):
  step = tf.constant(3, tf.int64)
  paper, terms = make_tiny().terms(batch, step), make_tiny(**BEYOND).terms(batch, step)
  expected = paper["L"] + 2 * terms["L_mirror"] - 3 * terms["L_a"] + 5 * terms["L_cycle"]
  np.testing.assert_allclose(terms["L"], expected, rtol=1e-5)


@pytest.mark.parametrize(("step", "share"), [(0, 0.0), (25, 0.25), (100, 1.0), (1000, 1.0), (-1, 1.0)])
def test_it_comes_in_over_the_ramp(make_tiny, batch, step, share):
  """A validation, whose step is -1, has the whole of it."""
  step = tf.constant(step, tf.int64)
  paper, terms = make_tiny().terms(batch, step), make_tiny(**BEYOND, ramp_steps=100).terms(batch, step)
  expected = paper["L"] + share * (2 * terms["L_mirror"] - 3 * terms["L_a"] + 5 * terms["L_cycle"])
  np.testing.assert_allclose(terms["L"], expected, rtol=1e-5)


def test_terms_beyond_the_paper_are_those_of_the_losses_without_noise(make_tiny, batch):
  model = make_tiny(**BEYOND)
  model._noise = lambda place, step, width: tf.zeros([8, width])
  terms = model.terms(batch, tf.constant(0, tf.int64))
  f, partner = batch["feature"], batch["partner"]
  z1 = model.encode_z1(tf.cast(batch["image"], tf.float32) / 255).mean()
  mirrored = model.encode_z1(model.generate(z1, partner))
  log_q = tfp.distributions.Normal(mirrored.mean(), mirrored.stddev()).log_prob(z1)
  np.testing.assert_allclose(terms["L_mirror"], -tf.reduce_mean(tf.reduce_sum(log_q, 1)), rtol=1e-4)
  log_a = tf.reduce_sum(f * tf.nn.log_softmax(model.a(z1)), 1)
  np.testing.assert_allclose(terms["L_a"], -tf.reduce_mean(log_a), rtol=1e-5)
  means = [model.encode_z1(model.generate(tf.zeros_like(z1), z2)).mean() for z2 in (f, partner)]
  np.testing.assert_allclose(terms["L_cycle"], tf.reduce_mean(tf.reduce_sum(abs(means[0] - means[1]), 1)), rtol=1e-4)


@pytest.mark.parametrize("which", ["eg", "d"])
def test_the_adversary_learns_with_the_optimizer_that_is_asked_for(make_tiny, batch, which):
  model = make_tiny(lambda6=1.0, a_optimizer=which)
  model.compile(keras.optimizers.SGD(0.0 if which == "d" else 0.1), keras.optimizers.SGD(0.1 if which == "d" else 0.0))
  before = {symbol: network.get_weights() for symbol, network in model.networks.items()}
  model.update(batch)
  moved = {
    symbol
    for symbol, network in model.networks.items()
    if any((a != b).any() for a, b in zip(before[symbol], network.get_weights()))
  }
  assert moved == ({"a", "D"} if which == "d" else {"a", "E1", "G", "q"})


def test_the_adversary_reads_better_and_the_encoder_is_read_worse(make_tiny, batch):
  """Each by its own step, with the other held still."""
  step = tf.constant(0, tf.int64)
  for held, better in (("E1", True), ("a", False)):
    model = make_tiny(lambda1=0.0, lambda3=0.0, lambda4=0.0, lambda6=1e4, optimizers=keras.optimizers.SGD)
    before = float(model.terms(batch, step)["L_a"])
    kept = weights(model)
    model.update(batch)
    for symbol in {held, "G"}:
      model.networks[symbol].set_weights(kept[symbol])
    assert (float(model.terms(batch, step)["L_a"]) < before) == better


def test_the_adversary_of_a_continuous_feature_is_of_its_width(make_tiny, batch):
  f, partner = tf.random.uniform([8, 3], seed=1), tf.random.uniform([8, 3], seed=2)
  model = make_tiny(Color(), lambda4=0.0, lambda6=2.0)
  terms = model.terms({**batch, "feature": f, "partner": partner}, tf.constant(0, tf.int64))
  assert model.a.get_config()["outputs"] == 3 and 0 < float(terms["L_a"]) < 10


def test_noise_depends_on_the_place_and_the_step_alone(make_tiny, batch):
  model, place = make_tiny(), batch["place"]
  step, next_step = tf.constant(5, tf.int64), tf.constant(6, tf.int64)
  whole = model._noise(place, step, 3)
  order = tf.constant([3, 1, 0, 2, 7, 6, 5, 4])
  np.testing.assert_array_equal(tf.gather(whole, order), model._noise(tf.gather(place, order), step, 3))
  others = [
    model._noise(place, next_step, 3),
    model._noise(place, step, 3, stream=1),
    make_tiny(seed=1)._noise(place, step, 3),
  ]
  assert all((whole.numpy() != other.numpy()).all() for other in others)


def test_q_reads_noisy_images_where_asked(make_tiny, batch):
  seen = []
  for q_noise in (0.0, 0.5):
    model = make_tiny(q_noise=q_noise, q_data="pairs", lambda4=0.0)
    call = model.q.call
    model.q.call = lambda z1, x, call=call: (seen.append(x.numpy()), call(z1, x))[1]
    model.terms(batch, tf.constant(0, tf.int64))
  for clean, noisy in zip(seen[:2], seen[2:]):
    assert abs(np.std(noisy - clean) - 0.5) < 0.01


def test_equal_steps_are_equal_to_the_bit(make_tiny, batch):
  a, b = make_tiny(seed=3, q_data="pairs"), make_tiny(seed=3, q_data="pairs")
  for model in (a, b):
    step = tf.function(model.update)
    for _ in range(3):
      step(batch)
  assert moved(weights(a), weights(b)) == set()


def test_no_weight_changes_before_every_gradient_is_known(make_tiny, batch):
  """In the graph each network's step waits for all the gradients: q's may not overtake L's way back through q."""
  model = make_tiny(q_data="pairs")
  graph = tf.function(model.update).get_concrete_function(batch).graph
  handles = {id(w.value.handle) for network in model.networks.values() for w in network.weights}
  inside = {inner.ref() for outer, inner in graph.captures if id(outer) in handles}
  steps = [op for op in graph.get_operations() if op.type.startswith("Assign") and op.inputs[0].ref() in inside]
  assert len(steps) == len(handles)

  def gradients_before(op):
    before, todo = set(), [op]
    while todo:
      op = todo.pop()
      new = {*(tensor.op for tensor in op.inputs), *op.control_inputs} - before
      before |= new
      todo += new
    return {op.name for op in before if op.type == "Conv2DBackpropFilter"}

  gradients = [gradients_before(op) for op in steps]
  assert len(gradients[0]) == 10  # two convolutions in each of E1, G and q, and in D for x' and for x̂
  assert all(names == gradients[0] for names in gradients)


def test_get_config_makes_the_same_model(make_tiny):
  model = make_tiny(lambda3=4.0, q_data="both")
  again = DisentangledVAE.from_config(model.get_config())
  assert again.objective == model.objective and again.feature == model.feature and again.seed == model.seed
  assert {s: n.count_params() for s, n in again.networks.items()} == {
    s: n.count_params() for s, n in model.networks.items()
  }
  for a, b in zip(again.networks.values(), model.networks.values()):
    assert a.get_config() == b.get_config()


def test_bfloat16_keeps_weights_and_losses_in_float32(batch):
  model = DisentangledVAE((28, 28, 3), DigitLabel(), precision="mixed_bfloat16", **TINY)
  assert model.E1.conv_layers[0].compute_dtype == "bfloat16"
  assert {w.dtype for network in model.networks.values() for w in network.weights} == {"float32"}
  assert {v.dtype for v in model.terms(batch, tf.constant(0, tf.int64)).values()} == {tf.float32}


@pytest.mark.parametrize(
  ("objective", "words"),
  [
    ({"lambda3": -1.0}, "lambda3"),
    ({"lambda4": math.nan}, "lambda4"),
    ({"stddev": 0.0}, "stddev"),
    ({"likelihood": "poisson"}, "likelihood"),
    ({"feature_loss": "f3"}, "feature_loss"),
    ({"q_data": "all"}, "q_data"),
    ({"prior_fusions": 1.5}, "prior_fusions"),
  ],
)
def test_an_objective_that_cannot_work_is_refused(objective, words):
  with pytest.raises(ConfigError, match=words):
    Objective(**objective)


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"G": {"conv": ()}}, "at least one transposed convolution"),
    ({"z1_width": 0}, "z1_width"),
    ({"code": "ternary"}, "ternary"),
    ({"feature": Color(), "code": "one_hot"}, "continuous"),
    ({"precision": "int8"}, "precision"),
    ({"E1": {"layers": 3}}, "model.E1"),
  ],
)
def test_a_model_that_cannot_work_is_refused(arguments, words):
  with pytest.raises(ConfigError, match=words):
    DisentangledVAE(**{"image_shape": (28, 28, 3), "feature": DigitLabel(), **TINY, **arguments})


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace", "bernoulli"])
@pytest.mark.parametrize("code", ["one_hot", "bernoulli", "gaussian"])
def test_every_likelihood_and_code_trains(likelihood, code, batch):
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(likelihood=likelihood), code=code, **TINY)
  model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
  first = model.update(batch)
  for _ in range(20):
    last = model.update(batch)
  assert all(np.isfinite(value) for value in last.values())
  assert last["L"] < first["L"]


def test_objective_defaults_are_the_papers():
  o = Objective()
  assert (o.q_data, o.d_real, o.prior_fusions, o.feature_loss) == ("fusions", "reconstructions", 0.0, None)
  assert dataclasses.is_dataclass(o) and losses.__doc__.count("λ3")


# --- A world small enough to know everything: 4x4 images, three classes, linear networks ------------------------------


class Halves(Feature):
  """The mean of the left half of an image, and that of the right."""

  kind = "continuous"
  width = 2

  def of_image(self, image):
    return tf.stack([tf.reduce_mean(half, [1, 2, 3]) for half in (image[:, :, :2], image[:, :, 2:])], 1)


class Top(Feature):
  """The mean of the highest row, and, as a learned f has them, with networks: L_f2 adds q_noise to what it sees."""

  kind = "continuous"
  width = 1
  networks = MappingProxyType({"network": None})

  def of_image(self, image):
    return tf.reduce_mean(image[:, 0], [1, 2])[:, None]


WORLD = Composite(
  (Category(num_classes=3), Attribute(("dark",)), Halves(), Top()),
  weights=(1.5, 2.0, 30.0, 10.0),
  leakage_weights=(1.0, 0.5, 3.0, 2.0),
  part_names=("kind", "dark", "halves", "top"),
)
NAMES, WIDTHS = ("kind", "dark", "halves", "top"), (3, 1, 2, 1)
PAPER = {"lambda1": 1.3, "lambda2": 0.7, "lambda3": 2.1, "lambda4": 0.9, "stddev": 0.3}
ALL = {**PAPER, "lambda5": 0.6, "lambda6": 0.4, "lambda7": 0.8}
SEED = 7


class Linear(keras.Model):
  """y = [inputs, side by side] W + b: what stands in for a network."""

  def __init__(self, inputs, outputs, shape, draw):
    super().__init__()
    self.kernel = keras.Variable(draw.normal(0, 0.4, (inputs, outputs)), dtype="float32")
    self.bias = keras.Variable(draw.normal(0, 0.4, outputs), dtype="float32")
    self.output_shape_ = shape

  def call(self, *inputs):
    side_by_side = tf.concat([tf.reshape(one, [one.shape[0], -1]) for one in inputs], 1)
    return tf.reshape(side_by_side @ self.kernel + self.bias, [-1, *self.output_shape_])


def make_world(code=None, **objective):
  """A model of `WORLD` whose every network is linear: z1 of 2 components, z2 of 1 for each part that has an E2."""
  least = {"conv": (), "dense": ()}
  model = DisentangledVAE(
    (4, 4, 1),
    WORLD,
    Objective(**objective),
    z1_width=2,
    z2_width=1,
    code=code,
    seed=SEED,
    **{"E1": least, "G": {"conv": (1,), "dense": ()}, "q": least, "D": least, "E2": {"dense": ()}, "a": {"dense": ()}},
  )
  draw = np.random.default_rng(0)
  z2_width, of_q = (6, 4) if code is None else (4, 4)
  if model.objective.feature_loss == "f1":
    of_q = 8
  model.E1 = Linear(16, 4, [4], draw)
  model.E2 = tuple(Linear(width, 2, [2], draw) if e2 else None for width, e2 in zip(WIDTHS, model.E2))
  model.G = Linear(2 + z2_width, 16, [4, 4, 1], draw)
  model.q = model.q and Linear(2 + 16, of_q, [of_q], draw)
  model.D = model.D and Linear(z2_width + 16, 1, [], draw)
  model.a = model.a and Linear(2, 7, [7], draw)
  return model


@pytest.fixture
def world_batch():
  """Four images with two draws of the feature; their places are not those of the rows."""
  draw = np.random.default_rng(1)
  f = [
    np.concatenate([np.eye(3)[draw.integers(3, size=4)], draw.integers(2, size=(4, 1)), draw.random((4, 3))], 1)
    for _ in range(2)
  ]
  return {
    "image": tf.constant(draw.integers(256, size=(4, 4, 4, 1)), tf.uint8),
    "feature": tf.constant(f[0], tf.float32),
    "partner": tf.constant(f[1], tf.float32),
    "place": tf.constant([2, 0, 3, 1]),
  }


def softplus(a):
  return np.logaddexp(0, a)


def gaussian(parameters):
  """Mean and standard deviation from what a network gives."""
  mean, raw = np.split(parameters, 2, 1)
  return mean, softplus(raw) + 1e-4


def log_density(kind, parameters, z):
  """log q(z) [B] of a code."""
  if kind == "one_hot":
    return (z * (parameters - np.log(np.exp(parameters).sum(1, keepdims=True)))).sum(1)
  if kind == "bernoulli":
    return (z * parameters - softplus(parameters)).sum(1)
  mean, stddev = gaussian(parameters)
  return (-0.5 * ((z - mean) / stddev) ** 2 - np.log(stddev * np.sqrt(2 * np.pi))).sum(1)


def known_terms(model, batch, step):  # noqa: PLR0915
  """Every term once more, from the paper's equations and those of the docstrings, in NumPy and float64."""
  o, place = model.objective, batch["place"].numpy()
  x = batch["image"].numpy() / 255.0
  weights = {s: [np.float64(w) for w in network.get_weights()] for s, network in model.networks.items()}

  def net(symbol, *inputs):
    kernel, bias = weights[symbol]
    return np.concatenate([np.reshape(one, [len(one), -1]) for one in inputs], 1) @ kernel + bias

  def normal(width, stream):
    return tf.random.stateless_normal([4, width], [SEED, 2 * step + stream]).numpy().astype(np.float64)[place]

  def G(z1, z2):
    return net("G", z1, z2).reshape(4, 4, 4, 1)

  def sigmoid(a):
    return 1 / (1 + np.exp(-a))

  own = [part.learned for part in model.codes]
  kinds = ["gaussian" if learned else kind for learned, kind in zip(own, ("one_hot", "bernoulli", "", ""))]
  ends = [np.cumsum([1 if learned else width for learned, width in zip(own, WIDTHS)])[:-1], np.cumsum(WIDTHS)[:-1]]
  z2_width = sum(1 if learned else width for learned, width in zip(own, WIDTHS))
  of_parts = {"f1": "f1 f1 f1 f1", "f2": "f2 f2 f2 f2", None: "f1 f1 f2 f2"}[o.feature_loss].split()
  e_z1, e_prior, e_z2, e_partner = np.split(normal(4 + 2 * z2_width, 0), [2, 4, 4 + z2_width], 1)

  def encode(f, noise):
    posteriors = [
      gaussian(net(f"E2/{name}", f_part)) if learned else None
      for name, f_part, learned in zip(NAMES, np.split(f, ends[1], 1), own)
    ]
    parts = zip(posteriors, np.split(f, ends[1], 1), np.split(noise, ends[0], 1))
    return posteriors, np.concatenate([f_part if q is None else q[0] + q[1] * e for q, f_part, e in parts], 1)

  f, f_partner = batch["feature"].numpy().astype(np.float64), batch["partner"].numpy().astype(np.float64)
  (mean, stddev), (posteriors, z2), (_, z2_partner) = gaussian(net("E1", x)), encode(f, e_z2), encode(f_partner, e_partner)
  z1 = mean + stddev * e_z1
  ramp = min(step / o.ramp_steps, 1) if o.ramp_steps and step >= 0 else 1

  def kl(mean, stddev):
    return (0.5 * (mean**2 + stddev**2 - 1 - 2 * np.log(stddev))).sum(1).mean()

  terms = {"KL_z1": kl(mean, stddev)}
  if any(own):
    terms["KL_z2"] = sum(kl(*q) for q in posteriors if q)
  z1_fusion = np.where((o.prior_fusions * place % 1 < o.prior_fusions)[:, None], e_prior, z1)
  x_rec, x_fusion = sigmoid(G(z1, z2)), sigmoid(G(z1_fusion, z2_partner))
  gauss = ((x - x_rec) ** 2).sum((1, 2, 3)).mean() / (2 * o.stddev**2)
  laplace = np.abs(x - x_rec).sum((1, 2, 3)).mean() * np.sqrt(2) / o.stddev
  terms["reconstruction"] = {
    "gaussian": gauss,
    "laplace": (1 - ramp) * gauss + ramp * laplace,
    "bernoulli": -(x * np.log(x_rec) + (1 - x) * np.log(1 - x_rec)).sum((1, 2, 3)).mean(),
  }[o.likelihood]
  terms["psnr"] = (-10 * np.log10(((x - x_rec) ** 2).mean((1, 2, 3)))).mean()
  L = terms["reconstruction"] + o.lambda1 * terms["KL_z1"] + o.lambda2 * terms.get("KL_z2", 0)

  def q_losses(z1, image, z2):
    """-E log q of each part that q reads."""
    read = [kind for kind, loss in zip(kinds, of_parts) if loss == "f1"]
    counts = [2 if kind == "gaussian" else {"one_hot": 3, "bernoulli": 1}[kind] for kind in read]
    parameters = np.split(net("q", z1, image), np.cumsum(counts)[:-1], 1)
    codes = [z for z, loss in zip(np.split(z2, ends[0], 1), of_parts) if loss == "f1"]
    return [-log_density(*of_part).mean() for of_part in zip(read, parameters, codes)]

  if o.lambda3:
    noise = o.q_noise * normal(16, 1).reshape(4, 4, 4, 1)
    L_q = q_losses(z1_fusion, x_fusion + noise, z2_partner)
    halves = np.stack([x_fusion[:, :, :2].mean((1, 2, 3)), x_fusion[:, :, 2:].mean((1, 2, 3))], 1)
    top = (x_fusion + noise)[:, 0].mean((1, 2))[:, None]
    L_f2 = [((halves - f_partner[:, 4:6]) ** 2).sum(1).mean(), ((top - f_partner[:, 6:]) ** 2).sum(1).mean()]
    L_f = [*L_q, *L_f2][:4]
    terms |= {f"L_f/{name}": of_part for name, of_part in zip(NAMES, L_f)}
    terms["L_f"] = np.dot([1.5, 2.0, 30.0, 10.0], L_f)
    L += o.lambda3 * terms["L_f"]
    pairs = q_losses(z1[[1, 0, 3, 2]], x + noise, z2)
    terms["L_q"] = {"fusions": sum(L_q), "pairs": sum(pairs), "both": sum(L_q) + sum(pairs)}[o.q_data]
  if o.lambda4:
    real = sigmoid(net("D", z2, x if o.d_real == "originals" else x_rec))
    fusion = sigmoid(net("D", z2_partner, x_fusion))
    terms["L_D"], terms["L_GAN"] = -(np.log(real) + np.log(1 - fusion)).mean(), -np.log(fusion).mean()
    L += o.lambda4 * terms["L_GAN"]
  if o.lambda5:
    terms["L_mirror"] = -log_density("gaussian", net("E1", x_fusion), z1_fusion).mean()
    L += ramp * o.lambda5 * terms["L_mirror"]
  if o.lambda6:
    a, twice = np.split(net("a", np.concatenate([mean, z1])), ends[1], 1), np.split(np.concatenate([f, f]), ends[1], 1)
    terms["L_a"] = sum(
      weight * (((a_part - f_part) ** 2).sum(1) if kind == "gaussian" else -log_density(kind, a_part, f_part)).mean()
      for weight, kind, a_part, f_part in zip([1.0, 0.5, 3.0, 2.0], kinds, a, twice)
    )
    L -= ramp * o.lambda6 * terms["L_a"]
  if o.lambda7:
    cycled = [gaussian(net("E1", sigmoid(G(e_prior, z))))[0] for z in (z2, z2_partner)]
    terms["L_cycle"] = np.abs(cycled[0] - cycled[1]).sum(1).mean()
    L += ramp * o.lambda7 * terms["L_cycle"]
  return terms | {"L": L}


@pytest.mark.parametrize(
  ("objective", "step"),
  [
    ({}, 0),
    (PAPER, 3),
    ({"lambda3": 0.0, "lambda4": 0.0}, 3),
    ({**PAPER, "likelihood": "bernoulli", "d_real": "originals"}, 3),
    ({**PAPER, "likelihood": "laplace"}, 3),
    (ALL, 5),
    ({**ALL, "likelihood": "laplace", "ramp_steps": 4}, 1),
    ({**ALL, "likelihood": "laplace", "ramp_steps": 4}, 0),
    ({**ALL, "likelihood": "laplace", "ramp_steps": 4}, 9),
    ({**ALL, "likelihood": "laplace", "ramp_steps": 4}, -1),
    ({**PAPER, "q_data": "pairs", "q_noise": 0.3}, 3),
    ({**PAPER, "q_data": "both", "q_noise": 0.3}, 3),
    ({**ALL, "q_data": "both", "prior_fusions": 0.5}, 3),
    ({**ALL, "prior_fusions": 0.25}, 3),
    ({**ALL, "prior_fusions": 1.0}, 3),
    ({**ALL, "feature_loss": "f1", "q_data": "both", "q_noise": 0.2}, 3),
    ({**ALL, "code": "gaussian", "q_data": "both"}, 3),
  ],
  ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else f"step{value}",
)
def test_every_term_has_its_known_value(world_batch, objective, step):
  model = make_world(**objective)
  terms = {name: float(value) for name, value in model.terms(world_batch, tf.constant(step, tf.int64)).items()}
  assert terms == pytest.approx(known_terms(model, world_batch, step), rel=1e-5)
