"""Data to train and audit a judge: right and wrong answers, made from questions and golds by rules.

`config` configures the data and `build` writes its folder. `examples` labels answers,
`right_answers`, `near_misses` and `wrong_answers` hold the rules, `people` reads real aliases from
a corpus, `answer_types` reads what an answer is, and `words/` has the lists of words. May import:
everything that `judge` may.
"""
