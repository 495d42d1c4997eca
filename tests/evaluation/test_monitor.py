"""What TensorBoard gets of a training, and when. tests/training/test_loop.py has its curves of whole trainings."""

import types

import numpy as np
import pytest
import tensorflow as tf

from features.digit_label import DigitLabel
from tests.conftest import events
from tfdisent import pictures
from tfdisent.evaluation import monitor, report
from tfdisent.evaluation.leaks import LinearLeakage

SHEET = pictures.Sheet((pictures.Block([[np.zeros([4, 4, 3], np.uint8)]]),))


def model_of():
  """As much of a model as the callback needs."""
  return types.SimpleNamespace(
    feature=DigitLabel(),
    optimizer=types.SimpleNamespace(learning_rate=0.125),
    distribute_strategy=tf.distribute.get_strategy(),
  )


@pytest.mark.parametrize(("every", "evaluated"), [(0, []), (1, [1, 2, 3, 4, 5]), (2, [2, 4, 5]), (3, [3, 5]), (9, [5])])
def test_the_quick_evaluation_is_of_the_validation_split_after_so_many_epochs_and_the_last(
  every, evaluated, few_digits, tmp_path, monkeypatch, capsys
):
  asked, figures = [], {"control/accuracy_mean": 0.5, "complement/color_mae": 0.25, "quality/psnr": 9.0, "control/x": 1}

  def evaluate(*arguments, **keywords):
    asked.append((arguments, keywords))
    return {name: {"value": value} for name, value in figures.items()}

  monkeypatch.setattr(monitor, "evaluate", evaluate)
  monkeypatch.setattr(monitor, "TrainedModel", lambda model, class_names: ("trained", model))
  monkeypatch.setattr(monitor.pictures, "fusion_grid", lambda *_: SHEET)
  callback = monitor.TensorBoard(tmp_path / "tensorboard", few_digits, 5, every)
  callback.set_model(model_of())
  callback.on_train_begin()
  for epoch in range(5):
    callback.on_epoch_end(epoch, {"L": epoch + 1.0, "val_L": epoch + 2.0, "gradient_norm/G": epoch + 3.0})
  callback.on_train_end()
  title = f"{tmp_path.name} · after epoch 5 of 5"
  assert (tmp_path / "fusion.png").read_bytes() == SHEET.titled(title).png()
  assert asked == [
    (
      (callback._trained, few_digits, "validation"),
      {"quick": True, "limit": 2000, "progress": None, "measurements": ()},
    )
    for _ in evaluated
  ]
  line = "validation images: control/accuracy_mean 0.500, complement/color_mae 0.250\n"
  assert capsys.readouterr().out == line * len(evaluated)
  curves = {
    name: {step: value.tolist() for step, value in curve.items()}
    for name, curve in events(tmp_path).items()
    if name != "fusion"
  }
  epochs = range(1, 6)
  assert curves == {
    "train/L": {epoch: epoch for epoch in epochs},
    "validation/L": {epoch: epoch + 1 for epoch in epochs},
    "gradient_norm/G": {epoch: epoch + 2 for epoch in epochs},
    "learning_rate": dict.fromkeys(epochs, 0.125),
    **({f"evaluation/{name}": dict.fromkeys(evaluated, value) for name, value in figures.items()} if every else {}),
  }


class OneOf:
  """A worker of two; what the chief says is heard by both."""

  def __init__(self, is_chief, said):
    self.is_chief, self._said = is_chief, said

  def of_chief(self, value):
    self._said.append((self.is_chief, value))
    return 0.75


@pytest.mark.parametrize("is_chief", [True, False])
def test_the_score_is_in_the_logs_of_every_worker_after_each_evaluation(
  is_chief, few_digits, tmp_path, monkeypatch, capsys
):
  said, asked = [], []

  def evaluate(*_, measurements, **keywords):
    asked.append([type(measurement).__name__ for measurement in measurements])
    figures = {"control/accuracy_mean": 0.9, "control_chance/accuracy_mean": 0.0, "quality/psnr": 30.0}
    figures |= {"quality_chance/psnr": 20.0, "leakage/linear_mean": 0.1, "leakage/chance": 0.0}
    return {name: {"value": value} for name, value in figures.items()}

  monkeypatch.setattr(monitor, "Worker", lambda strategy: OneOf(is_chief, said))
  monkeypatch.setattr(monitor, "evaluate", evaluate)
  monkeypatch.setattr(monitor, "TrainedModel", lambda model, class_names: None)
  monkeypatch.setattr(monitor.pictures, "fusion_grid", lambda *_: SHEET)
  own = LinearLeakage()  # is not taken twice
  callback = monitor.TensorBoard(tmp_path / "tensorboard", few_digits, 3, 2, (own,), scores=True)
  callback.set_model(model_of())
  callback.on_train_begin()
  of_epochs = [{"L": 1.0}, {"L": 1.0}, {"L": 1.0}]
  for epoch, logs in enumerate(of_epochs):
    callback.on_epoch_end(epoch, logs)
  callback.on_train_end()
  assert of_epochs == [{"L": 1.0}, {"L": 1.0, "score": 0.75}, {"L": 1.0, "score": 0.75}]
  assert said == [(is_chief, pytest.approx(0.9) if is_chief else 0.0)] * 2
  assert asked == [["LinearLeakage", "Chance"]] * (2 if is_chief else 0)
  if is_chief:
    assert "control/accuracy_mean 0.900, score 0.900, score/control 0.900, score/forgetting" in capsys.readouterr().out
    assert events(tmp_path)["evaluation/score"] == {2: pytest.approx(0.9), 3: pytest.approx(0.9)}


def test_a_worker_that_is_not_the_chief_writes_and_evaluates_nothing(few_digits, tmp_path, monkeypatch):
  monkeypatch.setattr(monitor, "Worker", lambda strategy: types.SimpleNamespace(is_chief=False))
  monkeypatch.setattr(monitor, "evaluate", None)
  callback = monitor.TensorBoard(tmp_path / "tensorboard", few_digits, 1, 1)
  callback.set_model(model_of())
  callback.on_train_begin()
  callback.on_epoch_end(0, {"L": 1.0})
  callback.on_train_end()
  assert list(tmp_path.iterdir()) == []


def test_single_figures_replace_those_of_before(tmp_path):
  for value in (1.0, 2.0):
    monitor.write_scalars(tmp_path / "evaluation", {"quality/psnr": value})
  assert report.read_curves(tmp_path / "evaluation") == {"quality/psnr": {0: 2.0}}
