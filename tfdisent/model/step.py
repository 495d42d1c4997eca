"""The training step: every network goes down the term that it learns from."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfdisent.errors import ConfigError


class TrainingStep(keras.Model):
  """A model of several networks, each of which learns from a term of its own: what Keras's `compile` and `fit` need.

  A subclass gives `networks` by their symbols, `terms` of a batch, and `records` of the terms.
  """

  def compile(
    self,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    optimizer_d: str | keras.optimizers.Optimizer | None = None,
    jit_compile: bool = False,
  ):
    """Sets the optimizer of E1, E2, G and q, and that of D; the networks of a `Loss` have the one that it names.

    Args:
      optimizer: of Keras, or its name.
      optimizer_d: another one, or its name; None is Adam at a rate of 2e-4 with β1 = 0.5 (Radford et al. 2016).
      jit_compile: whether XLA compiles the step.

    Raises:
      ConfigError: both are one and the same object, which can keep the state of one set of weights.
    """
    super().compile(optimizer=None, jit_compile=jit_compile)
    if optimizer_d is None:
      optimizer_d = keras.optimizers.Adam(2e-4, beta_1=0.5)
    self.optimizer, self.optimizer_d = keras.optimizers.get(optimizer), keras.optimizers.get(optimizer_d)
    if self.optimizer is self.optimizer_d:
      raise ConfigError("optimizer and optimizer_d are one object: give each its own, since each keeps its own state.")
    for of_networks, symbols in self._optimizers:
      of_networks.build([v for symbol in symbols for v in self.networks[symbol].trainable_variables])
    names = [*(term.name for term in self.records), "psnr", *(f"gradient_norm/{symbol}" for symbol in self.networks)]
    # Created here, since a tf.function may not create variables when it is traced.
    self._means = {name: keras.metrics.Mean(name=name) for name in names}

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
    with tf.GradientTape(persistent=True) as tape:
      terms = self.terms(batch, self.optimizer.iterations)
      # The optimizer sums gradients over the replicas: each replica gives its part of the mean over the global batch.
      replicas = tf.distribute.get_strategy().num_replicas_in_sync
      of_replica = {term.name: terms[term.name] / replicas for term in learned}

    weights = {symbol: network.trainable_variables for symbol, network in self.networks.items()}
    gradients = {}
    for term in learned:
      of_learners = {symbol: weights[symbol] for symbol in term.learners if symbol in weights}
      gradients |= tape.gradient(of_replica[term.name], of_learners)
    # Without this barrier TensorFlow may update q before the gradient of L through q has been computed.
    with tf.control_dependencies(tf.nest.flatten(gradients)):
      gradients = tf.nest.map_structure(tf.identity, gradients)
    for optimizer, symbols in self._optimizers:
      if pairs := [pair for symbol in symbols for pair in zip(gradients[symbol], weights[symbol])]:
        optimizer.apply(*zip(*pairs))

    norms = {f"gradient_norm/{symbol}": tf.linalg.global_norm(of_network) for symbol, of_network in gradients.items()}
    return terms | norms

  def train_step(self, batch):
    """`update`, with running means for `fit`."""
    return self._track(self.update(batch))

  def test_step(self, batch):
    """The terms on a batch of validation data, with the same noise every time."""
    weight = batch.get("weight")
    terms = self.terms(batch, tf.constant(-1, tf.int64))
    return self._track(terms, None if weight is None else tf.reduce_sum(weight))

  def _maybe_symbolic_build(self, *_, **__):
    """Disabled. All weights exist already, and Keras's symbolic build fails on dict batches under several workers."""

  def _track(self, terms, weight=None):
    """Running means of `terms` over the epoch, for `fit` and `evaluate`; a batch counts as much as its `weight`."""
    means = {name: self._means[name] for name in terms}
    for name, value in terms.items():
      means[name].update_state(value, sample_weight=weight)
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
      return {name: mean.result() for name, mean in means.items()}
    # One message between workers for all means: their sums and counts. (+ 0: tf.stack takes no variables of Keras.)
    sums = tf.stack([[mean.total + 0, mean.count + 0] for mean in means.values()])
    totals, counts = tf.unstack(tf.distribute.get_replica_context().all_reduce("SUM", sums), axis=1)
    return dict(zip(terms, tf.unstack(tf.math.divide_no_nan(totals, counts), len(terms))))

  def make_train_function(self, force=False):
    """Keras's own sends a message between workers for each figure, and fails on scalars (keras#20585): see `_track`."""
    if self.train_function is None or force:
      self.train_function = self._of_iterator(self.train_step)

  def make_test_function(self, force=False):
    """See `make_train_function`."""
    if self.test_function is None or force:
      self.test_function = self._of_iterator(self.test_step)

  def _of_iterator(self, step):
    strategy = self.distribute_strategy

    @tf.function(jit_compile=self.jit_compile)
    def on_replicas(batch):
      logs = strategy.run(step, args=(batch,))
      return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return lambda iterator: on_replicas(next(iterator))

  @property
  def metrics(self):
    return list(self._means.values()) if self.compiled else []
