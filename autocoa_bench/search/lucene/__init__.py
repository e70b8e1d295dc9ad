"""Lucene's BM25 in this process: the engine, and the Java virtual machine that it runs in."""
