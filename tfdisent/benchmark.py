"""How fast the training step is, on data in memory: the reference networks, and the same through `fit`."""

import time

import gin
import keras
import numpy as np
import tensorflow as tf

from tfdisent.dataset import training_batches
from tfdisent.feature import DISCRETE, Feature
from tfdisent.model import DisentangledVAE, Objective


class Label(Feature):
  """A one-hot label of ten classes, as far as the step needs it."""

  kind, width = DISCRETE, 10

  def get_config(self):
    return {"module": __name__, "name": "label", "arguments": {}}


@gin.configurable(module="tfdisent")
def bench(
  precision: str = "float32",
  batch_size: int = 128,
  steps: int = 200,
  warmup: int = 20,
  repeats: int = 3,
  jit_compile: bool = False,
) -> dict:
  """Times the training step of the reference networks: 28x28x3 images, z1 of 16, one-hot z2 of 10.

  E1, q and D have 4x4 stride-2 convolutions of 32 and 64 channels and a dense layer of 128, G mirrors them; the loss is
  squared error + KL(z1) + L_f1 + L_GAN for encoder and generator, L_D for the discriminator, Adam for both.

  Args:
    precision: "float32" or "mixed_bfloat16".
    batch_size: images a step.
    steps: timed steps of each repeat.
    warmup: steps before, not timed.
    repeats: how often each is timed; the median counts.
    jit_compile: whether XLA compiles the step.

  Returns:
    `images_per_s` of the step, `fit_images_per_s` of the same step with its metrics inside `fit`, and the settings.
  """
  random_state = np.random.default_rng(0)
  examples = {"image": random_state.integers(256, size=(10_000, 28, 28, 3), dtype=np.uint8)}
  f = np.eye(10, dtype=np.float32)[random_state.integers(10, size=10_000)]
  keras.utils.set_random_seed(0)
  model = DisentangledVAE((28, 28, 3), Label(), Objective(stddev=0.5**0.5, lambda3=1.0), precision=precision)
  model.compile(keras.optimizers.Adam(1e-3), keras.optimizers.Adam(2e-4, beta_1=0.5), jit_compile=jit_compile)
  batches = training_batches(examples, f, batch_size, seed=0)

  iterator, step = iter(batches), tf.function(model.update, jit_compile=jit_compile)

  def run(count):
    for _ in range(count):
      terms = step(next(iterator))
    terms["L"].numpy()

  def fit(count):
    model.fit(batches, epochs=1, steps_per_epoch=count, shuffle=False, verbose=0)

  rates = {}
  for name, function in (("images_per_s", run), ("fit_images_per_s", fit)):
    function(warmup)
    times = []
    for _ in range(repeats):
      start = time.perf_counter()
      function(steps)
      times.append(time.perf_counter() - start)
    rates[name] = round(batch_size * steps / float(np.median(times)), 1)
  return {**rates, "precision": precision, "batch": batch_size, "steps": steps, "repeats": repeats}
