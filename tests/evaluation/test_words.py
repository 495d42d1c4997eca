"""The figures of a run in plain words."""

import dataclasses

import numpy as np
import pytest

from features.attribute import Attribute
from features.composite import Composite
from features.number import Number
from tfdisent.data import from_arrays
from tfdisent.evaluation.words import in_words

RANDOM = np.random.default_rng(0)
DATASET = from_arrays(
  RANDOM.integers(256, size=(60, 8, 8, 1), dtype=np.uint8),
  {"smile": RANDOM.integers(2, size=60), "age": RANDOM.random(60), "coat": RANDOM.integers(3, size=60)},
)
SMILE = Attribute(("smile",))


def words(feature, **figures):
  return in_words("faces", feature, DATASET, "validation", {name: {"value": value} for name, value in figures.items()})


def test_control_stands_beside_the_judge():
  text = words(SMILE, **{"control/accuracy_mean": 0.97, "oracle/validation_smile_accuracy": 0.98})
  assert "Asked for another smile, an independent classifier sees it in 97.0 % of the fusions (98.0 % on real" in text
  assert "Nothing stands out." in text


def test_poor_figures_have_their_remedy():
  figures = {"control/accuracy_mean": 0.6, "oracle/validation_smile_accuracy": 0.98, "leakage/linear_mean": 0.9}
  text = words(SMILE, **figures, **{"leakage/chance": 0.5, "quality/psnr": 14.0, "quality/sharpness_fusion": 0.69})
  for remedy in (
    "Control of smile is poor",
    "z1 still tells smile",
    "The fusions are softer than the real ones: lower `objective.stddev`",
    "- Fusions are 0.69 times as sharp as real images: they are softer than the real ones.",
    "- Reconstructions have a PSNR of 14.0 dB.",
    "knowing nothing gives 50.0 %",
  ):
    assert remedy in text
  text = words(SMILE, **{"control/accuracy_mean": 0.6, "oracle/validation_smile_accuracy": 0.62})
  assert "The judge reads smile badly" in text and "Control of smile" not in text


def test_pictures_that_are_sharp_enough_need_no_remedy():
  text = words(SMILE, **{"quality/sharpness_rec": 0.71, "quality/sharpness_fusion": 1.3})
  assert "Reconstructions are 0.71 times as sharp as real images.\n- Fusions are 1.30 times as sharp" in text
  assert "softer" not in text and "Nothing stands out." in text
  text = words(SMILE, **{"quality/sharpness_rec": 0.5, "quality/sharpness_fusion": 0.6})
  assert "The reconstructions, fusions are softer" in text
  assert "## How the pictures look" not in words(SMILE, **{"control/accuracy_mean": 0.97})


def test_what_was_kept_stands_in_a_table():
  figures = {"complement/coat_accuracy": 0.5, "complement_chance/coat_accuracy": 0.33}
  text = words(SMILE, **figures, **{"oracle/validation_coat_accuracy": 0.99})
  assert "| smile | coat | 50.0 % | 99.0 % | 33.0 % |" in text and "What was not asked for changes with smile" in text
  text = words(SMILE, **(figures | {"complement/coat_accuracy": 0.97, "oracle/validation_coat_accuracy": 0.99}))
  assert "What was not asked for" not in text


def test_parts_have_figures_of_their_own_and_numbers_have_errors():
  feature = Composite((SMILE, Number(("age",)).of_dataset(DATASET)), part_names=("smile", "age"))
  figures = {"control/smile/accuracy_mean": 0.9, "control/age/mae_mean": 4.0, "oracle/validation_age_mae": 1.5}
  text = words(feature, **figures, **{"leakage/age/worst": 0.4})
  assert "another age, an independent reader finds it with an error of 4 (1.5 on real images)" in text
  assert "Control of age is poor" in text and "age: the best of six probes explains 40.0 % of its variance" in text


def test_what_a_probe_can_use_is_told_in_nats():
  figures = {"leakage/worst": 0.6, "leakage/chance": 0.5, "leakage/worst_nats": 0.071}
  text = words(SMILE, **figures, **{"leakage/ceiling_nats": 0.693})
  assert "- smile: a probe can use 0.07 nats of z1, of 0.69 that tell all.\n" in text
  assert "- smile: a probe can use 0.07 nats of z1.\n" in words(SMILE, **figures)
  assert "nats" not in words(SMILE, **{"leakage/worst": 0.6})  # of an older version


def test_the_images_that_the_probes_learned_from_are_counted():
  figures = {name: {"value": 0.6, "probe_images": 6000} for name in ("leakage/worst", "leakage/linear_mean")}
  figures["leakage/worst_all"] = {"value": 0.7, "probe_images": 48000}
  text = in_words("faces", SMILE, DATASET, "test", figures)
  assert "- smile: the best of six probes, which learned from 6,000 images, reads it in 60.0 % of the images; " in text
  assert "- smile: the best of six others, which learned from all 48,000 training images, reads it in 70.0 %" in text
  text = in_words("faces", SMILE, DATASET, "test", {"leakage/linear_mean": {"value": 0.6, "probe_images": 50}})
  assert "- smile: a linear probe, which learned from 50 images, reads it in 60.0 % of the images; " in text


def test_a_feature_that_no_judge_reads_says_so():
  dataset = dataclasses.replace(DATASET, judges=())
  text = in_words("faces", SMILE, dataset, "test", {"control/own_f_mae_mean": {"value": 0.25}})
  assert "the own f mae is 0.25; no column's judge reads it" in text and "--mode=eval" not in text


@pytest.mark.parametrize(("kept", "is_poor"), [(0.03, True), (0.85, True), (0.95, False)])
def test_what_is_kept_worse_than_in_an_unrelated_image_is_not_kept(kept, is_poor):
  figures = {"complement_chance/coat_accuracy": 0.5, "oracle/validation_coat_accuracy": 1.0}
  text = words(SMILE, **figures, **{"complement/coat_accuracy": kept})
  assert ("What was not asked for changes with smile" in text) is is_poor


@pytest.mark.parametrize(("seen", "chance", "is_leak"), [(1.0, 0.95, True), (0.96, 0.95, False), (0.59, 0.5, False)])
def test_a_leak_of_a_rare_attribute_is_seen_as_well(seen, chance, is_leak):
  text = words(SMILE, **{"leakage/worst": seen, "leakage/chance": chance})
  assert ("z1 still tells smile" in text) is is_leak
