"""A node as its API shows it to one account: bearer token, JSON, problems as errors."""

from pathlib import Path
from typing import Any

import httpx

from node.demo.words import DemoFailed

_SECONDS = 120.0
API = "/api/v1"
_EXIT_CODES = {400: 2, 401: 4, 403: 4, 409: 7, 413: 3, 422: 3, 502: 6, 503: 8}


class Api:
    """The JSON API of one node. `token` is that of the account that acts; each call may name another."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url
        self._token = token
        self._client = httpx.Client(base_url=url, timeout=_SECONDS, trust_env=False)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def get(self, path: str, *, token: str = "", **query: str) -> Any:
        """Return what stands at `/api/v1{path}`; raise DemoFailed where the node says no."""
        return self._ask("GET", path, token, params=query)

    def fetch(self, path: str, *, token: str = "") -> bytes:
        """Return the bytes that stand at `/api/v1{path}`; raise DemoFailed where the node says no."""
        return self._answer("GET", path, token).content

    def post(self, path: str, body: object = None, *, token: str = "") -> Any:
        """Send a JSON body to `/api/v1{path}`; raise DemoFailed where the node says no."""
        return self._ask("POST", path, token, json={} if body is None else body)

    def send(self, path: str, file: Path, *, token: str = "", **values: str) -> Any:
        """Send a file with form values to `/api/v1{path}`; raise DemoFailed where the node says no."""
        return self._ask("POST", path, token, files={"file": (file.name, file.read_bytes())}, data=values)

    def _ask(self, method: str, path: str, token: str, **sent: Any) -> Any:
        answer = self._answer(method, path, token, **sent)
        return answer.json() if answer.content else None

    def _answer(self, method: str, path: str, token: str, **sent: Any) -> httpx.Response:
        try:
            answer = self._client.request(
                method, API + path, headers={"Authorization": f"Bearer {token or self._token}"}, **sent
            )
        except httpx.HTTPError as error:
            raise DemoFailed(
                "node-unreachable",
                f"{self.url} 没有应答（{type(error).__name__}）。",
                f"{self.url} did not answer ({type(error).__name__}).",
                exit_code=6,
            ) from error
        if answer.is_success:
            return answer
        raise _problem(f"{method} {path}", answer)


def _problem(asked: str, answer: httpx.Response) -> DemoFailed:
    """Return the node's own problem document as an error, with what was asked."""
    try:
        told = answer.json()
    except ValueError:
        told = {}
    code = str(told.get("code", f"http-{answer.status_code}"))
    english = str(told.get("title", answer.reason_phrase))
    return DemoFailed(
        code,
        f"{asked}：{told.get('title_zh', english)}",
        f"{asked}: {english}",
        exit_code=_EXIT_CODES.get(answer.status_code, 1),
    )
