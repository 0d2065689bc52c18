"""Accounts: names, roles, the last administrator, links that count once, and who may not touch any of it."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from federation.errors import Conflict, GonghuiError, InputRefused, NotPermitted
from node.access import accounts, passwords
from node.access.models import Account, SetupLink
from node.access.permissions import ROLES, Actor
from node.access.setup import SETUP_HOURS, SETUP_PATH
from node.access.sign_in import find_session, sign_in
from node.audit.models import AuditEntry
from node.context import Node
from tests.access.conftest import PASSWORD, Turn, add_person


def secret_of(link: str) -> str:
    assert link.startswith(SETUP_PATH)
    return link.removeprefix(SETUP_PATH)


def test_only_the_administrator_keeps_accounts(node: Node, admin: Actor) -> None:
    account, _ = accounts.add_account(node, admin, "zhang", "officer")
    for role in ROLES:
        actor = Actor("a-x", "x", role)
        calls = (
            lambda actor=actor: accounts.list_accounts(node, actor),
            lambda actor=actor: accounts.get_account(node, actor, account.id),
            lambda actor=actor: accounts.new_token(node, actor, account.id),
            lambda actor=actor: accounts.new_setup_link(node, actor, account.id),
            lambda actor=actor: accounts.set_role(node, actor, account.id, "viewer"),
            lambda actor=actor: accounts.set_active(node, actor, account.id, active=False),
            lambda actor=actor, role=role: accounts.add_account(node, actor, f"y{role}", "viewer"),
        )
        for call in calls:
            if role == "admin":
                call()
                continue
            with pytest.raises(NotPermitted) as caught:
                call()
            assert caught.value.code == "not-permitted"


@pytest.mark.parametrize("name", ["", " ", "a b", "<b>", "x" * 41, "-x", "张\n三", "a\u202eb"])
def test_names_that_are_refused(node: Node, admin: Actor, name: str) -> None:
    with pytest.raises(InputRefused, match="account-name"):
        accounts.add_account(node, admin, name, "viewer")


def test_names_and_roles(node: Node, admin: Actor) -> None:
    account, _ = accounts.add_account(node, admin, " 张三＠工会 ", "officer")
    assert account.name == "张三@工会"
    assert accounts.find_account_id(node, admin, "张三＠工会") == account.id
    for name in ("张三@工会", "ADMIN"):
        with pytest.raises(Conflict, match="account-exists"):
            accounts.add_account(node, admin, name, "viewer")
    with pytest.raises(InputRefused, match="role-unknown"):
        accounts.add_account(node, admin, "li", "root")
    with pytest.raises(InputRefused, match="account-unknown"):
        accounts.find_account_id(node, admin, "nobody")
    assert [item.name for item in accounts.list_accounts(node, admin)] == ["admin", "张三@工会"]


def test_a_link_counts_once_and_until_it_expires(node: Node, admin: Actor, turn: Turn) -> None:
    account, first = accounts.add_account(node, admin, "zhang", "officer")
    second = accounts.new_setup_link(node, admin, account.id)
    with pytest.raises(NotPermitted, match="setup-link-void"):
        passwords.redeem_setup_link(node, secret_of(first), PASSWORD)
    for bad, code in (("short", "length"), ("x" * 201, "length"), ("aaaaaaaaaaaa", "simple"), ("1234567890", "simple"),
                      ("zhang-12", "length"), ("zhang-Zhang1", "is-name")):  # fmt: skip
        with pytest.raises(InputRefused, match=f"password-{code}"):
            passwords.redeem_setup_link(node, secret_of(second), bad)
    assert passwords.find_setup_name(node, secret_of(second)) == "zhang"
    assert passwords.redeem_setup_link(node, secret_of(second), PASSWORD) == "zhang"
    with pytest.raises(NotPermitted, match="setup-link-void"):
        passwords.redeem_setup_link(node, secret_of(second), PASSWORD + "2")
    sign_in(node, "zhang", PASSWORD)
    third = accounts.new_setup_link(node, admin, account.id)
    turn.on(SETUP_HOURS * 3600)
    with pytest.raises(NotPermitted, match="setup-link-void"):
        passwords.find_setup_name(node, secret_of(third))


def test_two_who_use_one_link_at_once_are_one(node: Node, admin: Actor) -> None:
    _, link = accounts.add_account(node, admin, "zhang", "officer")

    def redeem(number: int) -> str:
        try:
            return passwords.redeem_setup_link(node, secret_of(link), f"{PASSWORD}{number}")
        except GonghuiError as error:
            return error.code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(redeem, range(4))) == ["setup-link-void"] * 3 + ["zhang"]


def test_the_last_administrator_stays(node: Node, admin: Actor) -> None:
    with pytest.raises(Conflict, match="last-admin"):
        accounts.set_active(node, admin, "a-admin", active=False)
    with pytest.raises(Conflict, match="last-admin"):
        accounts.set_role(node, admin, "a-admin", "viewer")
    other, _ = accounts.add_account(node, admin, "other", "admin")
    both = ["a-admin", other.id]

    def close(account_id: str) -> str:
        try:
            accounts.set_active(node, admin, account_id, active=False)
        except Conflict as error:
            return error.code
        return "closed"

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(close, both)) == ["closed", "last-admin"]


def test_what_takes_a_right_away_ends_sessions(node: Node, admin: Actor) -> None:
    zhang = add_person(node, admin, "zhang", "officer")
    cookie = sign_in(node, "zhang", PASSWORD)
    accounts.set_role(node, admin, zhang, "viewer")
    assert find_session(node, cookie) is None
    cookie = sign_in(node, "zhang", PASSWORD)
    link = accounts.new_setup_link(node, admin, zhang)
    assert find_session(node, cookie) is not None, "a link alone changes nothing"
    passwords.redeem_setup_link(node, secret_of(link), PASSWORD + "2")
    assert find_session(node, cookie) is None
    cookie = sign_in(node, "zhang", PASSWORD + "2")
    accounts.set_active(node, admin, zhang, active=False)
    assert find_session(node, cookie) is None
    with pytest.raises(NotPermitted, match="sign-in-failed"):
        sign_in(node, "zhang", PASSWORD + "2")
    accounts.set_active(node, admin, zhang, active=True)
    sign_in(node, "zhang", PASSWORD + "2")


def test_no_secret_is_stored_and_all_is_audited(node: Node, admin: Actor) -> None:
    account, link = accounts.add_account(node, admin, "zhang", "officer")
    token = accounts.new_token(node, admin, account.id)
    with node.database.read() as session:
        assert secret_of(link) not in str(session.exec(select(SetupLink)).all())
        assert token not in str(session.exec(select(Account)).all())
    passwords.redeem_setup_link(node, secret_of(link), PASSWORD)
    with node.database.read() as session:
        assert PASSWORD not in str(session.exec(select(Account)).all())
        entries = session.exec(select(AuditEntry).order_by(AuditEntry.id)).all()  # type: ignore[arg-type]
    assert [(entry.account_id, entry.action) for entry in entries] == [
        ("a-admin", "user.add"),
        ("a-admin", "user.token"),
        (account.id, "user.password"),
    ]
    assert "zhang" not in str(entries), "an account's name is a person's"
