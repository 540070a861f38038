"""The command group: the list of commands, logging, and errors as one line and an exit code."""

import importlib
import logging
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import click

from localassist._version import __version__
from localassist.cli.escapes import plain
from localassist.cli.exits import INTERRUPTED, WENT_WRONG
from localassist.cli.logs import show_log
from localassist.errors import LocalAssistError

COMMANDS = {
    "ask": "Answer a question from files, with citations.",
    "add": "Index files and folders, to ask and search them later.",
    "search": "Show the passages that answer a query.",
    "chat": "Talk about the files; answers stream, with citations.",
    "files": "List what is indexed, or forget it.",
    "serve": "Serve the Assistants API over HTTP.",
    "models": "List the models, and verify those that are here.",
    "doctor": "Say what works here, what is missing, and what mends it.",
}
"""Every command and its one sentence; the command itself is `localassist.cli.NAME.NAME`, loaded when it is called."""


class LazyGroup(click.Group):
    """A group that lists its commands without loading them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the options before the command; one that is a command's own is told where it belongs.

        Raises:
            NoSuchOption: no command has the option.
            UsageError: the option stands before its command.
        """
        words = list(args)
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            behind = next((word for word in words if word in COMMANDS), None)
            names = [behind] if behind else list(COMMANDS)
            if not any(self._has_option(ctx, name, error.option_name) for name in names):
                raise
            example = f"localassist {behind or 'COMMAND'} {error.option_name} …"
            raise click.UsageError(f"{error.option_name} belongs behind the command: {example}", ctx) from error

    def _has_option(self, ctx: click.Context, name: str, option: str) -> bool:
        command = self.get_command(ctx, name)
        return command is not None and any(option in parameter.opts for parameter in command.params)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - the signature is click's
        """Give the names, in the order of `COMMANDS`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - the signature is click's
        """Load the command of this name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"localassist.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - the signature is click's
        """Write the list of commands."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


HELP = """Ask your own files, on your own machine.

localassist is a local home for programs written for the OpenAI Assistants API. Nothing leaves this machine but what you
send to a model server that you named.

\b
Examples:
  localassist ask ~/Documents "What does the contract say about notice?"
  localassist serve --model ollama/llama3.2
"""


@click.group(cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Show the log on stderr; twice for every detail.")
@click.version_option(__version__, prog_name="localassist", message="%(prog)s %(version)s")
def cli(verbose: int) -> None:
    """Set logging up; the command does the rest."""
    if verbose:
        show_log(logging.INFO if verbose == 1 else logging.DEBUG)
    else:
        logging.lastResort = None  # what matters reaches the user as an error; the log is for those who ask


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code; every expected error becomes one message on stderr."""
    try:
        result: Any = cli.main(args=arguments, prog_name="localassist", standalone_mode=False)
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        about = error if isinstance(error, KeyboardInterrupt) else error.__cause__
        click.echo(f"Interrupted. {about if about is not None and about.args else ''}".rstrip(), err=True)
        return INTERRUPTED
    except BrokenPipeError:
        _close_stdout()
        return WENT_WRONG
    except Exception as error:
        if not isinstance(error, (LocalAssistError, OSError, *_sdk_errors())):
            raise
        _report(error)
        return WENT_WRONG
    return result if isinstance(result, int) else 0


def _report(error: BaseException) -> None:
    logging.getLogger(__name__).debug("The command failed.", exc_info=error)
    click.secho("Error: ", fg="red", bold=True, nl=False, err=True)
    click.echo(plain(_message_of(error), keep="\n"), err=True)


def _message_of(error: BaseException) -> str:
    """Give the engine's own words where the SDK carries them in a body."""
    body = getattr(error, "body", None)
    message = body.get("message") if isinstance(body, dict) else None
    return message or str(error) or type(error).__name__


def _sdk_errors() -> tuple[type[Exception], ...]:
    """Give the root of the SDK's errors if the SDK is loaded; only then can one of them be raised."""
    sdk: ModuleType | None = sys.modules.get("openai")
    return (sdk.OpenAIError,) if sdk is not None else ()


def _close_stdout() -> None:
    """Whoever read the output has gone: nothing more is written, and nothing is said of it at exit."""
    try:
        sys.stdout.close()
    except BrokenPipeError:
        pass  # this is what was to be expected
