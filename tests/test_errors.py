"""Messages of one line, whatever they quote."""

import copy
import pickle

import numpy as np
import pytest

from tfdisent.errors import ConfigError, Interrupted, RunError, TfdisentError, shown

BREAKS = [chr(code) for code in range(0x3000) if len(f"a{chr(code)}b".splitlines()) > 1] + ["\0", "\x1b"]


def test_a_value_is_shown_in_a_short_line():
  assert shown(np.zeros([100, 100])).count("\n") == 0
  assert len(shown("x" * 10_000)) < 130 and len(shown([["x" * 90] * 9] * 9)) <= 120
  assert shown(np.array(ValueError("a"), object)) == "array(ValueError('a'), dtype=object)"
  assert shown({"b": "two  spaces"}) == "{'b': 'two  spaces'}"


@pytest.mark.parametrize("end", BREAKS, ids=ascii)
def test_a_line_break_in_a_name_does_not_end_the_message(end):
  message = str(ConfigError(f"there is no column 'a{end}b'."))
  assert message == f"there is no column {f'a{end}b'!r}." and len(message.splitlines()) == 1


def test_details_stand_below_the_message_and_stay_with_copies():
  error = RunError("two runs of 'a\nb' failed:", "  one\n  two")
  for same in (error, copy.deepcopy(error), pickle.loads(pickle.dumps(error))):
    assert str(same) == "two runs of 'a\\nb' failed:\n  one\n  two"
    assert isinstance(same, RunError)


def test_an_error_without_a_message_is_empty():
  assert str(ConfigError()) == ""


def test_a_training_that_was_stopped_is_caught_as_ctrl_c_and_as_an_error_of_ours():
  assert issubclass(Interrupted, KeyboardInterrupt) and issubclass(Interrupted, TfdisentError)
  assert Interrupted("stopped.")._render_traceback_() == ["Interrupted: stopped."]
