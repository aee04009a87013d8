"""Asks Triton's model `musetalk` for next to nothing: the probe of its container, with what Python brings alone.

Triton's own readiness stays true when a model's process has died. This sends a request that the model itself has to
refuse, since it names no avatar: exit code 0 if it does, or if Triton is busy, else 1 and one line that says why.

Example: python3 probe_model.py [http://127.0.0.1:8000]
"""

import json
import sys
import urllib.error
import urllib.request

URL = "http://127.0.0.1:8000"
"""Where Triton listens for HTTP inside of its container."""
ANSWER_S = 4.0
"""Longest wait; the kubelet's own limit is 5 s."""
BUSY = (429, 503)
"""Statuses of a full queue: the model lives, and has more to do than it can."""
TENSORS = (
    ("AUDIO", "INT16", [0] * 640),
    ("AUDIO_START", "INT64", [0]),
    ("AVATAR", "BYTES", [""]),
    ("FRAME_INDEX", "INT32", [0]),
    ("FRAME_START", "INT32", [0]),
    ("MOUTH_WEIGHT", "FP32", [0.0]),
    ("MEL_MAX", "FP32", [0.5]),
)
"""One silent frame of no avatar."""


def fault(url: str) -> str:
    """What is wrong with the model; empty if it answers."""
    inputs = [{"name": n, "datatype": kind, "shape": [1, len(data)], "data": data} for n, kind, data in TENSORS]
    body = json.dumps({"inputs": inputs, "outputs": [{"name": "RENDERED"}]}).encode()
    try:
        with urllib.request.urlopen(f"{url}/v2/models/musetalk/infer", body, ANSWER_S):
            return ""
    except urllib.error.HTTPError as error:
        told = error.read().decode(errors="replace")
        return (
            "" if "AVATAR:" in told or (error.code in BUSY and "Stub process" not in told) else f"{error.code} {told}"
        )
    except OSError as error:
        return f"Triton does not answer: {error}"


if __name__ == "__main__":
    sys.exit(fault(sys.argv[1] if len(sys.argv) > 1 else URL) or 0)
