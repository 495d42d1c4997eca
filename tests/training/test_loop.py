"""Training a run: what it leaves, that it goes on exactly, and what it refuses."""

import dataclasses
import fcntl
import inspect
import io
import math
import os
import pathlib
import shutil
import signal
import sys
import threading
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.color import Color
from features.digit_label import DigitLabel
from features.pose import Pose
from tests.conftest import CONFIG, TINY, events, train_tiny
from tests.processes import in_fork
from tests.training.test_signals import handlers, hears_ctrl_c  # noqa: F401
from tfdisent import api, config, loading, pictures, run
from tfdisent.api import training
from tfdisent.checkpoints import Checkpoints
from tfdisent.data.batches import training_batches
from tfdisent.data.dataset import Dataset, Shards
from tfdisent.errors import (
  CheckpointError,
  ConfigError,
  DataError,
  FeatureError,
  Interrupted,
  NonFiniteLossError,
  RunError,
)
from tfdisent.evaluation import evaluate
from tfdisent.feature.contract import Feature
from tfdisent.feature.values import feature_values
from tfdisent.model.loss import Term
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.training import callbacks, loop, notes, optimizers
from tfdisent.training.loop import train_model
from tfdisent.training.optimizers import make_optimizer

PLAIN = {"lambda3": 0.0, "lambda4": 0.0}  # a VAE with nothing but E1 and G: quick to build
VAE_TERMS = {"L", "reconstruction", "KL_z1", "psnr"}


def checkpoint(folder: pathlib.Path, epoch: int) -> dict[str, np.ndarray]:
  """Every number in the last checkpoint of a run: weights, optimizers, epoch."""
  reader = tf.train.load_checkpoint(str(folder / f"checkpoints/last/epoch-{epoch}"))
  names = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
  return {name: reader.get_tensor(name) for name in names}


def assert_equal_to_the_bit(a: dict[str, np.ndarray], b: dict[str, np.ndarray]):
  assert a.keys() == b.keys()
  for name, value in a.items():
    np.testing.assert_array_equal(value, b[name], err_msg=name)


def interrupt_at_step(monkeypatch, step: int):
  """Ctrl-C at the start of a training step, counted from 0 over the epochs."""
  steps = iter(range(step))

  def on_train_batch_begin(self, batch, logs=None):
    if next(steps, None) is None:
      raise KeyboardInterrupt

  monkeypatch.setattr(callbacks.SaveCheckpoints, "on_train_batch_begin", on_train_batch_begin)


def longer(epochs: int) -> str:
  """The configuration with another number of epochs."""
  return CONFIG.replace("epochs = 3", f"epochs = {epochs}")


QUICK = {"objective": PLAIN, "evaluate_every": 0}


@pytest.fixture(scope="module")
def plain_run(few_digits, tmp_path_factory) -> pathlib.Path:
  """One epoch of E1 and G, which is not evaluated. Tests go on with a copy."""
  folder = tmp_path_factory.mktemp("runs") / "plain"
  train_tiny(folder, few_digits, epochs=1, describe=lambda: longer(1), **QUICK)
  return folder


# --- What a run leaves ------------------------------------------------------------------------------------------------


def test_a_run_leaves_its_configuration_its_model_and_its_checkpoints(digit_run):
  names = {str(path.relative_to(digit_run.folder)) for path in digit_run.folder.rglob("*") if path.is_file()}
  assert {"config.gin", "model.json", "checkpoints/last/epoch-3.index", "checkpoints/last/epoch-2.index"} <= names
  assert any(name.startswith("checkpoints/best/epoch-") for name in names)
  assert any(name.startswith("tensorboard/events.") for name in names)
  assert not any(name.endswith(".partial") for name in names)
  assert (digit_run.folder / "config.gin").read_text() == CONFIG


def test_the_curves_have_every_term_and_gradient_of_every_epoch(digit_run):
  curves = {name: curve for name, curve in events(digit_run.folder).items() if not name.startswith("evaluation/")}
  terms = {*VAE_TERMS, "L_f", "L_q", "L_GAN", "L_D"}
  assert set(curves) == {
    *(f"{split}/{name}" for split in ("train", "validation") for name in terms),
    *(f"gradient_norm/{symbol}" for symbol in ("E1", "G", "q", "D")),
    "learning_rate",
    "fusion",
  }
  assert all(sorted(values) == [1, 2, 3] for values in curves.values())
  assert all(curves[f"gradient_norm/{symbol}"][3] > 0 for symbol in ("E1", "G", "q", "D"))


def test_the_quick_evaluation_of_validation_images_is_among_them(digit_run, few_digits):
  """By default after every fifth epoch, and after the last, which is the third here."""
  curves = {name: curve for name, curve in events(digit_run.folder).items() if name.startswith("evaluation/")}
  metrics = evaluate(loading.load(digit_run.folder, "last"), few_digits, "validation", quick=True, progress=None)
  assert set(curves) == {f"evaluation/{name}" for name in metrics}
  for name, figure in metrics.items():
    assert curves[f"evaluation/{name}"] == {3: pytest.approx(figure["value"], rel=1e-5)}


def test_it_is_done_as_often_as_asked_for(no_graphs, plain_run, few_digits, tmp_path):
  train_tiny(tmp_path / "run", few_digits, objective=PLAIN, evaluate_every=2)
  assert set(events(tmp_path / "run")["evaluation/quality/psnr"]) == {2, 3}
  assert "evaluation/quality/psnr" not in events(plain_run)  # of 0


def test_the_curves_have_a_fusion_grid_of_validation_images(digit_run, few_digits):
  width, height, png = events(digit_run.folder)["fusion"][3]
  picture = tf.io.decode_png(png).numpy()
  assert picture.shape == (int(height), int(width), 3)
  np.testing.assert_array_equal(picture, tf.io.decode_png((digit_run.folder / "fusion.png").read_bytes()).numpy())
  x, f = few_digits.validation["image"], feature_values(DigitLabel(), few_digits.validation)
  columns = pictures.pick(f, DigitLabel(), 8)
  sheet = pictures.fusion_grid(loading.load(digit_run.folder, "last"), x[:8], x[columns], f[columns], f[:8])
  expected = sheet.titled("digit · after epoch 3 of 3").draw()
  np.testing.assert_allclose(picture.astype(int), expected, atol=1)  # another batch may round in another way


def test_the_learning_rate_falls_to_two_percent_over_the_whole_training(digit_run):
  rates = events(digit_run.folder)["learning_rate"]
  np.testing.assert_allclose(rates[3], 0.02 * 1e-3, rtol=1e-5)
  assert 1e-3 > rates[1] > rates[2] > rates[3]


def test_the_curves_of_the_validation_are_the_means_of_its_terms_over_the_validation_split(digit_run, few_digits):
  """Of the weights after the last epoch."""
  model = loading.load(digit_run.folder, "last").model
  means = {}
  for split in ("validation", "test"):
    f = np.eye(10, dtype=np.float32)[few_digits[split]["label"]]
    batches = training_batches(few_digits[split], f, 32, seed=0, shuffle=False).take(2)
    terms = [model.terms(batch, tf.constant(-1, tf.int64)) for batch in batches]
    means[split] = {(f"validation/{name}", 3): np.mean([float(of_one[name]) for of_one in terms]) for name in terms[0]}
  curves = {key: value for key, value in losses_of(digit_run.folder).items() if key in means["validation"]}
  assert curves == pytest.approx(means["validation"], rel=1e-5)
  assert all(abs(curves[key] - of_test) > 1e-3 * abs(of_test) for key, of_test in means["test"].items() if "L" in key)


def test_the_best_checkpoints_are_those_of_the_lowest_validation_losses(digit_run):
  """Without λ4 L_GAN, whose weight is 1."""
  curves = losses_of(digit_run.folder)
  loss = [curves["validation/L", epoch] - curves["validation/L_GAN", epoch] for epoch in (1, 2, 3)]
  best = [epoch for epoch in (1, 2, 3) if loss[epoch - 1] == min(loss[:epoch])]
  assert {path.stem for path in digit_run.folder.glob("checkpoints/best/*.index")} == {f"epoch-{i}" for i in best[-2:]}
  reader = tf.train.load_checkpoint(str(digit_run.folder / "checkpoints/last/epoch-3"))
  assert reader.get_tensor("best_loss/.ATTRIBUTES/VARIABLE_VALUE") == pytest.approx(min(loss), rel=1e-6)


def test_three_epochs_are_the_six_steps_of_adam_by_hand(digit_run, few_digits):
  """Each network down its own loss, at its own falling rate; the gradients alone are TensorFlow's."""
  keras.utils.set_random_seed(0)
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(q_data="both"), **TINY)
  losses = {"E1": "L", "G": "L", "q": "L_q", "D": "L_D"}
  weights = {symbol: model.networks[symbol].trainable_variables for symbol in losses}
  first = {symbol: [np.zeros(v.shape) for v in weights[symbol]] for symbol in losses}
  second = {symbol: [np.zeros(v.shape) for v in weights[symbol]] for symbol in losses}

  @tf.function
  def gradients_of(batch, step):
    with tf.GradientTape(persistent=True) as tape:
      terms = model.terms(batch, step)
    return terms, {symbol: tape.gradient(terms[loss], weights[symbol]) for symbol, loss in losses.items()}

  f = np.eye(10, dtype=np.float32)[few_digits.train["label"]]
  means = {}
  for step, batch in enumerate(training_batches(few_digits.train, f, 32, seed=0).take(6)):
    terms, gradients = gradients_of(batch, tf.constant(step, tf.int64))
    for name, value in terms.items():
      key = (f"train/{name}", 1 + step // 2)  # two steps an epoch
      means[key] = means.get(key, 0) + float(value) / 2
    for symbol in losses:
      rate, beta = (2e-4, 0.5) if symbol == "D" else (1e-3, 0.9)
      rate *= 0.02 + 0.98 * (1 + math.cos(math.pi * step / 6)) / 2
      rate *= math.sqrt(1 - 0.999 ** (step + 1)) / (1 - beta ** (step + 1))
      for place, gradient in enumerate(np.float64(g) for g in gradients[symbol]):
        m = first[symbol][place] = beta * first[symbol][place] + (1 - beta) * gradient
        v = second[symbol][place] = 0.999 * second[symbol][place] + 0.001 * gradient**2
        weight = weights[symbol][place]
        weight.assign(weight.numpy() - rate * m / (np.sqrt(v) + 1e-7))

  curves = {key: value for key, value in losses_of(digit_run.folder).items() if key in means}
  assert curves == pytest.approx(means, rel=2e-5)
  trained = loading.load(digit_run.folder, "last").model
  for symbol in losses:
    for weight, of_run in zip(weights[symbol], trained.networks[symbol].trainable_variables, strict=True):
      np.testing.assert_allclose(of_run, weight, atol=5e-5, err_msg=of_run.path)  # a step is 1e-3


def test_the_model_returned_is_the_best_one_on_validation(no_graphs, few_digits, tmp_path):
  """The second epoch goes uphill."""

  def make_optimizer_eg(steps):
    return keras.optimizers.Adam(keras.optimizers.schedules.PiecewiseConstantDecay([2], [1e-3, -1e-3]))

  folder = tmp_path / "run"
  trained = train_tiny(folder, few_digits, epochs=2, make_optimizer_eg=make_optimizer_eg, **QUICK)
  x, label = few_digits.test["image"] / np.float32(255), few_digits.test["label"]
  np.testing.assert_array_equal(trained.control(x, label), loading.load(folder).control(x, label))
  assert (trained.control(x, label) != loading.load(folder, "last").control(x, label)).any()
  assert [path.name for path in folder.glob("checkpoints/best/*.index")] == ["epoch-1.index"]


class FakeCheckpoints:
  """What `SaveCheckpoints` asks for, in order."""

  def __init__(self, epoch=0, step=0):
    self.epoch, self.step, self.calls = epoch, step, []

  def save(self, *arguments):
    self.calls.append(("save", *arguments))

  def save_step(self, step):
    self.calls.append(("save_step", step))

  def restore_means(self):
    self.calls.append(("restore_means",))


def saving(checkpoints, *arguments, steps=8, model=types.SimpleNamespace(records=())) -> callbacks.SaveCheckpoints:  # noqa: B008
  callback = callbacks.SaveCheckpoints(checkpoints, *arguments)
  callback.set_params({"steps": steps})
  callback.set_model(model)
  return callback


def test_the_best_loss_leaves_the_gan_and_the_adversary_out(make_tiny):
  """Since L_GAN depends on D as much as on the images, and L_a on a."""
  checkpoints = FakeCheckpoints()
  callback = saving(checkpoints, model=make_tiny(lambda4=2.0, adversary=5.0))
  callback.on_epoch_end(0, {"val_L": 10.0, "val_L_GAN": 3.0, "val_L_a": 0.5, "L": 1.0, "L_GAN": 7.0})
  saving(checkpoints).on_epoch_end(1, {"val_L": 10.0})
  assert checkpoints.calls == [("save", 1, 10.0 - 2 * 3 + 5 * 0.5), ("save", 2, 10.0)]


def test_by_a_score_the_highest_is_best_and_epochs_without_one_are_not():
  checkpoints = FakeCheckpoints()
  callback = saving(checkpoints, 0, lambda: False, "score")
  for epoch, logs in enumerate(({"val_L": 1.0}, {"val_L": 9.0, "score": 0.75}, {"val_L": 0.0, "score": 0.5})):
    callback.on_epoch_end(epoch, logs)
  assert checkpoints.calls == [("save", 1, math.inf), ("save", 2, -0.75), ("save", 3, -0.5)]


@pytest.mark.parametrize(
  ("every", "steps"), [(0, []), (1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (4, [4]), (7, [7]), (8, []), (500, [])]
)
def test_a_checkpoint_is_written_after_every_so_many_steps_and_on_the_last_by_the_epoch(every, steps):
  checkpoints = FakeCheckpoints()
  callback = saving(checkpoints, every)
  callback.on_epoch_begin(0)
  for batch in range(8):
    callback.on_train_batch_end(batch, {})
  assert checkpoints.calls == [("save_step", step) for step in steps]


def test_within_an_epoch_its_steps_are_counted_from_its_beginning_and_its_means_go_on():
  checkpoints = FakeCheckpoints(epoch=4, step=2)
  callback = saving(checkpoints, 3, steps=6)
  callback.on_epoch_begin(4)
  for batch in range(6):  # steps 3 to 8
    callback.on_train_batch_end(batch, {})
  assert checkpoints.calls == [("restore_means",), ("save_step", 3), ("save_step", 6)]


@pytest.mark.parametrize(
  ("at", "words"), [(0, "1 steps after epoch 4"), (6, "7 steps after epoch 4"), (7, "after epoch 5")]
)
def test_a_signal_is_seen_at_every_step_and_at_the_end_of_an_epoch(at, words):
  checkpoints, asked = FakeCheckpoints(epoch=4), threading.Event()
  callback = saving(checkpoints, 0, asked.is_set)
  callback.on_epoch_begin(4)
  with pytest.raises(Interrupted, match=rf"^stopped as asked, {words}\. The same command or call goes on"):
    for batch in range(8):
      if batch == at:
        asked.set()
      callback.on_train_batch_end(batch, {})
    callback.on_epoch_end(4, {"val_L": 1.0})
  assert checkpoints.calls == [("save", 5, 1.0) if at == 7 else ("save_step", at + 1)]  # before it stops


def test_a_signal_that_comes_after_the_last_step_is_seen_as_well():
  callback = saving(FakeCheckpoints(), 0, lambda: True)
  with pytest.raises(Interrupted, match="after epoch 1"):
    callback.on_epoch_end(0, {"val_L": 1.0})


def test_the_batches_have_no_thread_that_would_have_to_be_waited_for(begin, few_digits, tmp_path):
  asked = begin(tmp_path / "run", few_digits, objective=PLAIN, evaluate_every=0)
  assert [batches.options().autotune.enabled for batches in (asked.batches, asked.validation_data)] == [False, False]


def test_a_disk_that_is_full_is_named():
  def save(epoch, loss):
    raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

  callback = saving(types.SimpleNamespace(save=save))
  with pytest.raises(RunError, match="checkpoint of epoch 5 cannot be written: No space left"):
    callback.on_epoch_end(4, {"val_L": 1.0})


def test_a_run_folder_that_vanishes_is_named(no_graphs, few_digits, tmp_path, monkeypatch):
  def vanish(self, batch, logs=None):
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").write_text("something else")

  monkeypatch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", vanish)
  with pytest.raises(RunError, match=r"cannot be written.*The checkpoints before are kept"):
    train_tiny(tmp_path / "run", few_digits, epochs=1, checkpoint_every=1, **QUICK)


def test_a_full_disk_keeps_the_checkpoint_before_and_the_training_goes_on_when_there_is_room(
  plain_run, few_digits, tmp_path
):
  """The size of files is limited, as a quota does it, to more than a checkpoint within the first epoch needs."""
  shutil.copytree(plain_run, tmp_path / "run")
  size = max(path.stat().st_size for path in tmp_path.glob("run/checkpoints/*/*"))
  in_fork(f"""
import resource, signal
from tests.conftest import color_mnist, small, train_tiny
from tests.training.test_loop import QUICK, longer
from tfdisent.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size} // 2, {size} * 9))
try:
  train_tiny({str(tmp_path / "run")!r}, small(color_mnist()), epochs=2, describe=lambda: longer(2), **QUICK)
except RunError as error:
  assert "cannot be written" in str(error), error
else:
  raise AssertionError("it was written")
""")
  assert {path.name for path in tmp_path.glob("run/checkpoints/last/*.index")} >= {"epoch-1.index"}
  train_tiny(tmp_path / "run", few_digits, epochs=2, describe=lambda: longer(2), **QUICK)
  assert (tmp_path / "run/checkpoints/last/epoch-2.index").is_file()


@pytest.mark.parametrize(
  ("feature", "objective", "terms"),
  [
    (Color(), {}, {"KL_z2", "L_f", "L_GAN", "L_D"}),
    (Pose(), {"feature_loss": "f2", "lambda4": 0.0}, {"KL_z2", "L_f"}),
    (DigitLabel(), {"q_data": "pairs", "lambda4": 0.0}, {"L_f", "L_q"}),
  ],
  ids=["color", "pose", "digit_label on pairs"],
)
def test_two_steps_with_each_feature(feature, objective, terms, few_digits, tmp_path):
  trained = train_tiny(tmp_path / "run", few_digits, feature, objective, epochs=1)
  curves = events(tmp_path / "run")
  assert {tag[len("train/") :] for tag in curves if tag.startswith("train/")} == VAE_TERMS | terms
  assert all(np.isfinite(curves[tag][1]) for tag in curves if tag != "fusion")
  assert loading.load(tmp_path / "run").feature == trained.feature == feature


# --- The same again ---------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_to_the_same_weights_to_the_bit(digit_run, few_digits, tmp_path, monkeypatch):
  folder = tmp_path / "digit"  # as the other run: pictures have the name in their title
  with monkeypatch.context() as context:
    interrupt_at_step(context, 3)  # within the second epoch
    with pytest.raises(KeyboardInterrupt):
      train_tiny(folder, few_digits, describe=lambda: CONFIG, evaluate_every=0)
  assert [path.name for path in folder.glob("checkpoints/last/*.index")] == ["epoch-1.index"]
  trained = train_tiny(folder, few_digits, describe=lambda: CONFIG, evaluate_every=0)

  numbers = checkpoint(folder, 3)
  networks = digit_run.trained.model.networks.values()
  weights = sum(len(network.weights) for network in networks)
  means = 2 * len(digit_run.trained.model.metrics)  # a sum and a count each
  # Adam's two moments, two counts of steps; epoch, step and best loss
  assert len(numbers) == weights + 2 * weights + 2 + means + 3
  assert_equal_to_the_bit(numbers, checkpoint(digit_run.folder, 3))
  x, label = few_digits.test["image"], few_digits.test["label"]
  np.testing.assert_array_equal(trained.control(x, label), digit_run.trained.control(x, label))

  curves = events(folder)
  assert all(values.keys() == {1, 2, 3} for name, values in curves.items() if not name.startswith("evaluation/"))
  assert losses_of(folder) == pytest.approx(losses_of(digit_run.folder), rel=1e-6)  # a mean may round in another way
  assert curves["fusion"][3].tolist() == events(digit_run.folder)["fusion"][3].tolist()


def test_it_goes_on_from_within_an_epoch_as_well(digit_run, few_digits, tmp_path, monkeypatch):
  """From the first step, from the last of an epoch, and from one after an epoch that was whole."""
  folder, arguments = tmp_path / "run", {"describe": lambda: CONFIG, "checkpoint_every": 1, "evaluate_every": 0}
  for newest in ("epoch-0-step-1", "epoch-1", "epoch-1-step-1"):
    with monkeypatch.context() as context:
      interrupt_at_step(context, 1)
      with pytest.raises(KeyboardInterrupt):
        train_tiny(folder, few_digits, **arguments)
    assert newest in {path.stem for path in folder.glob("checkpoints/last/*.index")}
  train_tiny(folder, few_digits, **arguments)
  assert_equal_to_the_bit(checkpoint(folder, 3), checkpoint(digit_run.folder, 3))
  curves, expected = events(folder), events(digit_run.folder)
  for name in (name for name in expected if name.startswith("train/")):
    assert {epoch: value.item() for epoch, value in curves[name].items()} == pytest.approx(
      {epoch: value.item() for epoch, value in expected[name].items()}, rel=1e-6
    ), name


def test_a_set_of_shards_goes_on_amid_an_epoch(no_graphs, few_digits, tmp_path, monkeypatch):
  dataset = dataclasses.replace(few_digits, shards=Shards((20, 9, 35), 10, 4))
  arguments = {"objective": PLAIN, "batch_size": 16, "epochs": 1, "checkpoint_every": 2, "evaluate_every": 0}
  train_tiny(tmp_path / "whole", dataset, **arguments)
  with monkeypatch.context() as context:
    interrupt_at_step(context, 3)
    with pytest.raises(KeyboardInterrupt):
      train_tiny(tmp_path / "run", dataset, **arguments)
  assert "epoch-0-step-2.index" in {path.name for path in (tmp_path / "run/checkpoints/last").iterdir()}
  train_tiny(tmp_path / "run", dataset, **arguments)
  assert_equal_to_the_bit(checkpoint(tmp_path / "run", 1), checkpoint(tmp_path / "whole", 1))


@pytest.mark.usefixtures("hears_ctrl_c")
def test_when_asked_to_stop_it_finishes_the_step_and_writes_a_checkpoint(digit_run, few_digits, tmp_path, monkeypatch):
  folder, before, arguments = tmp_path / "run", handlers(), {"describe": lambda: CONFIG, "evaluate_every": 0}
  for number, step, epoch in ((signal.SIGINT, 0, 0), (signal.SIGHUP, 1, 1)):
    with monkeypatch.context() as context:
      steps = iter([0] * step + [number])
      context.setattr(
        callbacks.StopOnNonFinite,
        "on_train_batch_begin",
        lambda self, batch, logs=None, steps=steps: os.kill(os.getpid(), next(steps, 0)),
      )
      with pytest.raises(Interrupted, match=rf"stopped as asked, 1 steps after epoch {epoch}\. The same"):
        train_tiny(folder, few_digits, **arguments)
    assert handlers() == before
    assert (folder / f"checkpoints/last/epoch-{epoch}-step-1.index").is_file()
  train_tiny(folder, few_digits, **arguments)
  assert_equal_to_the_bit(checkpoint(folder, 3), checkpoint(digit_run.folder, 3))


def test_the_seed_alone_decides_the_weights(plain_run, few_digits, tmp_path):
  for name, seed in (("b", 0), ("c", 4)):
    train_tiny(tmp_path / name, few_digits, epochs=1, seed=seed, **QUICK)
  a, b, c = (checkpoint(folder, 1) for folder in (plain_run, tmp_path / "b", tmp_path / "c"))
  assert_equal_to_the_bit(a, b)
  kernels = [name for name in a if "kernel" in name]
  assert kernels and all((a[name] != c[name]).any() for name in kernels)


def test_a_finished_run_is_not_trained_again(digit_run, few_digits, tmp_path, monkeypatch):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  monkeypatch.setattr(DisentangledVAE, "fit", None)
  trained = train_tiny(folder, few_digits, describe=lambda: CONFIG)
  x = few_digits.test["image"]
  np.testing.assert_array_equal(trained.reconstruct(x), digit_run.trained.reconstruct(x))


def test_a_finished_run_is_extended_exactly_and_says_what_its_rate_does(
  plain_run, few_digits, tmp_path, monkeypatch, capsys
):
  def train(name, **arguments):
    train_tiny(tmp_path / name, few_digits, epochs=2, describe=lambda: longer(2), **QUICK, **arguments)
    return capsys.readouterr().out

  whole, stopped = (shutil.copytree(plain_run, tmp_path / name) for name in ("whole", "stopped"))
  (whole / "feature_examples.json").write_text("[]")
  out = train("whole")
  assert "The run was begun with 1 epochs and has 2 now." in out and "after epoch 1 of 2 epochs" in out
  assert "of all 2: it goes on at 0.00051, after 2e-05." in out  # 1e-3 (0.98 (1 + cos π/2) / 2 + 0.02)
  assert not (whole / "feature_examples.json").exists()  # its presence says that a training has ended
  assert (whole / "config.gin").read_text() == longer(2) and run.read_description(whole)["epochs"] == 2
  assert sorted(events(whole)["train/L"]) == [1, 2]
  with monkeypatch.context() as context:
    interrupt_at_step(context, 1)
    with pytest.raises(KeyboardInterrupt):
      train("stopped", checkpoint_every=1)
  capsys.readouterr()
  assert "The run was begun with" not in train("stopped")
  assert_equal_to_the_bit(checkpoint(stopped, 2), checkpoint(whole, 2))


def test_fewer_epochs_than_a_run_was_begun_with_change_nothing(digit_run, few_digits, tmp_path):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
  with pytest.raises(RunError, match="a run of 3 epochs, and 2 are asked for: nothing is changed"):
    train_tiny(folder, few_digits, epochs=2, describe=lambda: longer(2))
  assert before == {path: path.stat().st_mtime_ns for path in before}


def losses_of(folder):
  curves = events(folder)
  return {
    (tag, epoch): float(value)
    for tag in curves
    if tag.startswith(("train/", "validation/"))
    for epoch, value in curves[tag].items()
  }


def test_a_strategy_of_one_device_gives_the_same_losses(digit_run, few_digits, tmp_path):
  train_tiny(tmp_path / "run", few_digits, strategy=tf.distribute.OneDeviceStrategy("CPU:0"), evaluate_every=0)
  assert losses_of(tmp_path / "run") == pytest.approx(losses_of(digit_run.folder), rel=1e-4)


# --- What the training is told ----------------------------------------------------------------------------------------


class Fitting(Exception):
  """What `fit` was called with."""


@pytest.fixture
def begin(monkeypatch):
  """Begins a training, up to the first `fit`; gives the model and what `fit` was asked for."""

  def fit(self, *arguments, **keywords):
    raise Fitting(self, arguments, keywords)

  monkeypatch.setattr(DisentangledVAE, "fit", fit)
  monkeypatch.setattr(training, "train_judges", lambda *_: None)  # they take minutes

  def begin(*arguments, **keywords):
    with pytest.raises(Fitting) as error:
      train_tiny(*arguments, **keywords)
    model, (batches,), asked = error.value.args
    return types.SimpleNamespace(model=model, batches=batches, **asked)

  return begin


def assert_first_batch(batches, *arguments, **keywords):
  (expected,) = training_batches(*arguments, **keywords).take(1)
  for name, value in next(iter(batches)).items():
    np.testing.assert_array_equal(value, expected[name], err_msg=name)


def test_the_seed_is_that_of_the_weights_of_the_noise_and_of_the_order(begin, few_digits, tmp_path):
  asked = begin(tmp_path / "run", few_digits, objective=PLAIN, seed=7, evaluate_every=0)
  assert asked.model.seed == 7
  keras.utils.set_random_seed(7)
  expected = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(**PLAIN), **TINY)
  for weight, of_seed in zip(asked.model.E1.weights + asked.model.G.weights, expected.E1.weights + expected.G.weights):
    np.testing.assert_array_equal(weight, of_seed)
  train, validation = (np.eye(10, dtype=np.float32)[few_digits[split]["label"]] for split in ("train", "validation"))
  assert_first_batch(asked.batches, few_digits.train, train, 32, seed=7)
  assert_first_batch(asked.validation_data, few_digits.validation, validation, 32, seed=7, shuffle=False)


def test_a_set_of_shards_is_read_in_their_order(begin, few_digits, tmp_path):
  shards = Shards((20, 9, 35), 10, 4)
  dataset = dataclasses.replace(few_digits, shards=shards)
  asked = begin(tmp_path / "run", dataset, objective=PLAIN, evaluate_every=0)
  train = np.eye(10, dtype=np.float32)[few_digits.train["label"]]
  assert_first_batch(asked.batches, few_digits.train, train, 32, seed=0, shards=shards)


def test_fit_is_asked_for_all_epochs_and_both_optimizers_decay_over_them(begin, few_digits, tmp_path):
  asked = begin(tmp_path / "run", few_digits, epochs=5, batch_size=20, evaluate_every=3, checkpoint_every=2)
  assert (asked.initial_epoch, asked.epochs, asked.steps_per_epoch, asked.validation_steps) == (0, 5, 3, 4)
  assert (asked.verbose, asked.shuffle, asked.model.jit_compile) == (0, False, False)
  rates = {}
  for name in ("optimizer", "optimizer_d"):
    optimizer = getattr(asked.model, name)
    for step in (0, 15, 16):  # of 5 epochs of 3 steps
      optimizer.iterations.assign(step)
      rates[name, step] = float(optimizer.learning_rate)
  assert rates == pytest.approx(
    {
      ("optimizer", 0): 1e-3,
      ("optimizer", 15): 2e-5,
      ("optimizer", 16): 2e-5,
      ("optimizer_d", 0): 2e-4,
      ("optimizer_d", 15): 4e-6,
      ("optimizer_d", 16): 4e-6,
    }
  )
  assert (asked.model.optimizer.beta_1, asked.model.optimizer_d.beta_1) == (0.9, 0.5)
  # the figures are shown, and looked at, before anything is written of them
  assert [type(callback).__name__ for callback in asked.callbacks] == [
    "Progress",
    "StopOnNonFinite",
    "TensorBoard",
    "SaveCheckpoints",
  ]
  assert (asked.callbacks[3]._every, asked.callbacks[3]._best, asked.callbacks[2]._scores) == (2, "loss", False)
  assert (asked.callbacks[2]._epochs, asked.callbacks[2]._evaluate_every) == (5, 3)


def test_the_optimizers_are_made_for_the_steps_of_the_whole_training(begin, few_digits, tmp_path):
  asked = []

  def optimizer(steps):
    asked.append(steps)
    return keras.optimizers.SGD()

  begin(
    tmp_path / "run",
    few_digits,
    objective=PLAIN,
    epochs=7,
    evaluate_every=0,
    make_optimizer_eg=optimizer,
    make_optimizer_d=optimizer,
    jit_compile=True,
  )
  assert asked == [14, 14]


def test_it_goes_on_from_a_step_with_the_rest_of_its_epoch(begin, few_digits, tmp_path, capsys):
  (tmp_path / "run").mkdir()
  asked = begin(tmp_path / "run", few_digits, objective=PLAIN, batch_size=8, evaluate_every=0)
  assert "Going on" not in capsys.readouterr().out
  saved = Checkpoints(tmp_path / "run", asked.model)
  saved.save(1, 1.0)
  again = {"objective": PLAIN, "batch_size": 8, "evaluate_every": 0}
  asked = begin(tmp_path / "run", few_digits, **again)
  train = np.eye(10, dtype=np.float32)[few_digits.train["label"]]
  assert (asked.initial_epoch, asked.epochs, asked.steps_per_epoch) == (1, 3, 8)
  assert_first_batch(asked.batches, few_digits.train, train, 8, seed=0, first_step=8)
  assert f"Going on with the run in {tmp_path / 'run'} after epoch 1 of 3 epochs.\n" in capsys.readouterr().out
  saved.save_step(5)
  asked = begin(tmp_path / "run", few_digits, **again)
  assert (asked.initial_epoch, asked.epochs, asked.steps_per_epoch) == (1, 2, 3)
  assert_first_batch(asked.batches, few_digits.train, train, 8, seed=0, first_step=13)
  assert "after epoch 1 and 5 steps of 3 epochs." in capsys.readouterr().out


@pytest.mark.parametrize("is_chief", [True, False])
@pytest.mark.parametrize("evaluate_every", [0, 2])
def test_every_worker_has_the_judges_before_the_first_step(
  begin, few_digits, tmp_path, monkeypatch, is_chief, evaluate_every
):
  """A worker without them would wait within its first step until the chief has trained them."""

  class OneOfTwo(loop.Worker):
    def __init__(self, strategy):
      super().__init__(strategy)
      self.is_chief = is_chief

  monkeypatch.setattr(loop, "Worker", OneOfTwo)
  trained = []
  monkeypatch.setattr(training, "train_judges", lambda dataset, feature: trained.append(dataset))
  asked = begin(tmp_path / "run", few_digits, objective=PLAIN, evaluate_every=evaluate_every)
  assert trained == ([few_digits] if evaluate_every else [])
  names = [type(callback).__name__ for callback in asked.callbacks]
  if not is_chief:  # it writes nothing, and prints nothing
    assert names == ["StopOnNonFinite", "TensorBoard", "SaveCheckpoints"]
    assert list(tmp_path.iterdir()) == []


def test_a_run_whose_best_is_chosen_by_the_score_says_so(begin, digits, few_digits, tmp_path):
  asked = begin(tmp_path / "run", few_digits, objective=PLAIN, best="score", evaluate_every=1)
  *_, curves, saving = asked.callbacks
  assert (curves._scores, saving._best) == (True, "score")
  assert [type(measurement).__name__ for measurement in curves._measurements] == ["LinearLeakage", "Chance"]
  assert run.read_description(tmp_path / "run")["best"] == "score"
  for best, every, words in (("accuracy", 1, "'accuracy': choose one of 'loss', 'score'"), ("score", 0, "set it to 1")):
    with pytest.raises(ConfigError, match=rf"train\.best = .*{words}"):
      train_tiny(tmp_path / "other", few_digits, objective=PLAIN, best=best, evaluate_every=every)
  assert not (tmp_path / "other").exists()


def test_callbacks_stand_between_the_check_of_the_loss_and_the_checkpoint(begin, few_digits, tmp_path, monkeypatch):
  """And `prepare` is called before `fit`, if epochs are left."""
  monkeypatch.setattr(training, "train_model", None)
  own, prepared = keras.callbacks.Callback(), []

  def make_model(image_shape, feature, seed):
    return DisentangledVAE(image_shape, feature, Objective(**PLAIN), seed=seed, **TINY)

  arguments = (tmp_path / "run", few_digits, DigitLabel(), make_model)
  with pytest.raises(Fitting) as error:
    train_model(*arguments, batch_size=32, callbacks=[own], prepare=lambda: prepared.append(1))
  model, _, asked = error.value.args
  assert asked["callbacks"][2] is own and len(asked["callbacks"]) == 4 and prepared == [1]
  saved = Checkpoints(tmp_path / "run", model)
  saved.save(10, 1.0)
  train_model(*arguments, batch_size=32, prepare=lambda: prepared.append(2))
  assert prepared == [1]


def test_the_defaults_are_those_of_the_command_line():
  of_preset = {"epochs": 10, "batch_size": 128, "evaluate_every": 5}
  defaults = {"seed": 0, "checkpoint_every": 500}
  for function, expected in ((api.train, defaults), (config.train, defaults | of_preset)):
    parameters = inspect.signature(function).parameters
    assert {name: parameters[name].default for name in expected} == expected
    assert parameters["jit_compile"].default is False
  inner, outer = (inspect.signature(function).parameters for function in (train_model, api.train))
  for name in (inner.keys() & outer.keys()) - {"run_dir"}:  # the outer one makes a temporary folder
    if outer[name].default is not None:
      assert inner[name].default == outer[name].default, name
  optimizer_d = inspect.signature(config.optimizer_d).parameters
  assert optimizer_d["learning_rate"].default == 2e-4 and optimizer_d["arguments"].default == {"beta_1": 0.5}


def test_keras_still_asks_for_what_the_model_leaves_out():
  """`DisentangledVAE` overrides it, for Keras has no public way to say that a model is built.

  Under another name Keras would draw a batch before the training, and average it over the workers: images of uint8,
  which no collective of TensorFlow takes, so that no training on several hosts would begin.
  """
  assert callable(keras.Model._maybe_symbolic_build)
  assert "self._maybe_symbolic_build(" in inspect.getsource(keras.Model.fit)


# --- What it shows ----------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
  """Text that is written to a terminal, or to a file."""

  def __init__(self, is_terminal):
    super().__init__()
    self._is_terminal = is_terminal

  def isatty(self):
    return self._is_terminal


@pytest.mark.parametrize("where", ["terminal", "notebook", "file"])
def test_the_progress_shows_the_few_figures_that_tell_how_it_goes(where, monkeypatch):
  out = Terminal(where == "terminal")
  monkeypatch.setattr(sys, "stdout", out)
  if where == "notebook":
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=object))
  progress = callbacks.Progress()
  progress.set_model(types.SimpleNamespace(records=(Term("L"), Term("KL_z2", is_shown=False), Term("L_a"))))
  progress.set_params({"epochs": 3, "steps": 4, "verbose": 0})
  progress.on_epoch_begin(1)
  assert out.getvalue() == "Epoch 2/3\n"
  progress.on_train_batch_end(0, {"psnr": 9.0, "L_a": 1.0, "L": 8.0, "gradient_norm/G": 1.0})
  during = out.getvalue()
  progress.on_train_batch_end(1, {"psnr": 9.0, "L_a": 1.0, "L": 2.0})
  progress.on_epoch_end(1, {"L": 2.5, "psnr": 10.0, "KL_z2": 1.0, "L_a": 0.5, "val_L": 3.0, "val_psnr": 11.0})
  monkeypatch.undo()
  assert out.getvalue().endswith(" - L: 2.5000 - L_a: 0.5000 - psnr: 10.0000 - val_psnr: 11.0000\n")
  assert ("1/4" in during and "L: 8.0000 - L_a: 1.0000 - psnr: 9.0000" in during) == (where != "file")
  assert "4/4" in out.getvalue() and "gradient_norm" not in out.getvalue()


def test_the_figures_that_are_shown_are_terms_of_a_training(capsys, make_tiny):
  """A name that no term has would show nothing, and no error."""
  shown = ["L", "reconstruction", "KL_z1", "L_f", "L_GAN", "L_D", "L_mirror", "L_a", "psnr", "val_L_f", "val_psnr"]
  progress = callbacks.Progress()
  progress.set_model(make_tiny(mirror=1.0, adversary=1.0))
  progress.set_params({"epochs": 1, "steps": 4, "verbose": 0})
  progress.on_epoch_begin(0)
  progress.on_epoch_end(0, {name: 1.0 for name in (*shown, "KL_z2", "L_q", "val_L")})
  assert capsys.readouterr().out.strip().split(" - ")[3:] == [f"{name}: 1.0000" for name in shown]


def test_one_epoch_needs_no_number(capsys):
  progress = callbacks.Progress()
  progress.set_model(types.SimpleNamespace(records=(Term("L"),)))
  progress.set_params({"epochs": 1, "steps": 4, "verbose": 0})
  progress.on_epoch_begin(0)
  progress.on_epoch_end(0, {"L": 2.5})
  assert (
    "Epoch" not in (out := capsys.readouterr().out) and out.startswith("4/4 - 0s") and out.endswith("- L: 2.5000\n")
  )


# --- What is refused --------------------------------------------------------------------------------------------------


def test_another_configuration_in_the_folder_is_refused_with_both_lines(digit_run, few_digits, tmp_path):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  other = CONFIG.replace("'both'", "'pairs'")
  with pytest.raises(RunError) as error:
    train_tiny(folder, few_digits, describe=lambda: other)
  assert "- objective.q_data = 'both'" in str(error.value) and "+ objective.q_data = 'pairs'" in str(error.value)
  assert "train.epochs" not in str(error.value)
  assert (folder / "config.gin").read_text() == CONFIG


@pytest.mark.parametrize(
  "config",
  [
    CONFIG.replace("/here", "/there"),
    CONFIG.replace("'/here'", "\\\n    '/a/longer/path'"),
    "# A comment.\n\nobjective.q_data =   'both'\ntrain.epochs = 3\n",
  ],
  ids=["data_dir", "data_dir on a line of its own", "comments, order and spaces"],
)
def test_where_the_data_lies_is_not_part_of_the_configuration(digit_run, few_digits, tmp_path, config):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  train_tiny(folder, few_digits, describe=lambda: config)
  assert (folder / "config.gin").read_text() == config


def test_another_architecture_is_refused_and_the_run_can_still_be_used(digit_run, few_digits, tmp_path):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  with pytest.raises(CheckpointError, match="architecture"):
    train_tiny(folder, few_digits, tiny={**TINY, "z1_width": 5}, describe=lambda: CONFIG)
  x = few_digits.test["image"][:2]
  np.testing.assert_array_equal(loading.load(folder).reconstruct(x), digit_run.trained.reconstruct(x))


@dataclasses.dataclass(frozen=True)
class Rounded(Feature):
  """The brightness, rounded: it has no gradient."""

  kind, width = "continuous", 1

  def of_image(self, image):
    return tf.round(255 * tf.reduce_mean(image, [1, 2, 3]))[:, None]


@dataclasses.dataclass(frozen=True)
class Constant(Feature):
  """The same for every image."""

  kind, width = "continuous", 1

  def of_image(self, image):
    return 0 * tf.reduce_mean(image, [1, 2, 3])[:, None] + 1


def with_argument(**arguments):
  return lambda steps: make_optimizer(steps, arguments=arguments)


def scaled(steps):
  return keras.optimizers.LossScaleOptimizer(make_optimizer(steps, arguments={"use_ema": True}))


@pytest.mark.parametrize(
  ("arguments", "error", "words"),
  [
    ({"epochs": 0}, ConfigError, "train.epochs = 0"),
    ({"checkpoint_every": -1}, ConfigError, "train.checkpoint_every = -1 must be a whole number of at least 0"),
    ({"evaluate_every": 1.5}, ConfigError, "train.evaluate_every = 1.5"),
    ({"epochs": 1.5}, ConfigError, "train.epochs = 1.5"),
    ({"batch_size": -2}, ConfigError, "train.batch_size = -2"),
    ({"batch_size": 31}, ConfigError, "train.batch_size = 31 must be a multiple of 2"),
    ({"batch_size": 66}, DataError, "batch of 66 is larger than the split of 64"),
    ({"feature": Rounded()}, FeatureError, "Rounded.*gradient"),
    ({"feature": DigitLabel(), "objective": {"feature_loss": "f2"}}, FeatureError, "digit_label.*of_image"),
    ({"feature": Constant()}, FeatureError, "Constant.*same value"),
    ({"make_optimizer_d": lambda steps: make_optimizer(steps, "adamm")}, ConfigError, "adamm"),
    ({"make_optimizer_eg": with_argument(use_ema=True)}, ConfigError, "optimizer.arguments = {'use_ema': True}"),
    ({"make_optimizer_d": with_argument(use_ema=True)}, ConfigError, "optimizer_d.arguments.*last checkpoint"),
    ({"make_optimizer_eg": with_argument(gradient_accumulation_steps=2)}, ConfigError, "'gradient_accum.*: 2}.*noise"),
    ({"make_optimizer_d": scaled}, ConfigError, "optimizer_d.arguments.*last checkpoint"),
  ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_made(arguments, error, words, few_digits, tmp_path):
  with pytest.raises(error, match=words):
    train_tiny(tmp_path / "run", few_digits, **arguments)
  assert not (tmp_path / "run").exists()


def test_every_validation_image_counts_once_whatever_the_batch(no_graphs, few_digits, tmp_path):
  """38 images in batches of 32: the last six are a batch of their own, filled up with images that do not count."""
  parts = {split: few_digits[split] for split in ("train", "probe", "test")}
  validation = {name: column[:38] for name, column in few_digits.validation.items()}
  dataset = Dataset(**parts, validation=validation, name="38")
  trained = train_tiny(tmp_path, dataset, objective=PLAIN, epochs=1, evaluate_every=0)
  losses = losses_of(tmp_path)
  mean, stddev = trained.encode_z1(validation["image"])
  kl = 0.5 * (mean**2 + stddev**2 - 1 - 2 * np.log(stddev)).sum(1)
  assert losses["validation/KL_z1", 1] == pytest.approx(kl.mean(), rel=1e-5)
  assert abs(kl[:32].mean() - kl.mean()) > 1e-3 * kl.mean()  # what it was


@pytest.mark.parametrize("argument", ["clipnorm", "clipvalue", "global_clipnorm"])
def test_gradients_are_not_clipped_before_they_are_summed(argument):
  """Keras does so on several replicas: two devices would not give the numbers of one."""
  model = types.SimpleNamespace(
    feature=DigitLabel(),
    feature_losses=("f1",),
    optimizer=make_optimizer(9),
    optimizer_d=with_argument(**{argument: 1.0})(9),
  )
  one, two = (types.SimpleNamespace(num_replicas_in_sync=count) for count in (1, 2))
  optimizers.check_gradients(model, one, np.zeros([2, 8, 8, 3], np.uint8))
  with pytest.raises(
    ConfigError, match=rf"optimizer_d\.arguments = {{'{argument}': 1.0}} .*each replica before it sums"
  ):
    optimizers.check_gradients(model, two, np.zeros([2, 8, 8, 3], np.uint8))


def test_a_feature_without_a_gradient_may_be_trained_on_where_nothing_asks_for_one(begin, few_digits, tmp_path):
  begin(tmp_path / "run", few_digits, Rounded(), PLAIN, evaluate_every=0)


@pytest.mark.parametrize(
  ("precision", "fast", "is_told"),
  [("mixed_bfloat16", False, True), ("mixed_bfloat16", True, False), ("float32", False, False)],
)
def test_a_new_run_is_told_of_a_precision_that_is_slow_here(
  precision, fast, is_told, begin, few_digits, tmp_path, monkeypatch, capsys
):
  monkeypatch.setattr(notes, "has_bfloat16", lambda: fast)
  begin(tmp_path / "run", few_digits, objective=PLAIN, tiny={**TINY, "precision": precision}, evaluate_every=0)
  assert ("model.precision = 'float32'" in capsys.readouterr().out) == is_told


@pytest.mark.parametrize(
  ("objective", "is_told"),
  [
    (PLAIN, False),
    ({"ramp_steps": 12, "adversary": 5.0}, True),
    ({"ramp_steps": 12, "likelihood": "laplace"}, True),
    ({"ramp_steps": 12}, False),
    ({"ramp_steps": 6, "adversary": 5.0}, False),
  ],
)
def test_a_new_run_is_told_of_weights_that_will_not_be_whole(objective, is_told, begin, few_digits, tmp_path, capsys):
  """Three epochs of two steps."""
  begin(tmp_path / "run", few_digits, objective={**PLAIN, **objective}, epochs=3, batch_size=32, evaluate_every=0)
  told = "objective.ramp_steps = 12, and the training has 6 steps: the weights beyond the paper will reach 50% of"
  out = capsys.readouterr().out
  assert (told in out) == is_told and ("or set it to 2" in out) == is_told


def test_a_validation_split_of_one_image_is_refused(few_digits, tmp_path):
  parts = {split: few_digits[split] for split in ("train", "probe", "test")}
  one = {name: column[:1] for name, column in few_digits.validation.items()}
  with pytest.raises(DataError, match="validation split has 1 image,"):
    train_tiny(tmp_path / "run", Dataset(**parts, validation=one, name="one"))
  assert not (tmp_path / "run").exists()


def test_a_folder_that_cannot_be_made_is_named(few_digits, tmp_path):
  (tmp_path / "file").touch()
  with pytest.raises(RunError, match="file/run cannot be written"):
    train_tiny(tmp_path / "file" / "run", few_digits, objective=PLAIN)


# --- Losses that are not finite ---------------------------------------------------------------------------------------


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoints(no_graphs, few_digits, tmp_path):
  class Poisoned(DisentangledVAE):
    """L_f, and so L, is NaN from the fourth step on."""

    def terms(self, batch, step):
      poison = tf.where(step >= 3, math.nan, 0.0)
      terms = super().terms(batch, step)
      return {name: value + poison if name in ("L", "L_f") else value for name, value in terms.items()}

  def make_model(image_shape, feature, seed):
    return Poisoned(image_shape, feature, Objective(lambda4=0.0), seed=seed, **TINY)

  folder = tmp_path / "run"
  with pytest.raises(NonFiniteLossError, match=r"^L_f became NaN or infinite in epoch 2, step 2") as error:
    train_model(folder, few_digits, DigitLabel(), make_model, epochs=3, batch_size=32)
  assert str(folder) in str(error.value)
  assert [path.name for path in folder.glob("checkpoints/last/*.index")] == ["epoch-1.index"]
  assert np.isfinite(loading.load(folder, "last").encode(few_digits.test["image"]).z1_mean).all()


def test_weights_that_break_in_the_last_step_of_an_epoch_do_not_reach_a_checkpoint(no_graphs, few_digits, tmp_path):
  class Broken(DisentangledVAE):
    """The loss is finite, and the step that follows from it is not."""

    def update(self, batch):
      terms = super().update(batch)
      if_last = tf.where(self.optimizer.iterations >= 2, math.nan, 0.0)
      weight = self.E1.weights[-1]
      weight.assign(weight + if_last)
      return terms

  def make_model(image_shape, feature, seed):
    return Broken(image_shape, feature, Objective(**PLAIN), seed=seed, **TINY)

  with pytest.raises(NonFiniteLossError, match=r"val_.* became NaN or infinite at the end of epoch 1"):
    train_model(tmp_path / "run", few_digits, DigitLabel(), make_model, epochs=1, batch_size=32)
  assert not list(tmp_path.glob("run/checkpoints/*/*"))


def test_every_bad_term_is_named_and_what_is_no_loss_does_not_stop():
  stop = callbacks.StopOnNonFinite(pathlib.Path("runs/a"))
  stop.on_epoch_begin(6)
  stop.on_train_batch_end(0, {"L": 1.0, "psnr": math.inf, "gradient_norm/G": math.nan})  # x' = x; one step to go
  stop.on_epoch_end(6, {"L": 1.0, "val_L": 2.0, "val_psnr": math.inf})
  stop.on_train_batch_end(4, {"L": math.inf, "KL_z1": math.inf, "L_f": 1.0, "L_D": -math.inf})
  stop.on_train_batch_end(5, {"L": math.inf, "KL_z1": math.inf, "L_f": math.nan, "L_D": -math.inf})
  with pytest.raises(NonFiniteLossError, match=r"^KL_z1, L_D became .* epoch 7, step 5 .*runs/a"):
    stop.check()
  stop.on_train_batch_end(4, {"L": math.nan, "KL_z1": 1.0})
  with pytest.raises(NonFiniteLossError, match=r"^L became"):
    stop.on_epoch_end(6, {"L": 1.0})


class _Figure:
  """A term of a step that counts how often one is read: each time the training waits for the step."""

  count = 0

  def __array__(self, *_, **__):
    _Figure.count += 1
    return np.array(1.0)


def test_the_figures_of_a_step_are_read_once_in_many_steps():
  stop = callbacks.StopOnNonFinite(pathlib.Path("runs/a"))
  stop.on_epoch_begin(0)
  for step in range(stop.EVERY - 1):
    stop.on_train_batch_end(step, {"L": _Figure()})
  assert not _Figure.count
  stop.on_train_batch_end(stop.EVERY - 1, {"L": _Figure()})
  assert _Figure.count == 1


# --- Optimizers -------------------------------------------------------------------------------------------------------


def test_an_optimizer_by_name_with_its_schedule_and_arguments():
  optimizer = make_optimizer(100, "adamw", 0.5, arguments={"beta_1": 0.25, "weight_decay": 0.125})
  assert isinstance(optimizer, keras.optimizers.AdamW)
  assert (optimizer.beta_1, optimizer.weight_decay) == (0.25, 0.125)
  optimizer.build([])
  rates = []
  for step in (0, 50, 100):
    optimizer.iterations.assign(step)
    rates.append(float(optimizer.learning_rate))
  np.testing.assert_allclose(rates, [0.5, 0.5 * 0.51, 0.01], rtol=1e-5)  # half way between 1 and 0.02 at half time


def rates_at(optimizer, steps):
  optimizer.build([])
  rates = []
  for step in steps:
    optimizer.iterations.assign(step)
    rates.append(float(optimizer.learning_rate))
  return rates


def test_the_learning_rate_rises_in_proportion_and_falls_along_a_cosine_over_the_rest():
  warm = make_optimizer(110, learning_rate=0.5, warmup_steps=10)
  third = 0.5 * (0.02 + 0.98 * 0.75)  # cos 60° = 1/2
  expected = {0: 0.0, 1: 0.05, 5: 0.25, 9: 0.45, 10: 0.5, 60: 0.5 * 0.51, 110: 0.01, 200: 0.01}
  np.testing.assert_allclose(rates_at(warm, expected), list(expected.values()), rtol=1e-5)
  np.testing.assert_allclose(rates_at(make_optimizer(130, "sgd", 0.5, warmup_steps=100), [110]), [third], rtol=1e-5)
  np.testing.assert_allclose(rates_at(make_optimizer(90, learning_rate=0.5), [30]), [third], rtol=1e-5)


def test_without_decay_the_learning_rate_is_constant():
  assert float(make_optimizer(100, learning_rate=0.25, decay=None).learning_rate) == 0.25
  warm = make_optimizer(20, learning_rate=0.5, decay=None, warmup_steps=4)
  np.testing.assert_allclose(rates_at(warm, [0, 2, 4, 12, 20]), [0, 0.25, 0.5, 0.5, 0.5], rtol=1e-5)
  only_warm = make_optimizer(4, learning_rate=0.5, warmup_steps=8)  # longer than the training
  np.testing.assert_allclose(rates_at(only_warm, [2, 4, 9]), [0.125, 0.25, 0.01], rtol=1e-5)


def test_adam_is_the_default_and_its_rate_one_in_a_thousand():
  optimizer = make_optimizer(10)
  assert isinstance(optimizer, keras.optimizers.Adam)
  np.testing.assert_allclose(rates_at(optimizer, [0, 10]), [1e-3, 2e-5], rtol=1e-5)


@pytest.mark.parametrize("algorithm", ["adam", "adamw", "sgd", "rmsprop", "nadam", "adafactor", "lion", "muon"])
def test_all_that_an_optimizer_knows_is_in_its_variables(algorithm):
  """They are what a checkpoint holds: half of the steps, and the other half with another one, are all of them."""
  try:
    keras.optimizers.get(algorithm)
  except ValueError:
    pytest.skip(f"this version of Keras knows no optimizer by the name {algorithm!r}")
  gradients = np.random.default_rng(0).normal(size=(4, 4, 3)).astype(np.float32)
  arguments = {"momentum": 0.5} if algorithm in ("sgd", "rmsprop") else {}

  def fresh():
    optimizer, weight = (
      make_optimizer(4, algorithm, 0.125, arguments=arguments),
      keras.Variable(np.ones([4, 3], np.float32)),
    )
    optimizer.build([weight])
    return optimizer, weight

  (whole, expected), (half, weight), (other, weight_of_other) = fresh(), fresh(), fresh()
  for gradient in gradients:
    whole.apply([tf.constant(gradient)], [expected])
  for gradient in gradients[:2]:
    half.apply([tf.constant(gradient)], [weight])
  for variable, value in zip([*other.variables, weight_of_other], [*half.variables, weight], strict=True):
    variable.assign(value)
  for gradient in gradients[2:]:
    other.apply([tf.constant(gradient)], [weight_of_other])
  np.testing.assert_array_equal(weight_of_other, expected)


@pytest.mark.parametrize(
  ("arguments", "words"),
  [
    ({"algorithm": "adamm"}, "adamm"),
    ({"algorithm": None}, "None"),
    ({"arguments": {"beta_9": 1}}, "adam.*beta_9"),
    ({"decay": "linear"}, "decay 'linear'"),
    ({"learning_rate": 0.0}, "learning_rate = 0.0"),
    ({"learning_rate": math.nan}, "learning_rate = nan"),
    ({"learning_rate": "1e-3"}, "learning_rate = '1e-3'"),
    ({"learning_rate": math.inf}, "learning_rate = inf of the optimizer 'adam' must be a positive number"),
    ({"warmup_steps": -1}, "warmup_steps = -1 of the optimizer 'adam' must be a whole number, 0 or more"),
    ({"warmup_steps": 1.5}, "warmup_steps = 1.5"),
    ({"algorithm": "LossScaleOptimizer"}, "LossScaleOptimizer.*inner_optimizer"),
  ],
)
def test_an_optimizer_that_cannot_work_is_refused(arguments, words):
  with pytest.raises(ConfigError, match=words):
    make_optimizer(10, **arguments)


def test_a_second_training_in_one_run_folder_is_refused(begin, plain_run, few_digits, tmp_path):
  folder, arguments = shutil.copytree(plain_run, tmp_path / "run"), {"describe": lambda: longer(2), "epochs": 2}
  with (folder / "lock").open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)  # as another process would
    with pytest.raises(RunError, match="another process is training in"):
      train_tiny(folder, few_digits, **arguments, **QUICK)
  assert begin(folder, few_digits, **arguments, **QUICK).initial_epoch == 1  # it has ended


def resident_and_open() -> tuple[int, int]:
  """Pages of memory that are resident, and files that are open."""
  return int(pathlib.Path("/proc/self/statm").read_text().split()[1]), len(
    list(pathlib.Path("/proc/self/fd").iterdir())
  )


@pytest.mark.long
def test_memory_and_open_files_stay_as_they_are_over_5000_steps(digits, tmp_path, monkeypatch):
  seen = {}

  def look(self, batch, logs=None):
    seen[len(seen)] = resident_and_open()

  monkeypatch.setattr(callbacks.StopOnNonFinite, "on_train_batch_end", look)
  steps = len(digits.train["image"]) // 32
  train_tiny(tmp_path / "run", digits, epochs=-(-5000 // steps), evaluate_every=0)
  memory, files = zip(*(seen[step] for step in range(500, 5000)))
  print(f"memory {memory[0]} to {max(memory)} pages, files {min(files)} to {max(files)}")
  assert max(memory) < 1.05 * memory[0] and max(files) - min(files) <= 2  # a checkpoint under way


@pytest.mark.long
def test_memory_and_open_files_stay_as_they_are_over_ten_evaluations(digits, digit_run):
  seen = []
  for _ in range(10):
    evaluate(loading.load(digit_run.folder), digits, "validation", quick=True, progress=None)
    seen.append(resident_and_open())
  memory, files = zip(*seen)
  print(f"memory {memory}, files {files}")
  assert max(memory[2:]) < 1.05 * memory[1] and len(set(files[1:])) == 1
