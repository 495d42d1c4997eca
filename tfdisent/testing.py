"""The contracts of plug-ins as tests, for the suites of those who write one.

from tfdisent.testing import check_feature

def test_my_feature_keeps_the_contract():
  check_feature(MyFeature(), images)
"""

from tfdisent.feature.check import check_feature
from tfdisent.model.check import check_loss
from tfdisent.networks.check import check_networks

__all__ = ["check_feature", "check_loss", "check_networks"]
