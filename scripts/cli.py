"""The operator's command line: `tidemark …`; each command's code is imported only when it is asked for."""

import importlib
import os
import sys
from pathlib import Path

import click

from scripts import plan, ready

# Command -> where it lives, and its line in the list (so that the list needs no import).
COMMANDS = {
    "run": ("scripts.cli:run_command", "Start a whole venue on this machine."),
    "doctor": ("scripts.doctor:doctor", "Check every prerequisite and every running part."),
    "top": ("scripts.top:top", "A live view of a running venue in the terminal."),
    "feed": ("scripts.cli:feed", "Steer the simulated or recorded feed."),
    "account": ("scripts.accounts:account", "Open accounts for tests and operators."),
    "user": ("scripts.users:user", "People by mail address, and who of them is an operator."),
    "snapshot": ("scripts.snapshot:snapshot", "Look into any moment of a venue; never writes."),
    "replay": ("scripts.replay:replay", "Rebuild any moment from the log, compare, ask what if."),
    "backtest": ("scripts.backtest:backtest", "Recordings through the engine, with instructions or a strategy."),
    "recovery-plan": ("scripts.recovery_plan:recovery_plan", "What a start would load, replay and refuse."),
    "why": ("scripts.why:why", "The entries that made an order, a position, an account."),
    "capsule": ("scripts.capsule:capsule", "Hand over a stretch of the log as one file; run such a file."),
    "log": ("scripts.restore:log", "Mend the log of a venue that refused to go on."),
    "archive": ("scripts.archive:archive", "What the archive of the log holds, and whether it is whole."),
    "audit": ("scripts.audit:audit", "Every instruction with its outcome: export it, prove it."),
    "views": ("scripts.views:views", "Make account views and outcomes anew."),
    "derive": ("scripts.derive:derive", "Derive events again that the history in Postgres lacks."),
    "reset": ("scripts.reset:reset", "End this venue; the next start founds a new one."),
    "upgrade": ("scripts.upgrade:upgrade", "Whether this build may go on with this log."),
    "bench": ("scripts.benchmarks:bench", "Measure this build on this machine."),
}
# What looks into small states for a moment.
READERS = frozenset({"snapshot", "why", "recovery-plan", "capsule", "backtest"})


class LazyGroup(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, _context: click.Context) -> list[str]:
        """Return the commands in the order of the table."""
        return list(COMMANDS)

    def get_command(self, _context: click.Context, name: str) -> click.Command | None:
        """Return one command, importing its module now."""
        if name not in COMMANDS:
            return None
        if name in READERS:
            # Huge pages make the first touch of a state cost 400 ms, which pays in an engine alone.
            os.environ.setdefault("NUMPY_MADVISE_HUGEPAGE", "0")
        module, _, attribute = COMMANDS[name][0].partition(":")
        found: click.Command = getattr(importlib.import_module(module), attribute)
        return found

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("0.1.0", prog_name="tidemark")
def main() -> None:
    """Tidemark: a paper venue for perpetual futures. The log is the venue."""


def data_option(function: click.decorators.FC) -> click.decorators.FC:
    """Add `--data DIR`, the folder by which a venue is found."""
    return click.option(
        "--data",
        "data_dir",
        type=click.Path(file_okay=False, path_type=Path),
        default=ready.data_dir_default,
        show_default="TIDEMARK_DATA, else .tidemark in the repository",
        help="Folder of the venue's data.",
    )(function)


@click.command("run")
@click.option("--feed", default="simulated", metavar="simulated|live|FILE", help="Quotes: invented, real, recorded.")
@click.option("--speed", type=click.FloatRange(0), default=1.0, help="Pace of the feed; 0 is as fast as it goes.")
@click.option("--hold", is_flag=True, help="First quotes and marks only, until `tidemark feed go`.")
@click.option("--loop", is_flag=True, help="Begin a recording again at its end.")
@click.option("--seed", type=int, default=1, show_default=True, help="Seed of the simulated market.")
@data_option
@click.option(
    "--port", type=click.IntRange(1, 65_535), default=None, help="Port of the gateway; 8080 or the next free."
)
@click.option("--engines", type=click.IntRange(1, 3), default=1, show_default=True, help="One leads, others stand by.")
@click.option("--ready-file", type=click.Path(dir_okay=False, path_type=Path), help="Write URLs and pids here as well.")
def run_command(
    feed: str,
    speed: float,
    hold: bool,
    loop: bool,
    seed: int,
    data_dir: Path,
    port: int | None,
    engines: int,
    ready_file: Path | None,
) -> None:
    """
    Start a whole venue: servers, feed, engine, persister, gateway. Ctrl-C stops it.

    \b
    Examples:
      ./scripts/tidemark run
      ./scripts/tidemark run --feed live --engines 2 --data /srv/tidemark
    """
    from scripts import supervisor

    if feed not in ("simulated", "live"):
        if not Path(feed).is_file():
            raise click.BadParameter(f"no such file: {feed}", param_hint="--feed")
        feed = str(Path(feed).absolute())
    elif feed == "live" and (hold or loop or speed != 1.0):
        raise click.UsageError("--speed, --hold and --loop are for simulated and recorded feeds")
    options = plan.Options(
        data_dir=data_dir.absolute(),
        feed=feed,
        speed=speed,
        hold=hold,
        loop=loop,
        seed=seed,
        port=port,
        ready_file=ready_file.absolute() if ready_file else None,
        engines=engines,
    )
    sys.exit(supervisor.main(options))


class Absent(click.ClickException):
    """There is nothing to act upon."""

    exit_code = 2


class Forbidden(click.ClickException):
    """The folder is somebody else's."""

    exit_code = 3


@click.group()
def feed() -> None:
    """Steer the simulated or recorded feed."""


@feed.command("go")
@data_option
def feed_go(data_dir: Path) -> None:
    """
    Let a feed run that was started with --hold.

    \b
    Examples:
      ./scripts/tidemark feed go
      ./scripts/tidemark feed go --data /srv/tidemark
    """
    try:
        if ready.ready_read(data_dir) is None:
            raise Absent(f"no venue runs on {data_dir}: start one with ./scripts/run --hold")
        (data_dir / plan.GO_FILE).touch()
    except PermissionError:
        raise Forbidden(f"no permission for {data_dir}: run it as the user who owns this folder") from None
    click.echo("The feed runs.")


if __name__ == "__main__":
    main(prog_name="tidemark")
