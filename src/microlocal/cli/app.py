"""``microlocal``: the verbs, the output flags, and what ``--help`` teaches first."""

import os
import sys
from typing import Annotated

import typer

import microlocal
from microlocal.cli import (
    certify,
    deblur,
    demo,
    denoise,
    dictionary,
    doctor,
    edges,
    info,
    inpaint,
    methods,
    reconstruct,
    stack,
    train,
    visible,
    volume,
    weights,
)
from microlocal.cli.guard import Guarded
from microlocal.cli.screen import screen_of
from microlocal.cli.teaching import examples

HELP = """
Reconstruct images from incomplete measurements, and say what was measured.

A limited-angle scan (CT, electron tomography) fixes the edges in some
directions and leaves others open. microlocal reconstructs the image, marks
every edge as [cyan]measured[/], [magenta]learned[/] or [yellow]undetermined[/], and adds checked certificates.
"""

EPILOG = examples(
    ("a real scan with a missing wedge, in about a minute", "microlocal demo"),
    ("what is in a file, and which edges it can see", "microlocal info scan.mat; microlocal visible scan.mat"),
    ("image, numbers and report.html", "microlocal reconstruct scan.mat --method tv --out results"),
    ("everything about one verb", "microlocal reconstruct --help"),
    after="[bold]Exit codes[/]\n"
    "  0  done\n"
    "  1  something inside is broken (run again with --debug, or microlocal doctor),\n"
    "     or a claim does not hold; the files are written, and tell which\n"
    "  2  the input cannot be used; the message says what to do\n"
    "  3  interrupted; what was reached is written\n\n"
    "--json, --quiet and --debug may stand before or after the verb.",
)

app = typer.Typer(
    name="microlocal",
    cls=Guarded,
    help=HELP,
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(context: typer.Context, wanted: bool) -> None:
    if wanted:
        number = microlocal.__version__
        screen_of(context).answer({"version": number}, f"microlocal {number}")
        raise typer.Exit


@app.callback()
def options(
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, for errors too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print it.")] = False,
) -> None:
    """Declare the flags for the help page; ``Guarded`` has taken them before they are parsed."""
    del json, quiet, debug, version


app.command(epilog=reconstruct.EXAMPLES)(reconstruct.reconstruct)
app.command(epilog=stack.EXAMPLES)(stack.stack)
app.command(epilog=volume.EXAMPLES)(volume.volume)
app.command(epilog=visible.EXAMPLES)(visible.visible)
app.command(epilog=edges.EXAMPLES)(edges.edges)
app.command(epilog=denoise.EXAMPLES)(denoise.denoise)
app.command(epilog=deblur.EXAMPLES)(deblur.deblur)
app.command(epilog=inpaint.EXAMPLES)(inpaint.inpaint)
app.command(epilog=train.EXAMPLES)(train.train)
app.command(epilog=weights.EXAMPLES)(weights.weights)
app.command(epilog=certify.EXAMPLES)(certify.certify)
app.command(epilog=info.EXAMPLES)(info.info)
app.command(epilog=methods.EXAMPLES)(methods.methods)
app.command(epilog=dictionary.EXAMPLES)(dictionary.dictionary)
app.command(epilog=doctor.EXAMPLES)(doctor.doctor)
app.command(epilog=demo.EXAMPLES)(demo.demo)


def main() -> None:
    """Run the command line with the arguments of this process.

    Idle OpenMP threads are told to sleep before torch is loaded: on a busy machine their spinning slows small
    operations several times over.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app(sys.argv[1:], prog_name="microlocal")
