import functools
import json
import pathlib
import re
import string

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont
import pytest
from matplotlib import font_manager
from sklearn.neighbors import KNeighborsClassifier

import tfdisent as package
from tfdisent import demo, run, shipped
from tfdisent.errors import RunError
from tfdisent.examples import load_examples, save_feature_examples

ROOT = pathlib.Path(__file__).parent.parent
LARGEST = 2 * 2**20  # bytes of one model
ALL = 6 * 2**20
FACES = (
  ("DejaVu Sans", "normal", "normal"),
  ("DejaVu Serif", "bold", "normal"),
  ("DejaVu Sans Mono", "normal", "normal"),
)
"""Typefaces that come with matplotlib: family, weight, style."""


@pytest.fixture
def one_model(digit_run, tmp_path, monkeypatch):
  """A folder of models that holds one, `digits`."""
  folder = package.export(digit_run.folder, "compact", tmp_path / "models", "digits")
  (folder / "README.md").write_text("# digits\n\nMade of\ntwo lines.\n\nMore.")
  save_feature_examples(folder, np.eye(10, dtype=np.float32)[:3])  # of a training that was not cut short
  figures = {"provenance": {"split": "validation"}, "metrics": {"control": {"value": 0.5, "low": 0.4}}}
  (folder / "metrics_validation.json").write_text(json.dumps(figures))
  monkeypatch.setattr(shipped, "FOLDER", tmp_path / "models")
  (tmp_path / "here").mkdir()
  monkeypatch.chdir(tmp_path / "here")
  return folder


def test_a_model_is_loaded_by_its_name(one_model, few_digits):
  model = package.load("digits")
  assert model.run_dir == one_model
  x = few_digits.validation["image"]
  assert model.control(x, 3).shape == x.shape
  assert not list(pathlib.Path().iterdir())


def test_models_tell_what_they_are(one_model):
  assert package.models() == {
    "digits": {
      "about": "Made of two lines.",
      "image_shape": (28, 28, 3),
      "figures": {"validation": {"control": 0.5}},
    }
  }


def test_what_writes_works_on_a_copy(one_model, tfdisent):
  before = sorted(one_model.rglob("*"))
  code, out, err = tfdisent("--mode=sample", "--run_dir=digits")
  assert code == 0, err
  assert "was copied into" in out and pathlib.Path("digits/samples.png").is_file()
  assert sorted(one_model.rglob("*")) == before
  code, out, _ = tfdisent("--mode=sample", "--run_dir=digits")  # the copy is a run folder like any other
  assert code == 0 and "was copied" not in out


@pytest.mark.parametrize(
  ("command", "words"),
  [
    (["--mode=export", "--export_format=web"], "npm install"),
    (["--mode=export", "--export_format=wab"], "Did you mean 'web'"),
    (["--mode=sample", "--what=strip", "--feature=smile"], "smile"),
    (["--mode=eval", "--data_dir=nowhere"], "data"),
  ],
)
def test_what_cannot_be_written_leaves_no_copy(one_model, tfdisent, monkeypatch, tmp_path, command, words):
  monkeypatch.setenv("TFDISENT_CACHE", str(tmp_path / "no LiteRT.js"))
  code, out, err = tfdisent(*command, "--run_dir=digits")
  assert code == 1 and words in err and "copied" not in out
  assert not list(pathlib.Path().iterdir())


def test_a_folder_here_goes_before_a_model_of_that_name(one_model):
  pathlib.Path("digits").mkdir()
  with pytest.raises(RunError, match="digits holds no trained model"):
    package.load("digits")


def test_a_name_that_is_no_model_lists_those_that_are(one_model, tfdisent):
  code, _, err = tfdisent("--mode=sample", "--run_dir=digit")
  assert code == 1 and "there is no run folder digit. Models of the package: digits." in err


def test_the_models_of_the_package_are_small_and_say_of_what_they_are_made():
  sizes = {name: sum(file.stat().st_size for file in (shipped.FOLDER / name).iterdir()) for name in shipped.names()}
  assert all(size <= LARGEST for size in sizes.values()) and sum(sizes.values()) <= ALL, sizes
  for name, model in package.models().items():
    text = (shipped.FOLDER / name / "README.md").read_text()
    assert model["figures"] and "--gin_file=gin_configs/" in text and "licen" in text.lower(), name


def test_the_demo_shows_all_models_of_the_package(one_model, tfdisent, monkeypatch):
  shown = []
  monkeypatch.setattr(demo, "serve", lambda runs, host, port: shown.extend([*runs, host, port]))
  pathlib.Path("digits").mkdir()  # images of somebody, which no run is in
  code, _, err = tfdisent("--mode=demo", "--port=7999")
  assert code == 0, err
  (name, model), *address = shown
  assert name == "digits" and model.run_dir == one_model and address == ["127.0.0.1", 7999]


# --- The models themselves --------------------------------------------------------------------------------------------


@functools.cache
def loaded(name):
  """A model of the package, and the images that it keeps."""
  model = package.load(name)
  return model, load_examples(model.run_dir, model.image_shape)


def bindings_with_includes(file):
  """What a gin file binds, by name; what it includes comes before, and is overridden."""
  text, bound = (ROOT / file).read_text(encoding="utf-8"), {}
  for included in re.findall("^include '(.*)'$", text, flags=re.MULTILINE):
    bound |= bindings_with_includes(included)
  lines = [line for line in run.bindings(text) if not line.startswith(("import", "include"))]
  return bound | dict(line.split(" = ", 1) for line in lines)


@pytest.mark.parametrize("name", shipped.names())
def test_a_model_was_made_by_the_configuration_that_it_names(name):
  """All but which columns are judged, which no weight depends on."""
  card = (shipped.FOLDER / name / "README.md").read_text(encoding="utf-8")
  lines = bindings_with_includes(re.search(r"--gin_file=(\S+)", card)[1])
  wanted = {f"{key} = {value}" for key, value in lines.items() if key != "table.judged"}
  assert len(wanted) > 20
  assert wanted <= run.bindings((shipped.FOLDER / name / "config.gin").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", shipped.names())
def test_images_are_made_again_as_well_as_the_figures_say(name):
  model, x = loaded(name)
  error = ((model.reconstruct(x).astype(float) - x) ** 2).mean((1, 2, 3))
  told = package.models()[name]["figures"]["validation"]["quality/psnr"]
  assert len(x) == 8
  assert (10 * np.log10(255**2 / error)).mean() == pytest.approx(told, abs=2)


def test_digits_become_the_asked_for_digit_in_the_colour_of_their_source(digits):
  """By neighbours among real digits, which read 95 % of real ones."""
  model, _ = loaded("digits")
  x, wanted = digits.validation["image"][:200], np.arange(200) % 10
  fusions = model.control(x, wanted)
  reader = KNeighborsClassifier(3).fit(shapes(digits.train["image"]), digits.train["label"])
  right = digits.validation["label"][:200] == reader.predict(shapes(x))
  assert np.mean(reader.predict(shapes(fusions)) == wanted) > right.mean() - 0.02 > 0.88

  def color(image):  # of the brightest pixels
    bright = np.partition(image.reshape(len(image), -1, 3), -20, 1)[:, -20:]
    return bright.mean(1) / 255

  error = np.abs(color(fusions) - color(x)).mean()
  assert error < 0.08 < np.abs(color(fusions) - color(x[::-1])).mean()


def shapes(image):
  """Digits without their colour, [N, 784]."""
  grey = image.max(3).reshape(len(image), -1).astype(float)
  return grey / grey.max(1, keepdims=True)


def drawn(letter, family, weight, style):
  """A letter of a typeface that comes with matplotlib, as in the data: uint8 [64, 64, 1]."""
  path = font_manager.findfont(font_manager.FontProperties(family=family, weight=weight, style=style))
  image = PIL.Image.new("L", (64, 64), 255)
  font = PIL.ImageFont.truetype(path, 44, layout_engine=PIL.ImageFont.Layout.BASIC)
  PIL.ImageDraw.Draw(image).text((32, 32), letter, 0, font=font, anchor="mm")
  return np.asarray(image)[..., None]


def test_letters_become_the_asked_for_letter_of_their_typeface():
  """The nearest of all letters of the typeface is the one that was asked for, mostly: 77 % when the model was made."""
  model, _ = loaded("glyphs")
  letters, hits = string.ascii_uppercase, []
  for face in FACES:
    right = np.stack([drawn(letter, *face) for letter in letters]).astype(float)
    for source in "AHOS":
      fusions = model.control(np.repeat(drawn(source, *face)[None], 26, 0), list(letters))
      distance = ((fusions[:, None] - right) ** 2).mean((2, 3, 4))
      hits += (distance.argmin(1) == np.arange(26)).tolist()
  assert np.mean(hits) > 0.7


def test_heads_get_the_asked_for_skin_and_hair():
  model, x = loaded("avatars")
  neck = (slice(None), slice(46, 49), slice(29, 35))
  errors, before = [], []
  for skin in ([0.99, 0.86, 0.72], [0.68, 0.41, 0.25], [0.38, 0.26, 0.22]):
    for images, told in ((model.control(x, {"skin_rgb": skin}), errors), (x, before)):
      told.append(np.abs(np.median(images[neck].reshape(len(x), -1, 3), 1) / 255 - skin).mean())
  assert np.mean(errors) < 0.06 < 0.2 < np.mean(before)

  red = [model.control(x, {"hair_long": long, "hair": [0.9, 0.1, 0.1]}).astype(int) for long in (0, 1)]
  short, long = (((o[..., 0] > o[..., 1] + 60) & (o[..., 0] > o[..., 2] + 60)).mean((1, 2)) for o in red)
  assert (long > short).all() and long.mean() > 1.5 * short.mean()
