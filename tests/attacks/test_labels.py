"""What a reason beside a withheld cell would tell: "too small" says 1 to 4, "protects another" says 5 or more.

Outside the node there is one status, so nobody has these bounds. The control is a node that says which.
"""

from collections.abc import Callable

from federation.disclosure import TOO_SMALL, protect
from node.context import Node
from node.indicators.compute import VALUE
from node.indicators.gate import WITHHELD
from tests.attacks.attacker import INFINITY, ranges, worth_protecting
from tests.attacks.colleges import nine_universities
from tests.attacks.pooling import NARROW
from tests.attacks.test_history import published
from tests.releases.conftest import open_office, roster_text


def test_labels_would_open_what_one_status_keeps_closed(attack: Callable[..., None]) -> None:
    told, silent = 0, 0
    for name, (cells, relations) in nine_universities(4).items():
        withheld = protect(cells, relations, name.encode()).withheld
        wanted = worth_protecting(cells, withheld)
        persons = {cell.key: cell.persons for cell in cells}
        labels = {
            key: (1.0, 4.0) if why == TOO_SMALL else (5.0, INFINITY) for key, why in withheld.items() if persons[key]
        }
        for known in (labels, {}):
            found = ranges(cells, relations, withheld, wanted, known=known)
            narrow = sum(high - low < NARROW for low, high in found.values())
            told, silent = told + narrow * bool(known), silent + narrow * (not known)
    attack(
        "titles by gender of nine real universities, and the reason of each withheld cell",
        product=f"{silent} cells narrow: there is one status",
        control=f"{told} cells narrow, where the reason is told",
    )
    assert silent == 0
    assert told > 20, "the attack works"


def test_a_signed_release_says_of_a_withheld_cell_that_alone(make_node: Callable[..., Node]) -> None:
    office = open_office(make_node())
    office.load(roster_text(60, seed=4))
    contents = published(office, ["2025U"])
    observations = [told for content in contents for told in content["observations"]]
    withheld = [told for told in observations if told["status"] == WITHHELD]
    assert len(withheld) > 10
    assert {tuple(sorted(told)) for told in withheld} == {("dims", "indicator", "status")}
    assert {told["status"] for told in observations} <= {VALUE, WITHHELD, "O", "M"}
