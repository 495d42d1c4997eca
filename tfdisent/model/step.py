"""The training step: every network goes down the loss that it learns from."""

from collections.abc import Mapping

import keras
import tensorflow as tf

from tfdisent.errors import ConfigError


class TrainingStep(keras.Model):
  """A model of several networks, each of which learns from a loss of its own: what Keras's `compile` and `fit` need."""

  def compile(
    self,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    optimizer_d: str | keras.optimizers.Optimizer | None = None,
    jit_compile: bool = False,
  ):
    """Sets the optimizer of E1, E2, G and q, and that of D; a has the one that `Objective.a_optimizer` names.

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
    names = ["L", "reconstruction", "KL_z1", "psnr", *(["KL_z2"] if any(self.E2) else []), *(["L_q"] if self.q else [])]
    names += ["L_f", *(self._names("L_f") if len(self.codes) > 1 else [])] if self.objective.lambda3 else []
    names += ["L_GAN", "L_D"] if self.D else []
    names += ["L_mirror"] if self.objective.lambda5 else []
    names += ["L_a"] if self.a else []
    names += ["L_cycle"] if self.objective.lambda7 else []
    names += [f"gradient_norm/{symbol}" for symbol in self.networks]
    self._means = {name: keras.metrics.Mean(name=name) for name in names}  # here: a traced step makes no variables

  @property
  def _optimizers(self):
    """Each optimizer, with the symbols of its networks."""
    of_d = ("D", "a") if self.objective.a_optimizer == "d" else ("D",)
    eg, d = ([symbol for symbol in self.networks if (symbol in of_d) == is_d] for is_d in (False, True))
    return (self.optimizer, eg), (self.optimizer_d, d)

  def update(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """One step of all networks: E1, E2 and G down L, q down L_q, D down L_D, a down L_a.

    Returns the terms and the norms of the gradients.
    """
    with tf.GradientTape(persistent=True) as tape:
      terms = self.terms(batch, self.optimizer.iterations)
      # gradients are summed over the replicas, so each gives its share of the mean over the global batch
      share = {
        name: terms[name] / tf.distribute.get_strategy().num_replicas_in_sync
        for name in ("L", "L_q", "L_D", "L_a")
        if name in terms
      }

    weights = {symbol: network.trainable_variables for symbol, network in self.networks.items()}
    gradients = {}
    for loss, symbols in (("L", ("E1", *self._names("E2"), "G")), ("L_q", ("q",)), ("L_D", ("D",)), ("L_a", ("a",))):
      if loss in share:
        gradients |= tape.gradient(share[loss], {symbol: weights[symbol] for symbol in symbols if symbol in weights})
    # No weight may change before every gradient is known: TensorFlow lets q's step overtake L's way back through q.
    with tf.control_dependencies(tf.nest.flatten(gradients)):
      gradients = tf.nest.map_structure(tf.identity, gradients)
    for optimizer, symbols in self._optimizers:
      if pairs := [pair for symbol in symbols for pair in zip(gradients[symbol], weights[symbol])]:
        optimizer.apply(*zip(*pairs))

    return terms | {
      f"gradient_norm/{symbol}": tf.linalg.global_norm(of_network) for symbol, of_network in gradients.items()
    }

  def train_step(self, batch):
    """`update`, with running means for `fit`."""
    return self._track(self.update(batch))

  def test_step(self, batch):
    """The terms on a batch of validation data, with the same noise every time."""
    weight = batch.get("weight")
    terms = self.terms(batch, tf.constant(-1, tf.int64))
    return self._track(terms, None if weight is None else tf.reduce_sum(weight))

  def _maybe_symbolic_build(self, *_, **__):
    """Does what `Model.fit` would: nothing. All is built, and Keras cannot average a dict of labels over workers."""

  def _track(self, terms, weight=None):
    """Running means of `terms` over the epoch, for `fit` and `evaluate`; a batch counts as much as its `weight`."""
    means = {name: self._means[name] for name in terms}
    for name, value in terms.items():
      means[name].update_state(value, sample_weight=weight)
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
      return {name: mean.result() for name, mean in means.items()}
    # One message for all of them: the sums, and what they count. (+ 0, since tf.stack takes no variables of Keras.)
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
