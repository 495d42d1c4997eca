"""The model of the paper's Fig. 1 and its training step.

Notation, as in the paper (and in code):
  x, f(x)   an image and its feature (`x`, `f`)           x̃, f(x̃)  an independent one and its feature (`f_partner`)
  z1        complementary code, from q(z1 | x)            z2, z̃2    codes of f(x) and of f(x̃) (`z2`, `z2_partner`)
  x'        reconstruction, G(z1, z2) (`x_rec`)           x̂         fusion, G(z1, z̃2) (`x_fusion`)
"""

import dataclasses
import functools
import math
from collections.abc import Mapping, Sequence

import keras
import tensorflow as tf

from tfdisent import losses
from tfdisent.codes import Code, diagonal_gaussian, make_code, reparameterise
from tfdisent.errors import ConfigError, FeatureError
from tfdisent.feature.contract import CONTINUOUS, DISCRETE, Feature, feature_from_config
from tfdisent.model.objective import Objective
from tfdisent.networks import plain as networks


class DisentangledVAE(keras.Model):
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

  def compile(
    self,
    optimizer: str | keras.optimizers.Optimizer = "adam",
    optimizer_d: str | keras.optimizers.Optimizer | None = None,
    jit_compile: bool = False,
  ):
    """Sets the optimizer of E1, E2, G and q, and that of D; a has the one that `Objective.a_optimizer` names.

    Args:
      optimizer: of Keras, or its name.
      optimizer_d: another one, or its name; None is Adam at a rate of 2e-4 with β1 = 0.5 (Radford et al. 2016).
      jit_compile: whether XLA compiles the step.

    Raises:
      ConfigError: both are one and the same object, which can keep the state of one set of weights.
    """
    super().compile(optimizer=None, jit_compile=jit_compile)
    if optimizer_d is None:
      optimizer_d = keras.optimizers.Adam(2e-4, beta_1=0.5)
    self.optimizer, self.optimizer_d = keras.optimizers.get(optimizer), keras.optimizers.get(optimizer_d)
    if self.optimizer is self.optimizer_d:
      raise ConfigError("optimizer and optimizer_d are one object: give each its own, since each keeps its own state.")
    for of_networks, symbols in self._optimizers:
      of_networks.build([v for symbol in symbols for v in self.networks[symbol].trainable_variables])
    names = ["L", "reconstruction", "KL_z1", "psnr", *(["KL_z2"] if any(self.E2) else []), *(["L_q"] if self.q else [])]
    names += ["L_f", *(self._names("L_f") if len(self.codes) > 1 else [])] if self.objective.lambda3 else []
    names += ["L_GAN", "L_D"] if self.D else []
    names += ["L_mirror"] if self.objective.lambda5 else []
    names += ["L_a"] if self.a else []
    names += ["L_cycle"] if self.objective.lambda7 else []
    names += [f"gradient_norm/{symbol}" for symbol in self.networks]
    self._means = {name: keras.metrics.Mean(name=name) for name in names}  # here: a traced step makes no variables

  @property
  def networks(self) -> dict[str, keras.Model]:
    """The networks that this model has, by their symbol; "E2/color", where f has several parts."""
    encoders = dict(zip(self._names("E2"), self.E2))
    every = {"E1": self.E1, **encoders, "G": self.G, "q": self.q, "D": self.D, "a": self.a}
    return {symbol: network for symbol, network in every.items() if network}

  @property
  def _optimizers(self):
    """Each optimizer, with the symbols of its networks."""
    of_d = ("D", "a") if self.objective.a_optimizer == "d" else ("D",)
    eg, d = ([symbol for symbol in self.networks if (symbol in of_d) == is_d] for is_d in (False, True))
    return (self.optimizer, eg), (self.optimizer_d, d)

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

  def terms(self, batch: Mapping[str, tf.Tensor], step: tf.Tensor) -> dict[str, tf.Tensor]:  # noqa: PLR0912, PLR0915 (in one position)
    """Every term of the loss on one batch, as scalars: one forward pass, from which all networks learn.

    Args:
      batch: of `tfdisent.dataset.training_batches`; each example counts as much as its `weight`, where there is one.
      step: keys the noise together with the seed and each example's position.

    Returns:
      Means over the examples: `L`, its parts `reconstruction`, `KL_z1`, `KL_z2`, `L_f` (and `L_f/color`, where f has
      several parts), `L_GAN`, `L_mirror`, `L_cycle`, the losses of q, D and a, `L_q`, `L_D` and `L_a` (those that
      apply), and `psnr` of x' in dB.
    """
    o, mean = self.objective, functools.partial(_mean, weight=batch.get("weight"))
    x = tf.image.convert_image_dtype(batch["image"], tf.float32)
    f, f_partner, position = batch["feature"], batch["partner"], batch["position"]
    widths = [self.z1_width, self.z1_width, self.z2_width, self.z2_width]
    noise_z1, prior_z1, noise_z2, noise_z2_partner = tf.split(self._noise(position, step, sum(widths)), widths, 1)
    terms = {}
    # What goes beyond the paper comes in by degrees; a validation, of step -1, has the whole of it.
    progress = tf.minimum(tf.cast(step, tf.float32) / o.ramp_steps, 1.0) if o.ramp_steps else 1.0
    ramp = tf.where(step < 0, 1.0, progress)

    # Encode z1 from x, z2 from f(x), and z̃2 from f(x̃) of the independent partner.
    q_z1 = self.posterior_z1(x)
    z1 = reparameterise(q_z1, noise_z1)
    terms["KL_z1"] = mean(losses.kl_to_standard_normal(q_z1))
    q_z2 = self.posterior_z2(f)
    z2 = self._sample_z2(f, q_z2, noise_z2)
    z2_partner = self._hold_for_f1(self._sample_z2(f_partner, self.posterior_z2(f_partner), noise_z2_partner))
    if any(self.E2):
      terms["KL_z2"] = sum(mean(losses.kl_to_standard_normal(q)) for q in q_z2 if q is not None)

    # Reconstruct x' = G(z1, z2) and fuse x̂ = G(z1, z̃2), in one call of G.
    z1_fusion = z1
    if o.prior_fusions:
      spread = tf.math.floormod(o.prior_fusions * tf.cast(position, tf.float32), 1.0)  # evenly over the batch
      from_prior = spread < o.prior_fusions
      z1_fusion = tf.where(from_prior[:, None], prior_z1, z1)
    logits = self.G(tf.concat([z1, z1_fusion], 0), tf.concat([z2, z2_partner], 0))
    x_rec_logits, x_fusion_logits = tf.split(logits, 2)
    x_rec, x_fusion = tf.sigmoid(x_rec_logits), tf.sigmoid(x_fusion_logits)

    # L_VAE = -log p(x | z1, z2) + λ1 KL(z1) + λ2 KL(z2)
    if o.likelihood == "bernoulli":
      terms["reconstruction"] = mean(losses.bernoulli_reconstruction(x, x_rec_logits))
    else:
      terms["reconstruction"] = mean(losses.gaussian_reconstruction(x, x_rec_logits, o.stddev))
    if o.likelihood == "laplace":  # by degrees: until z1 tells where the ink is, the median of every pixel is black
      laplace = mean(losses.laplace_reconstruction(x, x_rec_logits, o.stddev))
      terms["reconstruction"] = (1 - ramp) * terms["reconstruction"] + ramp * laplace
    terms["L"] = terms["reconstruction"] + o.lambda1 * terms["KL_z1"] + o.lambda2 * terms.get("KL_z2", 0.0)

    # λ3 L_f, the bounds of I(z̃2; x̂ | z1): the first where q reads z̃2 in x̂, the second where f itself reads f(x̃)
    if o.lambda3:
      noise_x = 0.0
      if o.q_noise:
        noise_x = o.q_noise * tf.reshape(self._noise(position, step, math.prod(self.image_shape), 1), tf.shape(x))
      x_noisy = x_fusion + noise_x
      q_fusion = self.variational_z2(z1_fusion, x_noisy)
      L_f = [
        mean(
          part.loss_f2(x_noisy if part.networks else x_fusion, f_part)
          if q is None
          else losses.feature_loss_f1(q, z2_part)
        )
        for part, q, z2_part, f_part in zip(
          self.feature.parts, q_fusion, self._split_z2(z2_partner), self.feature.split(f_partner)
        )
      ]
      terms |= dict(zip(self._names("L_f"), L_f))
      terms["L_f"] = sum(weight * of_part for weight, of_part in zip(self.feature.weights, L_f))
      terms["L"] += o.lambda3 * terms["L_f"]
    if self.q:
      L_q = [of_part for of_part, q in zip(L_f, q_fusion) if q is not None] if o.q_data != "pairs" else []
      if o.q_data != "fusions":
        q_pair = self.variational_z2(tf.stop_gradient(_of_neighbour(z1)), x + noise_x)
        pairs = zip(q_pair, self._split_z2(tf.stop_gradient(z2)))
        L_q += [mean(losses.feature_loss_f1(q, z2_part)) for q, z2_part in pairs if q is not None]
      terms["L_q"] = sum(L_q)

    # λ4 L_GAN, and L_D on the same two images
    if o.lambda4:
      real = x_rec if o.d_real == "reconstructions" else x
      d_real, d_fusion = self.D(z2, real), self.D(z2_partner, x_fusion)  # apart: L_GAN goes back through x̂ alone
      terms["L_GAN"] = mean(losses.gan_loss(d_fusion))
      terms["L_D"] = mean(losses.discriminator_loss(d_real, d_fusion))
      terms["L"] += o.lambda4 * terms["L_GAN"]

    # Beyond the paper: λ5 L_mirror keeps z1 in x̂, λ6 L_a takes f out of z1, λ7 L_cycle is a baseline of the field.
    if o.lambda5:
      terms["L_mirror"] = mean(losses.mirror_loss(self.posterior_z1(x_fusion), z1_fusion))
      terms["L"] += ramp * o.lambda5 * terms["L_mirror"]
    if o.lambda6:
      a, f_twice = self.a(tf.concat([q_z1.mean(), z1], 0)), tf.concat([f, f], 0)
      terms["L_a"] = sum(
        weight * mean(losses.adversary_loss(a_part, f_part, None if code.learned else code))
        for weight, code, a_part, f_part in zip(
          self.feature.adversary_weights, self.codes, self.feature.split(a), self.feature.split(f_twice)
        )
      )
      terms["L"] -= ramp * o.lambda6 * terms["L_a"]
    if o.lambda7:
      z1_cycled = tf.split(self.E1(self.decode(tf.concat([prior_z1] * 2, 0), tf.concat([z2, z2_partner], 0))), 2)
      terms["L_cycle"] = mean(losses.cycle_loss(*(diagonal_gaussian(parameters) for parameters in z1_cycled)))
      terms["L"] += ramp * o.lambda7 * terms["L_cycle"]

    terms["psnr"] = mean(tf.image.psnr(x, x_rec, max_val=1.0))
    return terms

  def update(self, batch: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """One step of all networks: E1, E2 and G down L, q down L_q, D down L_D, a down L_a.

    Returns the terms and the norms of the gradients.
    """
    with tf.GradientTape(persistent=True) as tape:
      terms = self.terms(batch, self.optimizer.iterations)
      # gradients are summed over the replicas, so each gives its share of the mean over the global batch
      share = {
        name: terms[name] / tf.distribute.get_strategy().num_replicas_in_sync
        for name in ("L", "L_q", "L_D", "L_a")
        if name in terms
      }

    weights = {symbol: network.trainable_variables for symbol, network in self.networks.items()}
    gradients = {}
    for loss, symbols in (("L", ("E1", *self._names("E2"), "G")), ("L_q", ("q",)), ("L_D", ("D",)), ("L_a", ("a",))):
      if loss in share:
        gradients |= tape.gradient(share[loss], {symbol: weights[symbol] for symbol in symbols if symbol in weights})
    # No weight may change before every gradient is known: TensorFlow lets q's step overtake L's way back through q.
    with tf.control_dependencies(tf.nest.flatten(gradients)):
      gradients = tf.nest.map_structure(tf.identity, gradients)
    for optimizer, symbols in self._optimizers:
      if pairs := [pair for symbol in symbols for pair in zip(gradients[symbol], weights[symbol])]:
        optimizer.apply(*zip(*pairs))

    return terms | {
      f"gradient_norm/{symbol}": tf.linalg.global_norm(of_network) for symbol, of_network in gradients.items()
    }

  def train_step(self, batch):
    """`update`, with running means for `fit`."""
    return self._track(self.update(batch))

  def test_step(self, batch):
    """The terms on a batch of validation data, with the same noise every time."""
    weight = batch.get("weight")
    terms = self.terms(batch, tf.constant(-1, tf.int64))
    return self._track(terms, None if weight is None else tf.reduce_sum(weight))

  def _maybe_symbolic_build(self, *_, **__):
    """Does what `Model.fit` would: nothing. All is built, and Keras cannot average a dict of labels over workers."""

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

  def _track(self, terms, weight=None):
    """Running means of `terms` over the epoch, for `fit` and `evaluate`; a batch counts as much as its `weight`."""
    means = {name: self._means[name] for name in terms}
    for name, value in terms.items():
      means[name].update_state(value, sample_weight=weight)
    if tf.distribute.get_strategy().num_replicas_in_sync == 1:
      return {name: mean.result() for name, mean in means.items()}
    # One message for all of them: the sums, and what they count. (+ 0, since tf.stack takes no variables of Keras.)
    sums = tf.stack([[mean.total + 0, mean.count + 0] for mean in means.values()])
    totals, counts = tf.unstack(tf.distribute.get_replica_context().all_reduce("SUM", sums), axis=1)
    return dict(zip(terms, tf.unstack(tf.math.divide_no_nan(totals, counts), len(terms))))

  def make_train_function(self, force=False):
    """Keras's own sends a message between workers for each figure, and fails on scalars (keras#20585): see `_track`."""
    if self.train_function is None or force:
      self.train_function = self._of_iterator(self.train_step)

  def make_test_function(self, force=False):
    """See `make_train_function`."""
    if self.test_function is None or force:
      self.test_function = self._of_iterator(self.test_step)

  def _of_iterator(self, step):
    strategy = self.distribute_strategy

    @tf.function(jit_compile=self.jit_compile)
    def on_replicas(batch):
      logs = strategy.run(step, args=(batch,))
      return {name: strategy.experimental_local_results(value)[0] for name, value in logs.items()}

    return lambda iterator: on_replicas(next(iterator))

  @property
  def metrics(self):
    return list(self._means.values()) if self.compiled else []


def _mean(values: tf.Tensor, weight: tf.Tensor | None) -> tf.Tensor:
  """The mean over the examples, of `values` [B], or [K B] with each example K times; weighted by [B], where given."""
  if weight is None:
    return tf.reduce_mean(values)
  weight = tf.tile(weight, [tf.size(values) // tf.size(weight)])
  # no_nan: the PSNR of a perfect x' that does not count is infinite, and a replica may have nothing that counts
  return tf.math.divide_no_nan(tf.reduce_sum(tf.math.multiply_no_nan(values, weight)), tf.reduce_sum(weight))


def _of_neighbour(z1: tf.Tensor) -> tf.Tensor:
  """z1 [B, Z1] with every two neighbours exchanged: an independent image's z1, within any even share of the batch.

  The last of an odd number gets the first one's.
  """
  row, count = tf.range(tf.shape(z1)[0]), tf.shape(z1)[0]
  return tf.gather(z1, (row + 1 - 2 * (row % 2)) % count)
