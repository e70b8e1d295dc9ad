"""Training data for a judge: right and wrong answers, generated from questions and golds."""
