"""Export of a trained model as a SavedModel that TensorFlow Serving takes as it is.

| signature                    | takes                                      | gives                                    |
|------------------------------|--------------------------------------------|------------------------------------------|
| `encode`                     | `image`                                    | `z1_mean`, `z1_stddev` [B, Z1], `feature`|
| `reconstruct`                | `image`                                    | `image`: x'                              |
| `fuse`                       | `image`, `feature_image`                   | `image`: x̂, z1 of one, z̃2 of the other   |
| `control`, `serving_default` | `image`, `feature`                         | `image`: x̂ with the asked-for feature    |
| `generate`                   | `feature`, `seed` int64 [B]                | `image`: z1 from its prior               |
| `encode_png`, `control_png`  | `image_bytes`, PNG or JPEG (and `feature`) | as `encode`; `image_bytes`, PNG          |

Every input and every output is [B, …], and a row of an output is a function of the same row of the inputs alone: so a
server may join the requests of several clients into a batch, and does, with `--enable_batching`. A seed gives the same
image wherever in a batch it is.

Images are uint8 [B, H, W, C]. `feature` is f(x) in its natural form (`Feature.served`), of several parts
`feature_<part>` each; what `encode` gives is f(x) as a vector [B, width]: probabilities where q reads it. Where f can
be read neither from the pixels nor by q, `encode` gives none, and there is no `reconstruct` and no `fuse`. Encoded
images of another size are cropped at their centre and resized; those of more than `MAX_PIXELS` pixels are refused
before they are decoded.

For phones and browsers, `export_litert` writes `encode` and `control` as one LiteRT file. It has no assertions: a label
out of range is no class there.
"""

import importlib.util
import pathlib
import re
import shutil
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdisent.errors import ConfigError, RunError
from tfdisent.inference import TrainedModel
from tfdisent.run import replace
from tfdisent.serving.signatures import Served


def export(trained: TrainedModel, folder: pathlib.Path, config: str = "") -> pathlib.Path:
  """Writes the next version of the model into `folder`/<number>/, and a configuration for the server beside `folder`.

  Nothing of the training is in it: neither D nor the optimizers, and no Python function. It loads without Keras, TFP or
  this package. `models.config` keeps the models that it names already, and a `batching_parameters.txt` stays as it is.

  Args:
    trained: the model.
    folder: of the model, that a server watches; its name is the model's.
    config: the operative configuration, kept as an asset.

  Returns:
    The folder of the version.

  Raises:
    ConfigError: the folder's name cannot be that of a model.
    RunError: the folder cannot be written, or the `models.config` beside it is none.
  """
  check_name(folder.name)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    path = folder / str(max(versions, default=0) + 1)
    partial = folder / f"{path.name}.partial"  # a server that watches the folder must not see half a version
    shutil.rmtree(partial, ignore_errors=True)
    with tempfile.TemporaryDirectory() as assets:
      served, module = Served(trained), tf.Module(name="tfdisent")
      module.weights = served.weights()
      module.assets = served.assets(pathlib.Path(assets), config)
      tf.saved_model.save(module, str(partial), signatures=served.signatures())
      _write_warmup(partial / "assets.extra", folder.name, served.requests())
    partial.rename(path)
    _name_to_server(folder.parent / "models.config", folder.name)
    if not (batching := folder.parent / "batching_parameters.txt").exists():
      replace(batching, BATCHING.encode())
  except (OSError, UnicodeError) as error:
    raise RunError(f"the model cannot be exported to {folder}: {error}.") from error
  return path


def newest_version(folder: pathlib.Path) -> pathlib.Path:
  """The folder of the newest version of an exported model.

  Args:
    folder: of the model, as `export` was given it.

  Raises:
    RunError: there is none.
  """
  versions = [path for path in folder.glob("*") if path.name.isdigit()]
  if not versions:
    raise RunError(f"{folder} holds no exported model: run tfdisent --mode=export first.")
  return max(versions, key=lambda path: int(path.name))


def check_name(name: str) -> None:
  """Raises `ConfigError` unless a model can be called `name`: by a server's configuration and by its addresses."""
  if not re.fullmatch(r'[^\x00-\x1f"/:\\]+', name) or name in (".", ".."):
    raise ConfigError(
      f"a model cannot be called {name!r}: its name is that of a folder and part of a server's addresses, without "
      "quotes, slashes, backslashes, colons and line breaks. Choose another one with --model_name."
    )


MODEL_CONFIG = """\
  config {
    name: "NAME"
    base_path: "/models/NAME"
    model_platform: "tensorflow"
  }
"""

BATCHING = """\
max_batch_size { value: 128 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 4 }
"""


def _name_to_server(path: pathlib.Path, name: str) -> None:
  """Adds a model to a `models.config`, unless it is there; what the file says of any model stays as it is."""
  text = path.read_text(encoding="utf-8") if path.exists() else "model_config_list {\n}\n"
  if re.search(rf'^[^#\n]*\bname\s*:\s*"{re.escape(name)}"', text, re.MULTILINE):
    return
  models, brace, end = text.rpartition("}")
  if "model_config_list" not in models:
    raise RunError(f"{path} is no list of models for a server: mend it or remove it, and export again.")
  replace(path, (models + MODEL_CONFIG.replace("NAME", name) + brace + end).encode())


def has_warmup() -> bool:
  """Whether what writes requests for a server's warm-up is installed."""
  return importlib.util.find_spec("tensorflow_serving") is not None


def _write_warmup(folder: pathlib.Path, name: str, requests: Mapping[str, Mapping[str, np.ndarray]]) -> None:
  """Writes a `PredictionLog` record for each signature, which a server runs before it takes requests."""
  if not has_warmup():
    return
  from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

  folder.mkdir()
  with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
    for signature, inputs in requests.items():
      request = predict_pb2.PredictRequest()
      request.model_spec.name, request.model_spec.signature_name = name, signature
      for key, value in inputs.items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
      log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
      writer.write(log.SerializeToString())
