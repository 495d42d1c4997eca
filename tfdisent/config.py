"""gin: which arguments a config can bind, and how a config is read. The rest of the library can be called without it.

| binding         | what it is                                                                     |
|-----------------|--------------------------------------------------------------------------------|
| `train.*`       | data set, feature, epochs, batch size, seed: `train` below                     |
| `model.*`       | widths of the codes, the networks, precision: `tfdisent.model.DisentangledVAE` |
| `objective.*`   | λ1 to λ7, the likelihood, how q is trained: `tfdisent.model.Objective`         |
| `optimizer.*`   | of E1, E2, G, q and a: `tfdisent.optimizers.make_optimizer`                      |
| `optimizer_d.*` | of D, and of a where `objective.a_optimizer` says so                           |
| `fit_feature.*` | how a learned feature is fitted: `tfdisent.learned.fit_feature`                |
| `strategy.*`    | on which devices and hosts: `tfdisent.distribution.make_strategy`              |
| `sweep.grid`    | what `--mode=sweep` runs through: `tfdisent.sweep.combinations`                |
| `bench.*`       | what `--mode=bench` times: `tfdisent.benchmark.bench`                          |
| `bench_export.*`| likewise of an exported model: `tfdisent.benchmark.bench_export`               |
| `NAME.*`        | arguments of the registered feature or data set `NAME`                         |
"""

import functools
import inspect
import pathlib
from collections.abc import Mapping, Sequence

import gin

from tfdisent import benchmark, distribution, run
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError
from tfdisent.feature import learned
from tfdisent.feature.contract import Feature
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.registry import DATASETS, FEATURES, NETWORKS, REGISTRIES
from tfdisent.sweep import combinations
from tfdisent.training import loop, optimizers


class GinBinder:
  """Binds arguments of registered plug-ins through gin: a `tfdisent.registry.Binder`."""

  def add(self, name, plugin):
    with gin.unlock_config():  # gin is locked once a config is read, and a plug-in may come later, with a trained run
      gin.register(name, module=plugin.__module__)(plugin)

  def bindings(self, scope, plugin):
    with gin.config_scope(scope or None):
      return gin.get_bindings(plugin)

  def call(self, scope, plugin, arguments):
    with gin.config_scope(scope or None):
      return gin.get_configurable(plugin)(**arguments)


for _registry in REGISTRIES:
  if _registry is not NETWORKS:  # `model.E1 = {…}` has the arguments of a network
    _registry.bind_with(GinBinder())

objective = gin.external_configurable(Objective, "objective", module="tfdisent")


@functools.wraps(DisentangledVAE.__init__, assigned=())
def _model(*arguments, **keywords):
  return DisentangledVAE(*arguments, objective=objective(), **keywords)


# gin cannot decorate a Keras model (its constructor is looked up on the class), so it sees a function of the same
# signature
_model.__signature__ = inspect.signature(DisentangledVAE)
model = gin.external_configurable(
  _model, "model", module="tfdisent", denylist=["image_shape", "feature", "objective", "seed"]
)

optimizer = gin.external_configurable(optimizers.make_optimizer, "optimizer", module="tfdisent", denylist=["steps"])


@gin.configurable(module="tfdisent", denylist=["steps"])
def optimizer_d(
  steps,
  algorithm="adam",
  learning_rate=2e-4,
  decay="cosine",
  warmup_steps=0,
  arguments={"beta_1": 0.5},  # noqa: B006 (never changed)
):
  """The optimizer of D, and of a where `objective.a_optimizer` says so; see `optimizers.make_optimizer`."""
  return optimizers.make_optimizer(steps, algorithm, learning_rate, decay, warmup_steps, arguments)


strategy = gin.external_configurable(distribution.make_strategy, "strategy", module="tfdisent")

# here, since gin takes no new configurable once a config was read: the library can be imported at any time
bench = gin.external_configurable(benchmark.bench, "bench", module="tfdisent", denylist=["strategy"])
bench_export = gin.external_configurable(
  benchmark.bench_export, "bench_export", module="tfdisent", denylist=["path", "trained"]
)


@gin.configurable(module="tfdisent", denylist=["run_dir"])
def train(
  run_dir: str,
  dataset: str | None = None,
  feature: str | None = None,
  data_dir: str | None = None,
  epochs: int = 10,
  batch_size: int = 128,
  seed: int = 0,
  evaluate_every: int = 5,
  checkpoint_every: int = 500,
  jit_compile: bool = False,
) -> tuple[TrainedModel, Dataset]:
  """Trains the model that the config describes; see `loop.train`.

  Args:
    run_dir: the run folder.
    dataset: name of a registered data set, whose arguments are plain data: `run.json` keeps them.
    feature: name of a registered feature.
    data_dir: where the data lies; None is the data set's own default.
    epochs, batch_size, seed, evaluate_every, checkpoint_every, jit_compile: as in `loop.train`.
  """
  where = strategy()  # before anything else of TensorFlow
  description = {"dataset": _described(dataset, data_dir), "bindings": sorted(asked())}
  data, f = make_dataset(dataset, data_dir), make_feature(feature)
  trained = loop.train(
    run_dir,
    data,
    f,
    make_model=model,
    make_optimizer_eg=optimizer,
    make_optimizer_d=optimizer_d,
    epochs=epochs,
    batch_size=batch_size,
    seed=seed,
    evaluate_every=evaluate_every,
    checkpoint_every=checkpoint_every,
    jit_compile=jit_compile,
    strategy=where,
    describe=lambda: gin.operative_config_str(max_line_length=140),
    description=description,
  )
  return trained, data


fit = gin.external_configurable(
  learned.fit_feature, "fit_feature", module="tfdisent", denylist=["run_dir", "dataset", "feature"]
)


def fit_feature(run_dir: pathlib.Path, data_dir: str | None = None) -> dict[str, dict[str, float]]:
  """Fits the learned parts of the feature of the config that was read last: see `tfdisent.learned.fit_feature`.

  Args:
    run_dir: of one learned part; of several, `run_dir/NAME`.
    data_dir: where the data lies.

  Returns:
    The held-out error of each part, by its folder.

  Raises:
    ConfigError: there is nothing to learn.
  """
  feature = make_feature(gin.get_bindings("tfdisent.train").get("feature"))
  to_fit = {n: part for n, part in zip(feature.part_names, feature.parts) if isinstance(part, learned.LearnedFeature)}
  if not to_fit:
    raise ConfigError(f"feature '{feature.name}' is not learned: there is nothing to fit. Train with it as it is.")
  dataset = dataset_of_run(data_dir)
  folders = {name: run_dir if len(to_fit) == 1 else run_dir / name for name in to_fit}
  return {str(folders[name]): fit(str(folders[name]), dataset, part) for name, part in to_fit.items()}


@gin.configurable(module="tfdisent")
def sweep(grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]] | None = None) -> dict[str, dict]:
  """The runs of a sweep; see `tfdisent.sweep.combinations`."""
  return combinations(grid or ())


def make_feature(name: str | None) -> Feature:
  """The registered feature `name`, with its bindings."""
  if name is None:
    raise ConfigError(
      "no feature is chosen: put `import features.digit_label` and `train.feature = 'digit_label'` "
      "(or your own plug-in) into the gin file."
    )
  return FEATURES.create(name)


def make_dataset(name: str | None, data_dir: str | None) -> Dataset:
  """The registered data set `name`, with its bindings and `data_dir`, where it is given."""
  return DATASETS.create(_chosen(name), **({"data_dir": data_dir} if data_dir else {}))


def _described(name: str | None, data_dir: str | None) -> dict:
  """What makes the data set of `make_dataset` again; see `Registry.describe`."""
  return DATASETS.describe(_chosen(name), **({"data_dir": data_dir} if data_dir else {}))


def _chosen(name: str | None) -> str:
  if name is None:
    raise ConfigError(
      "no data set is chosen: put `import tfdisent.data.color_mnist` and `train.dataset = 'color_mnist'` "
      "into the gin file."
    )
  return name


def dataset_of_run(data_dir: str | None = None) -> Dataset:
  """The data set of the config that was read last."""
  bound = gin.get_bindings("tfdisent.train")
  return make_dataset(bound.get("dataset"), data_dir or bound.get("data_dir"))


def read(files: Sequence[str], bindings: Sequence[str] = ()) -> None:
  """Reads gin files, then single bindings ("train.epochs = 3"); forgets what was read before.

  Raises:
    ConfigError: a file, an import, a configurable or a parameter is not there, or the syntax is wrong; the message
      names it.
  """
  gin.clear_config()
  try:
    gin.parse_config_files_and_bindings(list(files), list(bindings), skip_unknown=False, finalize_config=True)
  except OSError as error:
    shipped = ", ".join(map(shipped_name, shipped_configs()))
    raise ConfigError(f"{str(error).splitlines()[0]} Shipped with tfdisent: {shipped}.") from error
  except ImportError as error:
    raise ConfigError(f"a gin file imports a module that is not there: {error}") from error
  except SyntaxError as error:
    place = f"line {error.lineno} of {error.filename or '--gin_param'}"  # gin gives the text where it can
    text = (error.text or ("" if error.filename else "; ".join(bindings))).strip()
    raise ConfigError(f"gin: {error.msg} '{text}' ({place})") from error
  except (ValueError, TypeError, AttributeError) as error:
    raise ConfigError(f"gin: {' '.join(str(error).split())}") from error


def asked() -> set[str]:
  """The bindings of the config that was read last, as `tfdisent.run.bindings` has them: what tells runs apart."""
  return run.bindings(gin.config_str(max_line_length=140))


def shipped_configs() -> list[pathlib.Path]:
  """The gin files that are installed with tfdisent."""
  import gin_configs

  return sorted(pathlib.Path(gin_configs.__file__).parent.rglob("*.gin"))


def shipped_name(file: pathlib.Path) -> str:
  """What `--gin_file` calls a shipped file, as in "gin_configs/quickstart.gin"."""
  (folder,) = (parent for parent in file.parents if parent.name == "gin_configs")
  return file.relative_to(folder.parent).as_posix()
