"""What measurements read: that it is computed once, and which images are fused with which."""

import gc
import weakref

import numpy as np
import pytest

from features.color import Color
from features.composite import Composite
from features.digit_label import DigitLabel
from tests.bands import Fake, bands_dataset, read_label, swaps_nothing
from tfdisent.errors import DataError
from tfdisent.evaluation import Case, case, judges, other_feature

BOTH = Composite((DigitLabel(num_classes=4), Color()), part_names=("band", "ink"))
BY_ROLE = ("image", "f", "z1", "z1_sample", "z2_partner", "z1_fusion", "fusion", "fusion_of_mean")


@pytest.fixture
def made(monkeypatch):
  """A case, and the calls of its model and of what trains judges."""
  calls, model = [], Fake(BOTH, swaps_nothing)

  def note(name, function):
    return lambda *arguments: (calls.append(name), function(*arguments))[1]

  for name in ("encode_z1", "sample_z1", "encode_z2", "decode"):
    monkeypatch.setattr(model, name, note(name, getattr(model, name)))
  monkeypatch.setattr(case, "TRAINING_FUSIONS", 60)
  monkeypatch.setattr(judges, "Oracle", note("Oracle", lambda dataset, column: read_label))
  return Case(model, bands_dataset(train=20, probe=25, validation=15, test=30), seed=3), calls


def test_each_thing_is_computed_once_and_when_it_is_read(made):
  one, calls = made
  assert one.x.shape == (30, 8, 8, 3) and not calls
  one.z1["score"], one.x_rec
  assert calls == ["encode_z1", "encode_z2", "decode"]

  def read():
    arrays = [getattr(one, name)[role] for name in BY_ROLE for role in case.ROLES]
    return [*arrays, one.x_rec, one.pairs, one.readers, one.truth, *(part.target["fit"] for part in one.parts)]

  first, count = read(), len(calls)
  assert all(a is b for a, b in zip(first, read(), strict=True)) and len(calls) == count
  assert calls.count("encode_z1") == 6 and calls.count("sample_z1") == 3  # the double's samples encode once more
  assert calls.count("encode_z2") == 4 and calls.count("decode") == 7 and calls.count("Oracle") == 1


def test_fusions_are_of_independent_pairs_in_the_order_of_the_roles(made):
  one, _ = made
  random_state = np.random.default_rng([3, 1])
  for role, count in (("score", 30), ("fit", 60), ("select", 15)):
    rows = np.arange(count) % len(one.image[role])
    np.testing.assert_array_equal(one.pairs.row[role], rows)
    partner = random_state.permutation(rows)
    np.testing.assert_array_equal(one.pairs.partner[role], partner)
    np.testing.assert_array_equal(one.z2_partner[role], one.f[role][partner])
    np.testing.assert_array_equal(one.fusion[role], one.image[role][rows])
  assert one.pairs.random_state.random() == random_state.random()


def test_a_case_is_gone_with_its_arrays_when_it_is_not_used_any_more(made):
  """Images of hundreds of megabytes stayed if a case referred to itself, until Python looked for cycles."""
  model, dataset = made[0].model, made[0].dataset
  gc.collect()
  gc.disable()
  try:
    one = Case(model, dataset)
    one.fusion["score"], one.z1_sample["fit"], one.parts[0].target, one.readers
    reference = weakref.ref(one)
    del one
    assert reference() is None
  finally:
    gc.enable()


def test_each_part_has_its_own_f_target_and_keys(made):
  one, _ = made
  band, ink = one.parts
  assert (band.name, ink.name, band.feature, ink.feature) == ("band", "ink", *BOTH.parts)
  for role in case.ROLES:
    np.testing.assert_array_equal(band.target[role], one.data[role]["label"])
    np.testing.assert_array_equal(ink.target[role], one.f[role][:, 4:])
    np.testing.assert_array_equal(band.f[role], one.f[role][:, :4])
  assert ink.key("leakage/worst") == "leakage/ink/worst"
  assert Case(Fake(Color(), swaps_nothing), one.dataset).parts[0].key("leakage/worst") == "leakage/worst"


def test_what_is_no_role_or_split_is_refused(made):
  one, _ = made
  with pytest.raises(KeyError, match="train"):
    one.f["train"]
  with pytest.raises(DataError, match="'test' or 'validation', not on 'probe'"):
    Case(one.model, one.dataset, "probe").x  # noqa: B018


@pytest.mark.parametrize("f", [np.eye(3)[[0] * 90 + [1] * 9 + [2]], np.random.default_rng(0).random((100, 2))])
def test_the_other_feature_is_another_one_for_every_row(f):
  for seed in range(5):
    partner = other_feature(f, np.random.default_rng(seed))
    assert partner.shape == (100,) and (f != f[partner]).any(1).all()
  assert (partner != other_feature(f, np.random.default_rng(99))).any()
  np.testing.assert_array_equal(partner, other_feature(f, np.random.default_rng(seed)))


def test_partners_come_from_all_other_examples():
  f = np.eye(2)[np.arange(40) % 2]
  drawn = {int(row) for seed in range(30) for row in other_feature(f, np.random.default_rng(seed))[:1]}
  assert len(drawn) > 10 and all(row % 2 == 1 for row in drawn)


def test_one_feature_for_all_has_no_other():
  with pytest.raises(ValueError, match="same feature"):
    other_feature(np.ones([5, 2]), np.random.default_rng(0))
