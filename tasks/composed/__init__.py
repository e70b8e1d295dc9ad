"""Questions of several hops composed from the passages of any corpus, to train on.

`facts` reads entities and what is stated of them out of the first sentences of encyclopedia
passages, by patterns; `questions` composes chains and comparisons about them, in the wordings of
the closed world and its own (`questions.txt`); `command` is `autocoa-bench tasks compose`. No model
is needed, and nothing of the corpus is part of this project."""
