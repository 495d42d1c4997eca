"""The contracts of plug-ins as tests, for the suites of those who write one.

from tfdisent.testing import check_exporter, check_feature

def test_my_feature_keeps_the_contract():
  check_feature(MyFeature(), images)

def test_my_exporter_keeps_the_contract(trained, tmp_path):
  check_exporter(my_exporter, trained, tmp_path / "export" / "my_model")
"""

from tfdisent.feature.check import check_feature
from tfdisent.serving.check import check_exporter

__all__ = ["check_exporter", "check_feature"]
