"""`gonghui bundle`: the exchange by stick or mail, one file with a summary on paper."""

from contextlib import ExitStack
from pathlib import Path
from typing import IO, Annotated

import typer

from federation.errors import InputRefused, TrustError, UsageError
from federation.parcel import EVERYBODY
from federation.spoken import spoken
from node.cli.files import new_file
from node.cli.state import OUT, State, print_json, print_table
from node.exchange.bundles import (
    Bundle,
    export_bundle,
    import_bundle,
    show_bundle,
    summary_of,
    titles_of,
    write_parts,
)
from node.exchange.explain import explain
from node.exchange.unpacking import Taken
from node.handlers import HANDLERS

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]


@app.command(epilog="Example: gonghui bundle export --to n-… --out stick/to-hub.bundle")
def export(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="写入的新文件 / new file to write")],
    to: Annotated[str, typer.Option(metavar="ID", help="交给哪个节点 / for which node (n-…)")] = "",
    everybody: Annotated[bool, typer.Option("--all", help="给全体成员 / for every member")] = False,
    part_bytes: Annotated[int, typer.Option(min=0, help="每个文件约多少字节，0 不分 / bytes a file, 0: one file")] = 0,
    as_json: Json = False,
) -> None:
    """导出数据包，并写出可打印的说明 FILE.txt / pack what waits, and write a summary to print."""
    if bool(to) == everybody:
        raise UsageError("bundle-audience", "请写 --to 节点编号，或 --all。", "Give --to with a node's id, or --all.")
    state: State = context.obj
    bundle = export_bundle(state.node, state.actor, EVERYBODY if everybody else to)
    parts = write_parts(out, bundle, part_bytes)
    paper = out.with_name(out.name + ".txt")
    text = summary_of(bundle, [(path.name, data) for path, data in parts], titles_of(state.node))
    with ExitStack() as files:
        for path, data in [*parts, (paper, text.encode())]:
            files.enter_context(new_file(path, 0o600)).write(data)
    if as_json:
        print_json(_told(bundle) | {"files": [str(path) for path, _ in parts], "summary": str(paper)})
        return
    OUT.print(text, markup=False, highlight=False)


@app.command("import", epilog="Example: gonghui bundle import stick/*.bundle")
def import_(
    context: typer.Context,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE…", help="数据包文件 / bundle files")],
    as_json: Json = False,
) -> None:
    """导入数据包；顺序不限，可以重复 / take bundles in, in any order, twice without harm."""
    state: State = context.obj
    taken = Taken()
    for path in paths:
        with _open(path) as file:
            taken.add(import_bundle(state.node, state.actor, file, HANDLERS))
    if as_json:
        print_json(taken.as_json())
        return
    rows = [[f"条目 / records: {verdict}", count] for verdict, count in sorted(taken.records.items())]
    rows += [["回执 / receipts", taken.receipts], ["转交 / passed on", taken.passed_on]]
    rows += [[explain(code).in_language(state.language), count] for code, count in sorted(taken.codes.items())]
    print_table("导入 / imported", ["", ""], rows)


@app.command(epilog="Example: gonghui bundle show stick/to-hub.bundle --json")
def show(
    context: typer.Context,
    path: Annotated[Path, typer.Argument(metavar="FILE", help="数据包文件 / bundle file")],
    as_json: Json = False,
) -> None:
    """查看数据包而不导入 / look at a bundle without taking anything in. Exit 5: something in it does not hold."""
    state: State = context.obj
    with _open(path) as file:
        preview = show_bundle(state.node, state.actor, file)
    bad = next((row["code"] for row in preview.parcels if row["code"]), "")
    if as_json:
        print_json(vars(preview))
        raise typer.Exit(TrustError.exit_code if bad else 0)
    digest = " ".join(preview.sha256[start : start + 4] for start in range(0, 64, 4))
    words = spoken(preview.sha256)
    OUT.print(f"SHA-256 {digest}\n{words}\n{preview.size_bytes} 字节 / bytes", highlight=False)
    columns = ["name", "origin", "audience", "number", "issued_at", "items", "files", "code"]
    print_table("包裹 / parcels", columns, [[row[name] for name in columns] for row in preview.parcels])
    if bad:
        OUT.print(explain(bad).in_language(state.language), markup=False, highlight=False)
    raise typer.Exit(TrustError.exit_code if bad else 0)


def _told(bundle: Bundle) -> dict[str, object]:
    return {
        "from": bundle.origin,
        "to": bundle.audience,
        "number": bundle.number,
        "parcels": len(bundle.parcels),
        "records": bundle.records,
        "receipts": bundle.receipts,
    }


def _open(path: Path) -> IO[bytes]:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputRefused(
            "file-unreadable", f"读不到 {path}：{error.strerror}。", f"Cannot read {path}: {error.strerror}."
        ) from error
