"""Stacks that stay in their file: a block holds what reading everything would, and nothing more is read."""

import json
import tracemalloc
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import scan_files as files
import stack_files
import tifffile
import torch
import zarr

from microlocal.core.errors import InputError, OutputError, ScanFileError, UnknownNameError
from microlocal.core.extras import extra
from microlocal.core.scan import Scan
from microlocal.io import open_stack, read_scan, volume_at, write_scan
from microlocal.io.readings import sample_of


def npy(folder: Path) -> Path:
    path = folder / "plain.npy"
    np.save(path, files.stack().transpose(1, 0, 2))
    files.sidecar(path)
    return path


def transmission(folder: Path) -> Path:
    path = folder / "through.npy"
    np.save(path, np.exp(-files.stack().transpose(1, 0, 2)))
    files.sidecar(path, quantity="transmission")
    return path


def counts_with_flats(folder: Path) -> Path:
    """Counts as TIFF; flats as a multi-page TIFF, darks as one NPY frame, both beside them."""
    path = folder / "counts.tif"
    tifffile.imwrite(path, files.counts().astype(np.float32), photometric="minisblack")
    tifffile.imwrite(folder / "flats.tif", files.frames(files.FLAT + files.DARK), photometric="minisblack")
    np.save(folder / "darks.npy", files.frames(files.DARK).mean(axis=0))
    files.sidecar(path, quantity="counts", flats="flats.tif", darks="darks.npy")
    return path


def packed_tiff(folder: Path) -> Path:
    path = folder / "packed.tif"
    tifffile.imwrite(path, files.stack().transpose(1, 0, 2), photometric="minisblack", compression="zlib")
    files.sidecar(path)
    return path


def tiff_page_by_page(folder: Path) -> Path:
    path = folder / "pages.tif"
    with tifffile.TiffWriter(path) as file:
        for page in files.stack().transpose(1, 0, 2):
            file.write(page)
    files.sidecar(path)
    return path


def own(folder: Path) -> Path:
    scan = Scan(torch.from_numpy(files.stack()).double(), files.PARALLEL, files.PARALLEL.default_grid())
    return write_scan(scan, folder / "own.h5")


def unsorted(folder: Path) -> Path:
    """Views in disorder, the first direction twice."""
    path = npy(folder)
    order = [*range(5, 12), *range(5), 0]
    np.save(path, np.load(path)[order])
    fields = files.PARALLEL.to_dict()
    files.sidecar(path, angles_deg=[fields["angles_deg"][k] for k in order])
    return path


MAKERS = (
    files.dxchange,
    files.mrc,
    files.tiff,
    files.tiff_folder,
    packed_tiff,
    tiff_page_by_page,
    npy,
    transmission,
    counts_with_flats,
    own,
    unsorted,
)


@pytest.mark.parametrize("make", MAKERS)
def test_a_block_is_what_reading_everything_gives(tmp_path, make):
    path = make(tmp_path)
    whole, stack = read_scan(path), open_stack(path)
    part = stack.block(range(1, 3))
    assert len(stack) == len(whole.data)
    assert part.numbers == (1, 2)
    assert torch.equal(part.scan.data, whole.data[1:3])
    assert part.scan.geometry == whole.geometry
    assert part.scan.grid == whole.grid


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("bare", [True, False])
def test_zarr(tmp_path, version, bare):
    path = tmp_path / "data.zarr"
    attributes = {"geometry": files.PARALLEL.to_dict(), "axes": "slice, angle, detector"}
    if bare:
        node = zarr.create_array(str(path), data=files.stack(), zarr_format=version)
    else:
        node = zarr.open_group(str(path), mode="w", zarr_format=version)
        node.create_array("data", data=files.stack())
    node.attrs.update(attributes)
    stack = open_stack(path)
    assert np.array_equal(stack.block(range(3)).scan.data.numpy(), files.stack())
    assert np.abs(stack.geometry.angles - files.PARALLEL.angles).max() < 1e-12


def test_zarr_counts_with_flats_inside_and_a_json_beside(tmp_path):
    path = tmp_path / "data.zarr"
    group = zarr.open_group(str(path), mode="w")
    for name, array in (("data", files.counts()), ("flats", files.frames(files.FLAT + files.DARK))):
        group.create_array(name, data=array)
    group.create_array("darks", data=files.frames(files.DARK))
    files.sidecar(path, quantity="counts")
    found = open_stack(path).block(range(3)).scan.data.numpy()
    assert np.abs(found - files.stack() / 3).max() < 1e-6


def test_a_block_reads_no_more_than_itself(tmp_path):
    path = tmp_path / "large.npy"
    np.save(path, np.random.default_rng(0).random((200, files.DEGREES.size, files.COUNT), np.float32))
    files.sidecar(path, axes="slice, angle, detector")
    stack = open_stack(path)
    tracemalloc.start()
    stack.block(range(100, 102))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.2 * path.stat().st_size


@pytest.mark.parametrize(("value", "told"), [(np.nan, "NaN"), (1e30, "values up to")])
def test_an_unusable_slice_is_refused_alone(tmp_path, value, told):
    path = stack_files.npy(tmp_path / "s.npy", 5)
    data = np.load(path)
    data[2, 3, 4] = value
    np.save(path, data)
    part = open_stack(path).block(range(1, 5))
    assert part.numbers == (1, 3, 4)
    assert list(part.refused) == [2]
    assert told in part.refused[2]


def test_a_slice_of_one_value_is_usable(tmp_path):
    assert open_stack(stack_files.npy(tmp_path / "s.npy", 5, cruel=(0,))).block(range(2)).numbers == (0, 1)


def test_the_mark_of_the_data_tells_stacks_apart(tmp_path):
    path = stack_files.npy(tmp_path / "s.npy", 5)
    before = open_stack(path).fingerprint()
    assert open_stack(path).fingerprint() == before
    data = np.load(path)
    data[2, 3, 4] += 1e-3
    np.save(path, data)
    assert open_stack(path).fingerprint() != before


def test_the_sample_is_spread_over_the_stack():
    for count in (1, 2, 7, 8, 9, 15, 100, 1001):
        numbers = sample_of(count)
        assert 1 <= len(numbers) <= 8
        assert 0 <= min(numbers) <= max(numbers) < count
        assert min(numbers) <= numbers.step
        assert count - 1 - max(numbers) <= numbers.step


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (files.helsinki, "another format"),
        (files.npz, "NPZ archive"),
        (files.own_npz, "NPZ archive"),
        (files.own_h5, "three axes"),
    ],
)
def test_what_cannot_be_read_in_part_is_refused(tmp_path, make, told):
    with pytest.raises(ScanFileError, match=told):
        open_stack(make(tmp_path))


def test_flats_that_do_not_fit_are_refused(tmp_path):
    path = files.dxchange(tmp_path)
    with h5py.File(path, "a") as file:
        del file["exchange/data_white"]
        file["exchange/data_white"] = np.ones((2, files.SLICES + 1, files.COUNT))
    with pytest.raises(ScanFileError, match="flats and darks of 3 x 24"):
        open_stack(path)


def test_counts_need_flats(tmp_path):
    path = files.dxchange(tmp_path)
    with h5py.File(path, "a") as file:
        del file["exchange/data_white"]
    with pytest.raises(ScanFileError, match="frames without sample"):
        open_stack(path)


def test_truncated_files_are_refused_in_words(tmp_path):
    path = stack_files.npy(tmp_path / "s.npy", 5)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(ScanFileError, match="truncated or damaged"):
        open_stack(path)


def test_whole_projections_in_compressed_chunks_are_said_to_be_slow(tmp_path):
    path = stack_files.data_exchange(tmp_path / "s.h5", 40)
    with h5py.File(path, "a") as file:
        data = file["exchange/data"][()]
        del file["exchange/data"]
        file.create_dataset("exchange/data", data=data, chunks=(1, 40, 32), compression="gzip")
    assert "decodes all of it" in open_stack(path).warnings[0]


@pytest.mark.parametrize("form", ["tiff", "bigtiff", "zarr"])
def test_volumes_hold_what_was_written(tmp_path, form):
    volume = volume_at(tmp_path, form, (4, 5, 7), 10, 0.5, "mm")
    images = np.random.default_rng(0).random((4, 5, 7), np.float32)
    volume.create({"a": 1})
    for k in (2, 0, 3):
        volume.write(k, images[k])
    volume.create({"a": 1})  # whoever comes second spoils nothing
    assert all(np.array_equal(volume.read(k), images[k]) for k in (0, 2, 3))
    assert not volume.read(1).any()
    volume.write(1, images[1])
    stored = {
        "tiff": lambda: np.stack([tifffile.imread(tmp_path / "slices" / f"slice_{10 + k:05d}.tif") for k in range(4)]),
        "bigtiff": lambda: tifffile.imread(tmp_path / "volume.tif"),
        "zarr": lambda: zarr.open_group(str(tmp_path / "volume.zarr"), mode="r")["image"][:],
    }
    assert np.array_equal(stored[form](), images)


def test_a_zarr_volume_has_a_chunk_a_slice_and_its_attributes(tmp_path):
    volume = volume_at(tmp_path, "zarr", (4, 5, 7), 0, 0.5, "mm")
    volume.create({"a": 1})
    volume.finish({"complete": True})
    group = zarr.open_group(str(volume.path), mode="r")
    assert group["image"].chunks == (1, 5, 7)
    assert dict(group.attrs) == {"a": 1, "complete": True}


@pytest.mark.parametrize("form", ["bigtiff", "zarr"])
def test_a_volume_of_another_shape_is_not_overwritten(tmp_path, form):
    volume_at(tmp_path, form, (4, 5, 7), 0, 0.5, "mm").create({})
    with pytest.raises(OutputError, match=r"\(4, 5, 7\)"):
        volume_at(tmp_path, form, (4, 5, 8), 0, 0.5, "mm").create({})


def test_an_unknown_form_names_the_known_ones(tmp_path):
    with pytest.raises(UnknownNameError, match="bigtiff"):
        volume_at(tmp_path, "tif", (4, 5, 7), 0, 0.5, "mm")


def test_a_missing_extra_is_told_with_its_command():
    with pytest.raises(InputError, match=r"pip install 'microlocal\[cluster\]'"):
        extra("no_such_package_anywhere", "cluster", "test")


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "slices").write_text("in the way")
    with pytest.raises(OutputError, match="a place that can be written"):
        volume_at(tmp_path, "tiff", (4, 5, 7), 0, 0.5, "mm").create({})


def test_a_sidecar_is_needed_where_a_file_says_nothing(tmp_path):
    path = stack_files.npy(tmp_path / "s.npy", 5)
    path.with_suffix(".json").unlink()
    with pytest.raises(ScanFileError, match="JSON file with the geometry"):
        open_stack(path)
    named = tmp_path / "elsewhere.json"
    named.write_text(json.dumps(stack_files.GEOMETRY.to_dict() | {"axes": "slice, angle, detector"}))
    opened = open_stack(path, geometry=named)
    assert replace(opened.geometry, angles_rad=stack_files.GEOMETRY.angles_rad) == stack_files.GEOMETRY
