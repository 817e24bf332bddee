"""The page of `python -m baselines.report`.

`contents` reads runs into numbers, `figures` draws them, `episodes` writes the pages that show
single episodes and says where each is, `page` puts all of it into HTML.
"""
