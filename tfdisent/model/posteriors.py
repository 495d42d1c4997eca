"""The posteriors of a model, its generator, and what is read and drawn with them, from networks that others made."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from tfdisent.codes import Code, diagonal_gaussian, reparameterise
from tfdisent.errors import FeatureError
from tfdisent.feature.contract import Feature


class Posteriors:
  """q(z1 | x), q(z2 | f(x)), q(z̃2 | z1, x̂) and G(z1, z2) of a model with several parts of f.

  Attributes:
    feature: f.
    codes: the code of each part of f.
    feature_losses: "f1" or "f2" of each part.
    E1, G: the networks of q(z1 | x) and of G.
    E2: the network of q(z2 | f(x)) of each part; None where z2 is f(x) itself.
    q: the network of q(z̃2 | z1, x̂); None where no part is trained with L_f1.
    z1_stddev: the standard deviation of q(z1 | x), where it is fixed; None where E1 gives it.
  """

  feature: Feature
  codes: Sequence[Code]
  feature_losses: Sequence[str]
  E1: keras.Model
  E2: Sequence[keras.Model | None]
  G: keras.Model
  q: keras.Model | None
  z1_stddev: float | None

  def names_of_parts(self, symbol: str) -> list[str]:
    """The symbol for each part of the feature: "E2", or "E2/digit_label" and "E2/color"."""
    names = self.feature.part_names
    return [symbol] if len(names) == 1 else [f"{symbol}/{name}" for name in names]

  @property
  def _codes_of_q(self) -> list[Code]:
    """Of the parts that q reads."""
    return [code for code, loss in zip(self.codes, self.feature_losses) if loss == "f1"]

  def posterior_z1(self, x: tf.Tensor):
    """q(z1 | x), a TFP distribution over [B, Z1], from images float32 [B, H, W, C] in [0, 1]."""
    return diagonal_gaussian(self.E1(x), self.z1_stddev)

  def posterior_z2(self, f: tf.Tensor) -> list:
    """q(z2 | f(x)) of each part of the feature, from f(x) [B, width].

    A TFP distribution over [B, the part's Z2]; None where z2 is f(x) itself.
    """
    pairs = zip(self.E2, self.feature.split(f))
    return [diagonal_gaussian(encoder(f_part)) if encoder else None for encoder, f_part in pairs]

  def mean_z2(self, f: tf.Tensor) -> tf.Tensor:
    """The mean of q(z2 | f(x)), [B, Z2], from f(x) [B, width]."""
    pairs = zip(self.posterior_z2(f), self.feature.split(f))
    return tf.concat([f_part if q_z2 is None else q_z2.mean() for q_z2, f_part in pairs], 1)

  def variational_z2(self, z1: tf.Tensor, x: tf.Tensor) -> list:
    """q(z̃2 | z1, x̂) of each part of the feature, a TFP distribution over [B, the part's Z2].

    None for a part that is trained with L_f2.
    """
    if not self.q:
      return [None] * len(self.codes)
    parameters = iter(tf.split(self.q(z1, x), [code.parameters for code in self._codes_of_q], 1))
    return [
      code.posterior(next(parameters)) if loss == "f1" else None for code, loss in zip(self.codes, self.feature_losses)
    ]

  def read_f(self, z1: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """f(x) of an image, [B, width]: of its pixels where it can be, else the most likely one under q(z̃2 | z1, x).

    See `check_reading`.
    """
    parts = zip(self.feature.parts, self.variational_z2(z1, x))
    return tf.concat([part.of_image(x) if part.has_pixels else q.mode() for part, q in parts], 1)

  def read_z2(self, z1: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
    """z2 of an image, [B, Z2]: the mean of q(z2 | f(x)), where f is one of pixels, else the mode of q(z̃2 | z1, x).

    See `check_reading`.
    """
    z2 = []
    for part, encoder, q in zip(self.feature.parts, self.E2, self.variational_z2(z1, x)):
      if not part.has_pixels:
        z2.append(q.mode())
      else:
        f_part = part.of_image(x)
        z2.append(diagonal_gaussian(encoder(f_part)).mean() if encoder else f_part)
    return tf.concat(z2, 1)

  def check_reading(self, of_f: bool = False) -> None:
    """Raises `FeatureError` if z2, or f(x), cannot be read from an image, neither from its pixels nor by q."""
    for part, code, loss in zip(self.feature.parts, self.codes, self.feature_losses):
      if part.has_pixels:
        continue
      if not (self.q and loss == "f1"):
        raise FeatureError(
          f"feature '{part.name}' cannot be computed from pixels, and the model was trained without a q(z̃2 | z1, x̂) "
          "that reads it: give f(x) itself, as in `control(images, feature)` or `model(x, f)`."
        )
      if of_f and code.learned:
        raise FeatureError(
          f"feature '{part.name}' cannot be computed from pixels, and its Gaussian code cannot be read back as f(x)."
        )

  def decode(self, z1: tf.Tensor, z2: tf.Tensor) -> tf.Tensor:
    """G(z1, z2) as images, float32 [B, H, W, C] in [0, 1]."""
    return tf.sigmoid(self.G(z1, z2))

  def sample_z2(self, f: tf.Tensor, q_z2: list, noise: tf.Tensor) -> tf.Tensor:
    """z2 [B, Z2]: f(x) itself, or a sample of q(z2 | f(x)) with `noise` [B, Z2], of each part."""
    parts = zip(q_z2, self.feature.split(f), self.split_z2(noise))
    return tf.concat([f_part if q is None else reparameterise(q, noise_part) for q, f_part, noise_part in parts], 1)

  def hold_for_f1(self, z2_partner: tf.Tensor) -> tf.Tensor:
    """z̃2 without a gradient in the parts that are trained with L_f1: see `losses.feature_loss_f1`."""
    parts = zip(self.split_z2(z2_partner), self.feature_losses)
    return tf.concat([tf.stop_gradient(z2_part) if loss == "f1" else z2_part for z2_part, loss in parts], 1)

  def split_z2(self, z2: tf.Tensor) -> list[tf.Tensor]:
    """z2 [B, Z2] as a list of the codes of its parts."""
    return tf.split(z2, [code.width for code in self.codes], 1)
