"""Sign-in: the throttle under attempts at once, idle time, and answers that tell nothing."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from argon2 import PasswordHasher, extract_parameters
from argon2.low_level import Type
from sqlmodel import select

from federation.errors import NotPermitted
from node.access import passwords
from node.access.models import Account, LoginFailure, WebSession
from node.access.permissions import Actor
from node.access.sign_in import SESSION_HOURS, find_session, sign_in, sign_out
from node.config import Settings
from node.context import Node
from tests.access.conftest import PASSWORD, Turn, add_person


def attempt(node: Node, password: str, name: str = "zhang") -> str:
    try:
        sign_in(node, name, password)
    except NotPermitted as error:
        return error.code
    return "in"


def test_the_real_hash_is_argon2id_of_strength() -> None:
    stored = passwords.hash_password(PASSWORD)
    parameters = extract_parameters(stored)
    assert parameters.type is Type.ID
    assert parameters.memory_cost >= 19_456, "19 MiB"
    assert parameters.time_cost >= 2
    assert passwords.verify_password(stored, PASSWORD)
    assert not passwords.verify_password(stored, PASSWORD + "x")
    assert not passwords.verify_password("", "nobody's password"), "an account without a password has none"


def test_a_weak_hash_is_made_anew_at_sign_in(node: Node, admin: Actor) -> None:
    zhang = add_person(node, admin, "zhang", "officer")
    old = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with node.database.write() as session:
        session.get_one(Account, zhang).password_hash = old
    assert attempt(node, PASSWORD) == "in"
    with node.database.read() as session:
        stored = session.get_one(Account, zhang).password_hash
    assert stored != old
    assert attempt(node, PASSWORD) == "in"


def test_failures_lock_a_name_for_a_while(node: Node, admin: Actor, turn: Turn) -> None:
    add_person(node, admin, "zhang", "officer")
    add_person(node, admin, "li", "officer")
    assert [attempt(node, "wrong") for _ in range(6)] == ["sign-in-failed"] * 5 + ["sign-in-locked"]
    assert attempt(node, PASSWORD) == "sign-in-locked", "the right password must not tell itself"
    assert attempt(node, PASSWORD, "li") == "in"
    turn.on(600)
    assert attempt(node, "wrong") == "sign-in-locked"
    turn.on(300)
    assert attempt(node, PASSWORD) == "in", "trying while locked did not prolong it"
    assert [attempt(node, "wrong") for _ in range(4)] == ["sign-in-failed"] * 4
    assert attempt(node, PASSWORD) == "in"
    assert attempt(node, "wrong") == "sign-in-failed", "success clears the count"


def test_attempts_at_once_do_not_slip_through(node: Node, admin: Actor) -> None:
    add_person(node, admin, "zhang", "officer")
    with ThreadPoolExecutor(8) as pool:
        said = list(pool.map(lambda _: attempt(node, "wrong"), range(24)))
    assert said.count("sign-in-failed") == node.settings.web.login_attempts


def test_names_that_are_not_there_are_answered_and_counted_alike(node: Node, admin: Actor) -> None:
    add_person(node, admin, "zhang", "officer")
    texts = []
    for name in ("zhang", "nobody"):
        with pytest.raises(NotPermitted) as caught:
            sign_in(node, name, "wrong")
        texts.append((caught.value.code, caught.value.text))
    assert texts[0] == texts[1]
    assert [attempt(node, "wrong", "nobody") for _ in range(5)][-1] == "sign-in-locked"
    with node.database.read() as session:
        assert "zhang" not in str(session.exec(select(LoginFailure)).all())


def test_a_session_ends_when_idle_when_old_and_on_sign_out(node: Node, admin: Actor, turn: Turn) -> None:
    zhang = add_person(node, admin, "zhang", "officer")
    node = replace(node, settings=Settings.model_validate({"web": {"session_idle_seconds": 600}}))
    cookie = sign_in(node, "zhang", PASSWORD)
    found = find_session(node, cookie)
    assert found is not None
    assert found.actor == Actor(zhang, "zhang", "officer")
    assert len(found.csrf) >= 32
    assert find_session(node, found.csrf) is None
    assert find_session(node, "") is None
    for _ in range(SESSION_HOURS * 8 - 1):  # every seven and a half minutes: never idle
        turn.on(450)
        assert find_session(node, cookie) is not None
    turn.on(450)
    assert find_session(node, cookie) is None, "twelve hours are the most"
    cookie = sign_in(node, "zhang", PASSWORD)
    turn.on(599)
    assert find_session(node, cookie) is not None
    turn.on(600)
    assert find_session(node, cookie) is None
    cookie = sign_in(node, "zhang", PASSWORD)
    sign_out(node, cookie)
    sign_out(node, cookie)
    assert find_session(node, cookie) is None
    with node.database.read() as session:
        assert cookie not in str(session.exec(select(WebSession)).all())
