"""A signing key in a security module, through PKCS#11 and securesystemslib's `HSMSigner` (ECDSA P-256 and P-384 only).

The key never leaves the module. The library logs in for each signature, and a login belongs to the whole process:
two threads at once would find "already logged in", so they take turns here. Its module is named to the library by
an environment variable of this process (`PYKCS11LIB`); there is no other way.
"""

import os
import threading
from typing import Any

from securesystemslib.exceptions import UnsupportedLibraryError
from securesystemslib.signer import HSMSigner, Key, SecretsHandler, Signature, Signer

from federation.errors import StorageError, UsageError
from node.config import KeysSection

_TURN = threading.Lock()
_PROBE = b"gonghui: does this key sign?"  # no DSSE encoding, so never a document


class TokenSigner(Signer):
    """A key of a security module: one signature at a time, every fault an error with its mend."""

    def __init__(self, inner: HSMSigner) -> None:
        self._inner = inner

    @property
    def public_key(self) -> Key:
        """Return the public half, as the module told it when this signer was opened."""
        return self._inner.public_key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> "TokenSigner":
        """Open the key that a URI of securesystemslib names."""
        return cls(HSMSigner.from_priv_key_uri(priv_key_uri, public_key, secrets_handler))

    def sign(self, payload: bytes) -> Signature:
        """Return the signature of `payload`; raise StorageError where the module does not sign."""
        with _TURN:
            try:
                return self._inner.sign(payload)
            except _faults() as error:
                raise _unavailable(error) from None


def open_token_signer(keys: KeysSection, pin: str) -> TokenSigner:
    """Find the key that `[keys]` names; raise UsageError where the library or the PIN is missing, StorageError else."""
    if not pin:
        raise UsageError(
            "pin-missing",
            "缺少加密机 PIN：请设置 [keys] pkcs11_pin_file、systemd 凭据 gonghui-pin 或环境变量 GONGHUI_PKCS11_PIN。",
            "No PIN: set [keys] pkcs11_pin_file, the systemd credential gonghui-pin or GONGHUI_PKCS11_PIN.",
        )
    os.environ["PYKCS11LIB"] = keys.pkcs11_module
    with _TURN:
        try:
            uri, public_key = HSMSigner.import_(keys.pkcs11_key, keys.pkcs11_token or None, lambda _: pin)
        except UnsupportedLibraryError as error:
            raise UsageError(
                "pkcs11-not-installed",
                '没有安装 PKCS#11 支持，请运行 pip install "gonghui-node[pkcs11]"。',
                'PKCS#11 is not installed; run: pip install "gonghui-node[pkcs11]".',
            ) from error
        except _faults() as error:
            raise _unavailable(error) from None
    signer = TokenSigner.from_priv_key_uri(uri, public_key, lambda _: pin)
    signer.sign(_PROBE)  # a wrong PIN is told once and now; repeated by a scheduler it would lock the token
    return signer


def _faults() -> tuple[type[Exception], ...]:
    """Return what the libraries raise; of PKCS#11's own errors, which are there only where the extra is installed."""
    try:
        from pkcs11.exceptions import PKCS11Error
    except ImportError:
        return (ValueError, RuntimeError)
    known: tuple[Any, ...] = (ValueError, RuntimeError, PKCS11Error)
    return known


def _unavailable(error: Exception) -> StorageError:
    """Return what a person can do; the library's own text is not shown, its kind is."""
    kind = type(error).__name__
    return StorageError(
        "token-unavailable",
        f"加密机无法签名（{kind}）。请检查 [keys] pkcs11_module、pkcs11_token、pkcs11_key 和 PIN。",
        f"The security module does not sign ({kind}). Look at [keys] pkcs11_module, pkcs11_token, pkcs11_key and PIN.",
    )
