"""The commands that the agent model adds to the command line."""
