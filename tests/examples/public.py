"""The public names as a user calls them, for type checkers: nothing runs this."""

import dataclasses
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf
from matplotlib.figure import Figure

import tfdisent
from tfdisent import Dataset, DisentangledVAE, Feature, Objective, TrainedRun


@tfdisent.register_feature("brightness")
@dataclasses.dataclass(frozen=True)
class Brightness(tfdisent.Feature):
  gamma: float = 1.0

  kind = tfdisent.CONTINUOUS
  width = 1

  def of_image(self, image):
    return tf.reduce_mean(image**self.gamma, axis=[1, 2, 3])[:, None]


@tfdisent.register_dataset("dots")
def dots(data_dir: str | None = None, count: int = 100) -> Dataset:
  images, where = np.zeros([count, 28, 28], np.uint8), np.arange(count)
  splits = ["train", "validation"] * (count // 2)
  return tfdisent.data.from_arrays(images, {"x": where, "y": where}, kinds={"x": "number"}, split=splits)


def data_sets(folder: pathlib.Path) -> list[Dataset]:
  images = np.zeros([100, 28, 28, 3], np.uint8)
  return [
    tfdisent.data.from_folder("photos", size=64),
    tfdisent.data.from_folder(folder),
    tfdisent.data.from_table(folder / "people.csv", kinds={"age": "number"}),
    tfdisent.data.from_tfds("mnist", limit=100),
    tfdisent.data.from_arrays(images, {"digit": [1, 2] * 50, "color": np.zeros([100, 3])}),
  ]


def training(data: Dataset, strategy: tf.distribute.Strategy) -> TrainedRun:
  feature: Feature = Brightness(gamma=2.0)
  tfdisent.train(data, feature)
  tfdisent.train(
    data, "smile", preset="small", objective={"lambda3": 20.0}, model={"z1_width": 8, "E1": {"dense": (9,)}}
  )
  tfdisent.train(data, ("smile", "age:number"), pathlib.Path("runs/a"), optimizer="sgd", optimizer_d={"decay": None})
  return tfdisent.train(
    data,
    features=["smile"],
    run_dir="runs/photos",
    objective=Objective(lambda3=20.0, likelihood="laplace"),
    networks="plain",
    optimizer=keras.optimizers.Adam(1e-4),
    epochs=2,
    batch_size=64,
    seed=1,
    callbacks=[keras.callbacks.EarlyStopping(patience=3)],
    strategy=strategy,
  )


def use(m: TrainedRun, images: np.ndarray) -> Figure:
  z1_mean, _, feature = m.encode(images)
  colors: np.ndarray = feature["color"] if isinstance(feature, Mapping) else feature
  results: list[np.ndarray] = [
    m.reconstruct(images),
    m.fuse(images, images),
    m.control(images, "cat"),
    m.control(images, [3, 1, 4]),
    m.control(images, {"hair": "blond", "age": 60, "color": colors}),
    m.generate([0, 1, 2], seed=7),
    m.generate({"digit": 3}, seed=[1, 2]),
    z1_mean[:, 0],
  ]
  figures = m.evaluate("validation")
  print(len(results), figures["quality/psnr"]["value"] + 1.0, m.export("models").name, m.run_dir.name)
  again = tfdisent.load(pathlib.Path("runs/photos"), which="last", trust=["my_package"])
  tfdisent.evaluate("runs/photos", split="validation")["quality/psnr"]["value"]
  tfdisent.export(pathlib.Path("runs/photos"), "litert", export_dir=pathlib.Path("models"))
  return again.show_fusions(images[:2])


def as_keras(images: np.ndarray, smile: np.ndarray) -> keras.Model:
  model = DisentangledVAE((64, 64, 3), feature="attribute", objective=Objective(), z1_width=8, G={"dense": (32,)})
  model.compile("adam", learning_rate=1e-3)
  model.compile(keras.optimizers.Adam(1e-3), optimizer_d="sgd")
  history = model.fit(images, {"smile": smile}, batch_size=64, epochs=5, validation_split=0.1, verbose=0)
  model.fit(tf.data.Dataset.from_tensor_slices((images, smile)).batch(8), callbacks=[keras.callbacks.CSVLogger("a")])
  print(history.history["loss"][-1], model(images).shape, model.predict(images), model(images, smile))
  model.evaluate(images, smile, return_dict=True)
  model.summary()
  model.save("m.keras")
  trained = tfdisent.TrainedModel(model, class_names={"smile": ("no", "yes")})
  tfdisent.show_fusions(trained, images[:2], images[2:4]).savefig("fusions.png")
  return model


def errors() -> None:
  try:
    tfdisent.load("runs/none")
  except tfdisent.RunError as error:
    print(f"{error}")
  except tfdisent.Interrupted:
    pass
