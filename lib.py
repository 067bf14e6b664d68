"""The ground floor of every script: shared flags, device strategy, run folder, model card, loading a shipped
model.
"""

import argparse
import csv
import json
import math
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
import time
import zipfile
from importlib import metadata
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

ROOT = Path(__file__).resolve().parent
MODELS = ROOT / "models"
PACKAGES = ("tensorflow", "keras", "numpy", "uproot", "awkward")
MAY_CHANGE = (
    "out",
    "OneDeviceStrategy",
    "MirroredStrategy",
    "tensorboard",
)  # flags with which a resumed run is still the same one


def run(main):
    """Call a script's `main`; a wrong flag or file ends it with a sentence instead of a traceback."""
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from None


def at_least(least):
    """The type of a flag that takes whole numbers from `least` on, such as how many events to draw."""

    def number(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    number.__name__ = "int"  # as argparse names it where the text is no number
    return number


def run_arguments(epochs=10, batch_size=64):
    """Parser with the flags all training scripts share; use it as a parent.

    Arguments are the script's own defaults.
    """
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument(
        "--data",
        nargs="+",
        metavar="FILE",
        help="files or globs to train on (default: the generator, fresh events)",
    )
    parser.add_argument(
        "--out",
        type=Path,
        required=True,
        metavar="FOLDER",
        help="run folder; a run interrupted there is resumed",
    )
    parser.add_argument("--seed", type=int, default=0, help="of data and weights (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=epochs, help="(default: %(default)s)")
    parser.add_argument(
        "--batch-size", type=int, default=batch_size, help="over all devices (default: %(default)s)"
    )
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="of the training's arithmetic; 16-bit kinds are faster where processor or GPU has them (default: %(default)s)",
    )
    parser.add_argument(
        "--deterministic", action="store_true", help="repeatable to the last bit on one device, slower"
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard logs to OUT/tensorboard"
    )
    device_arguments(parser)
    return parser


def device_arguments(parser):
    """Add the two strategy flags to a parser."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--OneDeviceStrategy", metavar="DEVICE", help='one device, such as "/gpu:0"')
    group.add_argument(
        "--MirroredStrategy", nargs="+", metavar="DEVICE", help='several, such as "/gpu:0" "/gpu:1"'
    )


def generator_arguments(parser, generators, epoch_events=65536, val_events=16384, test_events=65536):
    """Add the flags of trainings on fresh events of a generator; `generators` are the names to choose from."""
    generators = list(generators)
    parser.add_argument(
        "--generator", choices=generators, default=generators[0], help="(default: %(default)s)"
    )
    parser.add_argument(
        "--sides",
        type=int,
        choices=(1, 2),
        help="channels: 1 for events on one tracker side, 2 for both (default: as the events)",
    )
    parser.add_argument(
        "--epoch-events",
        type=int,
        default=epoch_events,
        help="training events an epoch (default: %(default)s)",
    )
    parser.add_argument(
        "--val-events",
        type=int,
        default=val_events,
        help="fresh events to validate on (default: %(default)s)",
    )
    parser.add_argument(
        "--test-events",
        type=int,
        default=test_events,
        help="fresh events to test on, once (default: %(default)s)",
    )
    parser.add_argument(
        "--test-data", nargs="+", metavar="FILE", help="files to test on as well, once; never trained on"
    )
    parser.add_argument(
        "--learning-rate", type=float, default=4e-3, help="at its peak (default: %(default)s)"
    )


def data_settings(args):
    """What the flags say of the data, as keyword arguments of a dataset's `load`; a resumed run goes on in
    the generator's stream.
    """
    return {
        "paths": args.data,
        "batch_size": args.batch_size,
        "seed": args.seed,
        "first_event": epochs_done(args) * args.epoch_events,
        "n_val": args.val_events,
        "n_test": args.test_events,
        "test_paths": args.test_data,
    }


def start_run(args):
    """Begin a run: seed everything, make the run folder, note the commit (files may change while it trains).

    Raises:
        ValueError: numbers that allow no training; an interrupted run in the folder that had other flags.
    """
    _check_numbers(args)
    backup = args.out / "backup"
    _mend_backup(backup)
    _check_same_run(args, backup / "arguments.json")
    if (args.out / "card.json").exists() and not epochs_done(args):
        print(f"{args.out} holds a finished run: it is trained anew and then overwritten")
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.precision)
    if args.deterministic:
        tf.config.experimental.enable_op_determinism()
    write_json(backup / "arguments.json", _arguments(args))
    commit, dirty = _git_state()
    args.run = {"commit": commit, "dirty": dirty, "start": time.time(), "resumed_at_epoch": epochs_done(args)}


def _check_numbers(args):
    for name in ("epochs", "batch_size", "epoch_events", "val_events", "test_events"):
        if getattr(args, name, 1) < 1:
            raise ValueError(f"{_flag(name)} {getattr(args, name)}: has to be 1 at least")
    if getattr(args, "epoch_events", args.batch_size) < args.batch_size:
        raise ValueError(
            f"--epoch-events {args.epoch_events}: less than one batch, --batch-size {args.batch_size}"
        )


def _check_same_run(args, path):
    """Compare the flags with those of the interrupted run whose arguments are in a file, if there are any."""
    if not epochs_done(args) or not path.exists():
        return
    before, now = json.loads(path.read_text()), json.loads(json.dumps(_arguments(args)))
    names = [
        name for name in {**before, **now} if before.get(name) != now.get(name) and name not in MAY_CHANGE
    ]
    if names:
        changed = ", ".join(f"{_flag(name)} was {before.get(name)}, not {now.get(name)}" for name in names)
        raise ValueError(
            f"{args.out}: a run interrupted there had other flags: {changed}; give those, another --out, or remove {path.parent}"
        )


def _flag(name):
    return "--" + name.replace("_", "-")


def _arguments(args):
    """What the flags say, ready for JSON."""
    return {name: _jsonable(value) for name, value in vars(args).items() if name != "run"}


@keras.saving.register_keras_serializable(package="supernemo")
class Muon(keras.optimizers.Muon):
    """Keras's Muon for every large matrix of a network: kernels of convolutions and of attention too, which
    Keras leaves to AdamW.

    Muon makes the steps of a matrix orthogonal, so that all directions learn at the same pace (K. Jordan et
    al., 2024, and arXiv:2502.16982 for the scale of a step). A convolution is the matrix from the values of
    its window to its filters. Small matrices, those of inputs, outputs and tokens among them, stay with
    AdamW.
    """

    smallest_side = 16

    def _should_use_adamw(self, variable):
        return len(variable.shape) < 2 or min(_as_matrix(variable.shape)) < self.smallest_side

    def _muon_update_step(self, gradient, variable, lr, m):
        self.assign_add(m, gradient + (self.momentum - 1) * m)
        step = keras.ops.reshape(gradient + self.momentum * m, _as_matrix(variable.shape))  # Nesterov's
        step = self.lr_adjust(self.zeropower_via_newtonschulz5(step, self.ns_steps))
        self.assign_sub(variable, keras.ops.reshape(lr * step, variable.shape))


def _as_matrix(shape):
    """(rows, columns) of a kernel: its last axis is the output, but for the queries, keys and values of
    attention (in, head, value).
    """
    size = math.prod(shape)
    return (shape[0], size // shape[0]) if shape[0] > shape[-1] else (size // shape[-1], shape[-1])


def optimizer(learning_rate, n_steps, warmup_steps=300):
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


def choose_strategy(args):
    """The `tf.distribute` strategy the flags ask for; without a flag, whatever TensorFlow finds.

    Raises:
        ValueError: a device that is not there; TensorFlow would wait for it for ever, or take the processor.
    """
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    there = [_short(device.name) for device in tf.config.list_logical_devices()]
    for device in args.MirroredStrategy or filter(None, [args.OneDeviceStrategy]):
        if _short(device) not in there:
            raise ValueError(f"no device {device}: TensorFlow finds {', '.join(there)}")
    if args.OneDeviceStrategy:
        return tf.distribute.OneDeviceStrategy(args.OneDeviceStrategy)
    if args.MirroredStrategy:
        return tf.distribute.MirroredStrategy(args.MirroredStrategy)
    return tf.distribute.get_strategy()


def _short(device):
    """The name of a device as the flags give it, such as /gpu:0."""
    spec = tf.DeviceSpec.from_string(device)
    return f"/{str(spec.device_type).lower()}:{spec.device_index or 0}"


def callbacks(args):
    """Callbacks of every run: resume after an interruption, history as CSV, TensorBoard on request.

    The backup stays until `save_run` has saved the model.
    """
    chosen = [
        keras.callbacks.BackupAndRestore(
            args.out / "backup", double_checkpoint=True, delete_checkpoint=False
        ),
        keras.callbacks.CSVLogger(args.out / "history.csv", append=epochs_done(args) > 0),
    ]
    if args.tensorboard:
        chosen.append(keras.callbacks.TensorBoard(args.out / "tensorboard"))
    return chosen


def epochs_done(args):
    """Epochs that an interrupted run in the run folder had finished; 0 for a new run."""
    try:
        return json.loads((args.out / "backup" / "training_metadata.json").read_text())["epoch"]
    except FileNotFoundError:
        return 0


def _mend_backup(folder):
    """Go back to the state before the last if the last epoch's number was half written; Keras copes with
    half-written weights only.
    """
    metadata = folder / "training_metadata.json"
    try:
        json.loads(metadata.read_text())
    except FileNotFoundError:
        return
    except json.JSONDecodeError:
        for name in ("latest.weights.h5", metadata.name):
            previous = folder / f"{name}.bkp"
            if previous.is_file():
                shutil.copy(previous, folder / name)
            else:
                (folder / name).unlink(missing_ok=True)


def in_float32(model):
    """A trained model as one that computes in float32, as models are tested and shipped; the same model if it
    does already.
    """
    if keras.config.dtype_policy().name == "float32":
        return model
    keras.config.set_dtype_policy("float32")
    bare = _bare(model)  # a clone would be compiled anew, by names of losses
    plain = keras.models.clone_model(bare, clone_function=_as_float32)
    plain.set_weights(model.get_weights())
    return plain


def _bare(model):
    """The same model without what it was compiled with."""
    return keras.Model(model.input, model.output, name=model.name)


def _as_float32(layer):
    config = layer.get_config()
    return type(layer).from_config({**config, "dtype": "float32"} if "dtype" in config else config)


def read_history(path):
    """A history CSV as name -> list of floats; NaN where Keras wrote NA."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    return {
        name: [float(row[name].replace("NA", "nan")) for row in rows] for name in (rows[0] if rows else ())
    }


def predict(model, dataset):
    """Labels and outputs of a finite dataset of (inputs, label) batches, as two arrays, event first."""
    labels, outputs = [], []
    for inputs, label in dataset:
        labels.append(label.numpy())
        outputs.append(model.predict_on_batch(inputs))
    return np.concatenate(labels), np.concatenate(outputs)


def save_run(model, args, metrics, data, outputs, known_failures=()):
    """Write `model.keras` and `card.json` to the run folder, each under a temporary name and renamed.

    Args:
        model: what was trained. args: the script's parsed arguments, after `start_run`.
        metrics: name of a test set -> its figures of merit with intervals. data: what was trained and tested
            on.
        outputs: what the outputs mean, such as the classes. known_failures: sentences.
    Returns:
        The card, a dict.
    """
    card = {
        "name": args.out.name,
        "command": shlex.join(["python", _relative(sys.argv[0]), *sys.argv[1:]]),
        "arguments": _arguments(args),
        "commit": args.run["commit"],
        "dirty": args.run["dirty"],
        "data": data,
        "inputs": {tensor.name: list(tensor.shape[1:]) for tensor in model.inputs},
        "outputs": outputs,
        "parameters": model.count_params(),
        "metrics": metrics,
        "packages": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in PACKAGES},
        },
        "device": describe_device(),
        "wall_time_s": round(time.time() - args.run["start"]),
        "resumed_at_epoch": args.run["resumed_at_epoch"],
        "known_failures": list(known_failures),
    }
    temporary = args.out / ".model.part.keras"
    _bare(model).save(temporary)  # without an optimizer: a third of the size; runs resume from backups
    temporary.replace(args.out / "model.keras")
    write_json(args.out / "card.json", card)
    shutil.rmtree(args.out / "backup", ignore_errors=True)
    return card


def load_model(name):
    """A trained model by the name of a shipped one, or by the path of a run folder or a `.keras` file.

    Raises:
        ValueError: no such model, names those that are shipped; a file that is none; or a model with layers
            of our own whose module of `architectures/` the caller has not imported.
    """
    for path in (MODELS / str(name) / "model.keras", Path(name) / "model.keras", Path(name)):
        if path.is_file():
            return _read_model(path)
    raise ValueError(f"no model {name}: not a path of one, and shipped are {', '.join(shipped_models())}")


def _read_model(path):
    if path.suffix != ".keras" or not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not a Keras model, a whole .keras file")
    try:
        return keras.saving.load_model(path, compile=False)
    except (KeyError, OSError, TypeError, ValueError) as error:
        layer = re.search(r"Could not locate class '(\w+)'", str(error))
        reason = (
            f"import the module of architectures/ with its layer {layer[1]}"
            if layer
            else str(error).strip().partition("\n")[0]
        )
        raise ValueError(f"{path}: not a model this code can load: {reason}") from error


def load_card(name):
    """The card of a model, by name or by the path of its folder or file."""
    path = MODELS / str(name) if (MODELS / str(name)).is_dir() else Path(name)
    return json.loads((path if path.is_dir() else path.parent).joinpath("card.json").read_text())


def shipped_models():
    """Names of the models in `models/`."""
    return sorted(path.parent.name for path in MODELS.glob("*/model.keras"))


def shipped_counters():
    """Names of those that count something: their cards give an accuracy."""
    return [name for name in shipped_models() if "accuracy" in load_card(name)["metrics"]["test"]]


def target_of(name):
    """What a counter counts, "tracks" or "segments": its card says it, cards of before there was a choice do
    not.
    """
    try:
        return load_card(name)["arguments"].get("target", "tracks")
    except FileNotFoundError:  # a .keras file alone
        return "tracks"


def draw_model(model, path):
    """Draw the layers of a model, format by the path's suffix; where Graphviz is missing, say so in one line
    and go on.
    """
    if shutil.which("dot") is None:
        print("model drawing skipped: Graphviz is missing (Debian: apt-get install graphviz)")
        return
    graph = keras.utils.model_to_dot(model, show_shapes=True, dpi=80)
    graph.set("splines", "spline")  # Keras' right angles crash dot on residual networks
    graph.write(path, format=Path(path).suffix[1:])


def describe_device():
    """The devices TensorFlow found, and the processor."""
    gpus = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU")
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return ", ".join(gpus) or f"{os.cpu_count()} CPU cores ({_processor()})"


def write_json(path, content):
    """Write JSON under a temporary name and rename it; null stands for what is not a finite number."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        temporary.write_text(json.dumps(_finite(content), indent=1, allow_nan=False) + "\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _finite(content):
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


def _git_state():
    """(commit, whether tracked files differ from it); None where there is no repository."""
    git = ["git", "-C", str(ROOT)]
    try:
        commit = subprocess.run(
            [*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True
        ).stdout.strip()
        status = subprocess.run(
            [*git, "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, bool(status.strip())


def _relative(path):
    path = Path(path).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _jsonable(value):
    return str(value) if isinstance(value, Path) else value
