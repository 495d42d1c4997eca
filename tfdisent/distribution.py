"""On which devices and hosts a training runs, and how hosts find out about each other.

Each of several hosts is a *worker*. Worker 0 is the *chief*, and only the chief writes files. All workers run the same
command, each with its own `TF_CONFIG`: https://www.tensorflow.org/guide/distributed_training#setting_up_the_tf_config_environment_variable
"""

import contextlib
import json
import os
import pathlib
import re
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

from tfdisent.arguments import checked
from tfdisent.errors import ConfigError, RunError, shown

STRATEGIES = ("auto", "one", "mirrored", "multi_worker", "slurm", "tpu")


@checked("strategy")
def make_strategy(name: str = "auto", logical_cpus: int = 1, slurm_port: int = 8888) -> tf.distribute.Strategy:
  """A strategy of `tf.distribute`. Call this before any operation of TensorFlow, which would fix the devices.

  Args:
    name: "one" for one device; "mirrored" for all GPUs of this host, or all logical CPUs if it has no GPU;
      "multi_worker" for the hosts in the environment variable TF_CONFIG; "slurm" for the tasks of a job step of Slurm,
      from which it sets TF_CONFIG; "tpu"; or "auto", which chooses one of the others by TF_CONFIG and the devices.
    logical_cpus: the number of devices that the CPU is divided into, to try "mirrored" without a GPU.
    slurm_port: the port of the first task of each host of Slurm; the next one has the next port.

  Raises:
    ConfigError: there is no such strategy or no device for it, or TF_CONFIG or the environment of Slurm is wrong.
  """
  if name not in STRATEGIES:
    raise ConfigError(f"strategy.name = {shown(name)}: choose one of {', '.join(map(repr, STRATEGIES))}.")
  if not 1 <= logical_cpus <= 1024:
    raise ConfigError(
      f"strategy.logical_cpus = {shown(logical_cpus)} must be a whole number of at least 1, at most 1024."
    )
  if logical_cpus > 1:
    (cpu,) = tf.config.list_physical_devices("CPU")
    try:
      tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * logical_cpus)
    except RuntimeError as error:
      raise ConfigError(f"strategy.logical_cpus = {logical_cpus} comes too late: {error}.") from error
  if name == "slurm":
    os.environ["TF_CONFIG"] = json.dumps(tf_config_of_slurm(slurm_port))
    name = "auto" if len(_hosts_of_tf_config()) == 1 else "multi_worker"
  hosts, gpus = _hosts_of_tf_config(), tf.config.list_physical_devices("GPU")
  if name == "auto":
    many = max(len(gpus), logical_cpus) > 1
    tpu = bool(tf.config.list_physical_devices("TPU") or os.environ.get("TPU_NAME"))
    name = "multi_worker" if len(hosts) > 1 else "tpu" if tpu else "mirrored" if many else "one"
  if name == "multi_worker":
    if not hosts:
      raise ConfigError(
        "--strategy=multi_worker needs the environment variable TF_CONFIG, which lists the hosts: "
        '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker", "index": 0}}.'
      )
    print(f"Waiting for all of {len(hosts)} workers: {', '.join(hosts)}.", flush=True)
    return tf.distribute.MultiWorkerMirroredStrategy()
  if name == "mirrored":
    return tf.distribute.MirroredStrategy(
      [f"GPU:{i}" for i in range(len(gpus))] or [f"CPU:{i}" for i in range(logical_cpus)]
    )
  if name == "tpu":
    try:
      resolver = tf.distribute.cluster_resolver.TPUClusterResolver.connect(os.environ.get("TPU_NAME", "local"))
      return tf.distribute.TPUStrategy(resolver)
    except (ValueError, RuntimeError, tf.errors.OpError) as error:
      raise ConfigError(f"--strategy=tpu finds no TPU: {str(error).splitlines()[0]}") from error
  return tf.distribute.OneDeviceStrategy("GPU:0" if gpus else "CPU:0")


@checked("strategy")
def tf_config_of_slurm(port: int = 8888) -> dict:
  """What TF_CONFIG is for this task of a job step of Slurm; each task is a worker.

  Args:
    port: as `slurm_port` of `make_strategy`.

  Raises:
    ConfigError: this is no task of Slurm.
  """
  if not 1 <= port <= 65_000:
    raise ConfigError(f"strategy.slurm_port = {shown(port)} must be a port, a whole number of 1 to 65000.")
  try:
    tasks = int(os.environ.get("SLURM_STEP_NUM_TASKS", "1"))
    # It lists addresses by GPUs, and fails without any: a made-up one each. CUDA_VISIBLE_DEVICES stays as Slurm set it.
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
      port_base=port, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
    )
    hosts = resolver.cluster_spec().as_dict()["worker"]
    _, index = resolver.get_task_info()
    # It sorts the hosts by their names (n10 before n2) and takes the rank for the place, but Slurm ranks n2 before n10.
    node, local = os.environ.get("SLURMD_NODENAME"), int(os.environ.get("SLURM_LOCALID", "0"))
    if node:
      index = hosts.index(f"{node}:{port + local}")
  except (RuntimeError, ValueError, KeyError) as error:
    raise ConfigError(
      f"--strategy=slurm finds no task of Slurm ({error}): start it by `srun tfdisent …`, within `sbatch` or `salloc`."
    ) from error
  return {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": index}}


def _hosts_of_tf_config() -> list[str]:
  """The addresses in TF_CONFIG, the chief first; empty if it is not set."""
  text = os.environ.get("TF_CONFIG")
  if not text:
    return []
  try:
    config = json.loads(text)
    cluster, task = config["cluster"], config["task"]
    addresses = {kind: list(cluster.get(kind, [])) for kind in ("chief", "worker")}
    is_listed = isinstance(task["index"], int) and 0 <= task["index"] < len(addresses[task["type"]])
    if not is_listed or set(cluster) - set(addresses):
      raise ValueError(f"task {task} of the cluster {cluster}")
    return [*addresses["chief"], *addresses["worker"]]
  except (ValueError, KeyError, TypeError, AttributeError) as error:
    raise ConfigError(
      f"the environment variable TF_CONFIG is wrong ({type(error).__name__}: {error}). It names every worker and this "
      'one: {"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker", "index": 0}}.'
    ) from error


class Worker:
  """This process among the processes that train one model together.

  Args:
    strategy: the strategy that they train under.

  Attributes:
    hosts: the addresses of all workers, the chief first; empty if there is only this process.
    index: the index of this worker in `hosts`.
    is_chief: whether this worker writes the run folder.
  """

  def __init__(self, strategy: tf.distribute.Strategy):
    self._strategy, self.hosts, self.index, self._chiefs = strategy, [], 0, 0
    resolver = strategy.cluster_resolver
    if isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and resolver and resolver.task_type:
      cluster = resolver.cluster_spec().as_dict()
      self.hosts = [*cluster.get("chief", []), *cluster.get("worker", [])]
      self._chiefs = len(cluster.get("chief", []))
      self.index = resolver.task_id + (self._chiefs if resolver.task_type == "worker" else 0)
    self.is_chief = self.index == 0

    @tf.function(reduce_retracing=True)
    def gather(row):
      # all_gather needs the row on the device of the replica, so tf.identity copies it there
      return strategy.run(lambda: tf.distribute.get_replica_context().all_gather(tf.identity(row), axis=0))

    self._gather = gather

  @property
  def is_alone(self) -> bool:
    """Whether there is only this process."""
    return len(self.hosts) < 2

  def of_all(self, *values: int) -> list[list[int]]:
    """The `values` of each worker, in the order of the workers. Every worker must call this, or the others wait."""
    if self.is_alone:
      return [list(values)]
    replicas = len(self._strategy.extended.worker_devices)
    rows = self._strategy.experimental_local_results(self._gather(tf.constant([values], tf.int64)))[0]
    return rows.numpy()[::replicas].tolist()

  def of_chief(self, value: float) -> float:
    """The `value` of the chief, to the bit. Every worker must call this, or the others wait."""
    (bits,), *_ = self.of_all(int(np.float64(value).view(np.int64)))
    return float(np.int64(bits).view(np.float64))

  def any(self, value: bool) -> bool:
    """Whether `value` is true on any worker. Every worker must call this, or the others wait."""
    return any(of_worker for (of_worker,) in self.of_all(int(value)))

  def check_same(self, run_dir: pathlib.Path, **values: int) -> None:
    """Raises `RunError` unless all workers have read the same `values` from the run folder; every worker must call it.

    Args:
      run_dir: the run folder, for the message.
      values: the values, under the names that the message gives them ("epochs", "steps").
    """
    found = self.of_all(*values.values())
    if found != found[:1] * len(found):
      by_worker = "; ".join(
        f"worker {index} ({host}): " + ", ".join(f"{value} {name}" for value, name in zip(of_worker, values))
        for index, (host, of_worker) in enumerate(zip(self.hosts, found))
      )
      raise RunError(
        f"the workers see different checkpoints in {run_dir} ({by_worker}): it must be a folder they share."
      )

  @contextlib.contextmanager
  def naming_the_lost(self) -> Iterator[None]:
    """Turns TensorFlow's error about a dead worker, which comes after some seconds, into a `RunError` that names it."""
    try:
      yield
    except (tf.errors.OpError, RunError) as error:
      cause = error.__cause__ or error  # writing a checkpoint may meet the error first, and raises a RunError from it
      if self.is_alone or not isinstance(cause, _LOST):
        raise
      tasks = re.findall(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", str(cause))
      lost = sorted({int(task) + (self._chiefs if job == "worker" else 0) for job, task in tasks} - {self.index})
      names = [f"worker {index} ({self.hosts[index]})" for index in lost if index < len(self.hosts)]
      raise RunError(
        f"{' and '.join(names) or 'another worker'} cannot be reached any more: the process or the network has failed. "
        "The last checkpoint is kept; start all workers again with the same commands, and they go on from there."
      ) from error


_LOST = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
