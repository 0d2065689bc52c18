"""A generated college's next month, protected together with the months behind it and audited from outside.

    python -m bench.history_bench [--staff N] [--months N] [--json]

40 dataflows and some 2,600 published or withheld cells a month. `months` lie behind the one that is measured (24 is
what a college has after two years; each costs as much as the one before, so the default is small). What is asked for:
the next month in 10 seconds, all months anew in 300. It is no part of `make bench` while it does not hold.
"""

import time

from bench.college import College, contents_of, draft, published
from bench.telling import tell
from federation.history import audit_history
from federation.publications import Publication
from node.indicators.gate import protect_figures

LIMITS = {"next_month_seconds": 10.0, "cold_audit_seconds": 300.0}


def run(staff: int, months: int) -> dict[str, float]:
    """Return the processor time of protecting the last month, of protecting all, and of the audit of all."""
    college = College(staff, 1)
    past: list[Publication] = []
    spent = []
    observations: list[str] = []
    for number in range(months + 1):
        if number:
            college.pass_month()
        figures = college.figures()
        start = time.process_time()
        decision = protect_figures(college.catalogue, figures, draft(figures, number), b"bench", past=past, insiders=2)
        spent.append(time.process_time() - start)
        contents = contents_of(college.catalogue, decision, number)
        observations = [told["status"] for content in contents for told in content["observations"]]
        past.append(published(college.catalogue, contents, figures))
    start = time.process_time()
    found = audit_history(college.catalogue, past)
    return {
        "staff": staff,
        "months_behind": months,
        "cells": len(observations),
        "withheld": observations.count("Q"),
        "first_month_seconds": round(spent[0], 1),
        "next_month_seconds": round(spent[-1], 1),
        "all_months_seconds": round(sum(spent), 1),
        "cold_audit_seconds": round(time.process_time() - start, 1),
        "open": len(found.findings),
    }


if __name__ == "__main__":
    tell(run, LIMITS, __doc__, staff=1500, months=1)
