"""What the tests of the command line share: a runner, a small scan on disk, and reading what was printed."""

import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import torch
from typer.testing import CliRunner, Result

from microlocal.cli import app
from microlocal.core import Detector, Grid, ParallelBeam, Scan
from microlocal.core.seeding import generator
from microlocal.data import disc_with_holes
from microlocal.data.phantoms import sinogram
from microlocal.io import write_scan

SIZE = 48


def run(*arguments: object) -> Result:
    """Run the command line with these arguments, in a terminal wide enough that no sentence breaks."""
    return CliRunner(env={"COLUMNS": "160", "TERMINAL_WIDTH": "160"}).invoke(app, [str(a) for a in arguments])


def said(result: Result) -> str:
    """Return all that was printed, white space and frames folded."""
    return " ".join(result.output.replace("│", " ").split())


def answer(result: Result) -> dict:
    """Return the one JSON object that stdout holds."""
    return json.loads(result.stdout)


def small_scan(slices: int = 0) -> Scan:
    """Return 40 views over 120 degrees of a disc with holes, 1 mm pixels: exact line integrals and a little noise."""
    geometry = ParallelBeam(tuple(math.radians(3 * k) for k in range(40)), Detector(SIZE, 1.0))
    exact = torch.from_numpy(sinogram(disc_with_holes(0.45 * SIZE), geometry)).float()
    data = exact + 0.01 * exact.max() * torch.randn(exact.shape, generator=generator(0))
    return Scan(data.repeat(slices, 1, 1) if slices else data, geometry, Grid((SIZE, SIZE), 1.0))


def scan_file(folder: Path, slices: int = 0) -> Path:
    """Write the small scan; return its file."""
    return write_scan(small_scan(slices), folder / "scan.npz")


def interrupted(arguments: list[str], seen: str) -> tuple[int, str]:
    """Run in a terminal, send Ctrl-C once ``seen`` appears, and return the exit code and the screen."""
    main, terminal = pty.openpty()
    program = [sys.executable, "-m", "microlocal", *arguments]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"}
    process = subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=terminal, env=environment)
    os.close(terminal)
    screen, sent = "", False
    while True:
        try:
            piece = os.read(main, 4096).decode("utf-8", "replace")
        except OSError:
            break
        screen += piece
        if not sent and re.search(seen, screen):
            process.send_signal(signal.SIGINT)
            sent = True
        if not piece:
            break
    os.close(main)
    return process.wait(timeout=60), screen
