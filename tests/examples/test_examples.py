"""The examples as users run them: a notebook, the five lines, the Keras lines; and what a type checker says of them."""

import asyncio
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfdisent
from tests.conftest import in_new_process
from tests.model.test_keras_data import IMAGES, LABELS, LEAST, fitted, make
from tfdisent.evaluation.protocol import evaluate
from tfdisent.inference import TrainedModel

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent


def needs(module):
  """Skips a test where a package is not installed that a user need not have."""
  return pytest.mark.skipif(importlib.util.find_spec(module) is None, reason=f"{module} is not installed")


TRAINING = """
class Tell(keras.callbacks.Callback):
  steps = 0

  def on_train_batch_end(self, batch, logs=None):
    self.steps += 1
    if self.steps == 2:
      open(f"training-{self.name}", "w").close()

class Once(keras.callbacks.Callback):
  def on_train_batch_end(self, batch, logs=None):
    self.model.stop_training = True

least = {"E1": {"conv": (), "dense": ()}, "q": {"conv": (), "dense": ()}, "D": {"conv": (), "dense": ()}}
least |= {"G": {"conv": (1,), "dense": ()}, "z1_width": 2}
brief = dict(run_dir="run", model=least, batch_size=8, epochs=1000, evaluate_every=0, measure=False)
first, second = Tell(), Tell()
first.name, second.name = "first", "second"
tfdisent.train(data, "digit", callbacks=[first], **brief)
"""
GOING_ON = """
m = tfdisent.train(data, "digit", callbacks=[Once()], **brief)
steps = int(model.optimizer.iterations), second.steps
model.fit(images, digit, batch_size=90, steps_per_epoch=1, verbose=0)
print(steps[0] - before, steps[1], int(model.optimizer.iterations) - steps[0])
"""


def interrupt(client, folder, names=("first", "second")):
  """Interrupts the kernel of a notebook, as its button does, once each training of these names has begun."""
  for name in names:
    while not (folder / f"training-{name}").exists():
      time.sleep(0.05)
    asyncio.run(client.km.interrupt_kernel())


@needs("nbclient")
@needs("ipykernel")
def test_the_notebook_runs_shows_the_bar_draws_figures_and_can_be_interrupted(tmp_path, monkeypatch):
  """As it stands, but with few digits and epochs, no graphs, which take long to trace, and no figures of judges."""
  import nbclient
  import nbformat

  notebook = nbformat.read(HERE / "quickstart.ipynb", as_version=4)
  cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
  cells[0].source = cells[0].source.replace(
    "pixels, digit = mnist_data()",
    "import tensorflow as tf\ntf.config.run_functions_eagerly(True)\npixels, digit = (x[::50] for x in mnist_data())",
  )
  cells[1].source = cells[1].source.replace("epochs=20", "epochs=2, evaluate_every=0, measure=False")
  cells[3].source = cells[3].source.replace("batch_size=64, epochs=20", "batch_size=90, epochs=1")
  cells[4].source = cells[4].source.replace("[::700]", "[::25]").replace("[::500]", "[::20]")
  fit = "before = int(model.optimizer.iterations)\nmodel.fit(images, digit, batch_size=9, epochs=1000, verbose=0, "
  for source in (TRAINING, f"{fit}callbacks=[second])", GOING_ON):
    cells.append(nbformat.v4.new_code_cell(source, metadata={"tags": ["raises-exception"]}))
  notebook.cells += cells[5:]
  # The kernel of this environment, not one that is installed for the user.
  kernels = tmp_path / "kernels" / "python3"
  kernels.mkdir(parents=True)
  command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
  environment = {"PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])}
  (kernels / "kernel.json").write_text(
    json.dumps({"argv": command, "display_name": "Python 3", "language": "python", "env": environment})
  )
  monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
  client = nbclient.NotebookClient(
    notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": tmp_path}}
  )
  threading.Thread(target=interrupt, args=(client, tmp_path), daemon=True).start()
  client.execute()
  printed = ["".join(output.text for output in cell.outputs if output.output_type == "stream") for cell in cells]
  for text in (printed[1], printed[3]):
    assert "━" in text
  assert "Epoch 2/2" in printed[1] and "Recipe 'small'" in printed[1] and "val_loss" in printed[3]
  for cell in (cells[1], cells[4]):
    assert "image/png" in cell.outputs[-1].data
  assert cells[2].outputs[-1].data["text/plain"] == "(4, 28, 28, 1)"
  assert cells[5].outputs[-1].ename == "Interrupted" and len(cells[5].outputs[-1].traceback) == 1
  assert cells[6].outputs[-1].ename == "KeyboardInterrupt"
  assert "Going on with the run in run after epoch 0" in printed[7], cells[7].outputs
  trained, told, more = map(int, printed[7].split()[-3:])
  assert 2 <= told <= trained <= told + 1 and more == 1


@needs("pyright")
@pytest.mark.skipif(shutil.which("node") is None, reason="pyright would download Node.js")
def test_a_type_checker_accepts_what_a_user_writes_and_sees_mistakes(tmp_path):
  (tmp_path / "wrong.py").write_text(
    "import tfdisent\n"
    "m = tfdisent.load('runs/a')\n"
    "m.control(m.no_such, {'age': object()})\n"
    "tfdisent.train(m, features=3)\n"
    "tfdisent.DisentangledVAE((2, 2, 1))\n"
    "x: int = m.show_fusions()\n"
  )
  (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "basic"}')
  files = [tmp_path / "wrong.py", *(HERE / f"{name}.py" for name in ("public", "five_lines", "keras_lines"))]
  found = subprocess.run(
    [sys.executable, "-m", "pyright", "--pythonpath", sys.executable, "--outputjson", *map(str, files)],
    cwd=tmp_path,
    env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *filter(None, sys.path)])},
    check=False,
    stdout=subprocess.PIPE,
    text=True,
  )
  try:
    problems = json.loads(found.stdout)["generalDiagnostics"]
  except ValueError:
    pytest.skip(f"pyright does not run here: it needs Node.js ({found.stdout.strip()[:200]})")
  errors = [(pathlib.Path(problem["file"]).name, problem["range"]["start"]["line"]) for problem in problems]
  assert {name for name, _ in errors} == {"wrong.py"}, problems
  assert {line for _, line in errors} == {2, 3, 4, 5}


@needs("wandb")
def test_a_callback_of_weights_and_biases_logs_a_fit_and_a_training(tmp_path, monkeypatch):
  monkeypatch.setenv("WANDB_SILENT", "true")
  monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
  import wandb
  from wandb.integration.keras import WandbMetricsLogger

  data = tfdisent.data.from_arrays(
    np.random.default_rng(0).integers(256, size=(80, 4, 4), dtype=np.uint8), np.arange(80) % 3
  )
  run = wandb.init(mode="offline", dir=tmp_path, settings=wandb.Settings(x_disable_stats=True, console="off"))
  tf.config.run_functions_eagerly(True)
  try:
    history = fitted(make(), IMAGES, LABELS, callbacks=[WandbMetricsLogger()])
    assert run.summary["epoch/loss"] == pytest.approx(history["loss"][0])
    tfdisent.train(
      data,
      "label:category",
      tmp_path / "run",
      model=LEAST,
      epochs=2,
      evaluate_every=0,
      measure=False,
      callbacks=[WandbMetricsLogger()],
    )
    assert run.summary["epoch/epoch"] == 1 and run.summary["epoch/val_loss"] == run.summary["epoch/val_L"]
  finally:
    tf.config.run_functions_eagerly(False)
    run.finish()
  assert list(tmp_path.glob("wandb/offline-run-*/*.wandb"))


@pytest.mark.long
def test_the_five_lines_run_in_a_process_of_their_own(tmp_path):
  in_new_process(f"import os; os.chdir({str(tmp_path)!r})\n{(HERE / 'five_lines.py').read_text()}")
  assert (tmp_path / "runs/photos/fusion.png").is_file() and (tmp_path / "models/photos/1/saved_model.pb").is_file()


@pytest.mark.long
def test_twenty_epochs_of_the_keras_lines_control_as_the_quickstart_does(digits, tmp_path):
  """The quickstart's 99 % on validation images, within one point."""
  in_new_process(f"import os; os.chdir({str(tmp_path)!r})\n{(HERE / 'keras_lines.py').read_text()}")
  model = keras.models.load_model(tmp_path / "m.keras")
  figures = evaluate(TrainedModel(model), digits, "validation", quick=True)
  assert figures["control/accuracy_mean"]["value"] >= 0.98
