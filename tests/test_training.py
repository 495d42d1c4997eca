"""Training a run: what it leaves, that it goes on exactly, and what it refuses."""

import dataclasses
import fcntl
import math
import os
import pathlib
import shutil
import signal
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from features.color import Color
from features.digit_label import DigitLabel
from features.pose import Pose
from tfdisent import inference, training
from tfdisent.dataset import Dataset
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
from tfdisent.feature import Feature
from tfdisent.model import DisentangledVAE, Objective
from tfdisent.training import make_optimizer, train

from .conftest import CONFIG, TINY, in_new_process, train_tiny

PLAIN = {"lambda3": 0.0, "lambda4": 0.0}  # a VAE with nothing but E1 and G: quick to build
VAE_TERMS = {"L", "reconstruction", "KL_z1", "psnr"}


def events(folder: pathlib.Path) -> dict[str, dict[int, np.ndarray]]:
  """What a run wrote for TensorBoard: tag → epoch → value."""
  accumulator = EventAccumulator(str(folder / "tensorboard"), size_guidance={"tensors": 0})
  accumulator.Reload()
  return {
    tag: {event.step: tf.make_ndarray(event.tensor_proto) for event in accumulator.Tensors(tag)}
    for tag in accumulator.Tags()["tensors"]
  }


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

  monkeypatch.setattr(training.SaveCheckpoints, "on_train_batch_begin", on_train_batch_begin)


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
  metrics = evaluate(inference.load(digit_run.folder, "last"), few_digits, "validation", quick=True, progress=None)
  assert set(curves) == {f"evaluation/{name}" for name in metrics}
  for name, figure in metrics.items():
    assert curves[f"evaluation/{name}"] == {3: pytest.approx(figure["value"], rel=1e-5)}


def test_it_is_done_as_often_as_asked_for(few_digits, tmp_path):
  for every, steps in ((0, set()), (2, {2, 3})):
    train_tiny(tmp_path / str(every), few_digits, objective=PLAIN, evaluate_every=every)
    curves = events(tmp_path / str(every))
    assert set(curves.get("evaluation/quality/psnr", {})) == steps


def test_the_curves_have_a_fusion_grid_of_validation_images(digit_run, few_digits):
  width, height, png = events(digit_run.folder)["fusion"][3]
  picture = tf.io.decode_png(png).numpy()
  classes = len(np.unique(few_digits.validation["label"]))
  assert picture.shape == (int(height), int(width), 3) == (9 * 30 + 2, (classes + 1) * 30 + 2, 3)
  np.testing.assert_array_equal(picture[32:60, 2:30], few_digits.validation["image"][0])  # below the empty corner


def test_the_learning_rate_falls_to_two_percent_over_the_whole_training(digit_run):
  rates = events(digit_run.folder)["learning_rate"]
  np.testing.assert_allclose(rates[3], 0.02 * 1e-3, rtol=1e-5)
  assert 1e-3 > rates[1] > rates[2] > rates[3]


def test_the_model_returned_is_the_best_one_on_validation(few_digits, tmp_path):
  """The second epoch goes uphill."""

  def make_optimizer_eg(steps):
    return keras.optimizers.Adam(keras.optimizers.schedules.PiecewiseConstantDecay([2], [1e-3, -1e-3]))

  folder = tmp_path / "run"
  trained = train_tiny(folder, few_digits, objective=PLAIN, epochs=2, make_optimizer_eg=make_optimizer_eg)
  x, label = few_digits.test["image"] / np.float32(255), few_digits.test["label"]
  np.testing.assert_array_equal(trained.control(x, label), inference.load(folder).control(x, label))
  assert (trained.control(x, label) != inference.load(folder, "last").control(x, label)).any()
  assert [path.name for path in folder.glob("checkpoints/best/*.index")] == ["epoch-1.index"]


def test_the_best_loss_leaves_the_gan_out():
  """Since L_GAN tells of D as much as of the images."""
  saved = []
  callback = training.SaveCheckpoints(types.SimpleNamespace(save=lambda epoch, loss: saved.append((epoch, loss))))
  callback.set_model(types.SimpleNamespace(objective=Objective(lambda4=2.0)))
  callback.on_epoch_end(0, {"val_L": 10.0, "val_L_GAN": 3.0, "L": 1.0})
  callback.on_epoch_end(1, {"val_L": 10.0})
  assert saved == [(1, 4.0), (2, 10.0)]


def test_a_disk_that_is_full_is_named():
  def save(epoch, loss):
    raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")

  callback = training.SaveCheckpoints(types.SimpleNamespace(save=save))
  callback.set_model(types.SimpleNamespace(objective=Objective()))
  with pytest.raises(RunError, match="checkpoint of epoch 5 cannot be written: No space left"):
    callback.on_epoch_end(4, {"val_L": 1.0})


def test_a_run_folder_that_vanishes_is_named(few_digits, tmp_path, monkeypatch):
  def vanish(self, batch, logs=None):
    shutil.rmtree(tmp_path / "run")
    (tmp_path / "run").write_text("something else")

  monkeypatch.setattr(training.StopOnNonFinite, "on_train_batch_end", vanish)
  with pytest.raises(RunError, match=r"cannot be written.*The checkpoints before are kept"):
    train_tiny(tmp_path / "run", few_digits, epochs=1, evaluate_every=0, checkpoint_every=1)


def test_a_full_disk_keeps_the_checkpoint_before_and_the_training_goes_on_when_there_is_room(few_digits, tmp_path):
  """The size of files is limited, as a quota does it, to more than a checkpoint within the first epoch needs."""
  train_tiny(tmp_path / "run", few_digits, epochs=1, evaluate_every=0)
  size = max(path.stat().st_size for path in tmp_path.glob("run/checkpoints/*/*"))
  in_new_process(f"""
import resource, signal
from tests.conftest import color_mnist, small, train_tiny
from tfdisent.errors import RunError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({size} // 2, {size} * 9))
try:
  train_tiny({str(tmp_path / "run")!r}, small(color_mnist()), epochs=2, evaluate_every=0)
except RunError as error:
  assert "cannot be written" in str(error), error
else:
  raise AssertionError("it was written")
""")
  assert {path.name for path in tmp_path.glob("run/checkpoints/last/*.index")} >= {"epoch-1.index"}
  train_tiny(tmp_path / "run", few_digits, epochs=2, evaluate_every=0)
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
  assert inference.load(tmp_path / "run").feature == trained.feature == feature


# --- The same again ---------------------------------------------------------------------------------------------------


def test_an_interrupted_run_goes_on_to_the_same_weights_to_the_bit(digit_run, few_digits, tmp_path, monkeypatch):
  folder = tmp_path / "run"
  with monkeypatch.context() as context:
    interrupt_at_step(context, 3)  # within the second epoch
    with pytest.raises(KeyboardInterrupt):
      train_tiny(folder, few_digits, describe=lambda: CONFIG)
  assert [path.name for path in folder.glob("checkpoints/last/*.index")] == ["epoch-1.index"]
  trained = train_tiny(folder, few_digits, describe=lambda: CONFIG)

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


@pytest.mark.parametrize("step", [1, 2, 3])
def test_it_goes_on_from_within_an_epoch_as_well(step, digit_run, few_digits, tmp_path, monkeypatch):
  folder = tmp_path / "run"
  with monkeypatch.context() as context:
    interrupt_at_step(context, step)
    with pytest.raises(KeyboardInterrupt):
      train_tiny(folder, few_digits, describe=lambda: CONFIG, checkpoint_every=1)
  newest = {1: "epoch-0-step-1", 2: "epoch-1", 3: "epoch-1-step-1"}[step]
  assert newest in {path.stem for path in folder.glob("checkpoints/last/*.index")}
  train_tiny(folder, few_digits, describe=lambda: CONFIG, checkpoint_every=1)
  assert_equal_to_the_bit(checkpoint(folder, 3), checkpoint(digit_run.folder, 3))
  curves, expected = events(folder), events(digit_run.folder)
  for name in (name for name in expected if name.startswith("train/")):
    assert {epoch: value.item() for epoch, value in curves[name].items()} == pytest.approx(
      {epoch: value.item() for epoch, value in expected[name].items()}, rel=1e-6
    ), name


def test_on_sigterm_the_step_is_finished_and_a_checkpoint_written(digit_run, few_digits, tmp_path, monkeypatch):
  folder = tmp_path / "run"
  before = signal.getsignal(signal.SIGTERM)
  with monkeypatch.context() as context:
    steps = iter([0, 0, signal.SIGTERM])
    context.setattr(
      training.StopOnNonFinite,
      "on_train_batch_begin",
      lambda self, batch, logs=None: os.kill(os.getpid(), next(steps, 0)),
    )
    with pytest.raises(Interrupted, match=r"SIGTERM\), 1 steps after epoch 1\. The same command goes on"):
      train_tiny(folder, few_digits, describe=lambda: CONFIG)
  assert signal.getsignal(signal.SIGTERM) is before
  assert (folder / "checkpoints/last/epoch-1-step-1.index").is_file()
  train_tiny(folder, few_digits, describe=lambda: CONFIG)
  assert_equal_to_the_bit(checkpoint(folder, 3), checkpoint(digit_run.folder, 3))


def test_the_seed_alone_decides_the_weights(few_digits, tmp_path):
  for name, seed in (("a", 3), ("b", 3), ("c", 4)):
    train_tiny(tmp_path / name, few_digits, objective=PLAIN, epochs=1, seed=seed)
  a, b, c = (checkpoint(tmp_path / name, 1) for name in "abc")
  assert_equal_to_the_bit(a, b)
  kernels = [name for name in a if "kernel" in name]
  assert kernels and all((a[name] != c[name]).any() for name in kernels)


def test_a_finished_run_is_not_trained_again(digit_run, few_digits, tmp_path, monkeypatch):
  folder = shutil.copytree(digit_run.folder, tmp_path / "run")
  monkeypatch.setattr(DisentangledVAE, "fit", None)
  trained = train_tiny(folder, few_digits, describe=lambda: CONFIG)
  x = few_digits.test["image"]
  np.testing.assert_array_equal(trained.reconstruct(x), digit_run.trained.reconstruct(x))


def losses_of(folder):
  curves = events(folder)
  return {
    (tag, epoch): float(value)
    for tag in curves
    if tag.startswith(("train/", "validation/"))
    for epoch, value in curves[tag].items()
  }


def test_a_strategy_of_one_device_gives_the_same_losses(digit_run, few_digits, tmp_path):
  train_tiny(tmp_path / "run", few_digits, strategy=tf.distribute.OneDeviceStrategy("CPU:0"))
  assert losses_of(tmp_path / "run") == pytest.approx(losses_of(digit_run.folder), rel=1e-4)


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
  np.testing.assert_array_equal(inference.load(folder).reconstruct(x), digit_run.trained.reconstruct(x))


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
  ],
)
def test_what_cannot_work_is_refused_before_a_folder_is_made(arguments, error, words, few_digits, tmp_path):
  with pytest.raises(error, match=words):
    train_tiny(tmp_path / "run", few_digits, **arguments)
  assert not (tmp_path / "run").exists()


def test_every_validation_image_counts_once_whatever_the_batch(few_digits, tmp_path):
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


def test_a_loss_that_is_not_finite_stops_and_keeps_the_checkpoints(few_digits, tmp_path):
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
    train(folder, few_digits, DigitLabel(), make_model, epochs=3, batch_size=32)
  assert str(folder) in str(error.value)
  assert [path.name for path in folder.glob("checkpoints/last/*.index")] == ["epoch-1.index"]
  assert np.isfinite(inference.load(folder, "last").encode(few_digits.test["image"]).z1_mean).all()


def test_weights_that_break_in_the_last_step_of_an_epoch_do_not_reach_a_checkpoint(few_digits, tmp_path):
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
    train(tmp_path / "run", few_digits, DigitLabel(), make_model, epochs=1, batch_size=32)
  assert not list(tmp_path.glob("run/checkpoints/*/*"))


def test_every_bad_term_is_named_and_what_is_no_loss_does_not_stop():
  stop = training.StopOnNonFinite(pathlib.Path("runs/a"))
  stop.on_epoch_begin(6)
  stop.on_train_batch_end(0, {"L": 1.0, "psnr": math.inf, "gradient_norm/G": math.nan})  # x' = x; one step to go
  stop.on_epoch_end(6, {"L": 1.0, "val_L": 2.0, "val_psnr": math.inf})
  with pytest.raises(NonFiniteLossError, match=r"^KL_z1, L_D became .* epoch 7, step 5 .*runs/a"):
    stop.on_train_batch_end(4, {"L": math.inf, "KL_z1": math.inf, "L_f": 1.0, "L_D": -math.inf})
  with pytest.raises(NonFiniteLossError, match=r"^L became"):
    stop.on_train_batch_end(4, {"L": math.nan, "KL_z1": 1.0})


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


def test_without_decay_the_learning_rate_is_constant():
  assert float(make_optimizer(100, learning_rate=0.25, decay=None).learning_rate) == 0.25


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
  ],
)
def test_an_optimizer_that_cannot_work_is_refused(arguments, words):
  with pytest.raises(ConfigError, match=words):
    make_optimizer(10, **arguments)


def test_a_second_training_in_one_run_folder_is_refused(few_digits, tmp_path):
  train_tiny(tmp_path / "run", few_digits, epochs=1)
  with (tmp_path / "run" / "lock").open("w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)  # as another process would
    with pytest.raises(RunError, match="another process is training in"):
      train_tiny(tmp_path / "run", few_digits, epochs=2)
  train_tiny(tmp_path / "run", few_digits, epochs=2)  # it has ended
  assert list((tmp_path / "run").glob("checkpoints/last/epoch-2.index"))


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

  monkeypatch.setattr(training.StopOnNonFinite, "on_train_batch_end", look)
  steps = len(digits.train["image"]) // 32
  train_tiny(tmp_path / "run", digits, epochs=-(-5000 // steps), evaluate_every=0)
  memory, files = zip(*(seen[step] for step in range(500, 5000)))
  print(f"memory {memory[0]} to {max(memory)} pages, files {min(files)} to {max(files)}")
  assert max(memory) < 1.05 * memory[0] and max(files) - min(files) <= 2  # a checkpoint under way


@pytest.mark.long
def test_memory_and_open_files_stay_as_they_are_over_ten_evaluations(digits, digit_run):
  seen = []
  for _ in range(10):
    evaluate(inference.load(digit_run.folder), digits, "validation", quick=True, progress=None)
    seen.append(resident_and_open())
  memory, files = zip(*seen)
  print(f"memory {memory}, files {files}")
  assert max(memory[2:]) < 1.05 * memory[1] and len(set(files[1:])) == 1
