"""Export of a trained model as a LiteRT (TensorFlow Lite) file, for phones and browsers.

The file has the signatures `encode` and `control` of `tfdisent.serving.signatures`, which take at least one image.

LiteRT has no assertions and no words for them. What another format refuses in words fails here in an operation that
looks beyond the end of a table, `GATHER` ("gather index out of bounds"), or in one that joins inputs of other shapes,
`CONCATENATION`, which tells both sizes ("27 != 28").
"""

import pathlib
import tempfile
from collections.abc import Callable, Collection, Mapping

import numpy as np
import tensorflow as tf

from tfdisent.console import say
from tfdisent.errors import ConfigError, RunError, shown
from tfdisent.examples import COUNT, features_to_begin_with, to_begin_with
from tfdisent.inference import TrainedModel
from tfdisent.networks.convolutions import without_transposed
from tfdisent.registry import register_exporter
from tfdisent.run import reason, replace
from tfdisent.serving.signatures import ServedModel

BEYOND = 2**30
"""A row that no table has."""
WEIGHTS = ("float32", "float16", "int8")


@register_exporter("litert")
def export(trained: TrainedModel, folder: pathlib.Path, config: str = "", weights: str = "float32") -> pathlib.Path:
  """`export_litert` to `folder`.tflite; the file keeps no `config`. It says what smaller weights cost."""
  path = export_litert(trained, folder.with_name(f"{folder.name}.tflite"), weights)
  if weights != "float32":
    error = decibels(path, trained)
    say(f"Of {weights} weights: images agree with those of float32 to {error:.1f} dB (PSNR of {COUNT} images).")
  return path


def export_litert(trained: TrainedModel, path: pathlib.Path, weights: str = "float32") -> pathlib.Path:
  """Writes `encode` and `control` as one LiteRT file of native operations; a file at `path` is replaced.

  Args:
    trained: the model.
    path: the file, `….tflite`.
    weights: as of `converted`.

  Returns:
    `path`.

  Raises:
    ConfigError: `weights` is none of `WEIGHTS`.
    RunError: the file cannot be written, or the model cannot be converted, for instance since f uses an operation that
      LiteRT lacks; the message holds the converter's error.
  """
  served = ServedModel(in_float32(trained), pad_empty=False, guard=guarded)
  with without_transposed():
    functions = served.signatures(["encode", "control"])
  content = converted(served, functions, weights)
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    replace(path, content)
  except OSError as error:
    raise RunError(f"the model cannot be exported to {path}: {error}.") from error
  return path


def in_float32(trained: TrainedModel) -> TrainedModel:
  """The model, computed in float32: LiteRT has no bfloat16."""
  return TrainedModel(
    trained.model.in_float32(), trained.batch_size, trained.class_names, trained.checkpoint, trained.background
  )


def decibels(path: pathlib.Path, trained: TrainedModel) -> float:
  """How well `control` of a LiteRT file agrees with the model in float32: PSNR in dB, ∞ where images are equal."""
  image = to_begin_with(trained, COUNT)
  natural = trained.feature.to_natural(features_to_begin_with(trained, len(image)))
  values = natural.values() if isinstance(natural, dict) else [natural]
  inputs = dict(zip(ServedModel(trained).feature_names(), values))
  answer = tf.lite.Interpreter(str(path)).get_signature_runner("control")(image=image, **inputs)["image"]
  return float(np.mean(tf.image.psnr(answer, in_float32(trained).control(image, natural), 255)))


def converted(served: ServedModel, functions: Mapping[str, Callable], weights: str = "float32") -> bytes:
  """The content of a LiteRT file with some signatures of a model.

  Args:
    served: the model, without padding of empty batches.
    functions: of `ServedModel.signatures`.
    weights: "float32"; "float16", which halves the file and computes in float32 all the same; or "int8", in
      which large layers compute in integers, too.

  Raises:
    ConfigError: `weights` is none of these.
    RunError: the model cannot be converted; the message holds the converter's error.
  """
  if weights not in WEIGHTS:
    raise ConfigError(f"litert.weights = {shown(weights)}: choose one of {', '.join(map(repr, WEIGHTS))}.")
  module = tf.Module(name="tfdisent")
  module.weights = served.weights()
  try:
    with tempfile.TemporaryDirectory() as folder:
      tf.saved_model.save(module, folder, signatures=functions)
      converter = tf.lite.TFLiteConverter.from_saved_model(folder, signature_keys=list(functions))
      if weights != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
      if weights == "float16":
        converter.target_spec.supported_types = [tf.float16]
      return converter.convert()
  except Exception as error:  # the converter raises errors of many kinds
    raise RunError(f"the model cannot be converted to LiteRT: {reason(error)}") from error


def guarded(function: Callable, specs: Collection[tf.TensorSpec]) -> Callable:
  """`function` with what LiteRT drops: a check of the shapes of its inputs, and its assertions."""

  def checked(*inputs):
    outputs = function(*map(_checked_shape, inputs, specs))
    operations = tf.compat.v1.get_default_graph().get_operations()
    # TensorFlow makes of an assertion an `Assert`, or an `If`. The first input of each is what must hold.
    is_good = [
      one.inputs[0]
      for one in operations
      if one.type == "Assert" or (one.type in ("If", "StatelessIf") and "AssertGuard" in one.name)
    ]
    if not is_good:
      return outputs
    row = tf.where(tf.reduce_all(tf.stack(is_good)), 0, BEYOND)
    return {name: tf.gather(output[None], row) for name, output in outputs.items()}

  return checked


def _checked_shape(value: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
  """`value`, joined with a row of the right shape: LiteRT believes the file, and looks at no shape of an input itself.

  The row is one of integers, since a fast path for floats looks at no shape either.
  """
  kind = tf.int32 if spec.dtype.is_floating else spec.dtype
  joined = tf.concat([tf.cast(value, kind), tf.zeros([1, *spec.shape[1:]], kind)], 0)
  return value[: tf.shape(joined)[0] - 1]
