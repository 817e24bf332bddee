"""Writes the chunk questions of the chunk-level step reward (Fine-Mem §4.1) into episode files.

    generator ─► candidates per chunk ─► verifier ─► those it answers from the chunk alone
              ─► duplicates out, over the episode and against its final questions ─► the best few

`cloze` is the local generator, which needs no model; `model` asks a language model; `pipeline`
runs either and resumes after a kill; `quality` measures what came out.
"""
