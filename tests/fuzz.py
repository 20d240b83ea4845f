"""Fuzzes the parsers, led by which of their lines an input reaches: `python tests/fuzz.py --seconds 60 inventory`.

Without a target, each of them in turn. What is found is written to a file, which `--again FILE` reads once more.
https://github.com/google/atheris
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
import tempfile
from pathlib import Path

LONGEST = 4096
MOST_MEMORY = 1024
"""Megabytes of a process, in which libFuzzer keeps its own records too."""
SLOWEST = 10
"""Seconds for one input of at most `LONGEST` bytes: what takes longer hangs."""


def main() -> int:
    wish = _arguments().parse_args()
    if wish.again:
        return _again(wish.targets[0], wish.again)
    if importlib.util.find_spec("atheris") is None:
        print("nothing is fuzzed: there is no Atheris here; for CPython 3.11 to 3.13 on Linux there is (extra `fuzz`)")
        return 0
    import atheris  # noqa: PLC0415 - it is not everywhere

    with atheris.instrument_imports(include=["licensesync"], enable_loader_override=False):
        from fuzz_targets import TARGETS  # noqa: PLC0415 - it is instrumented here
    if len(wish.targets) == 1:
        return _fuzzed(wish.targets[0], wish)
    return max(_apart(target, wish) for target in wish.targets or TARGETS)


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to fuzz; all if there is none")
    parser.add_argument("--seconds", type=float, default=60, help="how long, for each target (60)")
    parser.add_argument("--seed", type=int, default=0, help="0: another one each time")
    parser.add_argument("--corpus", type=Path, help="a folder to go on from, and to keep what reaches new lines in")
    parser.add_argument("--again", type=Path, help="give this file to the target, and nothing else")
    return parser


def _again(target: str, file: Path) -> int:
    from fuzz_targets import TARGETS  # noqa: PLC0415 - not before it is instrumented

    TARGETS[target](file.read_bytes())
    return 0


def _apart(target: str, wish: argparse.Namespace) -> int:
    """A target in a process of its own, as libFuzzer ends its process: 0 if nothing was found."""
    with tempfile.TemporaryFile() as told:
        process = os.fork()
        if not process:
            os.dup2(told.fileno(), 1)
            os.dup2(told.fileno(), 2)
            wish.corpus = wish.corpus and wish.corpus / target
            os._exit(_fuzzed(target, wish))
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        told.seek(0)
        lines = told.read().decode("utf-8", "replace").splitlines()
    done = [line for line in lines if line.startswith("Done ")]
    is_well = not code and bool(done)
    print("\n".join([f"{target}: {done[-1]}"] if is_well else [*lines[-60:], f"{target}: failed"]), flush=True)
    return not is_well


def _fuzzed(target: str, wish: argparse.Namespace) -> int:
    """Ends the process where atheris runs to its end."""
    import atheris  # noqa: PLC0415 - it is not everywhere
    from fuzz_seeds import SEEDS, words  # noqa: PLC0415 - not before the targets are instrumented
    from fuzz_targets import TARGETS  # noqa: PLC0415

    corpus = wish.corpus or Path(tempfile.mkdtemp(prefix="licensesync-corpus-"))
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[target]):
        (corpus / f"seed-{number}").write_bytes(seed)
    vocabulary = words(target)

    def mutated(written: bytes, longest: int, seed: int) -> bytes:
        """Half of the time a word is put in or put in the place of something, else libFuzzer does as it likes."""
        chance = random.Random(seed)
        if chance.random() < 0.5:
            return bytes(atheris.Mutate(written, longest))
        start = chance.randrange(len(written) + 1)
        end = min(len(written), start + chance.choice((0, 0, 1, 4, 16)))
        return (written[:start] + chance.choice(vocabulary) + written[end:])[:longest]

    options = [
        f"-max_total_time={max(1, round(wish.seconds))}",
        f"-max_len={LONGEST}",
        f"-timeout={SLOWEST}",
        f"-rss_limit_mb={MOST_MEMORY}",
        f"-seed={wish.seed}",
        f"-artifact_prefix=fuzz-{target}-",
        "-verbosity=1",
        str(corpus),
    ]
    atheris.Setup([sys.argv[0], *options], TARGETS[target], custom_mutator=mutated)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
