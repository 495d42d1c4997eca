"""The bound on channels of which the mutual information is known."""

import math

import numpy as np
import pytest

from tests.bands import draw
from tfdisent.evaluation import bootstrap_interval, bound, cells, entropy, information_bound

SIZES = {"fit": 1500, "select": 300, "score": 1000}


def test_a_channel_carries_what_can_be_read_beside_z1():
  """The image shows whether z̃2 is of the upper two classes, or the opposite where z1 says so: ln 4 - ln 2 are left."""
  random_state = np.random.default_rng(0)
  target = {role: random_state.integers(4, size=count) for role, count in SIZES.items()}
  turned = {role: random_state.integers(2, size=count) for role, count in SIZES.items()}
  z1 = {role: np.stack([2 * y - 1.0, random_state.normal(size=len(y))], 1) for role, y in turned.items()}
  image = {
    role: np.uint8(255 * draw((y // 2 + turned[role]) % 2, random_state.uniform(0.3, 1, (len(y), 3))))
    for role, y in target.items()
  }
  nats = information_bound(z1, image, target, epochs=4)["nats"]
  assert 0.6 < nats["value"] < math.log(2) + 0.02 and nats["low"] < nats["value"] < nats["high"]


# --- A q that is known ------------------------------------------------------------------------------------------------


@pytest.fixture
def bound_of(monkeypatch):
  """`information_bound` of the classes in "score", with a q of the given logits."""

  def make(logits, classes, *arguments):
    target = {"fit": np.array([0]), "select": np.array([0]), "score": classes}
    monkeypatch.setattr(bound, "read_parts", lambda *given: asked.append(given) or [np.asarray(logits, np.float32)])
    figures = information_bound({"z1": 1}, {"x": 2}, target, *arguments)
    ((x_fusion, (given,), seed, z1, epochs),) = asked
    assert (x_fusion, z1) == ({"x": 2}, {"z1": 1}) and given is target
    assert (seed, epochs) == (arguments or (0, 15))
    return figures

  asked = []
  return make


def test_a_q_that_is_certain_carries_the_whole_entropy(bound_of):
  classes = np.array([0, 1, 1, 2, 2, 2])
  figures = bound_of(1000 * np.eye(3)[classes], classes, 7, 3)
  h = -(math.log(1 / 6) / 6 + math.log(1 / 3) / 3 + math.log(1 / 2) / 2)
  assert figures["nats"]["value"] == pytest.approx(h) == figures["ceiling_nats"]["value"] == entropy(classes)
  assert [figures["ratio"][name] for name in ("value", "low", "high")] == pytest.approx([1, 1, 1])


def test_a_q_that_knows_the_shares_alone_carries_nothing(bound_of):
  classes = np.array([0, 1, 1, 2, 2, 2])
  figures = bound_of(np.log([[1 / 6, 1 / 3, 1 / 2]] * 6), classes)
  for figure in ("nats", "ratio"):
    assert [figures[figure][name] for name in ("value", "low", "high")] == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_bound_of_a_known_q_by_hand(bound_of):
  random_state = np.random.default_rng(0)
  logits, classes = random_state.normal(size=(40, 3)).astype(np.float32), random_state.choice(3, 40, p=[0.6, 0.3, 0.1])
  classes[:2] = 3  # a class that q was never shown
  q = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
  log_q = np.array([math.log(q[i, c]) if c < 3 else math.log(1e-6) for i, c in enumerate(classes)])
  surprise = np.array([-math.log(np.mean(classes == c)) for c in classes])
  figures = bound_of(logits, classes)
  nats, ceiling, ratio = figures["nats"], figures["ceiling_nats"], figures["ratio"]
  assert nats["value"] == pytest.approx(log_q.mean() + surprise.mean(), rel=1e-5)
  assert ceiling["value"] == pytest.approx(surprise.mean()) and ceiling["range"] == [0, None]
  assert ratio["value"] == pytest.approx(nats["value"] / ceiling["value"]) and ratio["range"] == [None, 1]
  columns = np.stack([log_q + surprise, surprise], 1)
  for figure, column in ((nats, columns[:, 0]), (ceiling, surprise)):
    assert (figure["low"], figure["high"]) == pytest.approx(bootstrap_interval(column), rel=1e-5)
  interval = bootstrap_interval(columns, lambda means: means[..., 0] / means[..., 1])
  assert (ratio["low"], ratio["high"]) == pytest.approx(interval, rel=1e-5)


def test_the_intervals_hold_that_the_entropy_is_an_estimate(bound_of):
  """Of a q that says the same of all, only the entropy moves from one test set to the next, and as much as this."""
  share, random_state = np.array([0.6, 0.3, 0.1]), np.random.default_rng(1)
  drawn = random_state.multinomial(300, share, size=5000) / 300
  low, high = np.quantile(-np.sum(drawn * np.log(np.maximum(drawn, 1e-9)), axis=1), [0.025, 0.975])
  figures = bound_of(np.zeros([300, 3]), np.repeat([0, 1, 2], [180, 90, 30]))
  for name in ("nats", "ceiling_nats"):
    assert figures[name]["high"] - figures[name]["low"] == pytest.approx(high - low, rel=0.1)
  h = -np.sum(share * np.log(share))
  assert figures["nats"]["value"] == pytest.approx(h - math.log(3), abs=1e-6)


def test_entropy_by_hand():
  assert entropy(np.array([0, 0, 1, 1])) == pytest.approx(math.log(2))
  assert entropy(np.array([7, 7, 7])) == 0
  assert entropy(np.array([0, 1, 1, 1])) == pytest.approx(-(0.25 * math.log(0.25) + 0.75 * math.log(0.75)))


def test_cells_are_the_nearest_centres_of_fit():
  random_state = np.random.default_rng(0)
  centres = np.array([[0, 0], [0, 9], [9, 0]])
  of = {role: random_state.integers(3, size=count) for role, count in SIZES.items()}
  classes = cells({role: centres[y] + random_state.normal(size=(len(y), 2)) for role, y in of.items()}, count=3)
  for role, y in of.items():
    assert len({(a, b) for a, b in zip(y, classes[role])}) == 3, role


def test_cells_are_found_on_fit_alone():
  """Three centres in "fit"; what lies elsewhere in "select" and "score" moves none of them."""
  random_state = np.random.default_rng(0)
  centres = np.array([[0.0, 0], [0, 9], [9, 0]])
  train = np.repeat(centres, 5, 0) + random_state.normal(0, 0.1, size=(15, 2))
  means = train.reshape(3, 5, 2).mean(1)
  other = {"select": random_state.uniform(20, 90, (50, 2)), "score": random_state.uniform(-30, 9, (200, 2))}
  classes = cells({"fit": train, **other}, count=3)
  name = classes["fit"][::5]  # of each centre
  assert sorted(name) == [0, 1, 2]
  for role, f in other.items():
    nearest = np.argmin(np.square(f[:, None] - means).sum(2), axis=1)
    np.testing.assert_array_equal(classes[role], name[nearest])
    assert classes[role].dtype == np.int64


def test_there_are_no_more_cells_than_values():
  f = np.float32([[0.0], [1.0], [1.0], [5.0]])
  classes = cells({"fit": f, "score": f[::-1]})
  assert len(set(classes["fit"])) == 3 and list(classes["score"]) == list(classes["fit"][::-1])


def test_there_are_ten_cells_and_a_seed():
  f = {role: np.random.default_rng(i).random((60, 2)) for i, role in enumerate(SIZES)}
  assert len(np.unique(cells(f)["fit"])) == 10
  np.testing.assert_array_equal(cells(f)["score"], cells(f, seed=0)["score"])
  assert (cells(f, seed=1)["score"] != cells(f)["score"]).any()
