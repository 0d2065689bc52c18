"""What every forked process would otherwise read and work out for itself."""

from sqlalchemy.orm import configure_mappers

import node.app
import node.cli
import node.handlers
import node.jobs
import tests.faults.federation
import tests.faults.proxy  # noqa: F401
from federation.validation import check_schema

configure_mappers()
node.cli.distributions = list  # type: ignore[assignment]  # what is installed was looked at when the tests started
for _schema in ("record.v1", "request.v1", "answer.v1", "receipt.v1", "release.v1", "notice.v1"):
    try:
        check_schema(_schema, {})
    except Exception:  # noqa: BLE001, S112  an empty document is invalid; the validator is what we want
        continue
