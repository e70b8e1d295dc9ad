"""Training data for a judge: right and wrong answers, generated from questions and golds by rules.

`config` configures the data and `build` writes its folder. `examples` labels answers,
`right_answers` and `wrong_answers` hold the rules, `answer_types` reads what an answer is, and
`words/` has their lists of words. May import: everything that `judge` may.
"""
