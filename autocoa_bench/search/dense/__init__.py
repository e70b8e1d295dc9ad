"""Dense search in this process: a sentence encoder and an index of the passages' vectors."""
