"""Figures of what autoencoders make of events: copies, samples, walks through latent space.

Every panel is the top view of one tracker side, the foil at its lower edge. Images are padded, (116, 12). Each
function returns a matplotlib Figure; `plotting.save` writes it.
"""

import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from datasets.geometry import N_COLUMNS, N_LAYERS
from datasets.views import PADDING
from plotting import PALETTE

KINDS = {"white": "dark", "0.25": "copied", PALETTE[1]: "lost", PALETTE[5]: "added"}
PANEL = (4.6, 0.62)  # inches


def copies(image, lit, titles, heading=""):
    """Events and their copies in one: cells that were copied, lost and added.

    Args:
        image, lit: (event, 116, 12) bool, lit cells of the events and of the copies. titles: one an event.
    """
    kind = np.select([image & lit, image, lit], [1, 2, 3], 0)
    figure, axes = _panels(len(kind), 2, heading)
    colours = ListedColormap(list(KINDS))
    for ax, cells, title in zip(axes, kind, titles, strict=False):
        _draw(ax, cells, title, cmap=colours, vmin=0, vmax=len(KINDS) - 1)
    meanings = [
        Patch(facecolor=colour, edgecolor="0.5", label=label) for colour, label in KINDS.items()
    ]
    figure.legend(handles=meanings[1:], loc="outside lower center", ncols=3, frameon=False)
    return figure


def probabilities(probability, titles, n_columns=2, heading=""):
    """Probabilities of cells to be lit, (panel, 116, 12), with a title each; panels fill rows of `n_columns`."""
    figure, axes = _panels(len(probability), n_columns, heading)
    for ax, cells, title in zip(axes, probability, titles, strict=False):
        shown = _draw(ax, cells, title, cmap="Greys", vmin=0, vmax=1)
    bar = figure.colorbar(shown, ax=list(axes), location="bottom", aspect=60, shrink=0.5, pad=0.02)
    bar.set_label("probability that a cell is lit")
    return figure


def _panels(n_panels, n_columns, heading):
    n_rows = -(-n_panels // n_columns)
    width, height = PANEL
    figure = Figure((width * min(n_columns, 3) + 0.4, height * n_rows + 1.1), layout="constrained")
    figure.suptitle(heading, fontsize=11)
    axes = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for ax in axes[-1]:
        ax.set_xlabel("column", fontsize=8)
    for ax in axes[:, 0]:
        ax.set_ylabel("layer", fontsize=8)
    for ax in axes.ravel()[n_panels:]:
        ax.set_axis_off()
    return figure, axes.ravel()


def _draw(ax, cells, title, **options):
    layers_up = cells[PADDING : PADDING + N_COLUMNS, PADDING : PADDING + N_LAYERS].T
    shown = ax.imshow(layers_up, origin="lower", aspect="auto", interpolation="nearest", **options)
    ax.set_title(title, fontsize=8, pad=2, loc="left")
    ax.tick_params(labelsize=7, length=2)
    ax.set_yticks([0, N_LAYERS - 1])
    return shown
