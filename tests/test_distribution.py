"""The same numbers on one device, on two, and on two hosts; and what happens when a host dies."""

import contextlib
import json
import math
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import types

import numpy as np
import pytest
import tensorflow as tf
import yaml

from tests.conftest import train_tiny
from tests.processes import ROOT, Fork, in_fork
from tests.training.test_loop import losses_of
from tfdisent import distribution
from tfdisent.benchmark import presets
from tfdisent.checkpoints import restore
from tfdisent.data.batches import training_batches
from tfdisent.distribution import Worker, make_strategy
from tfdisent.errors import CheckpointError, ConfigError, RunError
from tfdisent.loading import load

TRAINING = """
import sys
from tfdisent.distribution import make_strategy
name, (cpus, folder, epochs, arguments) = sys.argv[1], map(eval, sys.argv[2:6])
strategy = make_strategy(name, cpus)
from tests.conftest import color_mnist, small, train_tiny
train_tiny(folder, small(color_mnist()), epochs=epochs, evaluate_every=0, strategy=strategy, **arguments)
"""
# every network, and every term
ALL_TERMS = {"q_data": "both", "mirror": 1.0, "adversary": 5.0, "cycle": 1.0, "prior_fusions": 0.5, "q_noise": 0.1}
SMOOTH = {"conv": (4,), "dense": (), "activation": "gelu"}  # rounding turns a ReLU on or off, and then gradients jump
SMALL = {"z1_width": 4, **{symbol: SMOOTH for symbol in ["E1", "G", "q", "D"]}, "a": {"dense": ()}}
ALL = {"objective": ALL_TERMS, "tiny": SMALL}
PLAIN = {"objective": {"lambda3": 0.0, "lambda4": 0.0}, "tiny": SMALL}
EPOCHS = 4  # of two steps


def free_ports(count):
  sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
  ports = [of_one.getsockname()[1] for of_one in sockets]
  for of_one in sockets:
    of_one.close()
  return ports


def start_workers(folder, count=2, epochs=EPOCHS, program=TRAINING, training=ALL) -> list[Fork]:
  hosts = [f"localhost:{port}" for port in free_ports(count)]
  processes = []
  for index in range(count):
    task = {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
    where = folder[index] if isinstance(folder, list) else folder
    arguments = "auto", "1", repr(str(where)), str(epochs), repr(training)
    processes.append(Fork(program, *arguments, environment={"TF_CONFIG": json.dumps(task)}, is_merged=True))
  return processes


@pytest.fixture
def ended():
  """A list of processes; those that still run after the test are killed."""
  processes = []
  yield processes
  for process in processes:
    process.kill()


@pytest.fixture(scope="module")
def one(few_digits, tmp_path_factory):
  folder = tmp_path_factory.mktemp("one") / "run"
  train_tiny(folder, few_digits, epochs=EPOCHS, evaluate_every=0, **ALL)
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
  arguments = ["mirrored", "2", repr(str(tmp_path / "run")), str(EPOCHS), repr(ALL)]
  output = in_fork(f"""
import sys
sys.argv[1:] = {arguments}
{TRAINING}
folder = {str(begun)!r}
train_tiny(folder, small(color_mnist()), epochs=epochs, evaluate_every=0, strategy=strategy, **arguments)
""")
  assert_same_numbers(tmp_path / "run", one)
  assert f"after epoch {EPOCHS - 1} of {EPOCHS} epochs" in output
  assert_same_numbers(begun, one)


def test_two_hosts_give_the_numbers_of_one_and_the_chief_alone_writes(one, tmp_path, ended):
  ended += start_workers(tmp_path / "run")
  codes, outputs = zip(*(process.end(300) for process in ended))
  assert codes == (0, 0), outputs
  assert_same_numbers(tmp_path / "run", one)
  assert f"Epoch {EPOCHS}/{EPOCHS}" in outputs[0] and "Epoch" not in outputs[1]
  assert len(list((tmp_path / "run" / "tensorboard").iterdir())) == 1
  assert {path.name for path in tmp_path.iterdir()} == {"run"}


@pytest.mark.long
@pytest.mark.parametrize("count", [4, 8])
def test_more_hosts_give_the_numbers_of_one(one, tmp_path, ended, count):
  ended += start_workers(tmp_path / "run", count)
  codes, outputs = zip(*(process.end(1200) for process in ended))
  assert codes == (0,) * count, outputs
  assert_same_numbers(tmp_path / "run", one)


@pytest.mark.long
@pytest.mark.parametrize("count", [4, 8])
def test_of_more_hosts_a_dead_one_is_named_and_all_go_on_when_started_again(tmp_path, ended, count):
  program = reporting(TRAINING)
  ended += (workers := start_workers(tmp_path / "run", count, epochs=1000, program=program, training=PLAIN))
  output_until(workers[0], "Epoch 2/1000", 900)
  workers[count - 1].kill()
  for process in workers[:-1]:
    code, output = process.end(120)
    assert code == 1 and re.search(r"RunError: .*\(localhost:\d+\) cannot be reached any more", output), output
  ended += (workers := start_workers(tmp_path / "run", count, epochs=1000, program=program, training=PLAIN))
  assert "Going on with the run" in output_until(workers[0], "Epoch 3/1000", 900)


def output_until(process, text, seconds=180) -> str:
  """What a process prints, until it prints `text`."""
  lines, end = [], time.monotonic() + seconds
  for line in process.output:
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
  program = reporting(TRAINING)
  ended += (workers := start_workers(tmp_path / "run", epochs=1000, program=program, training=PLAIN))
  output_until(workers[0], "Epoch 2/1000")
  workers[1].kill()
  code, output = workers[0].end(60)
  assert code == 1, output
  assert re.search(r"RunError: worker 1 \(localhost:\d+\) cannot be reached any more", output), output

  ended += (workers := start_workers(tmp_path / "run", epochs=1000, program=program, training=PLAIN))
  assert "Going on with the run" in output_until(workers[0], "Epoch 3/1000")
  os.kill(workers[1].pid, signal.SIGTERM)  # one gets SIGTERM, and all stop at the same step
  codes, outputs = zip(*(process.end(60) for process in workers))
  assert codes == (0, 0), outputs
  stops = [re.search(r"stopped as asked, (.*)\. The same", output)[1] for output in outputs]
  assert stops[0] == stops[1]


def test_workers_that_do_not_share_the_run_folder_are_refused(one, tmp_path, ended):
  folders = [shutil.copytree(one, tmp_path / "0"), tmp_path / "1"]
  ended += (workers := start_workers(folders, epochs=EPOCHS + 1, program=reporting(TRAINING)))
  for process in workers:
    code, output = process.end(180)
    assert "must be a folder they share" in output and re.search(r"worker 1 \(.*\): 0 epochs, 0 steps", output)
    assert code == 1


# --- In one process ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers,local", [(1, 2), (2, 1), (2, 2)])
def test_every_worker_reads_its_own_batches_and_together_they_read_the_epoch(workers, local):
  count, batch_size = 40, 8
  image = np.arange(count, dtype=np.uint8)[:, None, None, None].repeat(3, 3)
  f = np.arange(count, dtype=np.float32)[:, None]

  def batches(context=None):
    return training_batches({"image": image}, f, batch_size, seed=3, first_step=1, context=context)

  steps, whole = count // batch_size, list(batches().take(count // batch_size))
  by_worker = [
    list(batches(tf.distribute.InputContext(workers, index, workers * local)).take(steps * local))
    for index in range(workers)
  ]
  for step in range(steps):
    slices = [batch for read in by_worker for batch in read[step * local : (step + 1) * local]]
    for name, value in whole[step].items():
      np.testing.assert_array_equal(np.concatenate([batch[name] for batch in slices]), value, err_msg=name)
  seen = [int(i) for read in by_worker for batch in read[: (steps - 1) * local] for i in batch["feature"][:, 0]]
  assert len(set(seen)) == len(seen) == count - batch_size


def test_auto_is_one_device_on_this_machine_without_tf_config(monkeypatch):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  strategy = make_strategy()
  assert strategy.num_replicas_in_sync == 1 and Worker(strategy).is_chief and Worker(strategy).is_alone
  assert Worker(strategy).of_all(3, 4) == [[3, 4]] and Worker(strategy).any(True) and not Worker(strategy).any(False)


@pytest.fixture
def machine(monkeypatch):
  """A machine of any devices, whose strategies say with what they were made."""
  monkeypatch.delenv("TF_CONFIG", raising=False)
  monkeypatch.delenv("TPU_NAME", raising=False)
  devices = types.SimpleNamespace(GPU=[], TPU=[], CPU=["CPU:0"], divided=[], resolved=[])
  monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: getattr(devices, kind))
  monkeypatch.setattr(
    tf.config, "set_logical_device_configuration", lambda device, parts: devices.divided.append((device, len(parts)))
  )
  for name in ("OneDeviceStrategy", "MirroredStrategy", "MultiWorkerMirroredStrategy", "TPUStrategy"):
    monkeypatch.setattr(tf.distribute, name, lambda *arguments, name=name: (name, *arguments))
  resolver = tf.distribute.cluster_resolver.TPUClusterResolver
  monkeypatch.setattr(resolver, "connect", lambda name: f"resolver of {name}")
  return devices


TWO = '{"cluster": {"worker": ["a:1", "b:2"]}, "task": {"type": "worker", "index": 1}}'
ALONE = '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 0}}'


@pytest.mark.parametrize(
  ("name", "gpus", "cpus", "tf_config", "expected"),
  [
    ("auto", 0, 1, None, ("OneDeviceStrategy", "CPU:0")),
    ("auto", 1, 1, None, ("OneDeviceStrategy", "GPU:0")),
    ("auto", 2, 1, None, ("MirroredStrategy", ["GPU:0", "GPU:1"])),
    ("auto", 0, 3, None, ("MirroredStrategy", ["CPU:0", "CPU:1", "CPU:2"])),
    ("auto", 0, 1, TWO, ("MultiWorkerMirroredStrategy",)),
    ("auto", 2, 1, TWO, ("MultiWorkerMirroredStrategy",)),
    ("auto", 0, 1, ALONE, ("OneDeviceStrategy", "CPU:0")),
    ("one", 2, 1, TWO, ("OneDeviceStrategy", "GPU:0")),
    ("one", 0, 2, None, ("OneDeviceStrategy", "CPU:0")),
    ("mirrored", 1, 1, None, ("MirroredStrategy", ["GPU:0"])),
    ("mirrored", 0, 1, None, ("MirroredStrategy", ["CPU:0"])),
    ("multi_worker", 0, 1, ALONE, ("MultiWorkerMirroredStrategy",)),
    ("tpu", 0, 1, None, ("TPUStrategy", "resolver of local")),
  ],
)
def test_a_strategy_is_that_of_its_name_and_of_the_machine(
  machine, monkeypatch, capsys, name, gpus, cpus, tf_config, expected
):
  machine.GPU = [f"GPU:{i}" for i in range(gpus)]
  if tf_config:
    monkeypatch.setenv("TF_CONFIG", tf_config)
  assert make_strategy(name, cpus) == expected
  assert machine.divided == ([("CPU:0", cpus)] if cpus > 1 else [])
  hosts = {TWO: "2 workers: a:1, b:2", ALONE: "1 workers: a:1"}.get(tf_config)
  waits = f"Waiting for all of {hosts}.\n" if expected[0].startswith("MultiWorker") else ""
  assert capsys.readouterr().out == waits


def test_auto_takes_a_tpu_that_is_there_or_named(machine, monkeypatch):
  machine.TPU = ["TPU:0"]
  assert make_strategy() == ("TPUStrategy", "resolver of local")
  machine.TPU = []
  monkeypatch.setenv("TPU_NAME", "far")
  assert make_strategy() == ("TPUStrategy", "resolver of far")
  monkeypatch.setenv("TF_CONFIG", TWO)
  assert make_strategy() == ("MultiWorkerMirroredStrategy",)


def test_a_tpu_that_is_not_there_is_told(machine, monkeypatch):
  def connect(name):
    raise ValueError("no TPU\nand much more")

  monkeypatch.setattr(tf.distribute.cluster_resolver.TPUClusterResolver, "connect", connect)
  with pytest.raises(ConfigError, match=r"^--strategy=tpu finds no TPU: no TPU$"):
    make_strategy("tpu")


@pytest.mark.parametrize(
  "text",
  [
    "{",
    "[]",
    '{"cluster": {"worker": ["a:1"]}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "chief", "index": 0}}',
    '{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
    '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
    '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "0"}}',
  ],
)
def test_a_wrong_tf_config_is_told(monkeypatch, text):
  monkeypatch.setenv("TF_CONFIG", text)
  with pytest.raises(
    ConfigError, match=r"TF_CONFIG is wrong \(\w+: .*\)\. It names every worker and this one: {.cluster"
  ):
    make_strategy()


@pytest.mark.parametrize(
  ("task", "index"), [(("chief", 0), 0), (("worker", 0), 1), (("worker", 1), 2)], ids=["chief", "first", "second"]
)
def test_a_chief_of_its_own_comes_before_the_workers(monkeypatch, task, index):
  cluster = {"chief": ["c:1"], "worker": ["a:1", "b:2"]}
  monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": task[0], "index": task[1]}}))
  assert distribution._hosts_of_tf_config() == ["c:1", "a:1", "b:2"]
  worker = worker_of(monkeypatch, cluster, *task)
  assert (worker.hosts, worker.index, worker.is_chief, worker.is_alone) == (
    ["c:1", "a:1", "b:2"],
    index,
    index == 0,
    False,
  )


def test_without_a_chief_worker_0_is_it_and_one_alone_is_alone(monkeypatch):
  pair = {"worker": ["a:1", "b:2"]}
  first, second = (worker_of(monkeypatch, pair, "worker", index) for index in (0, 1))
  assert (first.index, first.is_chief, second.index, second.is_chief) == (0, True, 1, False)
  assert second.hosts == ["a:1", "b:2"] and not second.is_alone
  assert worker_of(monkeypatch, {"worker": ["a:1"]}, "worker", 0).is_alone


# --- Slurm and Kubernetes ---------------------------------------------------------------------------------------------


def of_slurm(rank, nodes="localhost", tasks="2", count="2", local=None, name="localhost"):
  """The variables that `srun` sets for a task."""
  return {
    "SLURM_PROCID": str(rank),
    "SLURM_LOCALID": str(rank if local is None else local),
    "SLURM_STEP_NUM_TASKS": count,
    "SLURM_STEP_NODELIST": nodes,
    "SLURM_STEP_TASKS_PER_NODE": tasks,
    "SLURMD_NODENAME": name,
  }


@pytest.mark.parametrize(
  ("variables", "hosts", "index"),
  [
    (of_slurm(1), ["localhost:8888", "localhost:8889"], 1),
    (of_slurm(2, "a[1-3]", "1(x3)", "3", 0, "a3"), ["a1:8888", "a2:8888", "a3:8888"], 2),
    (of_slurm(3, "a[1-2]", "2(x2)", "4", 1, "a2"), ["a1:8888", "a1:8889", "a2:8888", "a2:8889"], 3),
    # the first by its rank, and the second by its name
    (of_slurm(0, "a[2,10]", "1(x2)", "2", 0, "a2"), ["a10:8888", "a2:8888"], 1),
    (of_slurm(1, "a[2,10]", "1(x2)", "2", 0, "a10"), ["a10:8888", "a2:8888"], 0),
  ],
)
def test_the_tasks_of_slurm_are_the_workers(monkeypatch, variables, hosts, index):
  for name, value in variables.items():
    monkeypatch.setenv(name, value)
  monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3")
  config = distribution.tf_config_of_slurm()
  assert config == {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}
  assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"


def test_one_task_of_slurm_is_no_cluster(machine, monkeypatch):
  for name, value in of_slurm(0, tasks="1", count="1").items():
    monkeypatch.setenv(name, value)
  monkeypatch.setenv("TF_CONFIG", "")
  assert make_strategy("slurm") == ("OneDeviceStrategy", "CPU:0")
  for name, value in of_slurm(0).items():
    monkeypatch.setenv(name, value)
  assert make_strategy("slurm") == ("MultiWorkerMirroredStrategy",)


@pytest.mark.parametrize(("name", "value"), [("SLURM_PROCID", None), ("SLURMD_NODENAME", "b"), ("SLURM_LOCALID", "x")])
def test_what_is_no_task_of_slurm_is_told(monkeypatch, name, value):
  for variable, said in of_slurm(0).items():
    monkeypatch.setenv(variable, said)
  monkeypatch.delenv(name) if value is None else monkeypatch.setenv(name, value)
  with pytest.raises(ConfigError, match=r"^--strategy=slurm finds no task of Slurm .*: start it by `srun tfdisent"):
    make_strategy("slurm")
  with pytest.raises(ConfigError, match=r"strategy.slurm_port = 0 must be a port"):
    make_strategy("slurm", slurm_port=0)


def is_free(port):
  with contextlib.suppress(OSError, OverflowError), socket.create_server(("localhost", port)):
    return True
  return False


def test_two_tasks_of_slurm_find_each_other(ended):
  port = next(port for port in free_ports(20) if is_free(port + 1))
  program = """
import sys
from tfdisent.distribution import Worker, make_strategy
strategy = make_strategy("slurm", slurm_port=int(sys.argv[1]))
worker = Worker(strategy)
print("all:", worker.of_all(10 + worker.index), worker.is_chief)
"""
  ended += [Fork(program, str(port), environment=of_slurm(rank), is_merged=True) for rank in range(2)]
  outputs = [process.end(120) for process in ended]
  for rank, (code, output) in enumerate(outputs):
    assert code == 0 and f"all: [[10], [11]] {rank == 0}" in output, output


def test_the_manifest_of_kubernetes_gives_each_pod_its_tf_config(tmp_path, monkeypatch):
  text = (ROOT / "tfdisent/training/README.md").read_text("utf-8")
  service, job = yaml.safe_load_all(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
  spec, pod = job["spec"], job["spec"]["template"]["spec"]
  assert (service["kind"], service["spec"]["clusterIP"], job["kind"]) == ("Service", "None", "Job")
  assert service["spec"]["selector"] == {"job-name": job["metadata"]["name"]}
  assert spec["completionMode"] == "Indexed" and spec["completions"] == spec["parallelism"] == 4
  assert pod["subdomain"] == service["metadata"]["name"] and pod["restartPolicy"] == "OnFailure"
  (container,) = pod["containers"]
  (tmp_path / "tfdisent").write_text('#!/bin/sh\necho "$TF_CONFIG"; echo "$@"\n')
  (tmp_path / "tfdisent").chmod(0o755)
  name = job["metadata"]["name"]
  for index in range(4):
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": str(index)}
    ran = subprocess.run(container["command"], env=environment, check=True, capture_output=True, text=True)
    config, arguments = ran.stdout.splitlines()
    monkeypatch.setenv("TF_CONFIG", config)
    assert distribution._hosts_of_tf_config() == [f"{name}-{i}.{pod['subdomain']}:12345" for i in range(4)]
    assert json.loads(config)["task"] == {"type": "worker", "index": index}
  assert "--run_dir=/runs/" in arguments and container["volumeMounts"][0]["mountPath"] == "/runs"


def test_the_efficiencies_of_the_documentation_are_those_of_its_formula():
  text = (ROOT / "tfdisent/training/README.md").read_text("utf-8")
  model = presets.make_model(presets.preset_of("reference"), "float32", jit_compile=False)
  count = sum(math.prod(weight.shape) for network in model.networks.values() for weight in network.trainable_variables)
  assert f"{count:,} weights, so S = {4 * count / 1e6:.1f} MB" in text

  def efficiency(milliseconds, gbits, devices):
    seconds, bytes_per_s = milliseconds / 1e3, gbits * 1e9 / 8
    waits = 2 * (devices - 1) / devices * 4 * count / bytes_per_s + 3 * 2 * math.log2(devices) * 20e-6
    return f"{100 * seconds / (seconds + waits):.0f} %"

  rows = re.findall(r"^\| (4|79)\b[^|]*\| (\d+)[^|]*\| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", text, re.MULTILINE)
  assert len(rows) == 5
  for milliseconds, gbits, *said in rows:
    for devices, of_row in zip((8, 64, 512), said):
      assert of_row.strip() in ("", efficiency(float(milliseconds), float(gbits), devices))
  assert f"512 devices at 100 Gbit/s come to {efficiency(32, 100, 512)}" in text.replace("\n", " ")


# --- What workers tell each other ------------------------------------------------------------------------------------


def worker_of(monkeypatch, cluster, task_type="worker", task_id=0, replicas=1) -> Worker:
  """A worker of a cluster that is not there."""

  class Strategy:
    cluster_resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
      tf.train.ClusterSpec(cluster), task_type=task_type, task_id=task_id
    )
    extended = types.SimpleNamespace(worker_devices=["CPU:0"] * replicas)

    @staticmethod
    def experimental_local_results(value):
      return (value,) * replicas

  monkeypatch.setattr(tf.distribute, "MultiWorkerMirroredStrategy", Strategy)
  return Worker(Strategy())


@pytest.mark.parametrize("replicas", [1, 2])
def test_what_all_say_comes_in_the_order_of_the_workers_once_of_each(monkeypatch, replicas):
  worker = worker_of(monkeypatch, {"worker": ["a:1", "b:2", "c:3"]}, replicas=replicas)
  given = []

  def gather(row):
    given.append(row.numpy().tolist())
    return tf.constant([[1, 2]] * replicas + [[3, 4]] * replicas + [[5, 6]] * replicas, tf.int64)

  worker._gather = gather
  assert worker.of_all(1, 2) == [[1, 2], [3, 4], [5, 6]] and given == [[[1, 2]]]


@pytest.mark.parametrize(("said", "one_is"), [([0, 0], False), ([0, 1], True), ([1, 0], True), ([1, 1], True)])
def test_any_is_true_where_one_of_them_says_so(monkeypatch, said, one_is):
  worker, given = worker_of(monkeypatch, {"worker": ["a:1", "b:2"]}), []
  worker.of_all = lambda value: given.append(value) or [[of_worker] for of_worker in said]
  assert worker.any(False) is one_is and worker.any(True) is one_is and given == [0, 1]


@pytest.mark.parametrize("said", [0.1 + 0.2, -1e-300, float("inf")])
def test_what_the_chief_says_is_heard_to_the_bit(monkeypatch, said):
  chief, other = (worker_of(monkeypatch, {"worker": ["a:1", "b:2"]}) for _ in range(2))
  rows = []
  chief._gather = lambda row: rows.append(row) or tf.concat([row, row], 0)
  assert chief.of_chief(said) == said
  other._gather = lambda row: tf.concat([*rows, row], 0)
  assert other.of_chief(7.0) == said


def test_workers_that_have_found_other_checkpoints_are_named_with_what_each_found(monkeypatch):
  worker = worker_of(monkeypatch, {"worker": ["a:1", "b:2", "c:3"]})
  worker.of_all = lambda *values: [list(values)] * 3
  worker.check_same("runs/a", epochs=2, steps=0)
  worker.of_all = lambda *values: [list(values), list(values), [2, 7]]
  with pytest.raises(RunError) as error:
    worker.check_same("runs/a", epochs=2, steps=0)
  assert str(error.value) == (
    "the workers see different checkpoints in runs/a (worker 0 (a:1): 2 epochs, 0 steps; worker 1 (b:2): 2 epochs, "
    "0 steps; worker 2 (c:3): 2 epochs, 7 steps): it must be a folder they share."
  )


LOST = "Connection reset by /job:worker/replica:0/task:2 and /job:worker/replica:0/task:1, said /task:0 and /task:9"


@pytest.mark.parametrize("kind", ["UnavailableError", "AbortedError", "CancelledError", "DeadlineExceededError"])
@pytest.mark.parametrize("while_writing", [False, True])
def test_workers_that_are_lost_are_named(monkeypatch, kind, while_writing):
  worker = worker_of(monkeypatch, {"worker": ["a:1", "b:2", "c:3"]})
  with (
    pytest.raises(
      RunError, match=r"^worker 1 \(b:2\) and worker 2 \(c:3\) cannot be reached any more.*start all workers"
    ),
    worker.naming_the_lost(),
  ):
    try:
      raise getattr(tf.errors, kind)(None, None, LOST)
    except tf.errors.OpError as error:
      if while_writing:
        raise RunError("the checkpoint cannot be written") from error
      raise


def test_workers_beside_a_chief_are_counted_from_it(monkeypatch):
  worker = worker_of(monkeypatch, {"chief": ["a:1"], "worker": ["b:2", "c:3"]})
  lost = "/job:worker/replica:0/task:0 said: /job:worker/replica:0/task:1 is gone"
  with pytest.raises(RunError, match=r"^worker 2 \(c:3\) cannot be reached"), worker.naming_the_lost():
    raise tf.errors.UnavailableError(None, None, lost)


def test_a_lost_worker_without_a_name_is_another_one(monkeypatch):
  worker = worker_of(monkeypatch, {"worker": ["a:1", "b:2"]})
  with pytest.raises(RunError, match=r"^another worker cannot be reached any more"), worker.naming_the_lost():
    raise tf.errors.UnavailableError(None, None, "Socket closed")


@pytest.mark.parametrize(
  ("count", "error"),
  [
    (1, tf.errors.UnavailableError(None, None, LOST)),
    (2, tf.errors.ResourceExhaustedError(None, None, LOST)),
    (2, CheckpointError("none can be read")),
    (2, KeyError("a bug")),
  ],
)
def test_an_error_of_another_kind_stays_as_it_is(monkeypatch, count, error):
  worker = worker_of(monkeypatch, {"worker": ["a:1", "b:2"][:count]})
  with pytest.raises(type(error)) as raised, worker.naming_the_lost():
    raise error
  assert raised.value is error


# --- What is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
  "arguments,message",
  [
    ({"name": "two"}, "choose one of 'auto', 'one', 'mirrored', 'multi_worker', 'slurm', 'tpu'"),
    ({"name": "multi_worker"}, "needs the environment variable TF_CONFIG"),
    ({"logical_cpus": 0}, "strategy.logical_cpus = 0 must be a whole number of at least 1"),
    ({"logical_cpus": 1.5}, "strategy.logical_cpus = 1.5"),
    ({"name": "mirrored", "logical_cpus": 2}, "comes too late"),
  ],
)
def test_what_cannot_be_had_is_refused(monkeypatch, arguments, message):
  monkeypatch.delenv("TF_CONFIG", raising=False)
  tf.constant(0)  # TensorFlow has begun
  with pytest.raises(ConfigError, match=message):
    make_strategy(**arguments)
