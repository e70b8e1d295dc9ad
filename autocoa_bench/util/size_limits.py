"""The largest sizes that are accepted in data files, which may come from strangers.

A file that exceeds one is refused before it fills the memory or the disk. No published corpus or
question file comes near them: the longest page of Wikipedia has two megabytes, and text compresses
to a tenth, seldom to a fiftieth.
"""

ROW_BYTES = 16 << 20
"""A row: a line of JSON or CSV, an element of a JSON array, a row of Parquet."""

OBJECT_BYTES = 256 << 20
"""All that a JSON object with columns of values holds, because it is read whole."""

EXPANSION = 200
"""How many times its own size a compressed file may expand to, once it exceeds `FREE_BYTES`."""

FREE_BYTES = 1 << 30
"""What any compressed file may expand to."""

ARCHIVE_MEMBERS = 1000
"""The files in a .zip archive."""

XZ_MEMORY = 256 << 20
"""The memory that the decoder of an .xz file may ask for."""
