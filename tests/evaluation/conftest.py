"""What tests of the judges share."""

import dataclasses

import keras
import numpy as np
import pytest

from tests.bands import bands_dataset
from tfdisent.data.dataset import Judge

BAND, RED, COLOR = Judge("band", "label", "classifier"), Judge("red", "red", "number"), Judge("ink", "color", "color")
HUE = Judge("hue", "hue", "angle", 360.0)
ALL = (BAND, COLOR, RED, HUE)


@pytest.fixture(scope="package")
def judged_bands():
  """Bands with their red as a number, and the angle of their red and green."""
  bands = bands_dataset(train=300, test=40)
  splits = {
    split: {
      **bands[split],
      "red": bands[split]["color"][:, 0],
      "hue": np.degrees(np.arctan2(bands[split]["color"][:, 1] - 0.6, bands[split]["color"][:, 0] - 0.6)),
    }
    for split in ("train", "probe", "validation", "test")
  }
  return dataclasses.replace(bands, **splits, judges=ALL)


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "cache"))
  return tmp_path / "cache"


@pytest.fixture
def trainings(monkeypatch):
  """The networks that were asked to be trained; they are not."""
  calls = []
  monkeypatch.setattr(keras.Model, "fit", lambda self, *arguments, **keywords: calls.append(self))
  return calls
