"""Generations of a stream: how an origin goes on where nobody can tell it what it signed before it was restored.

The places of a stream are numbered from 1, gapless. An origin that lost what it signed begins the stream anew at the
first place of a later generation, k * 1,000,000 + 1, with a record whose `previous` is the last one it still knows (or
"" for none). Readers give up what they hold between the two: its origin does not know it and may say it otherwise. They
never forget that they held it. A stream of ordinary length never comes to the end of its generation; one that does goes
on into the next as into any place, because the record before is known.
"""

GENERATION = 1_000_000  # places
REOPENING = "reopening"  # kind of the record that begins a stream anew; whoever signs a stream may say it


def generation_of(sequence: int) -> int:
    """Return the generation of a place, 0 for the first."""
    return (sequence - 1) // GENERATION


def first_of(generation: int) -> int:
    """Return the first place of a generation."""
    return generation * GENERATION + 1


def may_reopen(sequence: int) -> bool:
    """Tell whether a stream may begin anew at this place."""
    return sequence > 1 and first_of(generation_of(sequence)) == sequence
