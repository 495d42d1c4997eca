"""A Keras model like any other: the data that it takes, its callbacks, and its file."""

import functools
import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from features.attribute import Attribute
from features.category import Category
from features.color import Color
from features.composite import Composite
from features.pose import Rotation
from tests.conftest import events
from tests.processes import in_fork
from tfdisent import presets
from tfdisent.errors import ConfigError, DataError, FeatureError
from tfdisent.feature.values import feature_values
from tfdisent.model import keras_data
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE

LEAST = {"E1": {"conv": (), "dense": ()}, "q": {"conv": (), "dense": ()}, "D": {"conv": (), "dense": ()}}
LEAST |= {"G": {"conv": (1,), "dense": ()}, "z1_width": 2}
DRAW = np.random.default_rng(3)
IMAGES = DRAW.integers(256, size=(8, 4, 4, 1), dtype=np.uint8)
LABELS = np.array([0, 1, 2, 2, 1, 0, 0, 2])
VECTORS = np.eye(3, dtype=np.float32)[LABELS]
CLASS, DARK = Category(num_classes=3), Attribute(("dark",))
BOTH = Composite((CLASS, DARK), part_names=("category", "dark"))


def make(feature=CLASS, rate=0.01, seed=0, **arguments):
  """A small model, the steps of which run without a graph: a graph takes seconds to trace."""
  keras.utils.set_random_seed(seed)
  model = DisentangledVAE((4, 4, 1), feature, Objective(**arguments), seed=seed, **LEAST)
  model.compile("adam", learning_rate=rate, run_eagerly=True)
  return model


def fitted(model, *data, **keywords):
  """The history of an epoch of two batches, in their order."""
  return model.fit(*data, **{"batch_size": 4, "epochs": 1, "shuffle": False, "verbose": 0, **keywords}).history


def same(a, b):
  return all(np.array_equal(*pair) for pair in zip(a.get_weights(), b.get_weights(), strict=True))


@functools.cache
def weights_of_labels():
  """What the labels of all images teach."""
  model = make()
  history = fitted(model, IMAGES, LABELS)
  return model, history


# --- The batch ---


def test_partners_are_a_permutation_keyed_by_seed_and_step():
  x = np.repeat(IMAGES, 4, 0)
  f = np.eye(32, dtype=np.float32)
  wide = Category(num_classes=32)

  def partners(step, seed=0):
    model = DisentangledVAE((4, 4, 1), wide, Objective(lambda3=0.0, lambda4=0.0), seed=seed, **LEAST)
    batch, count = keras_data.as_batch(model, (x, np.arange(32)), tf.constant(step, tf.int64))
    np.testing.assert_array_equal(batch["image"], x)
    np.testing.assert_array_equal(batch["feature"], f)
    assert batch["position"].numpy().tolist() == list(range(32)) and count == 32 and "weight" not in batch
    return batch["partner"].numpy().argmax(1).tolist()

  drawn = [partners(0), partners(1), partners(-1), partners(0, seed=1)]
  assert partners(0) == drawn[0]
  assert all(sorted(order) == list(range(32)) for order in drawn)
  assert len(set(map(tuple, drawn))) == 4 and list(range(32)) not in drawn


def test_a_batch_with_partners_stays_as_it_is():
  batch = {"image": IMAGES, "feature": VECTORS, "partner": VECTORS, "position": np.arange(8)}
  assert keras_data.as_batch(make(), batch, 0) == (batch, None)
  filled = {**batch, "weight": np.float32([1] * 6 + [0] * 2)}
  found, count = keras_data.as_batch(make(), filled, 0)
  assert found is filled and count == 6


def test_a_feature_of_pixels_need_not_be_given():
  x = DRAW.integers(256, size=(4, 4, 4, 3), dtype=np.uint8)
  model = DisentangledVAE((4, 4, 3), Color(), Objective(lambda4=0.0), **LEAST)
  batch, _ = keras_data.as_batch(model, x, tf.constant(0, tf.int64))
  np.testing.assert_array_equal(batch["feature"], feature_values(Color(), {"image": x}))


@pytest.mark.parametrize(
  ("feature", "value", "expected"),
  [
    (CLASS, LABELS, VECTORS),
    (CLASS, LABELS[:, None], VECTORS),
    (CLASS, LABELS.astype(np.float32), VECTORS),
    (CLASS, VECTORS.astype(int), VECTORS),
    (CLASS, {"category": LABELS}, VECTORS),
    (CLASS, {"label": LABELS}, VECTORS),
    (DARK, LABELS == 1, VECTORS[:, 1:2]),
    (DARK, VECTORS[:, 1:2], VECTORS[:, 1:2]),
    (DARK, {"dark": LABELS == 1}, VECTORS[:, 1:2]),
    (BOTH, {"dark": LABELS == 1, "category": LABELS}, np.concatenate([VECTORS, VECTORS[:, 1:2]], 1)),
    (BOTH, np.concatenate([VECTORS] * 2, 1)[:, :4], np.concatenate([VECTORS] * 2, 1)[:, :4]),
  ],
)
def test_f_is_taken_in_each_of_its_forms(feature, value, expected):
  tensors = tf.nest.map_structure(tf.constant, value)
  np.testing.assert_array_equal(keras_data.vectors(feature, tensors, in_graph=True), expected)
  if getattr(value, "dtype", int) != np.float32 or value.ndim > 1:  # arrays of labels are of whole numbers
    found = keras_data.vectors(feature, value)
    assert isinstance(found, np.ndarray) and found.dtype == np.float32
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
  ("feature", "value", "words"),
  [
    (CLASS, np.ones([8, 2]), r"category.* not .*\[8, 2\]"),
    (CLASS, {"category": LABELS, "dark": LABELS}, "f is given as a dict of category, not of category, dark"),
    (BOTH, {"dark": LABELS == 1}, "a dict of category, dark, not of dark"),
  ],
)
def test_an_f_that_it_cannot_be_is_refused(feature, value, words):
  tensors = tf.nest.map_structure(tf.constant, value)
  for in_graph, given in ((False, value), (True, tensors)):
    with pytest.raises(FeatureError, match=words):
      keras_data.vectors(feature, given, in_graph)


@pytest.mark.parametrize(
  ("x", "f", "error", "words"),
  [
    (IMAGES, LABELS + 1, FeatureError, "category takes labels from 0 to 2"),
    (IMAGES, VECTORS / 2, FeatureError, "'category' must be 0 or 1"),
    (IMAGES, VECTORS * np.nan, FeatureError, "NaN"),
    (IMAGES, None, FeatureError, r"'category' cannot be computed from pixels: give f.*fit\(images, f\)"),
    (IMAGES, LABELS[:7], DataError, "there are 8 images and 7 values of f"),
    (IMAGES.astype(np.float32), LABELS, DataError, r"images is float and must lie in \[0, 1\]"),
    (IMAGES[:, :3], LABELS, DataError, r"\[3, 4, 1\], and the model takes \[4, 4, 1\]"),
    (IMAGES, {"category": LABELS, "dark": LABELS}, FeatureError, "a dict of category, not of category, dark"),
  ],
)
def test_arrays_that_cannot_be_are_refused_before_a_step(x, f, error, words):
  model = make(lambda3=0.0, lambda4=0.0)
  for call in (model.fit, model.evaluate, lambda *data: model.fit(IMAGES, LABELS, validation_data=data)):
    with pytest.raises(error, match=words):
      call(x, f)
  assert int(model.optimizer.iterations) == 0


def test_parts_of_several_lengths_are_refused():
  with pytest.raises(FeatureError, match="8 of category, 7 of dark"):
    keras_data.vectors(BOTH, {"category": LABELS, "dark": np.ones(7)})


@pytest.mark.parametrize(
  ("x", "f", "error", "words"),
  [
    (IMAGES.astype(np.float32), LABELS, tf.errors.InvalidArgumentError, "divide those of 0 to 255 by 255"),
    (IMAGES / np.float32(128) - 1, LABELS, tf.errors.InvalidArgumentError, "must lie in"),
    (IMAGES, np.full([len(LABELS), 3], 0.5, np.float32), tf.errors.InvalidArgumentError, "must be 0 or 1"),
    (IMAGES.astype(np.int32), LABELS, DataError, "uint8, or float .* not int32"),
    (IMAGES[:, :3], LABELS, DataError, r"the model takes \[4, 4, 1\]"),
    (IMAGES, LABELS + 0.5, tf.errors.InvalidArgumentError, "whole numbers"),
    (IMAGES, LABELS + 1, tf.errors.InvalidArgumentError, "labels lie in 0 to 2"),
  ],
)
def test_batches_that_cannot_be_are_refused(x, f, error, words):
  with pytest.raises(error, match=words):
    keras_data.as_batch(make(lambda3=0.0, lambda4=0.0), (x, f), 0)


def test_partners_do_not_depend_on_how_many_replicas_share_a_batch():
  whole, shares, of_one = json.loads(in_fork(REPLICAS).splitlines()[-1])
  assert [*shares[0][0], *shares[1][0]] == whole[0] and [*shares[0][1], *shares[1][1]] == whole[1]
  assert whole[1] == list(range(8)) and shares[0][2] == shares[1][2] == [1.0] * 4
  # the last batch of one image leaves a replica without any: there an example that does not count stands in
  assert [share[2] for share in of_one] == [[1.0], [0.0]] and [share[3] for share in of_one] == [1.0, 0.0]


REPLICAS = """
import tensorflow as tf
(cpu,) = tf.config.list_physical_devices("CPU")
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import json, types
from features.category import Category
from tfdisent.model.keras_data import as_batch

model = types.SimpleNamespace(feature=Category(num_classes=8), image_shape=(1, 1, 1), seed=0)

def shares(strategy, count):
  data = tf.data.Dataset.from_tensor_slices((tf.zeros([count, 1, 1, 1]), tf.range(count))).batch(8)

  @tf.function
  def on_replicas(data):
    return strategy.run(lambda data: as_batch(model, data, 3), args=(data,))

  batch, counts = on_replicas(next(iter(strategy.experimental_distribute_dataset(data))))
  every = {name: strategy.experimental_local_results(value) for name, value in batch.items()}
  every["partner"] = [partner.numpy().argmax(1) for partner in every["partner"]]
  columns = [every.get(name, [[]]) for name in ("partner", "position", "weight")]
  of_replicas = zip(*columns, strategy.experimental_local_results(counts))
  return [[[float(x) for x in column] for column in of_one[:3]] + [float(of_one[3])] for of_one in of_replicas]

mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
(whole,) = shares(tf.distribute.get_strategy(), 8)
print(json.dumps([whole, shares(mirrored, 8), shares(mirrored, 1)]))
"""


# --- fit, evaluate, predict ---


class Batches(keras.utils.PyDataset):
  """Four images a batch."""

  def __len__(self):
    return 2

  def __getitem__(self, index):
    rows = slice(4 * index, 4 * index + 4)
    return IMAGES[rows], LABELS[rows]


def dataset(*columns):
  return tf.data.Dataset.from_tensor_slices(columns).batch(4)


@pytest.mark.parametrize(
  "data",
  [
    lambda: (IMAGES, VECTORS),
    lambda: (tf.constant(IMAGES), {"category": LABELS}),
    lambda: (dataset(IMAGES, LABELS),),
    lambda: (dataset(IMAGES, {"category": LABELS}),),
    lambda: (dataset(IMAGES, VECTORS, np.ones(8)),),
    lambda: (Batches(),),
  ],
  ids=["vectors", "dict", "tf.data", "tf.data of dicts", "weights", "PyDataset"],
)
def test_all_forms_of_the_same_data_train_the_same(data):
  model, (expected, history) = make(), weights_of_labels()
  given = data()
  found = fitted(model, *given, **({} if len(given) == 2 else {"batch_size": None}))
  assert found.keys() == history.keys()
  for name, values in history.items():
    assert found[name] == pytest.approx(values, rel=1e-4), name
  for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_images_of_floats_train_like_those_of_bytes():
  model = make()
  fitted(model, IMAGES / 255, LABELS)
  for a, b in zip(model.get_weights(), weights_of_labels()[0].get_weights(), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_graph_trains_as_no_graph_does():
  expected, model = make(lambda4=0.0), make(lambda4=0.0)
  model.compile("adam", learning_rate=0.01)
  assert not model.run_eagerly
  for one in (model, expected):
    fitted(one, IMAGES, LABELS)
  for a, b in zip(model.get_weights(), expected.get_weights(), strict=True):
    np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_the_history_has_every_term_and_the_loss_of_keras():
  _, history = weights_of_labels()
  assert {"loss", "L", "reconstruction", "KL_z1", "L_f", "L_q", "L_GAN", "L_D", "psnr"} < set(history)
  assert history["loss"] == history["L"] and len(history["L"]) == 1


def test_a_validation_split_is_measured_after_each_epoch():
  history = fitted(make(), IMAGES, LABELS, validation_split=0.25)
  model = make()
  again = fitted(model, IMAGES[:6], LABELS[:6], validation_data=(IMAGES[6:], LABELS[6:]))
  assert history == again and "val_loss" in history
  measured = model.evaluate(IMAGES[6:], LABELS[6:], verbose=0, return_dict=True)
  assert float(measured["L"]) == pytest.approx(history["val_L"][0])  # older versions of Keras give tensors


def test_an_incomplete_last_batch_counts_by_its_size():
  model = make()
  fitted(model, IMAGES, LABELS, batch_size=3)
  assert int(model.optimizer.iterations) == 3
  whole, parts = (model.evaluate(IMAGES, LABELS, batch_size=n, verbose=0, return_dict=True) for n in (8, 3))
  assert float(whole["KL_z1"]) == pytest.approx(float(parts["KL_z1"]), rel=1e-5)  # the one term without noise
  terms = model.evaluate(IMAGES, LABELS, verbose=0)
  assert len(terms) == len(whole) and float(terms[0]) == pytest.approx(float(whole[model.metrics[0].name]))


def test_an_example_of_weight_0_does_not_count():
  counts, model = np.float32([1, 1, 1, 1, 0, 0, 0, 0]), make()
  changed = np.where(counts[:, None, None, None] > 0, IMAGES, 255 - IMAGES)
  for images in (IMAGES, changed):
    terms = model.evaluate(images, LABELS, sample_weight=counts, verbose=0, return_dict=True)
    few = model.evaluate(IMAGES[:4], LABELS[:4], verbose=0, return_dict=True)
    assert float(terms["KL_z1"]) == pytest.approx(float(few["KL_z1"]), rel=1e-5)
  half = model.evaluate(IMAGES, LABELS, batch_size=4, sample_weight=counts, verbose=0, return_dict=True)
  assert float(half["KL_z1"]) == pytest.approx(float(few["KL_z1"]), rel=1e-5)


def test_a_step_on_one_batch():
  model, other = make(), make()
  fitted(other, IMAGES, LABELS, batch_size=8)
  logs = model.train_on_batch(IMAGES, LABELS, return_dict=True)
  assert same(model, other) and logs["loss"] == logs["L"]
  assert model.test_on_batch(IMAGES, LABELS, return_dict=True)["KL_z1"] > 0


def test_several_steps_in_one_execution():
  model, seen = make(), []
  model.compile("adam", learning_rate=0.01, run_eagerly=True, steps_per_execution=3)
  callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(batch))
  fitted(model, IMAGES, LABELS, batch_size=2, callbacks=[callback])
  expected = make()
  fitted(expected, IMAGES, LABELS, batch_size=2)
  assert same(model, expected) and len(seen) == 2  # the second execution has one batch left


def test_the_model_takes_images_and_f_in_its_natural_form():
  model = make()
  expected = model(IMAGES, VECTORS).numpy()
  np.testing.assert_array_equal(model(IMAGES, LABELS), expected)
  np.testing.assert_allclose(model.predict(dataset(IMAGES, LABELS), verbose=0), expected, atol=1e-6)
  np.testing.assert_allclose(model.predict(IMAGES, verbose=0), model(IMAGES), atol=1e-6)


# --- compile ---


def test_a_learning_rate_goes_with_a_name():
  model = make()
  model.compile(learning_rate=0.25)
  assert float(model.optimizer.learning_rate) == 0.25 and isinstance(model.optimizer, keras.optimizers.Adam)
  assert float(model.optimizer_d.learning_rate) == pytest.approx(2e-4)
  with pytest.raises(ConfigError, match="learning_rate goes with the name"):
    model.compile(keras.optimizers.SGD(0.1), learning_rate=0.25)


def test_a_feature_may_be_named_or_described():
  for feature in ("category", Category(num_classes=10).get_config()):
    assert DisentangledVAE((4, 4, 1), feature, Objective(), **LEAST).feature == Category(num_classes=10)


def test_a_model_without_an_objective_has_the_recommended_one():
  """It trains well as it is, where the weights of the paper's default leave most fusions without the feature."""
  model = DisentangledVAE((4, 4, 1), CLASS, **LEAST)
  assert (model.objective.q_data, model.objective.lambda3, model.objective.ramp_steps) == ("pairs", 50.0, 1000)
  assert model.objective == Objective(**presets.objective((4, 4, 1), CLASS))
  assert DisentangledVAE((4, 4, 1), CLASS, Objective(), **LEAST).objective == Objective()


# --- Callbacks ---


def weights_at(epoch, kept):
  def keep(at, logs):
    if at == epoch:
      kept.extend(model_weights())

  def model_weights():
    return [w.copy() for w in callback.model.get_weights()]

  callback = keras.callbacks.LambdaCallback(on_epoch_end=keep)
  return callback


def test_early_stopping_restores_the_best_weights():
  model, kept = make(), []
  stop = keras.callbacks.EarlyStopping(patience=1, min_delta=1e9, restore_best_weights=True)
  history = fitted(model, IMAGES, LABELS, validation_split=0.25, epochs=5, callbacks=[weights_at(0, kept), stop])
  assert len(history["loss"]) == 2
  assert all(np.array_equal(*pair) for pair in zip(model.get_weights(), kept, strict=True))


@pytest.mark.parametrize("only_weights", [False, True])
def test_a_model_checkpoint_holds_the_whole_model(tmp_path, only_weights):
  model, file = make(), tmp_path / ("m.weights.h5" if only_weights else "m.keras")
  save = keras.callbacks.ModelCheckpoint(file, save_weights_only=only_weights, monitor="loss", save_best_only=True)
  fitted(model, IMAGES, LABELS, callbacks=[save])
  if only_weights:
    again = make(seed=5)
    assert not same(model, again)
    again.load_weights(file)
  else:
    again = keras.models.load_model(file)
  assert same(model, again)
  for loaded, saved in zip((again.optimizer, again.optimizer_d), (model.optimizer, model.optimizer_d)):
    assert all(np.array_equal(a, b) for a, b in zip(loaded.variables, saved.variables, strict=True))


def test_a_training_that_was_backed_up_goes_on_exactly(tmp_path):
  class KilledError(Exception):
    pass

  def kill(epoch, logs):
    if epoch == 1:
      raise KilledError

  def backup():
    return keras.callbacks.BackupAndRestore(tmp_path / "backup")

  with pytest.raises(KilledError):
    fitted(make(), IMAGES, LABELS, epochs=2, callbacks=[backup(), keras.callbacks.LambdaCallback(on_epoch_begin=kill)])
  model = make(seed=5)
  model.seed = 0  # other weights, the same noise
  history = fitted(model, IMAGES, LABELS, epochs=2, callbacks=[backup()])
  whole = make()
  fitted(whole, IMAGES, LABELS, epochs=2)
  assert len(history["loss"]) == 1 and same(model, whole)


def test_a_plateau_lowers_the_rate():
  model = make(rate=0.5)
  plateau = keras.callbacks.ReduceLROnPlateau(monitor="loss", factor=0.1, patience=1, min_delta=1e9)
  history = fitted(model, IMAGES, LABELS, epochs=2, callbacks=[plateau])
  assert history["learning_rate"] == pytest.approx([0.5, 0.5])
  assert float(model.optimizer.learning_rate) == pytest.approx(0.05)
  assert float(model.optimizer_d.learning_rate) == pytest.approx(2e-4)


def test_logs_become_a_table_and_events(tmp_path):
  callbacks = [
    keras.callbacks.CSVLogger(tmp_path / "log.csv"),
    keras.callbacks.TensorBoard(tmp_path / "tensorboard", histogram_freq=1),
  ]
  history = fitted(make(), IMAGES, LABELS, epochs=2, callbacks=callbacks)
  header, *rows = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()]
  assert {"epoch", *history} <= set(header) and len(rows) == 2
  assert [float(row[header.index("loss")]) for row in rows] == pytest.approx(history["loss"])
  (tmp_path / "tensorboard" / "train").rename(tmp_path / "tensorboard_train")
  (tmp_path / "events").mkdir()
  (tmp_path / "tensorboard_train").rename(tmp_path / "events" / "tensorboard")
  scalars = events(tmp_path / "events")
  assert [float(scalars["epoch_L_GAN"][epoch]) for epoch in range(2)] == pytest.approx(history["L_GAN"])


def test_nan_stops_a_training():
  model, seen = make(), []
  model.G.set_weights([w * np.nan for w in model.G.get_weights()])
  callback = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(logs["loss"]))
  fitted(model, IMAGES, LABELS, epochs=5, callbacks=[callback, keras.callbacks.TerminateOnNaN()])
  assert len(seen) == 1


# --- The file ---


def test_a_saved_model_goes_on_as_if_it_had_not_been_saved(tmp_path):
  model = make(BOTH, adversary=1.0, rate=0.02)
  f = {"category": LABELS, "dark": LABELS == 1}
  fitted(model, IMAGES, f)
  model.optimizer.learning_rate = 0.005
  model.save(tmp_path / "m.keras")
  again = keras.models.load_model(tmp_path / "m.keras")
  assert isinstance(again, DisentangledVAE) and again.feature == BOTH and again.objective == model.objective
  assert (again.run_eagerly, again.jit_compile, again.steps_per_execution) == (True, False, 1)
  assert again.optimizer_d.beta_1 == 0.5 and float(again.optimizer.learning_rate) == pytest.approx(0.005)
  for one in (model, again):
    fitted(one, IMAGES, f)
  assert same(model, again) and int(again.optimizer_d.iterations) == 4


def test_a_model_that_was_not_compiled_is_saved_as_well(tmp_path):
  model = DisentangledVAE((4, 4, 1), CLASS, **LEAST)
  model.save(tmp_path / "m.keras")
  again = keras.models.load_model(tmp_path / "m.keras")
  assert same(model, again) and not again.compiled


def test_a_file_has_the_network_of_a_learned_feature(tmp_path):
  model = DisentangledVAE((8, 8, 1), Rotation(), Objective(lambda4=0.0), **LEAST)
  (network,) = model.feature.networks.values()
  network.set_weights([w + 1 for w in network.get_weights()])
  model.save(tmp_path / "m.keras")
  again = keras.models.load_model(tmp_path / "m.keras")
  (loaded,) = again.feature.networks.values()
  assert loaded is not network and same(network, loaded)


def test_a_file_imports_no_module_that_is_not_known():
  described = DisentangledVAE((4, 4, 1), CLASS, **LEAST).get_config()
  evil = {**described, "feature": {"module": "evil_module", "name": "evil", "arguments": {}}}
  with pytest.raises(ConfigError, match="imports the module 'evil_module'"):
    DisentangledVAE.from_config(evil)
  with pytest.raises(FeatureError, match="'evil_module', which cannot be imported"):
    DisentangledVAE.from_config(evil, trust=["evil_module"])
