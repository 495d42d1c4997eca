"""The networks that judge images: what they learn, and that they are kept."""

import dataclasses
import os

import keras
import numpy as np
import pytest

from features.digit_label import DigitLabel
from tests.bands import MARKS, bands, bands_dataset, marked_bands_dataset, marks
from tests.conftest import EPOCH_IMAGES
from tfdisent.data.dataset import Dataset
from tfdisent.errors import RunError
from tfdisent.evaluation import Estimator, FIDExtractor, Oracle, heads, judges, plain_vae, read_images
from tfdisent.evaluation.image_probe import read_parts
from tfdisent.inference import TrainedModel
from tfdisent.model.objective import WEIGHTS, Objective
from tfdisent.model.vae import DisentangledVAE


@pytest.fixture(autouse=True)
def learning(monkeypatch):
  """As much as in the library, and not as little as in other tests."""
  monkeypatch.setattr(judges, "EPOCH_IMAGES", EPOCH_IMAGES)


@pytest.fixture(scope="module")
def dataset():
  return bands_dataset()


# --- The oracle -------------------------------------------------------------------------------------------------------


def test_an_oracle_learns_the_classes_and_is_kept(dataset, own_cache, monkeypatch):
  oracle = Oracle(dataset, epochs=1)
  x, label = dataset.test["image"], dataset.test["label"]
  assert np.mean(oracle(x) == label) > 0.95
  monkeypatch.setattr(keras.Sequential, "fit", None)
  np.testing.assert_array_equal(Oracle(dataset, epochs=1)(x), oracle(x))
  assert [path.suffixes[-2:] for path in own_cache.iterdir()] == [[".weights", ".h5"]]


def test_a_judge_that_cannot_be_kept_is_told_before_it_is_trained(dataset, trainings, tmp_path, monkeypatch):
  (tmp_path / "file").touch()
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "file" / "cache"))
  with pytest.raises(RunError, match=r"file/cache cannot be written: .*TFDISENT_CACHE names another folder\.$"):
    Oracle(dataset)
  assert not trainings


def test_a_judge_that_finds_the_disk_full_is_told(dataset, own_cache, trainings, monkeypatch):
  monkeypatch.setattr(keras.Model, "save_weights", lambda self, file: (_ for _ in ()).throw(OSError("disk full")))
  with pytest.raises(RunError, match=r"^what was learned of the oracle .* cannot be written: disk full\. Make room"):
    Oracle(dataset)
  assert trainings and not list(own_cache.iterdir())


def changed(dataset, split="train", **columns):
  """The same data set, by name, with some columns of a split replaced."""
  return dataclasses.replace(dataset, **{split: {**dataset[split], **columns}})


def test_a_judge_is_kept_under_what_it_learned_from(dataset, own_cache, trainings):
  """A judge of wrong labels was used again once they were corrected: it was kept under the name of the data set."""
  x, label = dataset.train["image"], dataset.train["label"]
  Oracle(dataset)
  Oracle(dataset)
  Oracle(dataclasses.replace(dataset, name="another name"))
  Oracle(changed(dataset, color=1 - dataset.train["color"]))  # which it does not read
  Oracle(changed(dataset, "test", label=dataset.test["label"][::-1]))
  assert len(trainings) == 1
  one_label, one_pixel = label.copy(), x.copy()
  one_label[500] = (one_label[500] + 1) % 4
  one_pixel[500, 3, 3, 1] ^= 1
  for count, judge in enumerate(
    (
      lambda: Oracle(changed(dataset, label=one_label)),
      lambda: Oracle(changed(dataset, image=one_pixel)),
      lambda: Oracle(changed(dataset, image=x[:-1], label=label[:-1], color=dataset.train["color"][:-1])),
      lambda: Oracle(dataset, epochs=7),
      lambda: FIDExtractor(dataset),
      lambda: Estimator(dataset, "label"),
      lambda: Estimator(dataset, "label", turn=4.0),
      lambda: Estimator(dataset, "label", values=lambda examples: examples["color"]),
    ),
    start=2,
  ):
    judge()
    judge()
    assert len(trainings) == len(list(own_cache.iterdir())) == count


def test_networks_of_large_images_pool_before_they_normalise(own_cache, trainings):
  order = {}
  for size in (32, 33):
    images = np.arange(4 * 20, dtype=np.uint8).reshape(4, 20, 1, 1, 1) * np.ones((size, 64, 3), np.uint8)
    of_size = Dataset(*({"image": x, "label": np.arange(20) % 2} for x in images), name="squares", judges=())
    order[size] = [type(layer).__name__ for layer in Oracle(of_size)._network.layers]
  assert order[32][:5] == ["Rescaling", "Conv2D", "BatchNormalization", "Activation", "MaxPooling2D"]
  assert order[33][:5] == ["Rescaling", "Conv2D", "MaxPooling2D", "BatchNormalization", "Activation"]
  assert sorted(order[32]) == sorted(order[33])


@pytest.mark.parametrize(
  ("module", "where", "change"),
  [
    (judges, "convolutions", lambda seed, first, make=judges.convolutions: make(seed, first, momentum=0.9)),
    (judges, "convolutions", lambda seed, first, make=judges.convolutions: make(seed + 1, first)),
    (judges, "head_layers", lambda outputs, seed, make=judges.head_layers: make(outputs, seed, dropout=0.3)),
    (judges, "BATCH_SIZE", 64),
    (heads, "CROSS_ENTROPY", "sparse_categorical_crossentropy"),
  ],
)
def test_a_judge_of_another_architecture_or_recipe_is_another(
  dataset, own_cache, trainings, monkeypatch, module, where, change
):
  Oracle(dataset)
  monkeypatch.setattr(module, where, change)
  Oracle(dataset)
  assert len(trainings) == 2


def test_the_key_does_not_depend_on_how_many_layers_a_process_has_made(dataset, own_cache, trainings):
  Oracle(dataset)
  keras.layers.Dense(1), keras.layers.Conv2D(1, 1), keras.random.SeedGenerator(0), keras.optimizers.Adam()
  Oracle(dataset)
  (file,) = own_cache.iterdir()
  assert len(trainings) == 1 and file.name.startswith("oracle-")


def test_images_of_a_file_that_was_written_anew_are_learned_anew(dataset, own_cache, trainings, tmp_path, monkeypatch):
  """Of a large file only some images are read for the key: its time says the rest."""
  monkeypatch.setattr("tfdisent.data.dataset.FINGERPRINT_BYTES", 400)
  x = dataset.train["image"]

  def mapped(image, second):
    file = tmp_path / "images"
    image.tofile(file)
    os.utime(file, (second, second))
    return changed(dataset, image=np.memmap(file, np.uint8, "r", shape=image.shape))

  Oracle(mapped(x, 1))
  Oracle(mapped(x, 1))
  assert len(trainings) == 1
  x = x.copy()
  x[500] ^= 1  # not among the two rows that are read
  Oracle(mapped(x, 2))
  assert len(trainings) == 2


def test_a_judge_learns_from_the_data_set_without_its_bias(dataset, own_cache, trainings):
  Oracle(dataset)
  empty = {name: column[:1] for name, column in dataset.train.items()}
  Oracle(dataclasses.replace(dataset, train=empty, name="biased", unbiased=dataset))
  assert len(trainings) == 1 and len(list(own_cache.iterdir())) == 1  # that of the first


@pytest.mark.parametrize(
  ("make", "targets"),
  [
    (Oracle, lambda examples: examples["label"]),
    (FIDExtractor, lambda examples: examples["label"]),
    (
      lambda data: Estimator(data, "label", turn=4.0),
      lambda examples: np.stack([np.cos(examples["label"] * np.pi / 2), np.sin(examples["label"] * np.pi / 2)], 1),
    ),
    (
      lambda data: Estimator(data, "label"),
      lambda examples: ((examples["label"] - examples["label"].mean()) / examples["label"].std())[:, None],
    ),
  ],
)
@pytest.mark.parametrize("unbiased", [False, True])
def test_a_judge_learns_the_training_images_alone(own_cache, monkeypatch, make, targets, unbiased):
  """Each image once an epoch, with its own target; a set of 200 is seen a hundred times as often as one of 20,000."""
  seen = []
  monkeypatch.setattr(keras.Sequential, "fit", lambda self, batches, **keywords: seen.append((batches, keywords)))
  data = marked_bands_dataset(train=200, probe=50, validation=50, test=50)
  if unbiased:  # its test split stands for biased examples
    biased = {name: column.copy() for name, column in data.test.items()}
    data = dataclasses.replace(data, train=biased, unbiased=data)
  make(data)
  ((batches, keywords),) = seen
  batches = [(x.numpy(), y.numpy()) for x, y in batches]
  assert len(batches) == 100 and {len(x) for x, _ in batches} == {128}  # of 200, the rest of a pass is left out
  assert keywords["epochs"] == {"Oracle": 6, "FIDExtractor": 3}.get(getattr(make, "__name__", ""), 12)
  train = marked_bands_dataset(train=200).train
  for x, y in batches[:3]:
    of_split, row, _ = marks(x).T
    assert set(of_split) == {MARKS["train"]} and len(set(row)) == 128
    np.testing.assert_allclose(y, targets(train)[row], atol=1e-6)
  orders = [tuple(marks(x)[:, 1]) for x, _ in batches[:3]]
  assert len(set(orders)) == 3


def test_an_estimator_gives_back_the_unit_that_it_learned(own_cache, monkeypatch):
  """Known answers: of a network that says (cos, sin) of 90 degrees, or one and two spreads above the mean."""
  monkeypatch.setattr(keras.Sequential, "fit", lambda *_, **__: None)
  data = bands_dataset(train=200)
  for said, estimator, expected in (
    ([0.0, 2.0], Estimator(data, "label", turn=4.0), 1.0),
    ([0.0, -2.0], Estimator(data, "label", turn=360.0), -90.0),
    ([-1.0], Estimator(data, "label"), data.train["label"].mean() - data.train["label"].std()),
    (
      [1.0, 0.0, 2.0],
      Estimator(data, "color"),
      data.train["color"].mean(0) + np.array([1, 0, 2]) * data.train["color"].std(0),
    ),
  ):
    monkeypatch.setattr(estimator._network, "predict", lambda x, said=said, **_: np.tile(said, (len(x), 1)))
    read = estimator(data.test["image"])
    np.testing.assert_allclose(read, np.broadcast_to(expected, (50, *np.shape(expected))), rtol=1e-5)


def test_a_plain_vae_learns_the_training_images_with_its_vae_terms_alone(own_cache, monkeypatch):
  seen = []
  monkeypatch.setattr(DisentangledVAE, "fit", lambda self, batches, **keywords: seen.append((self, batches, keywords)))
  network = {"conv": (2,), "dense": (4,)}
  networks = dict.fromkeys(("E1", "G", "q", "D", "a"), network)
  networks["a"] = {"dense": (4,)}
  weights = {name: float(i) for i, name in enumerate(WEIGHTS, 1)}
  objective = Objective(likelihood="laplace", stddev=0.3, ramp_steps=7, **weights)
  networks["precision"] = "mixed_bfloat16"
  model = TrainedModel(DisentangledVAE((8, 8, 3), DigitLabel(num_classes=4), objective, z1_width=2, **networks))
  data = marked_bands_dataset(train=200, probe=50, validation=50, test=50)
  vae = plain_vae(model, data)
  ((trained, batches, keywords),) = seen
  assert trained is vae.model and keywords["steps_per_epoch"] == 3 * 100
  assert trained.objective == objective.only_vae() != objective and trained.precision == "mixed_bfloat16"
  (batch,) = batches.take(1)
  assert set(marks(batch["image"].numpy())[:, 0]) == {MARKS["train"]} and batch["image"].shape == (128, 8, 8, 3)
  assert not batch["feature"].numpy().any() and batch["feature"].shape == (128, 4)
  same, other = plain_vae(model, data), plain_vae(model, changed(data, image=255 - data.train["image"]))
  assert len(seen) == 2 and len(list(own_cache.iterdir())) == 2
  assert all((a == b).all() for a, b in zip(same.model.get_weights(), other.model.get_weights()))  # fresh ones


def test_the_extractor_is_another_network_of_the_images_own_domain(dataset, own_cache):
  extractor, oracle = FIDExtractor(dataset, epochs=1), Oracle(dataset, epochs=1)
  features = extractor(dataset.test["image"])
  assert features.shape == (50, 64) and 0.3 < features.std() < 3
  np.testing.assert_allclose(FIDExtractor(dataset, epochs=1)(dataset.test["image"]), features, rtol=1e-4, atol=1e-4)
  assert FIDExtractor.seed != Oracle.seed and FIDExtractor.name != Oracle.name
  assert [w.shape for w in extractor._network.weights] != [w.shape for w in oracle._network.weights]
  assert len(list(own_cache.iterdir())) == 2


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[:-100], lambda content: content[::-1]])
def test_a_damaged_cache_is_trained_again(dataset, own_cache, trainings, damage):
  Oracle(dataset)
  (file,) = own_cache.iterdir()
  whole = file.read_bytes()
  file.write_bytes(damage(whole))
  Oracle(dataset)
  assert len(trainings) == 2 and len(file.read_bytes()) == len(whole)
  Oracle(dataset)
  assert len(trainings) == 2


def test_a_judge_of_which_one_byte_is_another_is_trained_again_from_the_start(dataset, own_cache, trainings, caplog):
  first = Oracle(dataset)._network.get_weights()
  (file,) = own_cache.iterdir()
  whole = bytearray(file.read_bytes())
  whole[len(whole) // 2] ^= 1
  file.write_bytes(whole)
  again = Oracle(dataset)._network.get_weights()
  assert len(trainings) == 2 and "its checksum is wrong" in caplog.text and "it is made again" in caplog.text
  for a, b in zip(first, again):
    np.testing.assert_array_equal(a, b)  # nothing was trained here, so that these are the initial weights


def test_weights_without_a_checksum_are_read_as_before(dataset, own_cache, trainings):
  Oracle(dataset)
  (file,) = own_cache.iterdir()
  file.write_bytes(file.read_bytes().rpartition(b"\nsha256 ")[0])
  Oracle(dataset)
  assert len(trainings) == 1


def test_every_image_of_an_array_in_memory_is_a_part_of_the_key(dataset, own_cache, trainings, monkeypatch):
  monkeypatch.setattr("tfdisent.data.dataset.FINGERPRINT_BYTES", 400)
  x = dataset.train["image"].copy()
  Oracle(changed(dataset, image=x))
  x[500] ^= 1  # not among the rows that the fingerprint reads
  Oracle(changed(dataset, image=x))
  Oracle(changed(dataset, image=x))
  assert len(trainings) == 2


# --- The plain VAE ----------------------------------------------------------------------------------------------------


def test_a_plain_vae_has_the_models_encoder_learns_without_z2_and_is_kept(
  digit_run, few_digits, own_cache, monkeypatch
):
  monkeypatch.setattr(judges, "EPOCH_IMAGES", 10_000)
  config = dict(digit_run.trained.model.get_config())
  vae = plain_vae(digit_run.trained, few_digits, epochs=1)
  assert set(vae.model.networks) == {"E1", "G"} and digit_run.trained.model.get_config() == config
  x, z2 = few_digits.test["image"], np.eye(10, dtype=np.float32)[np.zeros(64, int)]
  z1, _ = vae.encode_z1(x)
  before = digit_run.trained.untrained().decode(z1, 0 * z2)
  error = [np.square(image - x / 255).mean() for image in (vae.decode(z1, 0 * z2), before)]
  assert error[0] < 0.5 * error[1]
  monkeypatch.setattr(keras.Model, "fit", None)
  np.testing.assert_array_equal(plain_vae(digit_run.trained, few_digits, epochs=1).encode_z1(x)[0], z1)
  assert [path.name[:9] for path in own_cache.iterdir()] == ["plain-vae"]


# --- Probes of images -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parts():
  return {"fit": bands(400, 0), "select": bands(100, 1), "score": bands(200, 2)}


def column(parts, name):
  return {part: examples[name] for part, examples in parts.items()}


def test_a_class_is_read_from_images_that_show_it(parts):
  read = read_images(column(parts, "image"), column(parts, "label"), epochs=2)
  assert read.shape == (200, 4) and np.mean(read.argmax(1) == parts["score"]["label"]) > 0.98


def test_numbers_are_read_in_their_own_unit(parts):
  target = {part: 100 * color for part, color in column(parts, "color").items()}
  read = read_images(column(parts, "image"), target, epochs=4)
  assert np.abs(read - target["score"]).mean() < 7


def test_one_network_reads_a_class_and_numbers(parts):
  target = {part: 100 * color for part, color in column(parts, "color").items()}
  label = {**column(parts, "label"), "select": np.append(parts["select"]["label"][1:], 9)}  # a class that it never saw
  read, color = read_parts(column(parts, "image"), [label, target], epochs=4)
  assert read.shape == (200, 4) and np.mean(read.argmax(1) == parts["score"]["label"]) > 0.98
  assert np.abs(color - target["score"]).mean() < 8


def test_what_only_the_code_tells_is_read_from_it(parts):
  random_state = np.random.default_rng(0)
  z1 = {part: random_state.normal(size=(len(image), 2)) for part, image in column(parts, "image").items()}
  target = {part: (z[:, 0] > 0).astype(int) for part, z in z1.items()}
  blind = read_images(column(parts, "image"), target, epochs=2)
  seeing = read_images(column(parts, "image"), target, z1=z1, epochs=2)
  right = [np.mean(read.argmax(1) == target["score"]) for read in (blind, seeing)]
  assert right[0] < 0.65 and right[1] > 0.9
