"""The command line: ``madlib book``, ``madlib run``, ``madlib simulate``, ``madlib claims``.

A user's mistake is one line on standard error and exit status 2; a chapter that stops, or a book
that does not build, is status 1.
"""

import argparse
import dataclasses
import functools
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from madlib.parameters import ParameterError, check_range


class _Parser(argparse.ArgumentParser):
    def __init__(self, **settings: Any) -> None:
        super().__init__(allow_abbrev=False, **settings)

    def error(self, message: str) -> NoReturn:
        """One line, no usage block."""
        self.exit(2, f"{self.prog}: {message}. See {self.prog} --help.\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: those of the process when None.

    Returns:
        The exit status.
    """
    options = _parser().parse_args(arguments)
    from madlib.book import BuildError

    try:
        options.command(options)
        sys.stdout.flush()
    except ParameterError as error:
        print(f"madlib: {error}", file=sys.stderr)
        return 2
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # `madlib claims | head`: nobody reads on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("madlib: interrupted; chapters that are finished are kept.", file=sys.stderr)
        return 130
    return 0


def _parser() -> _Parser:
    parser = _Parser(prog="madlib", description="Self-consuming generative models, computed.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)

    book = commands.add_parser("book", help="build the book into DIR/html")
    book.add_argument("--preset", help="a file of book/presets, such as smoke or paper")
    book.add_argument(
        "--jobs", type=int, metavar="N", help="chapters executed at once (one per core)"
    )
    book.add_argument("--output", type=Path, metavar="DIR", default=Path("_build"))
    book.set_defaults(command=_book)

    run = commands.add_parser("run", help="execute one chapter with other parameters")
    run.add_argument("chapter", help="a chapter, such as 05_fresh_data, or the path of a notebook")
    run.add_argument(
        "-p",
        nargs=2,
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="a parameter, in YAML",
    )
    run.add_argument("-o", "--output", type=Path, metavar="DIR", help="where (_build/runs/CHAPTER)")
    run.set_defaults(command=_run)

    simulate = commands.add_parser(
        "simulate", help="iterate a Gaussian; print quantiles per generation as CSV"
    )
    simulate.add_argument("--regime", required=True, help="such as FullySynthetic or FreshData")
    for name, kind, default, text in (
        ("n-r", _whole, None, "fresh real samples per generation"),
        ("n-s", _whole, None, "synthetic samples per generation"),
        ("n", _whole, None, "size of the training set, for AccumulateSubsample"),
        ("memory", int, None, "how many of the last models give samples, for FreshData"),
        ("dim", int, 1, "dimension of the Gaussian"),
        ("lam", float, 1.0, "sampling bias, 1 for none"),
        ("ddof", int, 1, "1 for the unbiased covariance, 0 for maximum likelihood"),
        ("n-ini", _whole, 100, "real samples for generation 1"),
        ("n-generations", int, 50, "generations"),
        ("n-replicates", int, 1000, "independent repetitions"),
        ("seed", int, 0, "seed of the random numbers"),
    ):
        simulate.add_argument(f"--{name}", type=kind, default=default, help=f"{text} ({default})")
    simulate.set_defaults(command=_simulate)

    claims = commands.add_parser("claims", help="print the ledger of claims")
    claims.set_defaults(command=_claims)
    return parser


def _book(options: argparse.Namespace) -> None:
    from madlib.book import build

    if options.jobs is not None and options.jobs < 1:
        raise ParameterError(
            f"--jobs must be at least 1; got {options.jobs}. Leave it out for one per core."
        )
    build(Path.cwd(), options.output, preset=options.preset, jobs=options.jobs)


def _run(options: argparse.Namespace) -> None:
    from madlib.book import run

    notebook = Path(options.chapter)
    if notebook.suffix != ".ipynb":
        notebook = Path("book", f"{options.chapter}.ipynb")
    if not notebook.is_file():
        known = ", ".join(sorted(path.stem for path in notebook.parent.glob("*.ipynb")))
        raise ParameterError(
            f"chapter must be one of {known}; got {options.chapter!r}. Name one of those."
            if known
            else f"chapter must be a notebook; got {options.chapter!r}, and no chapters in "
            f"{notebook.parent}. Run this in the repository, or give the path of a notebook."
        )
    parameters = {name: _value(name, text) for name, text in options.p}
    print(run(notebook, options.output or Path("_build", "runs", notebook.stem), parameters))


def _whole(text: str) -> int:
    """A size, such as 1000 or 1e12."""
    try:
        return int(text)
    except ValueError:
        pass
    try:
        size = float(text)
        if size == int(size):
            return int(size)
    except (ValueError, OverflowError):
        pass
    raise argparse.ArgumentTypeError(f"must be a whole number, such as 1000 or 1e12; got {text!r}")


def _value(name: str, text: str) -> object:
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        raise ParameterError(
            f'-p {name} must be YAML; got {text!r}. Write a list as "[1, 2]".'
        ) from None
    return [_number(item) for item in value] if isinstance(value, list) else _number(value)


def _number(value: Any) -> Any:
    """2e-3 and 1e6 as Python and papermill read them; to YAML 1.1 they are text."""
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _simulate(options: argparse.Namespace) -> None:
    import jax
    import numpy as np
    import pandas as pd

    from madlib import metrics, simulate, targets
    from madlib.generators.gaussian import Gaussian
    from madlib.regimes import make_regime

    check_range("seed", options.seed)
    levels = (0.05, 0.5, 0.95)
    sizes = {name: getattr(options, name) for name in ("n_r", "n_s", "n", "memory")}
    regime = make_regime(
        options.regime, **{name: size for name, size in sizes.items() if size is not None}
    )
    trajectory = simulate(
        jax.random.key(options.seed),
        Gaussian(options.dim, ddof=options.ddof),
        regime,
        targets.standard_normal(options.dim),
        n_ini=options.n_ini,
        n_generations=options.n_generations,
        n_replicates=options.n_replicates,
        lam=options.lam,
        record=(metrics.wasserstein2_squared, metrics.total_variance),
        reduce=functools.partial(np.quantile, q=levels),
    )
    table = pd.DataFrame({"generation": np.asarray(trajectory.generation)})
    for name, values in trajectory.record.items():
        for level, row in zip(levels, np.asarray(values), strict=True):
            table[f"{name}_q{100 * level:02.0f}"] = row
    print(table.to_csv(index=False, float_format="%.6g"), end="")


def _claims(options: argparse.Namespace) -> None:
    from madlib.claims import ledger

    for claim in ledger():
        fields = dataclasses.asdict(claim)
        print("{id:<36} {verdict:<14} {source}, {where}: {statement}".format(**fields))


if __name__ == "__main__":
    sys.exit(main())
