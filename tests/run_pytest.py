"""Runs pytest on the files of the command line: the `main` of the Bazel tests."""

import sys

import pytest

if __name__ == "__main__":
  sys.exit(pytest.main(["-n", "0", *sys.argv[1:]]))  # Bazel runs files side by side
