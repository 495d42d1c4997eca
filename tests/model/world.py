"""A world small enough to know everything: 4x4 images, three classes, linear networks."""

from types import MappingProxyType

import keras
import numpy as np
import tensorflow as tf

from features.attribute import Attribute
from features.category import Category
from features.composite import Composite
from tfdisent.feature.contract import Feature
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE


def weights(model):
  return {symbol: [w.copy() for w in network.get_weights()] for symbol, network in model.networks.items()}


def moved(before, after):
  """Symbols of the networks of which a weight changed."""
  return {symbol for symbol in before if any((a != b).any() for a, b in zip(before[symbol], after[symbol]))}


def assert_others_stay(terms, model, batch, symbol):
  """Asserts that `terms` of step 5 are those of `model`, which lacks one loss, and that loss; returns the model's."""
  expected = model.terms(batch, tf.constant(5, tf.int64))
  assert terms.keys() - expected.keys() == {symbol}
  for name in expected.keys() - {"L"}:
    np.testing.assert_array_equal(terms[name], expected[name], err_msg=name)
  return expected


class Halves(Feature):
  """The mean of the left half of an image, and that of the right."""

  kind = "continuous"
  width = 2

  def of_image(self, image):
    return tf.stack([tf.reduce_mean(half, [1, 2, 3]) for half in (image[:, :, :2], image[:, :, 2:])], 1)


class Top(Feature):
  """The mean of the highest row, and, as a learned f has them, with networks: L_f2 adds q_noise to what it sees."""

  kind = "continuous"
  width = 1
  networks = MappingProxyType({"network": None})

  def of_image(self, image):
    return tf.reduce_mean(image[:, 0], [1, 2])[:, None]


WORLD = Composite(
  (Category(num_classes=3), Attribute(("dark",)), Halves(), Top()),
  weights=(1.5, 2.0, 30.0, 10.0),
  adversary_weights=(1.0, 0.5, 3.0, 2.0),
  part_names=("kind", "dark", "halves", "top"),
)


NAMES, WIDTHS = ("kind", "dark", "halves", "top"), (3, 1, 2, 1)
PAPER = {"lambda1": 1.3, "lambda2": 0.7, "lambda3": 2.1, "lambda4": 0.9, "stddev": 0.3}


ALL = {**PAPER, "mirror": 0.6, "adversary": 0.4, "cycle": 0.8}


SEED = 7


class Linear(keras.Model):
  """y = [inputs, side by side] W + b: what stands in for a network."""

  def __init__(self, inputs, outputs, shape, draw):
    super().__init__()
    self.kernel = keras.Variable(draw.normal(0, 0.4, (inputs, outputs)), dtype="float32")
    self.bias = keras.Variable(draw.normal(0, 0.4, outputs), dtype="float32")
    self.output_shape_ = shape

  def call(self, *inputs):
    side_by_side = tf.concat([tf.reshape(one, [one.shape[0], -1]) for one in inputs], 1)
    return tf.reshape(side_by_side @ self.kernel + self.bias, [-1, *self.output_shape_])


def make_world(code=None, **objective):
  """A model of `WORLD` whose every network is linear: z1 of 2 components, z2 of 1 for each part that has an E2."""
  least = {"conv": (), "dense": ()}
  model = DisentangledVAE(
    (4, 4, 1),
    WORLD,
    Objective(**objective),
    z1_width=2,
    z2_width=1,
    code=code,
    seed=SEED,
    **{"E1": least, "G": {"conv": (1,), "dense": ()}, "q": least, "D": least, "E2": {"dense": ()}, "a": {"dense": ()}},
  )
  draw = np.random.default_rng(0)
  z2_width, of_q = (6, 4) if code is None else (4, 4)
  if model.objective.feature_loss == "f1":
    of_q = 8
  model.E1 = Linear(16, 4, [4], draw)
  model.E2 = tuple(Linear(width, 2, [2], draw) if e2 else None for width, e2 in zip(WIDTHS, model.E2))
  model.G = Linear(2 + z2_width, 16, [4, 4, 1], draw)
  model.q = model.q and Linear(2 + 16, of_q, [of_q], draw)
  model.D = model.D and Linear(z2_width + 16, 1, [], draw)
  for _, of_loss in model.networks_of_losses:
    of_loss |= {symbol: Linear(2, 7, [7], draw) for symbol in of_loss}
  return model


def softplus(a):
  return np.logaddexp(0, a)


def gaussian(parameters):
  """Mean and standard deviation from what a network gives."""
  mean, raw = np.split(parameters, 2, 1)
  return mean, softplus(raw) + 1e-4


def log_density(kind, parameters, z):
  """log q(z) [B] of a code."""
  if kind == "one_hot":
    return (z * (parameters - np.log(np.exp(parameters).sum(1, keepdims=True)))).sum(1)
  if kind == "bernoulli":
    return (z * parameters - softplus(parameters)).sum(1)
  mean, stddev = gaussian(parameters)
  return (-0.5 * ((z - mean) / stddev) ** 2 - np.log(stddev * np.sqrt(2 * np.pi))).sum(1)


def known_terms(model, batch, step):
  """Every term once more, from the paper's equations and those of the docstrings, in NumPy and float64."""
  o, place = model.objective, batch["position"].numpy()
  x = batch["image"].numpy() / 255.0
  weights = {s: [np.float64(w) for w in network.get_weights()] for s, network in model.networks.items()}

  def net(symbol, *inputs):
    kernel, bias = weights[symbol]
    return np.concatenate([np.reshape(one, [len(one), -1]) for one in inputs], 1) @ kernel + bias

  def normal(width, stream):
    return tf.random.stateless_normal([4, width], [SEED, 2 * step + stream]).numpy().astype(np.float64)[place]

  def G(z1, z2):
    return net("G", z1, z2).reshape(4, 4, 4, 1)

  def sigmoid(a):
    return 1 / (1 + np.exp(-a))

  own = [part.learned for part in model.codes]
  kinds = ["gaussian" if learned else kind for learned, kind in zip(own, ("one_hot", "bernoulli", "", ""))]
  ends = [np.cumsum([1 if learned else width for learned, width in zip(own, WIDTHS)])[:-1], np.cumsum(WIDTHS)[:-1]]
  z2_width = sum(1 if learned else width for learned, width in zip(own, WIDTHS))
  of_parts = {"f1": "f1 f1 f1 f1", "f2": "f2 f2 f2 f2", None: "f1 f1 f2 f2"}[o.feature_loss].split()
  e_z1, e_prior, e_z2, e_partner = np.split(normal(4 + 2 * z2_width, 0), [2, 4, 4 + z2_width], 1)

  def encode(f, noise):
    posteriors = [
      gaussian(net(f"E2/{name}", f_part)) if learned else None
      for name, f_part, learned in zip(NAMES, np.split(f, ends[1], 1), own)
    ]
    parts = zip(posteriors, np.split(f, ends[1], 1), np.split(noise, ends[0], 1))
    return posteriors, np.concatenate([f_part if q is None else q[0] + q[1] * e for q, f_part, e in parts], 1)

  f, f_partner = batch["feature"].numpy().astype(np.float64), batch["partner"].numpy().astype(np.float64)
  (mean, stddev), (posteriors, z2), (_, z2_partner) = (
    gaussian(net("E1", x)),
    encode(f, e_z2),
    encode(f_partner, e_partner),
  )
  z1 = mean + stddev * e_z1
  ramp = min(step / o.ramp_steps, 1) if o.ramp_steps and step >= 0 else 1

  def kl(mean, stddev):
    return (0.5 * (mean**2 + stddev**2 - 1 - 2 * np.log(stddev))).sum(1).mean()

  terms = {"KL_z1": kl(mean, stddev)}
  if any(own):
    terms["KL_z2"] = sum(kl(*q) for q in posteriors if q)
  z1_fusion = np.where((o.prior_fusions * place % 1 < o.prior_fusions)[:, None], e_prior, z1)
  x_rec, x_fusion = sigmoid(G(z1, z2)), sigmoid(G(z1_fusion, z2_partner))
  gauss = ((x - x_rec) ** 2).sum((1, 2, 3)).mean() / (2 * o.stddev**2)
  laplace = np.abs(x - x_rec).sum((1, 2, 3)).mean() * np.sqrt(2) / o.stddev
  terms["reconstruction"] = {
    "gaussian": gauss,
    "laplace": (1 - ramp) * gauss + ramp * laplace,
    "bernoulli": -(x * np.log(x_rec) + (1 - x) * np.log(1 - x_rec)).sum((1, 2, 3)).mean(),
  }[o.likelihood]
  terms["psnr"] = (-10 * np.log10(((x - x_rec) ** 2).mean((1, 2, 3)))).mean()
  L = terms["reconstruction"] + o.lambda1 * terms["KL_z1"] + o.lambda2 * terms.get("KL_z2", 0)

  def q_losses(z1, image, z2):
    """-E log q of each part that q reads."""
    read = [kind for kind, loss in zip(kinds, of_parts) if loss == "f1"]
    counts = [2 if kind == "gaussian" else {"one_hot": 3, "bernoulli": 1}[kind] for kind in read]
    parameters = np.split(net("q", z1, image), np.cumsum(counts)[:-1], 1)
    codes = [z for z, loss in zip(np.split(z2, ends[0], 1), of_parts) if loss == "f1"]
    return [-log_density(*of_part).mean() for of_part in zip(read, parameters, codes)]

  if o.lambda3:
    noise = o.q_noise * normal(16, 1).reshape(4, 4, 4, 1)
    L_q = q_losses(z1_fusion, x_fusion + noise, z2_partner)
    halves = np.stack([x_fusion[:, :, :2].mean((1, 2, 3)), x_fusion[:, :, 2:].mean((1, 2, 3))], 1)
    top = (x_fusion + noise)[:, 0].mean((1, 2))[:, None]
    L_f2 = [((halves - f_partner[:, 4:6]) ** 2).sum(1).mean(), ((top - f_partner[:, 6:]) ** 2).sum(1).mean()]
    L_f = [*L_q, *L_f2][:4]
    terms |= {f"L_f/{name}": of_part for name, of_part in zip(NAMES, L_f)}
    terms["L_f"] = np.dot([1.5, 2.0, 30.0, 10.0], L_f)
    L += o.lambda3 * terms["L_f"]
    pairs = q_losses(z1[[1, 0, 3, 2]], x + noise, z2)
    terms["L_q"] = {"fusions": sum(L_q), "pairs": sum(pairs), "both": sum(L_q) + sum(pairs)}[o.q_data]
  if o.lambda4:
    real = sigmoid(net("D", z2, x if o.d_real == "originals" else x_rec))
    fusion = sigmoid(net("D", z2_partner, x_fusion))
    terms["L_D"], terms["L_GAN"] = -(np.log(real) + np.log(1 - fusion)).mean(), -np.log(fusion).mean()
    if o.gan == "hinge":
      real, fusion = (np.log(p / (1 - p)) for p in (real, fusion))
      terms["L_D"] = (np.maximum(0, 1 - real) + np.maximum(0, 1 + fusion)).mean()
      terms["L_GAN"] = -fusion.mean()
    if o.r1:  # D is linear: the gradient at any image is its kernel
      scale = 1 if step < 0 else (step % o.r1_every == 0) * o.r1_every
      terms["R1"] = scale * np.square(weights["D"][0][-16:]).sum()
      terms["L_D"] += o.r1 / 2 * terms["R1"]
    L += o.lambda4 * terms["L_GAN"]
  if o.mirror:
    terms["L_mirror"] = -log_density("gaussian", net("E1", x_fusion), z1_fusion).mean()
    L += ramp * o.mirror * terms["L_mirror"]
  if o.adversary:
    a, twice = np.split(net("a", np.concatenate([mean, z1])), ends[1], 1), np.split(np.concatenate([f, f]), ends[1], 1)
    terms["L_a"] = sum(
      weight * (((a_part - f_part) ** 2).sum(1) if kind == "gaussian" else -log_density(kind, a_part, f_part)).mean()
      for weight, kind, a_part, f_part in zip([1.0, 0.5, 3.0, 2.0], kinds, a, twice)
    )
    L -= ramp * o.adversary * terms["L_a"]
  if o.cycle:
    cycled = [gaussian(net("E1", sigmoid(G(e_prior, z))))[0] for z in (z2, z2_partner)]
    terms["L_cycle"] = np.abs(cycled[0] - cycled[1]).sum(1).mean()
    L += ramp * o.cycle * terms["L_cycle"]
  return terms | {"L": L}


E2 = {"E2/halves", "E2/top"}


EG = {"E1", "G"} | E2
