"""Runs pytest on the files of the command line: the `main` of the Bazel tests."""

import sys

import pytest

if __name__ == "__main__":
  sys.exit(pytest.main(sys.argv[1:]))
