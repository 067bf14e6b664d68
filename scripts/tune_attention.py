"""Does attention help to take a track away? A search over kinds and places, then seeds against no attention.

    python scripts/tune_attention.py --out runs/tune_attention

For each latent level, the published one that sees 20 columns to either side and the wide one that sees all,
keras-tuner draws `--trials` networks: a kind of attention, in place of what it looked at or beside it, and its
ratio at each of five places, 0 for none. One more is always among them, self-attention with positions at the
latent level alone. All see the same events. The `--best` of them, the same network without attention and, where
a winner is widened by attention beside, one without attention that has about as many parameters, are then
trained with `--seeds` other seeds of data and weights. What counts is the balanced hit accuracy of fresh
validation events, at the best threshold: mean, standard deviation, and the difference to none with its standard
error.

Self-attention is left out at the places of full size, P1 and P5: there it weighs 1.9 million pairs an event.

Every result is written to FOLDER/results.json at once, and one that stands there is not measured again: the
same command goes on after an interruption. Small networks (filters 8 16 32) and few events keep it short: that is
a comparison of how fast they learn, not of where they end.
"""

import argparse
import json
import shlex
import sys
import time

import numpy as np

import inference
import lib
import metrics
import outputs
from datasets import batches, clustering_images
from my_generator import realistic

LATENTS = {"published": (1, 1), "wide": (1, 2, 4, 8, 16)}  # dilations
KINDS = ("self", "self_positions", "se", "cbam", "cbam_beside")
RATIOS = (0, 4, 8, 16)
N_PLACES = 5
NOT_OF_SELF = (0, 4)  # places of full size
# Looks at all columns where it matters most: what the published latent level lacks
AT_LATENT = {"attention": "self_positions", "ratios": [0, 0, 8, 0, 0], "beside": False}
NONE = {"attention": None, "ratios": [0] * N_PLACES, "beside": False}
FIRST_SEED = 1000  # of the seeds after the search, which has `--seed`


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    positive = lib.at_least(1)
    add(
        "--out",
        type=lib.folder,
        required=True,
        metavar="FOLDER",
        help="results; what is there is kept",
    )
    add("--latents", nargs="+", choices=LATENTS, default=list(LATENTS), help="(default: both)")
    add(
        "--trials",
        type=positive,
        default=5,
        help="networks drawn for each latent (default: %(default)s)",
    )
    add(
        "--best",
        type=positive,
        default=1,
        help="of them that are trained again (default: %(default)s)",
    )
    add(
        "--seeds",
        type=lib.at_least(2),
        default=3,
        help="with which they are (default: %(default)s)",
    )
    add(
        "--events",
        type=positive,
        default=16384,
        help="that each learns from (default: %(default)s)",
    )
    add("--val-events", type=positive, default=2048, help="(default: %(default)s)")
    filters_help = "of the three levels (default: %(default)s)"
    add("--filters", type=positive, nargs=3, default=[8, 16, 32], metavar="N", help=filters_help)
    add(
        "--tracks",
        type=positive,
        nargs="+",
        default=[2],
        metavar="N",
        help="(default: %(default)s)",
    )
    generators = (*realistic.RESPONSES, *realistic.MIXES)
    add("--generator", choices=generators, default="ideal", help="(default: %(default)s)")
    add("--batch-size", type=positive, default=64, help="(default: %(default)s)")
    add("--learning-rate", type=float, default=4e-3, help="at its peak (default: %(default)s)")
    add("--seed", type=lib.at_least(0), default=0, help="of the search (default: %(default)s)")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    if args.events < args.batch_size:
        raise ValueError(
            f"--events {args.events}: less than one batch, --batch-size {args.batch_size}"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    words = sys.argv[1:] if argv is None else argv
    command = shlex.join(["python", "scripts/tune_attention.py", *words])
    record = Record(args.out / "results.json", command, settings_of(args))
    lib.start_tensorflow()
    for latent in args.latents:
        drawn = search(latent, args, record)
        for options in finalists(latent, drawn, args):
            for i in range(args.seeds):
                seed = FIRST_SEED + i
                measure(latent, options, seed, args, record)
    text = table(record.results, args)
    with outputs.whole(args.out / "results.md") as temporary:
        temporary.write_text(text + "\n")
    print(text)
    return record.results


# ---- results on disk ---------------------------------------------------------------------------------------


class Record:
    """What was measured, in a file that is written anew after each result.

    Attributes:
        results: list of {"latent", "options", "seed", "balanced", "parameters", "cpu_s"}.
    """

    def __init__(self, path, command, settings):
        self.path = path
        self.head = {"command": command, "settings": settings, "device": lib.describe_processor()}
        self.results = []
        if path.exists():
            before = json.loads(path.read_text())
            if before["settings"] != settings:
                raise ValueError(
                    f"{path}: other settings, {before['settings']}; give another --out"
                )
            self.results = before["results"]

    def find(self, **wanted):
        """The result of these values; None where it is not measured yet."""
        for result in self.results:
            if all(result[name] == value for name, value in wanted.items()):
                return result
        return None

    def add(self, result):
        self.results.append(result)
        lib.write_json(self.path, {**self.head, "results": self.results})


def settings_of(args):
    """What results depend on beside the network, ready for JSON."""
    names = (
        "events",
        "val_events",
        "filters",
        "tracks",
        "generator",
        "batch_size",
        "learning_rate",
    )
    return {name: getattr(args, name) for name in names}


# ---- the search --------------------------------------------------------------------------------------------


def search(latent, args, record):
    """Results of AT_LATENT and of the drawn networks, the best first.

    The tuner begins anew each time: with the same seed it draws the same networks, and those that were measured
    are looked up. So nothing hangs on the state of a tuner that was killed.
    """
    import keras_tuner

    drawn = [measure(latent, AT_LATENT, args.seed, args, record)]

    class Search(keras_tuner.RandomSearch):
        def run_trial(self, trial, verbose):
            result = measure(latent, options_of(trial.hyperparameters), args.seed, args, record)
            drawn.append(result)
            return {"balanced": result["balanced"]}

    tuner = Search(
        hypermodel=options_of,  # only says what there is to choose: networks are made by `measure`
        objective=keras_tuner.Objective("balanced", "max"),
        max_trials=args.trials,
        seed=args.seed + 1,  # it takes 0 for none
        overwrite=True,
        directory=str(args.out),
        project_name=f"tuner_{latent}",
    )
    tuner.search(verbose=0)
    return sorted(drawn, key=balanced_of, reverse=True)


def options_of(choices):
    """Options of the encoder-decoder that a tuner chose: attention, ratios, beside."""
    kind = choices.Choice("kind", KINDS)
    ratios = []
    for place in range(N_PLACES):
        ratio = choices.Choice(f"ratio_{place + 1}", RATIOS)
        left_out = kind.startswith("self") and place in NOT_OF_SELF
        ratios.append(0 if left_out else ratio)
    if not any(ratios):
        return NONE
    return {
        "attention": kind.removesuffix("_beside"),
        "ratios": ratios,
        "beside": kind.endswith("_beside"),
    }


def balanced_of(result):
    return result["balanced"]


def finalists(latent, drawn, args):
    """Options of the networks that several seeds are spent on: none, the best, and none made as large."""
    chosen = [NONE]
    for result in drawn:
        if result["options"] not in chosen and len(chosen) <= args.best:
            chosen.append(result["options"])
    widest = max(n_parameters(latent, options, args) for options in chosen)
    if any(options["beside"] for options in chosen):
        chosen.append(NONE | {"filters": as_large(latent, widest, args)})
    return chosen


def as_large(latent, n_wanted, args):
    """Filters of a network without attention with about as many parameters, all levels wider alike."""
    best = args.filters
    for factor in np.arange(1, 3, 0.05):
        filters = [round(factor * n) for n in args.filters]
        if n_parameters(latent, NONE | {"filters": filters}, args) <= n_wanted:
            best = filters
    return best


# ---- one network -------------------------------------------------------------------------------------------


def build(latent, options, args):
    """The network; `options` may hold other filters than the flags."""
    from architectures.matteo import encoder_decoder

    shape = (*clustering_images.SHAPE, 1)
    ratios = options["ratios"] if options["attention"] else ()
    of_network = (
        {"filters": args.filters, "dilations": LATENTS[latent]} | options | {"ratios": ratios}
    )
    return encoder_decoder(shape, **of_network)


def n_parameters(latent, options, args):
    return build(latent, options, args).count_params()


def measure(latent, options, seed, args, record):
    """Train a network that is not in the record, and put it there; the result."""
    known = record.find(latent=latent, options=options, seed=seed)
    if known:
        return known
    start = time.process_time()
    balanced, parameters = train(latent, options, seed, args)
    result = {"latent": latent, "options": options, "seed": seed}
    result |= {"balanced": balanced, "parameters": parameters, "cpu_s": time.process_time() - start}
    record.add(result)
    print(
        f"{latent}, {name_of(options)}, seed {seed}: {balanced:.2%}, {result['cpu_s']:.0f} s",
        flush=True,
    )
    return result


def train(latent, options, seed, args):
    """Balanced hit accuracy of validation events after a short training, and the number of parameters."""
    import keras

    from architectures import losses, optimizer

    keras.backend.clear_session()
    keras.utils.set_random_seed(seed)
    steps = args.events // args.batch_size
    model = build(latent, options, args)
    muon = optimizer.muon(args.learning_rate, steps)
    model.compile(muon, loss={"cells": losses.on_lit_cells})
    task = clustering_images.task("removal")
    generate = realistic.generator(args.generator, args.tracks)
    data = batches.load(
        task, generate, batch_size=args.batch_size, seed=seed, n_val=args.val_events, n_test=1
    )
    model.fit(data.train, steps_per_epoch=steps, epochs=1, verbose=0, shuffle=False)
    offsets, keep, probability, _ = inference.cells_said(inference.load(model), data.val_events)
    threshold = metrics.best_hit_threshold(offsets, keep, probability)
    by_event = metrics.removal_by_event(offsets, keep, probability >= threshold)
    return float(np.nanmean(by_event["balanced"])), model.count_params()


# ---- the table ---------------------------------------------------------------------------------------------


def table(results, args):
    """Markdown: what the search saw, and what the seeds say."""
    lines = []
    for latent in args.latents:
        of_latent = [result for result in results if result["latent"] == latent]
        lines += [f"**{latent}** latent level, dilations {' '.join(map(str, LATENTS[latent]))}", ""]
        lines += [
            "| network | parameters | balanced hit accuracy | against none |",
            "| --- | --- | --- | --- |",
        ]
        none = values_of(of_latent, NONE)
        for options in unlike(of_latent):
            values = values_of(of_latent, options)
            parameters = next(r["parameters"] for r in of_latent if r["options"] == options)
            if len(values):
                said = f"{100 * values.mean():.2f} ± {100 * values.std(ddof=1):.2f} % ({len(values)} seeds)"
                lines.append(
                    f"| {name_of(options)} | {parameters:,} | {said} | {against(values, none)} |"
                )
        searched = [r for r in of_latent if r["seed"] == args.seed]
        for result in sorted(searched, key=balanced_of, reverse=True):
            said = f"{100 * result['balanced']:.2f} % (search)"
            lines.append(f"| {name_of(result['options'])} | {result['parameters']:,} | {said} | |")
        lines.append("")
    return "\n".join(lines).rstrip()


def unlike(results):
    """The options of results, each once."""
    options = []
    for result in results:
        if result["options"] not in options:
            options.append(result["options"])
    return options


def values_of(results, options):
    """Balanced hit accuracies of a network with the seeds after the search."""
    return np.array(
        [r["balanced"] for r in results if r["options"] == options and r["seed"] >= FIRST_SEED]
    )


def against(values, none):
    """The difference of the means and its standard error, as text."""
    if values is none or np.array_equal(values, none):
        return ""
    error = np.sqrt(values.var(ddof=1) / len(values) + none.var(ddof=1) / len(none))
    return f"{100 * (values.mean() - none.mean()):+.2f} ± {100 * error:.2f}"


def name_of(options):
    """A network in a few words."""
    if options["attention"] is None:
        filters = options.get("filters")
        return f"none, filters {' '.join(map(str, filters))}" if filters else "none"
    beside = " beside" if options["beside"] else ""
    return f"{options['attention']}{beside} {' '.join(map(str, options['ratios']))}"


if __name__ == "__main__":
    lib.run(main)
