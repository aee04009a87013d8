"""Makes avatar_service/engines/assets/silero_vad_v6_batch.onnx: Silero VAD v6 for the windows of many sessions at once.

The published graph is exported for one window: two of its transpositions name that axis at a fixed place, and the
shapes of the state say 1. The weights, and what is computed for each window, stay as they are; a test compares both.

Needs `pip install onnx==1.23.2` beside the development packages, of which faster-whisper brings the published graph.

Example: .venv/bin/python tools/batch_silero.py
"""

from pathlib import Path

import faster_whisper
import onnx

PUBLISHED = Path(faster_whisper.__file__).parent / "assets/silero_vad_v6.onnx"
MADE = Path(__file__).parents[1] / "avatar_service/engines/assets/silero_vad_v6_batch.onnx"
PERMUTATIONS = {"/Transpose": (2, 0, 1), "/decoder/Transpose": (0, 2, 1)}
"""Of the features into steps, and of the last state into the output: the batch keeps its axis."""
BATCH_AXES = {"input": 0, "h": 1, "c": 1, "speech_probs": 0, "hn": 1, "cn": 1}
"""Where each input and output has its windows."""


def main() -> None:
    """Write the graph."""
    model = onnx.load(PUBLISHED)
    graph = model.graph
    for node in graph.node:
        if permutation := PERMUTATIONS.get(node.name):
            node.attribute[0].ints[:] = permutation
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[BATCH_AXES[value.name]].dim_param = "batch"
    del graph.value_info[:]  # shapes between, which were for one window
    onnx.save(model, MADE)


if __name__ == "__main__":
    main()
