"""Every term of the loss against values known by hand."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.digit_label import DigitLabel
from tests.conftest import TINY
from tests.model.world import ALL, E2, EG, NAMES, PAPER, SEED, Halves, known_terms, make_world
from tfdisent.model.objective import Objective
from tfdisent.model.terms import of_neighbour
from tfdisent.model.vae import DisentangledVAE


@pytest.mark.parametrize("likelihood", ["gaussian", "laplace", "bernoulli"])
@pytest.mark.parametrize("code", ["one_hot", "bernoulli", "gaussian"])
def test_every_likelihood_and_code_trains(likelihood, code, batch):
  keras.utils.set_random_seed(0)
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(likelihood=likelihood), code=code, **TINY)
  model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
  first = model.update(batch)
  for _ in range(4):
    last = model.update(batch)
  assert all(np.isfinite(value) for value in last.values())
  if code == "gaussian":  # L_f1 moves with the entropy of a learned code, which no term holds
    first, last = ({**terms, "L": terms["L"] - 10 * terms["L_f"]} for terms in (first, last))
  assert last["L"] < first["L"]


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
    ({**PAPER, "gan": "hinge"}, 3),
    ({**PAPER, "r1": 3.0, "d_real": "originals"}, 32),
    ({**PAPER, "r1": 3.0}, 31),
    ({**PAPER, "r1": 3.0, "r1_every": 5, "gan": "hinge"}, 5),
    ({**PAPER, "r1": 3.0}, -1),
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
  drawn = {(step, stream): model.noise(place, tf.constant(step), 2, stream) for step in (4, 5) for stream in (0, 1)}
  for (step, stream), noise in drawn.items():
    whole = tf.random.stateless_normal([4, 2], [SEED, 2 * step + stream]).numpy()
    np.testing.assert_array_equal(noise, whole[[3, 1, 0, 2]])
  np.testing.assert_array_equal(model.noise(place, tf.constant(4), 2), drawn[4, 0])
  assert len({noise.numpy().tobytes() for noise in drawn.values()}) == 4


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
      {"feature_loss": "f1", "mirror": 1.0},
      {"L_f": {"E1", "G", "q"}, "L_GAN": {"E1", "G", "D"}, "L_mirror": {"E1", "G"}, "KL_z2": E2, "reconstruction": EG},
    ),
    ({"feature_loss": "f1", "q_data": "pairs"}, {"L_q": {"q"}}),
    ({"r1": 1.0, "r1_every": 3}, {"R1": {"D"}, "L_GAN": EG | {"D"}}),
  ],
  ids=["all", "pairs", "both", "prior", "f1", "f1-pairs", "r1"],
)
def test_which_network_a_term_has_a_gradient_for(world_batch, objective, learners):
  model = make_world(**objective)
  with tf.GradientTape(persistent=True) as tape:
    terms = model.terms(world_batch, tf.constant(3, tf.int64))
  for name, expected in learners.items():
    gradients = {s: tape.gradient(terms[name], network.trainable_variables) for s, network in model.networks.items()}
    found = {s for s, of_network in gradients.items() if any(g is not None and np.any(g) for g in of_network)}
    assert found == expected, name


def test_r1_is_computed_in_the_steps_that_it_is_due_in_alone_and_is_right_on_average(world_batch):
  model = make_world(lambda3=0.0, r1=1.0, r1_every=4)
  model.compile(keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0))
  expected = np.square(model.D.kernel.numpy()[-16:]).sum()
  step = tf.function(model.update)
  assert [float(step(world_batch)["R1"]) for _ in range(8)] == pytest.approx([4 * expected, 0, 0, 0] * 2, rel=1e-5)
  assert float(model.test_step(world_batch)["R1"]) == pytest.approx(expected, rel=1e-5)


def test_r1_flattens_d_at_the_real_images(batch):
  """Of a D that is not linear, in a graph: a step down R1 alone lowers it."""
  keras.utils.set_random_seed(0)
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(lambda3=0.0, r1=1e6, r1_every=1), **TINY)
  model.compile(keras.optimizers.SGD(0.0), keras.optimizers.Adam(1e-3))
  step = tf.function(model.update)
  first, last = [float(step(batch)["R1"]) for _ in range(5)][::4]
  assert 0 < last < 0.9 * first


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
    ({"lambda3": 0.0, "r1": 1.0}, {"L_GAN", "L_D", "R1"}),
    ({"lambda3": 0.0, "lambda4": 0.0, "mirror": 1.0}, {"L_mirror"}),
    ({"lambda3": 0.0, "lambda4": 0.0, "adversary": 1.0}, {"L_a"}),
    ({"lambda3": 0.0, "lambda4": 0.0, "cycle": 1.0}, {"L_cycle"}),
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


@pytest.mark.parametrize("count", [3, 4])
def test_on_pairs_each_gets_the_z1_of_another_image_whatever_their_number(world_batch, count):
  z1 = tf.constant([[0.0], [1.0], [2.0], [3.0]])[:count]
  np.testing.assert_array_equal(of_neighbour(z1)[:, 0], [1, 0, 3, 2] if count == 4 else [1, 0, 0])
  batch = {name: column[:count] for name, column in world_batch.items()} | {"position": tf.range(count)}
  assert np.isfinite(make_world(q_data="pairs").terms(batch, tf.constant(0, tf.int64))["L_q"])


ALL_TERMS = {"q_data": "both", "mirror": 1.0, "adversary": 5.0, "cycle": 1.0, "prior_fusions": 0.5, "q_noise": 0.1}


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
