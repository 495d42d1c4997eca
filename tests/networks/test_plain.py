"""The networks: what they compute, by hand, their shapes and number formats, and that a config makes one again."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from tfdisent.errors import ConfigError
from tfdisent.networks.plain import (
  Adversary,
  Discriminator,
  Encoder,
  FeatureEncoder,
  Generator,
  Posterior,
  channels_for,
  leaky_relu,
)

B, Z1, Z2, WIDTH = 2, 4, 3, 5
SHAPE = (16, 8, 3)


def normal(*shape, seed=0):
  return tf.random.stateless_normal(shape, [seed, 0])


IMAGE, CODE_1, CODE_2, FEATURE = normal(B, *SHAPE), normal(B, Z1, seed=1), normal(B, Z2, seed=2), normal(B, WIDTH)
NETWORKS = {  # class: arguments, inputs, shape of the output
  Encoder: ({"outputs": 2 * Z1, "conv": (4, 6)}, (IMAGE,), (B, 2 * Z1)),
  FeatureEncoder: ({"outputs": 2 * Z2}, (FEATURE,), (B, 2 * Z2)),
  Adversary: ({"outputs": WIDTH}, (CODE_1,), (B, WIDTH)),
  Generator: ({"image_shape": SHAPE, "conv": (6, 4)}, (CODE_1, CODE_2), (B, *SHAPE)),
  Posterior: ({"outputs": 7, "conv": (4, 6)}, (CODE_1, IMAGE), (B, 7)),
  Discriminator: ({"conv": (4, 6)}, (CODE_2, IMAGE), (B,)),
}


def make(network, **arguments):
  """A small network, and its output on the inputs of the same name."""
  keras.utils.set_random_seed(0)
  made = network(**{"dense": (8,), **NETWORKS[network][0], **arguments})
  return made, made(*NETWORKS[network][1])


every_network = pytest.mark.parametrize("network", NETWORKS)


# --- What they compute ------------------------------------------------------------------------------------------------


def dense(layer, h):
  kernel, bias = layer.get_weights()
  return h @ np.float64(kernel) + bias


def convolution(layer, image):
  """4x4 with stride 2, of an image of even sides with a border of one pixel of 0."""
  kernel, bias = layer.get_weights()
  padded = np.pad(np.float64(image), [(0, 0), (1, 1), (1, 1), (0, 0)])
  height, width = image.shape[1] // 2, image.shape[2] // 2
  out = np.zeros([len(image), height, width, kernel.shape[3]])
  for i in range(height):
    for j in range(width):
      patch = padded[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4]
      out[:, i, j] = np.einsum("bhwc,hwco->bo", patch, kernel) + bias
  return out


def transposed_convolution(layer, image):
  """Every pixel draws a stamp of 4x4 about itself, two pixels apart; what is drawn on the border is left out."""
  kernel, bias = layer.get_weights()  # [4, 4, out, in]
  count, height, width, _ = image.shape
  out = np.zeros([count, 2 * height + 2, 2 * width + 2, kernel.shape[2]])
  for i in range(height):
    for j in range(width):
      out[:, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += np.einsum("bc,hwoc->bhwo", image[:, i, j], kernel)
  return out[:, 1:-1, 1:-1] + bias


def by_hand(made, inputs):
  """What a network gives, with tanh after every layer but the last, in NumPy."""
  if isinstance(made, Generator):
    h = np.concatenate(inputs, 1)
    for layer in (*made.dense_layers, made.expand):
      h = np.tanh(dense(layer, h))
    h = h.reshape(len(h), SHAPE[0] // 4, SHAPE[1] // 4, -1)
    (layer,) = made.conv_layers
    return transposed_convolution(made.output_layer, np.tanh(transposed_convolution(layer, h)))
  *code, h = map(np.float64, inputs)
  for layer in getattr(made, "conv_layers", []):
    h = np.tanh(convolution(layer, h))
  h = np.concatenate([h.reshape(len(h), -1), *code], 1)
  for layer in made.dense_layers:
    h = np.tanh(dense(layer, h))
  output = dense(made.output_layer, h)
  return output[:, 0] if isinstance(made, Discriminator) else output


@every_network
def test_a_network_computes_what_a_page_of_numpy_does(network):
  made, _ = make(network, activation="tanh", dense=(8, 6))
  for weight in made.weights:
    weight.assign(normal(*weight.shape, seed=len(weight.path)) / 4)  # biases are not 0, then
  inputs = NETWORKS[network][1]
  np.testing.assert_allclose(made(*inputs), by_hand(made, [x.numpy() for x in inputs]), atol=1e-5)


@every_network
def test_the_output_depends_on_every_component_of_every_input(network):
  made, _ = make(network, activation="tanh")
  inputs = NETWORKS[network][1]
  with tf.GradientTape() as tape:
    tape.watch(inputs)
    output = tf.reduce_sum(tf.square(made(*inputs)))
  for gradient in tape.gradient(output, inputs):
    assert (np.abs(gradient) > 1e-9).all()


@pytest.mark.parametrize(("shape", "corner"), [((28, 30, 3), (2, 1)), ((27, 28, 1), (2, 2)), ((5, 9, 3), (1, 3))])
def test_an_image_of_another_size_is_the_middle_of_a_larger_one(shape, corner):
  """Where the borders differ, the one at the top or left is the smaller one."""
  keras.utils.set_random_seed(0)
  made = Generator(shape, (4, 4, 4), dense=())
  larger = Generator([-(-side // 8) * 8 for side in shape[:2]] + [shape[2]], (4, 4, 4), dense=())
  z1, z2 = normal(1, 2), normal(1, 3)
  made(z1, z2), larger(z1, z2)
  larger.set_weights(made.get_weights())
  (top, left), (height, width, _) = corner, shape
  np.testing.assert_array_equal(made(z1, z2), larger(z1, z2)[:, top : top + height, left : left + width])


def test_the_defaults_are_those_of_the_paper_s_experiments():
  image, code = tf.zeros([1, 16, 16, 1]), tf.zeros([1, 4])
  networks = {
    Encoder(6): ((image,), (32, 64), (128,)),
    Posterior(6): ((code, image), (32, 64), (128,)),
    Discriminator(): ((code, image), (32, 64), (128,)),
    FeatureEncoder(6): ((code,), None, (128,)),
    Adversary(6): ((code,), None, (256, 256)),
    Generator((16, 16, 1)): ((code, code), (64, 32), (128,)),
  }
  for network, (inputs, conv, dense) in networks.items():
    network(*inputs)
    config = network.get_config()
    assert (config.get("conv"), config["dense"], config["activation"]) == (conv, dense, "relu")
    assert {layer.activation.__name__ for layer in network.dense_layers} == {"relu"}
    assert config.get("outputs") == {Generator: None, Discriminator: 1}.get(type(network), 6)


def gradients_of_a_gradient(activation, h):
  """The activation of h, its gradient, and a gradient of that one as R1 takes it."""
  with tf.GradientTape() as outer:
    outer.watch(h)
    with tf.GradientTape() as inner:
      inner.watch(h)
      activated = activation(h)
      loss = tf.reduce_sum(activated**3)
    gradient = inner.gradient(loss, h)
    penalty = tf.reduce_sum(gradient**2)
  return activated, gradient, outer.gradient(penalty, h)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_leaky_relu_is_that_of_keras_in_its_gradients_too(dtype):
  h = tf.constant([-3.0, -0.5, -0.0, 0.0, 0.25, 2.0, np.inf, -np.inf], dtype)
  expected = gradients_of_a_gradient(keras.activations.leaky_relu, h)
  for number, one in zip(gradients_of_a_gradient(leaky_relu, h), expected):
    np.testing.assert_array_equal(np.float32(number), np.float32(one))


@pytest.mark.parametrize("network", [Encoder, Discriminator])
def test_no_gradient_of_a_leaky_relu_needs_what_a_convolution_gave_before_it(network):
  """Else oneDNN cannot compute both at once: see `leaky_relu`."""
  made, _ = make(network, activation="leaky_relu")
  image, inputs = NETWORKS[network][1][-1], NETWORKS[network][1][:-1]

  def penalised():
    return gradients_of_a_gradient(lambda h: made(*inputs, h), image)

  nodes = tf.function(penalised).get_concrete_function().graph.get_operations()
  read = {node.inputs[1].op.type for node in nodes if node.type == "LeakyReluGrad"}
  assert read and "BiasAdd" not in read


def test_an_activation_that_is_no_name_is_refused():
  """Keras would make a function of a description that a run folder brings."""
  with pytest.raises(ConfigError, match=r"named by a text, 'relu', not \{'class_name'"):
    Encoder(6, activation={"class_name": "function"})


# --- Shapes -----------------------------------------------------------------------------------------------------------


@every_network
@pytest.mark.parametrize("dense", [(), (8,), (8, 7, 6)])
def test_outputs_have_their_shape_whatever_the_depth_of_the_dense_layers(network, dense):
  made, output = make(network, dense=dense)
  assert tuple(output.shape) == NETWORKS[network][2] and output.dtype == tf.float32
  assert [layer.units for layer in made.dense_layers] == list(dense)


@pytest.mark.parametrize("network", [Encoder, Posterior, Discriminator])
@pytest.mark.parametrize("conv", [(), (4,), (4, 5, 6, 7)])
def test_convolutions_halve_the_image_each(network, conv):
  made, output = make(network, conv=conv, dense=())
  assert tuple(output.shape) == NETWORKS[network][2]
  height, width = 16 // 2 ** len(conv), max(8 // 2 ** len(conv), 1)
  joined = {Encoder: 0, Posterior: Z1, Discriminator: Z2}[network]
  assert made.output_layer.kernel.shape[0] == height * width * (conv[-1] if conv else 3) + joined


@pytest.mark.parametrize("conv", [(4,), (6, 4), (6, 5, 4)])
def test_the_generator_doubles_a_first_feature_map_until_it_is_the_image(conv):
  made, output = make(Generator, conv=conv)
  assert tuple(output.shape) == (B, *SHAPE)
  scale = 2 ** len(conv)
  assert made.expand.units == 16 // scale * (8 // scale) * conv[0]


@pytest.mark.parametrize("shape", [(28, 30, 3), (27, 28, 1), (5, 9, 3), (33, 31, 1)])
@pytest.mark.parametrize("conv", [(8,), (8, 8), (8, 8, 8)])
def test_the_generator_reaches_any_image_size(shape, conv):
  assert Generator(shape, conv)(tf.zeros([2, 3]), tf.zeros([2, 4])).shape == (2, *shape)


def test_a_generator_without_a_convolution_is_refused():
  with pytest.raises(ConfigError, match="at least one transposed convolution"):
    Generator((8, 8, 1), ())


@pytest.mark.parametrize(
  ("size", "channels"),
  [
    (8, (32,)),
    (28, (32, 64)),
    (32, (32, 64)),
    (64, (32, 64, 128)),
    (96, (32, 64, 128, 256)),
    (128, (32, 64, 128, 256)),
    (256, (32, 64, 128, 256, 256)),
  ],
)
def test_larger_images_have_more_convolutions(size, channels):
  assert channels_for((size, size + 5, 3)) == channels_for((2 * size, size, 1)) == channels


def test_the_encoder_takes_image_sizes_that_are_no_multiples():
  assert Encoder(6, conv=(4, 4), dense=(8,))(tf.zeros([B, 9, 7, 1])).shape == (B, 6)


@every_network
def test_the_output_depends_on_every_input(network):
  made, output = make(network)
  inputs = NETWORKS[network][1]
  for i in range(len(inputs)):
    changed = [x + 1 if i == j else x for j, x in enumerate(inputs)]
    assert np.abs(made(*changed) - output).max() > 1e-4


@every_network
def test_examples_of_a_batch_do_not_touch_one_another(network):
  made, output = make(network)
  alone = made(*(x[1:] for x in NETWORKS[network][1]))
  np.testing.assert_allclose(alone, output[1:], atol=1e-5)


@every_network
def test_the_activation_is_that_of_every_layer_but_the_last(network):
  made, _ = make(network, activation="tanh")
  activation = {layer: layer.activation.__name__ for layer in made.layers if hasattr(layer, "activation")}
  assert activation.pop(made.output_layer) == "linear"
  assert len(activation) == len(made.weights) // 2 - 1 and set(activation.values()) == {"tanh"}


@every_network
def test_a_config_makes_the_same_network_again_even_through_json(network):
  made, output = make(network, activation="elu", dense=(8, 6), name="net")
  config = made.get_config()
  again = network.from_config(json.loads(json.dumps(config)))
  assert again.get_config() == config
  again(*NETWORKS[network][1])
  again.set_weights(made.get_weights())
  np.testing.assert_array_equal(again(*NETWORKS[network][1]), output)


@every_network
def test_bfloat16_computes_in_bfloat16_with_weights_and_outputs_in_float32(network):
  made, output = make(network, dtype="mixed_bfloat16")
  assert output.dtype == tf.float32 and tuple(output.shape) == NETWORKS[network][2]
  assert {weight.dtype for weight in made.weights} == {"float32"}
  assert {layer.compute_dtype for layer in made.dense_layers} == {"bfloat16"}
  assert made.get_config()["dtype"] == "mixed_bfloat16"
  exact = make(network)[1]
  np.testing.assert_allclose(output, exact, atol=0.05 * np.abs(exact).max())
  assert (output.numpy() != exact.numpy()).any()
