"""gin files: the ones that they include, and names of older versions in them."""

import gin
import pytest

from tfdisent import config, gin_files


@pytest.fixture(autouse=True)
def forget():
  yield
  gin.clear_config()


def test_included_files_lie_beside_the_one_that_includes_them(tmp_path, monkeypatch):
  for folder in ("sub/more", "here"):
    (tmp_path / folder).mkdir(parents=True)
  (tmp_path / "sub/child.gin").write_text("include 'base.gin'\ninclude 'more/other.gin'\ninclude 'base.gin'")
  (tmp_path / "sub/base.gin").write_text("train.epochs = 7\n")
  (tmp_path / "sub/more/other.gin").write_text("include 'deep.gin'\ninclude 'gin_configs/own_images.gin'\n")
  (tmp_path / "sub/more/deep.gin").write_text("train.seed = 8\n")
  monkeypatch.chdir(tmp_path / "here")
  config.read(["../sub/child.gin"])
  assert {"train.epochs = 7", "train.seed = 8"} <= config.bindings_read()
  monkeypatch.setenv("HOME", str(tmp_path))
  config.read(["~/sub/base.gin"])
  assert config.bindings_read() == {"train.epochs = 7"}
  (tmp_path / "here/base.gin").write_text("train.epochs = 9\n")  # the current folder was always the first
  config.read(["../sub/child.gin"])
  assert "train.epochs = 9" in config.bindings_read()


@pytest.fixture
def untold(monkeypatch):
  """As if no old name had been met in this process yet."""
  monkeypatch.setattr(gin_files, "_told", set())


def test_old_names_are_read_from_files_and_bindings_and_said_once(tmp_path, untold, capsys):
  (tmp_path / "inner.gin").write_text(
    "import tfdisent.datasets.color_mnist\n# composite.leakage_weights\ntrain.dataset = 'color_mnist'\n"
  )
  (tmp_path / "outer.gin").write_text(f"include '{tmp_path / 'inner.gin'}'\nimport features.composite\n")
  for _ in range(2):
    config.read(
      [str(tmp_path / "outer.gin")],
      ["composite.leakage_weights = (1.0,)", "sweep.grid = {'composite.leakage_weights': ((1.0,), (2.0,))}"],
    )
  assert config.bindings_read() == {
    "import tfdisent.data.color_mnist",
    "import features.composite",
    "train.dataset = 'color_mnist'",
    "composite.adversary_weights = (1.0,)",
  }
  assert list(config.sweep().values())[1] == {"composite.adversary_weights": (2.0,)}
  assert capsys.readouterr().err.splitlines() == [
    "composite.leakage_weights is called composite.adversary_weights now.",
    "tfdisent.datasets.color_mnist is called tfdisent.data.color_mnist now.",
  ]
