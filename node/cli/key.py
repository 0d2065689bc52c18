"""`gonghui key`: the files of this node's own keys. A passphrase, a PIN or a share never stands on the command line."""

from pathlib import Path
from typing import Annotated

import typer

from federation.errors import StorageError, UsageError
from federation.keys import ED25519, SCHEMES, fingerprint
from node import keycare
from node.cli.files import new_file
from node.cli.state import OUT, State, print_json
from node.config import load_settings
from node.keyring import sync_folder

app = typer.Typer(no_args_is_help=True)
Json = Annotated[bool, typer.Option("--json", help="输出 JSON / print JSON")]
BACKUP_FILE = "keys.backup"


@app.command(epilog="Example: gonghui key show")
def show(context: typer.Context, as_json: Json = False) -> None:
    """显示本节点公钥的指纹与算法 / show fingerprint and algorithm of this node's keys."""
    state: State = context.obj
    key = state.node.signer.public_key
    told = {
        "id": state.node.node_id,
        "algorithm": key.scheme,
        "fingerprint": fingerprint(key),
        "sealing_key": state.node.sealing_key,
        "older_sealing_keys": max(len(state.node.sealing_keys) - 1, 0),
        "kept_in": "pkcs11" if state.node.settings.keys.pkcs11_module else "file",
    }
    if as_json:
        print_json(told)
        return
    for name, value in told.items():
        OUT.print(f"{name:20} {value}", markup=False, highlight=False)


@app.command(epilog="Example: gonghui key new")
def new(
    context: typer.Context,
    key_algorithm: Annotated[str, typer.Option(help="算法 / algorithm: " + ", ".join(SCHEMES))] = ED25519,
    as_json: Json = False,
) -> None:
    """签名密钥遗失且无备份时，生成新的；然后 gonghui enrol replace / make a key where the old one is lost for good."""
    state: State = context.obj
    if key_algorithm not in SCHEMES:
        raise UsageError(
            "key-algorithm",
            f"没有密钥算法 {key_algorithm}，可选：{'、'.join(SCHEMES)}。",
            f"There is no key algorithm {key_algorithm}; choose one of {', '.join(SCHEMES)}.",
        )
    made = keycare.make_signing_key(state.config.resolve().parent, load_settings(state.config).keys, key_algorithm)
    if as_json:
        print_json({"keyid": made.keyid, "algorithm": made.scheme, "fingerprint": fingerprint(made)})
        return
    OUT.print(f"新密钥指纹 / fingerprint of the new key: {fingerprint(made)}", markup=False, highlight=False)
    OUT.print("请运行 / now run: gonghui enrol replace", markup=False, highlight=False)


@app.command(epilog="Example: gonghui key protect")
def protect(context: typer.Context, as_json: Json = False) -> None:
    """用口令加密密钥文件；口令来自文件、systemd 凭据或环境变量 / lock the key files under the configured passphrase."""
    _tell_changed(keycare.protect(context.obj.node, context.obj.actor), as_json=as_json)


@app.command(epilog="Example: gonghui key unprotect")
def unprotect(context: typer.Context, as_json: Json = False) -> None:
    """去掉密钥文件的口令 / write the key files without a passphrase again."""
    _tell_changed(keycare.unprotect(context.obj.node, context.obj.actor), as_json=as_json)


@app.command("rotate-seal", epilog="Example: gonghui key rotate-seal")
def rotate_seal(context: typer.Context, as_json: Json = False) -> None:
    """更换解密密钥，旧的保留 / make a new sealing key; the old ones stay and open what was sealed to them."""
    public = keycare.rotate_sealing_key(context.obj.node, context.obj.actor)
    if as_json:
        print_json({"sealing_key": public})
        return
    OUT.print(f"新解密公钥 / new sealing key: {public}", markup=False, highlight=False)
    OUT.print("正在运行的节点须重启；请把新公钥登记到成员名录，并重新备份密钥。")
    OUT.print("Restart a running node, have the member list name the new key, and back the keys up again.")


@app.command(epilog="Example: gonghui key backup --shares 5 --threshold 3 --out keys-backup")
def backup(
    context: typer.Context,
    out: Annotated[Path, typer.Option(help="新目录 / new folder to write into")],
    shares: Annotated[int, typer.Option(help="份数 / number of shares")] = 5,
    threshold: Annotated[int, typer.Option(help="恢复所需份数 / shares needed to restore")] = 3,
    as_json: Json = False,
) -> None:
    """备份全部密钥：一个加密文件，口令词分成 n 份 / back all keys up: one locked file, its key in n shares."""
    state: State = context.obj
    made = keycare.back_up(state.node, state.actor, shares=shares, threshold=threshold)
    try:
        out.mkdir(mode=0o700)
    except OSError as error:
        raise StorageError(
            "folder-unwritable", f"不能新建目录 {out}：{error.strerror}。", f"Cannot make {out}: {error.strerror}."
        ) from error
    names = [BACKUP_FILE]
    with new_file(out / BACKUP_FILE, 0o600) as file:
        file.write(made.locked)
    for number, words in enumerate(made.shares, 1):
        names.append(f"share-{number}.txt")
        with new_file(out / names[-1], 0o600) as file:
            file.write((_on_paper(state, number, threshold, shares) + words + "\n").encode())
    sync_folder(out)
    keycare.note_backup(state.node, state.actor, made)
    if as_json:
        print_json({"folder": str(out), "files": names, "holds": made.files})
        return
    OUT.print(f"已写入 / written: {out}", markup=False, highlight=False)
    OUT.print(f"每份打印后交给不同的人，随后删除文件；任意 {threshold} 份加 {BACKUP_FILE} 可恢复。")
    OUT.print(f"Print each share for another person, then delete its file; any {threshold} and {BACKUP_FILE} restore.")


def _on_paper(state: State, number: int, threshold: int, shares: int) -> str:
    """Return the head of a share: what it is, and for which key. Lines with # are skipped when it is read."""
    return (
        f"# {state.node.settings.node.name} {state.node.node_id}\n"
        f"# 密钥份额 / share {number} of {shares}; {threshold} are needed\n"
        f"# {fingerprint(state.node.signer.public_key)}\n"
        f"# gonghui key restore {BACKUP_FILE} --share FILE ...\n"
    )


@app.command(
    epilog="Example: gonghui key restore keys.backup --share share-1.txt --share share-2.txt --share share-4.txt"
)
def restore(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="备份文件 / the locked file of the backup")],
    share: Annotated[list[Path], typer.Option(help="份额文件，可多个 / file with one share; give several")],
    as_json: Json = False,
) -> None:
    """把密钥恢复到配置所在目录 / write the keys of a backup into the folder of --config; overwrites nothing."""
    state: State = context.obj
    folder = state.config.resolve().parent
    keys = load_settings(state.config).keys
    words = [_words(path) for path in share]
    _tell_changed(keycare.restore(folder, keys, _bytes(file), words), as_json=as_json)


def _words(path: Path) -> str:
    try:
        text = _bytes(path).decode()
    except UnicodeDecodeError:
        raise UsageError("share-unreadable", f"{path} 不是文本。", f"{path} is no text.") from None
    return " ".join(line for line in text.splitlines() if not line.startswith("#"))


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError("file-unreadable", f"读不到文件 {path}。", f"Cannot read {path}.") from error


def _tell_changed(names: list[str], *, as_json: bool) -> None:
    if as_json:
        print_json({"changed": names})
    else:
        OUT.print(f"已改写 / written: {', '.join(names) or '—'}", markup=False, highlight=False)
