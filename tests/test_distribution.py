"""The same numbers on one device, on two, and on two hosts; and what happens when a host dies."""

import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf

from tests.conftest import in_new_process, train_tiny
from tests.test_training import losses_of
from tfdisent.checkpoints import restore
from tfdisent.dataset import training_batches
from tfdisent.distribution import Worker, make_strategy
from tfdisent.errors import ConfigError
from tfdisent.inference import load

ROOT = pathlib.Path(__file__).parent.parent

TRAINING = """
import sys
from tfdisent.distribution import make_strategy
name, (cpus, folder, epochs, every) = sys.argv[1], map(eval, sys.argv[2:6])
strategy = make_strategy(name, cpus)
from tests.conftest import color_mnist, small, train_tiny
from tests.test_distribution import ALL_TERMS
train_tiny(folder, small(color_mnist()), objective=ALL_TERMS, epochs=epochs, evaluate_every=every, strategy=strategy)
"""
# every network, and every term
ALL_TERMS = {"q_data": "both", "lambda5": 1.0, "lambda6": 5.0, "lambda7": 1.0, "prior_fusions": 0.5, "q_noise": 0.1}
EPOCHS = 25  # of two steps


def free_ports(count):
  sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
  ports = [of_one.getsockname()[1] for of_one in sockets]
  for of_one in sockets:
    of_one.close()
  return ports


def start_workers(folder, count=2, epochs=EPOCHS, program=TRAINING) -> list[subprocess.Popen]:
  hosts = [f"localhost:{port}" for port in free_ports(count)]
  processes = []
  for index in range(count):
    task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
    where = folder[index] if isinstance(folder, list) else folder
    processes.append(
      subprocess.Popen(
        [sys.executable, "-c", program, "auto", "1", repr(str(where)), str(epochs), "0"],
        cwd=ROOT,
        env={**os.environ, "TF_CONFIG": json.dumps(task), "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
      )
    )
  return processes


@pytest.fixture
def ended():
  """Keeps processes, and ends those that are left."""
  processes = []
  yield processes
  for process in processes:
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def one(few_digits, tmp_path_factory):
  folder = tmp_path_factory.mktemp("one") / "run"
  train_tiny(folder, few_digits, objective=ALL_TERMS, epochs=EPOCHS, evaluate_every=0)
  return folder


def weights_of(folder):
  model = load(folder).model
  restore(folder, "last", model)
  return {v.path: v.numpy() for network in model.networks.values() for v in network.weights}


def optimizers_of(folder):
  reader = tf.train.load_checkpoint(str(folder / f"checkpoints/last/epoch-{EPOCHS}"))
  return {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map() if name.startswith("optimizer")}


def assert_same_numbers(folder, one):
  losses = {key: value for key, value in losses_of(one).items() if "gradient_norm" not in key[0]}
  assert losses_of(folder) == pytest.approx(losses, rel=1e-4, abs=1e-5)
  weights, of_one = weights_of(folder), weights_of(one)
  assert weights.keys() == of_one.keys() and {path.split("/")[0] for path in weights} == {"E1", "G", "q", "D", "a"}
  for path, value in weights.items():
    np.testing.assert_allclose(value, of_one[path], rtol=1e-3, atol=1e-3, err_msg=path)
  slots, of_one = optimizers_of(folder), optimizers_of(one)
  assert slots.keys() == of_one.keys() and {name.split("/")[0] for name in slots} == {"optimizer", "optimizer_d"}
  for name, value in slots.items():
    np.testing.assert_allclose(value, of_one[name], rtol=1e-2, atol=1e-3 * np.abs(of_one[name]).max() + 1e-12)


def test_two_devices_give_the_numbers_of_one_and_go_on_with_its_checkpoint(one, tmp_path):
  begun = shutil.copytree(one, tmp_path / "begun")
  for file in begun.glob(f"checkpoints/*/epoch-{EPOCHS}.*"):
    file.unlink()
  arguments = ["mirrored", "2", repr(str(tmp_path / "run")), str(EPOCHS), "0"]
  output = in_new_process(f"""
import sys
sys.argv[1:] = {arguments}
{TRAINING}
folder = {str(begun)!r}
train_tiny(folder, small(color_mnist()), objective=ALL_TERMS, epochs=epochs, evaluate_every=0, strategy=strategy)
""")
  assert_same_numbers(tmp_path / "run", one)
  assert f"after epoch {EPOCHS - 1} of {EPOCHS} epochs" in output
  assert_same_numbers(begun, one)


def test_two_hosts_give_the_numbers_of_one_and_the_chief_alone_writes(one, tmp_path, ended):
  ended += start_workers(tmp_path / "run")
  outputs = [process.communicate(timeout=300)[0] for process in ended]
  assert [process.returncode for process in ended] == [0, 0], outputs
  assert_same_numbers(tmp_path / "run", one)
  assert "Epoch 25/25" in outputs[0] and "Epoch" not in outputs[1]
  assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
  assert {path.name for path in tmp_path.iterdir()} == {"run"}


def output_until(process, text, seconds=180) -> str:
  """What a process prints, until it prints `text`."""
  lines, end = [], time.monotonic() + seconds
  for line in process.stdout:
    lines.append(line)
    if text in line:
      break
    assert time.monotonic() < end, lines
  assert text in "".join(lines), lines
  return "".join(lines)


# a user's script, where errors of the library end as on the command line
REPORTING = """
from tfdisent.errors import TfdisentError
try:
{program}
except TfdisentError as error:
  print(f"{{type(error).__name__}}: {{error}}", flush=True)
  sys.exit(0 if type(error).__name__ == "Interrupted" else 1)
"""


def reporting(program):
  return REPORTING.format(program="".join(f"  {line}\n" for line in program.strip().splitlines()))


def test_a_dead_worker_is_named_and_all_go_on_when_started_again(tmp_path, ended):
  ended += (workers := start_workers(tmp_path / "run", epochs=1000, program=reporting(TRAINING)))
  output_until(workers[0], "Epoch 3/1000")
  workers[1].send_signal(signal.SIGKILL)
  start = time.monotonic()
  output = workers[0].communicate(timeout=60)[0]
  assert time.monotonic() - start < 60 and workers[0].returncode == 1
  assert re.search(r"RunError: worker 1 \(localhost:\d+\) cannot be reached any more", output), output

  ended += (workers := start_workers(tmp_path / "run", epochs=1000, program=reporting(TRAINING)))
  assert "Going on with the run" in output_until(workers[0], "Epoch 6/1000")
  workers[1].send_signal(signal.SIGTERM)  # one is asked to stop: all do, at the same step
  outputs = [process.communicate(timeout=60)[0] for process in workers]
  assert [process.returncode for process in workers] == [0, 0], outputs
  stops = [re.search(r"stopped as asked \(SIGTERM\), (.*)\. The same", output)[1] for output in outputs]
  assert stops[0] == stops[1]


def test_workers_that_do_not_share_the_run_folder_are_refused(tmp_path, few_digits, ended):
  train_tiny(tmp_path / "0", few_digits, objective=ALL_TERMS, epochs=1, evaluate_every=0)
  ended += (workers := start_workers([tmp_path / "0", tmp_path / "1"], epochs=2, program=reporting(TRAINING)))
  for process in workers:
    output = process.communicate(timeout=180)[0]
    assert "must be a folder they share" in output and re.search(r"worker 1 \(.*\): 0 epochs, 0 steps", output)
    assert process.returncode == 1


# --- In one process ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers,local", [(1, 2), (2, 1), (2, 2)])
def test_every_worker_reads_its_own_share_and_together_they_read_the_epoch(workers, local):
  count, batch_size = 40, 8
  image = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
  f = np.arange(count, dtype=np.float32)[:, None]

  def batches(context=None):
    return training_batches({"image": image}, f, batch_size, seed=3, first_step=1, context=context)

  steps, whole = count // batch_size, list(batches().take(count // batch_size))
  shares = [
    list(batches(tf.distribute.InputContext(workers, index, workers * local)).take(steps * local))
    for index in range(workers)
  ]
  for step in range(steps):
    parts = [share for of_worker in shares for share in of_worker[step * local : (step + 1) * local]]
    for name, value in whole[step].items():
      np.testing.assert_array_equal(np.concatenate([part[name] for part in parts]), value, err_msg=name)
  seen = [int(i) for of_worker in shares for share in of_worker[: (steps - 1) * local] for i in share["feature"][:, 0]]
  assert len(set(seen)) == len(seen) == count - batch_size


def test_auto_is_one_device_on_this_machine_without_tf_config(monkeypatch):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  strategy = make_strategy()
  assert strategy.num_replicas_in_sync == 1 and Worker(strategy).is_chief and Worker(strategy).is_alone
  assert Worker(strategy).of_all(3, 4) == [[3, 4]] and Worker(strategy).any(True) and not Worker(strategy).any(False)


@pytest.mark.parametrize(
  "text",
  [
    "{",
    "[]",
    '{"cluster": {"worker": ["a:1"]}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}',
  ],
)
def test_a_wrong_tf_config_is_told(monkeypatch, text):
  monkeypatch.setenv("TF_CONFIG", text)
  with pytest.raises(ConfigError, match="TF_CONFIG is wrong"):
    make_strategy()


@pytest.mark.parametrize(
  "arguments,message",
  [
    ({"name": "two"}, "choose one of 'auto', 'one', 'mirrored', 'multi_worker', 'tpu'"),
    ({"name": "multi_worker"}, "needs the environment variable TF_CONFIG"),
    ({"logical_cpus": 0}, "logical_cpus = 0"),
    ({"name": "mirrored", "logical_cpus": 2}, "comes too late"),
  ],
)
def test_what_cannot_be_had_is_refused(monkeypatch, arguments, message):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  tf.constant(0)  # TensorFlow has begun
  with pytest.raises(ConfigError, match=message):
    make_strategy(**arguments)
