"""Signals that ask a training to stop."""

import signal
import threading

import pytest

from tfdisent.training import signals

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def handlers():
  return tuple(map(signal.getsignal, SIGNALS))


def test_outside_of_the_main_thread_signals_are_somebody_elses():
  before, seen = handlers(), []

  def look():
    with signals.noting_signals() as has_come:
      seen.append((has_come(), handlers()))

  thread = threading.Thread(target=look)
  thread.start()
  thread.join()
  assert seen == [(False, before)]


@pytest.fixture
def hears_ctrl_c():
  """The tests may run in the background, where a shell has SIGINT ignored, or under `nohup`."""
  before = [signal.signal(signal.SIGINT, signal.default_int_handler), signal.signal(signal.SIGHUP, signal.SIG_DFL)]
  yield
  signal.signal(signal.SIGINT, before[0])
  signal.signal(signal.SIGHUP, before[1])


@pytest.mark.usefixtures("hears_ctrl_c")
@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_the_second_does_what_it_did_before(number, capsys):
  before = handlers()
  with signals.noting_signals() as has_come:
    assert not has_come()
    signal.raise_signal(number)
    assert has_come() and handlers() == before
    assert capsys.readouterr().err.count("Ctrl-C once more stops at once") == (number == signal.SIGINT)
    if number == signal.SIGINT:
      with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(number)
  assert handlers() == before


def test_a_ctrl_c_that_is_ignored_stays_so():
  """As for what a script runs in the background, while the Ctrl-C is for what it runs in the foreground."""
  before = signal.signal(signal.SIGINT, signal.SIG_IGN)
  try:
    with signals.noting_signals() as has_come:
      signal.raise_signal(signal.SIGINT)
      assert not has_come()
  finally:
    signal.signal(signal.SIGINT, before)
