"""Procedural episodes, one generator a competency: offline, seeded, without end.

What is asked is recognisable by its kind (`kinds`), and about a third of the text. Names are
invented and belong to one episode (`words`). `knobs` lists the difficulty settings.
The source `media` draws `pictures`, which `png` and `wav` write, and read, without another package.
"""
