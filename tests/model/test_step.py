"""The step: which network goes down which term, with which optimizer."""

import operator

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.python.eager import context
from tensorflow.python.framework import kernels

from features.digit_label import DigitLabel
from tests.conftest import TINY
from tests.model.world import ALL, Linear, make_world, moved, weights
from tfdisent.errors import ConfigError
from tfdisent.model.change import Change
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE


def test_the_adversary_reads_better_and_the_encoder_is_read_worse(make_tiny, batch):
  """Each by its own step, with the other held still."""
  step = tf.constant(0, tf.int64)
  for held, better in (("E1", True), ("a", False)):
    model = make_tiny(lambda1=0.0, lambda3=0.0, lambda4=0.0, adversary=1e4, optimizers=keras.optimizers.SGD)
    before = float(model.terms(batch, step)["L_a"])
    kept = weights(model)
    model.update(batch)
    for symbol in {held, "G"}:
      model.networks[symbol].set_weights(kept[symbol])
    assert (float(model.terms(batch, step)["L_a"]) < before) == better


def test_fit_traces_its_step_once(make_tiny, monkeypatch):
  model, update, traced = make_tiny(), DisentangledVAE.update, []

  def noted(self, batch):
    traced.append(tf.executing_eagerly())
    return update(self, batch)

  monkeypatch.setattr(DisentangledVAE, "update", noted)
  images, labels = np.zeros([8, 28, 28, 3], np.uint8), np.arange(8)
  for _ in range(2):
    model.fit(images, labels, batch_size=4, epochs=2, shuffle=False, verbose=0)
  assert traced == [False]


def test_equal_steps_are_equal_to_the_bit(make_tiny, batch):
  a, b = make_tiny(seed=3, q_data="pairs"), make_tiny(seed=3, q_data="pairs")
  for model in (a, b):
    step = tf.function(model.update)
    for _ in range(3):
      step(batch)
  assert moved(weights(a), weights(b)) == set()


def test_no_weight_changes_before_every_gradient_is_known(make_tiny, batch):
  """In the graph each network's step waits for all the gradients: q's may not overtake L's way back through q."""
  model = make_tiny(q_data="pairs")
  graph = tf.function(model.update).get_concrete_function(batch).graph
  handles = {id(w.value.handle) for network in model.networks.values() for w in network.weights}
  inside = {inner.ref() for outer, inner in graph.captures if id(outer) in handles}
  steps = [op for op in graph.get_operations() if op.type.startswith("Assign") and op.inputs[0].ref() in inside]
  assert len(steps) == len(handles)

  def gradients_before(op):
    before, todo = set(), [op]
    while todo:
      op = todo.pop()
      new = {*(tensor.op for tensor in op.inputs), *op.control_inputs} - before
      before |= new
      todo += new
    return {op.name for op in before if op.type == "Conv2DBackpropFilter"}

  gradients = [gradients_before(op) for op in steps]
  assert len(gradients[0]) == 10  # two convolutions in each of E1, G and q, and in D for x' and for x̂
  assert all(names == gradients[0] for names in gradients)


def test_xla_gives_the_same_losses(world_batch):
  """Of a whole forward pass, with what is beyond the paper and has no network of its own. XLA draws other noise."""
  beyond = (Change(metric="random", spread=0.5), "smooth", "fusion_cycle", "equivariance")
  model = make_world(lambda3=0.0, lambda4=0.0, prior_fusions=0.5, losses=beyond)
  model.z1_stddev, model.E1 = 0.5, Linear(16, 2, [2], np.random.default_rng(1))
  noise = model.noise(world_batch["position"], 0, 16)
  model.noise = lambda position, step, width: noise[:, :width]
  expected = model.terms(world_batch, tf.constant(0, tf.int64))
  model.compile(jit_compile=True)
  logs = tf.function(model.terms, jit_compile=True)(world_batch, tf.constant(0, tf.int64))
  assert {"L_change", "L_smooth", "L_back", "L_T"} <= expected.keys()
  values, compiled = ({name: float(of[name]) for name in expected} for of in (expected, logs))
  assert compiled == pytest.approx(values, rel=1e-4)


def test_bfloat16_keeps_weights_and_losses_in_float32(batch):
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(), precision="mixed_bfloat16", **TINY)
  assert model.E1.conv_layers[0].compute_dtype == "bfloat16"
  assert {w.dtype for network in model.networks.values() for w in network.weights} == {"float32"}
  assert {v.dtype for v in model.terms(batch, tf.constant(0, tf.int64)).values()} == {tf.float32}


NO_KERNEL_NEEDED = {"Placeholder", "NoOp", "_Retval", "_Arg"}
BFLOAT16 = tf.bfloat16.as_datatype_enum
HALVES = {BFLOAT16, tf.float16.as_datatype_enum}


def optimized(step, batch):
  """The nodes of the graph of a step as TensorFlow runs it: what is computed twice is computed once there."""
  graphs = context.context()
  graphs.enable_graph_collection()
  try:
    step(batch)
    (whole,) = graphs.export_run_metadata().function_graphs
  finally:
    graphs.disable_graph_collection()
  return whole.post_optimization_graph.node


def test_in_half_precision_a_weight_is_cast_once_in_a_step_and_so_is_its_gradient(batch):
  """However many times its network is called."""
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(), precision="mixed_bfloat16", **TINY)
  model.compile()
  nodes = {node.name: node for node in optimized(tf.function(model.update, autograph=False), batch)}
  casts = [(node.attr["SrcT"].type, node.input[0].split(":")[0]) for node in nodes.values() if node.op == "Cast"]
  of_weights = [name for _, name in casts if nodes[name].op == "ReadVariableOp"]
  kinds = ("MatMul", "BiasAddGrad", "Conv2DBackpropF", "Sum", "Reshape")  # sums are of the biases of G's convolutions
  of_gradients = [n for t, n in casts if t == BFLOAT16 and nodes[n].op.startswith(kinds)]
  count = sum(len(network.trainable_variables) for network in model.networks.values())
  assert (len(of_weights), len(set(of_weights)), len(of_gradients)) == (count, count, count)


def without_kernel_for_gpus(model, batch):
  """Operations of the step that no GPU can run, with their types; and how many convolutions are of half precision."""
  graph = tf.function(model.update).get_concrete_function(batch).graph.as_graph_def()
  functions = {one.signature.name: one.node_def for one in operator.attrgetter("library.function")(graph)}
  lacking, of_half = set(), 0
  for node in [*graph.node, *(node for nodes in functions.values() for node in nodes)]:
    if node.op in NO_KERNEL_NEEDED or node.op in functions:
      continue
    places = {
      kernel.device_type
      for kernel in kernels.get_registered_kernels_for_op(node.op).kernel
      if all(node.attr[of.name].type in of.allowed_values.list.type for of in kernel.constraint if of.name in node.attr)
    }
    if not places & {"GPU", "DEFAULT"}:
      lacking.add((node.op, *(tf.as_dtype(value.type).name for value in node.attr.values() if value.type)))
    of_half += node.op == "Conv2D" and node.attr["T"].type in HALVES
  return lacking, of_half


@pytest.mark.parametrize(
  ("networks", "precision"),
  [
    ("modulated", "mixed_bfloat16"),
    pytest.param("plain", "mixed_float16", marks=pytest.mark.long),
    pytest.param("residual", "float32", marks=pytest.mark.long),
  ],
)
def test_every_operation_of_the_networks_can_run_on_a_gpu(batch, networks, precision):
  """TensorFlow is built with the kernels for GPUs, and knows them, whether there is one or not."""
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(), networks=networks, precision=precision)
  model.compile()
  lacking, of_half = without_kernel_for_gpus(model, batch)
  assert lacking == set() and (of_half > 0) == (precision != "float32")


def test_every_operation_of_the_terms_can_run_on_a_gpu(world_batch):
  beyond = (Change(metric="random", spread=0.5), "smooth", "fusion_cycle", "equivariance")
  model = make_world(**ALL, prior_fusions=0.5, q_data="both", losses=beyond)
  model.compile()
  assert without_kernel_for_gpus(model, world_batch)[0] == set()


@pytest.mark.parametrize("of", ["eg", "d"])
def test_a_scaled_loss_takes_the_same_step_to_the_bit(make_tiny, batch, of):
  """A power of two changes no digit of a number in float32."""

  def scaled(rate):
    return keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(rate), initial_scale=2.0**10)

  plain = make_tiny(seed=1, mirror=1.0, adversary=2.0)
  for make in (scaled, lambda rate: keras.optimizers.Adam(rate, loss_scale_factor=2.0**10)):
    model = make_tiny(seed=1, mirror=1.0, adversary=2.0)
    optimizers = [keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3)]
    optimizers[of == "d"] = make(1e-3)
    model.compile(*optimizers)
    for symbol, network in plain.networks.items():
      model.networks[symbol].set_weights(network.get_weights())
    reference = make_tiny(seed=1, mirror=1.0, adversary=2.0)
    reference.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(1e-3))
    for symbol, network in plain.networks.items():
      reference.networks[symbol].set_weights(network.get_weights())
    for _ in range(2):
      terms, expected = model.update(batch), reference.update(batch)
    for name, value in expected.items():
      np.testing.assert_array_equal(terms[name], value, err_msg=name)
    assert moved(weights(model), weights(reference)) == set()


def test_in_float16_a_scale_that_is_too_large_skips_the_step_and_halves(batch):
  model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(), precision="mixed_float16", **TINY)
  eg = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(), initial_scale=2.0**100)
  model.compile(eg, keras.optimizers.Adam())
  assert isinstance(model.optimizer_d, keras.optimizers.LossScaleOptimizer) and model.optimizer is eg
  before = weights(model)
  terms = model.update(batch)
  assert moved(before, weights(model)) == {"D"}
  assert float(eg.dynamic_scale) == 2.0**99 and int(eg.iterations) == 0 and int(model.optimizer_d.iterations) == 1
  assert float(terms["gradient_norm/E1"]) == 0 and 0 < float(terms["gradient_norm/D"]) < 1e6
  assert any(variable is eg.dynamic_scale for variable in eg.variables)  # a checkpoint holds it


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_in_half_precision_the_loss_falls_as_in_float32(batch, precision):
  fallen, dark = [], {**batch, "image": batch["image"] // 8}
  for of in ("float32", precision):
    keras.utils.set_random_seed(0)
    model = DisentangledVAE((28, 28, 3), DigitLabel(), Objective(), precision=of, **TINY)
    model.compile(learning_rate=1e-2)
    step, losses = tf.function(model.update), {}
    for _ in range(40):
      taken = int(model.optimizer.iterations)
      losses[taken] = float(step(dark)["L"])  # a step whose scale is too large is left out, and comes again
    assert np.isfinite([*losses.values()]).all() and losses[20] < 0.5 * losses[0]
    assert len(losses) == 40 or of == "mixed_float16"
    fallen.append([losses[step] for step in range(12)])
    assert {weight.dtype for network in model.networks.values() for weight in network.trainable_weights} == {"float32"}
  np.testing.assert_allclose(fallen[1], fallen[0], rtol=0.1)


@pytest.mark.parametrize("a_optimizer", ["eg", "d"])
def test_a_step_goes_down_the_loss_of_each_network_with_its_own_optimizer(world_batch, a_optimizer):
  model = make_world(**ALL, a_optimizer=a_optimizer)
  model.compile(keras.optimizers.SGD(0.5), keras.optimizers.SGD(0.25))
  losses_of = {"q": "L_q", "D": "L_D", "a": "L_a"}
  with tf.GradientTape(persistent=True) as tape:
    terms = model.terms(world_batch, tf.constant(0, tf.int64))
  expected = {
    symbol: tape.gradient(terms[losses_of.get(symbol, "L")], network.trainable_variables)
    for symbol, network in model.networks.items()
  }
  before = weights(model)
  logs = model.update(world_batch)
  assert set(logs) == {*terms, *(f"gradient_norm/{symbol}" for symbol in model.networks)} == set(model._means)
  assert set(model.networks) == {"E1", "E2/halves", "E2/top", "G", "q", "D", "a"}
  for symbol, network in model.networks.items():
    rate = 0.25 if symbol == "D" or (symbol == "a" and a_optimizer == "d") else 0.5
    for old, new, gradient in zip(before[symbol], network.get_weights(), expected[symbol]):
      np.testing.assert_allclose(new - old, -rate * gradient, rtol=1e-4, atol=1e-6)
    norm = np.sqrt(sum(np.square(gradient).sum() for gradient in expected[symbol]))
    assert float(logs[f"gradient_norm/{symbol}"]) == pytest.approx(norm, rel=1e-5)
  assert int(model.optimizer.iterations) == int(model.optimizer_d.iterations) == 1
  assert {name: float(logs[name]) for name in terms} == pytest.approx({k: float(v) for k, v in terms.items()}, rel=1e-5)


@pytest.mark.parametrize(
  ("arguments", "kinds", "rates"),
  [
    ((), ("Adam", "Adam"), (1e-3, 2e-4)),
    (("sgd",), ("SGD", "Adam"), (1e-2, 2e-4)),
    (("adam", "adam"), ("Adam", "Adam"), (1e-3, 1e-3)),
    ((keras.optimizers.SGD(0.5), "sgd"), ("SGD", "SGD"), (0.5, 1e-2)),
  ],
)
def test_optimizers_may_be_named_or_left_out(arguments, kinds, rates):
  model = make_world()
  model.compile(*arguments)
  optimizers = model.optimizer, model.optimizer_d
  assert tuple(type(optimizer).__name__ for optimizer in optimizers) == kinds
  assert [float(optimizer.learning_rate) for optimizer in optimizers] == pytest.approx(rates)
  assert model.jit_compile is False
  if len(arguments) < 2:
    assert model.optimizer_d.beta_1 == 0.5


def test_one_optimizer_for_both_is_refused():
  with pytest.raises(ConfigError, match="optimizer and optimizer_d are one object"):
    make_world().compile(*[keras.optimizers.Adam()] * 2)
