"""The flags of the command, against what the library takes."""

import pytest

from tfdisent import flags
from tfdisent.checkpoints import KINDS
from tfdisent.pictures.samples import WHAT


@pytest.mark.parametrize(
  ("flag", "choices"),
  [(flags.WHAT, WHAT), (flags.CHECKPOINT, KINDS), (flags.SPLIT, ("test", "validation"))],
  ids=lambda value: getattr(value, "name", ""),
)
def test_a_flag_offers_what_the_library_takes(flag, choices):
  parser = flags.flags.FLAGS[flag.name].parser
  assert sorted(parser.enum_values) == sorted(choices)
  assert parser.parse(next(iter(choices))) and flag.default in choices
