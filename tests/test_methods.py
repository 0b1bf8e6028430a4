"""Methods: they beat their baseline, repeat, respect bounds, hold out honestly, and refuse what they cannot use."""

import signal
from dataclasses import replace

import numpy as np
import pytest
import torch

import microlocal as ml
from microlocal.calibration.noise import noise_level
from microlocal.certificates.operators import certify_norm
from microlocal.core import Detector, Grid, InputError, ParallelBeam, Scan, UnknownNameError
from microlocal.core.provenance import Provenance
from microlocal.core.seeding import generator
from microlocal.data import phantoms
from microlocal.frames import ShearletFrame
from microlocal.reconstruction import claims, methods, run
from microlocal.wavefront import pixel_provenance, visible_share

GRID = Grid((64, 64), 1.0)
SHAPES = [
    phantoms.Ellipse(1.0, (24.0, 18.0), (2.0, -1.0), 0.4),
    phantoms.Ellipse(-0.6, (6.0, 9.0), (-6.0, 2.0), 1.0),
    phantoms.Ellipse(0.5, (4.0, 4.0), (10.0, -4.0), 0.0),
]


def _scan(noise=0.01, arc=130, scale=1.0):
    geometry = ParallelBeam(tuple(np.radians(np.linspace(0, arc, 45))), Detector(91, 1.0))
    data = torch.from_numpy(phantoms.sinogram(SHAPES, geometry)).float() * scale
    sigma = noise * float(data.max())
    return Scan(data + sigma * torch.randn(data.shape, generator=generator(0)), geometry, GRID), sigma


OF_OTHERS = {"postprocessing", "wavelet-residual", "learned-primal-dual", "null-space-network"}
NETWORKS = {*OF_OTHERS, "plug-and-play", "red"}  # refuse without weights


@pytest.fixture(scope="module")
def results():
    scan, _ = _scan()
    return {name: ml.reconstruct(scan, name, hold_out=5) for name in methods().keys() - NETWORKS}


def test_held_out_views_are_predicted_better_by_better_methods(results):
    errors = {name: result.metrics["hold-out error"] for name, result in results.items()}
    assert max(errors["tv"], errors["shearlet"]) < min(errors["fbp"], errors["cgls"])
    assert all(result.metrics["hold-out views"] == 5 for result in results.values())


def test_discrepancy_principle_meets_the_noise(results):
    _, sigma = _scan()
    for name in ("tv", "shearlet"):
        result = results[name]
        size = float(result.residual.square().mean().sqrt())
        assert size == pytest.approx(sigma, rel=0.25), name
        assert "discrepancy" in result.notes[0]


@pytest.mark.parametrize("name", ["tv", "shearlet"])
def test_residual_is_on_target_after_convergence_on_a_short_arc(name):
    # A short arc converges slowly: a weight that is right for an early iterate is too small for the minimiser.
    result = ml.reconstruct(_scan(arc=40, noise=0.02)[0], name)
    assert result.config["relative residual"] == pytest.approx(result.config["target residual"], rel=0.08)
    objective = result.history["objective"]
    assert objective[-6] - objective[-1] < 0.03 * objective[-1]


def test_streaks_in_the_air_are_no_edges():
    geometry = ParallelBeam(tuple(np.radians(np.arange(0, 60, 1.0))), Detector(120, 1.0))
    disc = [phantoms.Ellipse(1.0, (20.0, 20.0), (0.0, 0.0), 0.0)]
    data = torch.from_numpy(phantoms.sinogram(disc, geometry)).float()
    noisy = data + 0.05 * torch.randn(data.shape, generator=generator(1))
    result = ml.reconstruct(Scan(noisy, geometry, Grid((100, 100), 1.0)), "fbp")
    x, y = result.scan.grid.coordinates()
    middle = np.radians(29.5)  # the hull is as wide as the disc along the middle normal of the arc
    beyond = np.abs(x[None, :] * np.cos(middle) + y[:, None] * np.sin(middle)) > 26
    assert int((result.edges.numpy()[beyond] != Provenance.NONE).sum()) == 0
    assert int((result.edges.numpy() == Provenance.MEASURED).sum()) > 20


def test_every_certificate_holds_and_survives_its_attack(results):
    for name in ("tv", "shearlet"):
        for certificate in results[name].certificates:
            assert certificate.holds, certificate.claim
            assert certificate.falsify(1) <= certificate.bound


@pytest.mark.parametrize("name", ["tv", "shearlet"])
def test_images_are_not_negative(results, name):
    assert float(results[name].image.min()) >= 0.0


def test_provenance_follows_the_wedge(results):
    result = results["tv"]
    assert result.metrics["missing wedge degrees"] == pytest.approx(180 - 130 - 130 / 44, abs=4)
    codes = set(result.edges.unique().tolist())
    assert codes == {int(Provenance.NONE), int(Provenance.MEASURED), int(Provenance.UNDETERMINED)}
    assert 0.5 < result.metrics["energy in measured shearlets"] < 1.0


def test_a_stack_is_reconstructed_slice_by_slice():
    scan, _ = _scan()
    stack = Scan(torch.stack((scan.data, 2 * scan.data)), scan.geometry, GRID)
    single = ml.reconstruct(scan, "cgls").image
    both = ml.reconstruct(stack, "cgls")
    assert both.image.shape == (2, 64, 64)
    assert both.provenance.shape == both.edges.shape == (2, 64, 64)
    assert torch.allclose(both.image[0], single, rtol=1e-3, atol=1e-5)


class Impatient(ml.core.progress.Silent):
    """Presses Ctrl-C at the first step of a task."""

    def __init__(self, task):
        self.task, self.later = task, []

    def start(self, task, total):
        self.later.append(task)

    def advance(self, task, steps=1):
        if task == self.task:
            self.later.clear()
            raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("cgls", "reconstructing"),
        ("tv", "reconstructing"),
        ("tv", "choosing the weight"),
        ("shearlet", "choosing the weight"),
        ("directional-tv", "measuring the object"),
        ("directional-tv", "reconstructing"),
        ("plug-and-play", "fitting"),
        ("plug-and-play", "choosing the noise level"),
        ("plug-and-play", "reconstructing"),
    ],
)
def test_interrupted_run_keeps_a_valid_image(name, task):
    progress = Impatient(task)
    result = ml.reconstruct(_scan()[0], name, progress=progress)
    assert result.config["status"] == "interrupted"
    assert result.image.shape == GRID.shape
    assert bool(torch.isfinite(result.image).all())
    assert any("Interrupted" in note for note in result.notes)
    assert progress.later == []  # nothing was begun after the interruption
    assert (task == "fitting") == (result.config.get("network") == "none")
    claims = [certificate.claim for certificate in result.certificates]
    assert any("fixed point" in claim for claim in claims) == (name == "plug-and-play" and task != "fitting")


def test_ctrl_c_while_the_image_is_checked_does_not_lose_it(monkeypatch):
    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        return certify_norm(*arguments)

    monkeypatch.setattr(claims, "certify_norm", pressed)
    result = ml.reconstruct(_scan()[0], "cgls")
    assert result.config["status"] == "interrupted"
    assert result.notes[-1] == run.INTERRUPTED
    assert all(certificate.holds for certificate in result.certificates)
    assert torch.equal(result.image, _uninterrupted(monkeypatch).image)


def _uninterrupted(monkeypatch):
    monkeypatch.undo()
    result = ml.reconstruct(_scan()[0], "cgls")
    assert result.config["status"] != "interrupted"
    return result


def test_second_ctrl_c_ends_the_checks(monkeypatch):
    def pressed(*arguments):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        return certify_norm(*arguments)

    monkeypatch.setattr(claims, "certify_norm", pressed)
    with pytest.raises(KeyboardInterrupt):
        ml.reconstruct(_scan()[0], "cgls")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_settings_without_effect_are_said():
    notes = ml.reconstruct(_scan()[0], "fbp", weight=3.0, iterations=5).notes
    assert sum("was not used" in note for note in notes) == 2
    assert not any(
        "was not used" in note for note in ml.reconstruct(_scan()[0], "cgls", weight=3.0, iterations=5).notes
    )


def test_a_grid_that_was_not_told_its_unit_is_in_that_of_the_scan():
    scan, _ = _scan()
    scan = replace(scan, geometry=replace(scan.geometry, unit="nm"), grid=replace(scan.grid, unit="nm"))
    result = ml.reconstruct(scan, "fbp", grid=GRID)
    assert result.scan.grid.unit == "nm"
    assert torch.equal(result.image, ml.reconstruct(scan, "fbp").image)
    with pytest.raises(InputError, match="unit of the geometry, 'nm', got one in 'um'"):
        ml.reconstruct(scan, "fbp", grid=replace(GRID, unit="um"))


def test_noise_level_is_found_under_the_object():
    scan, sigma = _scan(noise=0.02)
    assert noise_level(scan.data) == pytest.approx(sigma, rel=0.15)


def test_what_cannot_be_used_is_refused():
    scan, _ = _scan()
    with pytest.raises(UnknownNameError, match="Did you mean 'shearlet'"):
        ml.reconstruct(scan, "shearlets")
    with pytest.raises(InputError, match="number or 'auto'"):
        ml.reconstruct(scan, "tv", weight="strong")
    with pytest.raises(InputError, match="weight > 0"):
        ml.reconstruct(scan, "tv", weight=-1.0)
    with pytest.raises(InputError, match="data that vary"):
        ml.reconstruct(Scan(torch.zeros_like(scan.data), scan.geometry, GRID), "fbp")
    with pytest.raises(InputError, match="another unit"):
        ml.reconstruct(Scan(1e30 * scan.data.double(), scan.geometry, GRID), "fbp")
    with pytest.raises(InputError, match="Hold out fewer"):
        ml.reconstruct(scan, "fbp", hold_out=40)


def test_three_lines_write_everything_and_a_notebook_shows_it(tmp_path):
    scan, _ = _scan()
    result = ml.reconstruct(scan, method="fbp")
    folder = result.save(tmp_path / "out")
    pages = {"image.tif", "provenance.tif", "edges.tif", "image.png"}
    assert {p.name for p in folder.iterdir()} == pages | {"result.npz", "result.json", "report.html"}
    assert len(result.plot().axes) >= 4
    assert result._repr_png_().startswith(b"\x89PNG")


def test_learned_energy_is_the_invisible_part_of_what_a_network_added():
    grid, beam = Grid((20, 24), 1.0), ParallelBeam(tuple(0.07 * k for k in range(30)), Detector(41, 1.0))
    frame = ShearletFrame(grid.shape)
    share = visible_share(frame.filters, beam, grid)
    draw = torch.Generator().manual_seed(0)
    before, learned = (torch.rand(2, *grid.shape, dtype=torch.float64, generator=draw) for _ in range(2))
    before[..., 12:] *= 0.1
    image = before + learned
    shares, provenance = claims.told_sources(image, learned, frame, share)
    total = frame(image).square().sum()
    assert shares["energy in measured shearlets"] == pytest.approx(float((share * frame(image) ** 2).sum() / total))
    of_both, of_learned, of_before = (
        float(((1 - share) * frame(x) ** 2).sum()) for x in (image, learned, image - learned)
    )
    invisible = of_both / float(total) * of_learned / (of_learned + of_before)
    assert shares["energy in learned shearlets"] == pytest.approx(invisible)
    codes = pixel_provenance(frame(image - learned), share, frame.filters, learned=frame(learned))
    assert (codes == provenance).double().mean() > 0.999
    assert len(codes.unique()) == 3
    # A network that takes away the most of what was there has a share, too, not more than there is.
    taken, _ = claims.told_sources(image, -3 * image, frame, share)
    assert sum(taken.values()) < 1
    plain, _ = claims.told_sources(image, None, frame, share)
    assert list(plain) == ["energy in measured shearlets"]
