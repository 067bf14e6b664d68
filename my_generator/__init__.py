"""Event generators in NumPy: straight lines, electrons in field and gas, the SN-IE haystack and family, the
detector's response.

They return the event table.
"""

from my_generator import realistic, straight_lines, toyhaystack

# name -> its function (n_events, seed=, first_event=) -> Events of 1 to 4 tracks, and how many tracker sides
# its events use
GENERATORS = {
    "my_generator": (straight_lines.generate, 1),
    "toyhaystack": (toyhaystack.generate, 2),
    **{
        preset: (realistic.generator(preset), 1)
        for preset in (
            "simulation",
            "data",
            "harsh",
            "mix",
            "data_mix",
            "combined_mix",
            "noise_mix",
        )
    },
    "electrons_mix": (realistic.generator("data_mix", kind="electrons"), 1),
    "lines_and_electrons_mix": (realistic.generator("data_mix", kind="lines_and_electrons"), 1),
    "toyhaystack_mix": (realistic.generator("mix", kind="toyhaystack"), 2),
    "kinked": (
        realistic.generator("mix", kinks=0.5),
        1,
    ),  # half of the tracks are two segments: to count segments
}
