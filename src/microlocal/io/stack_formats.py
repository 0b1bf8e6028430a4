"""The formats whose slices can be read a block at a time: ``open_stack`` finds which one a file is.

Data Exchange and microlocal's HDF5, MRC, NPY, TIFF (one file or a folder), Zarr.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import numpy as np

from microlocal.core.errors import ScanFileError
from microlocal.core.scan import Source
from microlocal.io.arrays import DEFAULT_AXES
from microlocal.io.dxchange import DataExchange, metadata, pixel_size, view_angles
from microlocal.io.electrons import BACKGROUND_PERCENTILE, contradiction
from microlocal.io.hdf5 import opened, sized_dataset
from microlocal.io.mrc import AXIS_TAKEN, FEI_PIXEL, Mrc, check_size, fei_records, tilts_of, values_of
from microlocal.io.npz import Npz, archive_names
from microlocal.io.own import OwnScan, header_geometry, own_header, parsed_header, refuse_volumes
from microlocal.io.read import find_reader
from microlocal.io.reader import OWN_MARK, Reader, guarded
from microlocal.io.readings import Readings, sample_of
from microlocal.io.sidecar import QUANTITIES, Sidecar, find_sidecar, parsed_geometry, parsed_grid
from microlocal.io.stack import Draft, Stack, described, stack_of
from microlocal.io.stored import VIEW_FIRST, Hdf5Stored, MrcStored, NpyStored, Stored, TiffStored
from microlocal.io.tiff import TiffStack, is_tiff, opened_tiff, pages
from microlocal.io.zarr_store import ZarrStored, describe, is_zarr


def open_stack(path: str | Path, *, geometry: str | Path | None = None) -> Stack:
    """Return the stack in a file or folder without reading more of it than a sample of slices.

    Parameters: ``path``; ``geometry``, a JSON file as for ``read_scan``. Raises ScanFileError or GeometryError, also
    for formats that can be read as a whole only.
    """
    target = Path(path)
    given = None if geometry is None else Path(geometry)
    if is_zarr(target):
        return described(_zarr(target, find_sidecar(target, given)))
    reader = find_reader(target)
    if reader not in _DRAFTS:
        do = "Convert it: microlocal.write_scan(microlocal.read_scan(file), 'stack.h5')."
        expected = "a stack that can be read in part (HDF5, Zarr, TIFF, MRC, NPY)"
        raise ScanFileError(str(target), expected=expected, got="another format", do=do)
    return described(_DRAFTS[reader](target, find_sidecar(target, given)))


def _data_exchange(path: Path, sidecar: Sidecar) -> Draft:
    who = str(path)
    with opened(path, "Data Exchange file") as file:
        array = _dataset(file, "exchange/data", path)
        names = ("exchange/data_white", "exchange/data_dark")
        flats, darks = (_dataset(file, name, path) if _is_filled(file, name) else None for name in names)
        angles = np.degrees(sidecar.geometry.angles) if sidecar.geometry else view_angles(file, array.shape[1], who)
        pixel, said = pixel_size(file, who), _slow_chunks(file["exchange/data"])
        source = Source(who, "dxchange", "", metadata(file))
    if darks is None:
        said = (*said, "The file has no dark frames: the dark level is taken as zero.")
    if pixel is None and sidecar.geometry is None:
        said = (*said, "The file has no pixel size: lengths are in pixels.")
    pitch, unit = pixel or (1.0, "pixel")
    readings = _counts(Readings(array, "counts", flats, darks))
    return Draft(readings, source, angles, sidecar.geometry, sidecar.grid, pitch, unit, said)


def _is_filled(file: h5py.File, name: str) -> bool:
    found = file.get(name)
    return isinstance(found, h5py.Dataset) and bool(found.size)


def _dataset(file: h5py.File, name: str, path: Path) -> Hdf5Stored:
    found = file.get(name)
    if not isinstance(found, h5py.Dataset) or found.ndim != 3:
        got = "none" if found is None else f"shape {getattr(found, 'shape', 'of a group')}"
        do = "Only raw tomography data are read."
        raise ScanFileError(str(path), expected=f"{name} (angle, y, x)", got=got, do=do)
    sized_dataset(path, found, "stack")
    return Hdf5Stored(path, VIEW_FIRST, found.shape, name)


def _slow_chunks(dataset: h5py.Dataset) -> tuple[str, ...]:
    """Say when a block of slices cannot be read without decoding all of the data."""
    if dataset.chunks is None or dataset.compression is None or dataset.chunks[1] < max(16, dataset.shape[1] // 2):
        return ()
    return (
        f"The file is compressed in chunks of {dataset.chunks[1]} of {dataset.shape[1]} slices, so that every block "
        "decodes all of it: larger blocks, or a file with chunks of few slices, will be faster.",
    )


def _counts(readings: Readings) -> Readings:
    """Return the readings with the usual brightness of the beam, from the sample of slices; raises ScanFileError."""
    if readings.flats is None:
        do = "Without flats the counts have no meaning; add them."
        raise ScanFileError(readings.who, expected="flats, the frames without sample", got="none", do=do)
    for frames in (readings.flats, readings.darks):
        if frames is not None and frames.shape[::2] != readings.array.shape[::2]:
            got = f"frames of {frames.shape[0]} x {frames.shape[2]} (slices x pixels)"
            expected = f"flats and darks of {readings.array.shape[0]} x {readings.array.shape[2]}"
            raise ScanFileError(readings.who, expected=expected, got=got, do="Give matching frames.")
    beam = readings.beam(sample_of(readings.array.shape[0]))
    typical = float(np.nanmedian(beam)) if np.isfinite(beam).any() else 0.0
    if typical <= 0:
        got = f"a median of flats minus darks of {typical:g}"
        do = "Check which frames are the flats."
        raise ScanFileError(readings.who, expected="flats brighter than darks", got=got, do=do)
    return replace(readings, typical=typical)


def _own(path: Path, sidecar: Sidecar) -> Draft:
    del sidecar
    who = str(path)
    if archive_names(path):
        refuse_volumes(own_header(path), who)
        do = "Write it as HDF5 (microlocal.write_scan(scan, 'stack.h5')), which can be read in part."
        raise ScanFileError(who, expected="a stack that can be read in part", got="an NPZ archive", do=do)
    with opened(path, "microlocal scan file") as file:
        header = parsed_header(file[OWN_MARK][()].decode("utf-8"), who)
        refuse_volumes(header, who)
        geometry = header_geometry(header, np.asarray(file["angles_rad"][()], np.float64).reshape(-1), who)
        shape = tuple(file["data"].shape)
        stack_of(path, ("slice", "angle", "detector")[-len(shape) :], shape)
    fields = header["source"]
    source = Source(str(fields["path"]), str(fields["format"]), str(fields["sha256"]), dict(fields["metadata"]))
    readings = Readings(Hdf5Stored(path, ("slice", "angle", "detector"), shape, "data"))
    return Draft(readings, source, None, geometry, parsed_grid(header["grid"], who), said=tuple(header["warnings"]))


def _mrc(path: Path, sidecar: Sidecar) -> Draft:
    axis = sidecar.tilt_axis or "y"
    with guarded(path, "MRC file"):
        check_size(path)
        with mrcfile.mmap(path, mode="r", permissive=True) as file:
            shape = tuple(file.data.shape)
            order = VIEW_FIRST if axis == "y" else ("angle", "detector", "slice")
            stack_of(path, order, shape)
            said = contradiction(values_of(file), axis)
            if sidecar.tilt_axis is None and not said:
                said = (AXIS_TAKEN,)
            pitch = float(f"{float(file.voxel_size.x) / 10:.7g}")
            labels = [str(label) for label in file.get_labels()]
            records = fei_records(bytes(file.extended_header.tobytes()), labels, len(file.data))
    angles, told = tilts_of(path, records, sidecar)
    if records is not None and records[0, FEI_PIXEL] > 0:
        pitch = float(f"{float(records[0, FEI_PIXEL]) * 1e9:.7g}")
    readings, background = _above_background(Readings(MrcStored(path, order, shape)))
    said = (*told, *said, background)
    source = Source(str(path), "mrc", "", {"labels": labels})
    pixel = (pitch, "nm") if pitch > 0 else (1.0, "pixel")
    return Draft(readings, source, angles, sidecar.geometry, sidecar.grid, *pixel, said=said)


def _above_background(readings: Readings) -> tuple[Readings, str]:
    """Return the readings above the background level of the sample of slices, and the sentence that says so."""
    numbers = sample_of(readings.array.shape[0])
    sample = readings.array.read(numbers.start, numbers.stop, numbers.step)
    level = float(np.percentile(sample, BACKGROUND_PERCENTILE))
    sentence = (
        f"Intensities are taken as line integrals after subtraction of the background {level:.4g}, the "
        f"{BACKGROUND_PERCENTILE:g}th percentile of a sample of {len(numbers)} slices."
    )
    return replace(readings, level=level), sentence


def _numpy(path: Path, sidecar: Sidecar) -> Draft:
    if archive_names(path):
        do = "Save the array as NPY, HDF5 or Zarr, which can be read in part."
        raise ScanFileError(str(path), expected="a stack that can be read in part", got="an NPZ archive", do=do)
    return _plain(npy_stored(path, sidecar.axes), sidecar, "npy")


def npy_stored(path: Path, axes: tuple[str, ...]) -> NpyStored:
    with guarded(path, "NumPy file"):
        shape = tuple(np.load(path, mmap_mode="r", allow_pickle=False).shape)
    return NpyStored(path, axes or DEFAULT_AXES.get(len(shape), ()), shape)


def _tiff(path: Path, sidecar: Sidecar) -> Draft:
    files = tuple(pages(path, without=(sidecar.flats, sidecar.darks)) or [path])
    return _plain(tiff_stored(path, files, sidecar.axes), sidecar, "tiff")


def tiff_stored(path: Path, files: tuple[Path, ...], axes: tuple[str, ...]) -> TiffStored:
    with guarded(files[0], "TIFF stack"), opened_tiff(files[0]) as (_, series):
        shape = tuple(n for n in series.shape if n != 1)
    if series.axes.endswith("S"):
        got = f"{files[0].name} of shape {tuple(series.shape)}, with colours"
        raise ScanFileError(str(path), expected="grey pictures", got=got, do="Save them in grey.")
    shape = shape if len(files) == 1 else (len(files), *shape[-2:])
    return TiffStored(path, axes or DEFAULT_AXES.get(len(shape), ()), shape, files)


def _plain(array: Stored, sidecar: Sidecar, name: str, inside: dict[str, Stored] | None = None) -> Draft:
    """Return the draft of an array whose geometry, axes and quantity the sidecar describes.

    ``inside``, flats and darks in the file itself, serve where the sidecar names none.
    """
    geometry = sidecar.needed(str(array.path))
    stack_of(array.path, array.axes, array.stored_shape)
    beside = {"flats": sidecar.flats, "darks": sidecar.darks}
    frames = (inside or {}) | {kind: _frames(path) for kind, path in beside.items() if path is not None}
    readings = Readings(array, sidecar.quantity)
    said: tuple[str, ...] = ()
    if sidecar.quantity == "counts":
        readings = _counts(replace(readings, flats=frames.get("flats"), darks=frames.get("darks")))
        said = () if "darks" in frames else ("No dark frames: the dark level is taken as zero.",)
    source = Source(str(array.path), name)
    return Draft(readings, source, np.degrees(geometry.angles), geometry, sidecar.grid, said=said)


def _frames(path: Path) -> Stored:
    """Return flats or darks in a TIFF or NPY file or a folder of TIFF files: (frame, slice, detector), or one frame."""
    if path.is_dir() or is_tiff(path):
        found: Stored = tiff_stored(path, tuple(pages(path) or [path]), ())
    else:
        found = npy_stored(path, ())
    return replace(found, axes=("slice", "detector") if len(found.stored_shape) == 2 else VIEW_FIRST)


def _zarr(path: Path, sidecar: Sidecar) -> Draft:
    with guarded(path, "Zarr folder"):
        found = describe(path)
    sidecar = _with_attributes(sidecar, found.attributes, str(path))
    shape = found.shapes[found.name]
    array = ZarrStored(path, sidecar.axes or DEFAULT_AXES.get(len(shape), ()), shape, found.name)
    kinds = [kind for kind in ("flats", "darks") if kind in found.shapes]
    inside: dict[str, Stored] = {kind: ZarrStored(path, VIEW_FIRST, found.shapes[kind], kind) for kind in kinds}
    return _plain(array, sidecar, "zarr", inside)


def _with_attributes(sidecar: Sidecar, attributes: dict[str, Any], who: str) -> Sidecar:
    """Fill in what no JSON file says from the attributes geometry, grid, axes and quantity; raises ScanFileError."""
    if sidecar.geometry is None and isinstance(attributes.get("geometry"), dict):
        sidecar = replace(sidecar, geometry=parsed_geometry(attributes["geometry"], who))
    if sidecar.grid is None and "grid" in attributes:
        unit = "mm" if sidecar.geometry is None else sidecar.geometry.unit
        sidecar = replace(sidecar, grid=parsed_grid(attributes["grid"], who, unit))
    if sidecar.path is not None:
        return sidecar
    quantity = attributes.get("quantity", sidecar.quantity)
    if quantity not in QUANTITIES:
        expected = "the attribute quantity: one of " + ", ".join(QUANTITIES)
        raise ScanFileError(who, expected=expected, got=repr(quantity)[:80], do="Mend the attribute.")
    axes = tuple(name.strip() for name in str(attributes.get("axes", "")).split(",") if name.strip())
    return replace(sidecar, quantity=quantity, axes=axes)


_DRAFTS: dict[Reader, Callable[[Path, Sidecar], Draft]] = {
    DataExchange: _data_exchange,
    Mrc: _mrc,
    Npz: _numpy,
    OwnScan: _own,
    TiffStack: _tiff,
}
