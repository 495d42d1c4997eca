"""The contracts of plug-ins as tests, for the suites of those who write one.

from tfdisent.testing import check_dataset, check_feature

def test_my_feature_keeps_the_contract():
  check_feature(MyFeature(), images)

def test_my_images_keep_the_contract(tmp_path):
  check_dataset(my_images, {"data_dir": str(tmp_path)}, other={"size": 16})
"""

from tfdisent.data.check import check_dataset
from tfdisent.feature.check import check_feature
from tfdisent.model.check import check_loss
from tfdisent.networks.check import check_networks

__all__ = ["check_dataset", "check_feature", "check_loss", "check_networks"]
