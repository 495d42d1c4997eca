import math

import numpy as np
import pytest

from features.attribute import Attribute
from features.category import Category
from features.composite import Composite
from features.number import Number
from features.pose import HeadPose, Pose, Rotation, Viewpoint
from features.rgb import Rgb
from tfdisent.controls import Control, Slider, controls_of

AGE = Number("age", mean=40.0, scale=10.0, lowest=18.0, highest=90.0)


def control(feature, **arguments):
  (only,) = controls_of(feature, **arguments)
  return only


def test_every_part_has_the_control_of_its_kind():
  feature = Composite((Category("hair", 3), Attribute(("smile", "hat")), Rgb("coat"), AGE))
  made = controls_of(feature, {"hair": ("black", "blond", "red")})
  assert [(one.name, one.kind) for one in made] == [
    ("category", "choice"),
    ("smile", "check"),
    ("hat", "check"),
    ("rgb", "color"),
    ("number", "numbers"),
  ]
  assert made[0].choices == ("black", "blond", "red") and made[4].sliders == (Slider("", 18.0, 90.0),)


@pytest.mark.parametrize(
  "feature, value, natural",
  [
    (Category("hair", 3), "2", 2),
    (Attribute(("smile",)), True, 1),
    (Rgb("coat"), "#ff0033", [1, 0, 0.2]),
    (AGE, [61.0], 61.0),
    (Rotation(), [90.0], math.pi / 2),
    (Rotation(turn=360.0), [-45.0], -45.0),
    (Pose(), [30.0], math.pi / 6),
    (Viewpoint(), [-8.0, 2.0], [-8.0, 2.0]),
    (HeadPose(), [0.5, -1.0], [0.5, -1.0]),
  ],
)
def test_a_value_becomes_the_natural_form_and_comes_back(feature, value, natural):
  one = control(feature)
  assert one.to_natural(value) == pytest.approx(natural)
  vector = feature.to_vector(np.array([one.to_natural(value)]))
  assert vector.shape == (1, feature.width)
  returned = one.of_natural(feature.to_natural(vector)[0])
  assert returned == (pytest.approx(value) if one.kind == "numbers" else value)


@pytest.mark.parametrize(
  ("labels", "is_vector"), [([""], False), (["yaw"], True), (["yaw", "pitch"], True), (["", ""], True)]
)
def test_a_number_without_a_label_is_no_vector(labels, is_vector):
  assert Control("pose", "numbers", sliders=tuple(Slider(label, -1.0, 1.0) for label in labels)).is_vector == is_vector


def test_classes_without_enough_names_are_called_by_their_numbers():
  assert control(Category("hair", 3), class_names={"hair": ("black", "blond")}).choices == ("0", "1", "2")


def test_the_range_of_a_number_is_its_own_or_that_of_examples():
  turned = control(Rotation()).sliders[0]
  assert (turned.low, turned.high, turned.unit) == (pytest.approx(-180), pytest.approx(180), "°")
  axis = control(Pose()).sliders[0]
  assert (axis.low, axis.high) == (pytest.approx(-90), pytest.approx(90))
  steps = control(Viewpoint()).sliders
  assert [(s.label, s.low, s.high, s.unit) for s in steps] == [
    ("label_azimuth", -9, 9, ""),
    ("label_elevation", 0, 8, ""),
  ]
  examples = np.array([[0.0, -2.0], [1.0, 3.0]], np.float32)
  yaw, roll = control(HeadPose(), examples=examples).sliders
  assert (yaw.label, yaw.low, yaw.high) == ("yaw", pytest.approx(-0.1), pytest.approx(1.1))
  assert (roll.label, roll.low, roll.high) == ("roll", pytest.approx(-2.5), pytest.approx(3.5))
  assert (control(HeadPose()).sliders[0].low, control(HeadPose()).sliders[0].high) == (-1, 1)


@pytest.mark.parametrize("low, high, step", [(-180, 180, 1), (0, 1, 0.01), (18, 90, 0.1), (0, 5000, 10)])
def test_a_slider_has_a_hundred_steps_or_more_of_a_round_size(low, high, step):
  assert Slider("", low, high).step == pytest.approx(step)


def test_a_path_goes_through_everything():
  assert control(Category("hair", 3)).path() == [0, 1, 2]
  assert control(Attribute(("smile",))).path() == [0, 1]
  assert control(AGE).path(3) == pytest.approx([18, 54, 90])
  assert np.array(control(Viewpoint()).path(2)) == pytest.approx(np.array([[-9, 4], [9, 4]]))
  colors = np.array(control(Rgb("coat")).path(6))
  assert np.unique(colors, axis=0).shape == (6, 3) and set(colors.ravel().round(6)) == {0.0, 1.0}


def test_a_number_beyond_its_slider_is_shown_at_its_end():
  one = Control("age", "numbers", sliders=(Slider("", 18.0, 90.0),))
  assert one.of_natural(120.0) == [90.0]
