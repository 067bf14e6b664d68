"""Write the tables of README.md and docs/ anew, from the cards and the JSON files of the models.

    python scripts/make_results.py
    python scripts/make_results.py --check

A table stands between `<!-- made by scripts/make_results.py: NAME -->` and `<!-- end -->`, where NAME is one
of RESULTS. With `--check` nothing is written, and the command fails with the names of the files that would
change.
"""

import argparse
import json
import re
import statistics
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODELS = ROOT / "models"
BEGIN = "<!-- made by scripts/make_results.py: "
END = "<!-- end -->"
BLOCK = re.compile(rf"{BEGIN}(?P<name>\w+) -->\n(?P<made>.*?){END}", re.DOTALL)

RECOMMENDED = "combined_my_generator"
COUNTERS_IN_SHORT = (RECOMMENDED, "top_my_generator", "combined", "top")
EFFECTS_ON = ("top_my_generator", "side_realistic", "front_realistic", RECOMMENDED)
WITH_FOIL = " + foil rule"
CLASSICAL = (
    "connected cells",
    "DBSCAN",
    "HDBSCAN",
    "Hough",
    "RANSAC on cells and z",
    "RANSAC on drift radii",
)
FOUND = "track finder + refit"
FOUND_WITH_ARCS = FOUND + " with arcs"
ORACLES = ("oracle: lines known", "oracle: lines known, covered hits kept")
FINDERS_IN_SHORT = (CLASSICAL[-1] + WITH_FOIL, "track finder alone", FOUND, ORACLES[-1])
FINDERS = (
    *(row + rule for row in (*CLASSICAL, "track finder alone", FOUND) for rule in ("", WITH_FOIL)),
    *ORACLES,
)
FINDERS_BY_RESPONSE = (
    "RANSAC on cells and z" + WITH_FOIL,
    "RANSAC on drift radii" + WITH_FOIL,
    "track finder alone",
    FOUND,
    FOUND + WITH_FOIL,
    FOUND + ", radii hidden",
    FOUND + ", heights hidden",
    *ORACLES,
)
# networks that name classes of tracks
CLASS_MODELS = (
    "calorimeter_column",
    "calorimeter_columns_softmax",
    "calorimeter_columns_bce",
    "calorimeter_columns_each",
    "fitting_hints",
    "fitting_hints_with_radii",
)
# networks that look at images of cells, by what they say
REMOVALS = (
    "clustering_matteo_with_skip_connections",
    "clustering_matteo_without_skip_connections",
    "attention",
    "gan",
    "latent_removal",
    "latent_removal_variational",
)
COPIES = (
    "matteo_with_skip",
    "matteo_without_skip",
    "matteo_code",
    "vae",
    "vae_gan",
    "adversarial_autoencoder",
)
OTHER_IMAGE_MODELS = ("clustering_removal", "clustering_channels", "two_channels")
FIRST_SEED = 1000  # of tune_attention.py after its search
FINDING = ("track_finder", "track_finder_arcs")
BENT = {
    "electrons": "electrons",
    "electrons_of_one_vertex": "of one vertex",
    "electrons_without_field": "without field",
    "my_generator": "lines",
}
COMPARISON = "clustering_removal/comparison.json"
MULTISET = "nearest multiset, k predicted"
SAYS = {
    "calorimeter_column": "column of the only track",
    "calorimeter_columns_softmax": "share of the tracks in each column",
    "calorimeter_columns_bce": "whether a track ends in each column",
    "calorimeter_columns_each": "column of each track",
    "fitting_hints": "segments of angle and foil of the only track",
    "fitting_hints_with_radii": "the same, from hits with radii and heights",
}
HEADLINE = """\
- **{right}** of {n_events:,} simulated events of 1 to 4 tracks, ideal and realistic ones, are counted right.
- **{perfect:.0f} %** of simulated events of four tracks, with the noise, cross-talk and kinks of a real
  detector, are found right to the last hit. The best classical finder here gets {perfect_classical:.0f} %.
- **{blocks:.1f} %** of the tracks found in such events are followed to the right calorimeter block.
- **{falaise:.0f} %** of {n_falaise} events by Falaise, whose electrons are bent and scattered, have the right number of
  found tracks; the clusters in its files have it in {clusters:.0f} %."""
FIGURES = {
    "count right": "count_right",
    "efficiency": "efficiency",
    "fake": "fake",
    "noise rejected": "noise_rejected",
    "perfect events": "perfect",
    "hit accuracy": "hit_accuracy",
}


def read(path):
    """A JSON file of `models/`."""
    return json.loads((MODELS / path).read_text())


def card_of(model):
    return read(f"{model}/card.json")


def samples(path="track_finder/clustering.json"):
    """Response of the detector -> row -> figures of merit and speeds of a track finder."""
    found = read(path)["samples"]
    return {response: sample["finders"] for response, sample in found.items()}


def table(head, rows):
    """Markdown of a table: cells of the head, and of each row."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def link_to(model):
    """The card of a model, as seen from the README."""
    return f"[`{model}`](models/{model}/card.json)"


def share(value):
    return f"{100 * value:.2f} %"


def accuracy(scores):
    """An accuracy and its 68 % interval."""
    low, high = scores["interval"]
    return f"{share(scores['accuracy'])} ({100 * low:.2f}–{100 * high:.2f})"


def on_fresh_events(card):
    scores = card["metrics"]["test"]
    return f"{accuracy(scores)} of {scores['n_events']:,} `{card['arguments']['generator']}`"


def on_original_files(card):
    scores = card["metrics"].get("files")
    return f"{accuracy(scores)} of {scores['n_events']:,}" if scores else "–"


def minutes(card):
    return f"{card['wall_time_s'] / 60:.0f} min"


def sides_of(card):
    """How many tracker sides a counter sees at once."""
    shape = next(iter(card["inputs"].values()))
    return shape[-1]


def counter_cards():
    """Name -> card of the shipped counters, those of one tracker side first."""
    names = [path.parent.name for path in MODELS.glob("*/card.json")]
    cards = {name: card_of(name) for name in sorted(names)}
    counters = [name for name, card in cards.items() if "confusion" in card["metrics"]["test"]]
    counters.sort(key=lambda name: sides_of(cards[name]))
    return {name: cards[name] for name in counters}


def headline():
    """The three numbers with which the README begins."""
    counted = card_of(RECOMMENDED)["metrics"]["test"]
    of_data = samples()["data"]
    found = perfect_events_of_four(of_data, [FOUND])
    classical = perfect_events_of_four(
        of_data, [row + rule for row in CLASSICAL for rule in ("", WITH_FOIL)]
    )
    blocks_of_data = read("track_finder/blocks.json")["samples"]["data"]["fit"]
    of_falaise = samples("track_finder_arcs/falaise.json")["brio files"]
    by_arcs = of_falaise[FOUND_WITH_ARCS]["scores"]["all"]["count_right"]
    by_clusters = of_falaise["clusters in the files"]["scores"]["all"]["count_right"]
    return HEADLINE.format(
        falaise=100 * by_arcs["value"],
        n_falaise=by_arcs["n"],
        clusters=100 * by_clusters["value"],
        right=share(counted["accuracy"]),
        n_events=counted["n_events"],
        perfect=100 * found,
        perfect_classical=100 * classical,
        blocks=100 * blocks_of_data["right"]["value"],
    )


def perfect_events_of_four(finders, rows):
    """The highest share of perfect events of four tracks among some rows."""
    return max(finders[row]["scores"]["4"]["perfect"]["value"] for row in rows)


def counters_in_short():
    rows = []
    for name in COUNTERS_IN_SHORT:
        card = card_of(name)
        rows.append([link_to(name), on_fresh_events(card), on_original_files(card)])
    return table(["counter", "fresh events", "original files"], rows)


def counters():
    """All shipped counters, a row a card."""
    head = ["model", "views", "sides", "fresh events", "original files", "parameters", "trained in"]
    rows = []
    for name, card in counter_cards().items():
        views = ", ".join(sorted(card["inputs"]))
        results = [on_fresh_events(card), on_original_files(card)]
        cost = [f"{card['parameters']:,}", minutes(card)]
        rows.append([link_to(name), views, str(sides_of(card)), *results, *cost])
    return table(head, rows)


def commands():
    """What trained the shipped models, a line each."""
    cards = [*counter_cards().values(), *map(card_of, (*FINDING, *CLASS_MODELS))]
    return commands_of(cards)


def image_commands():
    """What trained the networks of images, a line each."""
    return commands_of(map(card_of, (*REMOVALS, *COPIES, *OTHER_IMAGE_MODELS)))


def commands_of(cards):
    lines = [card["command"] for card in cards]
    return "\n".join(["```", *lines, "```"])


def finder():
    """The track finders, from their cards."""
    rows = []
    for name in FINDING:
        card = card_of(name)
        rows.append([link_to(name), f"{card['parameters']:,}", minutes(card), card["device"]])
    return table(["model", "parameters", "trained in", "device"], rows)


def effects():
    """What each effect of a detector costs a counter: a row an effect, two columns a counter."""
    measured = read(f"{RECOMMENDED}/effects.json")["accuracy"]
    of_side_view = read("side_realistic/effects.json")["accuracy"]
    columns = [name + label for name in EFFECTS_ON for label in ("", ", isolated hits removed")]
    rows = []
    for effect, scores in measured.items():
        both = scores | of_side_view[effect]
        rows.append([effect, *(share(both[column]["accuracy"]) for column in columns)])
    return table(["events", *columns], rows)


def known_problems(model=RECOMMENDED):
    """Isolated hits and unknown heights: shares counted right and too high, a row a kind of events."""
    measured = read(f"{model}/known_problems.json")["shares"]
    head = ["events", "filter"]
    for name in measured:
        head += [f"{name}: right", "too many"]
    rows = []
    for row in next(iter(measured.values())):
        cells = row.split(" | ")
        for scores in measured.values():
            cells += [share(scores[row]["right"]["share"]), share(scores[row]["over"]["share"])]
        rows.append(cells)
    return table(head, rows)


def known_problems_of_ideal():
    """The same of counters that know ideal events alone."""
    return known_problems("side_my_generator")


def by_tracks(scores, figure):
    """A figure of merit in percent, for each true number of tracks; a dash where nothing was to count."""
    of_classes = [score[figure] for n_tracks, score in scores.items() if n_tracks.isdigit()]
    return "/".join(f"{100 * score['value']:.1f}" if score["n"] else "–" for score in of_classes)


def finders_in_short():
    figures = ("count right", "perfect events")
    found = samples()["data"]
    rows = [
        [row, *(by_tracks(found[row]["scores"], FIGURES[figure]) for figure in figures)]
        for row in FINDERS_IN_SHORT
    ]
    return table(["1/2/3/4 tracks, in %", *figures], rows)


def finders():
    """All track finders on events of the `data` response."""
    of_data = samples()["data"]
    rows = []
    for row in FINDERS:
        found = of_data[row]
        shares = [by_tracks(found["scores"], figure) for figure in FIGURES.values()]
        speeds = "/".join(f"{speed:.0f}" for speed in found["events_per_cpu_second"].values())
        rows.append([row, *shares, speeds])
    return table(["1/2/3/4 tracks", *FIGURES, "events per CPU second"], rows)


def finders_by_response():
    """Counts right and, below them, perfect events, a column a response."""
    found = samples()
    rows = []
    for row in FINDERS_BY_RESPONSE:
        cells = [row]
        for of_response in found.values():
            scores = of_response[row]["scores"]
            cells.append(f"{by_tracks(scores, 'count_right')}<br>{by_tracks(scores, 'perfect')}")
        rows.append(cells)
    return table(["count right; perfect, 1/2/3/4 tracks", *(f"`{name}`" for name in found)], rows)


def ablation():
    """Perfect events of track finders that lack a part, from the card of the shipped one."""
    runs = card_of("track_finder")["ablation"]["runs"]
    steps = list(next(iter(runs.values()))["perfect"])
    rows = []
    for name, run in runs.items():
        perfect = [
            "/".join(f"{100 * score['value']:.1f}" for score in run["perfect"][step].values())
            for step in steps
        ]
        title = name.replace("_", " ").replace("u net", "U-net")
        rows.append([title, f"{run['n_events_trained']:,}", *perfect])
    return table(["perfect events, 1/2/3/4 tracks, %", "events trained on", *steps], rows)


def class_models():
    """The networks that name blocks or give hints, a row a card."""
    head = [
        "model",
        "says",
        "fresh events",
        "1/2/3/4 tracks",
        "original files",
        "parameters",
        "trained in",
    ]
    rows = []
    for name in CLASS_MODELS:
        card = card_of(name)
        scores = card["metrics"]["test"]
        by_number = "/".join(
            f"{100 * of_n['accuracy']:.1f}" for of_n in scores["by_tracks"].values()
        )
        results = [on_fresh_events(card), by_number, on_original_files(card)]
        rows.append([link_to(name), SAYS[name], *results, f"{card['parameters']:,}", minutes(card)])
    return table(head, rows)


def interval(scores, digits=2):
    """A share in percent and its 68 % interval."""
    low, high = (100 * limit for limit in scores["interval"])
    return f"{100 * scores['value']:.{digits}f} % ({low:.{digits}f}–{high:.{digits}f})"


def blocks():
    """Calorimeter blocks of found tracks, and of true hits, by their fits."""
    head = [
        "events",
        "block by",
        "tracks",
        "right",
        "1/2/3/4 tracks, %",
        "within one block",
        "mean probability",
    ]
    ways = (
        ("fit", "blocks", "fit of found tracks"),
        ("fit", "blocks_of_true_hits", "fit of true hits"),
        ("principal axis", "blocks", "principal axis of found tracks"),
    )
    rows = []
    for sample in ("data", "ideal"):
        for method, file, title in ways:
            scores = read(f"track_finder/{file}.json")["samples"][sample][method]
            by_number = "/".join(
                f"{100 * one['value']:.1f}" for one in scores["by_number_of_tracks"].values()
            )
            right = [f"{scores['right']['n']:,}", interval(scores["right"]), by_number]
            mean = scores.get("mean_probability")
            said = share(mean) if mean else "–"
            rows.append(
                [f"`{sample}`", title, *right, share(scores["within_one_block"]["value"]), said]
            )
    return table(head, rows)


def blocks_by_effect():
    """What each effect of a detector costs the fit of true hits."""
    rows = []
    for sample, result in read("track_finder/blocks_by_effect.json")["samples"].items():
        scores = result["fit"]
        parts = [share(scores[name]["value"]) for name in ("column", "row")]
        rows.append(
            [f"`{sample}`", interval(scores["right"]), *parts, share(scores["mean_probability"])]
        )
    return table(["events", "right", "column", "row", "mean probability"], rows)


def block_probabilities():
    """How often probabilities of blocks of `data` tracks come true."""
    scores = read("track_finder/blocks.json")["samples"]["data"]["fit"]
    rows = []
    for one in scores["reliability"]:
        span = f"{one['from']:.1f} to {one['from'] + 0.1:.1f}"
        rows.append(
            [span, f"{one['n']:,}", f"{100 * one['mean_probability']:.1f} %", interval(one, 1)]
        )
    return table(["probability, `data`", "tracks", "mean", "right"], rows)


def ceilings():
    """The best answers that the top view of one ideal track allows."""
    measured = read("calorimeter_column/ceiling.json")
    rows = []
    for name, ceiling in measured["ceilings"].items():
        value = f"{100 * ceiling['value']:.2f} ± {100 * ceiling['error']:.2f} %"
        rows.append([name.replace("_", " "), value])
    return table(["class", f"ceiling, {measured['n_events']:,} tracks"], rows)


def several_columns():
    """Exact sets of columns, by each model's best decision, and multisets, by the nearest one."""
    measured = read("calorimeter_columns_softmax/multilabel.json")
    third = read("calorimeter_columns_each/multilabel.json")
    models = {**third["models"], **measured["models"]}
    rows = []
    for model, result in models.items():
        for kind, decision in (("sets", result["best_decision"]), ("multisets", MULTISET)):
            scores = result["decisions"][decision]["by_tracks"]
            rows.append(_exactly(f"`{model}`, {decision}", kind, scores))
    for kind in ("sets", "multisets"):
        way = "RANSAC on cells, principal axis: no learning"
        rows.append(_exactly(way, kind, measured["without_learning"]))
    return table(["way", "exact", "1 track", "2 tracks", "3 tracks", "4 tracks"], rows)


def _exactly(way, kind, scores):
    return [way, kind, *(interval(scores[n][f"exact_{kind}"], 1) for n in ("1", "2", "3", "4"))]


def resolution():
    """Errors and pulls of fitted lines, from fit_resolution.py."""
    head = [
        "errors of hits",
        "fit",
        "angle, mrad",
        "offset, mm",
        "pulls: phi",
        "d",
        "z0",
        "tan dip",
    ]
    rows = []
    for name, title in RESPONSES_OF_FITS.items():
        populations = read(f"track_finder/fit_resolution_{name}.json")["true"]["populations"]
        for population, scores in populations.items():
            errors = [
                f"{scores[key]['value']:.3f} ({scores[key]['interval'][0]:.3f}–{scores[key]['interval'][1]:.3f})"
                for key in ("angle_mrad", "offset_mm")
            ]
            pulls = [f"{one['core']:.3f} / {one['robust']:.3f}" for one in scores["pulls"].values()]
            rows.append([title, population, *errors, *pulls, *["–"] * (4 - len(pulls))])
    return table(head, rows)


def hints():
    """Hints of one track, or of every found track, from networks and from simpler ways."""
    figures = {
        "angle": "angle",
        "foil": "foil",
        "both": "both",
        "both_within_one": "both, within one",
    }
    figures |= {"fine_angle": "angle of 30", "fine_foil": "foil of 113"}
    rows = []
    for sample, ways in read("fitting_hints/hints.json")["hints"].items():
        for way, scores in ways.items():
            rows.append(
                [sample, way, *(f"{100 * scores[name]['accuracy']:.2f}" for name in figures)]
            )
    return table(["events", "hints from", *(f"{title}, %" for title in figures.values())], rows)


def fits_with_hints():
    """What hints bring to a fit."""
    rows = []
    for sample, fits in read("fitting_hints/hints.json")["fits"].items():
        for name, scores in fits.items():
            shares = [f"{100 * scores[key]['accuracy']:.2f}" for key in ("failures", "wrong")]
            rows.append([sample, name, f"{scores['fits_per_cpu_s']:,.0f}", *shares])
    return table(["events", "fit", "fits a CPU second", "failures, %", "wrong, %"], rows)


def bent_tracks():
    """Track finders on electrons in field and gas, and on lines, all like data."""
    rows = []
    for kind, title in BENT.items():
        found = samples(f"track_finder_arcs/{kind}.json")["data"]
        for row, result in found.items():
            if row.endswith(WITH_FOIL):
                continue
            shares = [by_tracks(result["scores"], figure) for figure in FIGURES.values()]
            speeds = "/".join(f"{speed:.0f}" for speed in result["events_per_cpu_second"].values())
            rows.append([title, row, *shares, speeds])
    return table(["events", "1/2/3/4 tracks, in %", *FIGURES, "events per CPU second"], rows)


def falaise():
    """Track finders on Falaise's own simulation, beside what its files hold."""
    figures = {"count right": "count_right", "perfect events": "perfect"}
    rows = []
    for row, result in samples("track_finder_arcs/falaise.json")["brio files"].items():
        if row.endswith(WITH_FOIL):
            continue
        cells = [row]
        for figure in figures.values():
            of_all = interval(result["scores"]["all"][figure], 1)
            of_classes = "/".join(
                f"{100 * result['scores'][n][figure]['value']:.0f}" for n in ("1", "2", "3")
            )
            cells += [of_all, of_classes]
        efficient = result["scores"]["all"]["efficiency"]
        rows.append([*cells, interval(efficient, 1)])
    head = []
    for title in figures:
        head += [title, "1/2/3 tracks, in %"]
    return table(["Falaise", *head, "efficiency"], rows)


def removals():
    """Networks that take the leftmost of two tracks away, and the answers that need none."""
    head = [
        "network",
        "balanced hit accuracy",
        "lost of what stays",
        "left of what goes",
        "events right",
    ]
    rows = []
    for answer in ("keep all", "remove all"):
        scores = card_of(REMOVALS[0])["metrics"]["test"]["cells"][answer]["all"]
        rows.append([answer, *_of_cells(scores), "–", "–"])
    for name in REMOVALS:
        card = card_of(name)
        scores = card["metrics"]["test"]["cells"]["network"]["all"]
        rows.append([link_to(name), *_of_cells(scores), f"{card['parameters']:,}", minutes(card)])
    return table([*head, "parameters", "trained in"], rows)


def _of_cells(scores):
    parts = [share(scores[name]["value"]) for name in ("less_than_expected", "more_than_expected")]
    return [interval(scores["balanced"]), *parts, interval(scores["perfect"])]


def copies():
    """Networks that copy an event, and how many of its cells go wrong."""
    head = ["network", "lit cells lost", "dark cells lit", "of all that it lights", "events right"]
    rows = []
    for name in COPIES:
        card = card_of(name)
        test = card["metrics"]["test"]
        scores = test["cells"]["network"]["all"]
        lost = interval(scores["less_than_expected"])
        lit = share(scores["more_than_expected"]["value"])
        added = share(test["randomly_added"]["value"])
        right = interval(scores["perfect"])
        rows.append(
            [link_to(name), lost, lit, added, right, f"{card['parameters']:,}", minutes(card)]
        )
    return table([*head, "parameters", "trained in"], rows)


def attention_search():
    """Attention of all kinds and places beside none, a row a network: seeds where there are several."""
    measured = {}
    for result in read("attention/search.json")["results"]:
        options = result["options"]
        ratios = " ".join(map(str, options["ratios"]))
        title = f"{options['attention']}, {ratios}" if options["attention"] else "none"
        of_network = measured.setdefault((title, result["parameters"]), {"search": [], "seeds": []})
        is_of_search = result["seed"] < FIRST_SEED and title != "none"
        of_network["search" if is_of_search else "seeds"].append(100 * result["balanced"])
    rows = []
    for (title, parameters), values in measured.items():
        searched = "".join(f"{value:.1f} %" for value in values["search"]) or "–"
        again = "–"
        if values["seeds"]:
            mean = statistics.mean(values["seeds"])
            deviation = statistics.stdev(values["seeds"])
            again = f"{mean:.1f} ± {deviation:.1f} %"
        rows.append([title, f"{parameters:,}", searched, again])
    head = ["attention, ratios at P1 to P5", "parameters", "search", "three other seeds"]
    return table(head, rows)


def digits():
    """GANs of digits: mean of the seeds, and the lowest and highest of them."""
    figures = {
        "entropy": "entropy of classes",
        "n_classes": "classes",
        "sure": "share sure",
        "frechet": "Frechet distance",
        "nearest": "nearest distance",
    }
    rows = []
    for name, seeds in read("gan/digits.json")["rows"].items():
        cells = [name]
        for figure in figures:
            values = [of_seed[figure] for of_seed in seeds]
            text = f"{statistics.mean(values):.3g}"
            if len(values) > 1:
                text += f" ({abs(min(values)):.3g} to {max(values):.3g})"
            cells.append(text)
        rows.append(cells)
    return table(["batch normalisation, learning rate", *figures.values()], rows)


def latent_spaces():
    """What codes of events cost and hold: the networks of `vae.py`, a row a card."""
    head = ["network", "copying, nats", "divergence, nats", "dimensions in use"]
    rows = []
    for name in ("vae", "vae_gan", "adversarial_autoencoder"):
        scores = card_of(name)["metrics"]["test"]
        pieces, codes = scores["pieces"], scores["codes"]
        copying = pieces.get("reconstruction", pieces["loss"])
        divergence = f"{pieces['divergence']:.1f}" if "divergence" in pieces else "–"
        in_use = f"{codes['active_units']} of {len(codes['variance_of_means'])}"
        apart = accuracy(codes["against_prior"]["told_apart"])
        rows.append([link_to(name), f"{copying:.1f}", divergence, in_use, apart])
    return table([*head, "codes and prior told apart"], rows)


def clustering_networks():
    """All networks of images beside the finders, on ideal events and on those like data."""
    found = samples(COMPARISON)
    figures = {"count right": "count_right", "perfect": "perfect", "hits right": "hit_accuracy"}
    head = ["1/2/3/4 tracks, in %"]
    head += [f"`{sample}`: {title}" for sample in found for title in figures]
    rows = []
    for row in found["data"]:
        if row.endswith((WITH_FOIL, "number given")):
            continue
        finder = row.removeprefix("images: ").removeprefix("models/")
        cells = [finder]
        for sample in found.values():
            cells += [by_tracks(sample[row]["scores"], figure) for figure in figures.values()]
        speeds = found["data"][row]["events_per_cpu_second"]
        rows.append([*cells, "/".join(f"{speed:.0f}" for speed in speeds.values())])
    return table([*head, "events per CPU second"], rows)


RESPONSES_OF_FITS = {"simulation": "`simulation`", "millimetre": "1 mm, 10 mm"}
RESULTS = {
    "ablation": ablation,
    "attention_search": attention_search,
    "bent_tracks": bent_tracks,
    "block_probabilities": block_probabilities,
    "blocks": blocks,
    "blocks_by_effect": blocks_by_effect,
    "ceilings": ceilings,
    "class_models": class_models,
    "clustering_networks": clustering_networks,
    "commands": commands,
    "copies": copies,
    "counters": counters,
    "counters_in_short": counters_in_short,
    "digits": digits,
    "effects": effects,
    "falaise": falaise,
    "finder": finder,
    "finders": finders,
    "finders_by_response": finders_by_response,
    "finders_in_short": finders_in_short,
    "fits_with_hints": fits_with_hints,
    "headline": headline,
    "hints": hints,
    "image_commands": image_commands,
    "known_problems": known_problems,
    "known_problems_of_ideal": known_problems_of_ideal,
    "latent_spaces": latent_spaces,
    "removals": removals,
    "resolution": resolution,
    "several_columns": several_columns,
}


def documents():
    """The files with tables."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def renewed(text, name):
    """A document with all its tables made anew.

    Args:
        text: of the document. name: its path from the root.
    Raises:
        ValueError: a table that is not one of RESULTS, or has no end.
    """

    def made(block):
        result = block["name"]
        if result not in RESULTS:
            raise ValueError(f"{name}: no result {result}, there are {', '.join(RESULTS)}")
        content = RESULTS[result]()
        to_root = "../" * name.count("/")
        content = content.replace("](models/", f"]({to_root}models/")
        return f"{BEGIN}{result} -->\n{content}\n{END}"

    blocks = list(BLOCK.finditer(text))
    without_end = [block["name"] for block in blocks if BEGIN in block["made"]]
    if without_end or text.count(BEGIN) != len(blocks):
        raise ValueError(f"{name}: a table that begins has no {END}")
    return BLOCK.sub(made, text)


def parse_args(argv=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--check", action="store_true", help="write nothing, fail where a file would change"
    )
    return parser.parse_args(argv)


def main(argv=None):
    args = parse_args(argv)
    changed = []
    for path in documents():
        name = path.relative_to(ROOT).as_posix()
        before = path.read_text()
        after = renewed(before, name)
        if after == before:
            continue
        changed.append(name)
        if not args.check:
            path.write_text(after)
    names = ", ".join(changed)
    if changed and args.check:
        raise SystemExit(
            f"{names}: other numbers than in models/; python scripts/make_results.py writes them"
        )
    print(f"written: {names or 'nothing, all are as they should be'}")
    return changed


if __name__ == "__main__":
    main()
