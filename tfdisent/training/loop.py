"""Training a model: from a data set and a feature to a run folder with checkpoints."""

import contextlib
import numbers
import pathlib
from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent import run
from tfdisent.checkpoints import Checkpoints, restore
from tfdisent.console import say
from tfdisent.data.alike import refuse_alike
from tfdisent.data.augment import make_augment
from tfdisent.data.batches import steps_per_epoch, training_batches, validation_steps
from tfdisent.data.dataset import Dataset
from tfdisent.data.pixels import WHITE
from tfdisent.distribution import Worker
from tfdisent.errors import ConfigError, DataError, FeatureError, shown
from tfdisent.feature import learned
from tfdisent.feature.contract import Feature
from tfdisent.feature.independence import Independence
from tfdisent.feature.values import feature_values
from tfdisent.inference import TrainedModel
from tfdisent.model.vae import DisentangledVAE
from tfdisent.paths import expanded
from tfdisent.training import notes
from tfdisent.training.callbacks import Progress, SaveCheckpoints, StopOnNonFinite
from tfdisent.training.optimizers import check_gradients, make_optimizer, make_optimizer_of_d
from tfdisent.training.same_data import described, refuse_other_data
from tfdisent.training.signals import noting_signals


def train_model(
  run_dir: str,
  dataset: Dataset,
  feature: Feature,
  make_model: Callable[..., DisentangledVAE] = DisentangledVAE,
  make_optimizer_eg: Callable[[int], keras.optimizers.Optimizer] = make_optimizer,
  make_optimizer_d: Callable[[int], keras.optimizers.Optimizer] = make_optimizer_of_d,
  epochs: int = 10,
  batch_size: int = 128,
  seed: int = 0,
  checkpoint_every: int = 500,
  best: str = "loss",
  jit_compile: bool = False,
  strategy: tf.distribute.Strategy | None = None,
  fitting: Mapping | None = None,
  augment: Mapping | None = None,
  independent_of: Sequence[str] = (),
  largest_weight: float = 50.0,
  callbacks: Sequence[keras.callbacks.Callback] = (),
  prepare: Callable[[], None] = lambda: None,
  describe: Callable[[], str] = str,
  description: Mapping | None = None,
) -> TrainedModel:
  """Trains a model, or goes on with the training that `run_dir` holds; exactly, from the step of its last checkpoint.

  On Ctrl-C (in a notebook: an interrupt of the kernel), SIGTERM or SIGHUP the step in hand is finished and a checkpoint
  written; a second one stops at once. `tfdisent.train` draws and measures the model, too.

  Args:
    run_dir: gets `config.gin`, `run.json`, `model.json` and `checkpoints/`; see `tfdisent.run`.
    dataset: its split `train` is trained on; the best checkpoint is chosen on its split `validation`.
    feature: f.
    make_model: makes the model, from (image_shape, feature, seed=…).
    make_optimizer_eg: makes the optimizer of E1, E2, G and q, from the number of steps of the whole training.
    make_optimizer_d: likewise, of D.
    epochs: how often the training split is seen. More than a run was begun with extend it: it goes on from where it
      ended, and the schedule of the learning rate is of all of them.
    batch_size: examples of a step, of all replicas together: an even number for each.
    seed: of everything random in the training.
    checkpoint_every: a checkpoint is written after so many steps, besides the one after each epoch; 0 for none.
    best: by what the best checkpoint is chosen, "loss" or a number that one of `callbacks` puts into the logs: see
      `tfdisent.training.callbacks.SaveCheckpoints`.
    jit_compile: whether XLA compiles the step.
    strategy: of `tf.distribute`; None is the current one.
    fitting: arguments of `tfdisent.fit_feature` for the learned features that were not fitted before. Its noise is
      that of `objective.q_noise` unless it is given.
    augment: arguments of `tfdisent.data.augment.Augment`, which changes the images of the split `train`.
    independent_of, largest_weight: of `tfdisent.feature.independence.Independence`: what goes together with f in the
      split `train`, and shall not.
    callbacks: for `fit`, of every worker. They are called once the loss was checked and before a checkpoint is written.
    prepare: called by every worker before `fit`, if epochs are left. What takes long on the chief alone must be done
      here (as the training of judges): within `fit` the other workers wait for the chief, and time out.
    describe: gives the configuration as text, once all is built. A run folder is only continued with the configuration
      that it was begun with.
    description: what the run folder says of the run, as plain data: see `tfdisent.run.write_description`.

  Returns:
    The model with its best weights.

  Raises:
    TfdisentError: of a kind that says what is wrong; before training starts, for all that can be known then.
    Interrupted: on Ctrl-C, SIGTERM or SIGHUP, once a checkpoint is written. It is no return, since the model would look
      like a trained one to the cells or lines that follow.
  """
  # --- Check everything that can be checked before hours are spent ---
  strategy = strategy or tf.distribute.get_strategy()
  run_dir, worker, unfitted = expanded(run_dir), Worker(strategy), learned.unfitted(feature)
  check_counts(1, epochs=epochs, batch_size=batch_size)
  check_counts(0, checkpoint_every=checkpoint_every)
  batches = _Batches(dataset, feature, batch_size, seed, strategy, augment, independent_of, largest_weight)

  # --- Build ---
  keras.utils.set_random_seed(seed)
  with strategy.scope():
    model, steps = make_model(dataset.image_shape, feature, seed=seed), epochs * batches.steps_per_epoch
    model.compile(make_optimizer_eg(steps), make_optimizer_d(steps), jit_compile=jit_compile)
  check_gradients(model, strategy, dataset.train["image"][:32])

  with worker.naming_the_lost(), contextlib.ExitStack() as stack:
    # --- Begin the run folder, or go on with it ---
    stack.enter_context(run.alone_in(run_dir) if worker.is_chief else contextlib.nullcontext())
    checkpoints, begun_with = _begun(run_dir, model, dataset, worker, epochs, describe(), description)
    if worker.is_chief:
      notes.tell(model, make_optimizer_eg, steps, begun_with, epochs)

    # --- Fit what is learned and was not fitted before; a checkpoint holds it ---
    if unfitted:
      if not (checkpoints.epoch or checkpoints.step):
        usual = {"seed": seed, "noise": model.objective.q_noise}  # of L_f2: the network will read fusions in it
        learned.fit_missing(unfitted, dataset, run_dir / run.FEATURES_FOLDER, worker, **usual | dict(fitting or {}))
      batches.read()

    # --- Train ---
    if checkpoints.epoch < epochs:
      prepare()
      stop, checking = stack.enter_context(noting_signals()), StopOnNonFinite(run_dir)
      saving = SaveCheckpoints(checkpoints, checkpoint_every, lambda: worker.any(stop()), best, checking.check)
      _fit(model, batches, checkpoints, epochs, worker, [checking, *callbacks, saving])

    chosen = restore(run_dir, "best", model)
  return TrainedModel(model, class_names=dataset.class_names, checkpoint=chosen, background=dataset.background)


def check_counts(least: int, **counts: int) -> None:
  """Raises `ConfigError` unless each of `counts`, bindings of `train`, is a whole number of at least `least`."""
  for name, count in counts.items():
    if not isinstance(count, numbers.Integral) or count < least:
      raise ConfigError(f"train.{name} = {shown(count)} must be a whole number of at least {least}.")


class _Batches:
  """The batches of a training, once it is checked that there are some.

  Attributes:
    steps_per_epoch: batches of the training split.
    validation_steps: batches of the validation split, the last of which is filled up.
  """

  def __init__(
    self,
    dataset: Dataset,
    feature: Feature,
    batch_size: int,
    seed: int,
    strategy: tf.distribute.Strategy,
    augment: Mapping | None,
    independent_of: Sequence[str],
    largest_weight: float,
  ):
    refuse_alike(dataset)
    multiple = 2 * strategy.num_replicas_in_sync  # q_data='pairs' swaps the z1 of examples 2k and 2k+1 of a replica
    if batch_size % multiple:
      raise ConfigError(
        f"train.batch_size = {batch_size} must be a multiple of {multiple}: an even number for each replica."
      )
    with strategy.scope():
      feature.build(dataset.image_shape)  # the values of a learned f are read by its network
    self._dataset, self._feature, self._batch_size = dataset, feature, batch_size
    self._seed, self._strategy, self._augment = seed, strategy, make_augment(augment)
    self._independence = Independence(dataset, feature, independent_of, largest_weight)
    self.read()
    self.steps_per_epoch = steps_per_epoch(dataset.train, batch_size)
    if len(dataset.validation["image"]) < 2:
      raise DataError(
        "the validation split has 1 image, and a fusion is of two: raise validation_fraction of the data set, or add "
        "images."
      )
    # A validation split smaller than a batch is one batch, filled up to the next multiple only.
    self._validation_size = min(batch_size, multiple * validation_steps(dataset.validation, multiple))
    self.validation_steps = validation_steps(dataset.validation, self._validation_size)

  def read(self) -> None:
    """Reads f(x) of the examples: at first, and again once a network that reads it in their pixels was fitted."""
    self._values, self._frequency = {}, None
    for split, hint in (("train", ""), ("validation", ", of which validation_fraction says how many")):
      try:
        self._values[split] = feature_values(self._feature, self._dataset[split])
      except FeatureError as error:
        count = len(self._dataset[split]["image"])
        raise FeatureError(f"in the {count} images of '{split}'{hint}: {error}") from error

  def training(self, first_step: int) -> tf.distribute.DistributedDataset:
    """Batches of the training split, from a step of the whole training on."""
    if self._frequency is None:
      self._frequency = self._independence.frequency(self._values["train"])
    drawn = {"augment": self._augment, "frequency": self._frequency, "shards": self._dataset.shards}
    return self._distributed("train", self._batch_size, first_step=first_step, **drawn)

  def validation(self) -> tf.distribute.DistributedDataset:
    """Batches of the validation split, in its order."""
    return self._distributed("validation", self._validation_size, shuffle=False)

  def _distributed(self, split, size, **keywords):
    examples, values = self._dataset[split], self._values[split]
    return self._strategy.distribute_datasets_from_function(
      lambda context: training_batches(examples, values, size, self._seed, context=context, **keywords)
    )


def _begun(
  run_dir: pathlib.Path,
  model: DisentangledVAE,
  dataset: Dataset,
  worker: Worker,
  epochs: int,
  config: str,
  description: Mapping | None,
) -> tuple[Checkpoints, int]:
  """Begins a run folder, or goes on with one of the same configuration and data.

  Gives its checkpoints, and the number of epochs that it was begun with; 0 for a new one. The arguments are those of
  `train_model`, and `config` is the configuration as text.
  """
  data = described(dataset)
  run.refuse_another(run_dir, config)
  refuse_other_data(run_dir, data)
  begun_with = run.refuse_fewer_epochs(run_dir, epochs)
  checkpoints = _restored(run_dir, model, worker, epochs)
  if worker.is_chief:
    description = {"dataset": None, **(description or {}), "epochs": epochs, "data": data}
    if dataset.background != WHITE:
      description["background"] = list(dataset.background)
    run.write_description(run_dir, config, model.get_config(), dataset.class_names, description)
    if checkpoints.epoch < epochs:
      (run_dir / run.FEATURE_EXAMPLES_FILE).unlink(missing_ok=True)  # that of fewer epochs would say: trained
  return checkpoints, begun_with


def _restored(run_dir: pathlib.Path, model: DisentangledVAE, worker: Worker, epochs: int) -> Checkpoints:
  """The checkpoints of a run, with the newest one restored into the model, if there is any.

  It writes nothing, so that a run of another architecture, which is an error here, is left as it was.
  """
  checkpoints = Checkpoints(run_dir, model, writes=worker.is_chief)
  worker.check_same(run_dir, **dict(zip(("epochs", "steps"), checkpoints.newest)))
  if checkpoints.restore_last() and worker.is_chief:
    where = f"epoch {checkpoints.epoch}" + (f" and {checkpoints.step} steps" if checkpoints.step else "")
    more = f"Nothing is left to train. To train it longer, ask for more: train.epochs = {2 * epochs}."
    done = checkpoints.epoch >= epochs
    say(f"Going on with the run in {run_dir} after {where} of {epochs} epochs." + (f" {more}" if done else ""))
  return checkpoints


def _fit(model, batches: _Batches, checkpoints: Checkpoints, epochs: int, worker: Worker, callbacks) -> None:
  """Trains the epochs that are left: first the rest of an epoch that was interrupted, then all others."""
  progress = [Progress()] if worker.is_chief else []
  while checkpoints.epoch < epochs and not model.stop_training:
    epoch, steps_before = checkpoints.epoch, checkpoints.step
    model.fit(
      batches.training(epoch * batches.steps_per_epoch + steps_before),
      initial_epoch=epoch,
      epochs=epoch + 1 if steps_before else epochs,
      steps_per_epoch=batches.steps_per_epoch - steps_before,
      validation_data=batches.validation(),
      validation_steps=batches.validation_steps,
      verbose=0,  # `Progress` prints the figures
      shuffle=False,  # the batches are shuffled already
      callbacks=[*progress, *callbacks],
    )
