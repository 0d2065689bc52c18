"""The hub's machine is gone for good, with all it knew: officers name another, and members bring it what they hold."""

from sqlmodel import select

from federation.changes import describe, hand_over
from federation.drafts import propose, read_outcome, sign_draft, write_draft
from node.context import Node
from node.exchange import desk
from node.stream.models import OutboxItem, Peer, StoredRecord
from tests.exchange.conftest import sample_schema  # noqa: F401  fixture
from tests.exchange.federated import Union
from tests.faults.test_year import database, union  # noqa: F401  fixtures
from tests.sync.conftest import net, world  # noqa: F401  fixtures


def held(node: Node, origin: Node) -> list[tuple[str, int]]:
    with node.database.read() as session:
        rows = session.exec(select(StoredRecord).where(StoredRecord.origin == origin.node_id)).all()
    return sorted((row.stream, row.sequence) for row in rows)


def test_a_hub_lost_for_good_is_replaced_and_nothing_is_lost(union: Union) -> None:  # noqa: F811
    ann, ben, cat = (union.enrol() for _ in range(3))
    world_, net_ = union.net.world, union.net
    net_.listen(ben, "ben")
    union.change(describe(ben.node_id, url="http://ben"))
    for number, college in enumerate((ann, ben, cat)):
        for n in range(3):
            world_.append(college, 10 * number + n)
        world_.append(college, 100 + number, stream="hub")
        net_.run(college)
    for college in (ann, ben, cat):
        net_.run(college)
    old = union.hub.node_id
    world_.append(ann, 50)  # written, and never delivered
    world_.append(cat, 51, stream="hub")
    net_.apps.pop("hub")
    union.hub.database.close()
    assert [result.state for result in net_.run(ann)] == ["failed"]
    # two officers, with the list as any member holds it, name the college that listens
    known = union.held(ann)
    keyid = ben.signer.public_key.keyid
    draft = propose(known, hand_over(ben.node_id, keyid), now=world_.clock())
    for signer in union.officers[1:]:
        draft = sign_draft(known, draft, signer, seen=read_outcome(known, draft))
    assert desk.receive_draft(ben, write_draft(draft), world_.handlers)["state"] == "published"
    for college in (ann, cat):
        assert union.refresh(college) == ""
        [result] = net_.run(college)
        assert (result.peer_id, result.code) == (ben.node_id, "")
    net_.run(ann)
    for origin in (ann, cat):
        assert held(ben, origin) == held(origin, origin), "the new hub has all that was for the hub or for all"
    for reader, origin in ((ann, ben), (ann, cat), (cat, ann), (cat, ben)):
        for_all = [place for place in held(origin, origin) if place[0] == "all"]
        assert [place for place in held(reader, origin) if place[0] == "all"] == for_all
    for college in (ann, cat):
        with college.database.read() as session:
            items = session.exec(select(OutboxItem)).all()
            assert {item.state for item in items} == {"delivered"}, "nothing waits for one who will not come back"
            assert not session.get_one(Peer, (union.federation, old)).is_hub
