"""Probes on representations of which it is known what they tell."""

import tracemalloc

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, r2_score
from sklearn.neural_network import MLPClassifier, MLPRegressor

from tfdisent.evaluation import PROBES, ceiling, chance, leakage, predict, probes, score, usable_information
from tfdisent.evaluation.leaks import _pixels

SIZES = {"fit": 600, "select": 200, "score": 400}


def by_role(make):
  """`make(random_state, count)` for each role."""
  random_state = np.random.default_rng(0)
  return {role: make(random_state, count) for role, count in SIZES.items()}


@pytest.fixture(scope="module")
def label():
  """Three classes; the first has half of the examples."""
  return by_role(lambda random_state, count: random_state.choice(3, size=count, p=[0.5, 0.3, 0.2]))


@pytest.fixture(scope="module")
def number():
  return by_role(lambda random_state, count: random_state.random((count, 2)))


def one_hot(label):
  return {role: np.eye(3, dtype=np.float32)[y] for role, y in label.items()}


def constant(data):
  return {role: np.ones((len(y), 4), np.float32) for role, y in data.items()}


# --- Known answers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("probe", PROBES)
def test_the_identity_code_leaks_all(probe, label, number):
  assert leakage(one_hot(label), label, probe)["value"] == 1
  assert leakage(number, number, probe)["value"] > (0.999 if probe == "linear" else 0.98)


@pytest.mark.parametrize("probe", PROBES)
def test_a_constant_code_leaks_nothing(probe, label, number):
  figure = leakage(constant(label), label, probe)
  assert figure == chance(label) and figure["value"] == np.mean(label["score"] == 0)
  mean = {role: np.broadcast_to(number["fit"].mean(0), y.shape) for role, y in number.items()}
  of_the_mean = r2_score(number["score"], mean["score"])
  assert -0.05 < of_the_mean < 0
  # the MLP's bias is still on its way to the mean when its validation score is the best
  assert leakage(constant(number), number, probe)["value"] == pytest.approx(
    of_the_mean, abs=0.03 if probe == "mlp" else 1e-5
  )
  assert chance(number) == {"value": 0}


@pytest.mark.parametrize("probe", PROBES)
def test_a_copied_code_leaks_as_much_as_the_original(probe, label):
  random_state = np.random.default_rng(1)
  noisy = {role: z + random_state.normal(0, 0.5, z.shape) for role, z in one_hot(label).items()}
  copied = {role: np.concatenate([z, z], 1) for role, z in noisy.items()}
  once, twice = leakage(noisy, label, probe)["value"], leakage(copied, label, probe)["value"]
  assert 0.6 < once < 0.99 and twice == pytest.approx(once, abs=0.03)


@pytest.mark.parametrize("probe", PROBES)
def test_noise_leaks_nothing(probe, label):
  noise = by_role(lambda random_state, count: random_state.normal(size=(count, 4)))
  assert leakage(noise, label, probe)["value"] < chance(label)["value"] + 0.02
  shuffled = {role: np.random.default_rng(2).permutation(y) if role != "score" else y for role, y in label.items()}
  assert leakage(one_hot(label), shuffled, probe)["value"] == chance(label)["value"]


def test_what_is_not_linear_needs_more_than_a_linear_probe():
  z = by_role(lambda random_state, count: random_state.normal(size=(count, 2)))
  xor = {role: (v.prod(1) > 0).astype(int) for role, v in z.items()}
  linear, mlp, trees = (leakage(z, xor, probe)["value"] for probe in PROBES)
  assert linear < 0.65 and mlp > 0.9 and trees > 0.9


# --- In nats ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def balanced():
  """Three classes, each a third of every role."""
  return {role: np.arange(count - count % 3) % 3 for role, count in SIZES.items()}


@pytest.mark.parametrize("probe", PROBES)
def test_a_code_that_is_the_label_tells_ln_k_nats(probe, balanced):
  assert ceiling(balanced)["value"] == pytest.approx(np.log(3))
  figure = usable_information(one_hot(balanced), balanced, probe)
  assert figure["value"] == pytest.approx(np.log(3), abs=0.02) and figure["low"] <= figure["value"] <= np.log(3) + 1e-9


@pytest.mark.parametrize("probe", PROBES)
def test_an_independent_code_tells_about_nothing_and_what_it_costs_is_shown(probe, label):
  """A probe that has learned what is not there is worse than the frequencies: that is no zero."""
  noise = by_role(lambda random_state, count: random_state.normal(size=(count, 4)))
  assert -0.05 < usable_information(noise, label, probe)["value"] < 0.02
  wrong = {**label, "score": (label["score"] + 1) % 3}
  assert usable_information(one_hot(label), wrong, probe)["value"] < -2


def test_a_probability_that_is_known_tells_its_nats():
  """A code that rules out one class of three, and leaves two alike, tells ln 3 - ln 2; the accuracy is a half."""
  label = {role: np.arange(3000) % 3 for role in SIZES}
  random_state = np.random.default_rng(0)
  not_it = {role: (y + random_state.integers(1, 3, size=len(y))) % 3 for role, y in label.items()}
  for probe in ("linear", "trees"):
    nats = usable_information(one_hot(not_it), label, probe)["value"]
    assert nats == pytest.approx(np.log(1.5), abs=0.02), probe


def test_numbers_tell_the_logarithm_of_what_is_left_of_their_spread():
  """Of two components the sum: one is read but for a tenth of its spread, the other not at all."""
  y = by_role(lambda random_state, count: random_state.normal(size=(count, 2)) * [10, 1])
  z = {role: values[:, :1] for role, values in y.items()}
  random_state = np.random.default_rng(1)
  noisy = {role: values + random_state.normal(size=values.shape) for role, values in z.items()}  # 1 beside 100
  nats = usable_information(noisy, y, "linear")["value"]
  assert nats == pytest.approx(0.5 * np.log(101), abs=0.05)
  read = predict(noisy, y, "linear")
  unread = np.mean(np.square(y["score"] - read), 0) / np.var(y["score"], 0)
  assert nats == pytest.approx(-np.log(unread).sum() / 2)


def test_numbers_that_are_read_exactly_tell_no_infinite_amount(monkeypatch):
  y = by_role(lambda random_state, count: random_state.normal(size=(count, 2)))
  monkeypatch.setitem(probes._FITS, "linear", lambda z, target, seed: probes.Fitted(lambda z: target["score"]))
  figure = usable_information(y, y, "linear")
  assert figure["value"] == figure["high"] == pytest.approx(-2 * np.log(probes.LEAST))


def test_the_probabilities_of_the_mlp_are_those_of_its_lowest_cross_entropy(moved, label):
  """An MLP is surer than it is right once it has learned its examples by heart."""
  codes, target = ({role: values[:300] for role, values in data.items()} for data in (moved, label))
  z = by_fit(codes)
  mlp = MLPClassifier(hidden_layer_sizes=(256, 256), batch_size=128, random_state=3)
  told = []
  for _ in range(13):
    mlp.partial_fit(z["fit"], target["fit"], classes=[0, 1, 2])
    told.append([np.log(mlp.predict_proba(z[role]))[range(len(z[role])), target[role]].mean() for role in SIZES])
  epoch = int(np.argmax([of_epoch[1] for of_epoch in told]))
  frequency = np.log(np.bincount(target["fit"]) / 300)[target["score"]].mean()
  assert 0 < epoch < 12
  nats = usable_information(codes, target, "mlp", seed=3)["value"]
  assert nats == pytest.approx(told[epoch][2] - frequency, rel=1e-5)


# --- What a probe may see ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moved(label):
  """Codes [N, 3] that tell the label but for some noise, in roles that lie apart and differ in their scale."""
  random_state, place = np.random.default_rng(3), {"fit": (0, 1), "select": (0.5, 1.5), "score": (-1, 3)}
  return {
    role: shift + scale * (z + random_state.normal(0, 0.5, z.shape))
    for (role, z), (shift, scale) in zip(one_hot(label).items(), place.values())
  }


def by_fit(data):
  """All roles in units of the mean and the spread of "fit", float32."""
  mean, spread = np.mean(data["fit"], 0), np.std(data["fit"], 0)
  return {role: ((values - mean) / spread).astype(np.float32) for role, values in data.items()}


@pytest.mark.parametrize("probe", PROBES)
def test_a_prediction_does_not_depend_on_the_other_test_examples(probe, moved, label):
  """So neither the scaler nor the probe was fitted on them."""
  few = predict({**moved, "score": moved["score"][:40]}, {**label, "score": label["score"][:40]}, probe)
  assert len(set(few)) == 3
  np.testing.assert_array_equal(few, predict(moved, label, probe)[:40])
  shifted = {**moved, "score": np.concatenate([moved["score"][:40], 100 + moved["score"]])}
  many = predict(shifted, {**label, "score": np.concatenate([label["score"][:40], label["score"]])}, probe)
  np.testing.assert_array_equal(few, many[:40])


def test_the_linear_probe_is_logistic_regression_of_standardised_codes(moved, label):
  codes, target = {**moved, "fit": moved["fit"][:30]}, {**label, "fit": label["fit"][:30]}
  z = by_fit(codes)
  expected, other = (
    LogisticRegression(C=c, max_iter=1000).fit(z["fit"], target["fit"]).predict(z["score"]) for c in (1.0, 2.0)
  )
  assert (expected != other).any()  # so few examples that the penalty counts
  np.testing.assert_array_equal(predict(codes, target, "linear"), expected)


def test_the_linear_probe_is_ridge_regression_by_the_normal_equations(moved, number):
  """Codes and targets in units of the spread of "fit", a penalty of 1."""
  target = {role: [5, -7] + y * [10, 0.1] + moved[role][:, :2] for role, y in number.items()}
  z, y = by_fit(moved), by_fit(target)
  weights = np.linalg.solve(z["fit"].T @ z["fit"] + np.eye(3), z["fit"].T @ y["fit"])
  expected = target["fit"].mean(0) + target["fit"].std(0) * (z["score"] @ weights)
  np.testing.assert_allclose(predict(moved, target, "linear"), expected, rtol=1e-4)


def stopped_early(mlp, z, target, **first):
  """scikit-learn's MLP, epoch by epoch; what it predicts at the epoch that scores best on "select"."""
  best, scores, read = -np.inf, [], None
  while len(scores) - 1 - (int(np.argmax(scores)) if scores else 0) < 10:
    mlp.partial_fit(z["fit"], target["fit"], **(first if not scores else {}))
    scores.append(mlp.score(z["select"], target["select"]))
    if scores[-1] > best:
      best, read = scores[-1], mlp.predict(z["score"])
  return read, scores


def test_the_mlp_stops_where_the_validation_says(moved, label):
  """It keeps the epoch that scores best on "select", ten epochs before its end."""
  codes, target = ({role: values[:300] for role, values in data.items()} for data in (moved, label))
  z = by_fit(codes)
  mlp = MLPClassifier(hidden_layer_sizes=(256, 256), batch_size=128, random_state=3)
  expected, scores = stopped_early(mlp, z, target, classes=[0, 1, 2])
  assert 0 < np.argmax(scores) < len(scores) - 1 and (mlp.predict(z["score"]) != expected).any()
  np.testing.assert_array_equal(predict(codes, target, "mlp", seed=3), expected)


def test_the_mlp_of_numbers_stops_where_the_validation_says(moved, number):
  rows = slice(100)  # a batch is no larger than this
  codes = {role: values[rows] for role, values in moved.items()}
  target = {role: values[rows] * [10, 0.1] + codes[role][:, :2] for role, values in number.items()}
  z, y = by_fit(codes), {role: values.astype(float) for role, values in by_fit(target).items()}
  read, _ = stopped_early(MLPRegressor(hidden_layer_sizes=(256, 256), batch_size=100, random_state=0), z, y)
  expected = target["fit"].mean(0) + target["fit"].std(0) * read
  np.testing.assert_allclose(predict(codes, target, "mlp"), expected, rtol=1e-3, atol=1e-4)


class Scripted:
  """An MLP that scores as it is told to; it predicts the number of epochs that it has trained."""

  scores = ()

  def __init__(self, **arguments):
    self.epochs = 0

  def partial_fit(self, z, target, classes=None):
    assert z[0] == target[0] == "fit" and (classes is not None) == (self.epochs == 0)
    self.epochs += 1

  def score(self, z, target):
    assert z[0] == target[0] == "select"
    return self.scores[self.epochs - 1]

  def predict(self, z):
    return self.epochs

  classes_ = np.array(["select"])

  def predict_proba(self, z):
    assert z[0] == "select"
    return np.ones((1, 1))


@pytest.mark.parametrize(
  ("scores", "kept", "read"),
  [
    ([0.1, 0.3, 0.2, 0.3, *[0.0] * 99], 2, 12),  # an equal score is no better one; ten epochs without
    ([0.1, *[0.0] * 9, 0.2, *[0.0] * 99], 11, 21),  # nine, then a better one
    ([0.1, *[0.0] * 10, 0.2, *[0.0] * 99], 1, 11),
    (list(np.arange(200.0)), 100, 100),  # a hundred epochs at most
    ([-3.0, -5.0, *[-9.0] * 99], 1, 11),
  ],
)
def test_the_epoch_that_is_kept(scores, kept, read, monkeypatch):
  asked = []
  monkeypatch.setattr(Scripted, "scores", scores)
  monkeypatch.setattr(
    Scripted, "score", lambda self, z, target, score=Scripted.score: asked.append(1) or score(self, z, target)
  )
  monkeypatch.setattr("sklearn.neural_network.MLPClassifier", Scripted)
  monkeypatch.setattr(probes, "is_classes", lambda target: True)
  z = {role: np.array([role]) for role in SIZES}
  assert (probes._fit_mlp(z, z, 0).predict(z["score"]), len(asked)) == (kept, read)


def test_the_trees_stop_where_the_validation_says(moved, label, number):
  z = by_fit(moved)
  arguments = {"max_iter": 200, "early_stopping": True, "n_iter_no_change": 10, "random_state": 0}
  fit = HistGradientBoostingClassifier(**arguments).fit
  trees = fit(z["fit"], label["fit"], X_val=z["select"], y_val=label["select"])
  assert 10 < trees.n_iter_ < 200
  np.testing.assert_array_equal(predict(moved, label, "trees"), trees.predict(z["score"]))
  first = int(np.argmin([log_loss(label["select"], p) for p in trees.staged_predict_proba(z["select"])]))
  p = list(trees.staged_predict_proba(z["score"]))[first]
  frequency = np.log(np.bincount(label["fit"]) / len(label["fit"]))[label["score"]]
  expected = (np.log(p[np.arange(len(p)), label["score"]]) - frequency).mean()
  assert first < trees.n_iter_ - 1 and usable_information(moved, label, "trees")["value"] == pytest.approx(expected)
  target = {role: y + moved[role][:, :2] for role, y in number.items()}
  for k in range(2):
    fit = HistGradientBoostingRegressor(**arguments).fit
    trees = fit(z["fit"], target["fit"][:, k], X_val=z["select"], y_val=target["select"][:, k])
    np.testing.assert_allclose(predict(moved, target, "trees")[:, k], trees.predict(z["score"]), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("probe", PROBES)
def test_the_test_targets_are_never_seen(probe, label):
  z = by_role(lambda random_state, count: random_state.normal(size=(count, 3)))
  other = {**label, "score": label["score"][::-1].copy()}
  np.testing.assert_array_equal(predict(z, label, probe), predict(z, other, probe))


def test_the_seed_decides(moved, label):
  few = {role: values[:50] for role, values in moved.items()}
  target = {role: y[:50] for role, y in label.items()}
  same, again, other, default = (predict(few, target, "mlp", seed=seed) for seed in (3, 3, 4, 0))
  np.testing.assert_array_equal(same, again)
  assert (same != other).any()
  np.testing.assert_array_equal(default, predict(few, target))
  assert leakage(few, target, seed=4) == score(target["score"], other)
  assert leakage(few, target) == score(target["score"], default)


def test_a_class_that_no_probe_was_shown_is_missed(label):
  unseen = {role: np.where(y == 2, 0, y) if role == "fit" else y for role, y in label.items()}
  for probe in PROBES:
    assert leakage(one_hot(label), unseen, probe)["value"] == pytest.approx(np.mean(label["score"] < 2))
    assert np.isfinite(usable_information(one_hot(label), unseen, probe)["value"])


@pytest.mark.parametrize("probe", PROBES)
def test_few_images_of_many_classes_may_leave_nothing_to_stop_by(probe):
  """No class of "select" is in "fit": of a set of photographs with an object for each few."""
  label = {"fit": np.arange(40) % 2, "select": np.array([2, 2, 3]), "score": np.arange(20) % 2}
  codes = {role: np.float32(y)[:, None] for role, y in label.items()}
  assert leakage(codes, label, probe)["value"] == 1
  assert usable_information(codes, label, probe)["value"] > 0.3


# --- Scores -----------------------------------------------------------------------------------------------------------


def test_r_squared_is_the_textbooks():
  random_state = np.random.default_rng(0)
  y = 1000 + random_state.normal(size=(300, 3)) * [1, 10, 0.1]
  read = y + random_state.normal(size=y.shape) * [0.5, 1, 0.1]
  figure = score(y, read)
  assert figure["value"] == pytest.approx(r2_score(y, read), rel=1e-9) and figure["range"] == [None, 1]
  random_state = np.random.default_rng(0)
  rows = [random_state.integers(300, size=300) for _ in range(1000)]
  expected = np.quantile([r2_score(y[row], read[row]) for row in rows], [0.025, 0.975])
  np.testing.assert_allclose([figure["low"], figure["high"]], expected, rtol=1e-6)
  assert score(y, np.broadcast_to(y.mean(0), y.shape))["value"] == pytest.approx(0)


def test_the_accuracy_by_hand():
  figure = score(np.array([0, 1, 2, 1]), np.array([0, 1, 1, 0]))
  assert figure.pop("range") == [0, 1]
  assert figure == pytest.approx({"value": 0.5, "low": 0.0675860, "high": 0.9324140}, abs=1e-6)  # Clopper & Pearson


def test_all_of_288_is_not_beyond_doubt():
  classes = np.arange(288) % 20
  assert score(classes, classes)["low"] == pytest.approx(0.025 ** (1 / 288))


def test_chance_is_the_share_in_test_of_the_class_that_train_has_most_of():
  target = {"fit": np.array([2, 2, 0, 1]), "select": np.zeros(9, int), "score": np.array([0, 0, 2, 0, 1])}
  figure = chance(target)
  assert (figure["value"], figure["range"]) == (0.2, [0, 1]) and figure == score(target["score"], np.full(5, 2))


def test_pixels_are_fitted_without_a_copy_in_float64():
  """Of 20,000 faces of 64x64 it would fill 2 GB."""
  x = np.random.default_rng(0).integers(256, size=(2000, 32, 32, 3), dtype=np.uint8)
  x[:, 0, 0] = 7  # a constant
  float64 = x.size * 8
  tracemalloc.start()
  try:
    pixels = _pixels(x)
    _, of_pixels = tracemalloc.get_traced_memory()
    scaler = probes._fit_scaler(pixels)
    _, of_scaler = tracemalloc.get_traced_memory()
  finally:
    tracemalloc.stop()
  assert pixels.dtype == np.float32 and of_pixels < 0.51 * float64
  np.testing.assert_array_equal(pixels, np.float32(x.reshape(2000, -1) / 255))
  flat = x.reshape(2000, -1) / 255
  np.testing.assert_allclose(scaler.mean_, flat.mean(0), rtol=1e-6)
  np.testing.assert_allclose(scaler.scale_[3:], flat.std(0)[3:], rtol=1e-6)
  np.testing.assert_array_equal(scaler.scale_[:3], 1)
  assert of_scaler < 0.51 * float64 + 3.5 * 2**23 * 8


def test_a_number_that_is_the_same_in_all_images_is_left_out(number):
  """A colour without blue."""
  read = number["score"] + 0.1
  with_one = [np.concatenate([values, np.zeros([len(values), 1])], 1) for values in (number["score"], read + 0.1)]
  assert score(with_one[0], np.concatenate([read, with_one[1][:, 2:]], 1)) == score(number["score"], read)
  of_three = {role: np.concatenate([y, np.ones([len(y), 1])], 1) for role, y in number.items()}
  told, known = (usable_information(number, target, "linear") for target in (of_three, number))
  assert told == pytest.approx(known, rel=1e-3)
  assert score(np.ones([5, 2]), np.zeros([5, 2]))["value"] == 0


def test_a_number_that_is_another_in_one_image_has_an_interval():
  target = np.zeros([40, 1])
  target[3] = 1
  figure = score(target, target + 0.1)
  assert (
    figure["value"] == pytest.approx(1 - 0.01 / (0.025 * 0.975)) and figure["low"] <= figure["value"] <= figure["high"]
  )
