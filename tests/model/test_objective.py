"""What an objective takes and refuses."""

import dataclasses
import math

import pytest

from tfdisent.errors import ConfigError
from tfdisent.model.objective import Objective

WEIGHTS = ("lambda1", "lambda2", "lambda3", "lambda4", "mirror", "adversary", "cycle")


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
    "ramp_steps": 0,
    "feature_loss": None,
    "q_data": "fusions",
    "q_noise": 0.0,
    "d_real": "reconstructions",
    "prior_fusions": 0.0,
    "a_optimizer": "eg",
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
  ],
)
def test_an_objective_that_cannot_work_is_refused(objective, words):
  with pytest.raises(ConfigError, match=words):
    Objective(**objective)


def test_an_objective_at_its_bounds_is_taken():
  zeros = dict.fromkeys(WEIGHTS, 0)
  assert Objective(**zeros, prior_fusions=1, likelihood="bernoulli", a_optimizer="d").prior_fusions == 1
