"""A fusion is compared with the very picture that it should be, pixels that f changes apart from the others."""

import itertools

import numpy as np
import pytest

import tfdisent
from features.color import Color
from tests.bands import Fake, bands_dataset, draw, swaps_color, swaps_nothing
from tfdisent.errors import ConfigError
from tfdisent.evaluation import Case, evaluate
from tfdisent.evaluation.counterpart import Counterpart

COLORS = np.float32([[1, 0, 0], [0, 0.8, 0], [0, 0, 0.6]])


@pytest.fixture(scope="module")
def dataset():
  """Each of four bands in each of three colours is an image of the test split, but that the last band is red alone."""
  some = [(label, color) for label, color in itertools.product(range(4), range(3)) if label < 3 or color == 0]
  label, color = (np.array(values) for values in zip(*some))
  dataset = bands_dataset(train=20)
  image = np.rint(draw(label, COLORS[color]) * 255).astype(np.uint8)
  dataset.test.update(image=image, label=label, color=COLORS[color])
  return dataset


def values(dataset, draw_fusion, **settings):
  metrics = Counterpart(**({"same": ("label",)} | settings)).measure(Case(Fake(Color(), draw_fusion), dataset))
  assert all(0 <= figure.get("low", 0) <= figure["value"] for figure in metrics.values())
  return {name.removeprefix("counterpart/"): figure["value"] for name, figure in metrics.items()}


def test_a_perfect_swap_is_the_true_picture(dataset):
  perfect = values(dataset, swaps_color)
  assert perfect["psnr"] > 50 and perfect["mae_kept"] == 0 and perfect["mae_changed"] < 1e-6
  assert perfect["share"] == 9 / 10  # no picture shows the last band in another colour


def test_a_copy_is_as_far_from_it_as_the_source(dataset):
  copy = values(dataset, swaps_nothing)
  assert copy["psnr"] == copy["psnr_source"] < 20
  assert copy["mae_changed"] == copy["mae_changed_source"] > 0.4 and copy["mae_kept"] == 0


def test_what_f_does_not_change_is_held_against_the_source_alone(dataset):
  """Ground that became lighter by a fifth, and ink of the right colour."""
  lit = values(
    dataset, lambda x, f: np.where(swaps_color(x, f) > 0, swaps_color(x, f), 0.2 * (x.max(3) == 0)[..., None])
  )
  assert lit["mae_kept"] == pytest.approx(0.2) and lit["mae_changed"] < 1e-6
  assert lit["psnr"] < 20


def test_pixels_that_differ_by_less_than_the_tolerance_are_kept(dataset):
  """All are, by a tolerance of 1: the ink is right in every pixel, and nothing counts as changed."""
  assert "mae_changed" not in values(dataset, swaps_color, tolerance=1.0)


def test_it_is_left_out_where_no_picture_is_the_true_one(dataset):
  told = []
  metrics = evaluate(
    Fake(Color(), swaps_color), dataset, quick=True, progress=told.append, measurements=(Counterpart(("color",)),)
  )
  assert not any(name.startswith("counterpart/") for name in metrics)
  assert any("no image of the split is the true picture of a fusion in another color" in line for line in told)


@pytest.mark.parametrize(("same", "problem"), [((), "it is empty"), (("vendor",), "there is no column 'vendor'")])
def test_columns_that_are_not_there_are_named(dataset, same, problem):
  with pytest.raises(ConfigError, match=f"{problem}.*there are label, color"):
    values(dataset, swaps_color, same=same)


def test_they_are_named_before_a_model_is_trained(dataset, tmp_path):
  with pytest.raises(ConfigError, match=r"counterpart\.same.*it is empty"):
    tfdisent.train(dataset, "color", measurements=("counterpart",), epochs=1, run_dir=tmp_path / "run")
  assert not (tmp_path / "run").exists()
