"""The model of the paper's Fig. 1 and its training step.

Notation, as in the paper (and in code):
  x, f(x)   an image and its feature (`x`, `f`)           x̃, f(x̃)  an independent one and its feature (`f_partner`)
  z1        complementary code, from q(z1 | x)            z2, z̃2    codes of f(x) and of f(x̃) (`z2`, `z2_partner`)
  x'        reconstruction, G(z1, z2) (`x_rec`)           x̂         fusion, G(z1, z̃2) (`x_fusion`)
"""

import dataclasses
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent.codes import Code, diagonal_gaussian, make_code, reparameterise
from tfdisent.errors import ConfigError, FeatureError
from tfdisent.feature.contract import CONTINUOUS, DISCRETE, Feature, feature_from_config
from tfdisent.model.objective import Objective
from tfdisent.model.step import TrainingStep
from tfdisent.model.terms import terms
from tfdisent.networks import plain as networks


class DisentangledVAE(TrainingStep):
  """A VAE with a latent code of two parts, trained so that z2 alone decides f of the output.

  Args:
    image_shape: (H, W, C).
    feature: f.
    objective: the loss.
    z1_width: components of z1.
    z2_width: components of a learned (Gaussian) z2; the other codes have f's width.
    code: "one_hot", "bernoulli" or "gaussian", of every part of the feature; None takes "gaussian" for a continuous
      one, and for a discrete one its own `Feature.code`, "one_hot" unless it says otherwise.
    E1, E2, G, q, D, a: arguments of the networks q(z1 | x), q(z2 | f(x)), G, q(z̃2 | z1, x̂), D and the adversary
      a(f(x) | z1): `conv` (channels; as the image size wants unless said), `dense` (units), `activation`. See
      `tfdisent.networks`.
    precision: "float32", or "mixed_bfloat16" for the networks; weights and losses stay float32.
    seed: of the noise. Initial weights follow `keras.utils.set_random_seed`.

  Raises:
    ConfigError: arguments that cannot work together.
  """

  def __init__(
    self,
    image_shape: Sequence[int],
    feature: Feature,
    objective: Objective = Objective(),
    z1_width: int = 16,
    z2_width: int = 8,
    code: str | None = None,
    E1: Mapping | None = None,
    E2: Mapping | None = None,
    G: Mapping | None = None,
    q: Mapping | None = None,
    D: Mapping | None = None,
    a: Mapping | None = None,
    precision: str = "float32",
    seed: int = 0,
  ):
    super().__init__(name="disentangled_vae")
    self._config = {
      "image_shape": list(image_shape),
      "feature": feature.get_config(),
      "objective": dataclasses.asdict(objective),
      **{
        "z1_width": z1_width,
        "z2_width": z2_width,
        "code": code,
        "E1": E1,
        "E2": E2,
        "G": G,
        "q": q,
        "D": D,
        "a": a,
        "precision": precision,
        "seed": seed,
      },
    }
    if precision not in ("float32", "mixed_bfloat16"):
      raise ConfigError(f"model.precision = {precision!r}: choose 'float32' or 'mixed_bfloat16'.")
    for name, width in (("z1_width", z1_width), ("z2_width", z2_width)):
      if not isinstance(width, int) or width < 1:
        raise ConfigError(f"model.{name} = {width!r} must be a whole number of at least 1.")
    self.image_shape, self.feature, self.objective, self.z1_width, self.seed = (
      tuple(image_shape),
      feature,
      objective,
      z1_width,
      seed,
    )
    for part in feature.parts:
      if part.kind == CONTINUOUS and code not in (None, "gaussian"):
        raise ConfigError(
          f"model.code = {code!r} takes f(x) of 0 and 1, and the feature '{part.name}' is continuous: use 'gaussian'."
        )
    self.codes = tuple(
      make_code(code or ("gaussian" if part.kind == CONTINUOUS else part.code), part.width, z2_width)
      for part in feature.parts
    )
    self.z2_width = sum(part_code.width for part_code in self.codes)
    self.feature_losses = tuple(
      objective.feature_loss or ("f1" if part.kind == DISCRETE else "f2") for part in feature.parts
    )
    feature.build(self.image_shape)

    conv = networks.channels_for(image_shape)

    def network(symbol, cls, arguments, *fixed):
      if not isinstance(arguments or {}, Mapping):
        raise ConfigError(f"model.{symbol} = {arguments!r} must be a dict, as in {{'dense': (128,)}}.")
      arguments = {
        **({} if issubclass(cls, networks.DenseNetwork) else {"conv": conv[::-1] if symbol == "G" else conv}),
        **(arguments or {}),
      }
      try:
        return cls(*fixed, **arguments, dtype=precision, name=symbol.replace("/", "_"))
      except (TypeError, ValueError) as error:
        raise (
          error if isinstance(error, ConfigError) else ConfigError(f"model.{symbol} = {arguments}: {error}")
        ) from error

    x, z1, z2 = tf.zeros([1, *image_shape]), tf.zeros([1, z1_width]), tf.zeros([1, self.z2_width])
    self.E1 = network("E1", networks.Encoder, E1, 2 * z1_width)
    self.E1(x)  # called once: builds the weights
    self.G = network("G", networks.Generator, G, self.image_shape)
    self.G(z1, z2)
    self.q = self.D = self.a = None
    self.E2 = tuple(
      network(name, networks.FeatureEncoder, E2, 2 * part_code.width) if part_code.learned else None
      for name, part_code in zip(self._names("E2"), self.codes)
    )
    for encoder, part in zip(self.E2, feature.parts):
      if encoder:
        encoder(tf.zeros([1, part.width]))
    if objective.lambda3 and "f1" in self.feature_losses:
      self.q = network("q", networks.Posterior, q, sum(part_code.parameters for part_code in self._codes_of_q))
      self.q(z1, x)
    if objective.lambda4:
      self.D = network("D", networks.Discriminator, D)
      self.D(z2, x)
    if objective.lambda6:
      self.a = network("a", networks.Adversary, a, feature.width)
      self.a(z1)
    self.built = True

  def get_config(self):
    return self._config

  @classmethod
  def from_config(cls, config):
    config = dict(config)
    return cls(
      feature=feature_from_config(config.pop("feature")), objective=Objective(**config.pop("objective")), **config
    )

  @property
  def networks(self) -> dict[str, keras.Model]:
    """The networks that this model has, by their symbol; "E2/color", where f has several parts."""
    encoders = dict(zip(self._names("E2"), self.E2))
    every = {"E1": self.E1, **encoders, "G": self.G, "q": self.q, "D": self.D, "a": self.a}
    return {symbol: network for symbol, network in every.items() if network}

  def _names(self, symbol: str) -> list[str]:
    """The symbol for each part of the feature: "E2", or "E2/digit_label" and "E2/color"."""
    names = self.feature.part_names
    return [symbol] if len(names) == 1 else [f"{symbol}/{name}" for name in names]

  @property
  def _codes_of_q(self) -> list[Code]:
    """Of the parts that q reads."""
    return [code for code, loss in zip(self.codes, self.feature_losses) if loss == "f1"]

  # --- The two posteriors and the generator, for training and for use -------------------------------------------------

  def posterior_z1(self, x: tf.Tensor):
    """q(z1 | x), a TFP distribution over [B, Z1], from images float32 [B, H, W, C] in [0, 1]."""
    return diagonal_gaussian(self.E1(x))

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

  def call(self, x: tf.Tensor, f: tf.Tensor | None = None) -> tf.Tensor:
    """x' = G(z1, z2), float32 [B, H, W, C] in [0, 1], with the means of q(z1 | x) and q(z2 | f(x)).

    Args:
      x: images [B, H, W, C], uint8, or float in [0, 1].
      f: f(x), [B, width]; None reads z2 from the images: see `read_z2`.

    Raises:
      FeatureError: f is None, and z2 cannot be read.
    """
    x = tf.image.convert_image_dtype(x, tf.float32)
    z1 = self.posterior_z1(x).mean()
    if f is not None:
      return self.decode(z1, self.mean_z2(f))
    self.check_reading()
    return self.decode(z1, self.read_z2(z1, x))

  def decode(self, z1: tf.Tensor, z2: tf.Tensor) -> tf.Tensor:
    """G(z1, z2) as images, float32 [B, H, W, C] in [0, 1]."""
    return tf.sigmoid(self.G(z1, z2))

  # --- Training -------------------------------------------------------------------------------------------------------

  def terms(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Every term of the loss on one batch: see `tfdisent.model.terms.terms`."""
    return terms(self, batch, step)

  def _sample_z2(self, f, q_z2, noise):
    parts = zip(q_z2, self.feature.split(f), self._split_z2(noise))
    return tf.concat([f_part if q is None else reparameterise(q, noise_part) for q, f_part, noise_part in parts], 1)

  def _hold_for_f1(self, z2_partner):
    """z̃2 without a gradient in the parts that are trained with L_f1: see `losses.feature_loss_f1`."""
    parts = zip(self._split_z2(z2_partner), self.feature_losses)
    return tf.concat([tf.stop_gradient(z2_part) if loss == "f1" else z2_part for z2_part, loss in parts], 1)

  def _split_z2(self, z2):
    """z2 [B, Z2] as a list of its parts'."""
    return tf.split(z2, [code.width for code in self.codes], 1)

  def _noise(self, position, step, width, stream=0):
    """Standard normal noise [B, width].

    It is drawn for the whole global batch and read at `position`, so it does not depend on how the batch is split.
    """
    global_batch = tf.size(position) * tf.distribute.get_strategy().num_replicas_in_sync
    seed = tf.stack([tf.constant(self.seed, tf.int64), 2 * tf.cast(step, tf.int64) + stream])
    return tf.gather(tf.random.stateless_normal([global_batch, width], seed), position)
