"""Tables inside an HTML document, as many HR systems export them under the name `.xls`.

Reads cells only; scripts, links and styles are never followed. Spans are filled: the value stands in the first cell,
the others are blank, as in a spreadsheet with merged cells.
"""

from html.parser import HTMLParser

_MAX_SPAN = 1000


class _Tables(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.tables: list[list[list[str]]] = []
        self._row: list[str] | None = None
        self._text: list[str] | None = None
        self._span = (1, 1)
        self._owed: dict[int, int] = {}  # column -> rows still covered by a cell from above

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.tables.append([])
            self._owed = {}
        elif tag == "tr":
            self._end_row()
            self._row = []
        elif tag in {"td", "th"} and self._row is not None:
            self._end_cell()
            given = dict(attrs)
            self._span = (_span(given.get("colspan")), _span(given.get("rowspan")))
            self._text = []
        elif tag == "br" and self._text is not None:
            self._text.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"td", "th"}:
            self._end_cell()
        elif tag in {"tr", "table"}:
            self._end_row()

    def handle_data(self, data: str) -> None:
        if self._text is not None:
            self._text.append(data)

    def _end_cell(self) -> None:
        if self._text is None or self._row is None:
            return
        self._fill()
        columns, rows = self._span
        for offset in range(columns):
            if rows > 1:
                self._owed[len(self._row)] = rows - 1
            self._row.append("".join(self._text).strip() if offset == 0 else "")
        self._text = None

    def _fill(self) -> None:
        """Leave blank what a cell from above covers."""
        row = self._row or []
        while self._owed.get(len(row), 0) > 0:
            self._owed[len(row)] -= 1
            row.append("")

    def _end_row(self) -> None:
        self._end_cell()
        if self._row is not None:
            self._fill()
            if not self.tables:
                self.tables.append([])
            self.tables[-1].append(self._row)
        self._row = None


def _span(text: str | None) -> int:
    return min(int(text), _MAX_SPAN) if text and text.isascii() and text.isdigit() and int(text) else 1


def read_html_tables(text: str) -> list[list[list[str]]]:
    """Return the tables of the document, each a list of rows of text."""
    parser = _Tables()
    parser.feed(text)
    parser.close()
    parser._end_row()  # noqa: SLF001  a document may end inside a row
    return [table for table in parser.tables if table]
