"""Lucene's BM25 in a Java virtual machine inside this process."""
