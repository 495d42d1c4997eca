"""The model of the paper's Fig. 1: its arguments and its networks. `terms.py` has the notation."""

import numbers
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent import keras_names, plugins, presets
from tfdisent.arguments import checked
from tfdisent.codes import Code, make_code
from tfdisent.errors import ConfigError, shown
from tfdisent.feature.contract import CONTINUOUS, DISCRETE, Feature, feature_from_config
from tfdisent.model.averages import Averages
from tfdisent.model.keras_data import vectors
from tfdisent.model.loss import Term
from tfdisent.model.objective import Objective
from tfdisent.model.posteriors import Posteriors
from tfdisent.model.step import TrainingStep
from tfdisent.model.terms import records, terms
from tfdisent.networks import Family, describe, make
from tfdisent.registry import FEATURES


@keras.saving.register_keras_serializable("tfdisent")
class DisentangledVAE(Posteriors, TrainingStep):
  """A VAE with a latent code of two parts, trained so that z2 alone decides f of the output.

  Args:
    image_shape: (H, W, C).
    feature: f, or the name of a registered one, or its description (`Feature.get_config`).
    objective: the loss; None for the one that `tfdisent.presets` has for images of this size and such a feature.
      `Objective()` is the paper's.
    z1_width: components of z1.
    z1_stddev: a fixed standard deviation of q(z1 | x), for instance 1; None lets E1 give it. KL(z1) is then a decay of
      the mean, ½ ‖mean‖² and a constant, and z1 tells what E1 can say against this noise, at the price of the decay: it
      is told less without an adversary (latent noise and decay: Gabbay & Hoshen 2020, 2021).
    z2_width: components of a learned (Gaussian) z2; the other codes have f's width.
    code: "one_hot", "bernoulli" or "gaussian", of every part of the feature; None takes "gaussian" for a continuous
      one, and for a discrete one its own `Feature.code`, "one_hot" unless it says otherwise.
    E1, E2, G, q, D, a: arguments of the networks q(z1 | x), q(z2 | f(x)), G, q(z̃2 | z1, x̂), D and the adversary
      a(f(x) | z1): those of their family, and `family` itself for a network of another one. Of the family "plain":
      `conv` (channels; as the image size wants unless said), `dense` (units), `activation`.
    networks: the family of the networks: see `tfdisent.networks`.
    precision: "float32", or of the networks "mixed_bfloat16", or "mixed_float16" with scaled losses; weights and losses
      are float32.
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
    z1_stddev: float | None = None,
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
      "z1_stddev": z1_stddev,
    }
    _check(z1_width, z2_width, precision, ema, z1_stddev)
    self.image_shape, self.feature, self.objective = tuple(image_shape), feature, objective
    self.z1_width, self.z1_stddev, self.seed = z1_width, z1_stddev, seed
    self.codes = tuple(_code(part, code, z2_width) for part in feature.parts)
    self.z2_width = sum(part_code.width for part_code in self.codes)
    self.feature_losses = tuple(
      objective.feature_loss or ("f1" if part.kind == DISCRETE else "f2") for part in feature.parts
    )
    feature.build(self.image_shape)
    self._make_networks()
    if ema:
      self.averages = Averages(ema, self.averaged)
    self.built = True

  def _make_networks(self) -> None:
    """Makes all networks, in the order in which their initial weights are drawn."""
    x, z1, z2 = tf.zeros([1, *self.image_shape]), tf.zeros([1, self.z1_width]), tf.zeros([1, self.z2_width])
    self.E1 = self.make_network("E1", (2 if self.z1_stddev is None else 1) * self.z1_width, x)
    self.G = self.make_network("G", None, z1, z2)
    self.E2 = tuple(
      self.make_network(name, 2 * part_code.width, tf.zeros([1, part.width])) if part_code.learned else None
      for name, part_code, part in zip(self.names_of_parts("E2"), self.codes, self.feature.parts)
    )
    self.q = self.D = None
    if self.objective.lambda3 and "f1" in self.feature_losses:
      self.q = self.make_network("q", sum(part_code.parameters for part_code in self._codes_of_q), z1, x)
    if self.objective.lambda4:
      self.D = self.make_network("D", 1, z2, x)
    self.networks_of_losses = [(loss, dict(loss.make_networks(self))) for loss in self.objective.beyond]
    if twice := {*self.inference_networks, "D"} & {symbol for _, of in self.networks_of_losses for symbol in of}:
      raise ConfigError(f"a loss calls a network '{min(twice)}', as the paper does: give it another symbol.")

  @property
  def precision(self) -> str:
    """That of the networks, as it was asked for."""
    return self._config["precision"]

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
    return dict(self._config)

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

  # --- Training -------------------------------------------------------------------------------------------------------

  def terms(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:
    """Every term of the loss on one batch: see `tfdisent.model.terms.terms`."""
    return terms(self, batch, step)

  @property
  def records(self) -> tuple[Term, ...]:
    """What is to be known of each term: see `tfdisent.model.terms.records`."""
    return records(self)

  def noise(self, position: tf.Tensor, step: tf.Tensor, width: int, stream: int = 0) -> tf.Tensor:
    """Standard normal noise [B, width].

    It is drawn for the whole global batch and read at `position`, so it does not depend on how the batch is split.
    """
    global_batch = tf.size(position) * tf.distribute.get_strategy().num_replicas_in_sync
    seed = tf.stack([tf.constant(self.seed, tf.int64), 2 * tf.cast(step, tf.int64) + stream])
    return tf.gather(tf.random.stateless_normal([global_batch, width], seed), position)


def _check(z1_width: int, z2_width: int, precision: str, ema: float, z1_stddev: float | None) -> None:
  """Raises `ConfigError` if an argument of a model is out of its range."""
  if z1_stddev is not None and not z1_stddev > 0:
    raise ConfigError(f"model.z1_stddev = {shown(z1_stddev)} must be positive, or None, with which E1 gives it.")
  if not (isinstance(ema, numbers.Real) and 0 <= ema < 1):
    raise ConfigError(f"model.ema = {shown(ema)} must be a number of at least 0 and less than 1, as in 0.999.")
  if precision not in ("float32", "mixed_bfloat16", "mixed_float16"):
    raise ConfigError(f"model.precision = {shown(precision)}: choose 'float32', 'mixed_bfloat16' or 'mixed_float16'.")
  for name, width in (("z1_width", z1_width), ("z2_width", z2_width)):
    if not isinstance(width, int) or not 1 <= width <= 2**16:
      raise ConfigError(f"model.{name} = {shown(width)} must be a whole number of at least 1, at most {2**16}.")


def _code(part: Feature, code: str | None, z2_width: int) -> Code:
  """The code of a part of f: the one that is asked for, or its own; raises `ConfigError` if f(x) has none of that."""
  if part.kind == CONTINUOUS and code not in (None, "gaussian"):
    raise ConfigError(
      f"model.code = {shown(code)} takes f(x) of 0 and 1, and the feature '{part.name}' is continuous: use 'gaussian'."
    )
  return make_code(code or ("gaussian" if part.kind == CONTINUOUS else part.code), part.width, z2_width)


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
