"""The contracts of plug-ins as tests, for the suites of those who write one.

from tfdisent.testing import check_dataset, check_exporter, check_feature, check_loss, check_measurement, check_networks

def test_my_feature_keeps_the_contract():
  check_feature(MyFeature(), images)

def test_my_images_keep_the_contract(tmp_path):
  check_dataset(my_images, {"data_dir": str(tmp_path)}, other={"size": 16})

def test_my_networks_keep_the_contract():
  check_networks("mine")

def test_my_loss_keeps_the_contract():
  check_loss(MyLoss(weight=0.5))

def test_my_exporter_keeps_the_contract(trained, tmp_path):
  check_exporter(my_exporter, trained, tmp_path / "export" / "my_model")

def test_my_measurement_keeps_the_contract(trained, dataset):
  check_measurement(MyMeasurement(), trained, dataset)

`trained` is a trained model, as `tfdisent.load("runs/quickstart")` gives it, and `dataset` what it can be measured on:
a `tfdisent.Dataset`, as `tfdisent.data.from_folder("photos")` gives it.
"""

from tfdisent.data.check import check_dataset
from tfdisent.evaluation.check import check_measurement
from tfdisent.feature.check import check_feature
from tfdisent.model.check import check_loss
from tfdisent.networks.check import check_networks
from tfdisent.serving.check import check_exporter

__all__ = ["check_dataset", "check_exporter", "check_feature", "check_loss", "check_measurement", "check_networks"]
