"""Exports of a trained model: the signatures of an exported model, and the formats that it is written in.

| format        | what is written                                                             |
|---------------|-----------------------------------------------------------------------------|
| `saved_model` | `folder`/<version>/, for TensorFlow Serving: `tfdisent.serving.saved_model` |
| `litert`      | `folder`.tflite, for phones and browsers: `tfdisent.serving.litert`         |
| `compact`     | a run folder of float16 weights, to be sent: `tfdisent.serving.compact`     |
| `web`         | `folder`.web/, a page that needs no server: `tfdisent.serving.web`          |

A format of your own is a registered function, its exporter, in a module that gin or your code imports:

    @tfdisent.register_exporter("my_format")
    def export(trained, folder, config="", digits=6):  # gin binds `my_format.digits`
      ...
      return path

`tfdisent.testing.check_exporter` checks that it can be used beside a server.
"""

import os
import pathlib

from tfdisent.registry import EXPORTERS


def export(trained, folder: str | os.PathLike, format: str = "saved_model", config: str = "") -> pathlib.Path:
  """Writes a trained model in a registered format.

  Args:
    trained: the `TrainedModel`.
    folder: <export folder>/<name of the model>; a format that is one file writes beside it.
    format: the name of the exporter; gin binds the exporter's other arguments.
    config: the operative configuration of the training, for formats that keep it.

  Returns:
    The path of what was written.

  Raises:
    RegistryError: no exporter is registered as `format`.
    ConfigError: a model cannot be called as `folder` is.
    RunError: the model cannot be written.
  """
  from tfdisent.serving import compact, litert, saved_model, web  # noqa: F401  (they register, and import TensorFlow)

  saved_model.check_name(pathlib.Path(folder).name)
  return EXPORTERS.create(format, trained=trained, folder=pathlib.Path(folder), config=config)
