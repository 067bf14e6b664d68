r"""What does each part of the track finder bring? Short trainings that lack one, on the same events.

    python scripts/track_finder.py --precision mixed_bfloat16 --epochs 4 --out runs/ablation/full
    python scripts/track_finder.py --precision mixed_bfloat16 --epochs 4 --filters 0 --hit-layers 3 \
        --out runs/ablation/no_u_net
    python scripts/track_finder.py --precision mixed_bfloat16 --epochs 4 --hit-layers 0 \
        --out runs/ablation/no_attention_among_hits
    python scripts/track_finder.py --precision mixed_bfloat16 --epochs 4 --loss matched --out runs/ablation/matched_loss
    python scripts/track_finder.py --precision mixed_bfloat16 --epochs 4 --generator my_generator \
        --out runs/ablation/ideal_events_only
    python scripts/ablation.py runs/ablation/* --card models/track_finder

Prints a Markdown table: perfect events of 1/2/3/4 tracks, of the network alone, with the refit, and with the
foil rule too. With `--card` the figures are written into the card of the shipped model.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from finding.foil import foil_rule
from my_generator import realistic
from my_generator.response import PRESETS

STEPS = ("network", "with refit", "with refit and foil rule")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("runs", nargs="+", type=Path, help="run folders of track_finder.py")
    add("--events", type=lib.at_least(1), default=8000, help="(default: %(default)s)")
    preset_help = "of their response (default: %(default)s)"
    add("--preset", choices=PRESETS, default="data", help=preset_help)
    add("--seed", type=lib.at_least(0), default=4242, help="(default: %(default)s)")
    add("--card", type=Path, metavar="FOLDER", help="of the model whose card tells the figures too")
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    networks = {run: inference.load(run) for run in args.runs}
    card_of_model = json.loads((args.card / "card.json").read_text()) if args.card else None
    events = realistic.generate(args.events, preset=args.preset, seed=args.seed)
    print(row_of(["perfect events, 1/2/3/4 tracks, %", "events trained on", *STEPS]))
    print(row_of(["---"] * (2 + len(STEPS))), flush=True)
    runs = {}
    for run, network in networks.items():
        card = lib.load_card(run)
        training = card["arguments"]
        n_trained = training["epochs"] * training["epoch_events"]
        perfect = {
            step: figures(events, labels) for step, labels in labels_of(network, events).items()
        }
        runs[run.name] = {
            "command": card["command"],
            "n_events_trained": n_trained,
            "perfect": perfect,
        }
        shown = [in_percent(perfect[step]) for step in STEPS]
        print(row_of([run.name.replace("_", " "), f"{n_trained:,}", *shown]), flush=True)
    words = sys.argv[1:] if argv is None else argv
    results = {
        "command": shlex.join(["python", "scripts/ablation.py", *words]),
        "preset": args.preset,
        "n_events": args.events,
        "seed": args.seed,
        "runs": runs,
    }
    if args.card:
        lib.write_json(args.card / "card.json", {**card_of_model, "ablation": results})
    return results


def labels_of(network, events):
    """Step -> (hit,) labels."""
    seen = inference.look(events, network)
    refitted = inference.tracks_of(events, seen)
    return {
        "network": inference.tracks_of(events, seen, refit_lines=False),
        "with refit": refitted,
        "with refit and foil rule": foil_rule(events, refitted),
    }


def figures(events, labels):
    """Perfect events by true number of tracks: name -> value, interval, n."""
    scores = metrics.clustering_of(events, labels)
    return {str(n): scores[str(n)]["perfect"] for n in np.unique(events.info["n_tracks"])}


def in_percent(scores):
    """Values of `figures` as text."""
    return "/".join(f"{100 * score['value']:.1f}" for score in scores.values())


def row_of(cells):
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    lib.run(main)
