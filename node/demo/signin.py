"""A password by the one-time link, through the page that a person would see in the browser."""

import re
import secrets

import httpx

from node.demo.words import DemoFailed

_FIELD = re.compile(r'<input[^>]*name="csrf"[^>]*value="([^"]+)"')
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"  # none that looks like another


def new_password() -> str:
    """Return a password to print: four groups of four that can be typed."""
    return "-".join("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(4))


def set_password(url: str, setup_path: str, password: str) -> None:
    """Open the link and fill in its form; raise DemoFailed where the page does not take it."""
    with httpx.Client(base_url=url, timeout=60.0, trust_env=False) as browser:
        page = browser.get(setup_path)
        field = _FIELD.search(page.text)
        values = {"password": password, "again": password, "csrf": field[1] if field else ""}
        done = browser.post(setup_path, data=values)
    if page.status_code != 200 or done.status_code != 303:  # on success it leads to the sign-in page
        raise DemoFailed(
            "password-not-set",
            f"未能在 {url} 设置密码（{page.status_code}、{done.status_code}）。",
            f"The password could not be set at {url} ({page.status_code}, {done.status_code}).",
        )
