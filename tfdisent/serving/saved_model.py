"""Export of a trained model as a SavedModel, in the folder layout that TensorFlow Serving reads.

| in the export folder      | what it is                                                               |
|---------------------------|--------------------------------------------------------------------------|
| `NAME/1/`, `NAME/2/`, …   | the versions of the model `NAME`; a server loads the highest one         |
| `NAME/1/assets/`          | `config.gin`, and `feature.json`, which describes f                      |
| `NAME/1/assets.extra/`    | requests that warm a server up, if `tensorflow-serving-api` is installed |
| `models.config`           | the list of models, for `--model_config_file`                            |
| `batching_parameters.txt` | how a server joins requests, for `--batching_parameters_file`            |

`tfdisent.serving.signatures` has the signatures.
"""

import importlib.util
import pathlib
import re
import shutil
import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from tfdisent.errors import ConfigError, RunError, shown
from tfdisent.inference import TrainedModel
from tfdisent.registry import register_exporter
from tfdisent.run import reason, replace
from tfdisent.serving.signatures import ServedModel


@register_exporter("saved_model")
def export(trained: TrainedModel, folder: pathlib.Path, config: str = "") -> pathlib.Path:
  """Writes the next version of the model into `folder`/<number>/, and the files for the server beside `folder`.

  The SavedModel has the signatures alone: no D, no optimizers, no Python functions. It needs no Keras, no TFP and
  nothing of this package. A `models.config` that exists gets the model added; a `batching_parameters.txt` that exists
  stays as it is.

  Args:
    trained: the model.
    folder: the model's folder, which a server watches; its name is the name of the model.
    config: the operative configuration, written as an asset.

  Returns:
    The folder of the version.

  Raises:
    ConfigError: the folder's name cannot be the name of a model.
    RunError: the folder cannot be written, or the `models.config` beside it is no list of models.
  """
  check_name(folder.name)
  try:
    folder.mkdir(parents=True, exist_ok=True)
    versions = [int(path.name) for path in folder.iterdir() if path.name.isdigit()]
    path = folder / str(max(versions, default=0) + 1)
    partial = folder / f"{path.name}.partial"  # no number, so a server does not load a version that is half written
    shutil.rmtree(partial, ignore_errors=True)
    try:
      with tempfile.TemporaryDirectory() as assets:
        served, module = ServedModel(trained, pieces=True), tf.Module(name="tfdisent")
        module.weights = served.weights()
        module.assets = served.assets(pathlib.Path(assets), config)
        tf.saved_model.save(module, str(partial), signatures=served.signatures())
        _write_warmup(partial / "assets.extra", folder.name, served.requests())
      partial.rename(path)
    finally:
      shutil.rmtree(partial, ignore_errors=True)  # half of a model would keep a full disk full
    _add_to_models(folder.parent / MODELS, folder.name)
    if not (batching := folder.parent / BATCHING_FILE).exists():
      replace(batching, BATCHING.encode())
  except (OSError, UnicodeError, tf.errors.OpError) as error:
    raise RunError(f"the model cannot be exported to {folder}: {reason(error)}.") from error
  return path


def newest_version(folder: pathlib.Path) -> pathlib.Path:
  """The folder of the newest version of an exported model.

  Args:
    folder: the model's folder, as `export` takes it.

  Raises:
    RunError: the folder has no version.
  """
  versions = [path for path in folder.glob("*") if path.name.isdigit()]
  if not versions:
    raise RunError(f"{folder} holds no exported model: run tfdisent --mode=export first.")
  return max(versions, key=lambda path: int(path.name))


def check_name(name: str) -> None:
  """Raises `ConfigError` unless `name` works as a folder, in `models.config` and in the addresses of a server."""
  is_text = isinstance(name, str) and name.isprintable() and name == name.strip() and len(name.encode()) <= LONGEST
  if not is_text or not re.fullmatch(r'[^"/:\\]+', name) or name in (".", "..", MODELS, BATCHING_FILE):
    raise ConfigError(
      f"a model cannot be called {shown(name)}: its name is that of a folder and part of a server's addresses, of at "
      f"most {LONGEST} bytes, without quotes, slashes, backslashes, colons and line breaks. Choose another one with "
      "--model_name."
    )


LONGEST = 200
"""The most bytes of a name: a file system takes 255, and a format may add an ending."""
MODELS, BATCHING_FILE = "models.config", "batching_parameters.txt"
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


def _add_to_models(path: pathlib.Path, name: str) -> None:
  """Adds a model to the `models.config` at `path`, unless it names the model already; all its other text stays."""
  text = path.read_text(encoding="utf-8") if path.exists() else "model_config_list {\n}\n"
  if re.search(rf'^[^#\n]*\bname\s*:\s*"{re.escape(name)}"', text, re.MULTILINE):
    return
  models, brace, end = text.rpartition("}")
  if "model_config_list" not in models:
    raise RunError(f"{path} is no list of models for a server: mend it or remove it, and export again.")
  replace(path, (models + MODEL_CONFIG.replace("NAME", name) + brace + end).encode())


def has_warmup() -> bool:
  """Whether `tensorflow-serving-api` is installed, which is needed to write warm-up requests."""
  return importlib.util.find_spec("tensorflow_serving") is not None


def _write_warmup(folder: pathlib.Path, name: str, requests: Mapping[str, Mapping[str, np.ndarray]]) -> None:
  """Writes one `PredictionLog` record for each signature; a server runs them before it takes requests."""
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
