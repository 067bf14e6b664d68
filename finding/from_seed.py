"""Growing a track from a seed without learning: the straight line through the seed that has most hits.

It stands beside networks of answers "seeded" and is called like one: images of the top view with the seed as
second channel go in, logits of each cell come out. Heights and radii are not looked at, as the networks do not
see them.
"""

import numpy as np

N_ANGLES = 180
SURE = 10.0  # logit of a cell that is on the track, and with the other sign of one that is not
CHUNK = 64  # images whose lines are tried together


def say(images, off=1.0, gap=4.0):
    """What is on the tracks of seeds.

    Args:
        images: (row, column, layer, 2), event and seed, lit above 0. off: how far a cell may be from the line,
            and gap: from the next one along it, both in cells.
    Returns:
        (row, column, layer, 1) float32 logits, SURE or -SURE; nothing grows in an image without a seed.
    """
    said = np.full((*images.shape[:3], 1), -SURE, np.float32)
    angle = np.pi * np.arange(N_ANGLES) / N_ANGLES
    for first in range(0, len(images), CHUNK):
        some = images[first : first + CHUNK]
        row, column, layer = np.nonzero(some[..., 0])
        row_of_seed, column_of_seed, layer_of_seed = np.nonzero(some[..., 1])
        seed = np.full((len(some), 2), np.nan)
        seed[row_of_seed, 0] = column_of_seed
        seed[row_of_seed, 1] = layer_of_seed
        away = np.column_stack([column, layer]) - seed[row]  # (cell, 2) from the seed
        on = _on_best_line(row, away, angle, off, gap, len(some))
        said[first + row[on], column[on], layer[on]] = SURE
    return said


def _on_best_line(row, away, angle, off, gap, n_rows):
    """(cell,) bool, whether a cell is on the line through its row's seed that has most cells without a gap.

    Args:
        row: (cell,) int. away: (cell, 2) float, columns and layers from the seed.
    """
    along = away @ np.stack([np.cos(angle), np.sin(angle)])
    across = away @ np.stack([-np.sin(angle), np.cos(angle)])
    near = np.abs(across) <= off
    cell, line = np.nonzero(near)
    group = row[cell] * len(angle) + line
    of_seed = _in_run_of_seed(group, along[cell, line], gap)
    n_groups = n_rows * len(angle)
    n_cells = np.bincount(group[of_seed], minlength=n_groups)
    total_off = np.bincount(group[of_seed], np.abs(across[near])[of_seed], n_groups)
    closeness = n_cells - total_off / (
        off * (n_cells + 1)
    )  # of lines with as many cells, that nearer to them
    best = closeness.reshape(n_rows, len(angle)).argmax(1)
    chosen = of_seed & (line == best[row[cell]])
    on = np.zeros(len(row), bool)
    on[cell[chosen]] = True
    return on


def _in_run_of_seed(group, along, gap):
    """(entry,) bool, whether an entry is in the run of its group that the seed, at 0, is in."""
    order = np.lexsort((along, group))
    step = np.diff(along[order], prepend=0)
    new_group = np.diff(group[order], prepend=-1) != 0
    run = np.cumsum(new_group | (step > gap))
    with_seed = np.zeros(run.max(initial=0) + 1, bool)
    with_seed[run[np.abs(along[order]) < 1e-9]] = True
    inside = np.empty(len(group), bool)
    inside[order] = with_seed[run]
    return inside
