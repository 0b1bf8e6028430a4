"""Learn the Invisible: the frame of its coefficients, the network, the null-space step, and what it promises."""

import math
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import rotate

import microlocal as ml
from microlocal.certificates import certify_consistency
from microlocal.core import Detector, FanBeam, Grid, InputError, ParallelBeam
from microlocal.core.geometry import turned_geometry
from microlocal.core.progress import Silent
from microlocal.core.provenance import Provenance
from microlocal.core.seeding import generator
from microlocal.frames import DyadicShearletFrame, ShearletFrame
from microlocal.networks.invisible import InvisibleNetwork, image_size
from microlocal.networks.suitability import Fact, unsuited
from microlocal.networks.symmetry import moved
from microlocal.networks.unet import PyramidUNet
from microlocal.networks.weights import load_weights, save_weights
from microlocal.operators import RayTransform
from microlocal.reconstruction.contradiction import Attack
from microlocal.reconstruction.facts import wider_fan
from microlocal.reconstruction.learn_the_invisible import EPSILON
from microlocal.reconstruction.learned import Chosen, Learned, load_learned, middle_of
from microlocal.reconstruction.null_space import complete_consistently, null_space_part
from microlocal.reconstruction.toy import GRID, toy_scan, toy_truth
from microlocal.solvers.driver import Driver
from microlocal.wavefront.coefficients import coarse_share, visible_share

TASK = "learn-the-invisible"


def _image(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=generator(seed))


def test_levels_are_the_undecimated_coefficients_at_every_second_pixel_a_level():
    dyadic, full = DyadicShearletFrame((32, 48), scales=3), ShearletFrame((32, 48), scales=3)
    x = _image(2, 32, 48)
    whole = full(x)
    for level, (members, found) in enumerate(zip(dyadic.members, dyadic.levels(dyadic(x)), strict=True)):
        step = 2**level
        assert torch.allclose(found, step * whole[:, members, ::step, ::step], atol=1e-12)


@pytest.mark.parametrize("quarters", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
def test_turning_the_image_permutes_the_filters(quarters, mirrored):
    frame = DyadicShearletFrame((32, 32), scales=3)
    x = _image(32, 32)
    y = x.rot90(quarters, (-2, -1))
    y = y.flip(-1) if mirrored else y
    before, after = (torch.stack([b.square().sum() for b in frame.bands(frame(z))]) for z in (x, y))
    assert torch.allclose(after, before[list(frame.turned(quarters, mirrored))], rtol=1e-10)


def test_shares_of_a_turned_scan_are_the_permuted_shares():
    frame, grid = DyadicShearletFrame((32, 32), scales=3), Grid((32, 32), 1.0)
    beams = [ParallelBeam(tuple(np.radians(s + np.arange(0.5, 110.0))), Detector(47, 1.0)) for s in (20.0, 110.0)]
    one, other = (visible_share(frame.filters, beam, grid) for beam in beams)
    assert torch.allclose(other, one[list(frame.turned(1, False))], atol=1e-6)


def test_maps_of_shares_are_interpolated_to_every_level():
    angles = tuple(np.radians(np.arange(0, 60, 1.0)))
    geometry = FanBeam(angles, Detector(280, 0.4), source_axis=410.66, source_detector=553.74)
    grid = Grid((128, 128), 0.4)
    frame = DyadicShearletFrame(grid.shape)
    coarse, fine = (f(frame.filters, geometry, grid) for f in (coarse_share, visible_share))
    for level, (members, found) in enumerate(zip(frame.members, frame.sampled(coarse), strict=True)):
        exact = fine[members, :: 2**level, :: 2**level]
        assert float((found - exact).abs().mean()) < 0.01
    assert float(fine.std(dim=(-2, -1)).max()) > 0.03  # the share depends on the position


def test_a_network_that_has_learned_nothing_returns_the_image():
    frame = DyadicShearletFrame((20, 27), scales=2)
    network = InvisibleNetwork(frame.channels, (4, 4), gains=[0.1, 0.5, 2.0])
    x = _image(3, 20, 27).float()
    share = torch.rand(3, len(frame.filters), 3, 4, generator=generator(1))
    assert torch.allclose(network.complete(x, share, frame), x, atol=1e-5)


def _learned_something(frame, widths=(4, 4), seed=0, size=1.0):
    torch.manual_seed(seed)
    network = InvisibleNetwork(frame.channels, widths, gains=[0.1] * (len(frame.channels) + 1))
    for layer in network.unet.out:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=size)
    return network


def test_where_everything_is_measured_nothing_is_learned_and_units_do_not_matter():
    frame = DyadicShearletFrame((32, 32), scales=2)
    network = _learned_something(frame)
    x = _image(2, 32, 32).float()
    all_seen, half = (torch.full((2, 13, 1, 1), s) for s in (1.0, 0.5))
    assert torch.allclose(network.complete(x, all_seen, frame), x, atol=1e-5)
    changed = network.complete(x, half, frame).detach()
    assert float((changed - x).norm() / x.norm()) > 0.01
    assert torch.allclose(network.complete(1000 * x, half, frame), 1000 * changed, rtol=1e-3, atol=1e-2)


def test_only_invisible_coefficients_are_changed():
    frame = DyadicShearletFrame((32, 32), scales=2)
    network = _learned_something(frame)
    share = (torch.arange(13) % 2).float().reshape(1, 13, 1, 1)
    x = _image(1, 32, 32).float()
    size = image_size(x)
    levels = frame.sampled(share)
    given = frame.levels(frame(x / size))
    found = [c + (1 - s) * f for c, s, f in zip(given, levels, network(given, levels), strict=True)]
    for c, f, s in zip(given, found, levels, strict=True):
        seen = s.expand_as(c) == 1
        assert torch.equal(c[seen], f[seen])
        assert not torch.equal(c[~seen], f[~seen])
    assert torch.allclose(size * frame.adjoint(frame.joined(found)), network.complete(x, share, frame))


def test_a_network_works_on_pixels_of_the_size_it_was_trained_on():
    frame = DyadicShearletFrame((32, 32), scales=2)
    network = _learned_something(frame, size=5.0)
    card = {"working pixels": 32, "architecture": {"scales": 2}}
    beam = ParallelBeam(tuple(np.radians(np.arange(0.5, 100.0))), Detector(91, 1.0))
    learned, grid = Learned(network, card, "any"), Grid((63, 64), 1.0)
    where, finer = learned.scales(beam, grid)
    assert (where.factor, where.grid.shape, where.grid.pixel) == (2, (32, 32), 2.0)
    assert (finer.factor, finer.grid.shape, finer.grid.pixel) == (1, (64, 64), 1.0)
    assert [w.factor for w in learned.scales(beam, Grid((200, 128), 1.0))] == [6, 3]
    assert [w.factor for w in learned.scales(beam, Grid((40, 40), 1.0))] == [1]
    left, right, bottom, top = where.grid.extent
    assert (left, right) == grid.extent[:2]
    assert (bottom, top) == (grid.extent[2] - 0.5, grid.extent[3] + 0.5)
    visible = _image(3, 32, 32).float()
    change = learned.change(visible, where).detach()
    expected = network.complete(visible, where.share[None].expand(3, -1, -1, -1), where.frame).detach() - visible
    assert torch.allclose(change, expected, atol=1e-5)
    image = _image(63, 64).float()
    both = [w.onto(learned.change(w.seen(image, grid), w), grid).detach() for w in (where, finer)]
    proposal = Chosen(learned, (where, finer), grid).proposal(image).detach()
    assert torch.allclose(proposal, image + (both[0] + both[1]) / 2, atol=1e-5)
    assert not torch.allclose(both[0], both[1], atol=0.01)
    cascade = Chosen(replace(learned, card=card | {"cascade": True}), (where, finer), grid)
    first = image + both[0]
    in_turn = first + finer.onto(learned.change(finer.seen(first, grid), finer), grid).detach()
    assert torch.allclose(cascade.proposal(image).detach(), in_turn, atol=1e-5)
    assert not torch.allclose(in_turn, proposal, atol=0.01)
    slope = torch.from_numpy(where.grid.coordinates()[0]).expand(3, 32, 32).float()
    wide = where.onto(slope, grid)
    assert wide.shape == (3, 63, 64)
    inner = torch.from_numpy(grid.coordinates()[0]).float()[4:-4].expand(3, 55, -1)
    assert torch.allclose(wide[:, 4:-4, 4:-4], inner, atol=0.1)


@pytest.mark.parametrize("beam", ["parallel", "fan"])
def test_the_middle_of_the_views(beam):
    def middle(degrees):
        angles, detector = tuple(np.radians(degrees)), Detector(9, 1.0)
        if beam == "parallel":
            return math.degrees(middle_of(ParallelBeam(angles, detector)))
        return math.degrees(middle_of(FanBeam(angles, detector, source_axis=40.0, source_detector=60.0)))

    assert middle(np.arange(20.0, 81.0)) == pytest.approx(50.0)
    assert middle(np.arange(-50.0, 51.0)) == 0.0
    assert middle(np.arange(0.0, 360.0)) == 0.0
    wrapped = np.r_[np.arange(0.0, 31.0), np.arange(150.0, 180.0)]
    assert middle(wrapped) == pytest.approx(0.0 if beam == "parallel" else 90.0, abs=5.0)


def _chosen(weights, geometry):
    learned = load_learned(weights)
    return Chosen(learned, learned.scales(geometry, GRID), GRID)


def test_an_aligned_network_turns_with_the_scan(weights, tmp_path):
    state, card = load_weights(weights)
    aligned = save_weights(tmp_path / "aligned", state, card | {"aligned": True})
    scan = toy_scan()
    mixed, degrees = turned_geometry(scan.geometry, -middle_of(scan.geometry)), (0.0, 90.0, 35.0)
    one, quarter, other = (_chosen(aligned, turned_geometry(mixed, math.radians(t))) for t in degrees)
    images = [torch.from_numpy(rotate(toy_truth().numpy(), t, reshape=False, order=1)) for t in degrees]
    at, beside = one.scales[0], other.scales[0]
    assert (at.turn, beside.turn) == (0.0, pytest.approx(math.radians(35.0)))
    with torch.no_grad():
        change, turned = (c.proposal(image) - image for c, image in zip((one, quarter), images, strict=False))
        assert float(change.norm()) > 0
        assert torch.allclose(turned, change.rot90(), atol=2e-2 * float(change.abs().max()))
        seen = at.seen(images[0], GRID)
        for by, view in zip(((0, True), (2, False)), (seen.flip(-1), seen.rot90(2)), strict=True):
            symmetric = replace(at, share=moved(at.share[list(at.frame.turned(*by))], by))
            expected = moved(one.learned.change(seen, at), by)
            assert torch.allclose(one.learned.change(view, symmetric), expected, atol=1e-4)
    facts = one.facts(scan, images[0]), other.facts(scan, images[2])
    for fact, same in zip(*facts, strict=True):  # not diluted by the empty corners
        assert same.value == pytest.approx(fact.value, rel=0.25), fact.name
    seen_too = beside.seen(images[2], GRID)
    border = (seen_too.shape[0] - GRID.shape[0]) // 2  # the turned image has corners beyond this one
    assert border > 5
    assert float((seen_too[border:-border, border:-border] - seen).norm() / seen.norm()) < 0.05


def test_a_network_sees_the_means_over_its_pixels():
    frame = DyadicShearletFrame((32, 32), scales=2)
    card = {"working pixels": 32, "architecture": {"scales": 2}}
    learned = Learned(InvisibleNetwork(frame.channels, (4, 4)), card, "any")
    chosen = Chosen(learned, learned.scales(toy_scan().geometry, GRID), GRID)
    means = torch.nn.functional.avg_pool2d(toy_truth()[None], 2)[0]
    assert torch.allclose(chosen.scales[0].seen(toy_truth(), GRID), means, atol=1e-6)
    facts = chosen.facts(toy_scan(), toy_truth())
    assert {fact.name for fact in facts} >= {"missing wedge", "noise", "contrast at scale 1"}


def test_levels_that_do_not_fit_are_refused():
    network = PyramidUNet((2, 3), (1, 3), (4, 4, 4))
    with pytest.raises(InputError, match="sides that 4 divides"):
        network([torch.zeros(1, 2, 6, 8), torch.zeros(1, 3, 3, 4)])
    with pytest.raises(InputError, match=r"expected \(2, 8, 8\), \(3, 4, 4\)"):
        network([torch.zeros(1, 2, 8, 8), torch.zeros(1, 2, 4, 4)])
    with pytest.raises(InputError, match="as many widths as levels"):
        PyramidUNet((1, 1, 1), (1,), (4, 4))


def _problem(seed=0):
    ray = RayTransform(ParallelBeam(tuple(np.radians(np.arange(0, 100, 4.0))), Detector(25, 1.0)), Grid((16, 16), 1.0))
    draw = generator(seed)
    visible = torch.rand(2, 16, 16, dtype=torch.float64, generator=draw)
    data = ray(visible) + 0.3 * torch.randn(2, *ray.codomain_shape, dtype=torch.float64, generator=draw)
    return ray, data, visible


def test_the_null_space_part_is_the_projection_of_linear_algebra():
    ray = RayTransform(ParallelBeam((0.1, 0.7), Detector(25, 1.0)), Grid((16, 16), 1.0))
    matrix = torch.stack([ray(e.reshape(16, 16)).flatten() for e in torch.eye(256, dtype=torch.float64)], dim=1)
    h = _image(16, 16)
    exact = h.flatten() - torch.linalg.pinv(matrix, rtol=1e-9) @ (matrix @ h.flatten())
    found = null_space_part(ray, h, 1e-9 * float(ray(h).norm()), steps=400)
    assert torch.allclose(found.flatten(), exact, atol=1e-6)
    assert float(ray(found).norm()) <= 1e-9 * float(ray(h).norm())


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_proposal_makes_the_residual_grow_by_more_than_epsilon(size, dtype):
    ray, data, visible = _problem()
    data, visible = data.to(dtype), visible.to(dtype)
    for seed in range(5):
        proposal = visible + size * torch.randn(visible.shape, dtype=dtype, generator=generator(seed))
        found = complete_consistently(ray, data, visible, proposal, EPSILON, None)
        certificate = certify_consistency(ray, data, visible, found.image, EPSILON)
        assert certificate.holds, certificate.value
        assert torch.equal(found.image, visible + found.learned)


def test_what_else_is_in_a_batch_does_not_matter():
    ray, data, visible = _problem()
    data[1] *= 100
    proposal = visible + _image(2, 16, 16, seed=5)
    both = complete_consistently(ray, data, visible, proposal, EPSILON)
    for k in (0, 1):
        one = complete_consistently(ray, data[k], visible[k], proposal[k], EPSILON)
        assert torch.equal(one.image, both.image[k])
        assert torch.equal(one.kept, both.kept[k])


def test_a_proposal_that_is_not_finite_or_in_sight_is_not_followed():
    ray, data, visible = _problem()
    broken = torch.full_like(visible, math.nan)
    assert torch.equal(complete_consistently(ray, data, visible, broken, EPSILON).image, visible)
    seen = visible + ray.adjoint(ray(visible))  # nearly all of it is what the scan measures
    found = complete_consistently(ray, data, visible, seen, EPSILON)
    assert float(found.learned.norm()) < 0.2 * float((seen - visible).norm())
    hidden = null_space_part(ray, _image(2, 16, 16, seed=3), 1e-6, steps=400)
    kept = complete_consistently(ray, data, visible, visible + hidden, EPSILON)
    assert torch.allclose(kept.learned, hidden, atol=1e-4)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """Weights that make things up, for any scan of a parallel beam that sees 100 to 160 degrees."""
    frame = DyadicShearletFrame(GRID.shape, 3)
    network = _learned_something(frame, (4, 4, 4), size=30.0)
    shape = {"channels": list(frame.channels), "widths": [4, 4, 4], "pairs": 1}
    facts = ("noise", "step between views", "detector pixels for a pixel of the image", "filled pixels")
    names = (*facts, *(f"contrast at scale {k}" for k in (1, 2, 3)))
    ranges = {"missing wedge": [20.0, 80.0]} | {name: [0.0, 100.0] for name in names}
    card = {
        "task": TASK,
        "architecture": {"scales": 3, "network": shape},
        "trained on": {"beam": "parallel", "ranges": ranges},
    }
    return save_weights(tmp_path_factory.mktemp("weights") / "fantasy", network.state_dict(), card)


def _run(weights, scan=None, **options):
    return ml.reconstruct(scan or toy_scan(), TASK, weight=1.0, iterations=40, network=weights, **options)


def test_what_is_made_up_is_marked_learned_and_does_not_contradict_the_data(weights):
    result = _run(weights)
    base = ml.reconstruct(toy_scan(), "shearlet", weight=1.0, iterations=40)
    assert result.learned is not None
    assert torch.allclose(result.image - result.learned, base.image, atol=1e-6)
    assert float(result.learned.norm() / base.image.norm()) > 0.02
    assert (result.provenance == Provenance.LEARNED).any()
    assert not (base.provenance == Provenance.LEARNED).any()
    consistent = next(c for c in result.certificates if "contradict" in c.claim)
    assert consistent.holds
    assert consistent.value < EPSILON
    assert any("fantasy completed the image" in note for note in result.notes)


def test_no_data_are_contradicted_but_those_of_a_network_without_the_projection(weights, monkeypatch):
    scan = toy_scan()
    ray = RayTransform(scan.geometry, GRID)
    visible = ml.reconstruct(scan, "shearlet", weight=1.0, iterations=40).image
    learned = load_learned(weights)
    chosen = Chosen(learned, learned.scales(scan.geometry, GRID), GRID)
    attack = Attack(chosen, ray, scan.data, visible, EPSILON, steps=3)
    assert attack(0) <= EPSILON

    def careless(operator, data, visible, proposal, epsilon, normal=None):
        del operator, data, epsilon, normal
        return replace(kept, image=proposal, learned=proposal - visible)

    kept = complete_consistently(ray, scan.data, visible, visible, EPSILON)
    monkeypatch.setattr(sys.modules[Attack.__module__], "complete_consistently", careless)
    assert attack(0) > EPSILON


def test_a_scan_unlike_those_trained_on_is_reconstructed_without_the_network(weights):
    scan = toy_scan()
    kept = [k for k, angle in enumerate(scan.geometry.angles_rad) if angle < 1.2]
    short = replace(
        scan,
        data=scan.data[kept],
        geometry=replace(scan.geometry, angles_rad=tuple(scan.geometry.angles_rad[k] for k in kept)),
    )
    result = _run(weights, short)
    assert result.learned is None
    assert any("No network was used" in note and "missing wedge 1" in note for note in result.notes)
    assert not (result.provenance == Provenance.LEARNED).any()
    forced = _run(weights, short, force=True)
    assert forced.learned is not None
    assert any("forced" in note for note in forced.notes)


@pytest.mark.parametrize(("filled", "name"), [([0.0, 100.0], "tv"), ([99.0, 100.0], "shearlet")])
def test_a_scan_that_sees_more_keeps_the_method_of_f_star_where_its_image_is_known(weights, tmp_path, filled, name):
    state, card = load_weights(weights)
    ranges = card["trained on"]["ranges"] | {"missing wedge": [60.0, 80.0], "filled pixels": filled}
    card |= {"base": "tv", "trained on": {"beam": "parallel", "ranges": ranges}}
    path = save_weights(tmp_path / "wide", state, card)
    result, base = _run(path), ml.reconstruct(toy_scan(), name, weight=1.0, iterations=40)
    assert result.learned is None
    assert torch.equal(result.image, base.image)
    assert any("missing wedge 4" in note for note in result.notes)


class _CtrlC(Silent):
    """Presses Ctrl-C at the first step of a task."""

    def __init__(self, task):
        self.task = task

    def advance(self, task, steps=1):
        if task == self.task:
            raise KeyboardInterrupt


@pytest.mark.parametrize("where", ["visible part", "network", "null space"])
def test_interrupted_before_the_network_is_done_the_visible_part_is_returned(weights, monkeypatch, where):
    def pressed(*_):
        raise KeyboardInterrupt

    base = ml.reconstruct(toy_scan(), "shearlet", weight=1.0, iterations=40)
    if where == "network":
        monkeypatch.setattr(Chosen, "proposal", pressed)
    if where == "null space":
        monkeypatch.setattr(Driver, "run", _interrupted_when("projecting", Driver.run))
    result = _run(weights, progress=_CtrlC("reconstructing" if where == "visible part" else ""))
    assert result.config["status"] == "interrupted"
    assert result.config["network"] == "none"
    assert result.learned is None
    assert any("Interrupted before a network" in note for note in result.notes)
    assert not any("fantasy completed" in note for note in result.notes)
    assert torch.equal(result.image, base.image) == (where != "visible part")


def _interrupted_when(task, run):
    def stopped(driver, *arguments, **options):
        progress = _CtrlC(task) if driver.task == task else driver.progress
        return run(replace(driver, progress=progress), *arguments, **options)

    return stopped


def test_of_a_stack_slices_that_do_not_suit_are_left_alone(weights):
    scan = toy_scan()
    noise = scan.data.std() * torch.randn(scan.data.shape, generator=generator(5))
    stack = replace(scan, data=torch.stack([scan.data, noise, 2 * scan.data]))
    state, card = load_weights(weights)
    card["trained on"]["ranges"]["noise"] = [0.0, 10.0]
    path = save_weights(weights.parent / "quiet", state, card)
    result = _run(path, stack)
    sizes = result.learned.flatten(1).norm(dim=1)
    assert float(sizes[1]) == 0.0
    assert float(sizes[[0, 2]].min()) > 0.0
    why = result.config["network because"]
    assert why.startswith("The network quiet completed 2 of 3 slices, like those it was trained on, but not slice 1 (n")
    forced = _run(path, stack, force=True)
    assert float(forced.learned[1].norm()) > 0.0
    assert "was forced on a scan unlike those it knows: noise" in forced.config["network because"]
    alone = _run(path, replace(scan, data=noise))
    assert alone.learned is None


@pytest.mark.parametrize(("source_axis", "source_detector", "refused"), [(60.0, 100.0, True), (600.0, 1000.0, False)])
def test_a_fan_that_opens_wider_than_the_one_on_the_card_is_refused(source_axis, source_detector, refused):
    card = {"data": {"detector": 91, "pitch": 1.0, "source_axis": 300.0, "source_detector": 500.0}}
    beam = FanBeam((0.0, 0.1), Detector(91, 1.0), source_axis=source_axis, source_detector=source_detector)
    assert wider_fan(card, beam) == (["half fan angle 24.5° (trained: 5.2)"] if refused else [])
    curved = replace(beam, detector=replace(beam.detector, offset=90.0), detector_shape="arc")
    told = f"half fan angle {math.degrees(135.5 / source_detector):.3g}° (trained: 5.2)"
    assert wider_fan(card, curved) == [told]
    assert wider_fan({}, beam) == wider_fan(card, toy_scan().geometry) == []


def test_no_network_is_the_visible_part_with_the_rest_undetermined():
    result = ml.reconstruct(toy_scan(), TASK, weight=1.0, iterations=40, network="none")
    base = ml.reconstruct(toy_scan(), "shearlet", weight=1.0, iterations=40)
    assert torch.equal(result.image, base.image)
    assert torch.equal(result.provenance, base.provenance)
    assert (result.provenance == Provenance.UNDETERMINED).any()


def test_weights_of_another_task_are_refused(tmp_path):
    path = save_weights(tmp_path / "other", {"x": torch.ones(1)}, {"task": "edges"})
    with pytest.raises(InputError, match="expected task learn-the-invisible, got edges"):
        load_learned(path)


def test_every_difference_is_named():
    card = {"trained on": {"beam": "fan", "ranges": {"noise": [0.0, 1.0], "fill": [1.0, 2.0]}}}
    found = unsuited(card, "parallel", (Fact("noise", 3.0, " %"), Fact("wedge", 1.0)))
    assert found == [
        "beam parallel (trained: fan)",
        "noise 3 % (trained: 0 to 1)",
        "wedge 1 (trained: unknown)",
        "fill is not known of this scan",
    ]
    assert unsuited(card, "fan", (Fact("noise", 1.01), Fact("fill", 1.0))) == []
    assert unsuited(card, "fan", (Fact("noise", math.nan), Fact("fill", 1.0))) == ["noise nan (trained: 0 to 1)"]
