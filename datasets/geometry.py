"""Constants and positions of the tracker and its calorimeter walls: the toy of `my_generator`, and the
detector.

Lengths are in mm; x points away from the source foil, y along it, z up along the wires. Sources: Falaise
geometry and arXiv:1504.08304 for the detector, the original macro and script for the two generators.
"""

import numpy as np

N_SIDES, N_LAYERS, N_COLUMNS = 2, 9, 113
N_CELLS = N_SIDES * N_LAYERS * N_COLUMNS  # 2034
CELL_MM = 44.0
CELL_RADIUS_MM = 22.0
MIDDLE_COLUMN = 56  # the wire at y = 0

# The three geometries that events may be in, and the distance of their wires of layer 0 from the foil: half a
# cell in the toy of `my_generator`, 53 mm in the detector (Falaise); TKEvent takes 22 + 58/2 = 51.
TOY, DETECTOR, TKEVENT = 0, 1, 2
GEOMETRIES = ("toy", "detector", "TKEvent")
TOY_FIRST_WIRE_MM = 22.0
FIRST_WIRE_MM = 53.0
TKEVENT_FIRST_WIRE_MM = 51.0
FIRST_WIRES_MM = np.array([TOY_FIRST_WIRE_MM, FIRST_WIRE_MM, TKEVENT_FIRST_WIRE_MM])

WIRE_LENGTH_MM = 2900.0
HALF_HEIGHT_MM = 1550.0  # of the sensitive volume in both generators
TOY_HALF_HEIGHT = 113 * 1550 / 5000  # 35.03, the same height in cells as the toy counts them

# Binning of z in the side and front views
N_Z_BINS, Z_BIN_MM, Z_MIN_MM = 30, 100.0, -1500.0

# Calorimeter: main walls at |x|, X-walls at |y|, gamma vetos at |z|
MAIN_WALL, X_WALL, GAMMA_VETO = 0, 1, 2
MAIN_WALL_X_MM, X_WALL_Y_MM, VETO_Z_MM = 435.0, 2505.5, 1550.0
N_MAIN_COLUMNS, N_MAIN_ROWS = 20, 13
N_X_COLUMNS, N_X_ROWS = 2, 16
N_VETO_COLUMNS = 16
N_OPTICAL_MODULES = 712
TOY_WALL_OVERFLOW = (0, 21), (0, 14)  # columns and rows by which the toy means a place beyond its wall
# Largest column and row by type of block; the last row is for a block of unknown type, -1
LARGEST_BLOCK = np.array([(19, 12), (1, 15), (15, -1), (21, 15)])
# Rows of blocks: (first edge, pitch, inset of a block's face from there, width of the face, number of
# blocks), mm
MAIN_COLUMN_GRID = (-2590.0, 259.0, 1.5, 256.0, N_MAIN_COLUMNS)
MAIN_ROW_GRID = (-1683.5, 259.0, 1.5, 256.0, N_MAIN_ROWS)
X_COLUMN_GRID = (29.0, 203.0, 1.0, 200.0, N_X_COLUMNS)  # along |x|
X_ROW_GRID = (-1696.0, 212.0, 1.75, 208.5, N_X_ROWS)
VETO_COLUMN_GRID = (
    5.25,
    311.5,
    1.75,
    308.0,
    N_VETO_COLUMNS // 2,
)  # along |y|, the two halves mirror each other
VETO_X_GRID = (4.9, 292.0, 1.0, 290.0, 1)  # along |x|


def wire_x_mm(side, layer, first_wire_mm=FIRST_WIRE_MM):
    """x of a wire: negative on side 0. `first_wire_mm` is the distance of layer 0 from the foil."""
    return (2 * np.asarray(side) - 1) * (first_wire_mm + CELL_MM * np.asarray(layer))


def wire_y_mm(column):
    """y of a wire; column 56 is at 0."""
    return CELL_MM * (np.asarray(column) - MIDDLE_COLUMN)


def z_bin(z_mm):
    """Bin 0..29 of a height, 100 mm each from -1500 mm; heights beyond the ends count in the last bin. z must
    be measured.
    """
    above = np.clip(z_mm, Z_MIN_MM, -Z_MIN_MM - 10) - np.float64(
        Z_MIN_MM
    )  # float32 would round -0.00001 up to the next bin
    return (above / Z_BIN_MM).astype(np.intp)


def toy_calo_block(y, z):
    """Calorimeter block (column 0..21, row 0..14) that `my_generator` gives a line.

    Args:
        y, z: where the line leaves the ninth layer (x = 9), in cells; y from 0 to 113, z from -h to h.
    Returns:
        (column, row): 1..20 x 1..13 on the main wall, overflow at both ends.
    """
    h = TOY_HALF_HEIGHT
    column = np.where(
        y < 0, 0, np.where(y > N_COLUMNS, 21, np.floor(20 * np.clip(y, 0, N_COLUMNS) / N_COLUMNS) + 1)
    )
    row = np.where(z < -h, 0, np.where(z > h, 14, np.floor(13 * (h + np.clip(z, -h, h)) / (2 * h)) + 1))
    return column.astype(int), row.astype(int)


def block_face_mm(calo_type, side, wall, column, row):
    """Where the middle of a block's face is.

    Args:
        calo_type, side, wall, column, row: (n,) int addresses of blocks, as the tracks of the event table
            have them.
    Returns:
        (n, 3) x, y, z.
    """
    outwards = 2 * np.asarray(side) - 1
    half = N_VETO_COLUMNS // 2
    veto_y = np.where(
        np.asarray(column) < half,
        -_middle(half - 1 - column, VETO_COLUMN_GRID),
        _middle(column - half, VETO_COLUMN_GRID),
    )
    faces = {
        MAIN_WALL: (
            outwards * MAIN_WALL_X_MM,
            _middle(column, MAIN_COLUMN_GRID),
            _middle(row, MAIN_ROW_GRID),
        ),
        X_WALL: (
            outwards * _middle(column, X_COLUMN_GRID),
            (2 * wall - 1) * X_WALL_Y_MM,
            _middle(row, X_ROW_GRID),
        ),
        GAMMA_VETO: (outwards * _middle(0, VETO_X_GRID), veto_y, (2 * wall - 1) * VETO_Z_MM),
    }
    kinds = [np.equal(calo_type, kind) for kind in faces]
    return np.stack([np.select(kinds, axis, np.nan) for axis in zip(*faces.values(), strict=True)], -1)


def _middle(index, grid):
    """Middle of a block's face in a row of blocks."""
    start, pitch, inset, width, _ = grid
    return start + pitch * np.asarray(index) + inset + width / 2


def optical_module(calo_type, side, wall, column, row):
    """Number 0..711 of an optical module as TKEvent counts them.

    Args:
        calo_type: 0 main wall, 1 X-wall, 2 gamma veto; side, wall, column, row: its address, ignored where it
            has none.
    """
    side, wall, column, row = (
        np.asarray(part, np.int64) for part in (side, wall, column, row)
    )  # 260 is too much for an int8
    main = 260 * side + 13 * column + row
    x_wall = 520 + 64 * side + 32 * wall + 16 * column + row
    veto = 648 + 32 * side + 16 * wall + column
    return np.select(
        [np.equal(calo_type, t) for t in (MAIN_WALL, X_WALL, GAMMA_VETO)], [main, x_wall, veto], -1
    )


def optical_module_address(number):
    """The inverse of `optical_module`: (calo_type, side, wall, column, row), -1 where the block has none.

    Raises:
        ValueError: a number outside 0..711.
    """
    number = np.asarray(number)
    if number.size and (number.min() < 0 or number.max() >= N_OPTICAL_MODULES):
        bad = number[(number < 0) | (number >= N_OPTICAL_MODULES)].flat[0]
        raise ValueError(f"optical module {bad} outside 0..{N_OPTICAL_MODULES - 1}")
    x, v = number - 520, number - 648
    calo_type = np.select([number < 520, number < 648], [MAIN_WALL, X_WALL], GAMMA_VETO)
    by_type = lambda main, x_wall, veto: np.choose(calo_type, [main, x_wall, veto])  # noqa: E731
    side = by_type(number // 260, x // 64, v // 32)
    wall = by_type(-1, x % 64 // 32, v % 32 // 16)
    column = by_type(number % 260 // 13, x % 32 // 16, v % 16)
    row = by_type(number % 13, x % 16, -1)
    return calo_type, side, wall, column, row
