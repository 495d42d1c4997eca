"""What tests of the judges share."""

import keras
import pytest


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
