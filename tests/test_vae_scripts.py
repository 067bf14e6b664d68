"""The scripts of latent spaces, for a moment each."""

import json

import numpy as np
import pytest

import inference
import lib
import plotting_latent
from datasets.readers import hit_tree
from my_generator import realistic
from scripts import autoencoder, latent_removal, testing_clustering, vae
from vae import lib as models

TINY = [
    *["--epochs", "1", "--epoch-events", "16", "--batch-size", "8", "--val-events", "8"],
    *["--test-events", "12", "--generator", "data"],
]
RUNS = {
    "vae": ["--tracks", "1", "3"],
    "vae_gan": ["--hint", "decoder", "--precision", "mixed_bfloat16"],
    "adversarial_autoencoder": ["--hint", "encoder", "--hit-weight", "3"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of each kind, and what its script returned."""
    folder = tmp_path_factory.mktemp("latent")
    made = {}
    for kind, more in RUNS.items():
        flags = ["--kind", kind, "--latent", "4", "--out", str(folder / kind), *TINY, *more]
        try:
            made[kind] = (folder / kind, vae.main(flags))
        finally:
            import keras

            keras.config.set_dtype_policy("float32")
    return made


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("events") / "events_0.root"
    hit_tree.write(path, realistic.generate(20, preset="data", seed=8))
    return path


@pytest.mark.parametrize("kind", RUNS)
def test_a_run_leaves_a_copy_network_with_card_and_figures(runs, kind, file, tmp_path):
    folder, scores = runs[kind]
    network = inference.load(folder)
    assert inference.answers_of_images(network) == "copy"
    assert network.outputs["cells"] == (116, 12, 1)
    assert ("hint" in network.inputs) == (kind != "vae")
    test = lib.load_card(folder)["metrics"]["test"]
    assert test["n_events"] == 12 and "randomly_added" in test
    assert len(test["codes"]["variance_of_means"]) == 4
    assert test["pieces"]["loss"] == pytest.approx(scores["test"]["pieces"]["loss"])
    assert {path.name for path in folder.glob("*.pdf")} >= {
        "copies.pdf",
        "samples.pdf",
        "walks.pdf",
        "history.pdf",
    }
    model = lib.load_model(folder)
    assert (
        model.get_layer("decoder").count_params() + model.get_layer("encoder").count_params()
        == model.count_params()
    )
    testing_clustering.main([str(folder), str(file), "--json", str(tmp_path / "scores.json")])
    assert json.loads((tmp_path / "scores.json").read_text())["n_events"] == 20


def test_a_run_begins_with_the_weights_of_another(runs, tmp_path):
    folder, _ = runs["vae"]
    args = vae.parse_args(
        ["--kind", "vae_gan", "--latent", "4", "--out", str(tmp_path / "run"), *TINY]
    )
    model = vae.build(args, 2)
    network = models.copy_network(model.encoder, model.decoder)
    lib.start_from(network, folder)
    image = np.random.default_rng(0).integers(0, 2, (2, 116, 12, 1)).astype(np.float32)
    said = network.predict(image, verbose=0)["cells"]
    np.testing.assert_array_equal(said, lib.load_model(folder).predict(image, verbose=0)["cells"])
    flags = ["--latent", "5", "--start-from", str(folder), "--out", str(tmp_path / "run"), *TINY]
    with pytest.raises(ValueError, match="--start-from .*another network"):
        vae.main(flags)


@pytest.mark.parametrize("source", ["plain", "vae"])
def test_removal_in_latent_space_is_judged_as_other_removal_is(runs, source, tmp_path, file):
    trained = runs["vae"][0]
    if source == "plain":
        trained = tmp_path / "code"
        small = [
            "--filters",
            "2",
            "2",
            "2",
            "--no-skip-connections",
            "--code",
            "5",
            "--dilations",
            "1",
        ]
        autoencoder.main(["--out", str(trained), *small, *TINY])
    out = tmp_path / "removal"
    scores = latent_removal.main([str(trained), "--hidden", "8", "--out", str(out), *TINY])
    network = inference.load(out)
    assert inference.answers_of_images(network) == "removal"
    test = lib.load_card(out)["metrics"]["test"]
    assert set(test["true_code"]) == {"network", "keep all", "remove all"}
    assert test["copy"]["n_events"] == test["n_events"] == 12 and "clustering" in scores["test"]
    frozen = models.parts_of(lib.load_model(trained))
    saved = lib.load_model(out)
    for name, part in zip(("encoder", "decoder"), frozen, strict=True):
        for own, expected in zip(
            saved.get_layer(name).get_weights(), part.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(own, expected)
    assert saved.get_layer("mover").input.shape == (None, 5 if source == "plain" else 4)
    testing_clustering.main([str(out), str(file)])


def test_models_without_a_code_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no model nowhere"):
        latent_removal.main(["nowhere", "--out", str(tmp_path / "run"), *TINY])
    with pytest.raises(ValueError, match="has no short code"):
        latent_removal.main(["top_my_generator", "--out", str(tmp_path / "run"), *TINY])


def test_copies_are_drawn_as_copied_lost_and_added_cells():
    image = np.zeros((1, 116, 12), bool)
    image[0, 2, 2] = image[0, 3, 2] = True
    lit = np.zeros_like(image)
    lit[0, 3, 2] = lit[0, 114, 10] = True
    figure = plotting_latent.copies(image, lit, ["one"])
    shown = figure.axes[0].images[0].get_array()
    assert shown.shape == (9, 113)
    assert (shown[0, 0], shown[0, 1], shown[8, 112]) == (2, 1, 3) and np.count_nonzero(shown) == 3
