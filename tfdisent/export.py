"""Export of a trained model as a SavedModel with named signatures."""

import pathlib

import keras
import tensorflow as tf

from tfdisent.inference import TrainedModel


def export(trained: TrainedModel, folder: pathlib.Path) -> pathlib.Path:
  """Writes the next version of the model into `folder`/<number>/.

  Signatures: `encode` (image → z1_mean, z1_stddev) and `control`, also `serving_default` (image, feature → image).
  Images are uint8 [B, H, W, C]; `feature` is f(x) as a vector, float32 [B, width] (one-hot for a label).

  Returns:
    The folder of the version.
  """
  model = trained.model
  image = tf.TensorSpec([None, *model.image_shape], tf.uint8, name="image")
  feature = tf.TensorSpec([None, model.feature.width], tf.float32, name="feature")

  def posterior(image):
    return model.encode_z1(tf.image.convert_image_dtype(image, tf.float32))

  def encode(image):
    q = posterior(image)
    return {"z1_mean": q.mean(), "z1_stddev": q.stddev()}

  def control(image, feature):
    fusion = model.generate(posterior(image).mean(), model.mean_z2(feature))
    return {"image": tf.cast(tf.round(fusion * 255), tf.uint8)}

  archive = keras.export.ExportArchive()
  archive.track(model)
  archive.add_endpoint("encode", encode, [image])
  for name in ("control", "serving_default"):
    archive.add_endpoint(name, control, [image, feature])
  versions = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
  path = folder / str(max(versions, default=0) + 1)
  partial = folder / f"{path.name}.partial"  # a server that watches the folder must not see half a version
  archive.write_out(str(partial), verbose=False)
  partial.rename(path)
  return path
