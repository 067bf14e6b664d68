"""From what the network says of each hit to tracks: lines are fitted to its groups of hits, and every hit is asked again.

The network sees what belongs together; the drift radii know to a millimetre where a line runs. Both are used as probabilities.
"""

import numpy as np

from fitting.tracks import number_tracks


def labels_of(events, track):
    """Each hit goes to its most probable track, or to none: the network alone.

    Args:
        events: Events. track: (hit, n_tracks + 1) probabilities, last of none, as `datasets.clustering.predict` gives them.
    Returns:
        (hit,) int16, -1 for hits left out.
    """
    best, n = track.argmax(1), track.shape[1]
    cluster = np.where(best == n - 1, -1, (2 * events.hit_event + events.hits["side"]) * n + best)
    return number_tracks(cluster, events.hit_event)
