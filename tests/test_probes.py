"""Probes on representations of which it is known what they tell."""

import numpy as np
import pytest

from tfdisent.evaluation import PROBES, chance, leakage, predict, score

SIZES = {"train": 600, "validation": 200, "test": 400}


def parts_of(make):
  """`make(random_state, count)` for each part."""
  random_state = np.random.default_rng(0)
  return {part: make(random_state, count) for part, count in SIZES.items()}


@pytest.fixture(scope="module")
def label():
  """Three classes; the first has half of the examples."""
  return parts_of(lambda random_state, count: random_state.choice(3, size=count, p=[0.5, 0.3, 0.2]))


@pytest.fixture(scope="module")
def number():
  return parts_of(lambda random_state, count: random_state.random((count, 2)))


def one_hot(label):
  return {part: np.eye(3, dtype=np.float32)[y] for part, y in label.items()}


def constant(parts):
  return {part: np.ones((len(y), 4), np.float32) for part, y in parts.items()}


# --- Known answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", PROBES)
def test_the_identity_code_leaks_all(probe, label, number):
  assert leakage(one_hot(label), label, probe)["value"] == 1
  assert leakage(number, number, probe)["value"] > 0.97


@pytest.mark.parametrize("probe", PROBES)
def test_a_constant_code_leaks_nothing(probe, label, number):
  figure = leakage(constant(label), label, probe)
  assert figure == chance(label) and figure["value"] == pytest.approx(0.5, abs=0.06)
  assert -0.05 < leakage(constant(number), number, probe)["value"] <= 0
  assert chance(number)["value"] == 0


@pytest.mark.parametrize("probe", PROBES)
def test_a_copied_code_leaks_as_much_as_the_original(probe, label):
  random_state = np.random.default_rng(1)
  noisy = {part: z + random_state.normal(0, 0.5, z.shape) for part, z in one_hot(label).items()}
  copied = {part: np.concatenate([z, z], 1) for part, z in noisy.items()}
  once, twice = leakage(noisy, label, probe)["value"], leakage(copied, label, probe)["value"]
  assert 0.6 < once < 0.99 and twice == pytest.approx(once, abs=0.03)


@pytest.mark.parametrize("probe", PROBES)
def test_noise_leaks_nothing(probe, label):
  noise = parts_of(lambda random_state, count: random_state.normal(size=(count, 4)))
  assert leakage(noise, label, probe)["value"] < chance(label)["value"] + 0.05


def test_what_is_not_linear_needs_more_than_a_linear_probe():
  z = parts_of(lambda random_state, count: random_state.normal(size=(count, 2)))
  xor = {part: (v.prod(1) > 0).astype(int) for part, v in z.items()}
  linear, mlp, trees = (leakage(z, xor, probe)["value"] for probe in PROBES)
  assert linear < 0.65 and mlp > 0.9 and trees > 0.9


# --- What a probe may see ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", PROBES)
def test_a_prediction_does_not_depend_on_the_other_test_examples(probe, label):
  """So neither the scaler nor the probe was fitted on them."""
  z = parts_of(lambda random_state, count: random_state.normal(size=(count, 3)))
  few = {**z, "test": z["test"][:7] * 1}
  shifted = {**z, "test": np.concatenate([z["test"][:7], 100 + z["test"]])}
  a = predict(few, {**label, "test": label["test"][:7]}, probe)
  b = predict(shifted, {**label, "test": np.concatenate([label["test"][:7], label["test"]])}, probe)
  np.testing.assert_array_equal(a, b[:7])


@pytest.mark.parametrize("probe", PROBES)
def test_the_test_targets_are_never_seen(probe, label):
  z = parts_of(lambda random_state, count: random_state.normal(size=(count, 3)))
  other = {**label, "test": label["test"][::-1].copy()}
  np.testing.assert_array_equal(predict(z, label, probe), predict(z, other, probe))


def test_the_mlp_stops_where_the_validation_says():
  """Labels that are noise can be learned by heart, but then the validation part scores no better."""
  z = parts_of(lambda random_state, count: random_state.normal(size=(count, 3)))
  noise = parts_of(lambda random_state, count: random_state.choice(2, size=count, p=[0.8, 0.2]))
  fit_on_train = predict({**z, "test": z["train"]}, {**noise, "test": noise["train"]}, "mlp")
  assert np.mean(fit_on_train == noise["train"]) < 0.85


def test_the_seed_decides(label):
  z = parts_of(lambda random_state, count: random_state.normal(size=(count, 3)))
  assert leakage(z, label, "mlp", seed=3) == leakage(z, label, "mlp", seed=3)


def test_a_class_that_no_probe_was_shown_is_missed(label):
  unseen = {part: np.where(y == 2, 0, y) if part == "train" else y for part, y in label.items()}
  for probe in PROBES:
    assert leakage(one_hot(label), unseen, probe)["value"] == pytest.approx(np.mean(label["test"] < 2))


# --- Scores -----------------------------------------------------------------------------------------------------------


def test_r_squared_is_the_textbooks():
  from sklearn.metrics import r2_score

  random_state = np.random.default_rng(0)
  y = 1000 + random_state.normal(size=(300, 3)) * [1, 10, 0.1]
  read = y + random_state.normal(size=y.shape) * [0.5, 1, 0.1]
  figure = score(y, read)
  assert figure["value"] == pytest.approx(r2_score(y, read)) and figure["low"] < figure["value"] < figure["high"]
  assert score(y, np.broadcast_to(y.mean(0), y.shape))["value"] == pytest.approx(0)


def test_the_accuracy_by_hand():
  figure = score(np.array([0, 1, 2, 1]), np.array([0, 1, 1, 0]))
  assert figure["value"] == 0.5 and 0 <= figure["low"] < 0.5 < figure["high"] <= 1
