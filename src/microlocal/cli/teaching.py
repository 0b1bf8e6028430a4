"""The examples under each help page: a comment line, then the command, so that both fit a narrow terminal."""


def examples(*rows: tuple[str, str], after: str = "") -> str:
    """Return the epilog of a help page from (comment, command) rows and a closing paragraph, in rich markup.

    >>> examples(("what is in a file", "microlocal info scan.mat"))
    '[bold]Examples[/]\\n  [dim]# what is in a file[/]\\n  microlocal info scan.mat'
    """
    shown = "\n".join(f"  [dim]# {comment}[/]\n  {command}" for comment, command in rows)
    return f"[bold]Examples[/]\n{shown}" + (f"\n\n{after}" if after else "")
