"""Drift models of the tracker: time to radius and back, height from the cathode times, resolution.

NumPy only.

Numbers are those of Falaise (`geiger_regime`, the fit called "Manchester" there and in TKEvent) and of
TKEvent (github.com/TomasKrizak/TKEvent, `TKEvent::set_r` for "Betsy", `TKtrhit.cpp` for the length).
"""

import numpy as np

# Manchester (Falaise, TKEvent), with u = 10 t[us]: r[cm] = A1 u / (u^B1 + C1) inside the cell,
# r[cm] = A2 u^(1 - B2) where that is less.
A1 = 0.570947153108633
B1 = 0.580148313540993
C1 = 1.6567483468611
A2 = 1.86938462695651
B2 = 0.949912427483918

# Betsy (TKEvent): t[us] = a r[cm]^(1 - b), with one (a, b) before the break and one after it.
BETSY_BREAK_US = 3.0845
BETSY_NEAR = (0.828, -0.907)
BETSY_FAR = (0.402, -1.955)

# Length in the formula of the height: 2770 mm in TKEvent since March 2024, 3030 mm, the whole wire, before.
EFFECTIVE_LENGTH_MM = 2770.0
CALO_DELAY_NS = (
    275.0  # of the calorimeter's clock behind that of the tracker: 44 ticks (TKEvent::set_r)
)
LONGEST_DRIFT_NS = 10_000.0  # Falaise gives no radius to later hits, TKEvent and the models here do
# Of a track from the wire whose cell it crosses: the corner is at 31.1 mm, the rest are errors.
LARGEST_DISTANCE_MM = 32.0

# sigma_r[mm] = a (1 + b (r - r0)^2), r in mm (Falaise)
SIGMA_A_MM = 0.425
SIGMA_B = 0.0083
SIGMA_R0_MM = 12.25


def drift_radius_mm(time_ns, model="manchester"):
    """Distance from the wire that a drift time means.

    Args:
        time_ns: drift times. model: "manchester" or "betsy".
    Returns:
        radii in mm; NaN for a negative or unknown time. They rise with time without a cut, as in TKEvent:
        beyond 22 mm, half the width of the cell, and beyond 10 us, where Falaise gives no radius.
    """
    radius_cm, _ = MODELS[_name(model)]
    time_ns = np.asarray(time_ns, float)
    time_ns = np.where(time_ns >= 0, time_ns, np.nan)
    return radius_cm(time_ns / 1000) * 10


def possible_radius_mm(radius_mm):
    """Radii as distances of a track: NaN where they are larger than the cell allows.

    Such a radius tells no more than that the cell fired.
    """
    is_possible = np.asarray(radius_mm) <= LARGEST_DISTANCE_MM
    return np.where(is_possible, radius_mm, np.nan)


def drift_time_ns(radius_mm, model="manchester"):
    """Inverse of `drift_radius_mm`; NaN for a negative or unknown radius."""
    _, time_us = MODELS[_name(model)]
    radius_mm = np.asarray(radius_mm, float)
    radius_mm = np.where(radius_mm >= 0, radius_mm, np.nan)
    return time_us(radius_mm / 10) * 1000


def height_mm(anode, bottom, top, length_mm=EFFECTIVE_LENGTH_MM):
    """Height of a hit along its wire from the times at which the plasma arrives at the two cathodes.

    Args:
        anode, bottom, top: times in one unit; negative (TKEvent writes -1) or NaN is missing.
        length_mm: way of the plasma from end to end.
    Returns:
        z in mm, 0 in the middle; NaN where a time is missing, a cathode fired before the anode or both fired
        with it.
    """
    anode = np.asarray(anode)
    bottom = np.asarray(bottom)
    top = np.asarray(top)
    # Whole numbers are subtracted as such: real timestamps are long.
    down = np.subtract(bottom, anode).astype(float)
    up = np.subtract(top, anode).astype(float)
    both = down + up
    measured = (anode >= 0) & (bottom >= 0) & (top >= 0)
    known = measured & (down >= 0) & (up >= 0) & (both > 0)
    above_bottom = length_mm * down / np.where(known, both, 1)
    return np.where(known, above_bottom - length_mm / 2, np.nan)


def time_since_calorimeter(place_mm, time, hit_offsets, block_mm, block_time, block_offsets, delay):
    """Drift times: since the nearest calorimeter block that fired before the hit.

    This is the "distance" mode of TKEvent.

    Args:
        place_mm: (hit, 3). time: (hit,) anode times; negative or NaN is missing. hit_offsets: (event + 1,).
        block_mm: (block, 3). block_time: (block,), in the unit of `time`. block_offsets: (event + 1,).
        delay: of the calorimeter's clock, in that unit.
    Returns:
        (hit,) float, in that unit; NaN where no block fired before.
    """
    n_hits = np.diff(hit_offsets)
    first_block = np.repeat(block_offsets[:-1], n_hits)  # of each hit's event
    n_blocks = np.repeat(np.diff(block_offsets), n_hits)
    nearest_mm = np.full(len(time), np.inf)
    since = np.full(len(time), np.nan)
    for k in range(n_blocks.max(initial=0)):  # the first block of all events, then the second, ...
        hit = np.flatnonzero((n_blocks > k) & (time >= 0))
        block = first_block[hit] + k
        distance_mm = np.linalg.norm(place_mm[hit] - block_mm[block], axis=1)
        passed = time[hit] - block_time[block] + delay
        is_better = (passed > 0) & (distance_mm < nearest_mm[hit])
        better = hit[is_better]
        nearest_mm[better] = distance_mm[is_better]
        since[better] = passed[is_better]
    return since


def sigma_radius_mm(radius_mm):
    """Resolution of a drift radius as Falaise simulates it, both in mm; best at 12.25 mm."""
    from_best = np.asarray(radius_mm, float) - SIGMA_R0_MM
    return SIGMA_A_MM * (1 + SIGMA_B * from_best**2)


def _name(model):
    name = str(model).lower()
    if name not in MODELS:
        raise ValueError(f"no drift model {model}, only {', '.join(MODELS)}")
    return name


def _manchester_radius_cm(time_us):
    u = 10 * time_us
    near = A1 * u / (u**B1 + C1)
    far = A2 * u ** (1 - B2)
    return np.minimum(near, far)


def _manchester_time_us(radius_cm):
    far = (radius_cm / A2) ** (1 / (1 - B2))
    # Newton from u = 0 on r(u), which bends down: every step stays below the root. Far beyond the cell it is
    # not needed.
    wanted = np.minimum(radius_cm, 4.0)
    near = np.zeros_like(radius_cm)
    for _ in range(12):
        power = near**B1
        denominator = power + C1
        reached = A1 * near / denominator
        slope = A1 * ((1 - B1) * power + C1) / denominator**2
        near = near + (wanted - reached) / slope
    return np.maximum(near, far) / 10


def _betsy_radius_cm(time_us):
    near = _inverse_power_law(time_us, *BETSY_NEAR)
    far = _inverse_power_law(time_us, *BETSY_FAR)
    return np.where(time_us < BETSY_BREAK_US, near, far)


def _betsy_time_us(radius_cm):
    near = _power_law(radius_cm, *BETSY_NEAR)
    far = _power_law(radius_cm, *BETSY_FAR)
    # At the break the second law starts 1.2 um below the end of the first. A radius in between gets the
    # earlier of its two times.
    return np.where(near < BETSY_BREAK_US, near, far)


def _power_law(radius_cm, a, b):
    return a * radius_cm ** (1 - b)


def _inverse_power_law(time_us, a, b):
    return (time_us / a) ** (1 / (1 - b))


# name -> (radius in cm of a time in us, time in us of a radius in cm)
MODELS = {
    "manchester": (_manchester_radius_cm, _manchester_time_us),
    "betsy": (_betsy_radius_cm, _betsy_time_us),
}
