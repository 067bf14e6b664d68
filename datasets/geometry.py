"""Constants and positions of the tracker and its calorimeter walls: the toy of `my_generator`, and the
detector.

Lengths are in mm; x points away from the source foil, y along it, z up along the wires. Sources: Falaise
geometry and arXiv:1504.08304 for the detector, the original macro and script for the two generators.
"""

from typing import NamedTuple

import numpy as np

# The tracker: cells on both sides of the source foil
N_SIDES = 2
N_LAYERS = 9
N_COLUMNS = 113
N_CELLS = N_SIDES * N_LAYERS * N_COLUMNS  # 2034
CELL_MM = 44.0
CELL_RADIUS_MM = 22.0
MIDDLE_COLUMN = 56  # the wire at y = 0
WIRE_LENGTH_MM = 2900.0
HALF_HEIGHT_MM = 1550.0  # of the sensitive volume in both generators
TOY_HALF_HEIGHT = 113 * 1550 / 5000  # 35.03, the same height in cells as the toy counts them

# The three geometries that events may be in, and the distance of their wires of layer 0 from the foil: half a
# cell in the toy of `my_generator`, 53 mm in the detector (Falaise); TKEvent takes 22 + 58/2 = 51.
TOY = 0
DETECTOR = 1
TKEVENT = 2
GEOMETRIES = ("toy", "detector", "TKEvent")
TOY_FIRST_WIRE_MM = 22.0
FIRST_WIRE_MM = 53.0
TKEVENT_FIRST_WIRE_MM = 51.0
FIRST_WIRES_MM = np.array([TOY_FIRST_WIRE_MM, FIRST_WIRE_MM, TKEVENT_FIRST_WIRE_MM])

# Binning of z in the side and front views
N_Z_BINS = 30
Z_BIN_MM = 100.0
Z_MIN_MM = -1500.0


class BlockRow(NamedTuple):
    """A row of calorimeter blocks along one axis."""

    first_edge_mm: float
    pitch_mm: float
    inset_mm: float  # of a block's face from the block's edge
    width_mm: float  # of the face
    n_blocks: int


# Types of calorimeter blocks: main walls at |x|, X-walls at |y|, gamma vetos at |z|
MAIN_WALL = 0
X_WALL = 1
GAMMA_VETO = 2
MAIN_WALL_X_MM = 435.0
X_WALL_Y_MM = 2505.5
VETO_Z_MM = 1550.0
N_MAIN_COLUMNS = 20
N_MAIN_ROWS = 13
N_X_COLUMNS = 2
N_X_ROWS = 16
N_VETO_COLUMNS = 16
MAIN_COLUMN_GRID = BlockRow(-2590.0, 259.0, 1.5, 256.0, N_MAIN_COLUMNS)
MAIN_ROW_GRID = BlockRow(-1683.5, 259.0, 1.5, 256.0, N_MAIN_ROWS)
X_COLUMN_GRID = BlockRow(29.0, 203.0, 1.0, 200.0, N_X_COLUMNS)  # along |x|
X_ROW_GRID = BlockRow(-1696.0, 212.0, 1.75, 208.5, N_X_ROWS)
VETO_COLUMN_GRID = BlockRow(
    5.25, 311.5, 1.75, 308.0, N_VETO_COLUMNS // 2
)  # along |y|, halves are mirrored
VETO_X_GRID = BlockRow(4.9, 292.0, 1.0, 290.0, 1)  # along |x|
# Width of a block's face along x, y and z by type of block; the last row is for a block of unknown type, -1
FACE_SIZES_MM = np.array(
    [
        (0, MAIN_COLUMN_GRID.width_mm, MAIN_ROW_GRID.width_mm),
        (X_COLUMN_GRID.width_mm, 0, X_ROW_GRID.width_mm),
        (VETO_X_GRID.width_mm, VETO_COLUMN_GRID.width_mm, 0),
        (np.nan, np.nan, np.nan),
    ]
)
# The toy has main walls only; their blocks, counted from 1, share the length and the height of the tracker
TOY_COLUMN_MM = N_COLUMNS * CELL_MM / N_MAIN_COLUMNS
TOY_ROW_MM = 2 * HALF_HEIGHT_MM / N_MAIN_ROWS
TOY_FACE_SIZE_MM = np.array([0, TOY_COLUMN_MM, TOY_ROW_MM])
# Largest column and row by type of block; the last row is for a block of unknown type, -1
LARGEST_BLOCK = np.array([(19, 12), (1, 15), (15, -1), (21, 15)])
TOY_WALL_OVERFLOW = (
    (0, 21),
    (0, 14),
)  # columns and rows by which the toy means a place beyond its wall

# Optical modules are numbered through: how many there are before a kind of wall, and in all
N_BEFORE_X_WALL = 520
N_BEFORE_VETO = 648
N_OPTICAL_MODULES = 712


def wire_x_mm(side, layer, first_wire_mm=FIRST_WIRE_MM):
    """x of a wire: negative on side 0. `first_wire_mm` is the distance of layer 0 from the foil."""
    distance = first_wire_mm + CELL_MM * np.asarray(layer)
    return _sign(side) * distance


def _sign(side):
    """-1 on side 0, 1 on side 1; so for the two X-walls and the two rows of gamma vetos."""
    return 2 * np.asarray(side) - 1


def wire_y_mm(column):
    """y of a wire; column 56 is at 0."""
    return CELL_MM * (np.asarray(column) - MIDDLE_COLUMN)


def z_bin(z_mm):
    """Bin 0..29 of a height, 100 mm each from -1500 mm; heights beyond the ends count in the last bin.

    The height must be measured.
    """
    inside = np.clip(z_mm, Z_MIN_MM, -Z_MIN_MM - 10)
    above = inside - np.float64(Z_MIN_MM)  # float32 would round -0.00001 up to the next bin
    return (above / Z_BIN_MM).astype(np.intp)


def toy_calo_block(y, z):
    """Calorimeter block (column 0..21, row 0..14) that `my_generator` gives a line.

    Args:
        y, z: where the line leaves the ninth layer (x = 9), in cells; y from 0 to 113, z from -h to h.
    Returns:
        (column, row): 1..20 x 1..13 on the main wall, overflow at both ends.
    """
    h = TOY_HALF_HEIGHT
    before, beyond = TOY_WALL_OVERFLOW[0]
    inside = np.clip(y, 0, N_COLUMNS)
    blocks = N_MAIN_COLUMNS * inside / N_COLUMNS
    column = np.floor(blocks) + 1
    column = np.where(y > N_COLUMNS, beyond, column)
    column = np.where(y < 0, before, column)

    below, above = TOY_WALL_OVERFLOW[1]
    height = h + np.clip(z, -h, h)
    blocks = N_MAIN_ROWS * height / (2 * h)
    row = np.floor(blocks) + 1
    row = np.where(z > h, above, row)
    row = np.where(z < -h, below, row)
    return column.astype(int), row.astype(int)


def block_face_mm(calo_type, side, wall, column, row):
    """Where the middle of a block's face is in the detector.

    Args:
        calo_type, side, wall, column, row: (n,) int addresses of blocks, as the event table has them.
    Returns:
        (n, 3) x, y, z; NaN for a block of unknown type.
    """
    wall_sign = _sign(wall)
    # main wall, X-wall and gamma veto, one after the other
    x = [MAIN_WALL_X_MM, _middle(column, X_COLUMN_GRID), _middle(0, VETO_X_GRID)]
    y = [_middle(column, MAIN_COLUMN_GRID), wall_sign * X_WALL_Y_MM, _veto_y_mm(column)]
    z = [_middle(row, MAIN_ROW_GRID), _middle(row, X_ROW_GRID), wall_sign * VETO_Z_MM]
    is_type = _is_type(calo_type)
    x = np.select(is_type, x, np.nan)
    y = np.select(is_type, y, np.nan)
    z = np.select(is_type, z, np.nan)
    return np.stack([_sign(side) * x, y, z], -1)


def _is_type(calo_type):
    """Masks of the blocks of the main walls, the X-walls and the gamma vetos."""
    return [np.equal(calo_type, one) for one in (MAIN_WALL, X_WALL, GAMMA_VETO)]


def toy_block_face_mm(side, column, row):
    """Where the middle of a block's face is in the toy, where a line leaves the ninth layer.

    Args:
        side, column, row: (n,) int addresses of blocks, columns 1..20 and rows 1..13.
    Returns:
        (n, 3) x, y, z.
    """
    first_y = -N_COLUMNS * CELL_MM / 2
    x = _sign(side) * N_LAYERS * CELL_MM
    y = first_y + TOY_COLUMN_MM * (np.asarray(column) - 0.5)
    z = -HALF_HEIGHT_MM + TOY_ROW_MM * (np.asarray(row) - 0.5)
    return np.stack([x, y, z], -1)


def _veto_y_mm(column):
    """y of the middle of a gamma veto; both halves count from the middle of the detector."""
    half = N_VETO_COLUMNS // 2
    column = np.asarray(column)
    left = -_middle(half - 1 - column, VETO_COLUMN_GRID)
    right = _middle(column - half, VETO_COLUMN_GRID)
    return np.where(column < half, left, right)


def _middle(index, row):
    """Middle of a block's face in a row of blocks."""
    edge = row.first_edge_mm + row.pitch_mm * np.asarray(index)
    return edge + row.inset_mm + row.width_mm / 2


def optical_module(calo_type, side, wall, column, row):
    """Number 0..711 of an optical module as TKEvent counts them; -1 for a block of unknown type.

    Args:
        calo_type: 0 main wall, 1 X-wall, 2 gamma veto; side, wall, column, row: its address, ignored where it
            has none.
    """
    side = np.asarray(side, np.int64)  # 260 is too much for an int8
    wall = np.asarray(wall, np.int64)
    column = np.asarray(column, np.int64)
    row = np.asarray(row, np.int64)
    main = 260 * side + 13 * column + row
    x_wall = N_BEFORE_X_WALL + 64 * side + 32 * wall + 16 * column + row
    veto = N_BEFORE_VETO + 32 * side + 16 * wall + column
    return np.select(_is_type(calo_type), [main, x_wall, veto], -1)


def optical_module_address(number):
    """The inverse of `optical_module`: (calo_type, side, wall, column, row), -1 where the block has none.

    Raises:
        ValueError: a number outside 0..711.
    """
    number = np.asarray(number)
    outside = (number < 0) | (number >= N_OPTICAL_MODULES)
    if outside.any():
        bad = number[outside].flat[0]
        raise ValueError(f"optical module {bad} outside 0..{N_OPTICAL_MODULES - 1}")
    main_side, rest = np.divmod(number, 260)
    main_column, main_row = np.divmod(rest, 13)

    x_side, rest = np.divmod(number - N_BEFORE_X_WALL, 64)
    x_wall, rest = np.divmod(rest, 32)
    x_column, x_row = np.divmod(rest, 16)

    veto_side, rest = np.divmod(number - N_BEFORE_VETO, 32)
    veto_wall, veto_column = np.divmod(rest, 16)

    before = [number < N_BEFORE_X_WALL, number < N_BEFORE_VETO]
    calo_type = np.select(before, [MAIN_WALL, X_WALL], GAMMA_VETO)
    side = np.choose(calo_type, [main_side, x_side, veto_side])
    wall = np.choose(calo_type, [-1, x_wall, veto_wall])
    column = np.choose(calo_type, [main_column, x_column, veto_column])
    row = np.choose(calo_type, [main_row, x_row, -1])
    return calo_type, side, wall, column, row
