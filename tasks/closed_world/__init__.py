"""The closed world: a generated encyclopedia of fictional things, and questions composed over it.

`world/` generates entities and their relations, `text/` writes one passage about each, and
`questions/` composes questions in the shapes of six datasets with their gold chains. Wordings are
data: `text/*.txt` and `world/vocabulary.toml`. One seed decides everything, on every machine.
"""
