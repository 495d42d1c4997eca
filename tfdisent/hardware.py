"""What a training has to know of the machine that it runs on: its allocator of memory, and its arithmetic."""

import ctypes
import functools
import math
import os
import pathlib
import platform
import sys
from collections.abc import Sequence

TRIM_THRESHOLD, TOP_PAD, MMAP_THRESHOLD = -1, -2, -3
"""The parameters of `mallopt`, as <malloc.h> numbers them."""
SETTINGS = {MMAP_THRESHOLD: 32 << 20, TRIM_THRESHOLD: 2**31 - 1, TOP_PAD: 64 << 20}
"""In bytes: the largest that glibc takes, the largest number of its type, and a whole heap of a thread."""


def keep_freed_memory() -> bool:
  """Has this process keep the memory that it frees, up to 2 GB, in place of giving it back to the system at once.

  A step of training frees all of its tensors and asks for the same sizes again. glibc gives large ones back, so that
  each page of them is asked for, and cleared, in every step: up to half of its time where a virtual machine is slow at
  that. The numbers of a step are the same.

  Nothing is done where there is no glibc, or where the environment sets its allocator already (`MALLOC_…`,
  `GLIBC_TUNABLES`; a library of `LD_PRELOAD` such as tcmalloc has an allocator of its own).

  Returns:
    Whether it was set.
  """
  if sys.platform != "linux" or any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ):
    return False
  mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
  return mallopt is not None and all(mallopt(parameter, value) for parameter, value in SETTINGS.items())


ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
"""TensorFlow's variable of the environment: "1" or "0"."""


def use_onednn() -> bool:
  """Has TensorFlow compute with oneDNN on every x86 processor: `tfdisent` does so as it is imported.

  By itself TensorFlow uses oneDNN's kernels only on processors with AVX-512 VNNI or later. With AVX2 alone a step was
  1.2 to 1.6 times as fast with them, the more so the larger the images are (training/README.md). TensorFlow reads the
  variable once, as it is loaded: it has to be set before, and a value that the environment has stays.

  Returns:
    Whether it was set.
  """
  if platform.machine().lower() not in ("x86_64", "amd64") or ONEDNN in os.environ or "tensorflow" in sys.modules:
    return False
  os.environ[ONEDNN] = "1"
  return True


def has_accelerator() -> bool:
  """Whether TensorFlow sees another device than processors."""
  import tensorflow as tf

  return any(device.device_type != "CPU" for device in tf.config.list_physical_devices())


BFLOAT16_INSTRUCTIONS = {"avx512_bf16", "amx_bf16"}
"""As Linux names them."""
CPUINFO = pathlib.Path("/proc/cpuinfo")


@functools.cache
def has_bfloat16() -> bool:
  """Whether this machine has instructions for bfloat16, by what its system says of the processor.

  Without them, gradients of convolutions took 13 to 15 times as long as in float32 (AMD EPYC with AVX2 alone), and so
  did what is computed like them, the transposed convolutions of G; other convolutions took no longer. An accelerator is
  taken to have them. Where the system does not tell, the answer is no: float32 is never much slower.
  """
  if has_accelerator():
    return True
  try:
    instructions = CPUINFO.read_text(encoding="utf-8", errors="replace").split()
  except OSError:  # of another system than Linux
    return False
  return not BFLOAT16_INSTRUCTIONS.isdisjoint(instructions)


def batch_size_for(image_shape: Sequence[int]) -> int:
  """How many images (H, W, C) one call of the networks takes: 167 of 28x28 pixels, 32 of 64x64; 500 on an accelerator.

  Feature maps of more leave the caches of a processor: it reconstructed digits at 5,400 images/s in calls of 500, and
  at 6,300 in calls of 128 to 250; avatars at 350 in calls of 64 to 500, and at 460 in calls of 32 (one core of an Intel
  Xeon with AMX, a training on the same core).
  """
  return 500 if has_accelerator() else max(1, 2**17 // math.prod(image_shape[:2]))
