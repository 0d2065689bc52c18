"""Tables of the intake: changes of data by gapless number, the files behind them, mappings kept per source."""

from datetime import date, datetime

from sqlmodel import Field, SQLModel

from node.db import UtcDateTime


class DataChange(SQLModel, table=True):
    """One committed change of data about people. `number` is what `known_at` means.

    `fields` is the comma-separated list of canonical fields the source supplied (`membership` among them where the
    file said who is a member); indicators use it to tell *zero* from *never told*. A change that was undone carries
    the number of the undoing change in `undone_by` and supplies nothing from then on.
    """

    __tablename__ = "data_change"
    number: int = Field(primary_key=True)
    kind: str  # import | undo | leavers | erasure
    at: datetime = Field(sa_type=UtcDateTime)
    account_id: str
    as_of: date | None = None
    complete: bool = False  # a full roster, not a partial one
    fields: str = ""
    import_id: str | None = None
    undone_by: int | None = None


class ImportFile(SQLModel, table=True):
    """One file offered for import: staged, confirmed, undone or discarded. Its bytes lie in `staging/` while staged."""

    __tablename__ = "import_file"
    id: str = Field(primary_key=True)
    source: str  # name of the source, to which the mapping is kept
    file_name: str
    sha256: str
    as_of: date
    complete: bool
    state: str = "staged"
    options: str = "{}"  # JSON: mapping and answers given
    summary: str = "{}"  # JSON: counts of the preview
    account_id: str = ""
    created_at: datetime = Field(sa_type=UtcDateTime)
    change_number: int | None = None


class SourceMapping(SQLModel, table=True):
    """The mapping of headers to fields, and of values to codes, that an officer confirmed for one source."""

    __tablename__ = "source_mapping"
    source: str = Field(primary_key=True)
    mapping: str  # JSON
    updated_at: datetime = Field(sa_type=UtcDateTime)
