"""The training step: every network goes down the term that it learns from."""

import contextlib
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from tfdisent.errors import ConfigError
from tfdisent.hardware import keep_freed_memory
from tfdisent.model import keras_data
from tfdisent.model.adam import Adam, fused
from tfdisent.model.ahead import Ahead
from tfdisent.model.averages import Averages, ShowAverages
from tfdisent.model.graphs import in_graph
from tfdisent.networks.one_pass import in_one_pass


def _is_scaled(optimizer: keras.optimizers.Optimizer) -> bool:
  """Whether an optimizer scales losses, and divides the gradients by the scale again."""
  return isinstance(optimizer, keras.optimizers.LossScaleOptimizer) or optimizer.loss_scale_factor is not None


def _with_loss_scale(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
  """The optimizer, in a `LossScaleOptimizer` unless it scales losses itself."""
  return optimizer if _is_scaled(optimizer) else keras.optimizers.LossScaleOptimizer(optimizer)


class TrainingStep(keras.Model):
  """A model of several networks, each of which learns from a term of its own: what Keras's `compile` and `fit` need.

  A subclass gives `networks` by their symbols, `terms` of a batch, `records` of the terms, and what `keras_data` reads:
  `feature`, `image_shape` and `seed`; and where it averages weights, `averages` and `averaged`, whose they are.
  """

  averages: Averages | None = None
  precision = "float32"
  _ahead: Ahead | None = None

  def compile(
    self,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    optimizer_d: str | keras.optimizers.Optimizer | None = None,
    learning_rate: float | keras.optimizers.schedules.LearningRateSchedule | None = None,
    jit_compile: bool = False,
    run_eagerly: bool = False,
    steps_per_execution: int = 1,
  ) -> None:
    """Sets the optimizer of E1, E2, G and q, and that of D; the networks of a `Loss` have the one that it names.

    Args:
      optimizer: of Keras, or its name. The default is Adam at a rate of 1e-3.
      optimizer_d: another one, or its name; None is Adam at a rate of 2e-4 with β1 = 0.5 (Radford et al. 2016).
      learning_rate: of `optimizer`, where that is a name; None is Keras's own.
      jit_compile: whether XLA compiles the step.
      run_eagerly: whether the step runs without a graph, to be debugged.
      steps_per_execution: the callbacks are called once in so many steps.

    Raises:
      ConfigError: both are one and the same object, which can keep the state of one set of weights; or the learning
        rate is given besides an optimizer, which has its own.
    """
    super().compile(
      optimizer=None, jit_compile=jit_compile, run_eagerly=run_eagerly, steps_per_execution=steps_per_execution
    )
    if learning_rate is not None:
      if not isinstance(optimizer, str):
        raise ConfigError("learning_rate goes with the name of an optimizer: give the rate to the optimizer itself.")
      optimizer = {"class_name": optimizer, "config": {"learning_rate": learning_rate}}
    if optimizer_d is None:
      optimizer_d = Adam(2e-4, beta_1=0.5)
    # An object stays what it is, since whoever made it may hold it.
    self.optimizer, self.optimizer_d = (
      given if isinstance(given, keras.optimizers.Optimizer) else fused(keras.optimizers.get(given))
      for given in (optimizer, optimizer_d)
    )
    if self.precision == "mixed_float16":  # its small gradients vanish, unless they are of a larger loss
      self.optimizer, self.optimizer_d = map(_with_loss_scale, (self.optimizer, self.optimizer_d))
    if self.optimizer is self.optimizer_d:
      raise ConfigError("optimizer and optimizer_d are one object: give each its own, since each keeps its own state.")
    for of_networks, symbols in self._optimizers:
      of_networks.build([v for symbol in symbols for v in self.networks[symbol].trainable_variables])
    names = [*(term.name for term in self.records), "psnr", *(f"gradient_norm/{symbol}" for symbol in self.networks)]
    # Created here, since a tf.function may not create variables when it is traced.
    self._means = {name: keras.metrics.Mean(name=name) for name in names}

  def get_compile_config(self) -> dict:
    """What `compile` is called with again when Keras loads the model."""
    if not self.compiled:
      return {}
    optimizers = {"optimizer": self.optimizer, "optimizer_d": self.optimizer_d}
    return {
      **{name: keras.optimizers.serialize(optimizer) for name, optimizer in optimizers.items()},
      **{name: getattr(self, name) for name in ("jit_compile", "run_eagerly", "steps_per_execution")},
    }

  def compile_from_config(self, config: Mapping[str, Any]) -> None:
    """`compile`, with what `get_compile_config` gave. Keras restores the state of the optimizers thereafter."""
    optimizers = {name: keras.optimizers.deserialize(config[name]) for name in ("optimizer", "optimizer_d")}
    self.compile(**{**config, **optimizers})

  @property
  def _optimizers(self):
    """Each optimizer, with the symbols of the networks that learn with it."""
    of_d = {symbol for term in self.records if term.optimizer == "d" for symbol in term.learners}
    eg, d = ([symbol for symbol in self.networks if (symbol in of_d) == is_d] for is_d in (False, True))
    return (self.optimizer, eg), (self.optimizer_d, d)

  def update(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """One step of all networks, each down the term that it learns from: E1, E2 and G down L, q down L_q, D down L_D.

    Returns the terms and the norms of the gradients.
    """
    learned = [term for term in self.records if term.learners]
    with in_one_pass(), tf.GradientTape(persistent=True) as tape:
      terms = self.terms(batch, self.optimizer.iterations)
      # The optimizer sums gradients over the replicas: each replica gives its part of the mean over the global batch.
      replicas = tf.distribute.get_strategy().num_replicas_in_sync
      of_replica = {term.name: self._scaled(terms[term.name] / replicas, term) for term in learned}

    weights = {symbol: network.trainable_variables for symbol, network in self.networks.items()}
    gradients = {}
    for term in learned:
      of_learners = {symbol: weights[symbol] for symbol in term.learners if symbol in weights}
      gradients |= tape.gradient(of_replica[term.name], of_learners)
    # Without this barrier TensorFlow may update q before the gradient of L through q has been computed.
    with tf.control_dependencies([tf.group(*tf.nest.flatten(gradients))]):
      gradients = tf.nest.map_structure(tf.identity, gradients)
    norms = self._norms(gradients)
    for optimizer, symbols in self._optimizers:
      if pairs := [pair for symbol in symbols for pair in zip(gradients[symbol], weights[symbol])]:
        optimizer.apply(*zip(*pairs))
    if self.averages:
      self.averages.update(self.averaged, self.optimizer.iterations)

    return terms | norms

  def _scaled(self, loss, term) -> tf.Tensor:
    """A loss times the scale of its optimizer, which divides the gradients by it again; without a scale the loss."""
    return (self.optimizer_d if term.optimizer == "d" else self.optimizer).scale_loss(loss)

  def _norms(self, gradients) -> dict[str, tf.Tensor]:
    """The norms of the gradients of each network; 0 for a step that is left out, since its scale was too large."""
    norms = {symbol: tf.linalg.global_norm(of_network) for symbol, of_network in gradients.items()}
    for optimizer, symbols in self._optimizers:
      if _is_scaled(optimizer):
        scale = optimizer.scale_loss(tf.ones([]))
        norms |= {of: tf.where(tf.math.is_finite(norms[of]), norms[of] / scale, 0.0) for of in symbols if of in norms}
    return {f"gradient_norm/{symbol}": norm for symbol, norm in norms.items()}

  def show_averages(self, shown: bool) -> None:
    """Puts the averages into the networks, or else the weights that are trained; for a model without averages nothing.

    Between the epochs of a training, and after it, they are there.
    """
    if self.averages:
      self.averages.show(self.averaged, shown)

  def showing_averages(self, shown: bool = True) -> contextlib.AbstractContextManager:
    """`show_averages` for a while."""
    return self.averages.showing(self.averaged, shown) if self.averages else contextlib.nullcontext()

  def fit(
    self,
    x: Any = None,
    y: Any = None,
    batch_size: int | None = None,
    epochs: int = 1,
    verbose: int | str = "auto",
    callbacks: Any = None,
    *arguments,
    validation_data: Any = None,
    **keywords,
  ) -> keras.callbacks.History:
    """Trains the model as Keras does, with arguments of `keras.Model.fit`.

        model.fit(images, labels, batch_size=64, epochs=5, validation_split=0.1)

    The logs have the terms, and L as `loss`, too, which Keras's callbacks monitor unless told otherwise. From then on
    the process keeps the memory that it frees: see `tfdisent.hardware.keep_freed_memory`.

    Args:
      x: images [N, H, W, C], uint8, or float in [0, 1]; or a `tf.data.Dataset`, a `keras.utils.PyDataset` or a
        generator of batches: (x, f), (x, f, weight), or those of `tfdisent.data.batches.training_batches`.
      y: f(x) of the images in its natural form, as in labels [N], or as vectors [N, width]; of several parts a dict of
        these by their names, as in {"smile": [N], "age": [N]}. None where it is computed from pixels, or x has it.
      batch_size, epochs, verbose, callbacks, arguments: of Keras.
      validation_data: (images, f), (images, f, weight), or as x.
      keywords: of Keras.

    Raises:
      DataError: the images have another shape, dtype or range.
      FeatureError: f has a wrong shape or range, or is missing.
    """
    keep_freed_memory()
    x, y = keras_data.arrays(self, x, y)
    if isinstance(validation_data, (tuple, list)):
      x_val, f_val, weight = keras.utils.unpack_x_y_sample_weight(validation_data)
      validation_data = keras.utils.pack_x_y_sample_weight(*keras_data.arrays(self, x_val, f_val), weight)
    if self.averages:
      callbacks = [ShowAverages(), *([] if callbacks is None else [callbacks])]
    given = (x, y, batch_size, epochs, verbose, callbacks, *arguments)
    if self.distribute_strategy.num_replicas_in_sync == 1:  # of several workers, `next` may send messages, as a step
      self._ahead = Ahead()
    try:
      with self.showing_averages():  # an interrupted epoch leaves them as well
        return super().fit(*given, validation_data=validation_data, **keywords)
    finally:
      self._ahead = None

  def train_on_batch(self, *arguments, **keywords) -> Any:
    """One step, as Keras's."""
    with self.showing_averages(False):
      return super().train_on_batch(*arguments, **keywords)

  def evaluate(self, x=None, y=None, *arguments, **keywords) -> Any:
    """The terms, without training, of data as `fit` takes them; a list, or with `return_dict` a dict by their names."""
    if not keywords.get("_use_cached_eval_dataset"):  # `fit` has converted its validation data
      x, y = keras_data.arrays(self, x, y)
    return super().evaluate(x, y, *arguments, **keywords)

  def train_step(self, data) -> dict[str, tf.Tensor]:
    """`update`, with running means for `fit`."""
    batch, count = keras_data.as_batch(self, data, self.optimizer.iterations)
    return self._logs(data, self._track(self.update(batch), count))

  def test_step(self, data) -> dict[str, tf.Tensor]:
    """The terms on a batch of validation data, with the same noise every time."""
    step = tf.constant(-1, tf.int64)
    batch, count = keras_data.as_batch(self, data, step)
    return self._logs(data, self._track(self.terms(batch, step), count))

  def predict_step(self, data) -> tf.Tensor:
    """x' of images, or of pairs (x, f): see `call`."""
    x, f, _ = keras.utils.unpack_x_y_sample_weight(data)
    return self(x) if f is None else self(x, f)

  def _logs(self, data, means):
    """`means` with L as the loss that Keras's callbacks look for; those of a run of `tfdisent.train` look for L."""
    return means if isinstance(data, Mapping) else {"loss": means["L"], **means}

  def _maybe_symbolic_build(self, *_, **__):
    """Disabled. All weights exist already, and Keras's symbolic build fails on dict batches under several workers."""

  def _track(self, terms, weight=None):
    """Running means of `terms` over the epoch, for `fit` and `evaluate`; a batch counts as much as its `weight`."""
    means = {name: self._means[name] for name in terms}
    count = 1.0 if weight is None else tf.cast(weight, tf.float32)
    for name, value in terms.items():  # what `Mean.update_state` does with a scalar
      means[name].total.assign_add(value * count)
      means[name].count.assign_add(count)
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
      return {name: mean.result() for name, mean in means.items()}
    # One message between workers for all means: their sums and counts. (+ 0: tf.stack takes no variables of Keras.)
    sums = tf.stack([[mean.total + 0, mean.count + 0] for mean in means.values()])
    totals, counts = tf.unstack(tf.distribute.get_replica_context().all_reduce("SUM", sums), axis=1)
    return dict(zip(terms, tf.unstack(tf.math.divide_no_nan(totals, counts), len(terms))))

  def make_train_function(self, force=False):
    """Keras's own sends a message between workers for each figure, and fails on scalars (keras#20585): see `_track`."""
    if self.train_function is None or force:
      self.train_function = self._of_iterator(self.train_step, self._next)

  def make_test_function(self, force=False):
    """See `make_train_function`."""
    if self.test_function is None or force:
      self.test_function = self._of_iterator(self.test_step)

  def _next(self, iterator, *default):
    return (self._ahead.next if self._ahead else next)(iterator, *default)

  def _of_iterator(self, step, next_of=next):
    strategy = self.distribute_strategy

    def on_replicas(batch):
      logs = strategy.run(step, args=(batch,))
      return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    if not self.run_eagerly:
      on_replicas = in_graph(on_replicas, jit_compile=self.jit_compile, reduce_retracing=True)

    def steps(iterator):
      logs = on_replicas(next_of(iterator))
      for _ in range(self.steps_per_execution - 1):
        if (batch := next_of(iterator, None)) is None:  # the epoch ends amid an execution
          break
        logs = on_replicas(batch)
      return logs

    return steps

  @property
  def networks_of_feature(self) -> dict[str, keras.Model]:
    """The frozen networks of a learned f. Keras stores a model with all networks that its attributes hold."""
    return dict(self.feature.networks)

  @property
  def metrics(self):
    return list(self._means.values()) if self.compiled else []
