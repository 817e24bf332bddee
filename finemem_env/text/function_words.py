"""Words of English that say nothing of what a text is about: one list for reader and metrics."""

from __future__ import annotations

_FUNCTION_WORDS = """
    a an the of in on at to for from by with and or but is are was were be been being am do does did
    has have had what which who whom whose when where why how that this these those it its as into
    than then there their they he she his her him them not no so if s t will would can could may
    might should
"""
STOP = frozenset(_FUNCTION_WORDS.split())
