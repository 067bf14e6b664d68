"""The ground floor of every script: shared flags, device strategy, run folder, model card, loading a model.

TensorFlow is imported where it is needed, so that `--help` and a wrong flag answer at once.
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
import signal
import subprocess
import sys
import time
import warnings
from functools import partial
from importlib import metadata
from pathlib import Path

import outputs

ROOT = Path(__file__).resolve().parent
MODELS = ROOT / "models"
PACKAGES = ("tensorflow", "keras", "numpy", "uproot", "awkward")
# Flags with which a resumed run is still the same one
MAY_CHANGE = ("out", "OneDeviceStrategy", "MirroredStrategy", "tensorboard")
# TensorFlow's start-up lines read like a crash ("failed call to cuInit"); a level that the user has set
# stays.
QUIET = "3"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", QUIET)
IDEAL = ("my_generator", "toyhaystack")  # generators of ideal events
KNOWS_IDEAL = [
    "Knows ideal events alone: an isolated hit, a missing height or cross-talk may count as a track."
]


# ---- running a script --------------------------------------------------------------------------------------


class Terminated(KeyboardInterrupt):
    """The process was told to end, as SLURM does at the time limit: what is under way cleans up as for
    Ctrl-C.
    """


def run(main):
    """Call a script's `main`; a wrong flag or file, or an interruption, ends it with a sentence, without a
    traceback.

    Python looks for what a script imports among the scripts first, where `vae` is a script and not the room. As
    no script imports another, their folder leaves the path.
    """
    if sys.path[0] == str(ROOT / "scripts"):
        del sys.path[0]

    def terminate(*_):
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            main()
    except (OSError, ValueError) as error:
        raise SystemExit(outputs.message_of(error)) from None
    except KeyboardInterrupt as interruption:
        is_told = isinstance(interruption, Terminated)
        print(str(interruption) or ("terminated" if is_told else "interrupted"), file=sys.stderr)
        raise SystemExit(128 + (signal.SIGTERM if is_told else signal.SIGINT)) from None


def _show_warning(show, message, category, *args, **kwargs):
    """Show a plain warning, such as of a file, as one line; others as Python does."""
    if category is UserWarning and str(message):
        print(message, file=sys.stderr, flush=True)
    else:
        show(message, category, *args, **kwargs)


def once_a_file(tables, *notes):
    """The same (path, events), saying on the error stream what is to be noted of a file's events, once a
    file.

    Args:
        tables: iterable of (path, Events). notes: functions Events -> a sentence, or "" where there is
            nothing to say.
    """
    said = set()
    for path, events in tables:
        for find in notes:
            sentence = find(events)
            if sentence and (path, find) not in said:
                said.add((path, find))
                note(path, sentence)
        yield path, events


def note(path, sentence):
    """Say something of a file on the error stream, where it mixes with no result."""
    print(f"{path or 'simulated events'}: {sentence}", file=sys.stderr, flush=True)


def start_tensorflow():
    """Import TensorFlow; some of its start-up lines heed no level, so what it writes meanwhile is dropped.

    Not where the user asks for its lines by TF_CPP_MIN_LOG_LEVEL.
    """
    if "tensorflow" in sys.modules or os.environ["TF_CPP_MIN_LOG_LEVEL"] != QUIET:
        return
    sys.stderr.flush()
    error_stream = os.dup(2)
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        import tensorflow  # noqa: F401
    finally:
        os.dup2(error_stream, 2)
        os.close(error_stream)


def at_least(least):
    """The type of a flag that takes whole numbers from `least` on, such as how many events to draw."""

    def number(text):
        if int(text) < least:
            raise argparse.ArgumentTypeError(f"{text} is less than {least}")
        return int(text)

    number.__name__ = "int"  # as argparse names it where the text is no number
    return number


def folder(text):
    """The type of a flag that takes a folder to write to."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a file, not a folder")
    return path


def run_arguments(epochs=10, batch_size=64):
    """Parser with the flags all training scripts share; use it as a parent.

    Arguments are the script's defaults.
    """
    parser = argparse.ArgumentParser(add_help=False)
    add = parser.add_argument
    files_help = "files or globs to train on (default: the generator, fresh events)"
    add("--data", nargs="+", metavar="FILE", help=files_help)
    out_help = "run folder; a run interrupted there is resumed"
    add("--out", type=folder, required=True, metavar="FOLDER", help=out_help)
    add("--seed", type=int, default=0, help="of data and weights (default: %(default)s)")
    add("--epochs", type=int, default=epochs, help="(default: %(default)s)")
    add(
        "--batch-size", type=int, default=batch_size, help="over all devices (default: %(default)s)"
    )
    add(
        "--precision",
        choices=("float32", "mixed_bfloat16", "mixed_float16"),
        default="float32",
        help="of the arithmetic; 16 bits are faster where processor or GPU has them (default: %(default)s)",
    )
    add(
        "--deterministic",
        action="store_true",
        help="repeatable to the last bit on one device, slower",
    )
    add("--tensorboard", action="store_true", help="write TensorBoard logs to OUT/tensorboard")
    device_arguments(parser)
    return parser


def device_arguments(parser):
    """Add the two strategy flags to a parser."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--OneDeviceStrategy", metavar="DEVICE", help='one device, such as "/gpu:0"')
    several = 'several, such as "/gpu:0" "/gpu:1"'
    group.add_argument("--MirroredStrategy", nargs="+", metavar="DEVICE", help=several)


def generator_arguments(
    parser, generators, epoch_events=65536, val_events=16384, test_events=65536
):
    """Add the flags of trainings on fresh events of a generator; `generators` are the names to choose from."""
    names = list(generators)
    add = parser.add_argument
    add("--generator", choices=names, default=names[0], help="(default: %(default)s)")
    sides_help = "channels: 1 for events on one tracker side, 2 for both (default: as the events)"
    add("--sides", type=int, choices=(1, 2), help=sides_help)
    epoch_help = "training events an epoch (default: %(default)s)"
    add("--epoch-events", type=int, default=epoch_events, help=epoch_help)
    val_help = "fresh events to validate on (default: %(default)s)"
    add("--val-events", type=int, default=val_events, help=val_help)
    test_help = "fresh events to test on, once (default: %(default)s)"
    add("--test-events", type=int, default=test_events, help=test_help)
    add(
        "--test-data",
        nargs="+",
        metavar="FILE",
        help="files to test on as well, once; never trained on",
    )
    add("--learning-rate", type=float, default=4e-3, help="at its peak (default: %(default)s)")


def encoder_decoder_arguments(parser):
    """Add the flags of networks like Matteo's, and that of the fresh events they learn from."""
    add = parser.add_argument
    skip_help = "what a level of the encoder saw is given to the decoder (default: yes)"
    add("--skip-connections", action=argparse.BooleanOptionalAction, default=True, help=skip_help)
    unpooling_help = "nearest as published, indices as SegNet's (default: %(default)s)"
    add("--unpooling", choices=("nearest", "indices"), default="nearest", help=unpooling_help)
    filters_help = (
        "of each level; 8 16 32 learn in minutes on a processor (default: the published 32 64 128)"
    )
    add(
        "--filters",
        type=at_least(1),
        nargs="+",
        default=[32, 64, 128],
        metavar="N",
        help=filters_help,
    )
    dilations_help = "of the latent level; 1 2 4 8 16 sees all columns (default: 1 1, as published, sees 20 aside)"
    add(
        "--dilations", type=at_least(1), nargs="+", default=[1, 1], metavar="N", help=dilations_help
    )
    code_help = (
        "numbers that everything goes through, without skip connections (default: the latent level)"
    )
    add("--code", type=at_least(1), metavar="N", help=code_help)
    kinds = ("self", "self_positions", "se", "cbam")
    attention_help = "kind of attention, at the places that --ratios names (default: none)"
    add("--attention", choices=kinds, help=attention_help)
    ratios_help = "of attention at each level down and up again, 0 for none, such as 0 0 8 0 0 at the latent level"
    add("--ratios", type=at_least(0), nargs="+", default=[], metavar="N", help=ratios_help)
    beside_help = (
        "put attention beside what it looked at, which widens the network, not in its place"
    )
    add("--beside", action="store_true", help=beside_help)
    start_help = "begin with the weights of a trained model, where layers are alike"
    add("--start-from", metavar="MODEL", help=start_help)
    tracks_help = "of fresh events (default: 1 2 3 4)"
    add(
        "--tracks", type=at_least(1), nargs="+", default=[1, 2, 3, 4], metavar="N", help=tracks_help
    )


def encoder_decoder_options(args):
    """What these flags say of the network, as keyword arguments of `architectures.matteo.encoder_decoder`."""
    return {
        "filters": args.filters,
        "skip_connections": args.skip_connections,
        "unpooling": args.unpooling,
        "dilations": args.dilations,
        "n_code": args.code,
        "attention": args.attention,
        "ratios": args.ratios,
        "beside": args.beside,
    }


def data_settings(args):
    """What the flags say of the data, as keyword arguments of `datasets.batches.load`.

    A resumed run goes on in the generator's stream.
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


# ---- a training --------------------------------------------------------------------------------------------


def start_run(args):
    """Begin a run: seed everything, make the run folder, note the commit (files may change while it trains).

    Raises:
        ValueError: numbers that allow no training; an interrupted run in the folder that had other flags.
    """
    _check_numbers(args)
    backup = args.out / "backup"
    _mend_backup(backup)
    _check_same_run(args, backup / "arguments.json")
    done = epochs_done(args)
    if done:
        print(f"{args.out}: goes on after epoch {done} of {args.epochs}", flush=True)
    elif (args.out / "card.json").exists():
        print(
            f"{args.out} holds a finished run: it is trained anew and then overwritten", flush=True
        )

    start_tensorflow()
    import keras

    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.precision)
    if args.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
    write_json(backup / "arguments.json", _arguments(args))
    commit, dirty = _git_state()
    args.run = {"commit": commit, "dirty": dirty, "start": time.time(), "resumed_at_epoch": done}


def _check_numbers(args):
    for name in ("epochs", "batch_size", "epoch_events", "val_events", "test_events"):
        if getattr(args, name, 1) < 1:
            raise ValueError(f"{_flag(name)} {getattr(args, name)}: has to be 1 at least")
    epoch_events = getattr(args, "epoch_events", args.batch_size)
    if epoch_events < args.batch_size:
        raise ValueError(
            f"--epoch-events {epoch_events}: less than one batch, --batch-size {args.batch_size}"
        )


def _check_same_run(args, path):
    """Compare the flags with those of the interrupted run whose arguments are in a file, if there are any."""
    if not epochs_done(args) or not path.exists():
        return
    before = json.loads(path.read_text())
    now = json.loads(json.dumps(_arguments(args)))
    names = [
        name
        for name in {**before, **now}
        if before.get(name) != now.get(name) and name not in MAY_CHANGE
    ]
    if names:
        changes = [f"{_flag(name)} was {before.get(name)}, not {now.get(name)}" for name in names]
        ways_out = f"give those, another --out, or remove {path.parent}"
        raise ValueError(
            f"{args.out}: a run interrupted there had other flags: {', '.join(changes)}; {ways_out}"
        )


def _flag(name):
    return "--" + name.replace("_", "-")


def _arguments(args):
    """What the flags say, ready for JSON."""
    return {name: _jsonable(value) for name, value in vars(args).items() if name != "run"}


def choose_strategy(args):
    """The `tf.distribute` strategy the flags ask for; without a flag, whatever TensorFlow finds.

    Raises:
        ValueError: a device that is not there; TensorFlow would wait for it for ever, or take the processor.
    """
    import tensorflow as tf

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
    """The name of a device as the flags give it, such as /gpu:0; the text itself where it names none."""
    import tensorflow as tf

    try:
        spec = tf.DeviceSpec.from_string(device)
    except ValueError:
        return device
    return f"/{str(spec.device_type).lower()}:{spec.device_index or 0}"


def fit(model, data, args, steps):
    """Train a compiled model on `datasets.batches.Data`, with everything that a run should have.

    Args:
        steps: batches an epoch.
    Raises:
        KeyboardInterrupt: interrupted; says after which epoch the same command goes on.
    """
    try:
        model.fit(
            data.train,
            validation_data=data.val,
            epochs=args.epochs,
            steps_per_epoch=steps,
            callbacks=callbacks(args),
            verbose=2,
            shuffle=False,
        )
    except KeyboardInterrupt as interruption:
        done = epochs_done(args)
        where = f"interrupted after epoch {done}" if done else "interrupted in its first epoch"
        raise type(interruption)(f"{where}; the same command goes on from there") from None


def finish(model, args, scores, data, outputs_mean, known_failures=()):
    """Save a trained model with its card, then draw history and layers; arguments as `save_run`.

    A figure that fails must not cost a training.
    """
    import plotting

    save_run(model, args, scores, data, outputs_mean, known_failures)
    plotting.history(read_history(args.out / "history.csv"), args.out / "history.pdf")
    draw_model(model, args.out / "model.png")


def callbacks(args):
    """Callbacks of every run: resume after an interruption, history as CSV, TensorBoard on request.

    The backup stays until `save_run` has saved the model.
    """
    import keras

    chosen = [
        _space_left(args.out),
        keras.callbacks.BackupAndRestore(
            args.out / "backup", double_checkpoint=True, delete_checkpoint=False
        ),
        keras.callbacks.CSVLogger(args.out / "history.csv", append=epochs_done(args) > 0),
    ]
    if args.tensorboard:
        chosen.append(keras.callbacks.TensorBoard(args.out / "tensorboard"))
    return chosen


def _space_left(folder):
    """Callback that stops a training before its disk is full: the library that writes weights would crash
    there.
    """
    import keras

    def check(epoch, logs):
        n_bytes = 4 * callback.model.count_params()
        needed = (
            8 * n_bytes + 2**20
        )  # weights, two moments of the optimizer, and all of that once more
        free = shutil.disk_usage(folder).free
        if free < needed:
            said = f"no space left on the disk: {free / 2**20:.0f} MB, a backup needs {needed / 2**20:.0f} MB"
            raise OSError(f"{folder}: {said}")

    callback = keras.callbacks.LambdaCallback(on_epoch_end=check)
    return callback


def epochs_done(args):
    """Epochs that an interrupted run in the run folder had finished; 0 for a new run."""
    try:
        return json.loads((args.out / "backup" / "training_metadata.json").read_text())["epoch"]
    except FileNotFoundError:
        return 0


def _mend_backup(folder):
    """Go back to the last whole state where a run was killed while it wrote one.

    Keras itself copes with half-written weights of a later state only.
    """
    weights, state = folder / "latest.weights.h5", folder / "training_metadata.json"
    if weights.exists() and not state.exists():
        print(
            f"{folder}: the first state of a run was not whole, so the run begins anew", flush=True
        )
        weights.unlink()
        return
    try:
        json.loads(state.read_text())
    except FileNotFoundError:
        return
    except json.JSONDecodeError:
        for path in (weights, state):
            previous = path.with_name(f"{path.name}.bkp")
            if previous.is_file():
                shutil.copy(previous, path)
            else:
                path.unlink(missing_ok=True)


def in_float32(model):
    """A trained model as one that computes in float32, as models are tested and shipped.

    The same model if it does already.
    """
    import keras

    if keras.config.dtype_policy().name == "float32":
        return model
    keras.config.set_dtype_policy("float32")
    bare = _bare(model)  # a clone would be compiled anew, by names of losses
    plain = keras.models.clone_model(bare, clone_function=_as_float32)
    plain.set_weights(model.get_weights())
    return plain


def _bare(model):
    """The same model without what it was compiled with."""
    import keras

    return keras.Model(model.input, model.output, name=model.name)


def _as_float32(layer):
    config = layer.get_config()
    return type(layer).from_config({**config, "dtype": "float32"} if "dtype" in config else config)


def read_history(path):
    """A history CSV as name -> list of floats; NaN where Keras wrote NA."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    names = rows[0] if rows else ()
    return {name: [float(row[name].replace("NA", "nan")) for row in rows] for name in names}


def save_run(model, args, metrics, data, outputs_mean, known_failures=()):
    """Write `model.keras` and `card.json` to the run folder, each under a temporary name and renamed.

    Args:
        model: what was trained. args: the script's parsed arguments, after `start_run`.
        metrics: name of a test set -> its figures of merit with intervals. data: what was trained and tested
            on.
        outputs_mean: what the outputs mean, such as the classes. known_failures: sentences.
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
        "outputs": outputs_mean,
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
    with outputs.whole(args.out / "model.keras") as temporary:
        _bare(model).save(
            temporary
        )  # without an optimizer: a third of the size; runs resume from backups
    (args.out / "model.onnx").unlink(missing_ok=True)  # of an earlier model
    write_json(args.out / "card.json", card)
    shutil.rmtree(args.out / "backup", ignore_errors=True)
    return card


# ---- trained models ----------------------------------------------------------------------------------------


def model_path(name):
    """The `.keras` file of a model, by the name of a shipped one or by the path of a run folder or a file.

    Raises:
        ValueError: no such model; names those that are shipped.
    """
    for path in (MODELS / str(name) / "model.keras", Path(name) / "model.keras", Path(name)):
        if path.is_file():
            return path
    raise ValueError(
        f"no model {name}: not a path of one, and shipped are {', '.join(shipped_models())}"
    )


def load_model(name):
    """A trained model as Keras has it, not compiled; `name` as in `model_path`.

    Raises:
        ValueError: no such model, a file that is none, or a model with layers that were made elsewhere.
    """
    path = model_path(name)

    start_tensorflow()
    import architectures

    return architectures.load(path)


def start_from(model, name, all_layers=True):
    """Give a network the weights of a trained one; `name` as in `model_path`, all_layers as of
    `architectures.start_from`.

    Raises:
        ValueError: no such model, or another network.
    """
    import architectures

    trained = load_model(name)
    try:
        architectures.start_from(model, trained, all_layers)
    except ValueError as error:
        raise ValueError(f"--start-from {name}: {error}") from None


def load_card(name):
    """The card of a model, by name or by the path of its folder or file.

    Raises:
        FileNotFoundError: no such model, or one without a card.
    """
    path = MODELS / str(name) if (MODELS / str(name)).is_dir() else Path(name)
    folder = path.parent if path.is_file() else path
    return json.loads((folder / "card.json").read_text())


def shipped_models():
    """Names of the models in `models/`."""
    return sorted(path.parent.name for path in MODELS.glob("*/model.keras"))


def shipped_counters():
    """Names of those that count something: their cards give a confusion matrix."""
    return [name for name in shipped_models() if "confusion" in load_card(name)["metrics"]["test"]]


def task_of(name):
    """What a model says: its target, "tracks" or "segments" of a counter, and what its answers are, "" of a
    counter. Its card says both; cards of before there was a choice do not.
    """
    try:
        arguments = load_card(name)["arguments"]
    except FileNotFoundError:  # a .keras file alone
        return "tracks", ""
    return arguments.get("target", "tracks"), arguments.get("answers", "")


def draw_model(model, path):
    """Draw the layers of a model, format by the path's suffix; without Graphviz, say so in one line and go
    on.
    """
    if shutil.which("dot") is None:
        print("model drawing skipped: Graphviz is missing (Debian: apt-get install graphviz)")
        return

    import keras

    graph = keras.utils.model_to_dot(model, show_shapes=True, dpi=80)
    graph.set("splines", "spline")  # Keras' right angles crash dot on residual networks
    graph.write(path, format=Path(path).suffix[1:])


def describe_device():
    """The devices TensorFlow found, and the processor."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [
        tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus
    ]
    return ", ".join(names) or describe_processor()


def describe_processor():
    """Number and kind of the processor's cores."""
    return f"{os.cpu_count()} CPU cores ({_processor()})"


# ---- files -------------------------------------------------------------------------------------------------


def write_json(path, content):
    """Write JSON under a temporary name and rename it; null stands for what is not a finite number."""
    text = json.dumps(_finite(content), indent=1, allow_nan=False) + "\n"
    with outputs.whole(path) as temporary:
        temporary.write_text(text)


def _finite(content):
    if isinstance(content, dict):
        return {name: _finite(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content


def _processor():
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return platform.machine()
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1] if found else platform.machine()


def _git_state():
    """(commit, whether tracked files differ from it); None where there is no repository."""
    try:
        commit = _git("rev-parse", "HEAD")
        changes = _git("status", "--porcelain", "-uno")
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return commit, bool(changes)


def _git(*words):
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def _relative(path):
    path = Path(path).resolve()
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else path.name


def _jsonable(value):
    return str(value) if isinstance(value, Path) else value
