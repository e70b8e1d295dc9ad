"""The nano base model: small enough to train on a CPU in minutes, from random weights.

`untrained` writes the model and the text for its pretraining. Imports `agent_model.data`,
`agent_model.dialects` and the harness.
"""
