"""The model as a Keras model: every digit in a random colour, and which digit it is."""

import keras

import tfdisent
from tfdisent.data.color_mnist import color_mnist

digits = color_mnist()
images, labels = digits.train["image"], digits.train["label"]

model = tfdisent.DisentangledVAE((28, 28, 3), feature="category")
model.compile(optimizer="adam", learning_rate=1e-3)
model.fit(images, labels, batch_size=32, epochs=20, callbacks=[keras.callbacks.CSVLogger("log.csv")])
model.summary()
model.predict(images[:8])
model.evaluate(digits.validation["image"], digits.validation["label"], return_dict=True)
model.save("m.keras")
