"""Paths with a home, without one, and with signs that a shell reads."""

import pathlib
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfdisent.errors import ConfigError
from tfdisent.paths import expanded, quoted


def test_the_home_is_that_of_the_user(monkeypatch):
  monkeypatch.setenv("HOME", "/home/någon")
  assert expanded("~/runs/a") == pathlib.Path("/home/någon/runs/a")
  assert expanded(pathlib.Path("runs/~")) == pathlib.Path("runs/~")


def test_where_there_is_no_home_a_line_says_so(monkeypatch):
  def unknown(path):
    raise RuntimeError("Could not determine home directory.")

  monkeypatch.setattr(pathlib.Path, "expanduser", unknown)
  with pytest.raises(ConfigError, match=r"~/a: there is no home folder for '~'\. Set HOME, or write the whole path"):
    expanded("~/a")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_a_shell_reads_a_quoted_path_as_it_is(path):
  assert shlex.split(f"tfdisent --run_dir={quoted(path)}")[1:] == [f"--run_dir={path}"]
