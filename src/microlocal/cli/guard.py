"""The group of verbs, guarded: every way a run can end becomes a message and an exit code."""

from typing import Any

import typer
from typer.core import TyperGroup

from microlocal.cli.failures import INTERRUPTED, failure_of, show
from microlocal.cli.screen import Screen


class Guarded(TyperGroup):
    """Takes ``--json``, ``--quiet`` and ``--debug`` wherever they stand, and turns exceptions into exit codes."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.obj, rest = Screen.from_arguments(args)
        return super().parse_args(ctx, rest)

    def invoke(self, ctx: Any) -> Any:
        screen: Screen = ctx.obj
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, BrokenPipeError):
            raise
        except KeyboardInterrupt:
            screen.answer({"error": {"type": "KeyboardInterrupt", "message": "interrupted", "exit_code": INTERRUPTED}})
            screen.say("Interrupted before there was a result; nothing was written.")
            raise typer.Exit(INTERRUPTED) from None
        except typer.TyperException as error:
            if not screen.json:
                raise  # Typer draws usage errors itself, with the usage line
            failure = failure_of(error)
            show(error, failure, screen)
            raise typer.Exit(failure.code) from None
        except Exception as error:
            failure = failure_of(error)
            show(error, failure, screen)
            raise typer.Exit(failure.code) from None
