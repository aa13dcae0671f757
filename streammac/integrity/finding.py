"""What a check finds."""

from __future__ import annotations

import msgspec


class Finding(msgspec.Struct, frozen=True):
    """Something that is not as it should be.

    Attributes
    ----------
    path : str
        The file or folder, relative to the run directory.
    text : str
        What is wrong, and what it costs.
    remedy : str
        What to do; what ``--repair`` does begins with "repair:".
    harmless : bool
        Nothing is lost by it.
    repaired : bool
        It was mended.
    """

    path: str
    text: str
    remedy: str = ""
    harmless: bool = False
    repaired: bool = False
