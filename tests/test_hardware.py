"""What is freed is there for the next step, and what is slow here is known."""

import ctypes
import json
import pathlib
import sys
import types

import pytest
import tensorflow as tf

from tests.processes import Fork
from tfdisent import hardware
from tfdisent.hardware import keep_freed_memory

FAULTS_OF_A_STEP = """
import json, resource, sys
import tensorflow as tf
from tfdisent.benchmark.presets import Preset, make_model
from tfdisent.hardware import keep_freed_memory

kept = sys.argv[1:] == ["kept"] and keep_freed_memory()
model = make_model(Preset(28, 64), "float32", False)
step = tf.function(model.update, autograph=False)
batch = {
  "image": tf.zeros([64, 28, 28, 3], tf.uint8),
  "position": tf.range(64),
  **{name: tf.one_hot(tf.range(64) % 10, 10) for name in ("feature", "partner")},
}
for _ in range(5):
  step(batch)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
  step(batch)
print(json.dumps([kept, (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / 10]))
"""


def faults(*arguments: str, **environment: str) -> tuple[bool, float]:
  returned, printed = Fork(FAULTS_OF_A_STEP, *arguments, environment=environment).end(120)
  assert returned == 0, printed
  return tuple(json.loads(printed))


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of other systems is not set")
def test_a_step_asks_for_hardly_a_page_that_the_one_before_it_had():
  """Without it that is thousands, where tensors come from the heaps of several threads."""
  is_set, kept = faults("kept")
  assert is_set and kept < 500, faults()


@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_what_the_environment_says_of_the_allocator_stays(name, monkeypatch):
  monkeypatch.setenv(name, "2")
  assert not keep_freed_memory()


def test_where_there_is_no_glibc_nothing_is_done(monkeypatch):
  monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
  assert not keep_freed_memory()
  monkeypatch.setattr(sys, "platform", "darwin")
  monkeypatch.setattr(ctypes, "CDLL", None)
  assert not keep_freed_memory()


CPUINFO = pathlib.Path("/proc/cpuinfo")


@pytest.mark.skipif(not CPUINFO.is_file(), reason="this system does not tell the instructions of its processor")
def test_a_processor_has_bfloat16_where_its_instructions_say_so():
  instructions = set(CPUINFO.read_text(encoding="utf-8").split())
  if instructions & {"avx512_bf16", "amx_bf16"}:
    assert hardware.has_bfloat16()
  elif "avx2" in instructions and "avx512f" not in instructions:
    assert hardware.slowdown_of_bfloat16() > 3 and not hardware.has_bfloat16()


def test_accelerators_are_not_timed(monkeypatch):
  monkeypatch.setattr(tf.config, "list_logical_devices", lambda: [types.SimpleNamespace(device_type="GPU")])
  monkeypatch.setattr(tf.raw_ops, "Conv2DBackpropInput", None)
  assert hardware.slowdown_of_bfloat16.__wrapped__() == 1.0
