"""How a bench tells its ratios on the command line: as text or JSON, and by its exit code."""

import argparse
import json
from collections.abc import Callable, Mapping


def tell(run: Callable[..., dict[str, float]], limits: Mapping[str, float], about: str | None, **sizes: int) -> None:
    """Run a bench and print its figures; end with 1 where one is above its limit. `sizes` become options."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--json", action="store_true")
    for name, size in sizes.items():
        parser.add_argument(f"--{name}", type=int, default=size)
    options = parser.parse_args()
    result = run(*(getattr(options, name) for name in sizes))
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:32} {value}")
    raise SystemExit(any(result[name] > limit for name, limit in limits.items()))
