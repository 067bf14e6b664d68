"""Counting tracks on voxel grids (layer 9, column 113, z 30, channel), with 3D convolutions.

A grid is 30 kB, so fewer are made at a time. Hits without a measured z are in none.
"""

from functools import partial

from datasets import number_of_tracks

BLOCK = 256
task = partial(number_of_tracks.task, ("voxels",))
