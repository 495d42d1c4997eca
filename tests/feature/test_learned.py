"""Features that are learned: a network is fitted on real pairs, frozen, used in L_f, and kept by the run."""

import dataclasses
import inspect
import json
import shutil
import types
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.pose import Rotation
from tests.conftest import small, train_tiny
from tfdisent import ConfigError, FeatureError, LearnedFeature, RunError, fit_feature, load
from tfdisent.data.color_mnist import color_mnist
from tfdisent.data.dataset import SPLITS, Dataset, Judge
from tfdisent.evaluation import Estimator, evaluate, judges
from tfdisent.feature import learned
from tfdisent.feature.check import check_feature
from tfdisent.feature.contract import feature_from_config
from tfdisent.feature.values import feature_values
from tfdisent.networks import plain as networks
from tfdisent.registry import FEATURES, register_feature
from tfdisent.training import loop

OBJECTIVE = {"lambda4": 0.0, "lambda3": 10.0}


@pytest.fixture(scope="module")
def turned():
  """512 turned digits of 14x14 pixels, which judges learn quickly; the angle alone is judged."""
  digits = small(color_mnist(rotation_degrees=(-60.0, 60.0)), 512)
  halved = {split: {**digits[split], "image": digits[split]["image"][:, ::2, ::2]} for split in SPLITS}
  judges = tuple(judge for judge in digits.judges if judge.column == "angle")
  return dataclasses.replace(digits, **halved, judges=judges)


@pytest.fixture(scope="module")
def fitted(turned, tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "f"
  figures = fit_feature(folder, turned, Rotation(), epochs=20, batch_size=32)
  return folder, figures


@pytest.fixture(scope="module")
def run(turned, fitted, tmp_path_factory):
  folder = tmp_path_factory.mktemp("runs") / "run"
  return folder, train_tiny(folder, turned, Rotation(fitted=str(fitted[0])), OBJECTIVE, epochs=1, evaluate_every=0)


@pytest.fixture(scope="module")
def parity():
  """A discrete feature that is learned."""
  with FEATURES.temporary():

    @register_feature("parity_for_test")
    @dataclasses.dataclass(frozen=True)
    class Parity(LearnedFeature):
      kind, width = "discrete", 2

      def known(self, example):
        return tf.one_hot(np.asarray(example["label"]) % 2, 2)

    yield Parity


def test_fitting_learns_what_is_known_and_tells_its_error_on_held_out_images(fitted, turned):
  folder, figures = fitted
  shuffled = Rotation().error(
    Rotation().to_vector(turned.validation["angle"]), Rotation().to_vector(turned.validation["angle"][::-1])
  )
  assert figures["median_error"] < 0.6 * np.median(shuffled)
  assert json.loads((folder / "feature.json").read_text())["held_out"] == figures


def of_splits(**counts) -> Dataset:
  """8x8 noise, so many images a split, each with a number of its own and the split it is of."""
  random_state = np.random.default_rng(0)
  splits = {
    split: {
      "image": random_state.integers(256, size=(count, 8, 8, 1), dtype=np.uint8),
      "angle": random_state.uniform(-3, 3, count),
      "label": random_state.integers(2, size=count),
    }
    for split, count in counts.items()
  }
  return Dataset(**splits, name="noise")


NOISE = {"train": 48, "probe": 40, "validation": 24, "test": 16}


class Fitted(NamedTuple):
  figures: dict
  network: keras.Model
  asked: dict
  history: dict


@pytest.fixture
def fit(no_graphs, monkeypatch, tmp_path):
  """Fits a feature; gives its figures, its network, and what `fit` was asked for and said."""

  def fit(feature, dataset, **arguments):
    seen, run = {}, keras.Model.fit

    def spy(self, batches, **asked):
      result = run(self, batches, **asked)
      seen.update(network=self, asked={"batches": batches, **asked}, history=result.history)
      return result

    with monkeypatch.context() as context:
      context.setattr(networks.Encoder, "fit", spy)
      return Fitted(fit_feature(tmp_path / "f", dataset, feature, **arguments), **seen)

  return fit


def directions(angle):
  return np.stack([np.cos(angle), np.sin(angle)], 1)


def test_it_learns_from_train_keeps_the_epoch_best_on_probe_and_is_measured_on_validation(fit, tmp_path):
  """Noise has nothing to learn: the network learns `train` by heart, and gets worse on `probe`."""
  data, seen = of_splits(**NOISE), []

  class Spied(Rotation):
    def known(self, example):
      seen.append(len(example["image"]))
      return super().known(example)

  fitted = fit(Spied(), data, epochs=12, batch_size=16, learning_rate=0.01)
  assert set(seen) == {NOISE["train"], NOISE["probe"], NOISE["validation"]}  # `test` is left alone

  def loss(split):
    read = np.asarray(fitted.network(data[split]["image"] / np.float32(255)), np.float64)
    return np.square(read - directions(data[split]["angle"])).sum(1).mean()

  losses = fitted.history["val_loss"]
  assert len(losses) == 12 and min(losses) < 0.9 * losses[-1]  # it went on, and got worse
  assert loss("probe") == pytest.approx(min(losses), rel=1e-5)
  assert fitted.history["loss"][-1] < 0.5 * fitted.history["loss"][0]  # that of `train`

  read = np.asarray(fitted.network(data.validation["image"] / np.float32(255)))
  turned_by = np.arctan2(read[:, 1], read[:, 0]) - data.validation["angle"]
  error = np.degrees(np.abs((turned_by + np.pi) % (2 * np.pi) - np.pi))
  expected = {"median_error": np.median(error), "mean_error": np.mean(error)}
  assert fitted.figures == pytest.approx(expected, rel=1e-4)
  assert fitted.network.trainable_weights == []  # frozen
  assert json.loads((tmp_path / "f" / "feature.json").read_text()) == {
    "feature": json.loads(json.dumps(Spied().get_config())),
    "image_shape": [8, 8, 1],
    "data": "noise",
    "held_out": fitted.figures,
    "unit": "degrees",
  }


def test_a_discrete_one_is_measured_by_its_accuracy(parity, fit):
  data = of_splits(**NOISE)
  fitted = fit(parity(), data, epochs=1, batch_size=16)
  logits = np.asarray(fitted.network(data.validation["image"] / np.float32(255)))
  assert fitted.figures == {"accuracy": np.mean(logits.argmax(1) == data.validation["label"])}
  logits = np.asarray(fitted.network(data.probe["image"] / np.float32(255)), np.float64)
  of_label = logits[np.arange(len(logits)), data.probe["label"]]
  cross_entropy = np.log(np.exp(logits).sum(1)) - of_label
  assert fitted.history["val_loss"] == pytest.approx([cross_entropy.mean()], rel=1e-4)


def test_its_rate_falls_over_all_epochs_and_a_batch_is_no_larger_than_the_split(fit):
  data = of_splits(**NOISE)
  for batch_size, steps in ((20, 2), (100, 1)):
    fitted = fit(Rotation(), data, epochs=3, batch_size=batch_size, learning_rate=0.5)
    assert fitted.asked["steps_per_epoch"] == steps
    optimizer = fitted.network.optimizer
    assert optimizer.iterations == 3 * steps
    assert float(optimizer.learning_rate) == pytest.approx(0.02 * 0.5)
    optimizer.iterations.assign(3 * steps - 1)
    falls = 0.02 + 0.98 * (1 + np.cos(np.pi * (3 * steps - 1) / (3 * steps))) / 2
    assert float(optimizer.learning_rate) == pytest.approx(0.5 * falls)


def test_an_epoch_sees_every_image_once_with_its_own_f_and_the_seed_decides_order_and_weights(fit):
  data = of_splits(**NOISE)
  orders, weights = {}, {}
  for seed in (0, 0, 1):
    fitted = fit(Rotation(), data, epochs=1, batch_size=16, seed=seed)
    batches = fitted.asked["batches"].take(6)
    images, f = (np.concatenate(parts) for parts in zip(*((x.numpy(), y.numpy()) for x, y in batches)))
    flat = np.round(images * 255).astype(np.uint8).reshape(len(images), -1)
    known = data.train["image"].reshape(NOISE["train"], -1)
    rows = [int(np.flatnonzero((known == image).all(1))[0]) for image in flat]
    assert sorted(rows[:48]) == sorted(rows[48:]) == list(range(48)) and rows[:48] != rows[48:]
    np.testing.assert_allclose(f, directions(data.train["angle"])[rows], atol=1e-6)
    assert orders.setdefault(seed, rows) == rows
    for weight, again in zip(weights.setdefault(seed, fitted.network.get_weights()), fitted.network.get_weights()):
      np.testing.assert_array_equal(weight, again)
  assert orders[0] != orders[1] and all((a != b).any() for a, b in zip(weights[0], weights[1]))


def test_a_feature_that_was_fitted_before_is_fitted_anew(fit):
  """What its network has learned is gone, and the seed decides what it begins with."""
  data, feature = of_splits(**NOISE), Rotation()
  first, second = (fit(feature, data, epochs=1, batch_size=16).network.get_weights() for _ in range(2))
  for weight, again in zip(first, second):
    np.testing.assert_array_equal(weight, again)


def test_noise_is_added_to_what_it_learns_from_alone(fit):
  data = of_splits(**NOISE)
  asked = fit(Rotation(), data, epochs=1, batch_size=48, noise=0.25).asked
  (images, _), clean = next(iter(asked["batches"])), data.train["image"] / np.float32(255)
  order = [int(np.abs(clean - image).mean((1, 2, 3)).argmin()) for image in images]
  assert sorted(order) == list(range(48))
  added = (images - clean[order]).numpy()
  assert abs(added.mean()) < 0.02 and abs(added.std() - 0.25) < 0.02  # of 3,072 numbers
  held_out = np.concatenate([x for x, _ in asked["validation_data"]])
  np.testing.assert_allclose(held_out, data.probe["image"] / np.float32(255), atol=1e-6)


def test_the_folder_that_cannot_be_made_is_named(tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(RunError, match=r"the folder .*file/f cannot be made"):
    fit_feature(tmp_path / "file" / "f", of_splits(**NOISE), Rotation())


def test_the_defaults_of_a_fit():
  parameters = inspect.signature(fit_feature).parameters
  expected = {"epochs": 10, "batch_size": 128, "learning_rate": 1e-3, "noise": 0.0, "seed": 0}
  assert {name: parameters[name].default for name in expected} == expected
  assert Rotation().fitted is None and Rotation().from_pixels is False


def test_none_has_no_f_and_a_network_is_made_once(fitted):
  f = Rotation(fitted=str(fitted[0]), from_pixels=True)
  f.build((14, 14, 3))
  network = f.networks["network"]
  f.build((14, 14, 3))
  assert f.networks["network"] is network and not network.trainable
  assert f.of_example({"image": np.zeros([0, 14, 14, 3], np.float32)}).shape == (0, 2)
  assert f.as_known == Rotation() and Rotation().as_known == Rotation()
  with pytest.raises(AttributeError):
    f.nothing  # noqa: B018


def test_a_fitted_feature_reads_pixels_and_an_example_has_what_is_known(fitted, turned):
  f = Rotation(fitted=str(fitted[0]))
  f.build(turned.image_shape)
  x = turned.validation["image"] / np.float32(255)
  error = f.error(f.of_image(tf.constant(x)).numpy(), f.of_example(turned.validation).numpy())
  np.testing.assert_allclose(np.median(error), fitted[1]["median_error"], rtol=1e-4)


def test_a_network_that_was_not_made_or_not_fitted_says_so(turned, tmp_path):
  with pytest.raises(FeatureError, match="call build"):
    Rotation().of_image(tf.zeros([1, 14, 14, 3]))
  with pytest.raises(FeatureError, match=r"(?s)'rotation' is learned.*--mode=fit_feature.*rotation\.fitted = "):
    Rotation().check_fitted()
  without = dataclasses.replace(turned, **{split: {"image": turned[split]["image"]} for split in SPLITS})
  with pytest.raises(FeatureError, match="'rotation' needs the column 'angle' and the data set has image"):
    train_tiny(tmp_path / "run", without, Rotation(), OBJECTIVE)
  assert not (tmp_path / "run").exists()


class Elsewhere(Rotation):
  """Learned in a way of its own, which the library cannot repeat."""

  def check_fitted(self):
    raise FeatureError("fit it elsewhere")


def test_what_nothing_can_fit_is_refused_before_a_run_begins(turned, tmp_path):
  with pytest.raises(FeatureError, match="fit it elsewhere"):
    train_tiny(tmp_path / "run", turned, Elsewhere(fitted="elsewhere"), OBJECTIVE)
  assert not (tmp_path / "run").exists()


# --- Fitted by the training -------------------------------------------------------------------------------------------

FITTING = {"epochs": 1, "batch_size": 16}
QUICK = {"objective": {"lambda3": 1.0, "lambda4": 0.0}, "epochs": 1, "evaluate_every": 0, "seed": 3}


def interrupted(*arguments, **keywords):
  raise KeyboardInterrupt


def test_a_training_fits_without_noise_where_its_objective_has_none(no_graphs, tmp_path, monkeypatch):
  data, networks = of_splits(**NOISE), []
  fit_feature(tmp_path / "f", data, Rotation(), seed=3, noise=0.0, **FITTING)
  monkeypatch.setattr(loop, "_fit", interrupted)
  with pytest.raises(KeyboardInterrupt):
    train_tiny(tmp_path / "run", data, Rotation(), fitting=FITTING, **QUICK)
  for folder in (tmp_path / "f", tmp_path / "run" / "features" / "rotation"):
    f = Rotation(fitted=str(folder))
    f.build((8, 8, 1))
    networks.append(f.networks["network"])
  for weight, of_other in zip(*(network.get_weights() for network in networks)):
    np.testing.assert_array_equal(weight, of_other)


def test_a_training_fits_what_is_learned_as_if_it_were_fitted_before(no_graphs, tmp_path, capsys):
  """With the noise in which L_f2 reads fusions."""
  data, quick = of_splits(**NOISE), {**QUICK, "objective": {**QUICK["objective"], "q_noise": 0.25}}
  fit_feature(tmp_path / "f", data, Rotation(), seed=3, noise=0.25, **FITTING)
  before = train_tiny(tmp_path / "before", data, Rotation(fitted=str(tmp_path / "f")), **quick)
  capsys.readouterr()
  at_once = train_tiny(tmp_path / "at_once", data, Rotation(), fitting=FITTING, **quick)
  (line,) = [line for line in capsys.readouterr().out.splitlines() if "itting" in line]
  figures = json.loads((tmp_path / "at_once" / "features" / "rotation" / "feature.json").read_text())["held_out"]
  assert line == (
    "Fitting a network that reads 'rotation' in images … On held-out images: "
    f"median error {figures['median_error']:.4g}, mean error {figures['mean_error']:.4g} degrees."
  )
  for model, other in ((at_once.model.E1, before.model.E1), (at_once.model.G, before.model.G)):
    for weight, of_other in zip(model.get_weights(), other.get_weights()):
      np.testing.assert_array_equal(weight, of_other)
  networks = (trained.feature.networks["network"] for trained in (at_once, before))
  for weight, of_other in zip(*(network.get_weights() for network in networks)):
    np.testing.assert_array_equal(weight, of_other)


def test_a_run_that_goes_on_finds_what_it_has_fitted_and_trains_on_what_that_reads(no_graphs, tmp_path, monkeypatch):
  """It was interrupted once before the first checkpoint, and once after it."""
  data = of_splits(**NOISE)
  feature, arguments = Rotation(from_pixels=True), {**QUICK, "fitting": FITTING}
  read, given = [], loop.training_batches

  def spy(examples, values, *arguments, **keywords):
    read.append(values)
    return given(examples, values, *arguments, **keywords)

  monkeypatch.setattr(loop, "_fit", interrupted)
  with pytest.raises(KeyboardInterrupt):
    train_tiny(tmp_path, data, feature, **arguments)
  monkeypatch.undo()
  monkeypatch.setattr(loop, "training_batches", spy)
  monkeypatch.setattr(learned, "fit_feature", interrupted)  # a second fit would fail
  trained = train_tiny(tmp_path, data, Rotation(from_pixels=True), **arguments)
  np.testing.assert_array_equal(read[0], feature_values(trained.feature, data.train))
  shutil.rmtree(tmp_path / "features")
  again = train_tiny(tmp_path, data, Rotation(from_pixels=True), **arguments)
  f = feature_values(again.feature, data.test)
  np.testing.assert_array_equal(f, feature_values(trained.feature, data.test))


def test_every_worker_fits_and_all_have_the_network_of_the_chief(no_graphs, tmp_path):
  data, names = of_splits(**NOISE), []
  chief, other = Rotation(), Rotation()
  for part in (chief, other):
    part.build((8, 8, 1))

  def wait_for_the_chief(value):
    """The chief writes while this worker fits a network with another seed, as if the hosts computed differently."""
    names.append([path.name for path in tmp_path.iterdir()])
    alone = types.SimpleNamespace(is_chief=True, any=lambda value: value)
    learned.fit_missing({"a/b": chief}, data, tmp_path, alone, epochs=1, seed=0)

  worker = types.SimpleNamespace(is_chief=False, any=wait_for_the_chief)
  learned.fit_missing({"a/b": other}, data, tmp_path, worker, epochs=1, seed=1)
  assert names == [[]]  # a worker that is not the chief writes nothing
  assert [path.name for path in tmp_path.iterdir()] == ["a%2Fb"]
  for weight, of_chief in zip(other.networks["network"].get_weights(), chief.networks["network"].get_weights()):
    np.testing.assert_array_equal(weight, of_chief)


@pytest.mark.parametrize(
  ("images", "batch_size", "epochs"), [(64, 32, 150), (1000, 32, 32), (4096, 128, 31), (60000, 128, 10)]
)
def test_a_fit_within_a_training_takes_about_a_thousand_steps(images, batch_size, epochs):
  assert learned._usual(images) == {"batch_size": batch_size, "epochs": epochs}


def test_a_folder_of_something_else_is_refused(fitted, turned, tmp_path):
  for feature, words in (
    (Rotation(fitted=str(tmp_path)), "holds no fitted feature"),
    (Rotation(turn=360.0, fitted=str(fitted[0])), "holds another feature"),
  ):
    with pytest.raises((FeatureError, ConfigError), match=words):
      train_tiny(tmp_path / "run", turned, feature, OBJECTIVE)
  with pytest.raises(ConfigError, match="holds another feature"):
    Rotation(fitted=str(fitted[0])).build((64, 64, 3))
  copy = tmp_path / "copy"
  copy.mkdir()
  (copy / "feature.json").write_bytes((fitted[0] / "feature.json").read_bytes())
  (copy / "feature.weights.h5").write_bytes(b"no weights")
  with pytest.raises(FeatureError, match=r"cannot be read .*fit the feature anew"):
    Rotation(fitted=str(copy)).build(turned.image_shape)


def test_training_leaves_the_network_as_it_was_fitted(run, fitted, turned):
  _, trained = run
  f = Rotation(fitted=str(fitted[0]))
  f.build(turned.image_shape)
  for kept, was in zip(trained.feature.networks["network"].get_weights(), f.networks["network"].get_weights()):
    np.testing.assert_array_equal(kept, was)


def test_a_run_folder_is_enough(run, turned):
  folder, trained = run
  loaded, x = load(folder), turned.test["image"]
  assert loaded.feature.fitted is None
  np.testing.assert_array_equal(loaded.encode(x).feature, trained.encode(x).feature)
  assert (loaded.encode(x).feature != load_untrained(folder).encode(x).feature).all()


def load_untrained(folder):
  return load(folder).untrained(7)


def test_the_evaluation_judges_by_a_second_network(run, turned, monkeypatch):
  _, trained = run
  metrics = evaluate(trained, turned, quick=True, progress=None)
  assert {f"control/median_error_{kind}" for kind in ("mean", "sample", "prior")} <= set(metrics)
  assert "oracle/test_rotation_median_error" in metrics
  monkeypatch.setattr(judges, "EPOCH_IMAGES", 1_000)  # of the network that reads both
  digits = dataclasses.replace(turned, judges=(*turned.judges, Judge("digit", "label", "classifier")))
  metrics = evaluate(trained, digits, quick=True, progress=None)
  for key in ("control_by_source", "oracle_by_class"):
    assert {name for name in metrics if name.startswith(key)} == {f"{key}/{digit}" for digit in range(10)}
  by_class = [metrics[f"oracle_by_class/{digit}"]["value"] for digit in range(10)]
  assert min(by_class) < metrics["oracle/test_rotation_median_error"]["value"] < max(by_class)
  estimator = Estimator(turned, "angle", 2 * np.pi)
  assert {layer.name for layer in estimator._network.layers}.isdisjoint(
    layer.name for layer in trained.feature.networks["network"].layers
  )
  unjudged = dataclasses.replace(turned, judges=())
  assert "oracle/test_median_error" in evaluate(trained, unjudged, quick=True, progress=None)


def test_f_may_be_what_the_network_reads(fitted, turned, tmp_path, monkeypatch):
  f = Rotation(fitted=str(fitted[0]), from_pixels=True)
  trained = train_tiny(tmp_path / "run", turned, f, OBJECTIVE, epochs=1, evaluate_every=0)
  values = feature_values(trained.feature, turned.test)
  np.testing.assert_allclose(np.linalg.norm(values, axis=1), 1, rtol=1e-5)
  np.testing.assert_allclose(values, f.of_image(turned.test["image"] / np.float32(255)), atol=1e-5)
  assert np.median(f.error(values, f.known(turned.test).numpy())) > 0
  np.testing.assert_array_equal(feature_values(f.as_known, turned.test), f.known(turned.test))
  np.testing.assert_array_equal(feature_values(load(tmp_path / "run").feature, turned.test), values)
  check_feature(f, {name: column[:16] for name, column in turned.test.items()})
  monkeypatch.setattr(judges, "EPOCH_IMAGES", 2_500)
  own = evaluate(trained, dataclasses.replace(turned, judges=()), quick=True, progress=None)
  judged = evaluate(trained, turned, quick=True, progress=None)
  assert own["oracle/test_median_error"]["value"] == pytest.approx(
    judged["oracle/test_rotation_median_error"]["value"], rel=0.5
  )  # both are judged by what is known


def test_an_estimator_reads_numbers_in_their_unit(turned, monkeypatch):
  monkeypatch.setattr(judges, "EPOCH_IMAGES", 8_000)
  brightness = {split: turned[split]["color"].max(1) * 100 for split in ("train", "test")}
  data = dataclasses.replace(
    turned,
    train={**turned.train, "percent": brightness["train"]},
    judges=(Judge("percent", "percent", "number"),),
    name="for test_learned",
  )
  read = Estimator(data, "percent")(turned.test["image"])
  spread = np.abs(brightness["test"] - brightness["train"].mean()).mean()
  assert np.abs(read - brightness["test"]).mean() < 0.7 * spread


def test_a_discrete_one_gives_the_q_of_the_second_bound(parity, turned, tmp_path):
  figures = fit_feature(tmp_path / "f", turned, parity(), epochs=10, batch_size=32)
  assert figures["accuracy"] > 0.6
  f = parity(fitted=str(tmp_path / "f"))
  trained = train_tiny(tmp_path / "run", turned, f, {**OBJECTIVE, "feature_loss": "f2"}, epochs=1, evaluate_every=0)
  assert trained.model.q is None
  x, asked = turned.test["image"] / np.float32(255), f.of_example(turned.test)
  outputs = f.networks["network"](x)
  np.testing.assert_allclose(f.loss_f2(x, asked), tf.nn.softmax_cross_entropy_with_logits(asked, outputs), rtol=1e-4)
  np.testing.assert_array_equal(f.of_image(tf.constant(x)), tf.one_hot(tf.argmax(outputs, 1), 2))
  again = feature_from_config(f.get_config())
  assert again == f and again.fitted is None
