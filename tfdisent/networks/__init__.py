"""The networks of a model, in families: which Keras model stands for each symbol of the paper.

| symbol | paper          | is called with                 | gives                                 |
|--------|----------------|--------------------------------|---------------------------------------|
| `E1`   | q(z1 \\| x)     | x [B, H, W, C]                 | parameters of q [B, outputs]          |
| `E2`   | q(z2 \\| f(x))  | f(x) [B, width]                | parameters of q [B, outputs]          |
| `G`    | G(z1, z2)      | z1 [B, Z1], z2 [B, Z2]         | logits of x' or x̂ [B, H, W, C]        |
| `q`    | q(z̃2 \\| z1, x̂) | z1 [B, Z1], x̂ [B, H, W, C]     | parameters of q [B, outputs]          |
| `D`    | D(z2, x')      | z2 [B, Z2], x' [B, H, W, C]    | logits [B]                            |
| `a`    | a(f(x) \\| z1)  | z1 [B, Z1]                     | parameters of a [B, outputs]          |
| `f`    | a learned f    | x [B, H, W, C]                 | f(x), or its logits [B, outputs]      |

Images are float32 in [0, 1]. Whatever a network computes in, it gives float32, so that the losses are float32.

A family is one function that makes the network of a symbol, registered in a file of its own:

    @tfdisent.register_networks("mine")
    def mine(symbol, image_shape, outputs, dtype=None, name=None, **arguments) -> keras.Model:

`model.networks = 'mine'` in a gin file takes it for all networks of a model, `model.G = {'family': 'mine'}` for one.
`tfdisent.testing.check_networks` tests a family.
"""

import re
from collections.abc import Mapping, Sequence

import keras

from tfdisent.arguments import check as check_arguments  # there is a module `check` beside this one
from tfdisent.errors import ConfigError, shown
from tfdisent.networks import dense as _registers_dense  # noqa: F401
from tfdisent.networks import modulated as _registers_modulated  # noqa: F401
from tfdisent.networks import plain as _registers_plain  # noqa: F401
from tfdisent.networks import residual as _registers_residual  # noqa: F401
from tfdisent.registry import NETWORKS

Family = str | Mapping
"""The name of a family, or what `describe` says of one."""


def make(
  symbol: str,
  image_shape: Sequence[int],
  outputs: int,
  arguments: Mapping | None = None,
  family: Family = "plain",
  dtype: str | None = None,
) -> keras.Model:
  """The network of a symbol. Its weights are built when it is called for the first time.

  Args:
    symbol: of the table above; "E2/color" is the E2 of the part "color".
    image_shape: (H, W, C).
    outputs: numbers that it gives for an example; G and D do not read it.
    arguments: of the family; "family" among them goes before `family`.
    family: which family makes the network, unless `arguments` says otherwise.
    dtype: Keras's policy, "float32" or "mixed_bfloat16".

  Raises:
    RegistryError: there is no such family.
    ConfigError: the family cannot take the arguments; the message names the symbol.
  """
  if not isinstance(arguments or {}, Mapping):
    raise ConfigError(f"model.{symbol} = {shown(arguments)} must be a dict, as in {{'dense': (128,)}}.")
  arguments = dict(arguments or {})
  make_of_family = NETWORKS.imported(arguments.pop("family", family))
  check_arguments(make_of_family, f"model.{symbol}", arguments)
  try:
    return make_of_family(
      symbol.split("/", maxsplit=1)[0],
      tuple(image_shape),
      outputs,
      dtype=dtype,
      name=re.sub("[^A-Za-z0-9_.>-]", "_", symbol),  # TensorFlow refuses other names: of a column "hair colour"
      **arguments,
    )
  except ConfigError:
    raise
  except (TypeError, ValueError, KeyError) as error:
    raise ConfigError(f"model.{symbol} = {arguments}: {error}") from error


def describe(family: Family) -> dict[str, str]:
  """The name of a family and the module that registers it, as a run folder keeps them."""
  plugin = NETWORKS.imported(family)
  name = family["name"] if isinstance(family, Mapping) else family
  return {"name": name, "module": plugin.__module__}
