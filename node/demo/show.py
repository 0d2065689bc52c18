"""Progress of the demo for people, on standard error, so that a script's JSON stands alone on standard output."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from node.demo.words import Words


class Show:
    """One line for each act: how much of it is done, and what was done last."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("[dim]{task.fields[last]}"),
            console=console,
        )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def begin(self, act: Words, steps: int) -> None:
        """Begin an act of so many steps."""
        self._task = self._progress.add_task(act.both(), total=steps, last="")

    def advance(self, last: str) -> None:
        """Tell that one step was done."""
        if self._task is not None:
            self._progress.update(self._task, advance=1, last=last)

    def say(self, words: Words) -> None:
        """Print one remark above the progress."""
        self._progress.console.print(words.both(), markup=False, highlight=False)
