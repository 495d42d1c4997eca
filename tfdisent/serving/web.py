"""Export of a trained model as a page that needs no server but one of files: the browser computes the fusions.

| in `folder`.web/   | what it is                                                                    |
|--------------------|-------------------------------------------------------------------------------|
| `index.html`       | the page, with its script and its style                                       |
| `model.tflite`     | `encode`, `control`, `fuse` and `decode` of `tfdisent.serving.signatures`     |
| `examples/`        | images to begin with: of the run, or drawn from the prior                     |
| `runtime/`         | LiteRT.js, which computes the model on the CPU, copied from its npm package   |

Nothing is fetched from elsewhere, so the page works without a network. The signatures take one image, uint8
[1, H, W, C], and labels as int32; images that they give are float32 in [0, 1].
"""

import hashlib
import html
import json
import pathlib
from collections.abc import Container, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from tfdisent import cache
from tfdisent.controls import Control, controls_of
from tfdisent.data.pixels import as_png, read_images
from tfdisent.errors import ConfigError, FeatureError, RunError
from tfdisent.examples import of_feature, to_begin_with
from tfdisent.feature import convert
from tfdisent.feature.contract import Feature
from tfdisent.inference import TrainedModel
from tfdisent.networks.convolutions import without_transposed
from tfdisent.paths import expanded, quoted
from tfdisent.registry import register_exporter
from tfdisent.run import replace
from tfdisent.serving.litert import converted, in_float32
from tfdisent.serving.signatures import ServedModel

SIGNATURES = ("encode", "control", "fuse", "decode")
PACKAGE = "@litertjs/core@2.5.3"
"""The version that the page was tested with."""
RUNTIME = {
  "core/dist/index.js": "litert.js",
  "wasm-utils/dist/index.js": "wasm-utils.js",
  **{
    f"core/wasm/litert_wasm{kind}_internal.{end}": f"litert_wasm{kind}_internal.{end}"
    for kind in ("", "_compat")  # the second is for browsers without relaxed SIMD
    for end in ("js", "wasm")
  },
}
"""Files of the npm packages @litertjs/…, and their names in the page's folder."""
NOTICE = """\
These files are LiteRT.js, {version}, from https://www.npmjs.com/package/@litertjs/core, unchanged.
Copyright Google LLC. Licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0
"""
PAGE = pathlib.Path(__file__).parent / "page"
COUNT = 8


@register_exporter("web")
def export(
  trained: TrainedModel,
  folder: pathlib.Path,
  config: str = "",
  runtime: str = "",
  examples: str = "",
  float16: bool = False,
) -> pathlib.Path:
  """Writes the page into `folder`.web; one that is there is replaced, file by file.

  Args:
    trained: the model.
    folder: names the page; it keeps no `config`.
    runtime: the folder into which npm has installed LiteRT.js; "" for the cache, `tfdisent.cache.cache_folder`.
    examples: the folder of the images to begin with, the first eight; "" for those that the run keeps, or some drawn
      from the prior if it keeps none.
    float16: whether the weights are written as float16. The model is half as large, and its images differ by less than
      1e-3 from those of float32, as a rule.

  Returns:
    `folder`.web

  Raises:
    ConfigError: LiteRT.js is not there, or `examples` holds no images.
    FeatureError: a part of the feature has a natural form of its own, for which there is no widget.
    RunError: the model cannot be converted, or the folder cannot be written.
  """
  files = {f"runtime/{name}": content for name, content in runtime_files(runtime).items()}
  served = ServedModel(in_float32(trained), pad_empty=False, guard=_cast, taken=_of_one, given=lambda image: image)
  with without_transposed():
    functions = served.signatures(SIGNATURES)
  controls = _described(trained, served.feature_names(), functions["encode"].structured_outputs)
  files["model.tflite"] = converted(served, functions, "float16" if float16 else "float32")
  images = {f"examples/{number}.png": as_png(image) for number, image in enumerate(_examples(trained, examples), 1)}
  files |= images
  about = {
    "name": folder.name,
    "shape": trained.image_shape,
    "background": trained.background,
    "model": f"model.tflite?{hashlib.sha256(files['model.tflite']).hexdigest()[:16]}",  # past the browser's cache
    "examples": list(images),
    "controls": controls,
    "z1_width": trained.model.z1_width,
  }
  files["index.html"] = _page(about).encode()  # last, since it belongs to all others
  path = folder.with_name(f"{folder.name}.web")
  try:
    for name, content in files.items():
      (path / name).parent.mkdir(parents=True, exist_ok=True)
      replace(path / name, content)
  except OSError as error:
    raise RunError(f"the page cannot be written to {path}: {error}.") from error
  return path


def command(path: pathlib.Path) -> str:
  """The command that serves the page of a folder."""
  return f"python -m http.server --bind 127.0.0.1 --directory {quoted(path)} 8000, then http://127.0.0.1:8000"


def runtime_files(folder: str = "") -> dict[str, bytes]:
  """The files of LiteRT.js by their names in `runtime/`.

  Args:
    folder: into which npm has installed it; "" for the cache.

  Raises:
    ConfigError: they are not there; the message has the command that brings them.
  """
  place = (expanded(folder) if folder else cache.cache_folder()).absolute()
  try:
    package = place / "node_modules" / "@litertjs"
    files = {name: (package / file).read_bytes() for file, name in RUNTIME.items()}
    version = json.loads((package / "core" / "package.json").read_text(encoding="utf-8"))["version"]
  except (OSError, ValueError, KeyError) as error:
    raise ConfigError(
      f"the page needs LiteRT.js, which no Python package carries, and it is not in {place}: run "
      f"`npm install --prefix {quoted(place)} {PACKAGE}`, or bind web.runtime to the folder that you have it in."
    ) from error
  return files | {"NOTICE.txt": NOTICE.format(version=version).encode()}


# --- The signatures of one image --------------------------------------------------------------------------------------


def _of_one(spec: tf.TensorSpec) -> tf.TensorSpec:
  """The `TensorSpec` in place of one with a batch: LiteRT.js has no int64, and one image is all that the page shows."""
  dtype = spec.dtype if spec.dtype == tf.uint8 else tf.int32 if spec.dtype.is_integer else tf.float32
  return tf.TensorSpec([1, *spec.shape[1:]], dtype, name=spec.name)


def _cast(function, specs):
  """`function` for inputs of `_of_one`."""
  return lambda *inputs: function(*(tf.cast(value, spec.dtype) for value, spec in zip(inputs, specs)))


# --- What the page is told --------------------------------------------------------------------------------------------


def _described(trained: TrainedModel, names: Sequence[str], read: Container[str]) -> list[dict[str, Any]]:
  """What the page must know of each part of the feature.

  Args:
    trained: the model.
    names: of the inputs of the signatures, one for each part.
    read: the names of those that `encode` gives.
  """
  controls = controls_of(trained.feature, trained.class_names, of_feature(trained.run_dir))
  parts = zip(controls, trained.feature.parts, names)
  return [_one_described(control, part, name, name in read) for control, part, name in parts]


def _one_described(control: Control, part: Feature, name: str, is_read: bool) -> dict[str, Any]:
  form = part.natural
  if part.served != form.served or type(part).to_natural is not Feature.to_natural:
    raise FeatureError(
      f"the page has no widget for '{control.name}', which has a natural form of its own: let the property `natural` "
      f"of the feature '{part.name}' give one of tfdisent.feature.convert."
    )
  forms = form.forms if isinstance(form, convert.Columns) else [form] * len(control.sliders)
  sliders = [
    {
      "label": slider.label,
      "low": slider.low,
      "high": slider.high,
      "unit": slider.unit,
      "scale": slider.scale,
      "step": slider.step,
      "form": _form(form),
    }
    for slider, form in zip(control.sliders, forms)
  ]
  return {
    "name": control.name,
    "input": name,
    "kind": control.kind,
    "choices": control.choices,
    "sliders": sliders,
    "shape": [1, *part.served.shape[1:]],
    "is_read": is_read,
  }


def _form(form: convert.Form) -> Mapping[str, Any]:
  """How the page makes a number of the vector that `encode` reads."""
  if isinstance(form, convert.Angle):
    return {"turn": form.turn}
  if isinstance(form, convert.Linear):
    return {"lowest": form.lowest, "highest": form.highest}
  return {} if form.low is None else {"low": form.low, "high": form.high}


def _page(about: Mapping[str, Any]) -> str:
  """`index.html`, with the style, the script and what it is told of the model."""
  page, style, script = ((PAGE / name).read_text(encoding="utf-8") for name in ("index.html", "page.css", "page.js"))
  # A "<" in the name of a class would end the element that holds it.
  told = json.dumps(about).replace("<", "\\u003c")
  for mark, content in (("NAME", html.escape(about["name"])), ("STYLE", style), ("ABOUT", told), ("SCRIPT", script)):
    page = page.replace(f"{{{{{mark}}}}}", content)
  return page


# --- Its images -------------------------------------------------------------------------------------------------------


def _examples(trained: TrainedModel, folder: str) -> np.ndarray:
  """Images to begin with, uint8 [N, H, W, C]: of a folder, those that the run keeps, or some with z1 from its prior."""
  if folder:
    paths = sorted(path for path in expanded(folder).glob("[!.]*") if path.is_file())[:COUNT]
    try:
      if not paths:
        raise ValueError("there are no files")
      return read_images(paths, trained.image_shape, trained.background)
    except ValueError as error:
      raise ConfigError(f"web.examples = '{folder}' must be a folder of images: {error}.") from error
  return to_begin_with(trained, COUNT)
