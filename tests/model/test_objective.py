"""What an objective takes and refuses."""

import dataclasses
import math

import pytest
import tensorflow as tf

from tfdisent.errors import ConfigError, RegistryError
from tfdisent.model.beyond import Adversary, Cycle, Matching, Mirror
from tfdisent.model.change import Change
from tfdisent.model.fusion_cycle import FusionCycle
from tfdisent.model.loss import Loss
from tfdisent.model.objective import WEIGHTS, Objective
from tfdisent.model.smooth import Smooth
from tfdisent.registry import LOSSES, register_loss


def test_an_objective_stays_what_was_checked():
  with pytest.raises(dataclasses.FrozenInstanceError):
    Objective().lambda3 = -1.0


def test_the_objective_has_the_defaults_of_the_paper():
  assert dataclasses.asdict(Objective()) == {
    "likelihood": "gaussian",
    "stddev": 0.25,
    "lambda1": 1.0,
    "lambda2": 1.0,
    "lambda3": 10.0,
    "lambda4": 1.0,
    "mirror": 0.0,
    "adversary": 0.0,
    "cycle": 0.0,
    "matching": 0.0,
    "r1": 0.0,
    "r1_every": 16,
    "gan": "logistic",
    "ramp_steps": 0,
    "feature_loss": None,
    "q_data": "fusions",
    "q_noise": 0.0,
    "d_real": "reconstructions",
    "prior_fusions": 0.0,
    "a_optimizer": "eg",
    "adversary_ceiling": False,
    "losses": (),
  }


@pytest.mark.parametrize(
  ("objective", "words"),
  [
    *[
      ({name: value}, rf"objective\.{name} = {value} must be a number, finite and not negative")
      for name in (*WEIGHTS, "stddev", "q_noise", "prior_fusions", "ramp_steps")
      for value in (-0.5, math.inf)
    ],
    ({"lambda4": math.nan}, r"objective\.lambda4 = nan must be a number, finite"),
    ({"lambda1": "1"}, r"objective\.lambda1 = '1' must be a number"),
    ({"stddev": 0.0}, r"objective\.stddev = 0.0 must be positive"),
    ({"prior_fusions": 1.5}, r"objective\.prior_fusions = 1.5 must lie in \[0, 1\]"),
    ({"likelihood": "poisson"}, r"objective\.likelihood = 'poisson': choose one of 'gaussian', 'laplace', 'bernoulli'"),
    ({"feature_loss": "f3"}, r"objective\.feature_loss = 'f3': choose one of None, 'f1', 'f2'"),
    ({"q_data": "all"}, r"objective\.q_data = 'all': choose one of 'fusions', 'pairs', 'both'"),
    ({"d_real": "both"}, r"objective\.d_real = 'both': choose one of 'reconstructions', 'originals'"),
    ({"a_optimizer": "a"}, r"objective\.a_optimizer = 'a': choose one of 'eg', 'd'"),
    ({"gan": "wgan"}, r"objective\.gan = 'wgan': choose one of 'logistic', 'hinge'"),
    ({"r1_every": 0}, r"objective\.r1_every = 0 must be a whole number of at least 1"),
    ({"r1_every": 1.5}, r"objective\.r1_every = 1\.5 must be a whole number"),
    ({"matching": 0.5, "lambda4": 0.0}, r"objective\.matching = 0\.5 is of D, which objective\.lambda4 = 0 leaves out"),
    ({"r1": 2.0, "lambda4": 0.0}, r"objective\.r1 = 2\.0 is of D"),
    ({"prior_fusions": 1, "losses": ("change",)}, r"objective\.prior_fusions = 1 .*'change'.* share below 1"),
    ({"prior_fusions": 1.0, "losses": (FusionCycle(),)}, r"objective\.prior_fusions = 1 .*'fusion_cycle'"),
  ],
)
def test_an_objective_that_cannot_work_is_refused(objective, words):
  with pytest.raises(ConfigError, match=words):
    Objective(**objective)


def test_an_objective_at_its_bounds_is_taken():
  zeros = dict.fromkeys(WEIGHTS, 0)
  assert Objective(**zeros, prior_fusions=1, likelihood="bernoulli", a_optimizer="d").prior_fusions == 1
  assert Objective(prior_fusions=1, losses=(Change(weight=0.0), "smooth")).beyond == (Smooth(),)
  assert Objective(prior_fusions=0.99, losses=("change",)).beyond == (Change(),)


def test_the_objective_of_a_run_of_before_has_its_weights_under_their_new_names():
  config = {"lambda3": 20.0, "lambda5": 1.0, "lambda6": 2.0, "lambda7": 3.0, "a_optimizer": "d"}
  objective = Objective.from_config(config)
  assert objective == Objective(lambda3=20.0, mirror=1.0, adversary=2.0, cycle=3.0, a_optimizer="d")
  assert Objective.from_config(objective.get_config()) == objective


def test_the_losses_beyond_the_paper_are_those_that_weigh_something():
  assert Objective().beyond == ()
  objective = Objective(mirror=1.5, adversary=2.0, cycle=3.0, matching=4.0, a_optimizer="d")
  assert objective.beyond == (Mirror(1.5), Adversary(2.0, "d"), Cycle(3.0), Matching(4.0))
  assert [loss.symbol for loss in objective.beyond] == ["L_mirror", "L_a", "L_cycle", "L_match"]


def test_the_plain_vae_keeps_its_likelihood_and_its_divergences():
  objective = Objective("laplace", 0.2, 1.5, 0.5, 3.0, 2.0, mirror=1.0, adversary=1.0, cycle=1.0, losses=(Bright(2.0),))
  plain = objective.only_vae()
  assert plain == Objective("laplace", 0.2, 1.5, 0.5, lambda3=0.0, lambda4=0.0)
  assert plain.beyond == ()


def test_a_plain_vae_has_the_terms_of_l_vae_alone(make_tiny):
  everything = {**dict.fromkeys(WEIGHTS, 1.0), "losses": (Bright(2.0),)}
  assert len(make_tiny(**everything).records) > len(WEIGHTS)
  plain = Objective(**everything).only_vae()
  model = make_tiny(**{field.name: getattr(plain, field.name) for field in dataclasses.fields(plain)})
  assert [term.name for term in model.records] == ["L", "reconstruction", "KL_z1"] and set(model.networks) == {
    "E1",
    "G",
  }


def test_every_weight_is_checked_and_listed():
  numbers = {name for name, value in dataclasses.asdict(Objective()).items() if isinstance(value, float)}
  assert numbers - {"stddev", "q_noise", "prior_fusions"} == set(WEIGHTS)


class Bright(Loss):
  """A loss as a plug-in has it."""

  symbol = "L_bright"

  def __call__(self, model, forward):
    return forward.mean(tf.reduce_mean(forward.x_fusion, [1, 2, 3]))


class Brighter(Bright):
  """Another one, which calls itself the same."""


def test_losses_are_taken_by_name_by_description_and_as_they_are():
  with LOSSES.temporary():
    register_loss("bright")(Bright)
    by_name = Objective(losses=("bright",))
    assert by_name.losses == (Bright(1.0),) and by_name.beyond == by_name.losses
    described = by_name.get_config()["losses"]
    assert described == [{"module": __name__, "name": "bright", "arguments": {"weight": 1.0}}]
    assert Objective.from_config({"losses": [{**described[0], "arguments": {"weight": 0.5}}]}).losses == (Bright(0.5),)
    with pytest.raises(RegistryError, match=r"unknown loss 'brigth'\. Did you mean 'bright'"):
      Objective(losses=("brigth",))
  assert Objective(losses=[Bright(0.0)]).beyond == ()


@pytest.mark.parametrize(
  ("losses", "words"),
  [
    ("bright", r"objective\.losses = 'bright' must list names"),
    ((Bright(), Brighter()), "two losses of the symbol 'L_bright'"),
  ],
)
def test_losses_that_cannot_be_told_apart_or_are_no_list_are_refused(losses, words):
  with pytest.raises(ConfigError, match=words):
    Objective(losses=losses)


@pytest.mark.parametrize("weight", [-1.0, math.inf, "1"])
def test_a_weight_of_a_loss_is_a_number(weight):
  with pytest.raises(ConfigError, match=r"[Bb]right\.weight = .* must be a number"):
    Bright(weight)
