"""Export trained models to ONNX, beside their `.keras` files: what `inference` runs without TensorFlow.

    python scripts/export.py                          all shipped models
    python scripts/export.py runs/top track_finder    these

Images go in as uint8, hits as `datasets.clustering.inputs` gives them; outputs have the names of the model's.
What comes out of the exported model is compared with what Keras gives on simulated events; where they differ
by more than 1e-5 nothing is written. Needs `requirements-dev.txt`.
"""

import argparse

import numpy as np

import lib
import outputs
from datasets import views
from my_generator import realistic

TOLERANCE = 1e-5
OPSET = 18
N_COMPARED = 500


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "models", nargs="*", help="names or paths of runs (default: all shipped models)"
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    differences = {}
    for name in args.models or lib.shipped_models():
        path = lib.model_path(name)
        exported = path.with_name("model.onnx")
        with outputs.whole(exported) as temporary:
            export(lib.load_model(name), temporary)
            differences[name] = compare(path, temporary)
            if differences[name] > TOLERANCE:
                raise ValueError(
                    f"{exported}: differs from Keras by {differences[name]:.1e}, so it is not written"
                )
        print(
            f"{exported}: {exported.stat().st_size / 1e6:.1f} MB, differs by {differences[name]:.1e}",
            flush=True,
        )
    return differences


def export(model, path):
    """Write a model as ONNX."""
    import tensorflow as tf
    import tf2onnx

    is_counter = {tensor.name for tensor in model.inputs} <= set(views.SHAPES)

    def type_of(tensor):
        return "uint8" if is_counter else tensor.dtype

    signature = {
        tensor.name: tf.TensorSpec(tensor.shape, type_of(tensor), tensor.name)
        for tensor in model.inputs
    }

    @tf.function(input_signature=[signature])
    def graph(arrays):
        tensors = {
            tensor.name: tf.cast(arrays[tensor.name], tensor.dtype) for tensor in model.inputs
        }
        answer = model(
            tensors if len(tensors) > 1 else next(iter(tensors.values())), training=False
        )
        if not isinstance(answer, dict):
            return {"n_tracks": answer}
        return {
            name: tf.ensure_shape(values, model.output[name].shape)
            for name, values in answer.items()
        }

    tf2onnx.convert.from_function(graph, [signature], opset=OPSET, output_path=str(path))


def compare(keras_path, onnx_path):
    """Largest difference between what Keras and ONNX Runtime give on realistic events."""
    import inference

    ours = inference.load(keras_path, engine="tensorflow")
    exported = inference.run_onnx(onnx_path, "exported")
    events = realistic.generate(N_COMPARED, preset="data", seed=[2027, 1])
    largest = 0.0
    for _, inputs, expected in inference.answers(ours, inference.inputs_of(ours), events):
        found = exported.run(inputs)
        for name, values in expected.items():
            largest = max(largest, np.abs(values - found[name]).max())
    return float(largest)


if __name__ == "__main__":
    lib.run(main)
