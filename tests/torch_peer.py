"""The training step of `--mode=bench` in PyTorch, to be timed beside ours: what a good user of PyTorch would write.

  tfdisent --mode=bench --gin_param="bench.preset = 'avatars'" \\
    --peer="TORCH_PYTHON tests/torch_peer.py --preset=avatars"

TORCH_PYTHON is the Python of an environment with `pip install torch numpy`, which this project does not need. The
networks are those of `tfdisent.benchmark.presets`, of 64x64 pixels, weight for weight (`--describe` counts them). One
forward pass serves both optimizers, images lie with their channels last, `torch.compile` compiles the losses, Adam is
the fused one, and `--bf16` computes in bfloat16 where autocast does. It ends with a line of JSON with `images_per_s`.
"""

import argparse
import itertools
import json
import math
import time

import torch
from torch import nn
from torch.nn import functional as F

Z2, HALF = 10, 0.5**0.5
PRESETS = {
  "plain64": {
    "family": "plain",
    "batch": 64,
    "z1": 16,
    "conv": (32, 64, 128),
    "g_conv": (128, 64, 32),
    "dense": {"E1": 128, "G": 128, "q": 128, "D": 128},
  },
  "residual64": {
    "family": "residual",
    "batch": 64,
    "z1": 16,
    "conv": (32, 64, 128),
    "g_conv": (128, 64, 32, 32),
    "dense": {"E1": 256, "G": 256, "q": 256, "D": 256},
  },
  "avatars": {
    "family": "modulated",
    "batch": 32,
    "z1": 64,
    "conv": (32, 48, 64, 64),
    "g_conv": (64, 64, 48, 32, 32),
    "dense": {"E1": 128, "G": 128, "q": 64, "D": 128},
  },
}
SIZE = 64


class Trunk(nn.Module):
  """Convolutions of an image [B, 3, H, W] and a dense layer, where a code [B, C] may join; gives its units."""

  def __init__(self, preset, units, code=0):
    super().__init__()
    conv, self.residual = preset["conv"], preset["family"] == "residual"
    self.act = F.relu if preset["family"] == "plain" else leaky
    self.conv = nn.ModuleList(nn.Conv2d(i, o, 4, 2, 1) for i, o in itertools.pairwise((3, *conv)))
    self.res = nn.ModuleList(nn.Conv2d(c, c, 3, 1, 1) for c in conv if self.residual)
    side = SIZE // 2 ** len(conv)
    self.dense = nn.Linear(side * side * conv[-1] + code, units)

  def forward(self, h, code=None):
    for i, layer in enumerate(self.conv):
      h = self.act(layer(h))
      if self.residual:
        h = HALF * (h + self.act(self.res[i](h)))
    h = h.flatten(1)
    return self.act(self.dense(h if code is None else torch.cat([h, code], 1)))


class Reader(nn.Module):
  """E1, q, and the D of the family plain."""

  def __init__(self, preset, units, outputs, code=0):
    super().__init__()
    self.trunk, self.out = Trunk(preset, units, code), nn.Linear(units, outputs)

  def forward(self, x, code=None):
    return self.out(self.trunk(x, code))


class Projection(nn.Module):
  """The D of the other families: w · h + ⟨V z2, h⟩."""

  def __init__(self, preset, units):
    super().__init__()
    self.trunk, self.out = Trunk(preset, units), nn.Linear(units, 1)
    self.projection = nn.Linear(Z2, units, bias=False)

  def forward(self, x, z2):
    h = self.trunk(x)
    return self.out(h) + (self.projection(z2) * h).sum(1, keepdim=True)


class PlainGenerator(nn.Module):
  def __init__(self, preset):
    super().__init__()
    conv, units, self.side = preset["g_conv"], preset["dense"]["G"], SIZE // 2 ** len(preset["g_conv"])
    self.dense = nn.Linear(preset["z1"] + Z2, units)
    self.expand = nn.Linear(units, self.side**2 * conv[0])
    self.up = nn.ModuleList(nn.ConvTranspose2d(i, o, 4, 2, 1) for i, o in itertools.pairwise((*conv, 3)))

  def forward(self, z):
    h = F.relu(self.expand(F.relu(self.dense(z)))).view(len(z), -1, self.side, self.side)
    h = h.contiguous(memory_format=torch.channels_last)
    for layer in self.up[:-1]:
      h = F.relu(layer(h))
    return torch.sigmoid(self.up[-1](h).float())


class UpConvolution(nn.Module):
  """A 3x3 convolution of the image of twice the size, as the transposed 4x4 convolution that is the same function."""

  def __init__(self, inputs, outputs):
    super().__init__()
    bound = math.sqrt(6 / (9 * (inputs + outputs)))
    self.weight = nn.Parameter(torch.empty(inputs, outputs, 3, 3).uniform_(-bound, bound))

  def forward(self, h):
    w = F.pad(self.weight, (1, 1, 1, 1))
    w = w[:, :, 1:, 1:] + w[:, :, :-1, 1:] + w[:, :, 1:, :-1] + w[:, :, :-1, :-1]
    return F.conv_transpose2d(h, w, stride=2, padding=1)


class ModulatedGenerator(nn.Module):
  def __init__(self, preset):
    super().__init__()
    conv, units, codes = preset["g_conv"], preset["dense"]["G"], preset["z1"] + Z2
    self.side, self.residual = SIZE // 2 ** (len(conv) - 1), preset["family"] == "residual"
    self.dense, self.expand = nn.Linear(codes, units), nn.Linear(units, self.side**2 * conv[0])
    self.up = nn.ModuleList(itertools.starmap(UpConvolution, itertools.pairwise(conv)))
    self.style = nn.ModuleList(nn.Linear(codes, 2 * c) for c in conv[1:])
    self.res = nn.ModuleList(nn.Conv2d(c, c, 3, 1, 1, bias=False) for c in conv[1:] if self.residual)
    self.res_style = nn.ModuleList(nn.Linear(codes, 2 * c) for c in conv[1:] if self.residual)
    self.out = nn.Conv2d(conv[-1], 3, 3, 1, 1)

  def forward(self, z):
    h = leaky(self.expand(leaky(self.dense(z)))).view(len(z), -1, self.side, self.side)
    h = h.contiguous(memory_format=torch.channels_last)
    for i, layer in enumerate(self.up):
      h = modulated(layer(h), self.style[i](z))
      if self.residual:
        h = HALF * (h + modulated(self.res[i](h), self.res_style[i](z)))
    return torch.sigmoid(self.out(h).float())


def leaky(h):
  return F.leaky_relu(h, 0.2)


def modulated(h, style):
  gamma, beta = style[:, :, None, None].chunk(2, 1)
  return leaky((1 + gamma) * h + beta)


class Model(nn.Module):
  def __init__(self, preset):
    super().__init__()
    plain, units, z1 = preset["family"] == "plain", preset["dense"], preset["z1"]
    self.E1 = Reader(preset, units["E1"], 2 * z1)
    self.G = (PlainGenerator if plain else ModulatedGenerator)(preset)
    self.q = Reader(preset, units["q"], Z2, z1)
    self.D = Reader(preset, units["D"], 1, Z2) if plain else Projection(preset, units["D"])


def losses(model, x, z2, z2_partner):
  """L of E1, G and q, and L_D of D, by one forward pass."""
  mean, log_scale = model.E1(x).float().chunk(2, 1)
  scale = log_scale.exp()
  z1 = mean + scale * torch.randn_like(mean)
  both = model.G(torch.cat([torch.cat([z1, z2], 1), torch.cat([z1, z2_partner], 1)]))
  rec, fusion = both.chunk(2)
  loss = (x - rec).square().flatten(1).sum(1).mean() + (0.5 * (mean**2 + scale**2 - 1) - log_scale).sum(1).mean()
  loss = loss + F.cross_entropy(model.q(fusion, z1).float(), z2_partner.argmax(1))
  # One call each: the gradient of L_GAN then skips the real half, as in ours.
  real, fake = model.D(rec, z2).float(), model.D(fusion, z2_partner).float()
  return loss + F.softplus(-fake).mean(), F.softplus(-real).mean() + F.softplus(fake).mean()


def main():
  parser = argparse.ArgumentParser()
  parser.add_argument("--preset", choices=PRESETS, default="avatars")
  parser.add_argument("--batch", type=int)
  parser.add_argument("--steps", type=int, default=50)
  parser.add_argument("--warmup", type=int, default=10)
  parser.add_argument("--bf16", action="store_true")
  parser.add_argument("--no-compile", action="store_true")
  parser.add_argument("--describe", action="store_true", help="tell the number of weights of each network")
  given = parser.parse_args()
  preset = PRESETS[given.preset]
  batch = given.batch or preset["batch"]
  torch.manual_seed(0)
  model = Model(preset).to(memory_format=torch.channels_last)
  if given.describe:
    print(json.dumps({name: sum(p.numel() for p in net.parameters()) for name, net in model.named_children()}))
    return
  of_g = [p for network in (model.E1, model.G, model.q) for p in network.parameters()]
  of_d = list(model.D.parameters())
  optimizers = (
    (torch.optim.Adam(of_g, 1e-3, fused=True), of_g),
    (torch.optim.Adam(of_d, 2e-4, betas=(0.5, 0.999), fused=True), of_d),
  )
  images = torch.randint(0, 256, (10_000, 3, SIZE, SIZE), dtype=torch.uint8)
  images, labels = images.contiguous(memory_format=torch.channels_last), torch.randint(0, Z2, (10_000,))
  compiled = losses if given.no_compile else torch.compile(losses)

  def step():
    rows = torch.randint(0, len(images), (batch,))
    x, z2 = images[rows].float() / 255, F.one_hot(labels[rows], Z2).float()
    with torch.autocast("cpu", torch.bfloat16, enabled=given.bf16):
      loss, loss_d = compiled(model, x, z2, z2.roll(1, 0))
    gradients_d = torch.autograd.grad(loss_d, of_d, retain_graph=True)
    gradients = torch.autograd.grad(loss, of_g)
    for (optimizer, weights), of_weights in zip(optimizers, (gradients, gradients_d)):
      for weight, gradient in zip(weights, of_weights):
        weight.grad = gradient
      optimizer.step()
    return loss

  for _ in range(given.warmup):
    step()
  start = time.perf_counter()
  for _ in range(given.steps):
    loss = step()
  seconds = time.perf_counter() - start
  told = {"peer": f"torch {torch.__version__}", "preset": given.preset, "bf16": given.bf16, "batch": batch}
  print(json.dumps({**told, "loss": round(loss.item(), 2), "images_per_s": round(batch * given.steps / seconds, 1)}))


if __name__ == "__main__":
  main()
