"""Adam in one operation for each weight, with the numbers and the state of Keras's own."""

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("tfdisent")
class Adam(keras.optimizers.Adam):
  """`keras.optimizers.Adam`, whose update of a weight is one operation of TensorFlow.

  The formula is the same, with ε outside of the root of the uncorrected second moment, and so are the variables: either
  goes on from what the other has saved. The numbers are the same to about 1e-5 of an update, since the operation takes
  1 - β2 in float32.
  """

  _powers: tuple[tf.Tensor, tf.Tensor] | None = None
  """β1 and β2 to the number of the step in hand, while it is shared by the updates of all weights."""

  def apply(self, grads, trainable_variables=None):
    if self.built and tf.distribute.get_strategy().num_replicas_in_sync == 1:
      self._powers = self._of_step()
    try:
      return super().apply(grads, trainable_variables)
    finally:
      self._powers = None

  def update_step(self, gradient, variable, learning_rate):
    index = self._get_variable_index(variable)
    value = variable.value if isinstance(variable, keras.Variable) else variable
    if self.amsgrad or value.dtype != tf.float32 or isinstance(gradient, tf.IndexedSlices):
      super().update_step(gradient, variable, learning_rate)
      return
    beta_1_power, beta_2_power = self._powers or self._of_step()
    tf.raw_ops.ResourceApplyAdam(
      var=value.handle,
      m=self._momentums[index].value.handle,
      v=self._velocities[index].value.handle,
      beta1_power=beta_1_power,
      beta2_power=beta_2_power,
      lr=tf.cast(learning_rate, tf.float32),
      beta1=self.beta_1,
      beta2=self.beta_2,
      epsilon=self.epsilon,
      grad=tf.cast(gradient, tf.float32),
    )

  def _of_step(self) -> tuple[tf.Tensor, tf.Tensor]:
    step = tf.cast(self.iterations + 1, tf.float32)
    return tf.pow(self.beta_1, step), tf.pow(self.beta_2, step)


def fused(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
  """`Adam` for an unused Adam of Keras's; any other optimizer as it is."""
  return Adam.from_config(optimizer.get_config()) if type(optimizer) is keras.optimizers.Adam else optimizer
