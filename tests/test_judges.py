"""The networks that judge images: what they learn, and that they are kept."""

import dataclasses
import os

import keras
import numpy as np
import pytest

from tfdisent.evaluation import Estimator, FIDExtractor, Oracle, judges, plain_vae, read_images

from .bands import bands, bands_dataset


@pytest.fixture(scope="module")
def dataset():
  return bands_dataset()


# --- The oracle -------------------------------------------------------------------------------------------------------


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))
  return tmp_path / "cache"


@pytest.fixture
def trainings(monkeypatch):
  """How often an oracle was asked to be trained; it is not."""
  calls = []
  monkeypatch.setattr(keras.Sequential, "fit", lambda self, *arguments, **keywords: calls.append(self))
  return calls


def test_an_oracle_learns_the_classes_and_is_kept(dataset, own_cache, monkeypatch):
  oracle = Oracle(dataset, epochs=1)
  x, label = dataset.test["image"], dataset.test["label"]
  assert np.mean(oracle(x) == label) > 0.95
  monkeypatch.setattr(keras.Sequential, "fit", None)
  np.testing.assert_array_equal(Oracle(dataset, epochs=1)(x), oracle(x))
  assert [path.suffixes[-2:] for path in own_cache.iterdir()] == [[".weights", ".h5"]]


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


@pytest.mark.parametrize(
  ("where", "change"),
  [
    ("_convolutions", lambda seed, make=judges._convolutions: make(seed, momentum=0.9)),
    ("_convolutions", lambda seed, make=judges._convolutions: make(seed + 1)),
    ("_head", lambda outputs, seed, make=judges._head: make(outputs, seed, dropout=0.3)),
    ("BATCH_SIZE", 64),
    ("CROSS_ENTROPY", "sparse_categorical_crossentropy"),
  ],
)
def test_a_judge_of_another_architecture_or_recipe_is_another(
  dataset, own_cache, trainings, monkeypatch, where, change
):
  Oracle(dataset)
  monkeypatch.setattr(judges, where, change)
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
  monkeypatch.setattr("tfdisent.dataset.FINGERPRINT_BYTES", 400)
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


# --- The plain VAE ----------------------------------------------------------------------------------------------------


def test_a_plain_vae_has_the_models_encoder_learns_without_z2_and_is_kept(
  digit_run, few_digits, own_cache, monkeypatch
):
  vae = plain_vae(digit_run.trained, few_digits, epochs=1)
  assert set(vae.model.networks) == {"E1", "G"}
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
  return {"train": bands(400, 0), "validation": bands(100, 1), "test": bands(200, 2)}


def column(parts, name):
  return {part: examples[name] for part, examples in parts.items()}


def test_a_class_is_read_from_images_that_show_it(parts):
  read = read_images(column(parts, "image"), column(parts, "label"), epochs=2)
  assert read.shape == (200, 4) and np.mean(read.argmax(1) == parts["test"]["label"]) > 0.98


def test_numbers_are_read_in_their_own_unit(parts):
  target = {part: 100 * color for part, color in column(parts, "color").items()}
  read = read_images(column(parts, "image"), target, epochs=4)
  assert np.abs(read - target["test"]).mean() < 7


def test_what_only_the_code_tells_is_read_from_it(parts):
  random_state = np.random.default_rng(0)
  code = {part: random_state.normal(size=(len(image), 2)) for part, image in column(parts, "image").items()}
  target = {part: (z[:, 0] > 0).astype(int) for part, z in code.items()}
  blind = read_images(column(parts, "image"), target, epochs=2)
  seeing = read_images(column(parts, "image"), target, code=code, epochs=2)
  right = [np.mean(read.argmax(1) == target["test"]) for read in (blind, seeing)]
  assert right[0] < 0.65 and right[1] > 0.9
