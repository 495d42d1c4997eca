"""What one does with a run, each in one call: `fit_feature`, `train`, `load`, `evaluate`, `export` and `sample`.

    import tfdisent

    data = tfdisent.data.from_folder("photos")
    m = tfdisent.train(data, features="label", run_dir="runs/photos", epochs=20)
    m.show_fusions()
    figures = m.evaluate("validation")

The command line calls these functions with what a configuration binds (`tfdisent.config`). This is the only module that
joins training to evaluation.
"""

import contextlib
import pathlib
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

from tfdisent import evaluation, inference, pictures, plugins, run, serving, shipped
from tfdisent.arguments import checked
from tfdisent.console import say
from tfdisent.data.dataset import Dataset
from tfdisent.distribution import Worker, make_strategy
from tfdisent.errors import ConfigError, Interrupted, RunError
from tfdisent.evaluation import report, words
from tfdisent.evaluation.monitor import TensorBoard, write_scalars
from tfdisent.evaluation.protocol import Metrics, train_judges
from tfdisent.evaluation.small_judges import save_judges
from tfdisent.evaluation.worst import Judged, judged_fusions
from tfdisent.examples import save_examples, save_feature_examples
from tfdisent.feature import learned
from tfdisent.feature.contract import Feature, feature_values
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.networks import Family
from tfdisent.paths import expanded, quoted
from tfdisent.recipe import Maker, OptimizerLike, complete
from tfdisent.registry import MEASUREMENTS
from tfdisent.serving import compact as _registers_compact  # noqa: F401
from tfdisent.serving import saved_model, web
from tfdisent.training.callbacks import NamesOfKeras
from tfdisent.training.loop import check_counts, train_model

Progress = Callable[[str], None]
"""Is told of each stage, as a line of text."""


class TrainedRun(TrainedModel):
  """A trained model with its run folder: what `train` and `load` give.

  Args:
    trained: the model.
    run_dir: the run folder.
    dataset: that it was trained on; None for the one that the folder names.
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    is_temporary: whether the folder is removed once nobody holds this object.
  """

  def __init__(
    self,
    trained: TrainedModel,
    run_dir: str | pathlib.Path,
    dataset: Dataset | None = None,
    trust: Sequence[str] = (),
    is_temporary: bool = False,
  ):
    super().__init__(trained.model, trained.batch_size, trained.class_names, trained.checkpoint, trained.background)
    self.run_dir = expanded(run_dir)
    self._dataset, self._trust = dataset, trust
    if is_temporary:
      weakref.finalize(self, shutil.rmtree, self.run_dir, ignore_errors=True)

  def evaluate(self, split: str = "test", measurements: Sequence = (), progress: Progress = say) -> Metrics:
    """`tfdisent.evaluate` of this run: figures of its weights, kept in its folder."""
    kind = self.checkpoint.kind
    return evaluate(
      self.run_dir, self._dataset, split, kind, measurements=measurements, trust=self._trust, progress=progress
    )

  def export(
    self,
    export_dir: str | pathlib.Path | None = None,
    format: str = "saved_model",
    model_name: str | None = None,
    progress: Progress = say,
  ) -> pathlib.Path:
    """`tfdisent.export` of this run, into EXPORT_DIR/MODEL_NAME."""
    kind = self.checkpoint.kind
    return export(self.run_dir, format, export_dir, model_name, kind, self._trust, progress=progress)

  def show_fusions(self, images: np.ndarray | None = None, feature_images: np.ndarray | None = None) -> Figure:
    """A figure of fusions, which a notebook shows: see `tfdisent.show_fusions`.

    Args:
      images: that give z1, [R, H, W, C]; None for eight of the validation split.
      feature_images: that give the feature, [K, H, W, C]; None for examples of the validation split that show its
        range, whose feature is known.

    Raises:
      RunError: images are missing, and the folder names no data set.
      FeatureError: `feature_images` are given, and f cannot be read from images.
    """
    feature = None
    if images is None or feature_images is None:
      examples = (self._dataset or run.read_dataset(self.run_dir, trust=self._trust)).validation
      if images is None:
        images = examples["image"][np.random.default_rng(1).permutation(len(examples["image"]))[:8]]
      if feature_images is None:
        f = feature_values(self.feature, examples)
        columns = pictures.pick(f, self.feature)
        feature_images, feature = examples["image"][columns], self.feature.to_natural(f[columns])
    return pictures.show_fusions(self, images, feature_images, feature)


# --- Training ---------------------------------------------------------------------------------------------------------


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
  jit_compile: bool = False,
  strategy: tf.distribute.Strategy | str | None = None,
  fitting: Mapping[str, Any] | None = None,
  augment: Mapping[str, Any] | None = None,
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
    jit_compile: whether XLA compiles the step.
    strategy: of `tf.distribute`, or its name: see `tfdisent.distribution.make_strategy`. None is the current one.
    fitting: arguments of `fit_feature` for the learned features that were not fitted before, {"epochs": 20}. They are
      fitted before the training begins, and kept in the run folder.
    augment: what the training changes at random in its images, {"shift": 0.05, "scale": 0.1, "shear": 0.2, "flip":
      True}: see `tfdisent.data.augment.Augment`. It must not change f(x). A small set has more styles so.
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
  start, is_temporary = time.monotonic(), run_dir is None
  strategy = make_strategy(strategy) if isinstance(strategy, str) else strategy
  recipe = complete(
    dataset,
    features,
    preset_name=preset,
    objective=objective,
    networks=networks,
    model=model,
    optimizer=optimizer,
    optimizer_d=optimizer_d,
    learning_rate=learning_rate,
    epochs=epochs,
    batch_size=batch_size,
    evaluate_every=evaluate_every,
    measurements=measurements,
    make_model=make_model,
    make_optimizer_eg=make_optimizer_eg,
    make_optimizer_d=make_optimizer_d,
  )
  check_counts(0, evaluate_every=recipe.evaluate_every)
  recipe.check_callbacks(callbacks)
  described, made = (
    list(map(of_name, recipe.measurements)) for of_name in (MEASUREMENTS.describe, MEASUREMENTS.create)
  )
  quick = [measurement for measurement in made if measurement.quick]
  if recipe.preset:
    progress(f"Recipe '{recipe.preset.name}', for {recipe.preset.why}; epochs: {recipe.epochs}.")
  training = {
    "epochs": recipe.epochs,
    "batch_size": recipe.batch_size,
    "seed": seed,
    "checkpoint_every": checkpoint_every,
    "jit_compile": jit_compile,
    "augment": augment,
  }
  others = {"evaluate_every": recipe.evaluate_every, "measurements": tuple(recipe.measurements)}
  with _folder(run_dir, progress) as folder:
    curves = TensorBoard(folder / run.TENSORBOARD_FOLDER, dataset, recipe.epochs, recipe.evaluate_every, quick)
    trained = train_model(
      folder,
      dataset,
      recipe.feature,
      recipe.make_model,
      recipe.make_optimizer_eg,
      recipe.make_optimizer_d,
      **training,
      strategy=strategy,
      fitting=fitting,
      callbacks=[curves, *([NamesOfKeras(), *callbacks] if callbacks else [])],
      prepare=lambda: train_judges(dataset) if recipe.evaluate_every else None,
      describe=describe or (lambda: recipe.config(**training, **others)),
      description={**(description or {"dataset": None}), "measurements": described},
    )
  trained = TrainedRun(trained, folder, dataset, is_temporary=is_temporary)
  if not measure:
    return trained
  if not Worker(trained.model.distribute_strategy).is_chief:
    progress("Trained. Worker 0 has written the run.")
    return trained
  progress(f"Trained in {(time.monotonic() - start) / 60:.1f} minutes. Drawing and evaluating …")
  paths = _draw_and_measure(folder, trained, dataset, quick, progress)
  progress(_summary(folder, paths))
  return trained


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


def _draw_and_measure(run_dir, trained, dataset, measurements, progress) -> list[pathlib.Path]:
  """Pictures and quick figures of the validation split; returns the paths of the pictures."""
  f = feature_values(trained.feature, dataset.validation)
  paths = pictures.write_pictures(run_dir, trained, dataset.validation, f)
  if not _is_measured(run_dir, trained, dataset, "validation"):
    progress("On the validation split:")
    _measure(run_dir, trained, dataset, "validation", progress, measurements, quick=True)
  save_examples(run_dir, dataset.validation["image"][pictures.pick(f, trained.feature, pictures.SIDE)])
  paths += [worst] if (worst := run_dir / run.WORST_FILE).is_file() else []
  # Last, since this file says that all is done.
  save_feature_examples(run_dir, f[pictures.pick(f, trained.feature)])
  return paths


def _summary(run_dir: pathlib.Path, paths: Sequence[pathlib.Path]) -> str:
  """What a training has written, and what to do with it."""
  packages = plugins.to_be_trusted(run.modules(run_dir))
  flags = f"--run_dir={quoted(run_dir)}" + (f" --trust={','.join(packages)}" if packages else "")
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
    f"  from Python   import tfdisent; m = tfdisent.load({str(run_dir)!r}); m.control(images, feature)"
  )


@checked("fit_feature")
def fit_feature(
  run_dir: str | pathlib.Path,
  dataset: Dataset,
  feature: Feature,
  epochs: int = 10,
  batch_size: int = 128,
  learning_rate: float = 1e-3,
  noise: float = 0.0,
  seed: int = 0,
  progress: Progress = say,
) -> dict:
  """Trains the networks of a learned feature, before a model is trained with it.

  `train` does so itself where it is not done before. Fit a feature first for several runs to share it.

      figures = tfdisent.fit_feature("runs/rotation_f", color_mnist(rotation_degrees=(-60, 60)), Rotation())
      rotation = Rotation(fitted="runs/rotation_f")

  Args:
    run_dir: the folder of the fitted feature. Where several parts of `feature` are learned, that of a part is
      `run_dir/NAME`.
    dataset: with the columns that the feature reads.
    feature: a `LearnedFeature`, or one that has such parts.
    epochs: how often the split `train` is seen.
    batch_size: images of a step.
    learning_rate: at the beginning; it falls along a cosine.
    noise: standard deviation of normal noise that is added to the images, in units of their range.
    seed: of weights, order and noise.
    progress: told of the results, as lines.

  Returns:
    The held-out error, as `tfdisent.feature.learned.fit_feature` gives it. Where several parts are learned, a dict of
    them by their names.

  Raises:
    ConfigError: nothing of the feature is learned.
    FeatureError: f(x) breaks its contract on the data set.
    RunError: the folder cannot be written.
  """
  feature = feature.of_dataset(dataset)
  parts = {n: part for n, part in zip(feature.part_names, feature.parts) if isinstance(part, learned.LearnedFeature)}
  if not parts:
    raise ConfigError(f"feature '{feature.name}' is not learned: there is nothing to fit. Train with it as it is.")
  figures = {}
  for name, part in parts.items():
    folder = expanded(run_dir) / name if len(parts) > 1 else expanded(run_dir)
    figures[name] = learned.fit_feature(str(folder), dataset, part, epochs, batch_size, learning_rate, noise, seed)
    progress(f"On held-out images: {', '.join(f'{key} {value:.4g}' for key, value in figures[name].items())}")
    progress(f"The fitted feature is in {folder}: bind its `fitted` to that folder, and train.")
  return figures if len(parts) > 1 else figures[name]


# --- Using a run ------------------------------------------------------------------------------------------------------


@checked("load")
def load(run_dir: str | pathlib.Path, which: str = "best", trust: Sequence[str] = ()) -> TrainedRun:
  """The trained model of a run folder, or of the package, as `load("glyphs")`: see `tfdisent.inference.load`."""
  return TrainedRun(inference.load(run_dir, which, trust), shipped.found(run_dir), trust=trust)


@checked("evaluate")
def evaluate(
  run_dir: str | pathlib.Path,
  dataset: Dataset | None = None,
  split: str = "test",
  checkpoint: str = "best",
  data_dir: str | None = None,
  measurements: Sequence = (),
  trust: Sequence[str] = (),
  progress: Progress = say,
) -> Metrics:
  """Measures a finished run, and keeps the figures and a report in its folder.

      figures = tfdisent.evaluate("runs/color", split="validation")
      figures["control/mae_mean"]  # {"value": …, "low": …, "high": …}

  `tfdisent.evaluation.evaluate` measures a model that is in no folder, and keeps nothing.

  Args:
    run_dir: the run folder.
    dataset: None for the one that the run was trained on, if the folder names it.
    split: "test" for figures to publish: the folder counts its reads. "validation" for choices.
    checkpoint: "best" (on validation) or "last".
    data_dir: where the data lies; None for where it lay in training.
    measurements: names or instances of measurements to take besides; none for those that the training was given.
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    progress: told of every stage and figure, as lines.

  Returns:
    The figures: see `tfdisent.evaluation.evaluate`.

  Raises:
    RunError: the folder holds no trained model, or names no data set.
    ConfigError: the folder asks for a plug-in that is not known.
    DataError: the data is not there, or `split` is another one.
  """
  run_dir = shipped.unpacked(run_dir)
  run.check_writable(run_dir)
  trained = inference.load(run_dir, checkpoint, trust)
  dataset = dataset or run.read_dataset(run_dir, data_dir, trust)
  measurements = measurements or run.read_measurements(run_dir, trust)
  if split == "test":
    progress(f"Reads of the test split, with this one: {run.count_test_read(run_dir, trained.checkpoint)}")
  metrics, provenance, path, worst = _measure(run_dir, trained, dataset, split, progress, measurements)
  curves = run_dir / run.TENSORBOARD_FOLDER
  scalars = {key: figure["value"] for key, figure in metrics.items()}
  write_scalars(curves / run.named(run.EVALUATION_FOLDER, split, checkpoint), scalars)
  page = run_dir / run.named(run.REPORT_FILE, split, checkpoint)
  config = run.read_config(run_dir)
  report.write_report(page, trained, dataset[split], metrics, report.read_curves(curves), config, provenance, worst)
  progress(f"\nWritten to {path}; look at {page}")
  return metrics


def _measure(run_dir, trained, dataset, split, progress, measurements, quick=False):
  """The figures of a run on a split, printed and kept; with their provenance, the path of their file, and a PNG of the
  fusions that were judged worst, if any were judged.
  """
  judged: list[Judged] = []

  def look(case):
    judged.extend(case.worst.values())
    save_judges(run_dir, dataset, split, case.readers)

  metrics = evaluation.evaluate(
    trained,
    dataset,
    split,
    quick=quick,
    progress=progress,
    measurements=measurements,
    look=look,
  )
  title = pictures.run_words(run_dir.absolute().name, trained.checkpoint)
  worst = judged_fusions(judged, title) if judged else None
  for name, figure in sorted(metrics.items()):
    interval = f"  [{figure['low']:.4f}, {figure['high']:.4f}]" if "low" in figure else ""
    progress(f"  {name:<32} {figure['value']:.4f}{interval}")
  if trained.checkpoint.kind == "best":
    text = words.in_words(run_dir.absolute().name, trained.feature, dataset, split, metrics)
    run.write(run_dir / run.WORDS_FILE, text)
    if worst:
      run.write(run_dir / run.WORST_FILE, worst)
  provenance = run.provenance(run_dir, dataset, split, trained.checkpoint, trained.model.seed)
  return metrics, provenance, run.write_metrics(run_dir, metrics, provenance), worst


def _is_measured(run_dir, trained, dataset, split) -> bool:
  """Whether the folder holds the figures of these very weights on this very split."""
  try:
    _, there = run.read_metrics(run_dir, split)
  except (FileNotFoundError, RunError):
    return False
  now = run.provenance(run_dir, dataset, split, trained.checkpoint, trained.model.seed)
  # Not by the hash of the configuration: an older version writes the same one in other words. Another one is refused.
  names = ("split", "images", "data", "checkpoint", "epoch", "step", "seed")
  return all(name in there and there[name] == now[name] for name in names)


@checked("export")
def export(
  run_dir: str | pathlib.Path,
  format: str = "saved_model",
  export_dir: str | pathlib.Path | None = None,
  model_name: str | None = None,
  checkpoint: str = "best",
  trust: Sequence[str] = (),
  progress: Progress = say,
) -> pathlib.Path:
  """Exports the model of a run for a server, for phones and browsers, or in a format of a plug-in.

      path = tfdisent.export("runs/color", export_dir="models")  # models/color/1, for TensorFlow Serving

  Args:
    run_dir: the run folder.
    format: a registered one: "saved_model", which gets a new version in EXPORT_DIR/MODEL_NAME, "litert", which is the
      file EXPORT_DIR/MODEL_NAME.tflite, "web", a page in EXPORT_DIR/MODEL_NAME.web, "compact", a small run folder to be
      sent to others, or your own.
    export_dir: where models are; None for RUN_DIR/export.
    model_name: what the model is called; None for the name of the run folder.
    checkpoint: "best" (on validation) or "last".
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    progress: told where the model is, as lines.

  Returns:
    The path of what was exported.

  Raises:
    ConfigError: there is no such format, or a model cannot be called so.
    RunError: the folder holds no trained model, or the model cannot be written.
  """
  run_dir = shipped.unpacked(run_dir) if export_dir is None else shipped.found(run_dir)
  folder = export_folder(run_dir, export_dir, model_name)
  trained = load(run_dir, checkpoint, trust)
  path = serving.export(trained, folder, format, run.read_config(run_dir))
  notes = {
    "saved_model": f"SavedModel: {path}\nLook at its signatures: saved_model_cli show --all --dir {quoted(path)}",
    "litert": f"LiteRT: {path}, with the signatures `control` and `encode`",
    "compact": f"A small run folder: {path}\nTry it: tfdisent --mode=demo --run_dir={quoted(path)}",
    "web": f"A page: {path}, for any web server\nSee it: {web.command(path)}",
  }
  progress(notes.get(format, f"{format}: {path}"))
  if format == "saved_model" and not saved_model.has_warmup():
    progress("It has no warm-up requests: `pip install tfdisent[serving]` brings what writes them.")
  return path


def export_folder(
  run_dir: str | pathlib.Path, export_dir: str | pathlib.Path | None = None, model_name: str | None = None
) -> pathlib.Path:
  """The folder of the exported model of a run; the arguments are those of `export`.

  Raises:
    ConfigError: a model cannot be called so.
  """
  run_dir = expanded(run_dir)
  name = model_name or run_dir.absolute().name
  saved_model.check_name(name)
  return expanded(export_dir or run_dir / run.EXPORT_FOLDER) / name


@checked("sample")
def sample(
  run_dir: str | pathlib.Path,
  seed: int = 0,
  checkpoint: str = "best",
  trust: Sequence[str] = (),
  progress: Progress = say,
  what: str = "samples",
  features: str | Sequence[str] = (),
  data_dir: str | None = None,
  dataset: Dataset | None = None,
) -> pathlib.Path:
  """Draws a picture of what a model does into the folder of its run.

      path = tfdisent.api.sample("runs/color", seed=7)  # runs/color/samples.png
      path = tfdisent.api.sample("runs/faces", what="morph", features="hair")  # runs/faces/morph_hair.png

  Args:
    run_dir: the run folder.
    seed: of z1, and of which images are taken.
    checkpoint: "best" (on validation) or "last".
    trust: packages that the run may import besides known plug-ins; see `tfdisent.plugins.check_import`.
    progress: told where the picture is, as a line.
    what: "samples", "swap", "strip", "grid" or "morph": see `tfdisent.pictures.samples.WHAT`.
    features: the names of the features that change; () for all, of a morph the first.
    data_dir: where to take the images from that are changed. None takes those that the run has kept, else those of its
      data set, else new ones.
    dataset: to take them from, in place of a folder.

  Returns:
    The path of the picture.

  Raises:
    ConfigError: `what` is none of these, or does not go with `features`.
    FeatureError: the model has no feature of such a name.
    RunError: the folder holds no trained model, or neither images nor a training that has ended.
    DataError: there is no data in `data_dir`.
  """
  pictures.check_what(what)
  run_dir = shipped.unpacked(run_dir)
  run.check_writable(run_dir)
  trained = inference.load(run_dir, checkpoint, trust)
  features = [features] if isinstance(features, str) else features
  path, line = pictures.write_sample(run_dir, trained, what, features, seed, data_dir, trust, dataset)
  progress(line)
  return path
