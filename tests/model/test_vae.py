"""The training step: what learns from which loss, and that it does not depend on how the batch is split."""

import dataclasses
import math
from types import MappingProxyType

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.conftest import TINY
from tfdisent.errors import ConfigError, FeatureError
from tfdisent.feature.contract import Feature
from tfdisent.model.objective import Objective
from tfdisent.model.terms import _mean, _of_neighbour
from tfdisent.model.vae import DisentangledVAE


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


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace", "bernoulli"])
@pytest.mark.parametrize("code", ["one_hot", "bernoulli", "gaussian"])
def test_every_likelihood_and_code_trains(likelihood, code, batch):
  keras.utils.set_random_seed(0)
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(likelihood=likelihood), code=code, **TINY)
  model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
  first = model.update(batch)
  for _ in range(20):
    last = model.update(batch)
  assert all(np.isfinite(value) for value in last.values())
  if code == "gaussian":  # L_f1 moves with the entropy of a learned code, which no term holds
    first, last = ({**terms, "L": terms["L"] - 10 * terms["L_f"]} for terms in (first, last))
  assert last["L"] < first["L"]


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
  adversary_weights=(1.0, 0.5, 3.0, 2.0),
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
    "position": tf.constant([2, 0, 3, 1]),
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


def known_terms(model, batch, step):
  """Every term once more, from the paper's equations and those of the docstrings, in NumPy and float64."""
  o, place = model.objective, batch["position"].numpy()
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
  (mean, stddev), (posteriors, z2), (_, z2_partner) = (
    gaussian(net("E1", x)),
    encode(f, e_z2),
    encode(f_partner, e_partner),
  )
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


def test_the_noise_is_keyed_by_seed_step_stream_and_place():
  """Of the seed, of twice the step and the stream, so that no stream of one step is another's of the next."""
  model, place = make_world(lambda3=0.0, lambda4=0.0), tf.constant([3, 1, 0, 2])
  drawn = {(step, stream): model._noise(place, tf.constant(step), 2, stream) for step in (4, 5) for stream in (0, 1)}
  for (step, stream), noise in drawn.items():
    whole = tf.random.stateless_normal([4, 2], [SEED, 2 * step + stream]).numpy()
    np.testing.assert_array_equal(noise, whole[[3, 1, 0, 2]])
  np.testing.assert_array_equal(model._noise(place, tf.constant(4), 2), drawn[4, 0])
  assert len({noise.numpy().tobytes() for noise in drawn.values()}) == 4


E2 = {"E2/halves", "E2/top"}
EG = {"E1", "G"} | E2


@pytest.mark.parametrize(
  ("objective", "learners"),
  [
    (
      ALL,
      {
        "reconstruction": EG,
        "KL_z1": {"E1"},
        "KL_z2": E2,
        "L_f": EG | {"q"},
        "L_f/halves": EG,
        "L_q": EG | {"q"},
        "L_GAN": EG | {"D"},
        "L_D": EG | {"D"},
        "L_mirror": EG,
        "L_a": {"E1", "a"},
        "L_cycle": EG,
      },
    ),
    ({"q_data": "pairs"}, {"L_q": {"q"}, "L_f": EG | {"q"}}),
    ({"q_data": "both"}, {"L_q": EG | {"q"}}),
    ({"prior_fusions": 1.0}, {"L_f": {"G", "q"} | E2, "L_GAN": {"G", "D"} | E2, "reconstruction": EG}),
    (  # z̃2 is held where L_f1 asks for it, and z2 on q's pairs
      {"feature_loss": "f1", "lambda5": 1.0},
      {"L_f": {"E1", "G", "q"}, "L_GAN": {"E1", "G", "D"}, "L_mirror": {"E1", "G"}, "KL_z2": E2, "reconstruction": EG},
    ),
    ({"feature_loss": "f1", "q_data": "pairs"}, {"L_q": {"q"}}),
  ],
  ids=["all", "pairs", "both", "prior", "f1", "f1-pairs"],
)
def test_which_network_a_term_has_a_gradient_for(world_batch, objective, learners):
  model = make_world(**objective)
  with tf.GradientTape(persistent=True) as tape:
    terms = model.terms(world_batch, tf.constant(3, tf.int64))
  for name, expected in learners.items():
    gradients = {s: tape.gradient(terms[name], network.trainable_variables) for s, network in model.networks.items()}
    found = {s for s, of_network in gradients.items() if any(g is not None and np.any(g) for g in of_network)}
    assert found == expected, name


@pytest.mark.parametrize("a_optimizer", ["eg", "d"])
def test_a_step_goes_down_the_loss_of_each_network_with_its_own_optimizer(world_batch, a_optimizer):
  model = make_world(**ALL, a_optimizer=a_optimizer)
  model.compile(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25))
  losses_of = {"q": "L_q", "D": "L_D", "a": "L_a"}
  with tf.GradientTape(persistent=True) as tape:
    terms = model.terms(world_batch, tf.constant(0, tf.int64))
  expected = {
    symbol: tape.gradient(terms[losses_of.get(symbol, "L")], network.trainable_variables)
    for symbol, network in model.networks.items()
  }
  before = weights(model)
  logs = model.update(world_batch)
  assert set(logs) == {*terms, *(f"gradient_norm/{symbol}" for symbol in model.networks)} == set(model._means)
  assert set(model.networks) == {"E1", "E2/halves", "E2/top", "G", "q", "D", "a"}
  for symbol, network in model.networks.items():
    rate = 0.25 if symbol == "D" or (symbol == "a" and a_optimizer == "d") else 0.5
    for old, new, gradient in zip(before[symbol], network.get_weights(), expected[symbol]):
      np.testing.assert_allclose(new - old, -rate * gradient, rtol=1e-4, atol=1e-6)
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in expected[symbol]))
    assert float(logs[f"gradient_norm/{symbol}"]) == pytest.approx(norm, rel=1e-5)
  assert int(model.optimizer.iterations) == int(model.optimizer_d.iterations) == 1
  assert {name: float(logs[name]) for name in terms} == pytest.approx({k: float(v) for k, v in terms.items()}, rel=1e-5)


def test_each_step_has_noise_of_its_own_and_a_validation_always_the_same(world_batch):
  model = make_world(**PAPER)
  model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
  for step in (0, 1):
    L = known_terms(model, world_batch, step)["L"]
    assert float(model.update(world_batch)["L"]) == pytest.approx(L, rel=1e-5)
  L = known_terms(model, world_batch, -1)["L"]
  assert float(model.test_step(world_batch)["L"]) == pytest.approx(L, rel=1e-5)


@pytest.mark.parametrize(
  ("objective", "names"),
  [
    ({"lambda3": 0.0, "lambda4": 0.0}, set()),
    ({"lambda4": 0.0}, {"L_q", "L_f", *(f"L_f/{name}" for name in NAMES)}),
    ({"lambda3": 0.0}, {"L_GAN", "L_D"}),
    ({"lambda3": 0.0, "lambda4": 0.0, "lambda5": 1.0}, {"L_mirror"}),
    ({"lambda3": 0.0, "lambda4": 0.0, "lambda6": 1.0}, {"L_a"}),
    ({"lambda3": 0.0, "lambda4": 0.0, "lambda7": 1.0}, {"L_cycle"}),
  ],
  ids=lambda names: "-".join(sorted(names)),
)
def test_what_is_shown_of_a_step_is_what_the_objective_has(objective, names):
  model = make_world(**objective)
  assert model.metrics == []  # nothing before `compile`
  model.compile()
  expected = {"L", "reconstruction", "KL_z1", "KL_z2", "psnr"} | names | {f"gradient_norm/{s}" for s in model.networks}
  assert {metric.name for metric in model.metrics} == set(model._means) == expected


def test_a_learned_code_keeps_its_scale_and_its_spread_under_l_f1():
  """L_f1 falls without end where E2 may shrink z̃2, the target, and with it H(z̃2)."""
  keras.utils.set_random_seed(0)
  least = {"conv": (), "dense": (16,)}
  model = DisentangledVAE(
    (4, 4, 1),
    Halves(),
    Objective(feature_loss="f1", lambda4=0.0, stddev=0.1),
    z1_width=1,
    z2_width=2,
    **{"E1": least, "E2": {"dense": (16,)}, "G": {"conv": (4,), "dense": (16,)}, "q": least},
  )
  model.compile(keras.optimizers.Adam(1e-2), keras.optimizers.Adam())
  draw = np.random.default_rng(0)
  image = np.uint8(255 * draw.random((64, 1, 2, 1)).repeat(2, 2).repeat(4, 1))
  f = Halves().of_image(tf.constant(image / np.float32(255)))
  step = tf.function(model.update)
  for _ in range(100):
    partner = tf.gather(f, draw.permutation(64))
    step({"image": tf.constant(image), "feature": f, "partner": partner, "position": tf.range(64)})
  (q_z2,) = model.posterior_z2(f)
  assert q_z2.stddev().numpy().mean() > 0.1  # 0.01 where the gradient goes into the target
  assert q_z2.mean().numpy().std(0).mean() > 0.3  # 0.02 there, and where E2 is left the gradient through x̂


# --- Reading, and use as a Keras model --------------------------------------------------------------------------------


def by_hand(model, symbol, *inputs):
  kernel, bias = model.networks[symbol].get_weights()
  return np.concatenate([np.reshape(one, [len(one), -1]) for one in inputs], 1) @ kernel + bias


def test_an_image_is_read_by_pixels_where_it_can_be_and_else_by_q(world_batch):
  model, x = make_world(), world_batch["image"].numpy() / np.float32(255)
  z1 = np.array([[1.0, -1.0], [0.5, 2.0], [-2.0, 0.0], [3.0, 1.0]], np.float32)
  q = by_hand(model, "q", z1, x)
  kind, dark = np.eye(3)[q[:, :3].argmax(1)], q[:, 3:] > 0
  halves = np.stack([x[:, :, :2].mean((1, 2, 3)), x[:, :, 2:].mean((1, 2, 3))], 1)
  top = x[:, 0].mean((1, 2))[:, None]
  np.testing.assert_allclose(model.read_f(z1, x), np.concatenate([kind, dark, halves, top], 1), atol=1e-6)
  means = [by_hand(model, "E2/halves", halves)[:, :1], by_hand(model, "E2/top", top)[:, :1]]
  z2 = np.concatenate([kind, dark, *means], 1)
  np.testing.assert_allclose(model.read_z2(z1, x), z2, atol=1e-6)
  np.testing.assert_allclose(model.mean_z2(tf.constant(world_batch["feature"]))[:, :4], world_batch["feature"][:, :4])
  of_kind, of_dark, *others = model.variational_z2(z1, x)
  assert others == [None, None]
  np.testing.assert_allclose(model.codes[0].probabilities(of_kind), tf.nn.softmax(q[:, :3]), rtol=1e-5)
  np.testing.assert_allclose(model.codes[1].probabilities(of_dark), tf.sigmoid(q[:, 3:]), rtol=1e-5)
  sigmoid = 1 / (1 + np.exp(-by_hand(model, "G", z1, z2)))
  np.testing.assert_allclose(model.decode(z1, tf.constant(z2, tf.float32)), sigmoid.reshape(4, 4, 4, 1), rtol=1e-5)


def test_a_gaussian_code_is_read_at_the_mean_of_q_or_of_e2(world_batch):
  model, x = make_world(code="gaussian", feature_loss="f1"), world_batch["image"].numpy() / np.float32(255)
  z1 = np.ones([4, 2], np.float32)
  q = by_hand(model, "q", z1, x)
  read = model.read_z2(z1, x).numpy()
  np.testing.assert_allclose(read[:, :2], q[:, [0, 2]], rtol=1e-5)
  np.testing.assert_allclose(read[:, 3:], by_hand(model, "E2/top", x[:, 0].mean((1, 2))[:, None])[:, :1], rtol=1e-5)
  f = world_batch["feature"].numpy()
  np.testing.assert_allclose(model.mean_z2(f)[:, :1], by_hand(model, "E2/kind", f[:, :3])[:, :1], rtol=1e-5)


def test_what_cannot_be_read_from_an_image_is_said():
  make_world().check_reading(of_f=True)
  for objective in ({"lambda3": 0.0}, {"lambda3": 0.0, "feature_loss": "f1"}):
    with pytest.raises(FeatureError, match=r"'category' cannot be .* without a q.*`model\(x, f\)`"):
      make_world(**objective).check_reading()
  model = make_world(code="gaussian")
  model.check_reading()
  with pytest.raises(FeatureError, match=r"'category' cannot .* Gaussian code cannot be read back"):
    model.check_reading(of_f=True)
  with pytest.raises(FeatureError, match="'attribute' cannot"):  # read by no q, where L_f2 trains it
    DisentangledVAE((4, 4, 1), Attribute(("dark",)), Objective(feature_loss="f2"), G={"conv": (1,)}).check_reading()


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


@pytest.mark.parametrize(
  ("arguments", "kinds", "rates"),
  [
    ((), ("Adam", "Adam"), (1e-3, 2e-4)),
    (("sgd",), ("SGD", "Adam"), (1e-2, 2e-4)),
    (("adam", "adam"), ("Adam", "Adam"), (1e-3, 1e-3)),
    ((keras.optimizers.SGD(0.5), "sgd"), ("SGD", "SGD"), (0.5, 1e-2)),
  ],
)
def test_optimizers_may_be_named_or_left_out(arguments, kinds, rates):
  model = make_world()
  model.compile(*arguments)
  optimizers = model.optimizer, model.optimizer_d
  assert tuple(type(optimizer).__name__ for optimizer in optimizers) == kinds
  assert [float(optimizer.learning_rate) for optimizer in optimizers] == pytest.approx(rates)
  assert model.jit_compile is False
  if len(arguments) < 2:
    assert model.optimizer_d.beta_1 == 0.5


def test_one_optimizer_for_both_is_refused():
  with pytest.raises(ConfigError, match="optimizer and optimizer_d are one object"):
    make_world().compile(*[keras.optimizers.Adam()] * 2)


def test_the_summary_names_the_networks(capsys):
  make_world(lambda6=1.0).summary()
  assert "Total params" in capsys.readouterr().out


@pytest.mark.parametrize("count", [3, 4])
def test_on_pairs_each_gets_the_z1_of_another_image_whatever_their_number(world_batch, count):
  z1 = tf.constant([[0.0], [1.0], [2.0], [3.0]])[:count]
  np.testing.assert_array_equal(_of_neighbour(z1)[:, 0], [1, 0, 3, 2] if count == 4 else [1, 0, 0])
  batch = {name: column[:count] for name, column in world_batch.items()} | {"position": tf.range(count)}
  assert np.isfinite(make_world(q_data="pairs").terms(batch, tf.constant(0, tf.int64))["L_q"])


# --- Arguments --------------------------------------------------------------------------------------------------------


def test_an_objective_stays_what_was_checked():
  with pytest.raises(dataclasses.FrozenInstanceError):
    Objective().lambda3 = -1.0


ALL_TERMS = {"q_data": "both", "lambda5": 1.0, "lambda6": 5.0, "lambda7": 1.0, "prior_fusions": 0.5, "q_noise": 0.1}


@pytest.mark.parametrize("objective", [ALL_TERMS, {"likelihood": "bernoulli"}, {"likelihood": "laplace"}])
def test_what_weighs_nothing_does_not_change_a_term(make_tiny, batch, objective):
  """Six images that count, beside two that do not: whatever those two are, and as if all eight were the six."""
  model = make_tiny(**objective)
  first = {name: value[:6] for name, value in batch.items()}
  weight = tf.constant([1.0] * 6 + [0.0] * 2)
  step = tf.constant(-1, tf.int64)
  filled = [{name: tf.concat([values, values[a : a + 2]], 0) for name, values in first.items()} for a in (0, 3)]
  for other in filled:
    other["position"] = tf.range(8)
  one, another = (model.terms(other | {"weight": weight}, step) for other in filled)
  for name, value in one.items():
    assert float(value) == pytest.approx(float(another[name]), rel=1e-5), name
    assert np.isfinite(value), name


def test_the_weighted_mean():
  values = tf.constant([1.0, 2.0, float("inf")])
  assert float(_mean(values, tf.constant([1.0, 1.0, 0.0]))) == 1.5
  assert float(_mean(values, tf.zeros(3))) == 0.0
  assert float(_mean(tf.constant([1.0, 2.0, 9.0, 3.0, 6.0, 9.0]), tf.constant([1.0, 1.0, 0.0]))) == 3.0
  assert float(_mean(values, None)) == float("inf")
  assert dataclasses.asdict(Objective()) == {
    "likelihood": "gaussian",
    "stddev": 0.25,
    "lambda1": 1.0,
    "lambda2": 1.0,
    "lambda3": 10.0,
    "lambda4": 1.0,
    "lambda5": 0.0,
    "lambda6": 0.0,
    "lambda7": 0.0,
    "ramp_steps": 0,
    "feature_loss": None,
    "q_data": "fusions",
    "q_noise": 0.0,
    "d_real": "reconstructions",
    "prior_fusions": 0.0,
    "a_optimizer": "eg",
  }


@pytest.mark.parametrize(
  ("objective", "words"),
  [
    *[
      ({name: value}, rf"objective\.{name} = {value} must be a number, finite and not negative")
      for name in (*(f"lambda{i}" for i in range(1, 8)), "stddev", "q_noise", "prior_fusions", "ramp_steps")
      for value in (-0.5, math.inf)
    ],
    ({"lambda4": math.nan}, r"objective\.lambda4 = nan must be a number, finite"),
    ({"lambda1": "1"}, r"objective\.lambda1 = '1' must be a number"),
    ({"stddev": 0.0}, r"objective\.stddev = 0.0 must be positive"),
    ({"prior_fusions": 1.5}, r"objective\.prior_fusions = 1.5 must lie in \[0, 1\]"),
    ({"likelihood": "poisson"}, r"objective\.likelihood = 'poisson': choose one of 'gaussian', 'laplace', 'bernoulli'"),
    ({"feature_loss": "f3"}, r"objective\.feature_loss = 'f3': choose one of None, 'f1', 'f2'"),
    ({"q_data": "all"}, r"objective\.q_data = 'all': choose one of 'fusions', 'pairs', 'both'"),
    ({"d_real": "both"}, r"objective\.d_real = 'both': choose one of 'reconstructions', 'originals'"),
    ({"a_optimizer": "a"}, r"objective\.a_optimizer = 'a': choose one of 'eg', 'd'"),
  ],
)
def test_an_objective_that_cannot_work_is_refused(objective, words):
  with pytest.raises(ConfigError, match=words):
    Objective(**objective)


def test_an_objective_at_its_bounds_is_taken():
  zeros = {f"lambda{i}": 0 for i in range(1, 8)}
  assert Objective(**zeros, prior_fusions=1, likelihood="bernoulli", a_optimizer="d").prior_fusions == 1


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"G": {"conv": ()}}, "at least one transposed convolution"),
    ({"z1_width": 0}, "model.z1_width = 0 must be a whole number of at least 1"),
    ({"z2_width": 2.0}, "model.z2_width = 2.0 must be a whole number of at least 1"),
    ({"code": "ternary"}, "unknown code 'ternary'"),
    ({"feature": Color(), "code": "one_hot"}, r"model.code = 'one_hot' .*'color' is continuous: use 'gaussian'"),
    ({"feature": Color(), "code": "bernoulli"}, "continuous: use 'gaussian'"),
    ({"precision": "int8"}, "model.precision = 'int8': choose 'float32' or 'mixed_bfloat16'"),
    ({"E1": {"layers": 3}}, r"model.E1 = .*'layers': 3"),
    ({"D": (32,)}, r"model.D = \(32,\) must be a dict, as in \{'dense': \(128,\)\}"),
    ({"q": {"activation": "no_such"}}, "model.q = .*no_such"),
  ],
)
def test_a_model_that_cannot_work_is_refused(arguments, words):
  with pytest.raises(ConfigError, match=words):
    DisentangledVAE(**{"image_shape": (8, 8, 3), "feature": DigitLabel(), **TINY, **arguments})


def test_a_model_has_its_defaults_in_its_configuration():
  model = DisentangledVAE((12, 8, 3), Color(), Objective(lambda6=1.0, feature_loss="f1"))
  config = model.get_config()
  networks = dict.fromkeys(("E1", "E2", "G", "q", "D", "a"))
  assert config == {
    "image_shape": [12, 8, 3],
    "feature": Color().get_config(),
    "objective": dataclasses.asdict(model.objective),
    "z1_width": 16,
    "z2_width": 8,
    "code": None,
    **networks,
    "precision": "float32",
    "seed": 0,
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
