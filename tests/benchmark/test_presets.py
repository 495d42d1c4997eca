"""The networks of the presets, and of their peer in PyTorch."""

import json
import os
import pathlib
import subprocess

import gin
import pytest

from tfdisent import config
from tfdisent.benchmark.presets import PRESETS, make_model, preset_of
from tfdisent.errors import ConfigError

PEER = pathlib.Path(__file__).parent.parent / "torch_peer.py"
WEIGHTS_OF_PEER = {
  "plain64": {"E1": 1218432, "G": 1225699, "q": 1217642, "D": 1215713},
  "avatars": {"E1": 288720, "G": 256515, "q": 211354, "D": 273617},
  "residual64": {"E1": 2464992, "G": 2283619, "q": 2463434, "D": 2459585},
}
"""What `tests/torch_peer.py --describe` says."""


@pytest.mark.parametrize("name", WEIGHTS_OF_PEER)
def test_the_peer_has_the_weights_of_the_preset(name):
  model = make_model(PRESETS[name], "float32", False)
  assert {symbol: network.count_params() for symbol, network in model.networks.items()} == WEIGHTS_OF_PEER[name]


@pytest.mark.parametrize("name", WEIGHTS_OF_PEER)
def test_the_peer_runs(name):
  python = os.environ.get("TFDISENT_TORCH_PYTHON")
  if not python:
    pytest.skip("TFDISENT_TORCH_PYTHON names no Python of an environment with PyTorch")

  def told(*arguments):
    done = subprocess.run([python, str(PEER), f"--preset={name}", *arguments], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout.splitlines()[-1])

  assert told("--describe") == WEIGHTS_OF_PEER[name]
  few = ("--no-compile", "--batch=2", "--steps=2", "--warmup=1")
  assert told(*few)["images_per_s"] > 0 and told(*few, "--bf16")["bf16"]


@pytest.fixture
def forget():
  yield
  gin.clear_config()


def test_the_networks_of_avatars_are_those_of_its_configuration(forget):
  config.read(["gin_configs/avatars_small.gin"])
  bound = gin.get_bindings("tfdisent.model")
  assert bound["networks"] == PRESETS["avatars"].networks
  assert {name: bound[name] for name in PRESETS["avatars"].model} == PRESETS["avatars"].model
  assert gin.get_bindings("tfdisent.train")["batch_size"] == PRESETS["avatars"].batch_size


def test_a_preset_is_changed_or_refused():
  assert preset_of("plain64", batch_size=8, image_size=None) == PRESETS["plain64"].__class__(64, 8)
  assert preset_of("avatars", networks="plain").model == {}
  with pytest.raises(ConfigError, match=r"bench\.preset = 'big': choose one of 'reference'"):
    preset_of("big")
