"""Lines on terminals that cannot show them, and on terminals that are gone."""

import io

import pytest

from tfdisent.console import say


class Closed(io.StringIO):
  def write(self, text):
    raise OSError("Input/output error")


@pytest.mark.parametrize(("encoding", "shown"), [("utf-8", "x̂ é …\n"), ("latin-1", "x? é ?\n"), ("ascii", "x? ? ?\n")])
def test_signs_that_a_terminal_lacks_become_question_marks(encoding, shown):
  terminal = io.TextIOWrapper(io.BytesIO(), encoding)
  say("x̂ é …", file=terminal)
  assert terminal.buffer.getvalue().decode(encoding) == shown


def test_a_terminal_that_is_gone_stops_nothing():
  say("Epoch 1/3", file=Closed())


def test_a_line_goes_to_the_output_of_now(capsys):
  say("a", end="")
  say("b")
  assert capsys.readouterr().out == "ab\n"
