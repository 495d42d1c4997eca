"""Python code in processes that are forked from one that has imported TensorFlow, which saves each of them 4 seconds.

That one has executed nothing of TensorFlow, and imported nothing of this project. So a fork is as good as a new process
for all that does not test the order of imports, or how a program starts and ends.
"""

import gc
import multiprocessing
import os
import pathlib
import sys
import threading
from multiprocessing.connection import Connection

ROOT = pathlib.Path(__file__).parent.parent

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(
  [
    "tensorflow",
    "keras",
    "tensorflow_probability",
    "tensorflow_datasets",
    "tensorboard.backend.event_processing.event_accumulator",
    "gin",
    "sklearn.ensemble",
    "pytest",
  ]
)


class Fork:
  """`python -c CODE ARGUMENTS`, from the root of the repository, in a fork.

  Args:
    environment: variables besides those of the tests.
    is_merged: whether `output` has what is written to stderr, too. Otherwise it goes where that of the tests goes.

  Attributes:
    output: a file of what it prints.
  """

  def __init__(self, code: str, *arguments: str, environment: dict | None = None, is_merged: bool = False):
    reader, writer = _FORKS.Pipe(duplex=False)
    errors = Connection(os.dup(1 if is_merged else 2), readable=False)
    streams = writer, (writer if is_merged else errors)
    self._process = _FORKS.Process(target=_run, args=(code, arguments, {**os.environ, **(environment or {})}, streams))
    self._process.start()
    for connection in (writer, errors):
      connection.close()
    self.output = open(os.dup(reader.fileno()), encoding="utf-8")  # noqa: SIM115

  @property
  def pid(self) -> int:
    return self._process.pid

  def end(self, seconds: float) -> tuple[int, str]:
    """The exit code, minus a signal's number, and what is left of the output; it is killed after so many seconds."""
    clock = threading.Timer(seconds, self.kill)
    clock.start()
    rest = self.output.read()
    self._process.join()
    clock.cancel()
    return self._process.exitcode, rest

  def kill(self) -> None:
    """Kills the process if it runs."""
    self._process.kill()


def in_fork(code: str) -> str:
  """What Python code prints in a fork."""
  returned, printed = Fork(code).end(600)
  assert returned == 0, printed
  return printed


def _run(code, arguments, environment, streams):
  os.environ.clear()
  os.environ.update(environment)
  for number, stream in enumerate(streams, 1):
    os.dup2(stream.fileno(), number)
  sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", 1, closefd=False)  # noqa: SIM115
  os.chdir(ROOT)
  gc.freeze()  # see `pytest_collection_finish`
  gc.set_threshold(50_000, 20, 100)
  sys.argv = ["-c", *arguments]
  exec(compile(code, "<code of a test>", "exec"), {"__name__": "__main__"})
