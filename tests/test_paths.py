"""Paths with a home, without one, and with signs that a shell reads."""

import pathlib
import pwd
import shlex

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.pose import Rotation
from tfdisent import cache
from tfdisent.data import from_dataframe, from_folder, from_table
from tfdisent.errors import ConfigError
from tfdisent.paths import expanded, quoted


def test_the_home_is_that_of_the_user(monkeypatch):
  monkeypatch.setenv("HOME", "/home/någon")
  assert expanded("~/runs/a") == pathlib.Path("/home/någon/runs/a")
  assert expanded(pathlib.Path("runs/~")) == pathlib.Path("runs/~")


@pytest.mark.parametrize(
  ("what", "words"),
  [
    (lambda: expanded("~/a"), r"^~/a: there is no home folder for '~'\. Set HOME, or write the whole path"),
    (lambda: from_table("~/a/table.csv"), "^~/a/table.csv: there is no home folder"),
    (lambda: from_folder("~/a"), "folder.data_dir = '~/a' is no folder: Could not determine home"),
    (lambda: from_dataframe(None, root="~/a"), "^~/a: there is no home folder"),
    (cache.cache_folder, r"no home folder for the cache .*: set TFDISENT_CACHE to a folder"),
    (lambda: Rotation(fitted="~/a").build((4, 4, 1)), "^~/a: there is no home folder"),
  ],
)
def test_where_there_is_no_home_a_line_says_so(monkeypatch, what, words):
  """As in a container whose user the system does not know."""

  def unknown(number):
    raise KeyError("getpwuid(): uid not found: 12345")

  for name in ("HOME", "TFDISENT_CACHE"):
    monkeypatch.delenv(name, raising=False)
  monkeypatch.setattr(pwd, "getpwuid", unknown)
  with pytest.raises(ConfigError, match=words):
    what()


@pytest.mark.parametrize(
  "address", ["gs://bucket/run", "s3://bucket/run", "hdfs:///run", pathlib.Path("gs://bucket/run")]
)
def test_an_address_is_refused_and_no_folder_is_made_of_it(address, tmp_path, monkeypatch, tfdisent):
  monkeypatch.chdir(tmp_path)
  with pytest.raises(ConfigError, match=rf"^{address} is an address, and it must be a folder of a file system"):
    expanded(address)
  with pytest.raises(ConfigError, match=rf"^{address} is an address"):
    from_folder(address)
  code, _, err = tfdisent("--gin_file=gin_configs/quickstart.gin", f"--run_dir={address}")
  assert code == 1 and "is an address, and it must be a folder" in err and len(err.strip().splitlines()) == 1
  assert not [*tmp_path.iterdir()]


def test_the_home_of_nobody_is_told():
  with pytest.raises(ConfigError, match="~nobody-at-all/a: there is no home folder"):
    expanded("~nobody-at-all/a")


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), min_size=1))
def test_a_shell_reads_a_quoted_path_as_it_is(path):
  assert shlex.split(f"tfdisent --run_dir={quoted(path)}")[1:] == [f"--run_dir={path}"]
