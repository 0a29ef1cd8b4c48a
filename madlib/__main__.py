"""The command line: `madlib book`, `run`, `simulate`, `plan`, `audit`, `sweep` and kin.

A user's mistake is one line on standard error and exit status 2; a chapter that stops, a book that
does not build, or a package that is not installed is status 1; an interruption is 130.
"""

import contextlib
import functools
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click

from madlib.errors import MadlibError, ParameterError, Rule, Unavailable, require

_LEVELS = (0.05, 0.5, 0.95)
_TARGETS = "normal, digits, mode_grid, rosenbrock, zipf; or a file, such as mine.npy or mine.txt."
_GENERATORS = "Or mixture, kernel_density, flow, diffusion, vae, wgan, language_model, trigram."
_SETTINGS = "Another setting of generator or target, such as n_components 3."
_REGIMES = (
    "Or synthetic_augmentation, fully_synthetic, accumulate, long_memory, accumulate_subsample."
)


class _Whole(click.ParamType):
    """A size, such as 1000 or 1e12."""

    name = "integer"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        for read in (int, float):
            with contextlib.suppress(ValueError, OverflowError):
                if (number := read(value)) == int(number):
                    return int(number)
        self.fail(f"must be a whole number, such as 1000 or 1e12; got {value!r}", param, ctx)


@click.group(no_args_is_help=False)
def cli() -> None:
    """Self-consuming generative models, computed."""


@cli.command()
@click.option("--preset", help="A file of book/presets, such as smoke or paper.")
@click.option("--jobs", type=click.IntRange(1), help="Chapters executed at once (one per core).")
@click.option("--output", type=Path, default="_build", show_default=True, metavar="DIR")
@click.option("--verify", is_flag=True, help="Execute all again and compare with the last build.")
def book(output: Path, verify: bool, **options: Any) -> None:
    """Build the book into DIR/html.

    Its chapters refer to one another, so it is typeset as a whole; `madlib run` executes one alone.
    """
    builder = _builder()
    (builder.verify if verify else builder.build)(Path.cwd(), output, **options)


@cli.command()
@click.argument("chapter")
@click.option("-p", "given", nargs=2, multiple=True, metavar="NAME VALUE", help="A parameter.")
@click.option("-o", "--output", type=Path, metavar="DIR", help="Default: _build/runs/CHAPTER.")
def run(chapter: str, given: Sequence[tuple[str, str]], output: Path | None) -> None:
    """Execute a CHAPTER, such as 05_fresh_data or the path of a notebook, with other parameters."""
    path = Path(chapter)
    if path.suffix != ".ipynb":
        known = {path.stem: path for path in sorted(Path("book").glob("*.ipynb"))}
        required = (
            f"chapter must be one of {', '.join(known) or 'those in book/, and none is here'}"
        )
        remedy = "Run this in the repository, or give the path of a notebook."
        require(chapter in known, required, repr(chapter), remedy)
        path = known[chapter]
    require(path.is_file(), "chapter must be a notebook", repr(chapter), "Give its path.")
    print(_builder().run(path, output or Path("_build", "runs", path.stem), dict(given)))


@cli.command()
@click.option("--regime", required=True, help="Such as FreshData or fully_synthetic.")
@click.option("--n-r", type=_Whole(), help="Fresh real samples per generation.")
@click.option("--n-s", type=_Whole(), help="Synthetic samples per generation.")
@click.option("--n", type=_Whole(), help="Size of the training set, for AccumulateSubsample.")
@click.option("--memory", type=int, help="Last models that give samples, for LongMemory.")
@click.option("--target", default="normal", show_default=True, help=_TARGETS)
@click.option("--generator", default="gaussian", show_default=True, help=_GENERATORS)
@click.option("--set", "given", nargs=2, multiple=True, metavar="NAME VALUE", help=_SETTINGS)
@click.option("--dim", type=int, help="Dimension of the normal target (1).")
@click.option("--lam", default=1.0, show_default=True, help="Sampling bias, 1 for none.")
@click.option("--ddof", type=int, help="0 for maximum likelihood.")
@click.option("--n-ini", type=_Whole(), default=100, show_default=True, help="Real samples at t=1.")
@click.option("--n-generations", default=50, show_default=True, help="Generations.")
@click.option("--n-replicates", type=int, help="Repetitions (1000; 4 if a fit takes a core).")
@click.option("--seed", default=0, show_default=True, help="Of the random numbers.")
@click.option("--out", type=Path, metavar="DIR", help="Also write the table, and a figure of it.")
def simulate(
    regime: str,
    target: str,
    generator: str,
    given: Sequence[tuple[str, str]],
    n_replicates: int | None,
    seed: int,
    out: Path | None,
    **options: Any,
) -> None:
    """Iterate a generator on a target; print quantiles per generation as CSV.

    The target may be a file of your own: a row of numbers per example (.npy, .npz, .csv, .parquet),
    or text (.txt). A fifth of it is held out for the scores; columns are in units of their spread.
    """
    import jax
    import numpy as np
    import pandas as pd

    import madlib
    from madlib.config import make_loop, make_regime, plain
    from madlib.targets.text import read

    seed = Rule(0, 2**32 - 1, whole=True)("seed", seed)
    numbers = {name: options.pop(name) for name in ("n_r", "n_s", "n", "memory")}
    numbers = {name: n for name, n in numbers.items() if n is not None}
    made = make_regime(regime, **numbers)
    named = {name: options.pop(name) for name in ("dim", "ddof")}
    settings = {name: v for name, v in named.items() if v is not None}
    settings |= {name: plain(name, text) for name, text in given}
    n_points = options["n_ini"] + numbers.get("n_r", 0) + numbers.get("n_s", 0)
    model, real, record = make_loop(generator, target, n_points, settings)
    if Path(target).suffix.lower() == ".txt":
        text = read(target)
        share = madlib.targets.dropped_share(text, "".join(real.symbols))
        if share:
            print(
                f"{target}: {share:.2%} of the characters are not in its alphabet.", file=sys.stderr
            )
    trajectory = madlib.simulate(
        jax.random.key(seed),
        model,
        made,
        real,
        n_replicates=n_replicates or (4 if model.sequential else 1000),
        record=record,
        reduce=functools.partial(np.quantile, q=_LEVELS),
        **options,
    )
    columns = {
        f"{name}_q{100 * level:02.0f}": values
        for name, record in trajectory.record.items()
        for level, values in zip(_LEVELS, record, strict=True)
    }
    table = pd.DataFrame({"generation": trajectory.generation, **columns})
    text = table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
    if out is not None:
        print(_save(out, text, trajectory, made, target), file=sys.stderr)
    print(text, end="")


def _save(out: Path, text: str, trajectory: Any, regime: Any, target: str) -> Path:
    """The table, and a figure of the first four metrics, each a median and its band."""
    with _book_extra():
        from madlib.book import figures
    os.environ["MADLIB_RESULTS"] = str(out)
    names = [*trajectory.record][:4]
    panels = []
    for name in names:
        band = figures.Band(*trajectory[name])
        axes = {"x": trajectory.generation, "ylabel": name.replace("_", " "), "colors": regime}
        panels.append(figures.trajectories(band, **axes))
    caption = "A loop on the target {target}, {regime}: medians, and bands of 5 to 95 %."
    shown = {"target": Path(target).name, "regime": str(regime)}
    figures.figure(*panels, label="fig-simulate", caption=caption, parameters=shown, n_columns=2)
    path = out / "simulate.csv"
    path.write_text(text)
    return path


@cli.command()
@click.option("--n-r", type=_Whole(), required=True, help="Real items, per round if fresh.")
@click.option("--n-s", type=_Whole(), required=True, help="Synthetic items per round.")
@click.option("--regime", default="fresh_data", show_default=True, help=_REGIMES)
@click.option("--n-ini", type=_Whole(), help="Real items of the first model, if others than n-r.")
@click.option("--memory", type=_Whole(), help="K, for long_memory.")
@click.option("--n", type=_Whole(), help="Size of the subsample, for accumulate_subsample.")
@click.option("--lam", type=float, help="Sampling bias, 1 for none (default).")
@click.option("--temperature", type=float, help="The same as a temperature.")
@click.option("--guidance", type=float, help="The same as a guidance w, lam = 1/(1 + w).")
@click.option("--dim", type=float, help="Effective dimension (100, and 10 to 1000, if unknown).")
@click.option("--features", help="File of features of real items, [n, d]: .npy, .csv, ...")
@click.option("--spectrum", help="File of eigenvalues of their covariance.")
@click.option("--curve", help="File of two columns, n and held-out loss in nats per item.")
@click.option("--bias", type=float, help="Bias of somebody else's generator, in sd.")
@click.option("--synthetic-share", type=float, default=0.0, help="Suspected, of the real items.")
@click.option("--false-positive", type=float, default=0.0, help="Detector: real items refused.")
@click.option("--false-negative", type=float, default=1.0, help="Detector: synthetic ones passed.")
@click.option("--rarest", type=float, help="Probability of the rarest category.")
@click.option("--n-answers", type=_Whole(), default=10, show_default=True, help="Answers alike.")
@click.option("--horizon", type=_Whole(), default=20, show_default=True, help="Rounds.")
@click.option("--loss", type=float, default=0.0, show_default=True, help="Tolerated, of n_e/n_r.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, fields as in Python.")
def plan(as_json: bool, **question: Any) -> None:
    """May I mix N-S synthetic items with N-R real ones, how many, and for how long?

    The effective dimension is that of the features by which you judge: sentence or document
    embeddings for text, Inception or CLIP features for images, standardized columns for tables.
    Give them as a file; of a learning curve in nats per item it is read off instead.
    """
    from madlib.planning import plan

    found = plan(**question)
    print(json.dumps(found.to_dict(), indent=2, allow_nan=False) if as_json else found)


@cli.command()
@click.argument("grid", required=False)
@click.option("--out", required=True, metavar="DIR", help="Where the units land.")
@click.option("--workers", type=click.IntRange(1), help="Processes here (one per core).")
@click.option("--scheduler", metavar="ADDRESS", help="A dask scheduler, such as tcp://host:8786.")
@click.option("--status", "only_status", is_flag=True, help="Say how far the sweep in DIR is.")
def sweep(grid: str | None, out: str, only_status: bool, **options: Any) -> None:
    """Compute the units of GRID, a YAML file, that are missing in DIR."""
    from madlib import sweep as sweeps

    if not only_status:
        require(grid, "a sweep needs a GRID to compute", "none", "Or ask for its --status.")
    state = sweeps.status(out) if only_status else sweeps.run(str(grid), out, **options)
    print(state)
    if not only_status and state.failed:
        raise click.exceptions.Exit(1)


@cli.command()
@click.argument("real")
@click.argument("generations", nargs=-1, required=True)
@click.option("--out", type=Path, metavar="DIR", help="Write report.html, figures, CSV and JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print all findings as JSON.")
@click.option("--trained", is_flag=True, help="Generation 1 was trained on the REAL items.")
@click.option("--n-train", type=_Whole(), help="Items trained on, if others than these sets.")
@click.option("--raw", is_flag=True, help="Leave columns in their own units.")
@click.option("--seed", default=0, show_default=True, help="Of subsets and splits.")
def audit(
    real: str, generations: Sequence[str], out: Path | None, as_json: bool, **options: Any
) -> None:
    """Compare items of each generation with REAL ones: does the loop degrade?

    REAL and GENERATIONS are files of items, a row each (.npy, .npz, .csv, .parquet), or texts
    (.txt). No generator should have been trained on the REAL items; if the first was, --trained.
    """
    from madlib.audit import audit

    found = audit(real, generations, **options)
    if out is not None:
        path = found.save(out)
        print(path, file=sys.stderr)
    print(found.to_json() if as_json else found)


@cli.command()
def claims() -> None:
    """Print the ledger of claims."""
    with _book_extra():
        from madlib.book.claims import ledger
    for claim in ledger():
        print("{id:<36} {verdict:<19} {source}, {where}: {statement}".format(**claim._asdict()))


@cli.command()
@click.argument("figure")
def figinfo(figure: str) -> None:
    """Print how a FIGURE came about: a label, or a pdf, svg, png or json file that was saved."""
    with _book_extra():
        from madlib.book.results import provenance
    print(json.dumps(provenance(figure), indent=2, ensure_ascii=False))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the process when None.

    Returns:
        The exit status.
    """
    given = [*(sys.argv[1:] if arguments is None else arguments)]
    try:
        with _interruptible(), cli.make_context("madlib", given) as context:
            cli.invoke(context)
            sys.stdout.flush()
    except click.exceptions.Exit as done:
        return done.exit_code
    except (click.UsageError, ParameterError) as error:
        said = error.format_message() if isinstance(error, click.UsageError) else error
        print("madlib:", " ".join(str(said).split()), file=sys.stderr)
        return 2
    except (MadlibError, OSError) as error:
        if not isinstance(error, MadlibError):  # Nobody reads on, or the disk is full.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if not isinstance(error, BrokenPipeError):  # `madlib claims | head` is no mistake.
            print("madlib:", error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, click.Abort):
        print("madlib: interrupted; chapters that are finished are kept.", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A signal to end, or a terminal that closes, is an interruption, unless it is ignored."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    signals = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    signals = [number for number in signals if signal.getsignal(number) is signal.SIG_DFL]
    for number in signals:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in signals:
            signal.signal(number, signal.SIG_DFL)


@contextlib.contextmanager
def _book_extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        required, remedy = "this needs the packages of the book", "pip install 'madlib[book]'"
        require(False, required, f"no {error.name}", f"Install it: {remedy}.", Unavailable)


def _builder() -> Any:
    with _book_extra():
        from madlib.book import build
    return build


if __name__ == "__main__":
    sys.exit(main())
