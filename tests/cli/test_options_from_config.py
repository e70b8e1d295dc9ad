"""Options made from records: flags, types and defaults follow the fields, and fill them again."""

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from msgspec import Struct
from typer.testing import CliRunner

from autocoa_bench.cli.options_from_config import flags_given, options_from
from autocoa_bench.errors import UserError
from autocoa_bench.types import Option


class Inner(Struct, frozen=True):
    """A record within another."""

    depth: Annotated[int, Option(help="Depth.", flags=("--how-deep",), min=1)] = 2
    unseen: int = 5


class Outer(Struct, frozen=True, kw_only=True):
    """A record with a field of every form."""

    out: Annotated[Path, Option(help="Out.")]
    kind: Annotated[Literal["one", "two"], Option(help="Kind.")] = "one"
    address: Annotated[str, Option(help="Address.", repeat=True)] = ""
    key: Annotated[str, Option(help="Key.", needs="address")] = ""
    jobs: Annotated[int, Option(help="Jobs.", min=1)] = 0
    limit: Annotated[int | None, Option(help="Limit.", min=1)] = None
    sizes: Annotated[tuple[int, ...], Option(help="Sizes.", min=1, max=9, commas=True)] = (3,)
    names: Annotated[tuple[str, ...], Option(help="Names.", commas=True)] = ("a", "b")
    rows: Annotated[tuple[str, ...], Option(help="Rows.", flags=("--as",), metavar="ROW")] = ()
    dry: Annotated[bool, Option(help="Dry.")] = False
    inner: Inner = Inner(unseen=7)


def run(*arguments: str, **selection: Any) -> Outer:
    """The record that the arguments fill. Raises what the command raises."""
    filled: list[Outer] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @options_from(Outer, **selection)
    def command(word: Annotated[str, typer.Argument()], config: Outer) -> None:
        assert word == "word"
        filled.append(config)

    result = CliRunner().invoke(app, ["word", *arguments])
    if isinstance(result.exception, UserError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return filled[0]


def test_without_options_the_record_has_its_own_defaults() -> None:
    assert run("--out", "x") == Outer(out=Path("x"))


def test_every_form_of_field_is_filled() -> None:
    words = "--out x --kind two --address u --address v --key k --jobs 4 --limit 1 --sizes 2,9"
    more = "--names c, --as r=s --as t --dry --how-deep 6"
    assert run(*words.split(), *more.split()) == Outer(
        out=Path("x"),
        kind="two",
        address="u,v",
        key="k",
        jobs=4,
        limit=1,
        sizes=(2, 9),
        names=("c",),
        rows=("r=s", "t"),
        dry=True,
        inner=Inner(6, 7),
    )


def test_a_command_selects_options_and_has_its_own_defaults() -> None:
    assert run("--out", "x", only=("out", "jobs"), defaults={"jobs": 3}).jobs == 3
    with pytest.raises(AssertionError, match="No such option: --how-deep"):
        run("--out", "x", "--how-deep", "3", without=("inner",))
    with pytest.raises(TypeError, match="Outer has no option job"):
        options_from(Outer, only=("job",))


def test_a_prefix_goes_before_every_flag_that_is_not_spelt_out() -> None:
    assert run("--my-out", "x", "--how-deep", "3", prefix="my-").inner.depth == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--jobs", "0"), "greater than or equal to 1"),
        (("--kind", "three"), "'three' is not one of 'one', 'two'"),
        (("--how-deep", "0"), "greater than or equal to 1"),
    ],
)
def test_values_out_of_range_are_refused(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        run("--out", "x", *arguments)


@pytest.mark.parametrize("sizes", ["0", "10", "1,x", ","])
def test_a_list_of_numbers_is_checked(sizes: str) -> None:
    with pytest.raises(UserError, match="--sizes takes numbers from 1 to 9"):
        run("--out", "x", "--sizes", sizes)


def test_an_option_that_needs_another_is_refused_alone() -> None:
    with pytest.raises(UserError, match="--my-key 'k' has no effect: give --my-address too"):
        run("--my-out", "x", "--my-key", "k", prefix="my-")


def test_the_flags_on_the_command_line_are_known() -> None:
    seen: list[str] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @options_from(Outer, only=("out", "jobs", "limit"))
    def command(context: typer.Context, config: Outer) -> None:
        seen.extend(flags_given(context, ("limit", "jobs", "out")))

    CliRunner().invoke(app, ["--jobs", "1", "--out", "x"])
    assert seen == ["--jobs", "--out"]
