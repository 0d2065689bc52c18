"""Start-up guard: the import names `node`, `federation` and `schemas` must be this program's alone.

The registry has other packages of these names. Installed beside us they would mix their modules with ours, so the
program owns its environment and refuses to run in a shared one.
"""

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import Distribution

from federation.errors import Conflict

NAMES = ("node", "federation", "schemas")
DISTRIBUTION = "gonghui-node"


def find_owners(distributions: Iterable[Distribution]) -> dict[str, list[str]]:
    """Return which of these distributions own our import names.

    As `importlib.metadata.packages_distributions`, which takes every list of files apart: a third of a command's start.
    """
    owners: dict[str, list[str]] = {}
    for distribution in distributions:
        files = "\n" + (distribution.read_text("RECORD") or "")
        declared = (distribution.read_text("top_level.txt") or "").split()
        for name in NAMES:
            if name in declared or f"\n{name}/" in files or f"\n{name}.py," in files:
                owners.setdefault(name, []).append(distribution.name)
    return owners


def check_owners(distributions: Mapping[str, Sequence[str]]) -> None:
    """Raise Conflict where another distribution owns one of our import names.

    `distributions` maps import name -> distributions.
    """
    for name in NAMES:
        others = sorted({owner for owner in distributions.get(name, ()) if owner.lower() != DISTRIBUTION})
        if others:
            raise Conflict(
                "import-name-taken",
                f"本环境里的软件包 {others[0]} 也占用模块名 {name}。请卸载它，或为本程序单独建一个虚拟环境。",
                f"The package {others[0]} in this environment also owns the module name {name}. Uninstall it, or give "
                "this program a virtual environment of its own.",
            )
