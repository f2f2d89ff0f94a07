"""Where does the command begin and end? Its entry point, and what stands between Python and the shell."""

from __future__ import annotations

import io
import sys

_USAGE = 2
_INTERRUPTED = 130  # 128 + SIGINT, the shells' own convention


def main() -> None:
    """Run the command that the arguments name, and exit with its code."""
    try:
        import click  # noqa: PLC0415 - absent without the extra `cli`
        import platformdirs  # noqa: F401, PLC0415 - likewise
        import rich  # noqa: F401, PLC0415 - likewise
    except ModuleNotFoundError as error:
        sys.exit(f"barechat: the command needs {error.name}: pip install 'barechat[cli]'")
    from barechat.cli.commands import barechat  # noqa: PLC0415 - needs click

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a character is no reason to crash
    try:
        # Windows' shells don't expand *, and click's doing so would expand it in prompts.
        code = barechat.main(prog_name="barechat", standalone_mode=False, windows_expand_args=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        code = _USAGE
    except click.UsageError as error:
        command = error.ctx.command_path if error.ctx else "barechat"
        click.echo(f"error: {error.format_message()} (See `{command} --help`.)", err=True)
        code = _USAGE
    except click.ClickException as error:
        click.echo(f"error: {error.format_message()}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = _INTERRUPTED
    sys.exit(code)


if __name__ == "__main__":
    main()
