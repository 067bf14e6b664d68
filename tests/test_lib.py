import argparse
import inspect
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import warnings
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

import lib
from architectures import optimizer
from datasets import batches as batches_module


@pytest.fixture
def model():
    keras.utils.set_random_seed(0)
    inputs = keras.Input((6,), name="top")
    return keras.Model(
        inputs,
        keras.layers.Dense(4, activation="softmax")(
            keras.layers.Dense(5, activation="relu")(inputs)
        ),
    )


def run(tmp_path, *flags):
    parser = argparse.ArgumentParser(parents=[lib.run_arguments()])
    lib.generator_arguments(parser, ["my_generator"])
    args = parser.parse_args(["--out", str(tmp_path / "run"), *flags])
    lib.start_run(args)
    return args


def batches(n=64):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(n, 6)).astype("float32")
    return tf.data.Dataset.from_tensor_slices((x, (x[:, 0] > 0).astype("int32"))).batch(16)


def test_saved_run_has_a_model_and_a_card_that_tells_how_it_was_made(model, tmp_path):
    args = run(tmp_path, "--seed", "7")
    lib.save_run(
        model,
        args,
        {"test": {"accuracy": 0.5}},
        {"generator": "x"},
        "what comes out",
        ["fails on empty events"],
    )
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["arguments"]["seed"] == 7
    assert card["parameters"] == model.count_params() == 6 * 5 + 5 + 5 * 4 + 4
    assert card["inputs"] == {"top": [6]}
    assert card["known_failures"] == ["fails on empty events"]
    assert {
        "command",
        "commit",
        "dirty",
        "data",
        "outputs",
        "metrics",
        "packages",
        "device",
        "wall_time_s",
    } <= set(card)
    assert not [path for path in (tmp_path / "run").iterdir() if "part" in path.name]


def test_a_model_loads_by_folder_by_file_and_as_shipped_by_name(model, tmp_path, monkeypatch):
    lib.save_run(model, run(tmp_path), {}, {}, "")
    monkeypatch.setattr(lib, "MODELS", tmp_path)
    x = np.ones((2, 6), "float32")
    for name in (tmp_path / "run", tmp_path / "run" / "model.keras", "run"):
        np.testing.assert_allclose(
            lib.load_model(name).predict(x, verbose=0), model.predict(x, verbose=0)
        )
        assert lib.load_card(name)["name"] == "run"
    assert lib.shipped_models() == ["run"]


def test_a_model_trained_in_16_bits_is_saved_as_one_that_computes_in_float32(tmp_path):
    args = run(tmp_path, "--precision", "mixed_bfloat16")
    inputs = keras.Input((6,), name="top")
    hidden = keras.layers.Dense(5, activation="relu")(inputs)
    mixed = keras.Model(
        inputs, keras.layers.Dense(4, activation="softmax", dtype="float32")(hidden)
    )
    assert hidden.dtype == "bfloat16"
    plain = lib.in_float32(mixed)
    assert lib.in_float32(plain) is plain
    lib.save_run(plain, args, {}, {}, "")
    loaded = lib.load_model(tmp_path / "run")
    assert {layer.dtype_policy.name for layer in loaded.layers} == {"float32"}
    x = np.random.default_rng(0).normal(size=(50, 6)).astype("float32")
    np.testing.assert_array_equal(loaded(x), plain(x))
    np.testing.assert_allclose(plain(x), mixed(x), atol=0.02)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_a_saved_model_holds_no_optimizer(tmp_path, precision):
    args = run(tmp_path, "--precision", precision)
    inputs = keras.Input((6,), name="top")
    trained = keras.Model(
        inputs,
        keras.layers.Dense(4, activation="softmax", dtype="float32")(keras.layers.Dense(5)(inputs)),
    )
    train(trained, args, epochs=1)
    lib.save_run(lib.in_float32(trained), args, {}, {}, "")
    with (
        zipfile.ZipFile(tmp_path / "run" / "model.keras") as archive,
        h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as weights,
    ):
        assert list(weights.get("optimizer/vars", [])) == []


def test_an_unknown_model_is_an_error_that_names_the_shipped_ones():
    with pytest.raises(ValueError, match="no model nonsense.*shipped are"):
        lib.load_model("nonsense")


def test_what_is_no_model_is_an_error_that_names_it(model, tmp_path):
    for name, content in {"events.root": b"root", "broken.keras": b"PK", "model.zip": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=f"{name}: not a Keras model"):
            lib.load_model(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.keras", "w") as archive:
        archive.writestr("events.txt", "")
    with pytest.raises(ValueError, match="other.keras: not a model this code can load"):
        lib.load_model(tmp_path / "other.keras")


def test_a_model_of_unknown_layers_is_an_error_that_names_the_layer(tmp_path):
    class Unheard(keras.layers.Layer):
        def call(self, x):
            return x

    inputs = keras.Input((6,))
    keras.Model(inputs, Unheard()(inputs)).save(tmp_path / "model.keras")
    with pytest.raises(ValueError) as error:
        lib.load_model(tmp_path)
    said = "not a model this code can load: its layer Unheard was made elsewhere"
    assert str(error.value) == f"{tmp_path}/model.keras: {said}"


@pytest.mark.parametrize(
    "program",
    [
        "import lib; [lib.load_model(name) for name in ('top_my_generator', 'track_finder')]",
        "import keras, architectures, sys; keras.models.load_model(sys.argv[1])",
    ],
)
def test_shipped_models_load_from_any_folder_without_further_imports(program, tmp_path):
    path = lib.MODELS / "top_my_generator" / "model.keras"
    subprocess.run(
        [sys.executable, "-c", program, str(path)], check=True, cwd=tmp_path, timeout=300
    )


@pytest.mark.parametrize(
    "error, ends",
    [
        (ValueError("no such thing"), True),
        (OSError("no such file"), True),
        (KeyError("bug"), False),
    ],
)
def test_a_wrong_input_ends_a_script_with_a_sentence(error, ends):
    def main():
        raise error

    with pytest.raises(SystemExit if ends else KeyError, match=str(error.args[0])):
        lib.run(main)


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--epochs", "0"], "--epochs 0"),
        (["--batch-size", "0"], "--batch-size 0"),
        (["--val-events", "0"], "--val-events 0"),
        (["--test-events", "-5"], "--test-events -5"),
        (["--epoch-events", "63", "--batch-size", "64"], "--epoch-events 63: .*--batch-size 64"),
    ],
)
def test_numbers_that_allow_no_training_are_refused_before_it(tmp_path, flags, said):
    with pytest.raises(ValueError, match=said):
        run(tmp_path, *flags)
    assert not (tmp_path / "run").exists()


def train(model, args, epochs, extra=()):
    model.compile(
        optimizer.muon(1e-2, 40), loss="sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(
        batches().repeat(),
        epochs=epochs,
        steps_per_epoch=4,
        verbose=0,
        callbacks=[*lib.callbacks(args), *extra],
    )


class Interrupt(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_an_interrupted_training_resumes_and_ends_as_if_nothing_had_happened(model, tmp_path):
    other = keras.models.clone_model(model)
    other.set_weights(model.get_weights())
    train(model, run(tmp_path / "whole"), 4)

    with pytest.raises(KeyboardInterrupt):
        train(other, run(tmp_path / "broken"), 4, [Interrupt()])
    args = run(tmp_path / "broken")
    assert lib.epochs_done(args) == args.run["resumed_at_epoch"] == 2
    fresh = keras.models.clone_model(model)
    train(fresh, args, 4)
    for a, b in zip(model.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert lib.read_history(args.out / "history.csv")["epoch"] == [0, 1, 2, 3]
    lib.save_run(fresh, args, {}, {}, "")
    assert lib.epochs_done(args) == 0


def test_an_interrupted_run_is_resumed_with_the_same_flags_only(model, tmp_path):
    train(model, run(tmp_path, "--seed", "3"), 1)
    with pytest.raises(
        ValueError, match="run: .*--seed was 3, not 4.*--batch-size was 64, not 32"
    ) as error:
        run(tmp_path, "--seed", "4", "--batch-size", "32")
    assert "--epochs" not in str(error.value)
    args = run(
        tmp_path, "--seed", "3", "--OneDeviceStrategy", "/cpu:0"
    )  # what it computes on may change
    assert args.run["resumed_at_epoch"] == 1


def test_a_finished_run_started_again_says_so_and_begins_anew(model, tmp_path, capsys):
    args = run(tmp_path)
    train(model, args, 1)
    lib.save_run(model, args, {}, {}, "")
    assert "finished" not in capsys.readouterr().out
    assert lib.epochs_done(run(tmp_path, "--seed", "4")) == 0
    assert "run holds a finished run" in capsys.readouterr().out


@pytest.mark.parametrize("epochs, left", [(1, 0), (3, 2)])
def test_a_half_written_backup_goes_back_to_the_state_before_or_to_the_start(
    model, tmp_path, epochs, left
):
    args = run(tmp_path)
    train(model, args, epochs)
    (args.out / "backup" / "training_metadata.json").write_text('{"epo')
    args = run(tmp_path)
    assert lib.epochs_done(args) == left
    train(model, args, 4)
    assert lib.epochs_done(args) == 4


def test_strategies_are_what_the_flags_ask_for(tmp_path):
    assert isinstance(lib.choose_strategy(run(tmp_path)), type(tf.distribute.get_strategy()))
    assert isinstance(
        lib.choose_strategy(run(tmp_path, "--OneDeviceStrategy", "/cpu:0")),
        tf.distribute.OneDeviceStrategy,
    )
    with pytest.raises(SystemExit):
        run(tmp_path, "--OneDeviceStrategy", "/cpu:0", "--MirroredStrategy", "/cpu:0")


@pytest.mark.parametrize(
    "flags", [["--OneDeviceStrategy", "/gpu:77"], ["--MirroredStrategy", "/cpu:0", "/gpu:77"]]
)
def test_a_device_that_is_not_there_is_an_error_that_names_those_that_are(tmp_path, flags):
    with pytest.raises(ValueError, match="no device /gpu:77: .*/cpu:0"):
        lib.choose_strategy(run(tmp_path, *flags))


@pytest.mark.parametrize(
    "name",
    ["/cpu:0", "cpu:0", "/CPU:0", "/device:CPU:0", "/job:localhost/replica:0/task:0/device:CPU:0"],
)
def test_a_device_is_known_by_all_of_its_names(tmp_path, name):
    assert isinstance(
        lib.choose_strategy(run(tmp_path, "--OneDeviceStrategy", name)),
        tf.distribute.OneDeviceStrategy,
    )


def test_json_has_null_for_what_is_no_number(tmp_path):
    lib.write_json(
        tmp_path / "out.json",
        {"a": [float("nan"), np.float64("inf"), 0.5], "b": {"c": (1, "x", None, True)}},
    )
    assert json.loads((tmp_path / "out.json").read_text(), parse_constant=pytest.fail) == {
        "a": [None, None, 0.5],
        "b": {"c": [1, "x", None, True]},
    }


def test_json_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    for path, content in ((folder, {}), (tmp_path / "out.json", {"a": object()})):
        with pytest.raises((OSError, TypeError)):
            lib.write_json(path, content)
    assert list(tmp_path.iterdir()) == [folder]


def test_learning_rate_warms_up_and_decays():
    schedule = keras.optimizers.schedules.deserialize(
        optimizer.muon(1e-3, 1000, warmup_steps=100).get_config()["learning_rate"]
    )
    assert float(schedule(0)) == 0
    assert float(schedule(100)) == pytest.approx(1e-3)
    assert float(schedule(1000)) == pytest.approx(5e-6, rel=0.01)


@pytest.mark.parametrize(
    "shape, matrix",
    [
        ((3, 5, 16, 32), (240, 32)),
        ((48, 4, 12), (48, 48)),
        ((4, 12, 48), (48, 48)),
        ((96, 64), (96, 64)),
        ((48, 1), (48, 1)),
    ],
)
def test_muon_sees_a_kernel_as_the_matrix_from_its_inputs_to_its_outputs(shape, matrix):
    assert optimizer.as_matrix(shape) == matrix


def test_muon_steps_a_convolution_as_keras_steps_its_matrix():
    rng = np.random.default_rng(0)
    start, *gradients = rng.normal(size=(4, 3, 3, 16, 32)).astype("float32")
    kernel, matrix = keras.Variable(start), keras.Variable(start.reshape(-1, 32))
    ours, theirs = (
        kind(1e-2, weight_decay=1e-3) for kind in (optimizer.Muon, keras.optimizers.Muon)
    )
    for gradient in gradients:
        ours.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
        theirs.apply([keras.ops.convert_to_tensor(gradient.reshape(-1, 32))], [matrix])
    np.testing.assert_allclose(kernel.numpy().reshape(-1, 32), matrix.numpy(), atol=1e-6)
    assert np.abs(kernel.numpy() - start).max() > 1e-3


def test_small_matrices_and_biases_are_stepped_by_adamw():
    rng = np.random.default_rng(0)
    for shape in ((64,), (64, 4), (1, 5, 48)):
        start, gradient = rng.normal(size=(2, *shape)).astype("float32")
        one, other = keras.Variable(start), keras.Variable(start)
        optimizer.Muon(1e-2, adam_weight_decay=1e-4).apply(
            [keras.ops.convert_to_tensor(gradient)], [one]
        )
        keras.optimizers.AdamW(1e-2, weight_decay=1e-4).apply(
            [keras.ops.convert_to_tensor(gradient)], [other]
        )
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-6)


def test_drawing_without_graphviz_says_so_and_goes_on(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lib.shutil, "which", lambda name: None)
    lib.draw_model(model, tmp_path / "model.png")
    assert "Graphviz" in capsys.readouterr().out
    assert not (tmp_path / "model.png").exists()


def test_keras_still_has_the_methods_that_our_muon_overrides_and_calls():
    """They are not documented: where this fails, read the new `keras.optimizers.Muon` and then move the pin."""
    expected = {
        "_should_use_adamw": ["self", "variable"],
        "_muon_update_step": ["self", "gradient", "variable", "lr", "m"],
        "zeropower_via_newtonschulz5": ["self", "x", "steps"],
        "lr_adjust": ["self", "x"],
    }
    found = {
        name: list(inspect.signature(getattr(keras.optimizers.Muon, name)).parameters)
        for name in expected
    }
    assert found == expected


@pytest.mark.parametrize("epochs", [1, 3])
def test_a_training_that_is_interrupted_says_after_which_epoch_it_goes_on(
    model, tmp_path, epochs, capsys
):
    args = run(tmp_path, "--epochs", "5", "--batch-size", "16", "--epoch-events", "64")
    model.compile("adam", loss="sparse_categorical_crossentropy")
    interrupted = batches().repeat().map(interrupting(4 * epochs))
    data = batches_module.Data(interrupted, batches(), val_events=None, tests={}, description={})
    with pytest.raises(
        KeyboardInterrupt, match=f"interrupted after epoch {epochs - 1}|in its first epoch"
    ):
        lib.fit(model, data, args, 4)
    capsys.readouterr()
    run(tmp_path, "--epochs", "5", "--batch-size", "16", "--epoch-events", "64")
    said = capsys.readouterr().out
    assert f"goes on after epoch {epochs - 1} of 5" in said if epochs > 1 else "goes on" not in said


def interrupting(n):
    """A step of a dataset that interrupts at its n-th batch."""
    seen = []

    def interrupt():
        seen.append(1)
        if len(seen) == n:
            os.kill(os.getpid(), signal.SIGINT)
        return np.int32(0)

    def step(x, y):
        zero = tf.numpy_function(interrupt, [], tf.int32)
        return x, y + tf.reshape(zero, ())

    return step


def test_a_run_killed_while_its_first_state_was_written_begins_anew(model, tmp_path, capsys):
    args = run(tmp_path)
    (args.out / "backup" / "latest.weights.h5").write_bytes(b"half of the weights")
    args = run(tmp_path)
    assert "the first state of a run was not whole" in capsys.readouterr().out
    train(model, args, 1)
    assert lib.epochs_done(args) == 1


def test_a_training_stops_before_its_disk_is_full(model, tmp_path, monkeypatch):
    args = run(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(lib.shutil, "disk_usage", lambda _: usage._replace(free=1000))
    with pytest.raises(OSError, match=f"{args.out}: no space left on the disk"):
        train(model, args, 1)


def test_what_is_no_device_is_an_error_that_names_those_that_are(tmp_path):
    with pytest.raises(ValueError, match="no device banana: .*/cpu:0"):
        lib.choose_strategy(run(tmp_path, "--OneDeviceStrategy", "banana"))


def test_a_file_is_no_run_folder(tmp_path, capsys):
    (tmp_path / "README.md").write_text("")
    with pytest.raises(SystemExit):
        argparse.ArgumentParser(parents=[lib.run_arguments()]).parse_args(
            ["--out", str(tmp_path / "README.md")]
        )
    assert "README.md is a file, not a folder" in capsys.readouterr().err


@pytest.mark.parametrize("position", [200, 2000, -200])
def test_a_model_file_with_changed_bytes_is_one_clear_error(tmp_path, position):
    content = bytearray((lib.MODELS / "top" / "model.keras").read_bytes())
    for i in range(40):
        content[position + i] ^= 0xFF
    path = tmp_path / "model.keras"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="model.keras: not a") as error:
        lib.load_model(path)
    assert "\n" not in str(error.value)


def test_a_script_ends_with_a_sentence_when_it_is_told_to(tmp_path):
    program = "import time, lib, outputs\n"
    program += (
        "def main():\n    with outputs.whole('out.txt') as part:\n        part.write_text('half')\n"
    )
    program += "        print('ready', flush=True)\n        time.sleep(60)\nlib.run(main)"
    started = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert started.stdout.readline() == "ready\n"
    started.terminate()
    _, said = started.communicate(timeout=30)
    assert started.returncode == 143 and said == "terminated\n"
    assert list(tmp_path.iterdir()) == []


def test_a_sentence_on_a_file_is_said_once(capsys):
    tables = [("a", 1), ("a", 2), ("b", 3)]
    assert list(lib.once_a_file(tables, lambda n: f"large {n}" if n > 1 else "")) == tables
    assert capsys.readouterr().err == "a: large 2\nb: large 3\n"


def test_tensorflow_is_not_imported_before_it_is_needed():
    program = "import sys, lib, plotting, metrics, inference, outputs; "
    program += "slow = {'tensorflow', 'keras', 'seaborn', 'pandas', 'sklearn'} & set(sys.modules); "
    program += "assert not slow, slow"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_a_folder_that_is_missing_has_no_card_and_not_its_parents(model, tmp_path):
    lib.save_run(model, run(tmp_path), {}, {}, "")
    with pytest.raises(FileNotFoundError):
        lib.load_card(tmp_path / "run" / "missing")


@pytest.mark.parametrize("level, is_quiet", [(None, True), ("0", False)])
def test_start_up_lines_of_tensorflow_reach_those_who_ask_for_them(level, is_quiet):
    surroundings = {
        name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"
    }
    if level is not None:
        surroundings["TF_CPP_MIN_LOG_LEVEL"] = level
    program = "import sys, lib; lib.load_model('top'); print('an error', file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=surroundings,
        capture_output=True,
        text=True,
        check=True,
    )
    assert (done.stderr == "an error\n") == is_quiet


def test_a_warning_of_a_file_is_one_line_of_a_script_and_others_are_as_they_were(capsys):
    def main():
        warnings.warn("run.brio: entry 3: something", stacklevel=1)

    with warnings.catch_warnings():
        warnings.simplefilter("always")
        show = warnings.showwarning
        lib.run(main)
        assert warnings.showwarning is show
    assert capsys.readouterr().err == "run.brio: entry 3: something\n"
