"""The model of the paper's Fig. 1: its networks, its posteriors and its generator. `terms.py` has the notation."""

import numbers
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent import keras_names, plugins, presets
from tfdisent.arguments import checked
from tfdisent.codes import Code, diagonal_gaussian, make_code, reparameterise
from tfdisent.errors import ConfigError, FeatureError, shown
from tfdisent.feature.contract import CONTINUOUS, DISCRETE, Feature, feature_from_config
from tfdisent.model.averages import Averages
from tfdisent.model.keras_data import vectors
from tfdisent.model.loss import Term
from tfdisent.model.objective import Objective
from tfdisent.model.step import TrainingStep
from tfdisent.model.terms import records, terms
from tfdisent.networks import Family, describe, make
from tfdisent.registry import FEATURES


@keras.saving.register_keras_serializable("tfdisent")
class DisentangledVAE(TrainingStep):
  """A VAE with a latent code of two parts, trained so that z2 alone decides f of the output.

  Args:
    image_shape: (H, W, C).
    feature: f, or the name of a registered one, or its description (`Feature.get_config`).
    objective: the loss; None for the one that `tfdisent.presets` has for images of this size and such a feature.
      `Objective()` is the paper's.
    z1_width: components of z1.
    z2_width: components of a learned (Gaussian) z2; the other codes have f's width.
    code: "one_hot", "bernoulli" or "gaussian", of every part of the feature; None takes "gaussian" for a continuous
      one, and for a discrete one its own `Feature.code`, "one_hot" unless it says otherwise.
    E1, E2, G, q, D, a: arguments of the networks q(z1 | x), q(z2 | f(x)), G, q(z̃2 | z1, x̂), D and the adversary
      a(f(x) | z1): those of their family, and `family` itself for a network of another one. Of the family "plain":
      `conv` (channels; as the image size wants unless said), `dense` (units), `activation`.
    networks: the family of the networks: see `tfdisent.networks`.
    precision: "float32", or "mixed_bfloat16" for the networks; weights and losses stay float32.
    ema: decay of the moving averages of E1, E2, G and q, in [0, 1), 0.999 for instance: what is shown, saved, measured
      and served has these in place of the weights of the last step. 0 for none. See `tfdisent.model.averages`.
    seed: of the noise. Initial weights follow `keras.utils.set_random_seed`.

  Raises:
    ConfigError: arguments that cannot work together.
  """

  @checked("model")
  def __init__(
    self,
    image_shape: Sequence[int],
    feature: Feature | str | Mapping,
    objective: Objective | None = None,
    z1_width: int = 16,
    z2_width: int = 8,
    code: str | None = None,
    E1: Mapping | None = None,
    E2: Mapping | None = None,
    G: Mapping | None = None,
    q: Mapping | None = None,
    D: Mapping | None = None,
    a: Mapping | None = None,
    networks: Family = "plain",
    precision: str = "float32",
    ema: float = 0.0,
    seed: int = 0,
  ):
    keras_names.check_settings(keras)
    super().__init__(name="disentangled_vae")
    feature = _made(feature)
    objective = Objective(**presets.objective(image_shape, feature)) if objective is None else objective
    every = {"E1": E1, "E2": E2, "G": G, "q": q, "D": D, "a": a}
    self._config = {
      "image_shape": list(image_shape),
      "feature": feature.get_config(),
      "objective": objective.get_config(),
      "z1_width": z1_width,
      "z2_width": z2_width,
      "code": code,
      "networks": describe(networks),
      **{symbol: _described(arguments) for symbol, arguments in every.items()},
      "precision": precision,
      "ema": ema,
      "seed": seed,
    }
    if not (isinstance(ema, numbers.Real) and 0 <= ema < 1):
      raise ConfigError(f"model.ema = {shown(ema)} must be a number of at least 0 and less than 1, as in 0.999.")
    if precision not in ("float32", "mixed_bfloat16"):
      raise ConfigError(f"model.precision = {shown(precision)}: choose 'float32' or 'mixed_bfloat16'.")
    for name, width in (("z1_width", z1_width), ("z2_width", z2_width)):
      if not isinstance(width, int) or not 1 <= width <= 2**16:
        raise ConfigError(f"model.{name} = {shown(width)} must be a whole number of at least 1, at most {2**16}.")
    self.image_shape, self.feature, self.objective = tuple(image_shape), feature, objective
    self.z1_width, self.seed = z1_width, seed
    for part in feature.parts:
      if part.kind == CONTINUOUS and code not in (None, "gaussian"):
        raise ConfigError(
          f"model.code = {shown(code)} takes f(x) of 0 and 1, and the feature '{part.name}' is continuous: use "
          "'gaussian'."
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

    x, z1, z2 = tf.zeros([1, *image_shape]), tf.zeros([1, z1_width]), tf.zeros([1, self.z2_width])
    self.E1 = self.make_network("E1", 2 * z1_width, x)
    self.G = self.make_network("G", None, z1, z2)
    self.E2 = tuple(
      self.make_network(name, 2 * part_code.width, tf.zeros([1, part.width])) if part_code.learned else None
      for name, part_code, part in zip(self.names_of_parts("E2"), self.codes, feature.parts)
    )
    self.q = self.D = None
    if objective.lambda3 and "f1" in self.feature_losses:
      self.q = self.make_network("q", sum(part_code.parameters for part_code in self._codes_of_q), z1, x)
    if objective.lambda4:
      self.D = self.make_network("D", 1, z2, x)
    self.networks_of_losses = [(loss, dict(loss.make_networks(self))) for loss in objective.beyond]
    if twice := {*self.inference_networks, "D"} & {symbol for _, of in self.networks_of_losses for symbol in of}:
      raise ConfigError(f"a loss calls a network '{min(twice)}', as the paper does: give it another symbol.")
    if ema:
      self.averages = Averages(ema, self.averaged)
    self.built = True

  @property
  def averaged(self) -> list[keras.Variable]:
    """The weights whose averages a model with `ema` has: of all networks that a trained model is used with."""
    return [weight for network in self.inference_networks.values() for weight in network.trainable_variables]

  def make_network(self, symbol: str, outputs: int | None, *inputs: tf.Tensor) -> keras.Model:
    """The network of a symbol (see `tfdisent.networks`), of this model's family, arguments and precision.

    It is called once on `inputs`, which builds its weights.
    """
    network = make(
      symbol,
      self.image_shape,
      outputs,
      self._config[symbol.split("/", maxsplit=1)[0]],
      self._config["networks"],
      self._config["precision"],
    )
    try:
      network(*inputs)
    except (TypeError, ValueError, tf.errors.OpError) as error:  # Keras sees what cannot be when it makes the weights
      arguments = self._config[symbol.split("/", maxsplit=1)[0]]
      raise ConfigError(f"model.{symbol} = {arguments}: {' '.join(str(error).split())[:200]}") from error
    return network

  def get_config(self) -> dict:
    return self._config

  @classmethod
  def from_config(cls, config: Mapping, trust: Sequence[str] = ()) -> "DisentangledVAE":
    """The model of `get_config`, with new weights; `ConfigError` if a plug-in may not be imported: see `plugins`."""
    plugins.check_model(config, "the model", trust)
    config = dict(config)
    feature, objective = feature_from_config(config.pop("feature")), Objective.from_config(config.pop("objective"))
    return cls(feature=feature, objective=objective, **config)

  def in_float32(self) -> "DisentangledVAE":
    """This model, or with the same weights one whose networks compute in float32: for what has no bfloat16."""
    if self._config["precision"] == "float32":
      return self
    changed = {"precision": "float32", "feature": self.feature, "objective": self.objective}
    model = DisentangledVAE(**{**self._config, **changed})
    for symbol, network in self.networks.items():
      model.networks[symbol].set_weights(network.get_weights())
    return model

  @property
  def inference_networks(self) -> dict[str, keras.Model]:
    """The networks that a trained model is used with, by their symbol; "E2/color", where f has several parts."""
    encoders = dict(zip(self.names_of_parts("E2"), self.E2))
    return {
      symbol: network for symbol, network in {"E1": self.E1, **encoders, "G": self.G, "q": self.q}.items() if network
    }

  @property
  def networks(self) -> dict[str, keras.Model]:
    """All networks that this model has, by their symbol: those that training alone needs come last."""
    of_losses = {symbol: network for _, of_loss in self.networks_of_losses for symbol, network in of_loss.items()}
    return self.inference_networks | ({"D": self.D} if self.D else {}) | of_losses

  def names_of_parts(self, symbol: str) -> list[str]:
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
      f: f(x), in its natural form or as vectors [B, width]; None reads z2 from the images: see `read_z2`.

    Raises:
      FeatureError: f is None, and z2 cannot be read.
    """
    x = tf.image.convert_image_dtype(x, tf.float32)
    z1 = self.posterior_z1(x).mean()
    if f is not None:
      return self.decode(z1, self.mean_z2(vectors(self.feature, f, in_graph=True)))
    self.check_reading()
    return self.decode(z1, self.read_z2(z1, x))

  def decode(self, z1: tf.Tensor, z2: tf.Tensor) -> tf.Tensor:
    """G(z1, z2) as images, float32 [B, H, W, C] in [0, 1]."""
    return tf.sigmoid(self.G(z1, z2))

  # --- Training -------------------------------------------------------------------------------------------------------

  def terms(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Every term of the loss on one batch: see `tfdisent.model.terms.terms`."""
    return terms(self, batch, step)

  @property
  def records(self) -> tuple[Term, ...]:
    """What is to be known of each term: see `tfdisent.model.terms.records`."""
    return records(self)

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

  def noise(self, position: tf.Tensor, step: tf.Tensor, width: int, stream: int = 0) -> tf.Tensor:
    """Standard normal noise [B, width].

    It is drawn for the whole global batch and read at `position`, so it does not depend on how the batch is split.
    """
    global_batch = tf.size(position) * tf.distribute.get_strategy().num_replicas_in_sync
    seed = tf.stack([tf.constant(self.seed, tf.int64), 2 * tf.cast(step, tf.int64) + stream])
    return tf.gather(tf.random.stateless_normal([global_batch, width], seed), position)


def _described(arguments):
  """Arguments of a network with the family by its description, where they name one."""
  if isinstance(arguments, Mapping) and "family" in arguments:
    return {**arguments, "family": describe(arguments["family"])}
  return arguments


def _made(feature: Feature | str | Mapping) -> Feature:
  """A feature from its name, or from its description."""
  if isinstance(feature, str):
    FEATURES.find(feature)
    return FEATURES.create(feature)
  if isinstance(feature, Mapping) and {"name", "module", "arguments"} <= feature.keys():
    return feature_from_config(feature)
  if isinstance(feature, Feature):
    return feature
  raise ConfigError(
    f"feature = {shown(feature)} must be a Feature, the name of a registered one, or a description of `get_config`."
  )
