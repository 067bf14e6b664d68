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
import shlex
import sys
from pathlib import Path

import numpy as np

import inference
import lib
import metrics
from finding.foil import foil_rule
from my_generator import realistic

STEPS = ("network", "with refit", "with refit and foil rule")


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of track_finder.py")
    parser.add_argument("--events", type=int, default=8000, help="(default: %(default)s)")
    parser.add_argument("--preset", default="data", help="of their response (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=4242, help="(default: %(default)s)")
    parser.add_argument(
        "--card", type=Path, metavar="FOLDER", help="of the model whose card tells the figures too"
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    events = realistic.generate(args.events, preset=args.preset, seed=args.seed)
    print(f"| perfect events, 1/2/3/4 tracks, % | events trained on | {' | '.join(STEPS)} |")
    print("| --- |" + " --- |" * (len(STEPS) + 1), flush=True)
    results = {}
    for run in args.runs:
        card = lib.load_card(run)
        n_events = card["arguments"]["epochs"] * card["arguments"]["epoch_events"]
        scores = {
            step: figures(events, labels) for step, labels in zip(STEPS, steps(run, events), strict=True)
        }
        results[run.name] = {"command": card["command"], "n_events_trained": n_events, "perfect": scores}
        shown = [
            "/".join(f"{100 * score['value']:.1f}" for score in of_step.values())
            for of_step in scores.values()
        ]
        print(f"| {run.name.replace('_', ' ')} | {n_events:,} | {' | '.join(shown)} |", flush=True)
    results = {
        "command": shlex.join(["python", "scripts/ablation.py", *(sys.argv[1:] if argv is None else argv)]),
        "preset": args.preset,
        "n_events": args.events,
        "seed": args.seed,
        "runs": results,
    }
    if args.card:
        lib.write_json(args.card / "card.json", {**lib.load_card(args.card), "ablation": results})
    return results


def steps(model, events):
    """Labels of the network, of network and refit, and with the foil rule."""
    seen = inference.look(events, model)
    labels = inference.tracks_of(events, seen)
    return inference.tracks_of(events, seen, refit_lines=False), labels, foil_rule(events, labels)


def figures(events, labels):
    """Perfect events by true number of tracks: name -> value, interval, n."""
    scores = metrics.clustering_of(events, labels)
    return {str(n): scores[str(n)]["perfect"] for n in np.unique(events.info["n_tracks"])}


if __name__ == "__main__":
    lib.run(main)
