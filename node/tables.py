"""Every table of the product, known before any is made: whoever opens a database imports this."""

import node.access.models
import node.activities.models
import node.audit.models
import node.exchange.models
import node.indicators.models
import node.intake.models
import node.members.models
import node.stream.models
import node.stream.recovery  # noqa: F401
