"""What each kind of record does when it is accepted: `kind -> handler(session, record, content)`.

The inbox knows no kinds; this table is handed to it by the application, the scheduler and the commands.
"""

from collections.abc import Callable, Mapping
from typing import Any

from sqlmodel import Session

from node.activities.service import take_notice, withdraw_notice
from node.exchange.hub import take_review
from node.exchange.reopened import REOPENING, take_reopening
from node.exchange.shared import take_release, withdraw_release
from node.stream.models import StoredRecord
from node.stream.peers import MEMBER_LIST, take_member_list
from node.stream.sealed import take_group_key
from node.totals.board import take_sum

Handler = Callable[[Session, StoredRecord, dict[str, Any]], None]

HANDLERS: Mapping[str, Handler] = {
    "group-key": take_group_key,
    MEMBER_LIST: take_member_list,
    "notice": take_notice,
    "notice:withdraw": withdraw_notice,
    REOPENING: take_reopening,
    "release": take_release,
    "release:withdraw": withdraw_release,
    "review": take_review,
    "sum": take_sum,
}
