"""Images of 256x256 pixels are trained on, interrupted, gone on with, exported and served.

pytest -m long tests/test_large_images.py
"""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from tests.conftest import assert_same_arrays
from tests.training.test_loop import interrupt_at_step
from tfdisent import api
from tfdisent.data.sources import folder
from tfdisent.serving.saved_model import export

SIDE, STEPS = 256, 50


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
  """A folder of squares and discs, in a folder for each, of any colour, size and place."""
  root, draw, (y, x) = tmp_path_factory.mktemp("pictures"), np.random.default_rng(0), np.mgrid[:SIDE, :SIDE]
  for number in range(100):
    middle, radius = draw.uniform(0.35, 0.65, 2) * SIDE, draw.uniform(0.15, 0.3) * SIDE
    dy, dx = y - middle[0], x - middle[1]
    ink, ground = draw.uniform(0.5, 1, 3), draw.uniform(0, 0.4, 3)
    for name, is_inside in (
      ("square", np.maximum(np.abs(dy), np.abs(dx)) < 0.85 * radius),
      ("disc", dy**2 + dx**2 < radius**2),
    ):
      (root / name).mkdir(exist_ok=True)
      picture = (255 * np.where(is_inside[..., None], ink, ground)).astype(np.uint8)
      PIL.Image.fromarray(picture).save(root / name / f"{number}.png")
  return root


@pytest.mark.long
@pytest.mark.parametrize("family", ["modulated", "residual"])
def test_fifty_steps_a_resume_an_export_and_an_answer(family, pictures, tmp_path, monkeypatch):
  pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed (the extra 'serving')")
  import grpc
  from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

  from tests.serving.model_server import serve

  dataset = folder(str(pictures), size=SIDE)
  assert dataset.image_shape == (SIDE, SIDE, 3)
  batch = len(dataset.train["image"]) // (STEPS // 5)

  def train(name):
    arguments = {"networks": family, "epochs": 5, "batch_size": batch, "checkpoint_every": 5, "measure": False}
    return api.train(dataset, "label", tmp_path / name, **arguments)

  trained = train("whole")
  assert int(trained.model.optimizer.iterations) == STEPS
  with monkeypatch.context() as context:
    interrupt_at_step(context, STEPS // 2 + 3)
    with pytest.raises(KeyboardInterrupt):
      train("stopped")
  train("stopped")
  assert_same_arrays(tmp_path / "whole", tmp_path / "stopped", epoch=5)

  images, labels = dataset.test["image"][:3], np.array([0, 1, 0])
  expected = trained.control(images, labels)
  assert expected.shape == (3, SIDE, SIDE, 3) and np.ptp(expected) > 20
  export(trained, tmp_path / "served")
  with serve(tmp_path / "served") as address, grpc.insecure_channel(address) as channel:
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "served", "control"
    for name, value in (("image", images), ("feature", labels)):
      request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    response = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(request, timeout=300.0)
  got = tf.make_ndarray(response.outputs["image"])
  assert np.abs(got.astype(int) - expected).max() <= 2
