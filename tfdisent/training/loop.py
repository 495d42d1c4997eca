"""Training a run: from a data set and a feature to a run folder."""

import contextlib
import pathlib
import signal
import threading
from collections.abc import Callable, Mapping

import keras
import tensorflow as tf

from tfdisent import run
from tfdisent.checkpoints import Checkpoints, restore
from tfdisent.data.batches import steps_per_epoch, training_batches, validation_steps
from tfdisent.data.dataset import Dataset
from tfdisent.distribution import Worker
from tfdisent.errors import ConfigError, DataError
from tfdisent.evaluation.protocol import train_judges
from tfdisent.feature.contract import Feature, feature_values
from tfdisent.inference import TrainedModel
from tfdisent.model.vae import DisentangledVAE
from tfdisent.training.callbacks import Progress, SaveCheckpoints, StopOnNonFinite, TensorBoard
from tfdisent.training.optimizers import check_gradients, make_optimizer


def train(
  run_dir: str,
  dataset: Dataset,
  feature: Feature,
  make_model: Callable[..., DisentangledVAE] = DisentangledVAE,
  make_optimizer_eg: Callable[[int], keras.optimizers.Optimizer] = make_optimizer,
  make_optimizer_d: Callable[[int], keras.optimizers.Optimizer] = lambda steps: make_optimizer(
    steps, learning_rate=2e-4, arguments={"beta_1": 0.5}
  ),
  epochs: int = 10,
  batch_size: int = 128,
  seed: int = 0,
  evaluate_every: int = 5,
  checkpoint_every: int = 500,
  jit_compile: bool = False,
  strategy: tf.distribute.Strategy | None = None,
  describe: Callable[[], str] = str,
  description: Mapping | None = None,
) -> TrainedModel:
  """Trains a model, or goes on with the training that `run_dir` holds; exactly, from the step of its last checkpoint.

  On SIGTERM the step in hand is finished and a checkpoint written.

  Args:
    run_dir: gets `config.gin`, `run.json`, `model.json`, `checkpoints/` and `tensorboard/`.
    dataset: what to train on, and to choose the best checkpoint on.
    feature: f.
    make_model: the model, from (image_shape, feature, seed=…).
    make_optimizer_eg, make_optimizer_d: the optimizers of the encoders, the generator and q, and of D; from the number
      of steps.
    epochs: how often the training split is seen.
    batch_size: of the global batch.
    seed: of everything random here.
    evaluate_every: after so many epochs, and at the end, the quick subset of the evaluation is run on validation
      images, for TensorBoard; 0 for never.
    checkpoint_every: after so many steps, and at the end of an epoch, a checkpoint is written; 0 for the latter alone.
    jit_compile: whether XLA compiles the step.
    strategy: of `tf.distribute`; None is the current one.
    describe: gives the configuration as text, once all is built; a run folder is only continued with the one it was
      begun with.
    description: what the run folder says of the run, as plain data: see `tfdisent.run.write_description`.

  Returns:
    The model with its best weights.

  Raises:
    TfdisentError: of a kind that says what is wrong: before training starts for all that can be known then.
    Interrupted: on SIGTERM, once all is written.
  """
  # --- Check everything that can be checked before hours are spent ---
  _check_counts(1, epochs=epochs, batch_size=batch_size)
  _check_counts(0, evaluate_every=evaluate_every, checkpoint_every=checkpoint_every)
  feature.check_fitted()
  strategy = strategy or tf.distribute.get_strategy()
  worker = Worker(strategy)
  share = 2 * strategy.num_replicas_in_sync  # neighbours lend one another their z1
  if batch_size % share:
    raise ConfigError(
      f"train.batch_size = {batch_size} must be a multiple of {share}: an even number for each replica."
    )
  with strategy.scope():
    feature.build(dataset.image_shape)  # f(x) may be what a network reads
  values = {split: feature_values(feature, dataset[split]) for split in ("train", "validation")}
  steps = steps_per_epoch(dataset.train, batch_size)
  if len(dataset.validation["image"]) < 2:
    raise DataError("the validation split has 1 image, and a fusion is of two: give it more.")
  size = min(batch_size, share * validation_steps(dataset.validation, share))  # a small split is filled up to a share

  # --- Build ---
  keras.utils.set_random_seed(seed)
  with strategy.scope():
    model = make_model(dataset.image_shape, feature, seed=seed)
    model.compile(make_optimizer_eg(epochs * steps), make_optimizer_d(epochs * steps), jit_compile=jit_compile)
  check_gradients(model, strategy, dataset.train["image"][:32])

  with contextlib.ExitStack() as stack:
    # --- Begin the run folder, or go on with it ---
    run_dir = pathlib.Path(run_dir)
    stack.enter_context(worker.naming_the_lost())
    if worker.is_chief:
      stack.enter_context(run.alone_in(run_dir))
    config = describe()
    run.refuse_another(run_dir, config)
    checkpoints = Checkpoints(run_dir, model, writes=worker.is_chief)
    worker.check_same(run_dir, **dict(zip(("epochs", "steps"), checkpoints.newest)))
    goes_on = checkpoints.restore_last()  # fails on another architecture, while the folder is as it was
    if worker.is_chief:
      run.write_description(run_dir, config, model.get_config(), dataset.class_names, description)
    if goes_on and worker.is_chief:
      where = f"epoch {checkpoints.epoch}" + (f" and {checkpoints.step} steps" if checkpoints.step else "")
      print(f"Going on with the run in {run_dir} after {where} of {epochs} epochs.")

    # --- Train ---
    def batches(*arguments, **keywords):
      return strategy.distribute_datasets_from_function(
        lambda context: training_batches(*arguments, context=context, **keywords)
      )

    if checkpoints.epoch < epochs:
      if evaluate_every:
        train_judges(dataset)  # by every worker: if only the chief did, the others would wait for it within a step
      asked_to_stop = stack.enter_context(_asked_to_stop())
      callbacks = [
        StopOnNonFinite(run_dir),
        SaveCheckpoints(checkpoints, checkpoint_every, lambda: worker.any(asked_to_stop())),
      ]
      if worker.is_chief:
        tensorboard = TensorBoard(
          run_dir / run.TENSORBOARD_FOLDER, dataset, values["validation"], epochs, evaluate_every
        )
        callbacks = [Progress(), callbacks[0], tensorboard, callbacks[1]]
      while checkpoints.epoch < epochs:  # first the rest of an epoch, if one was under way
        done = checkpoints.step
        first_step = checkpoints.epoch * steps + done
        model.fit(
          batches(dataset.train, values["train"], batch_size, seed, first_step=first_step),
          initial_epoch=checkpoints.epoch,
          epochs=checkpoints.epoch + 1 if done else epochs,
          steps_per_epoch=steps - done,
          validation_data=batches(dataset.validation, values["validation"], size, seed, shuffle=False),
          validation_steps=validation_steps(dataset.validation, size),
          verbose=0,  # `Progress` shows it
          shuffle=False,  # they are already
          callbacks=callbacks,
        )
    checkpoint = restore(run_dir, "best", model)
  return TrainedModel(model, class_names=dataset.class_names, checkpoint=checkpoint)


def _check_counts(least, **counts):
  for name, count in counts.items():
    if not isinstance(count, int) or count < least:
      raise ConfigError(f"train.{name} = {count!r} must be a whole number of at least {least}.")


@contextlib.contextmanager
def _asked_to_stop():
  """Gives a function that tells whether a SIGTERM has come, which then stops nothing by itself."""
  asked = threading.Event()
  try:
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
  except ValueError:  # not in the main thread: signals are somebody else's
    yield asked.is_set
    return
  try:
    yield asked.is_set
  finally:
    signal.signal(signal.SIGTERM, before)
