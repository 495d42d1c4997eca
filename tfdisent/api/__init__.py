"""What one does with a run, each in one call: `fit_feature`, `train`, `load`, `evaluate`, `erase`, `export`, `sample`.

    import tfdisent

    data = tfdisent.data.from_folder("photos")
    m = tfdisent.train(data, features="label", run_dir="runs/photos", epochs=20)
    m.show_fusions()
    figures = m.evaluate("validation")

The command line calls these functions with what a configuration binds (`tfdisent.config`). This is the only room that
joins training to evaluation.
"""

from tfdisent.api.erasing import erase
from tfdisent.api.exporting import export, export_folder
from tfdisent.api.fitting import fit_feature
from tfdisent.api.measuring import evaluate
from tfdisent.api.sampling import sample
from tfdisent.api.trained_run import TrainedRun, load
from tfdisent.api.training import train

__all__ = ["TrainedRun", "erase", "evaluate", "export", "export_folder", "fit_feature", "load", "sample", "train"]
