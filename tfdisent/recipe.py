"""What `tfdisent.train` trains with: what the caller gives, and a preset where nothing is given.

recipe = complete(dataset, ["smile"], model={"z1_width": 8}, learning_rate=5e-4)
recipe.make_model(dataset.image_shape, recipe.feature, seed=0)
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras

from tfdisent.data.dataset import Dataset
from tfdisent.errors import ConfigError, shown
from tfdisent.feature.choose import choose
from tfdisent.feature.contract import Feature
from tfdisent.feature.naming import unknown
from tfdisent.model.objective import Objective
from tfdisent.model.vae import DisentangledVAE
from tfdisent.networks import Family
from tfdisent.presets import AUTO, Preset, preset
from tfdisent.registry import tuples_for_lists
from tfdisent.training.optimizers import make_optimizer, make_optimizer_of_d

Maker = Callable[[int], keras.optimizers.Optimizer]
"""Makes an optimizer, from the number of steps of the whole training."""
OptimizerLike = str | Mapping[str, Any] | keras.optimizers.Optimizer
"""An optimizer of Keras, its name, or arguments of `tfdisent.training.optimizers.make_optimizer`."""

TRAINING = {"epochs": 10, "batch_size": 128, "evaluate_every": 5, "measurements": ()}
"""Of a training without a preset: see `tfdisent.train`."""


@dataclasses.dataclass(frozen=True)
class Recipe:
  """All that a training needs besides its data.

  Attributes:
    feature: f.
    preset: what stands where the caller gave nothing; None if there is none.
    make_model: makes the model, from (image_shape, feature, seed=…).
    make_optimizer_eg: of E1, E2, G, q and a.
    make_optimizer_d: of D.
    epochs, batch_size, evaluate_every, measurements: of `tfdisent.train`.
    bindings: all arguments by the names that a configuration has for them; None where `make_model` was given.
  """

  feature: Feature
  preset: Preset | None
  make_model: Callable[..., DisentangledVAE]
  make_optimizer_eg: Maker
  make_optimizer_d: Maker
  epochs: int
  batch_size: int
  evaluate_every: int
  measurements: Sequence[str]
  bindings: Mapping[str, Any] | None

  def check_callbacks(self, callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Raises `ConfigError` if a callback sets the learning rate, and that follows a schedule."""
    setters = (keras.callbacks.ReduceLROnPlateau, keras.callbacks.LearningRateScheduler)
    setter = next((callback for callback in callbacks if isinstance(callback, setters)), None)
    if setter and isinstance(self.make_optimizer_eg(1).get_config()["learning_rate"], Mapping):
      raise ConfigError(
        f"{type(setter).__name__} sets the learning rate, which follows a schedule: give train "
        "optimizer={'decay': None} for a constant one."
      )

  def config(self, **training) -> str:
    """The arguments as a text in gin's language, with those of `training`; the data set has to be added."""
    if self.bindings is None:
      return ""
    training |= {"evaluate_every": self.evaluate_every, "measurements": tuple(self.measurements)}
    lines = tuples_for_lists({**self.bindings, **_named("train", training)})
    return "".join(f"{name} = {value!r}\n" for name, value in sorted(lines.items()))


def complete(
  dataset: Dataset,
  features: Feature | str | Sequence[str],
  preset_name: str | None = None,
  objective: Objective | Mapping[str, Any] | None = None,
  networks: Family | None = None,
  model: Mapping[str, Any] | None = None,
  optimizer: OptimizerLike | None = None,
  optimizer_d: OptimizerLike | None = None,
  learning_rate: float | None = None,
  epochs: int | None = None,
  batch_size: int | None = None,
  evaluate_every: int | None = None,
  measurements: Sequence[str] | None = None,
  make_model: Callable[..., DisentangledVAE] | None = None,
  make_optimizer_eg: Maker | None = None,
  make_optimizer_d: Maker | None = None,
) -> Recipe:
  """The recipe of some arguments of `tfdisent.train`, which has their meaning.

  Raises:
    ConfigError: a name is unknown, or the same thing is given twice.
  """
  _refuse_twice("make_model", make_model, preset=preset_name, objective=objective, networks=networks, model=model)
  _refuse_twice("make_optimizer_eg", make_optimizer_eg, optimizer=optimizer, learning_rate=learning_rate)
  _refuse_twice("make_optimizer_d", make_optimizer_d, optimizer_d=optimizer_d)
  feature = choose(features, dataset).of_dataset(dataset)
  is_plain = make_model is not None or isinstance(objective, Objective)
  chosen = None if is_plain and preset_name is None else preset(preset_name or AUTO, dataset, feature)
  bindings = _of_feature(features)
  if chosen and not isinstance(features, Feature):
    feature = chosen.weighted(feature)
    bindings |= {f"composite.{name}": value for name, value in chosen.composite.items()}
  base = chosen or Preset("", "")
  training = {
    "epochs": epochs,
    "batch_size": batch_size,
    "evaluate_every": evaluate_every,
    "measurements": measurements,
  }

  if make_model is None:
    if not isinstance(objective, Objective):
      objective = Objective(**_merged("objective", Objective, base.objective, objective))
    of_model = _merged("model", DisentangledVAE, base.model, model, _NOT_OF_MODEL)
    of_model |= {} if networks is None else {"networks": networks}
    make_model = functools.partial(DisentangledVAE, objective=objective, **of_model)
    bindings |= _named("objective", objective.get_config())
    bindings |= _named("model", {"networks": "plain", **_defaults(DisentangledVAE, _NOT_OF_MODEL), **of_model})
  else:
    bindings = None
  make_eg, of_eg = _optimizer("optimizer", make_optimizer, base.optimizer, optimizer, learning_rate)
  make_d, of_d = _optimizer("optimizer_d", make_optimizer_of_d, base.optimizer_d, optimizer_d)
  if bindings is not None and make_optimizer_eg is None and make_optimizer_d is None:
    bindings |= _named("optimizer", of_eg) | _named("optimizer_d", of_d)
  return Recipe(
    feature,
    chosen,
    make_model,
    make_optimizer_eg or make_eg,
    make_optimizer_d or make_d,
    **{**TRAINING, **base.training, **{name: value for name, value in training.items() if value is not None}},
    bindings=bindings,
  )


def _refuse_twice(name: str, maker: Callable | None, **instead) -> None:
  """Raises `ConfigError` if a maker is given, and besides it what decides the same."""
  twice = [argument for argument, value in instead.items() if value is not None]
  if maker is not None and twice:
    raise ConfigError(f"{twice[0]} is given besides {name}, which decides the same: give one of them.")


_NOT_OF_MODEL = ("image_shape", "feature", "objective", "seed", "networks")
"""Arguments of a model that `tfdisent.train` has itself, or takes from the data set."""


def _of_feature(features: Feature | str | Sequence[str]) -> dict[str, Any]:
  """The bindings of a feature, or of the names of columns that it is chosen by."""
  if not isinstance(features, Feature):
    return {"train.feature": features if isinstance(features, str) else tuple(features)}
  described = features.get_config()
  return {"train.feature": described["name"], **_named(described["name"], described["arguments"])}


def _optimizer(
  name: str, make: Callable, base: Mapping[str, Any], given: OptimizerLike | None, learning_rate: float | None = None
) -> tuple[Maker, dict[str, Any]]:
  """What makes an optimizer, and its arguments. One that is given is copied, since a training needs a new one."""
  rate = {} if learning_rate is None else {"learning_rate": learning_rate}
  if isinstance(given, keras.optimizers.Optimizer):
    if rate:
      raise ConfigError("learning_rate goes with the name of an optimizer: give the rate to the optimizer itself.")
    config = given.get_config()
    return lambda steps: type(given).from_config(config), {"algorithm": type(given).__name__, "arguments": config}
  given = {"algorithm": given, "arguments": None} if isinstance(given, str) else dict(given or {})
  if rate and "learning_rate" in given:
    raise ConfigError(f"learning_rate is given besides {name}['learning_rate']: give one of them.")
  arguments = _merged(name, make, base, {**given, **rate}, ("steps",))
  return functools.partial(make, **arguments), _defaults(make, ("steps",)) | arguments


def _merged(
  name: str, function: Callable, base: Mapping[str, Any], given: Mapping[str, Any] | None, others: Sequence[str] = ()
) -> dict[str, Any]:
  """Arguments of a function: those that are given, before those of `base`.

  Raises:
    ConfigError: the function has no such argument, or it is one of `others`, which are given elsewhere.
  """
  if not isinstance(given or {}, Mapping):
    raise ConfigError(f"{name} = {shown(given)} must be a dict of its arguments.")
  known = [argument for argument in inspect.signature(function).parameters if argument not in others]
  if wrong := next((argument for argument in given or {} if argument not in known), None):
    where = "The data or another argument of `tfdisent.train` decide it." if wrong in others else unknown(wrong, known)
    raise ConfigError(f"{name} has no argument {shown(wrong)}. {where}")
  return {**base, **(given or {})}


def _defaults(function: Callable, others: Sequence[str]) -> dict[str, Any]:
  parameters = inspect.signature(function).parameters.values()
  return {p.name: p.default for p in parameters if p.name not in others and p.default is not p.empty}


def _named(group: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
  return {f"{group}.{name}": value for name, value in arguments.items()}
