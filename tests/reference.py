"""Writes the API reference, a page of HTML for each module, and fails on a warning:

pip install -e '.[docs]' && python -m tests.reference  # build/reference/index.html
"""

import pathlib
import sys
import warnings

import pdoc

import tfdisent

FOLDER = pathlib.Path(__file__).parent.parent / "build" / "reference"


MODULES = "tfdisent", "tfdisent.data", "tfdisent.evaluation", "tfdisent.networks", "tfdisent.testing", "features"
"""Of each the names that it tells to be public, or all its modules where it tells none."""


def write(folder: pathlib.Path = FOLDER):
  # pdoc looks only at what a package has at once, and these import each name when it is used.
  for package in (tfdisent, tfdisent.data):
    vars(package).update({name: getattr(package, name) for name in package.__all__})
  with warnings.catch_warnings():
    warnings.simplefilter("error", UserWarning)  # of pdoc
    pdoc.render.configure(docformat="google")
    pdoc.pdoc(*MODULES, output_directory=folder)


if __name__ == "__main__":
  write(*map(pathlib.Path, sys.argv[1:]))
