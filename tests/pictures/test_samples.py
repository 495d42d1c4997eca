"""`--mode=sample`: what is drawn, into which file."""

import io

import PIL.Image
import pytest

from tfdisent.checkpoints import Checkpoint
from tfdisent.errors import ConfigError, FeatureError
from tfdisent.examples import save_feature_examples
from tfdisent.pictures import samples, sources
from tfdisent.pictures.sheet import Sheet
from tfdisent.pictures.strips import Animation


@pytest.fixture
def found(monkeypatch, x, f_both):
  """Eight images, whatever is asked for."""
  asked = []

  def find(*arguments):
    asked.append(arguments)
    return sources.Sources(x[:8], f_both[:8], f_both, "eight digits")

  monkeypatch.setattr(sources, "find", find)
  return asked


@pytest.fixture
def drawn(monkeypatch):
  """The sheets, and the animations, that are written."""
  kept = []
  for kind in (Animation, Sheet):
    titled = kind.titled
    monkeypatch.setattr(kind, "titled", lambda self, title, titled=titled: kept.append(titled(self, title)) or kept[-1])
  return kept


@pytest.fixture
def trained(both, monkeypatch):
  monkeypatch.setattr(both, "checkpoint", Checkpoint("last", 2, 0))
  return both


@pytest.mark.parametrize(
  ("what", "features", "file", "words"),
  [
    ("swap", [], "swap.png", ("digit_label", "color", "bold", "all of these")),
    ("swap", ["bold"], "swap_bold.png", ("image", "donor", "bold")),
    ("strip", [], "strip.png", ("digit_label", "color", "bold")),
    ("strip", ["bold", "color"], "strip_bold_color.png", ("bold", "no", "yes", "color")),
    ("grid", [], "grid.png", ("with the digit_label, color and bold of the image above.",)),
    ("grid", ["color"], "grid_color.png", ("with the color of the image above, and nothing else",)),
    ("morph", [], "morph.png", ("digit_label",)),
    ("morph", ["bold"], "morph_bold.png", ("The bold moves",)),
  ],
)
def test_a_picture_of_some_features(what, features, file, words, trained, found, drawn, tmp_path):
  path, line = samples.write_sample(tmp_path, trained, what, features, 7, "/data", ["a"])
  assert path == tmp_path / file and line == f"{what.capitalize()} of eight digits: {path}"
  assert found == [(tmp_path, trained, 7, "/data", ["a"], None)]
  picture = PIL.Image.open(io.BytesIO(path.read_bytes()))
  assert (picture.n_frames > 1) == (what == "morph")
  sheet = drawn[0]
  assert sheet.title == f"{tmp_path.name} · last checkpoint, after epoch 2"
  assert all(word in sheet.words for word in words)
  if features and what != "morph":
    assert "digit_label" not in sheet.words


def test_new_images_are_drawn_by_default(trained, f_both, tmp_path):
  save_feature_examples(tmp_path, f_both[:3])
  path, line = samples.write_sample(tmp_path, trained, seed=1)
  assert path == tmp_path / "samples.png" and line == f"Rows share a z1 from the prior, columns share z2: {path}"
  with pytest.raises(ConfigError, match="samples show all features"):
    samples.write_sample(tmp_path, trained, features=["color"])


def test_what_is_not_understood_is_named(trained, found, tmp_path):
  with pytest.raises(ConfigError, match=r"what = 'strips' cannot be drawn\. Did you mean 'strip'"):
    samples.write_sample(tmp_path, trained, "strips")
  with pytest.raises(FeatureError, match=r"no part 'colour'\. Did you mean 'color'\?.*digit_label, color, bold\."):
    samples.write_sample(tmp_path, trained, "strip", ["colour"])
  with pytest.raises(ConfigError, match=r"a morph moves one feature, and 2 are named"):
    samples.write_sample(tmp_path, trained, "morph", ["color", "bold"])
  assert not list(tmp_path.iterdir())
