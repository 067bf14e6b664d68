"""Several devices must compute what one does.

Logical devices have to be made before TensorFlow starts, so this runs by itself.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import sys
import numpy as np, keras, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
import argparse, lib
from architectures.top import top_view_cnn, top_view_transformer
from architectures.optimizer import Muon
from datasets import batches, number_of_tracks
from my_generator import straight_lines
from scripts.number_of_tracks_classification import objective

parser = argparse.ArgumentParser(parents=[lib.run_arguments()])
weights = []
for flags in (["--OneDeviceStrategy", "/cpu:0"], ["--MirroredStrategy", "/cpu:0", "/cpu:1"]):
    args = parser.parse_args(["--out", sys.argv[1], *flags])
    keras.utils.set_random_seed(0)
    owners_in = 4 if sys.argv[2] == "transformer" else None
    task = number_of_tracks.task(owners_in=owners_in)
    data = batches.load(task, straight_lines.generate, batch_size=32, n_val=64, n_test=32)
    strategy = lib.choose_strategy(args)
    assert strategy.num_replicas_in_sync == (2 if args.MirroredStrategy else 1)
    with strategy.scope():
        if owners_in:
            model = top_view_transformer(length=owners_in, width=16, n_layers=1)
        else:
            model = top_view_cnn(stem_filters=4, stages=((8, (1, 2), 1),), n_hidden=8)
        model.compile(Muon(1e-3), **objective(model, 1.0))
    history = model.fit(data.train, validation_data=data.val, epochs=1, steps_per_epoch=10, verbose=0)
    # attention does not depend on the bias of its keys: its gradient is rounding, of which AdamW makes full
    # steps
    moved = [w.numpy() for w in model.weights if not w.path.endswith("key/bias")]
    weights.append((moved, history.history["val_loss"][0]))
(one, loss), (two, mirrored_loss) = weights
for a, b in zip(one, two):
    np.testing.assert_allclose(a, b, atol=2e-5)
np.testing.assert_allclose(loss, mirrored_loss, rtol=1e-4)
print("same")
"""


@pytest.mark.parametrize("network", ["cnn", "transformer"])
def test_mirrored_strategy_on_two_devices_trains_as_one_device_does(network, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), network],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.stdout.strip().endswith("same"), done.stderr[-3000:]
