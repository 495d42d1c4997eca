"""What is freed is there for the next step, and what is slow here is known."""

import ctypes
import json
import os
import platform
import subprocess
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
faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(json.dumps([kept, faults / 10, {name: float(value) for name, value in step(batch).items()}]))
"""


@pytest.fixture(autouse=True)
def allocator_of_the_system(monkeypatch):
  for name in [name for name in os.environ if name.startswith("MALLOC_") or name == "GLIBC_TUNABLES"]:
    monkeypatch.delenv(name)


def faults(*arguments: str) -> tuple[bool, float, dict[str, float]]:
  """Whether memory is kept, the pages that a step asks for, and the terms of the last step."""
  returned, printed = Fork(FAULTS_OF_A_STEP, *arguments).end(120)
  assert returned == 0, printed
  return tuple(json.loads(printed))


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator of other systems is not set")
def test_a_step_asks_for_hardly_a_page_that_the_one_before_it_had():
  """Without it that is thousands, where tensors come from the heaps of several threads."""
  (_, _, terms), (is_set, kept, same) = faults(), faults("kept")
  assert is_set and kept < 500 and same == terms


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


ONEDNN = """
import os, platform, sys
platform.machine = lambda: sys.argv[1]
if "late" in sys.argv:
  sys.modules["tensorflow"] = None
import tfdisent
print(os.environ.get("TF_ENABLE_ONEDNN_OPTS"))
"""


@pytest.mark.parametrize(
  ("value", "arguments", "expected"),
  [
    (None, ["x86_64"], "1"),
    (None, ["AMD64"], "1"),
    ("0", ["x86_64"], "0"),
    (None, ["aarch64"], "None"),
    (None, ["x86_64", "late"], "None"),
  ],
)
def test_onednn_is_asked_for_before_tensorflow_is_there(value, arguments, expected):
  environment = {name: text for name, text in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
  environment |= {} if value is None else {"TF_ENABLE_ONEDNN_OPTS": value}
  command = [sys.executable, "-c", ONEDNN, *arguments]
  assert subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.strip() == expected


@pytest.mark.skipif(platform.machine().lower() not in ("x86_64", "amd64"), reason="oneDNN is for x86 processors")
def test_tensorflow_computes_with_onednn():
  """On every x86 processor: the tests ask for it as `import tfdisent` does."""
  if os.environ["TF_ENABLE_ONEDNN_OPTS"] != "1":
    pytest.skip("the environment says otherwise")
  from tensorflow.python.util import _pywrap_util_port

  assert _pywrap_util_port.IsMklEnabled()


@pytest.mark.parametrize(
  ("device", "instructions", "expected"),
  [
    ("CPU", "fma avx2 avx512f avx512_bf16", True),
    ("CPU", "amx_bf16", True),
    ("CPU", "fma avx2 avx512f", False),
    ("CPU", None, False),
    ("GPU", "fma avx2", True),
  ],
)
def test_bfloat16_is_what_the_system_says_of_the_processor(device, instructions, expected, monkeypatch, tmp_path):
  if instructions is not None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {instructions}\n", encoding="utf-8")
  monkeypatch.setattr(hardware, "CPUINFO", tmp_path / "cpuinfo")
  monkeypatch.setattr(tf.config, "list_physical_devices", lambda: [types.SimpleNamespace(device_type=device)])
  assert hardware.has_bfloat16.__wrapped__() == expected
