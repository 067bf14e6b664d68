"""Open any file of tracker events: looks inside, says what it found, and gives the event table.

| kind | written by |
| --- | --- |
| my_generator | the straight-line generator, the original macro or ours |
| toyhaystack | the SN-IEgenerator haystack script, or ours |
| tkevent | TKEvent: real events, perhaps with radii and fitted tracks |
| mievent | MiModule: calibrated hits of Falaise |
| brio | Falaise and the acquisition |

A file may be compressed with gzip. What a file holds decides, not the name of its tree alone. Whether something
unusual in it stops a script is decided by its reader, for all scripts alike: where there are hits without it, it
is a warning, one a file, that names it.
"""

import numpy as np

from datasets import drift
from datasets.events import VISIBLE_CELLS, concatenate
from datasets.geometry import TOY
from datasets.readers import brio, files, hit_tree, mievent, tkevent

READERS = {
    "my_generator": hit_tree.stream,
    "toyhaystack": hit_tree.stream,
    "tkevent": tkevent.stream,
    "mievent": mievent.stream,
    "brio": brio.stream,
}
WITH_TIMES = ("tkevent", "brio")  # kinds whose radii may be computed from timestamps


def kind_of(path):
    """The kind of one file.

    Raises:
        ValueError: not a ROOT file, or none of the known kinds; names the file and what is in it.
    """
    with files.open_root(path) as file:
        names = file.classnames(recursive=False)
        content = {key.split(";")[0]: name for key, name in names.items()}
        trees = {key for key, name in content.items() if name == "TTree"}
        if content.get(hit_tree.TREE) in hit_tree.CLASSES:
            is_toy = hit_tree.geometry_of(file[hit_tree.TREE]) == TOY
            return "my_generator" if is_toy else "toyhaystack"
        if tkevent.TREE in trees:
            tree = file[tkevent.TREE]
            if mievent.is_one(tree):
                return "mievent"
            if tkevent.is_one(tree):
                return "tkevent"
            raise ValueError(
                f"no file of events: its tree {tkevent.TREE} holds {_branches_of(tree)}"
            )
        if {"ER", "GI"} <= trees:
            return "brio"
        held = ", ".join(f"{key} ({name})" for key, name in sorted(content.items()))
        raise ValueError(f"no file of events: it holds {held or 'nothing'}")


def _branches_of(tree):
    """Branches and their types, as a text."""
    types = [f"{branch.name} ({branch.typename})" for branch in tree.branches]
    return ", ".join(types) or "nothing"


def stream(paths, progress=False, drift_model=None, visible_cells=VISIBLE_CELLS):
    """Events of files of any kind, a chunk at a time, in bounded memory.

    Args:
        paths: a file, a glob, or a list of them. progress: draw a bar on the terminal.
        drift_model: of real hits: None takes what the file holds, "manchester" or "betsy" computes radii
            (and, of TKEvent files, heights) from the timestamps.
        visible_cells: of a simulation of the detector, the cells on a tracker side that make a particle's hits
            there a track.
    Yields:
        (path, Events): the file that the events are from, and a table of some of them.
    Raises:
        ValueError: a file that is missing, damaged, foreign or out of range; names the file.
    """
    if drift_model is not None:
        drift.drift_radius_mm(0, drift_model)  # a wrong one is said at once, as a wrong file is
    # all files are looked at first: a wrong name must not surface after an hour
    found = [(path, kind_of(path)) for path in files.expand(paths)]
    for path, kind in found:
        options = {"drift_model": drift_model} if kind in WITH_TIMES else {}
        if kind == "brio":
            options["visible_cells"] = visible_cells
        for events in READERS[kind](path, progress=progress, **options):
            yield path, events


def read(paths, progress=False, drift_model=None, visible_cells=VISIBLE_CELLS):
    """All events of files as one table."""
    return concatenate(events for _, events in stream(paths, progress, drift_model, visible_cells))


def radii_note(events):
    """A sentence where no hit of real events has a radius, but times may give one; else "".

    Args:
        events: a table that was read without a drift model.
    """
    radius = events.hits["drift_radius_mm"]
    is_toy = (events.info["geometry"] == TOY).any()
    if len(radius) == 0 or is_toy or not np.isnan(radius).all():
        return ""
    return "no hit has a drift radius; --drift-model manchester computes them from the timestamps"


def truth_note(events, visible_cells=VISIBLE_CELLS):
    """A sentence on what the true number of tracks counts where it is not the number of particles; else ""."""
    is_known = events.info["n_particles"] >= 0
    n_particles = events.info["n_particles"][is_known]
    if (n_particles == events.info["n_tracks"][is_known]).all():
        return ""
    return (
        f"the true number counts tracks of {visible_cells} cells or more on a side, not particles"
    )


def add_visible_cells(parser):
    """Give a script that scores files the flag `--visible-cells`."""
    text = "of a simulated file, cells on a tracker side that make a particle's hits there a true track "
    text += "(default: %(default)s)"
    parser.add_argument("--visible-cells", type=int, default=VISIBLE_CELLS, metavar="N", help=text)


def add_drift_model(parser):
    """Give a script that reads files of any kind the flag `--drift-model`."""
    text = "compute the radii of real hits from their timestamps (default: take those in the file, if any)"
    parser.add_argument("--drift-model", choices=drift.MODELS, help=text)
