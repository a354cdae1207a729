"""Domains of the best partition: closed forms, brute force on a grid, and a program that others wrote."""

import igraph
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bids_flex import dynamics as d
from bids_flex.dynamics.domains import centroid
from bids_flex.errors import UsageError

SQUARE = ((0.0, 1.0), (0.0, 1.0))


def heights(planes, gamma, omega):
    constant, slope, coupling = np.asarray(planes, dtype=float).T
    return constant[:, None] + slope[:, None] * np.ravel(gamma) + coupling[:, None] * np.ravel(omega)


def middles(low, high, count):
    return low + (np.arange(count) + 0.5) / count * (high - low)


def inside(polygon, point, slack=1e-9):
    """Whether a point lies left of all sides of a polygon given counterclockwise."""
    side, to = np.roll(polygon, -1, axis=0) - polygon, np.asarray(point) - polygon
    return bool((side[:, 0] * to[:, 1] - side[:, 1] * to[:, 0] >= -slack).all())


def test_two_planes_by_hand():
    """Planes 1 - gamma and 0: equal at gamma = 1, whatever omega."""
    found = d.champ_domains([[0, 0, 0], [1, -1, 0]], (0, 4), (1, 3))
    assert found.partition.tolist() == [0, 1]
    np.testing.assert_allclose(found.share, [0.75, 0.25])
    assert found.of_plane.tolist() == [0, 1]
    corners = {tuple(corner) for corner in np.round(found.vertices[1], 9).tolist()}
    assert corners == {(0, 1), (1, 1), (1, 3), (0, 3)}
    np.testing.assert_allclose(centroid(found.vertices[0]), [2.5, 2.0])


def test_three_planes_by_hand():
    """Planes gamma, omega and 1/2 over the unit square: a quarter has neither above 1/2, the diagonal cuts the rest."""
    found = d.champ_domains([[0, 1, 0], [0, 0, 1], [0.5, 0, 0]], *SQUARE)
    np.testing.assert_allclose(found.share, [3 / 8, 3 / 8, 1 / 4], atol=1e-12)
    assert found.partition.tolist() == [0, 1, 2]


def test_the_middle_of_an_uneven_domain_by_hand():
    """A unit square and half of the next: middles (1/2, 1/2) and (4/3, 1/3), areas 1 and 1/2."""
    polygon = [[0, 0], [2, 0], [1, 1], [0, 1]]
    np.testing.assert_allclose(centroid(polygon), [(1 / 2 + 2 / 3) / 1.5, (1 / 2 + 1 / 6) / 1.5])


def test_small_differences_of_great_qualities_count():
    """Weights of a whole cohort add up, and partitions differ by a region or two."""
    found = d.champ_domains([[1e9, -1e8, 1e7], [1e9 + 0.01, -1e8 - 0.01, 1e7]], (0, 4), (0, 1))
    assert found.partition.tolist() == [0, 1]
    np.testing.assert_allclose(found.share, [0.75, 0.25], atol=1e-4)


def test_equal_dominated_and_touching_planes():
    planes = [[0, 0, 0], [1, -1, 0], [1, -1, 1e-14], [0.2, -1, 0], [0, 0, 0], [1, -2, 0]]
    found = d.champ_domains(planes, (0, 2), (0, 1))
    assert sorted(found.partition.tolist()) == [0, 1]
    # the last plane is the best at gamma = 0 alone, which has no area
    assert found.of_plane.tolist() == [
        found.of_plane[0],
        found.of_plane[1],
        found.of_plane[1],
        -1,
        found.of_plane[0],
        -1,
    ]
    np.testing.assert_allclose(found.share, 0.5)


@pytest.mark.parametrize("plane", [[0, 0, 0], [3.0, -2.0, 1.0], [1e9, -1e9, 1.0]])
@pytest.mark.parametrize("times", [1, 3])
def test_a_single_plane_has_it_all(plane, times):
    found = d.champ_domains([plane] * times, (0.5, 1.5), (0, 2))
    assert found.partition.tolist() == [0]
    assert found.of_plane.tolist() == [0] * times
    np.testing.assert_allclose(found.share, 1.0)
    np.testing.assert_allclose(centroid(found.vertices[0]), [1.0, 1.0])


@pytest.mark.parametrize("seed", range(6))
def test_brute_force_finds_the_same_domains(seed):
    rng = np.random.default_rng(seed)
    count = int(rng.integers(2, 80))
    # the tangent planes of a bowl, each of which is the best somewhere, and some that need not be
    x, y = rng.uniform(0.2, 1.8, count), rng.uniform(0, 3, count)
    planes = np.column_stack([-(x**2 + y**2), 2 * x, 2 * y])
    planes[::3, 0] -= rng.uniform(0, 0.5, len(planes[::3]))
    found = d.champ_domains(planes, (0.2, 1.8), (0, 3))
    gamma, omega = np.meshgrid(middles(0.2, 1.8, 400), middles(0, 3, 400), indexing="ij")
    best = heights(planes, gamma, omega).argmax(axis=0)
    share = np.zeros(count)
    share[found.partition] = found.share
    np.testing.assert_allclose(share, np.bincount(best, minlength=count) / best.size, atol=1e-2)
    assert found.share.sum() == pytest.approx(1, abs=1e-9)
    assert (np.diff(found.share) <= 0).all()
    for p, g, o in zip(best[::97], gamma.ravel()[::97], omega.ravel()[::97], strict=True):
        assert inside(found.vertices[found.of_plane[p]], (g, o))


@settings(max_examples=150)
@given(
    arrays(np.float64, st.tuples(st.integers(1, 12), st.just(3)), elements=st.integers(-5, 5).map(float)),
    st.floats(0, 3),
    st.floats(0.1, 3),
)
def test_degenerate_planes_make_whole_domains(planes, least, width):
    """Small integers meet in many points and lines at once."""
    found = d.champ_domains(planes, (least, least + width), (0, 2))
    assert found.share.sum() == pytest.approx(1, abs=1e-9)
    for partition, polygon in zip(found.partition, found.vertices, strict=True):
        for point in [centroid(polygon), *polygon]:
            values = heights(planes, *point)[:, 0]
            assert values[partition] >= values.max() - 1e-9
    assert (found.of_plane[found.partition] == np.arange(found.partition.size)).all()


@given(st.integers(0, 10_000), st.floats(1e-3, 1e6), st.floats(-1e3, 1e3))
def test_scale_and_a_common_plane_do_not_matter(seed, scale, common):
    rng = np.random.default_rng(seed)
    planes = rng.uniform(-1, 1, (6, 3))
    one, other = d.champ_domains(planes, *SQUARE), d.champ_domains(planes * scale + common * scale, *SQUARE)
    assume(np.min(np.abs(np.diff(one.share)), initial=1) > 1e-9)
    np.testing.assert_array_equal(one.partition, other.partition)
    np.testing.assert_allclose(one.share, other.share, atol=1e-7)


def layers(fc):
    """The same network for others' programs: windows with their weights, couplings in both directions."""
    windows, regions = fc.shape[:2]
    upper = np.triu_indices(regions, 1)
    edges, weights = [], []
    for w in range(windows):
        edges += [(w * regions + i, w * regions + j) for i, j in zip(*upper, strict=True) if fc[w, i, j] > 0]
        weights += [fc[w, i, j] for i, j in zip(*upper, strict=True) if fc[w, i, j] > 0]
    within = igraph.Graph(windows * regions, edges, edge_attrs={"weight": weights})
    links = [(e, e + regions) for e in range((windows - 1) * regions)]
    between = igraph.Graph(windows * regions, links, edge_attrs={"weight": [1.0] * len(links)})
    return within, between, np.repeat(np.arange(windows), regions).tolist()


def test_another_program_finds_the_same_domains():
    champ = pytest.importorskip("modularitypruning.champ_utilities")
    rng = np.random.default_rng(5)
    fc = rng.uniform(-0.3, 1, (4, 12, 12))
    fc = (fc + fc.transpose(0, 2, 1)) / 2
    fc[:, range(12), range(12)] = 0
    swept = d.sweep(fc, [0.4, 0.8, 1.0, 1.2, 1.6], [0.1, 0.4, 1.0], null="ng", restarts=5, seed=1)
    partitions = [tuple(int(k) - 1 for k in one.ravel()) for one in swept.best]
    constant, expected, kept = champ.partition_coefficients_3D(*layers(fc), partitions)
    np.testing.assert_allclose(swept.planes, np.column_stack([constant, -expected, kept]), rtol=1e-9)
    theirs = champ.CHAMP_3D(*layers(fc), partitions, 0.0, 2.0, 0.0, 1.5)
    found = d.champ_domains(swept.planes, (0, 2), (0, 1.5))
    ours = {partitions[p]: s * 3.0 for p, s in zip(found.partition, found.share, strict=True)}
    areas = {membership: hull_area(np.array(vertices)[:, :2]) for vertices, membership in theirs}
    assert len(ours) > 3
    assert {m for m, area in areas.items() if area > 1e-6} == {m for m, area in ours.items() if area > 1e-6}
    for membership, area in ours.items():
        assert areas[membership] == pytest.approx(area, abs=1e-7)


def hull_area(points):
    from scipy.spatial import ConvexHull

    return ConvexHull(points).volume


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (([[1, 2]], (0, 1), (0, 1)), r"must be \(P, 3\)"),
        ((np.empty((0, 3)), (0, 1), (0, 1)), "P at least 1"),
        (([[1, 2, np.nan]], (0, 1), (0, 1)), "not finite"),
        (([[1, 2, 3]], (1, 1), (0, 1)), "gamma_range is"),
        (([[1, 2, 3]], (0, 1), (2, 1)), "omega_range is"),
        (([[1, 2, 3]], (-1, 1), (0, 1)), "at least 0"),
        (([[1, 2, 3]], (0, np.inf), (0, 1)), "finite"),
        (([[1, 2, 3]], (0, 1), (0, 1, 2)), "omega_range is"),
    ],
)
def test_senseless_planes_and_ranges_are_refused(words, told):
    with pytest.raises(UsageError, match=told):
        d.champ_domains(*words)
