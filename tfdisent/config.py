"""gin: which arguments a configuration can bind, and how one is read. No other module knows gin.

| binding          | what it is                                                                     |
|------------------|--------------------------------------------------------------------------------|
| `train.*`        | data set, feature, epochs, batch size, seed: `train` below                     |
| `model.*`        | widths of the codes, the networks, precision: `tfdisent.model.DisentangledVAE` |
| `objective.*`    | the weights of the terms, the likelihood: `tfdisent.model.Objective`           |
| `optimizer.*`    | of E1, E2, G, q and a: `tfdisent.training.optimizers.make_optimizer`           |
| `optimizer_d.*`  | of D, and of a where `objective.a_optimizer` says so                           |
| `fit_feature.*`  | how a learned feature is fitted: `tfdisent.fit_feature`                        |
| `strategy.*`     | on which devices and hosts: `tfdisent.distribution.make_strategy`              |
| `sweep.grid`     | the runs of `--mode=sweep`: `tfdisent.sweep.combinations`                      |
| `bench.*`        | what `--mode=bench` times: `tfdisent.benchmark.bench`                          |
| `bench_export.*` | likewise of an exported model: `tfdisent.benchmark.bench_export`               |
| `NAME.*`         | arguments of the registered plug-in `NAME`: a feature, a data set, …           |
"""

import functools
import inspect
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gin

from tfdisent import api, benchmark, distribution, moved, run
from tfdisent.arguments import checked
from tfdisent.data import batches
from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError
from tfdisent.evaluation.protocol import Metrics
from tfdisent.feature.choose import choose
from tfdisent.feature.contract import Feature
from tfdisent.gin_files import readers, tell
from tfdisent.gin_words import WRONG, in_words, what_is_wrong
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.registry import DATASETS, FEATURES, MEASUREMENTS, NETWORKS, REGISTRIES
from tfdisent.sweep import combinations
from tfdisent.training import optimizers


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


_reraise_with_place = gin.config.utils.augment_exception_message_and_reraise


def _reraise(error: Exception, place: str) -> None:
  """Raises an error of a call as it is: gin would add the function that it was in, which the user does not know."""
  if "\n  In call to configurable" not in place:
    _reraise_with_place(error, place)
  if isinstance(error, TypeError) and "No values supplied by Gin" in place:
    raise ConfigError(f"gin: {error}, and the configuration has no value for it.") from error
  raise error


gin.config.utils.augment_exception_message_and_reraise = _reraise

for _registry in REGISTRIES:
  if _registry is not NETWORKS:  # `model.E1 = {…}` has the arguments of a network
    _registry.bind_with(GinBinder())

objective = gin.external_configurable(Objective, "objective", module="tfdisent")


@functools.wraps(DisentangledVAE.__init__, assigned=())
def _model(*arguments, **keywords):
  return DisentangledVAE(*arguments, objective=objective(), **keywords)


# A function with the signature of the class: gin cannot decorate a Keras model, whose constructor Keras looks up on the
# class.
_model.__signature__ = inspect.signature(DisentangledVAE)
model = gin.external_configurable(
  _model, "model", module="tfdisent", denylist=["image_shape", "feature", "objective", "seed"]
)

optimizer = gin.external_configurable(optimizers.make_optimizer, "optimizer", module="tfdisent", denylist=["steps"])


optimizer_d = gin.external_configurable(
  optimizers.make_optimizer_of_d, "optimizer_d", module="tfdisent", denylist=["steps"]
)

strategy = gin.external_configurable(distribution.make_strategy, "strategy", module="tfdisent")

# All configurables are registered here: gin refuses those of a module that is imported after a config was read.
bench = gin.external_configurable(benchmark.bench, "bench", module="tfdisent", denylist=["strategy"])
bench_export = gin.external_configurable(
  benchmark.bench_export, "bench_export", module="tfdisent", denylist=["path", "trained"]
)


@gin.configurable(module="tfdisent", denylist=["run_dir", "measure", "annotate"])
@checked("train")
def train(
  run_dir: str,
  dataset: str | None = None,
  feature: str | Sequence[str] | None = None,
  data_dir: str | None = None,
  epochs: int = 10,
  batch_size: int = 128,
  seed: int = 0,
  evaluate_every: int = 5,
  checkpoint_every: int = 500,
  best: str = "loss",
  augment: Mapping[str, Any] | None = None,
  independent_of: Sequence[str] = (),
  largest_weight: float = 50.0,
  jit_compile: bool = False,
  measurements: Sequence[str] = (),
  measure: bool = True,
  annotate: Callable[[str], str] = str,
) -> TrainedModel:
  """Trains the model that the configuration describes; see `tfdisent.api.train`.

  Args:
    run_dir: the run folder.
    dataset: name of a registered data set, whose arguments are plain data: `run.json` keeps them.
    feature: name of a registered feature; or of a column of the data set, or several, as `tfdisent.train` takes them.
    data_dir: where the data lies; None is the data set's own default.
    epochs, batch_size, seed, evaluate_every, checkpoint_every, best, augment, independent_of, largest_weight,
      jit_compile: as in `tfdisent.api.train`.
    measurements: names of registered measurements, whose arguments are plain data as well.
    measure: as in `tfdisent.api.train`.
    annotate: what becomes of the configuration's text before it is written.
  """
  devices = strategy()  # first: logical devices cannot be made once TensorFlow has begun to compute
  description = {"dataset": _described(dataset, data_dir), "bindings": sorted(bindings_read())}
  made = make_dataset(dataset, data_dir)
  return api.train(
    made,
    make_feature(feature, made),
    run_dir,
    make_model=model,
    make_optimizer_eg=optimizer,
    make_optimizer_d=optimizer_d,
    epochs=epochs,
    batch_size=batch_size,
    seed=seed,
    evaluate_every=evaluate_every,
    checkpoint_every=checkpoint_every,
    best=best,
    augment=augment,
    independent_of=independent_of,
    largest_weight=largest_weight,
    jit_compile=jit_compile,
    strategy=devices,
    fitting=gin.get_bindings("tfdisent.fit_feature"),
    measurements=measurements,
    measure=measure,
    describe=lambda: annotate(gin.operative_config_str(max_line_length=140)),
    description=description,
  )


def cost(dataset: Dataset, feature: Feature) -> str:
  """How long the configuration that was read last trains on this machine, by the time of a step, in words."""
  defaults, bound = inspect.signature(train).parameters, gin.get_bindings("tfdisent.train")
  epochs, batch_size = (bound.get(name, defaults[name].default) for name in ("epochs", "batch_size"))
  steps = batches.steps_per_epoch(dataset.train, batch_size)
  seconds = benchmark.seconds_per_step(model, optimizer, optimizer_d, dataset, feature, batch_size)
  minutes = seconds * epochs * steps / 60
  return f"{epochs} epochs of {steps:,} steps of {batch_size} images: about {minutes:.1f} minutes on this machine."


_fit_feature = gin.external_configurable(
  api.fit_feature, "fit_feature", module="tfdisent", denylist=["run_dir", "dataset", "feature", "progress"]
)


def fit_feature(run_dir: pathlib.Path, data_dir: str | None = None) -> dict:
  """Fits the learned parts of the feature of the configuration that was read last: see `tfdisent.api.fit_feature`."""
  dataset = dataset_of_run(data_dir)
  feature = make_feature(gin.get_bindings("tfdisent.train").get("feature"), dataset)
  return _fit_feature(str(run_dir), dataset, feature)


def evaluate(
  run_dir: pathlib.Path, split: str, checkpoint: str, data_dir: str | None = None, trust: Sequence[str] = ()
) -> Metrics:
  """Measures a run with the data set and the measurements of the configuration that was read last.

  What the configuration does not bind is that of the run: see `tfdisent.api.evaluate`.
  """
  bound = gin.get_bindings("tfdisent.train")
  return api.evaluate(
    run_dir,
    dataset_of_run(data_dir) if bound.get("dataset") else None,
    split,
    checkpoint,
    data_dir or bound.get("data_dir"),
    [MEASUREMENTS.create(name) for name in bound.get("measurements", ())],
    trust,
  )


@gin.configurable(module="tfdisent")
@checked("sweep")
def sweep(grid: Mapping[str, Sequence] | Sequence[Mapping[str, Sequence]] | None = None) -> dict[str, dict]:
  """The runs of a sweep; see `tfdisent.sweep.combinations`."""
  return combinations(grid or ())


def make_feature(name: str | Sequence[str] | None, dataset: Dataset | None = None) -> Feature:
  """The registered feature `name`, with its bindings; or that of some columns of a data set."""
  if name is None:
    raise ConfigError(
      "no feature is chosen: put `import features.digit_label` and `train.feature = 'digit_label'` "
      "(or your own plug-in) into the gin file."
    )
  is_registered = isinstance(name, str) and (name in FEATURES or dataset is None or name not in dataset.train)
  return FEATURES.create(name) if is_registered else choose(name, dataset)


def make_dataset(name: str | None, data_dir: str | None) -> Dataset:
  """The registered data set `name`, with its bindings, and with `data_dir` if that is given."""
  return DATASETS.create(_chosen(name), **({"data_dir": data_dir} if data_dir else {}))


def _described(name: str | None, data_dir: str | None) -> dict:
  """Plain data from which the data set of `make_dataset` can be made again; see `Registry.describe`."""
  return DATASETS.describe(_chosen(name), **({"data_dir": data_dir} if data_dir else {}))


def _chosen(name: str | None) -> str:
  if name is None:
    raise ConfigError(
      "no data set is chosen: put `import tfdisent.data.color_mnist` and `train.dataset = 'color_mnist'` "
      "into the gin file. Your own images need none: leave --gin_file out, and name their folder as --data_dir."
    )
  return name


def dataset_of_run(data_dir: str | None = None) -> Dataset:
  """The data set of the configuration that was read last."""
  bound = gin.get_bindings("tfdisent.train")
  return make_dataset(bound.get("dataset"), data_dir or bound.get("data_dir"))


# --- How a configuration is read --------------------------------------------------------------------------------------


# Replaced, since gin tries a reader that is added only after its own.
gin.config._FILE_READERS[:] = readers(gin.config._FILE_READERS)


def read(files: Sequence[str], bindings: Sequence[str] = ()) -> None:
  """Reads gin files, then single bindings ("train.epochs = 3"); forgets what was read before.

  A file that is included is looked for in the current folder, beside the file that includes it, and in the
  installation. Old names are taken as the new ones, and a line says so.

  Raises:
    ConfigError: a file, an import, a configurable or a parameter does not exist, or the syntax is wrong; the message
      names it.
  """
  gin.clear_config()
  try:
    bindings = [moved.renamed(binding, tell) for binding in bindings]
    gin.parse_config_files_and_bindings(list(files), bindings, skip_unknown=False, finalize_config=True)
  except OSError as error:
    shipped = ", ".join(map(shipped_name, shipped_configs()))
    raise ConfigError(f"{in_words(error)} Shipped with tfdisent: {shipped}.") from error
  except WRONG as error:
    raise ConfigError(what_is_wrong(error, files, bindings)) from error


def bindings_read() -> set[str]:
  """The bindings of the configuration that was read last by which runs are told apart: see `tfdisent.run.bindings`."""
  return run.bindings(gin.config_str(max_line_length=140))


def shipped_configs() -> list[pathlib.Path]:
  """The gin files that are installed with tfdisent."""
  import gin_configs

  return sorted(pathlib.Path(gin_configs.__file__).parent.rglob("*.gin"))


def shipped_name(file: pathlib.Path) -> str:
  """The name of a shipped file for `--gin_file`, as in "gin_configs/quickstart.gin"."""
  (folder,) = (parent for parent in file.parents if parent.name == "gin_configs")
  return file.relative_to(folder.parent).as_posix()
