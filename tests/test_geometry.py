"""Positions and numbers of wires and calorimeter blocks, by hand."""

import numpy as np
import pytest

from datasets import geometry
from datasets.geometry import (
    N_OPTICAL_MODULES,
    TKEVENT_FIRST_WIRE_MM,
    TOY_FIRST_WIRE_MM,
    TOY_HALF_HEIGHT,
    optical_module,
    optical_module_address,
)
from datasets.readers import tkevent
from my_generator import toyhaystack


def test_wires_are_where_falaise_puts_them():
    assert geometry.wire_x_mm(0, 0) == -53
    assert geometry.wire_x_mm(1, 0) == 53
    assert geometry.wire_x_mm(0, 8) == -405
    assert geometry.wire_x_mm(1, 8) == 405
    assert geometry.wire_y_mm(0) == -2464
    assert geometry.wire_y_mm(56) == 0
    assert geometry.wire_y_mm(112) == 2464


def test_first_wire_is_nearer_in_tkevent_and_in_the_toy():
    assert geometry.wire_x_mm(0, 1, TKEVENT_FIRST_WIRE_MM) == -95
    np.testing.assert_array_equal(
        geometry.wire_x_mm(1, np.arange(9), TOY_FIRST_WIRE_MM), (np.arange(9) + 0.5) * 44
    )


def test_positions_of_the_tables_small_integers_do_not_overflow():
    side, layer, column = (
        np.array([0, 1], np.int8),
        np.array([8, 8], np.int8),
        np.array([0, 112], np.int8),
    )
    np.testing.assert_array_equal(geometry.wire_x_mm(side, layer), [-405, 405])
    np.testing.assert_array_equal(geometry.wire_y_mm(column), [-2464, 2464])
    assert optical_module(np.int8(0), np.int8(1), np.int8(-1), np.int8(19), np.int8(12)) == 519


@pytest.mark.parametrize(
    "calo_type, side, wall, column, row, number",
    [
        (0, 0, -1, 0, 0, 0),
        (0, 0, -1, 3, 5, 44),  # 13 x 3 + 5
        (0, 0, -1, 19, 12, 259),
        (0, 1, -1, 0, 0, 260),
        (0, 1, -1, 19, 12, 519),
        (1, 0, 0, 0, 0, 520),
        (1, 0, 1, 0, 0, 552),
        (1, 0, 1, 1, 3, 571),  # 520 + 32 + 16 + 3
        (1, 1, 0, 0, 0, 584),
        (1, 1, 1, 1, 15, 647),
        (2, 0, 0, 0, -1, 648),
        (2, 0, 1, 0, -1, 664),
        (2, 1, 0, 5, -1, 685),  # 648 + 32 + 5
        (2, 1, 1, 15, -1, 711),
    ],
)
def test_optical_modules_are_numbered_as_in_tkevent(calo_type, side, wall, column, row, number):
    assert optical_module(calo_type, side, wall, column, row) == number
    assert tuple(int(part) for part in optical_module_address(number)) == (
        calo_type,
        side,
        wall,
        column,
        row,
    )


def test_all_712_optical_modules_have_an_address_and_back():
    address = optical_module_address(np.arange(712))
    np.testing.assert_array_equal(optical_module(*address), np.arange(712))
    assert np.bincount(address[0]).tolist() == [520, 128, 64]
    for calo_type, n_columns, n_rows in ((0, 20, 13), (1, 2, 16), (2, 16, 0)):
        _, side, wall, column, row = (part[address[0] == calo_type] for part in address)
        assert set(side.tolist()) == {0, 1}
        assert set(wall.tolist()) == ({-1} if calo_type == 0 else {0, 1})
        assert set(column.tolist()) == set(range(n_columns))
        assert set(row.tolist()) == (set(range(n_rows)) or {-1})


def test_parts_of_an_address_that_a_block_lacks_are_ignored():
    assert optical_module(0, 1, 77, 2, 3) == optical_module(0, 1, -1, 2, 3)
    assert optical_module(2, 1, 0, 5, 9) == optical_module(2, 1, 0, 5, -1)


def test_no_block_has_no_number():
    assert optical_module(-1, -1, -1, -1, -1) == -1


@pytest.mark.parametrize("number", [-1, 712])
def test_a_number_of_no_optical_module_is_refused(number):
    with pytest.raises(ValueError, match=f"{number}"):
        optical_module_address([0, number])


@pytest.mark.parametrize(
    "z, expected",
    [
        (-2000, 0),
        (-1550, 0),
        (-1500, 0),
        (-1400.5, 0),
        (-1400, 1),
        (-0.5, 14),
        (0, 15),
        (99.5, 15),
        (100, 16),
        (1399.5, 28),
    ]
    + [(1400, 29), (1490, 29), (1499, 29), (1500, 29), (1550, 29), (2000, 29)],
)
def test_heights_fall_into_bins_of_100_mm(z, expected):
    assert geometry.z_bin(z) == expected


def test_z_bins_are_those_of_the_original_formula():
    z = (np.arange(-20000, 20001) / 10).astype(np.float32)
    z = np.concatenate(
        [z, np.nextafter(z, np.float32(-np.inf)), np.nextafter(z, np.float32(np.inf))]
    )
    expected = [int((min(max(value, -1500), 1490) + 1500) / 100) for value in z.tolist()]
    np.testing.assert_array_equal(geometry.z_bin(z), expected)
    assert geometry.z_bin(z).min() == 0 and geometry.z_bin(z).max() == geometry.N_Z_BINS - 1


def toy_block(y, z):
    """The lines of the original macro."""
    h = TOY_HALF_HEIGHT
    column = 0 if y < 0 else 21 if y > 113 else int(20 * y / 113 + 1)
    row = 0 if z < -h else 14 if z > h else int(13 * (h + z) / (2 * h) + 1)
    return column, row


def test_toy_calo_blocks_overflow_at_both_ends():
    assert pytest.approx(35.03) == TOY_HALF_HEIGHT
    y = np.array([-1e9, -0.01, 0, 5.6, 5.7, 56.5, 112.9, 113.1, 1e9])
    assert geometry.toy_calo_block(y, 0 * y)[0].tolist() == [0, 0, 1, 1, 2, 11, 20, 21, 21]
    z = np.array([-1e9, -35.04, -35.02, 0, 29.6, 29.7, 35.02, 35.04, 1e9])  # a block is 5.39 high
    assert geometry.toy_calo_block(0 * z, z)[1].tolist() == [0, 0, 1, 7, 12, 13, 13, 14, 14]


def test_toy_calo_blocks_are_those_of_the_macro():
    rng = np.random.default_rng(0)
    y, z = rng.uniform(-50, 170, 2000), rng.uniform(-60, 60, 2000)
    expected = [toy_block(*point) for point in zip(y.tolist(), z.tolist(), strict=True)]
    np.testing.assert_array_equal(np.stack(geometry.toy_calo_block(y, z), -1), expected)


@pytest.mark.parametrize(
    "calo_type, side, wall, column, row, place",
    [
        (0, 0, -1, 0, 0, (-435, -2460.5, -1554)),
        (0, 1, -1, 19, 12, (435, 2460.5, 1554)),
        (1, 0, 0, 0, 0, (-130, -2505.5, -1590)),
        (1, 1, 1, 1, 15, (333, 2505.5, 1590)),
        (2, 1, 0, 7, -1, (150.9, -161, -1550)),
        (2, 0, 1, 8, -1, (-150.9, 161, 1550)),
        (2, 1, 1, 15, -1, (150.9, 2341.5, 1550)),
    ],
)
def test_faces_of_blocks_at_the_corners_of_the_walls(calo_type, side, wall, column, row, place):
    np.testing.assert_allclose(
        geometry.block_face_mm(*np.array([[calo_type, side, wall, column, row]]).T), [place]
    )


def test_faces_of_neighbours_in_a_wall_do_not_overlap_and_leave_small_gaps():
    address = np.stack(geometry.optical_module_address(np.arange(N_OPTICAL_MODULES)))
    faces = geometry.block_face_mm(*address)
    sizes = geometry.FACE_SIZES_MM[address[0]]
    for calo_type, index, axis in ((0, 3, 1), (0, 4, 2), (1, 3, 0), (1, 4, 2), (2, 3, 1)):
        one = np.flatnonzero((address[0] == calo_type) & (address[index] == 0))
        following = address[:, one]
        following[index] += 1
        other = geometry.optical_module(*following)
        distance = np.abs(faces[other, axis] - faces[one, axis])
        gap = distance - sizes[one, axis]
        assert (gap > 0).all() and (gap < 12).all()


def test_a_block_of_unknown_type_has_no_face():
    assert np.isnan(geometry.FACE_SIZES_MM[-1]).all()
    assert np.isnan(geometry.block_face_mm(*np.array([[-1, 0, -1, 0, 0]]).T)).all()


def test_a_toy_line_through_the_middle_of_a_face_hits_that_block():
    column, row = (values.ravel() for values in np.mgrid[1:21, 1:14])
    x, y, z = geometry.toy_block_face_mm(np.ones(260, np.int8), column, row).T
    cells = y / geometry.CELL_MM + geometry.N_COLUMNS / 2
    heights = z / geometry.HALF_HEIGHT_MM * TOY_HALF_HEIGHT
    np.testing.assert_array_equal(geometry.toy_calo_block(cells, heights), (column, row))
    assert set(x) == {9 * 44}
    assert geometry.toy_block_face_mm([0], [1], [1])[0, 0] == -9 * 44


def test_faces_of_the_toy_fill_its_wall():
    y, z = geometry.toy_block_face_mm([1, 1], [1, 20], [1, 13])[:, 1:].T
    _, width, height = geometry.TOY_FACE_SIZE_MM
    assert y[0] - width / 2 == pytest.approx(-56.5 * 44) and y[1] + width / 2 == pytest.approx(
        56.5 * 44
    )
    assert z[0] - height / 2 == pytest.approx(-1550) and z[1] + height / 2 == pytest.approx(1550)


def test_a_line_to_the_middle_of_a_face_hits_that_block():
    address = geometry.optical_module_address(np.arange(N_OPTICAL_MODULES))
    calo_type, side, (x, y, z) = address[0], address[1], geometry.block_face_mm(*address).T
    turn_y, turn_z = 0.2 * (calo_type == geometry.X_WALL), 0.2 * (calo_type == geometry.GAMMA_VETO)
    lines = {"side": side, "foil_y_mm": (1 - turn_y) * y, "slope_y": turn_y * y / np.abs(x)}
    lines |= {"foil_z_mm": (1 - turn_z) * z, "slope_z": turn_z * z / np.abs(x)}
    found = toyhaystack.calo_blocks(lines)
    names = ("calo_type", "calo_side", "calo_wall", "calo_column", "calo_row")
    np.testing.assert_array_equal([found[name] for name in names], address)


@pytest.mark.real
def test_faces_are_where_tkevent_has_its_modules_but_for_their_depth(real_data):
    modules, _ = tkevent.read_objects(real_data / "root/tkevent_sample.root", "optical_modules")
    address = [
        modules[f"calo_{name}"].astype(int) for name in ("type", "side", "wall", "column", "row")
    ]
    np.testing.assert_allclose(geometry.block_face_mm(*address)[:, 1:], modules["xyz"][:, 1:])
