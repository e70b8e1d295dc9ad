"""The command line: every command of the harness, and those of installed packages.

Commands import what is heavy when they are called, so that `--help` is instant.
"""

import errno
import re
import sys

import typer

from autocoa_bench import registry
from autocoa_bench.cli import judge, models, tasks
from autocoa_bench.cli.ask import ask
from autocoa_bench.cli.export import export
from autocoa_bench.cli.report import compare, report
from autocoa_bench.cli.run import run, score
from autocoa_bench.cli.serve import serve_search
from autocoa_bench.cli.show import show
from autocoa_bench.errors import UserError
from autocoa_bench.util.streams import filter_streams

_LONGEST_ERROR = 4000
"""Characters; a message may quote what a stranger wrote."""

app = typer.Typer(
    name="autocoa-bench",
    help="Evaluate search agents: a model alone, a ReAct workflow, or a trained agent model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
GROUPS = {"models": models.app, "tasks": tasks.app, "judge": judge.app}
for group_name, group_app in GROUPS.items():
    app.add_typer(group_app, name=group_name)
for command in (run, ask, score, report, compare, show, export, serve_search):
    app.command()(command)


def main() -> None:
    """The console entry point: errors become one line and an exit code."""
    filter_streams()
    try:
        for argument in sys.argv[1:]:
            # Python reads bytes that are not UTF-8 as surrogates.
            if any("\ud800" <= char <= "\udfff" for char in argument):
                raise UserError(f"the argument {argument!a} is not UTF-8 text")
        _add_plugins()
        app()
        sys.stdout.flush()
    except UserError as error:
        # What a message quotes may have lines that look like messages of their own.
        text = re.sub(r"\n(?! )", "\n  ", f"error: {error}"[:_LONGEST_ERROR])
        typer.echo(text, err=True)
        sys.exit(error.exit_code)
    # In the next two cases stdout is set to None, or Python would fail to flush it at exit.
    except BrokenPipeError:
        sys.stdout = None
        sys.exit(141)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            # The error names a path, or a name of a task or corpus that could have been one.
            name = f"{str(error.filename)[:60]}..."
            typer.echo(f"error: no file can have a name as long as '{name}'", err=True)
            sys.exit(2)
        if error.errno != errno.ENOSPC:
            raise
        sys.stdout = None
        named = [name for name in (error.filename, error.filename2) if isinstance(name, str)]
        where = f"'{named[-1]}' cannot" if named else "the output cannot"
        typer.echo(f"error: {where} be written: the disk is full", err=True)
        sys.exit(2)


def _add_plugins() -> None:
    """Add the commands of installed packages (entry points `autocoa_bench.commands`).

    A command named GROUP.NAME is added to that group. None replaces a command of the harness.
    """
    taken = {group.name for group in app.registered_groups}
    taken |= {command.name for command in app.registered_commands}
    for full_name in registry.names("commands"):
        group, _, name = full_name.rpartition(".")
        target = GROUPS.get(group, app)
        if target is app and full_name in taken:
            continue
        try:
            plugin: typer.Typer = registry.load("commands", full_name)
        except UserError as error:
            _add_broken(target, name, error)
            continue
        commands = plugin.registered_commands
        only = commands[0].callback if len(commands) == 1 else None
        # A single command becomes a command of that name instead of a group around it.
        if only is None or plugin.registered_callback:
            target.add_typer(plugin, name=name)
        else:
            target.command(name)(only)


def _add_broken(target: typer.Typer, name: str, error: UserError) -> None:
    """Add a command that raises the error in place of one that cannot be loaded."""
    any_arguments = {"ignore_unknown_options": True, "allow_extra_args": True}

    @target.command(name, help=str(error), context_settings=any_arguments)
    def broken() -> None:
        raise error
