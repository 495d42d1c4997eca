"""A training that is killed, at a step or in the middle of a checkpoint, goes on as if nothing had happened.

  pytest -m long tests/test_interruptions.py

kills a training twenty times at random moments.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import train_tiny
from tests.processes import ROOT, Fork

TRAINING = """
import os, pathlib, signal, sys
import tensorflow as tf
from tests.conftest import small, train_tiny
from tfdisent.training import callbacks
from tfdisent.data.color_mnist import color_mnist

what, _, number = sys.argv[2].partition(":")
count = [int(number) if what in ("step", "checkpoint") else 0]

def kill_in_time():
  count[0] -= 1
  if count[0] == 0:
    os.kill(os.getpid(), signal.SIGKILL)

if what == "step":
  callbacks.StopOnNonFinite.on_train_batch_begin = lambda self, batch, logs=None: kill_in_time()
if what == "checkpoint":  # half of it lies there
  write = tf.train.Checkpoint.write
  def half(self, path):
    write(self, path)
    data = pathlib.Path(path + ".data-00000-of-00001")
    os.truncate(data, data.stat().st_size // 2)
    kill_in_time()
    return write(self, path)
  tf.train.Checkpoint.write = half
if what == "moment":
  import threading
  threading.Timer(float(number), lambda: os.kill(os.getpid(), signal.SIGKILL)).start()

train_tiny(sys.argv[1], small(color_mnist()), checkpoint_every=1, evaluate_every=0, epochs=int(sys.argv[3]))
"""


def train(folder, kill="", epochs=3) -> int:
  return Fork(TRAINING, str(folder), kill, str(epochs)).end(3600)[0]


def numbers(folder, epoch) -> dict[str, np.ndarray]:
  """Everything in the last checkpoint."""
  reader = tf.train.load_checkpoint(str(folder / f"checkpoints/last/epoch-{epoch}"))
  names = set(reader.get_variable_to_shape_map()) - {"_CHECKPOINTABLE_OBJECT_GRAPH"}
  return {name: reader.get_tensor(name) for name in names}


def assert_same(a, b):
  assert a.keys() == b.keys()
  for name, value in a.items():
    np.testing.assert_array_equal(value, b[name], err_msg=name)


def test_kills_at_a_step_and_in_a_checkpoint_leave_no_trace(digit_run, few_digits, tmp_path):
  for kill in ("checkpoint:2", "step:3"):
    assert train(tmp_path / "killed", kill) == -signal.SIGKILL, kill
  train_tiny(tmp_path / "killed", few_digits, checkpoint_every=1, evaluate_every=0)
  assert_same(numbers(tmp_path / "killed", 3), numbers(digit_run.folder, 3))


COMMAND = """
import os, signal, time
from tfdisent import main
from tfdisent.training import callbacks

def interrupt(self, batch, logs=None):
  if batch == 1:
    print("Ctrl-C at", time.time(), flush=True)
    os.kill(os.getpid(), signal.SIGINT)

callbacks.StopOnNonFinite.on_train_batch_begin = interrupt
signal.signal(signal.SIGINT, signal.default_int_handler)  # the tests may run where it is ignored
main.run()
"""


def test_ctrl_c_ends_the_command_soon_and_with_a_line(tmp_path):
  settings = (
    "train.epochs = 1",
    "train.batch_size = 512",
    "train.evaluate_every = 0",
    "objective.lambda3 = 0.0",
    "objective.lambda4 = 0.0",
    "model.E1 = {'conv': (4, 8), 'dense': (16,)}",
    "model.G = {'conv': (8, 4), 'dense': (16,)}",
  )
  flags = ["--gin_file=gin_configs/quickstart.gin", f"--run_dir={tmp_path}", *(f"--gin_param={s}" for s in settings)]
  command = [sys.executable, "-c", COMMAND, *flags]
  done = subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True)
  assert time.time() - float(re.search(r"Ctrl-C at (.*)", done.stdout)[1]) < 20  # it is 3, and 60 with what waits
  assert done.returncode == 0 and "Traceback" not in done.stderr
  assert [line for line in done.stderr.splitlines() if "stop" in line.lower()] == [
    "Stopping after this step; Ctrl-C once more stops at once."
  ]
  assert done.stdout.splitlines()[-1] == (
    "tfdisent: stopped as asked, 2 steps after epoch 0. The same command or call goes on from there."
  )
  assert (tmp_path / "checkpoints/last/epoch-0-step-2.index").is_file()


@pytest.mark.long
def test_twenty_kills_at_random_moments_leave_no_trace(tmp_path):
  epochs, random_state, kills = 300, random.Random(os.urandom(8)), 0
  start = time.monotonic()
  assert train(tmp_path / "whole", epochs=epochs) == 0
  duration = time.monotonic() - start
  while kills < 20:
    kill = random_state.choice(
      [
        f"moment:{random_state.uniform(0, duration / 10)}",
        f"step:{random_state.randint(1, 40)}",
        f"checkpoint:{random_state.randint(1, 20)}",
      ]
    )
    code = train(tmp_path / "killed", kill, epochs)
    print(kill, code)
    if code == 0:
      break
    assert code == -signal.SIGKILL
    kills += 1
  assert kills == 20, f"it was finished after {kills} kills: more epochs are needed"
  assert train(tmp_path / "killed", epochs=epochs) == 0
  assert_same(numbers(tmp_path / "killed", epochs), numbers(tmp_path / "whole", epochs))
