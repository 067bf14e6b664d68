"""The optimizer of all trainings: Muon for the large kernels of a network, AdamW for the rest."""

import math

import keras


@keras.saving.register_keras_serializable(package="supernemo")
class Muon(keras.optimizers.Muon):
    """Keras's Muon for every large matrix of a network, kernels of convolutions and of attention too.

    Keras leaves those to AdamW. Muon makes the steps of a matrix orthogonal, so that all directions learn at
    the same pace (K. Jordan et al., 2024, and arXiv:2502.16982 for the scale of a step). A convolution is the
    matrix from the values of its window to its filters. Small matrices, those of inputs, outputs and tokens
    among them, stay with AdamW.

    This overrides two methods that Keras does not document; `requirements.txt` pins the minor version they
    are of.
    """

    smallest_side = 16

    def _should_use_adamw(self, variable):
        return len(variable.shape) < 2 or min(as_matrix(variable.shape)) < self.smallest_side

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + (self.momentum - 1) * m)
        nesterov = keras.ops.reshape(gradient + self.momentum * m, as_matrix(variable.shape))
        orthogonal = self.zeropower_via_newtonschulz5(nesterov, self.ns_steps)
        step = lr * self.lr_adjust(orthogonal)
        self.assign_sub(variable, keras.ops.reshape(step, variable.shape))


def as_matrix(shape):
    """(rows, columns) of a kernel: its last axis is the output.

    But for the queries, keys and values of attention, (in, head, value), the first axis is the input.
    """
    size = math.prod(shape)
    if shape[0] > shape[-1]:
        return shape[0], size // shape[0]
    return size // shape[-1], shape[-1]


def muon(learning_rate, n_steps, warmup_steps=300):
    """Muon with a short warm-up, cosine decay to a two-hundredth, and each weight's gradient clipped to norm
    1.

    Keras clips before it sums over the devices of a MirroredStrategy: only where no gradient is clipped do
    several devices compute to rounding what one does.

    Args:
        learning_rate: at its peak, of Muon's steps; those of AdamW are half as long. n_steps: of the whole
            training.
    """
    warmup_steps = min(warmup_steps, max(1, n_steps // 10))
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(1, n_steps - warmup_steps),
        alpha=0.005,
        warmup_target=learning_rate,
        warmup_steps=warmup_steps,
    )
    return Muon(rate, weight_decay=1e-3, adam_weight_decay=1e-4, adam_lr_ratio=0.5, clipnorm=1.0)
