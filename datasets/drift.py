"""Drift models of the tracker: time to radius and back, height from the cathode times, resolution.

NumPy only.

Numbers are those of Falaise (`geiger_regime`, the fit called "Manchester" there and in TKEvent) and of
TKEvent (github.com/TomasKrizak/TKEvent, `TKEvent::set_r` for "Betsy", `TKtrhit.cpp` for the length).
"""

import numpy as np

# Manchester, u = 10 t[us]: r[cm] = A1 u / (u^B1 + C1) inside the cell, r[cm] = A2 u^(1 - B2) where that is
# less (Falaise, TKEvent)
A1, B1, C1 = 0.570947153108633, 0.580148313540993, 1.6567483468611
A2, B2 = 1.86938462695651, 0.949912427483918
# Betsy: t[us] = a r[cm]^(1 - b), one (a, b) before and one after the break (TKEvent)
BETSY_BREAK_US = 3.0845
BETSY_NEAR, BETSY_FAR = (0.828, -0.907), (0.402, -1.955)
# Length in the formula of the height: 2770 mm in TKEvent since March 2024, 3030 mm, the whole wire, before
EFFECTIVE_LENGTH_MM = 2770.0
CALO_DELAY_NS = 275.0  # of the calorimeter's clock behind that of the tracker: 44 ticks (TKEvent::set_r)
LONGEST_DRIFT_NS = 10_000.0  # Falaise gives no radius to later hits, TKEvent and the models here do
LARGEST_DISTANCE_MM = (
    32.0  # of a track from the wire whose cell it crosses: the corner is at 31.1 mm, the rest are errors
)
# sigma_r[mm] = a (1 + b (r - r0)^2), r in mm (Falaise)
SIGMA_A_MM, SIGMA_B, SIGMA_R0_MM = 0.425, 0.0083, 12.25


def drift_radius_mm(time_ns, model="manchester"):
    """Distance from the wire that a drift time means.

    Args:
        time_ns: drift times. model: "manchester" or "betsy".
    Returns:
        radii in mm, rising with time without a cut, as in TKEvent (22 mm is the cell's half width, and
        Falaise gives no radius beyond 10 us); NaN for a negative or unknown time.
    """
    time_ns = np.asarray(time_ns, float)
    return MODELS[_name(model)][0](np.where(time_ns >= 0, time_ns, np.nan) / 1000) * 10


def possible_radius_mm(radius_mm):
    """Radii as a distance of a track: NaN where larger than its cell allows, which tells no more than that
    the cell fired.
    """
    return np.where(np.asarray(radius_mm) <= LARGEST_DISTANCE_MM, radius_mm, np.nan)


def drift_time_ns(radius_mm, model="manchester"):
    """Inverse of `drift_radius_mm`; NaN for a negative or unknown radius."""
    radius_mm = np.asarray(radius_mm, float)
    return MODELS[_name(model)][1](np.where(radius_mm >= 0, radius_mm, np.nan) / 10) * 1000


def height_mm(anode, bottom, top, length_mm=EFFECTIVE_LENGTH_MM):
    """Height of a hit along its wire from the times at which the plasma arrives at the two cathodes.

    Args:
        anode, bottom, top: times in one unit; negative (TKEvent writes -1) or NaN is missing.
        length_mm: way of the plasma from end to end.
    Returns:
        z in mm, 0 in the middle; NaN where a time is missing, a cathode fired before the anode or both fired
        with it.
    """
    anode, bottom, top = (np.asarray(time) for time in (anode, bottom, top))
    known = (anode >= 0) & (bottom >= 0) & (top >= 0)
    # whole numbers are subtracted as such: real timestamps are long
    up, down = np.subtract(bottom, anode).astype(float), np.subtract(top, anode).astype(float)
    known &= (up >= 0) & (down >= 0) & (up + down > 0)
    return np.where(known, length_mm * up / np.where(known, up + down, 1) - length_mm / 2, np.nan)


def time_since_calorimeter(place_mm, time, hit_offsets, block_mm, block_time, block_offsets, delay):
    """Drift times: since the nearest calorimeter block that fired before the hit, as in the "distance" mode
    of TKEvent.

    Args:
        place_mm: (hit, 3). time: (hit,) anode times; negative or NaN is missing. hit_offsets: (event + 1,).
        block_mm: (block, 3). block_time: (block,), in the unit of `time`. block_offsets: (event + 1,).
        delay: of the calorimeter's clock, in that unit.
    Returns:
        (hit,) float, in that unit; NaN where no block fired before.
    """
    nearest, since = np.full(len(time), np.inf), np.full(len(time), np.nan)
    first, n = (
        np.repeat(values, np.diff(hit_offsets)) for values in (block_offsets[:-1], np.diff(block_offsets))
    )
    for k in range(n.max(initial=0)):
        hit = np.flatnonzero((n > k) & (time >= 0))
        block = first[hit] + k
        distance = np.linalg.norm(place_mm[hit] - block_mm[block], axis=1)
        passed = time[hit] - block_time[block] + delay
        better = (passed > 0) & (distance < nearest[hit])
        nearest[hit[better]], since[hit[better]] = distance[better], passed[better]
    return since


def sigma_radius_mm(radius_mm):
    """Resolution of a drift radius as Falaise simulates it, both in mm; best at 12.25 mm."""
    return SIGMA_A_MM * (1 + SIGMA_B * (np.asarray(radius_mm, float) - SIGMA_R0_MM) ** 2)


def _name(model):
    if str(model).lower() not in MODELS:
        raise ValueError(f"no drift model {model}, only {', '.join(MODELS)}")
    return str(model).lower()


def _manchester_radius_cm(time_us):
    u = 10 * time_us
    return np.minimum(A1 * u / (u**B1 + C1), A2 * u ** (1 - B2))


def _manchester_time_us(radius_cm):
    far = (radius_cm / A2) ** (1 / (1 - B2))
    # Newton from u = 0 on r(u), which bends down: every step stays below the root. Far beyond the cell it is
    # not needed.
    near = np.zeros_like(radius_cm)
    for _ in range(12):
        power = near**B1
        slope = A1 * ((1 - B1) * power + C1) / (power + C1) ** 2
        near = near + (np.minimum(radius_cm, 4.0) - A1 * near / (power + C1)) / slope
    return np.maximum(near, far) / 10


def _betsy_radius_cm(time_us):
    return np.where(time_us < BETSY_BREAK_US, _betsy(time_us, *BETSY_NEAR), _betsy(time_us, *BETSY_FAR))


def _betsy(time_us, a, b):
    return (time_us / a) ** (1 / (1 - b))


def _betsy_time_us(radius_cm):
    (a, b), (far_a, far_b) = BETSY_NEAR, BETSY_FAR
    # at the break the second law starts 1.2 um below the end of the first; a radius in between gets the
    # earlier of its two times
    near, far = a * radius_cm ** (1 - b), far_a * radius_cm ** (1 - far_b)
    return np.where(near < BETSY_BREAK_US, near, far)


MODELS = {
    "manchester": (_manchester_radius_cm, _manchester_time_us),
    "betsy": (_betsy_radius_cm, _betsy_time_us),
}
