"""What `import tfdisent` has, for type checkers: `__init__.py` imports each name when it is used."""

from tfdisent import data as data
from tfdisent.api import TrainedRun as TrainedRun
from tfdisent.api import erase as erase
from tfdisent.api import evaluate as evaluate
from tfdisent.api import export as export
from tfdisent.api import fit_feature as fit_feature
from tfdisent.api import load as load
from tfdisent.api import train as train
from tfdisent.data.dataset import Dataset as Dataset
from tfdisent.data.dataset import Judge as Judge
from tfdisent.errors import CheckpointError as CheckpointError
from tfdisent.errors import ConfigError as ConfigError
from tfdisent.errors import DataError as DataError
from tfdisent.errors import FeatureError as FeatureError
from tfdisent.errors import Interrupted as Interrupted
from tfdisent.errors import NonFiniteLossError as NonFiniteLossError
from tfdisent.errors import RegistryError as RegistryError
from tfdisent.errors import RunError as RunError
from tfdisent.errors import TfdisentError as TfdisentError
from tfdisent.evaluation.case import Case as Case
from tfdisent.evaluation.measurement import Measurement as Measurement
from tfdisent.feature.contract import COMPOSITE as COMPOSITE
from tfdisent.feature.contract import CONTINUOUS as CONTINUOUS
from tfdisent.feature.contract import DISCRETE as DISCRETE
from tfdisent.feature.contract import Feature as Feature
from tfdisent.feature.learned import LearnedFeature as LearnedFeature
from tfdisent.inference import Encoding as Encoding
from tfdisent.inference import TrainedModel as TrainedModel
from tfdisent.model.loss import Forward as Forward
from tfdisent.model.loss import Loss as Loss
from tfdisent.model.objective import Objective as Objective
from tfdisent.model.vae import DisentangledVAE as DisentangledVAE
from tfdisent.pictures import show_fusions as show_fusions
from tfdisent.registry import register_dataset as register_dataset
from tfdisent.registry import register_exporter as register_exporter
from tfdisent.registry import register_feature as register_feature
from tfdisent.registry import register_loss as register_loss
from tfdisent.registry import register_measurement as register_measurement
from tfdisent.registry import register_networks as register_networks
from tfdisent.shipped import models as models

__version__: str
