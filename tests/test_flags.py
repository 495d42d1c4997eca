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


def test_a_flag_is_called_as_in_the_code():
  holders = {name: value for name, value in vars(flags).items() if isinstance(value, flags.flags.FlagHolder)}
  assert holders.keys() > {"MODE", "HOST"}
  assert {name: value.name for name, value in holders.items()} == {name: name.lower() for name in holders}
