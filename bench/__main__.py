"""Run all benches, print their figures as JSON and write docs/benchmarks.md.

    python -m bench

Each bench runs in a process of its own, one after the other, so that none inherits another's memory or threads.
Ends with 1 where a ratio is outside its limit.
"""

import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import (
    exchange_bench,
    gate_bench,
    hostile_bench,
    hub_bench,
    import_bench,
    indicator_bench,
    log_bench,
    membership_bench,
    totals_bench,
)

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks.md"
BENCHES = ("import", "exchange", "hub", "hostile", "indicator", "gate", "log", "membership", "totals")


@dataclass(frozen=True)
class Measure:
    """One ratio of one bench and the limit it has to keep; `path` leads to it in the bench's JSON."""

    bench: str
    path: tuple[str, ...]
    ours: str
    bare: str
    limit: float
    at_least: bool = False

    def held(self, ratio: float) -> bool:
        """Tell whether the limit is kept."""
        return ratio >= self.limit if self.at_least else ratio <= self.limit


_ROWS = import_bench.ROWS
_STAFF = indicator_bench.SIZE
MEASURES = (
    Measure("import", ("csv_ratio",), f"validate and preview {_ROWS:,} csv rows", "the csv module reads them",
            import_bench.LIMITS["csv_ratio"]),
    Measure("import", ("xlsx_ratio",), f"validate and preview {_ROWS:,} xlsx rows", "calamine reads them",
            import_bench.LIMITS["xlsx_ratio"]),
    Measure("import", ("confirm_ratio",), "confirm the import", "core inserts of all rows it writes",
            import_bench.LIMITS["confirm_ratio"]),
    Measure("exchange", ("accept_release", "ratio"), "accept a release of 2,000 observations",
            "verify, parse, validate and insert them", exchange_bench.LIMITS["accept_release"]),
    Measure("exchange", ("signed_pull", "ratio"), "signed pulls of a 290 kB page per second",
            "a bare endpoint that verifies and reads the same bytes", exchange_bench.LIMITS["signed_pull"],
            at_least=True),
    Measure("exchange", ("signed_pull", "to_unsigned_ratio"), "signed pulls of a 290 kB page per second",
            "the same pull without any signature", exchange_bench.LIMITS["unsigned_pull"], at_least=True),
    Measure("hub", ("ratio",), f"a hub pulls {hub_bench.NODES:,} nodes once", "bare fetch and insert of the same bytes",
            hub_bench.LIMITS["ratio"]),
    Measure("hub", ("memory_megabytes",), f"a hub pulls {hub_bench.NODES:,} nodes once", "megabytes of memory",
            hub_bench.LIMITS["memory_megabytes"]),
    Measure("hub", ("dead_p95_ratio",), "p95 of delivery with a tenth of the nodes dead", "with all alive",
            hub_bench.LIMITS["dead_p95_ratio"]),
    Measure("hostile", ("p95_milliseconds",), "p95 of refusing the worst attack", "milliseconds, 16 connections",
            hostile_bench.LIMITS["p95_milliseconds"]),
    Measure("hostile", ("memory_megabytes",), "growth under all attacks", "megabytes of memory",
            hostile_bench.LIMITS["memory_megabytes"]),
    Measure("indicator", ("ratio",), f"all computable tables of {_STAFF:,} staff, one period",
            "DuckDB runs the same statements", indicator_bench.LIMITS["ratio"]),
    Measure("indicator", ("table_by_table_ratio",), f"all computable tables of {_STAFF:,} staff, one period",
            "DuckDB runs one statement a table", indicator_bench.LIMITS["table_by_table_ratio"]),
    Measure("gate", ("ratio",), f"protect a release of {gate_bench.SIZES['small']} staff",
            "one plain audit of the result", gate_bench.LIMITS["ratio"]),
    Measure("log", ("append_ratio",), f"append {log_bench.LEAVES:,} leaves to the log",
            "bare SHA-256 of as many hashes", log_bench.LIMITS["append_ratio"]),
    Measure("log", ("prove_ratio",), "make proofs of inclusion and consistency",
            "bare SHA-256 of as many hashes as their paths have", log_bench.LIMITS["prove_ratio"]),
    Measure("log", ("verify_ratio",), "check these proofs",
            "bare SHA-256 of as many hashes as their paths have", log_bench.LIMITS["verify_ratio"]),
    Measure("membership", ("ratio",), f"refresh a list of {membership_bench.MEMBERS:,} members, nothing changed",
            "python-tuf reads the same metadata, no target", membership_bench.LIMITS["ratio"]),
    Measure("totals", ("sharing_ratio",), f"split, seal, open, check and add {totals_bench.CELLS:,} cells",
            "one ChaCha20 pass and addition", totals_bench.LIMITS["sharing_ratio"]),
    Measure("totals", ("bytes_ratio",), "ciphertext of a contribution", "the raw table of 8 bytes a cell",
            totals_bench.LIMITS["bytes_ratio"]),
    Measure("totals", ("flags_seconds",), "the test on flags, 120 colleges with 2,380 cells", "seconds",
            totals_bench.LIMITS["flags_seconds"]),
)  # fmt: skip


def run_bench(name: str) -> dict[str, Any]:
    """Run one bench in its own process and return its figures; its exit code only repeats what they say."""
    command = [sys.executable, "-m", f"bench.{name}_bench", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        figures: dict[str, Any] = json.loads(done.stdout)
    except ValueError:
        raise SystemExit(f"bench.{name}_bench ended with {done.returncode} and no figures") from None
    return figures


def machine() -> dict[str, str]:
    """Return what the figures depend on and no name of the machine."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        named = [line for line in info.read_text(encoding="utf-8").splitlines() if line.startswith("model name")]
        cpu = named[0].partition(":")[2].strip() if named else cpu
    return {
        "cpu": cpu or platform.machine(),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
    }


def find_ratio(measure: Measure, figures: dict[str, Any]) -> float:
    """Follow a measure's path into the figures of all benches."""
    found: Any = figures[measure.bench]
    for step in measure.path:
        found = found[step]
    return float(found)


def write_page(figures: dict[str, Any], described: dict[str, str]) -> str:
    """Return docs/benchmarks.md."""
    rows = []
    for measure in MEASURES:
        ratio = find_ratio(measure, figures)
        limit = f"{'at least' if measure.at_least else 'at most'} {measure.limit:g}"
        held = "yes" if measure.held(ratio) else "**no**"
        rows.append(f"| {measure.ours} | {measure.bare} | {ratio:.2f} | {limit} | {held} |")
    return "\n".join(
        [
            "# Benchmarks",
            "",
            "Written by `make bench`. Each line is a ratio within one run on one machine: the program against the bare",
            "operation it rests on, the best of several rounds for both.",
            "",
            "| the program | against | ratio | limit | held |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"Machine: {described['cpu']}, {described['cores']} cores, Python {described['python']}.",
            "",
            "## All figures",
            "",
            "```json",
            json.dumps(figures, indent=2),
            "```",
            "",
        ]
    )


def main() -> None:
    """Run all benches, one after the other."""
    figures = {name: run_bench(name) for name in BENCHES}
    described = machine()
    print(json.dumps({"machine": described, **figures}, indent=2))
    PAGE.write_text(write_page(figures, described), encoding="utf-8")
    sys.exit(not all(measure.held(find_ratio(measure, figures)) for measure in MEASURES))


if __name__ == "__main__":
    main()
