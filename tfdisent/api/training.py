"""Training a model, with its pictures and its quick figures of validation images."""

import contextlib
import pathlib
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from tfdisent import pictures, plugins, run
from tfdisent.api.measuring import is_measured, measure_run
from tfdisent.api.trained_run import TrainedRun
from tfdisent.arguments import checked
from tfdisent.console import Progress, say
from tfdisent.data.dataset import Dataset
from tfdisent.distribution import Worker, make_strategy
from tfdisent.errors import ConfigError, Interrupted, shown
from tfdisent.evaluation.best import check_score
from tfdisent.evaluation.measurement import Measurement
from tfdisent.evaluation.monitor import TensorBoard
from tfdisent.evaluation.protocol import train_judges
from tfdisent.examples import save_examples, save_feature_examples
from tfdisent.feature.contract import Feature
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.networks import Family
from tfdisent.paths import expanded, quoted
from tfdisent.recipe import Maker, OptimizerLike, Recipe, complete
from tfdisent.registry import MEASUREMENTS
from tfdisent.training.callbacks import NamesOfKeras
from tfdisent.training.loop import check_counts, train_model


@checked("train")
def train(
  dataset: Dataset,
  features: Feature | str | Sequence[str],
  run_dir: str | pathlib.Path | None = None,
  preset: str | None = None,
  objective: Objective | Mapping[str, Any] | None = None,
  networks: Family | None = None,
  model: Mapping[str, Any] | None = None,
  optimizer: OptimizerLike | None = None,
  optimizer_d: OptimizerLike | None = None,
  learning_rate: float | None = None,
  epochs: int | None = None,
  batch_size: int | None = None,
  seed: int = 0,
  callbacks: Sequence[keras.callbacks.Callback] = (),
  evaluate_every: int | None = None,
  checkpoint_every: int = 500,
  best: str = "loss",
  jit_compile: bool = False,
  strategy: tf.distribute.Strategy | str | None = None,
  fitting: Mapping[str, Any] | None = None,
  augment: Mapping[str, Any] | None = None,
  independent_of: Sequence[str] = (),
  largest_weight: float = 50.0,
  measurements: Sequence[str] | None = None,
  measure: bool = True,
  make_model: Callable[..., DisentangledVAE] | None = None,
  make_optimizer_eg: Maker | None = None,
  make_optimizer_d: Maker | None = None,
  describe: Callable[[], str] | None = None,
  description: Mapping[str, Any] | None = None,
  progress: Progress = say,
) -> TrainedRun:
  """Trains a model, draws its fusions, and takes its quick figures on validation images.

  A run that was interrupted goes on exactly, from the step of its last checkpoint. A finished run that is given more
  epochs goes on from where it ended. The test split is not read.

      m = tfdisent.train(data, features=["smile", "age"], run_dir="runs/photos")
      m = tfdisent.train(data, "smile", "runs/smile", epochs=20, model={"z1_width": 8}, learning_rate=5e-4)
      m = tfdisent.train(data, "smile", "runs/paper", preset="paper", objective={"lambda3": 20.0})
      fusions = m.control(images, {"smile": 1})

  What is given goes before the preset, and the preset before the defaults of `DisentangledVAE`, `Objective` and
  `make_optimizer`. The command line, with the same arguments in a configuration, gives the same weights to the bit.

  Args:
    dataset: its split `train` is trained on; the best checkpoint is chosen on its split `validation`.
    features: f, or the columns of the data set that are to be controlled: see `tfdisent.feature.choose`.
    run_dir: the run folder; `tfdisent.load` reads it. See `tfdisent.run`. None for a temporary one, which is removed
      with the model that is returned; that of a training that was stopped stays.
    preset: "small", "medium", "large", "paper" or "auto": see `tfdisent.presets.preset`. None is "auto", and no preset
      where `make_model` or an `Objective` is given.
    objective: the whole loss, `tfdisent.Objective(lambda3=20.0)`, or some of its arguments, {"lambda3": 20.0}.
    networks: the family of the networks: "plain", or one of your own. See `tfdisent.networks`.
    model: arguments of `DisentangledVAE`, {"z1_width": 8, "G": {"dense": (256,)}}.
    optimizer: of E1, E2, G, q and a: an optimizer of Keras, its name, "adamw", or arguments of
      `tfdisent.training.optimizers.make_optimizer`, {"decay": None, "warmup_steps": 300}. By default Adam, with a rate
      of 1e-3 that falls along a cosine.
    optimizer_d: likewise, of D. By default Adam at 2e-4 with β1 = 0.5, along a cosine, too.
    learning_rate: the highest one of `optimizer`, unless that is an optimizer of Keras.
    epochs: how often the training split is seen; None for those of the preset, or 10. More than a run was begun with
      extend it: the schedule of the learning rate is then that of all of them, so that the rate rises anew where it had
      fallen.
    batch_size: examples of a step, of all replicas together: an even number for each. None for that of the preset, or
      128.
    seed: of everything random in the training.
    callbacks: of Keras, [keras.callbacks.EarlyStopping(patience=3)]; every worker calls them. The logs have L as `loss`
      and `val_loss`, and every term. The run folder has checkpoints and TensorBoard's curves without any callback.
      `ReduceLROnPlateau` needs a constant rate: optimizer={"decay": None}.
    evaluate_every: after so many epochs, and after the last one, the quick subset of the evaluation is run on
      validation images, for TensorBoard; 0 for never. None is that of the preset, which is 0, or else 5. The judges are
      trained before it first runs.
    checkpoint_every: a checkpoint is written after so many steps, besides the one after each epoch; 0 for none.
    best: by what the best checkpoint is chosen, on validation images: "loss", the lowest L after every epoch, without
      the terms of D and of the adversary; or "score", what judges, a linear probe and PSNR say after every
      `evaluate_every` epochs: see `tfdisent.evaluation.best`.
    jit_compile: whether XLA compiles the step.
    strategy: of `tf.distribute`, or its name: see `tfdisent.distribution.make_strategy`. None is the current one.
    fitting: arguments of `fit_feature` for the learned features that were not fitted before, {"epochs": 20}. They are
      fitted before the training begins, and kept in the run folder.
    augment: what the training changes at random in its images, {"shift": 0.05, "scale": 0.1, "shear": 0.2, "flip":
      True}: see `tfdisent.data.augment.Augment`. It must not change f(x). A small set has more styles so.
    independent_of: columns that go together with f in the training images by chance, ("color",), or registered
      features. Images are drawn as if f were independent of them, a rare combination more often, so that what is
      asked for does not bring them along: see `tfdisent.feature.independence`.
    largest_weight: of a rare combination: see `tfdisent.feature.independence.Independence`.
    measurements: names of registered measurements, which are taken in every evaluation of this run; in those of the
      training, the quick ones are. None for those of the preset.
    measure: whether the trained model is drawn and measured. A run that is not has no `feature_examples.json`.
    make_model: makes the model, from (image_shape, feature, seed=…), in place of `objective`, `networks` and `model`.
    make_optimizer_eg: makes the optimizer of E1, E2, G and q, from the number of steps of the whole training, in place
      of `optimizer`.
    make_optimizer_d: likewise, of D.
    describe: gives the configuration as text, once all is built; None for that of the arguments. A run folder is only
      continued with the configuration that it was begun with.
    description: what the run folder says of the run, as plain data: see `tfdisent.run.write_description`.
    progress: told what is done, as lines.

  Returns:
    The model with its best weights.

  Raises:
    TfdisentError: of a kind that says what is wrong; before training starts, for all that can be known then.
    Interrupted: on Ctrl-C, an interrupt of a notebook's kernel, or SIGTERM, once a checkpoint is written. A notebook
      shows its one line. It is raised, since a model that is returned would look trained to the cells that follow.
  """
  start = time.monotonic()
  strategy = make_strategy(strategy) if isinstance(strategy, str) else strategy
  of_model = {"objective": objective, "networks": networks, "model": model, "make_model": make_model}
  of_optimizers = {"optimizer": optimizer, "optimizer_d": optimizer_d, "learning_rate": learning_rate}
  makers = {"make_optimizer_eg": make_optimizer_eg, "make_optimizer_d": make_optimizer_d}
  counts = {"epochs": epochs, "batch_size": batch_size, "evaluate_every": evaluate_every, "measurements": measurements}
  recipe = complete(dataset, features, preset_name=preset, **of_model, **of_optimizers, **makers, **counts)
  check_counts(0, evaluate_every=recipe.evaluate_every)
  _check_best(best, recipe, dataset)
  recipe.check_callbacks(callbacks)
  described, quick = _measurements(recipe.measurements, dataset)
  if recipe.preset:
    progress(f"Recipe '{recipe.preset.name}', for {recipe.preset.why}; epochs: {recipe.epochs}.")
  steps = {"seed": seed, "checkpoint_every": checkpoint_every, "jit_compile": jit_compile, "augment": augment}
  steps |= {"epochs": recipe.epochs, "batch_size": recipe.batch_size, "best": best}
  steps |= {"independent_of": independent_of, "largest_weight": largest_weight}
  description = {**(description or {"dataset": None}), "measurements": described}
  description |= {"best": best} if best != "loss" else {}
  with _folder(run_dir, progress) as folder:
    told = {"describe": describe or (lambda: recipe.config(**steps)), "description": description}
    model = _trained(folder, dataset, recipe, quick, callbacks, strategy=strategy, fitting=fitting, **steps, **told)
  trained = TrainedRun(model, folder, dataset, is_temporary=run_dir is None)
  if measure:
    _draw_and_measure(trained, dataset, quick, start, progress)
  return trained


def _check_best(best: str, recipe: Recipe, dataset: Dataset) -> None:
  if best not in ("loss", "score"):
    raise ConfigError(f"train.best = {shown(best)}: choose one of 'loss', 'score'.")
  if best == "score":
    check_score(recipe.feature, dataset, recipe.evaluate_every)


def _measurements(names: Sequence[str], dataset: Dataset) -> tuple[list[Mapping], list[Measurement]]:
  """What the run folder says of some measurements, and those of them that are quick.

  Raises:
    ConfigError: one cannot be taken on the data set.
  """
  described, made = (list(map(of_name, names)) for of_name in (MEASUREMENTS.describe, MEASUREMENTS.create))
  for measurement in made:
    measurement.check(dataset)
  return described, [measurement for measurement in made if measurement.quick]


@contextlib.contextmanager
def _folder(run_dir: str | pathlib.Path | None, progress: Progress) -> Iterator[pathlib.Path]:
  """The run folder of a training; a temporary one, where none is given, goes again where the training fails."""
  if run_dir is not None:
    yield expanded(run_dir)
    return
  run_dir = pathlib.Path(tempfile.mkdtemp(prefix="tfdisent-"))
  progress(f"The run is in {run_dir}, a temporary folder that is removed with the model.")
  try:
    yield run_dir
  except Interrupted as error:
    raise Interrupted(f"{error} Its run_dir is {str(run_dir)!r}.") from None
  except Exception:
    shutil.rmtree(run_dir, ignore_errors=True)
    raise


def _trained(
  folder: pathlib.Path,
  dataset: Dataset,
  recipe: Recipe,
  quick: Sequence[Measurement],
  callbacks: Sequence[keras.callbacks.Callback],
  best: str,
  **arguments,
) -> TrainedModel:
  """The model of a recipe, trained into a run folder; `arguments` are others of `train_model`."""
  curves = TensorBoard(
    folder / run.TENSORBOARD_FOLDER, dataset, recipe.epochs, recipe.evaluate_every, quick, best == "score"
  )
  return train_model(
    folder,
    dataset,
    recipe.feature,
    recipe.make_model,
    recipe.make_optimizer_eg,
    recipe.make_optimizer_d,
    callbacks=[curves, *([NamesOfKeras(), *callbacks] if callbacks else [])],
    prepare=lambda: train_judges(dataset, recipe.feature) if recipe.evaluate_every else None,
    best=best,
    **arguments,
  )


def _draw_and_measure(
  trained: TrainedRun, dataset: Dataset, measurements: Sequence[Measurement], start: float, progress: Progress
) -> None:
  """Pictures and quick figures of the validation split, in the run folder; the chief makes them."""
  if not Worker(trained.model.distribute_strategy).is_chief:
    progress("Trained. Worker 0 has written the run.")
    return
  progress(f"Trained in {(time.monotonic() - start) / 60:.1f} minutes. Drawing and evaluating …")
  run_dir, f = trained.run_dir, feature_values(trained.feature, dataset.validation)
  paths = pictures.write_pictures(run_dir, trained, dataset.validation, f)
  if not is_measured(run_dir, trained, dataset, "validation"):
    progress("On the validation split:")
    measure_run(run_dir, trained, dataset, "validation", progress, measurements, quick=True)
  save_examples(run_dir, dataset.validation["image"][pictures.pick(f, trained.feature, pictures.SIDE)])
  paths += [worst] if (worst := run_dir / run.WORST_FILE).is_file() else []
  # Last, since this file says that all is done.
  save_feature_examples(run_dir, f[pictures.pick(f, trained.feature)])
  progress(_summary(run_dir, paths))


def _summary(run_dir: pathlib.Path, paths: Sequence[pathlib.Path]) -> str:
  """What a training has written, and what to do with it."""
  packages = plugins.to_be_trusted(run.modules(run_dir))
  flags = f"--run_dir={quoted(run_dir)}" + (f" --trust={','.join(packages)}" if packages else "")
  trust = f", trust={packages!r}" if packages else ""
  return (
    f"\nThe run is in {run_dir}:\n"
    + "".join(f"  {path}\n" for path in paths)
    + f"  {run_dir / run.named(run.METRICS_FILE, 'validation')}  {run_dir / run.CONFIG_FILE}  "
    f"{run_dir / run.CHECKPOINTS_FOLDER}/  {run_dir / run.TENSORBOARD_FOLDER}/\n\n"
    "Next:\n"
    f"  look at       {run_dir / run.FUSION_FILE}: rows share z1, columns share z2\n"
    f"  read          {run_dir / run.WORDS_FILE}: what came out, in plain words, and what to try\n"
    f"  curves        tensorboard --logdir={quoted(run_dir)}\n"
    f"  measure all   tfdisent --mode=eval {flags}\n"
    f"  new images    tfdisent --mode=sample {flags}\n"
    f"  swap features tfdisent --mode=sample --what=swap {flags}\n"
    f"  from Python   import tfdisent; m = tfdisent.load({str(run_dir)!r}{trust}); m.control(images, feature)"
  )
