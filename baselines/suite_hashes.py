"""SHA-256 of the episodes of every task of every suite.

`python -m baselines.pin SUITE` prints what this machine has.
"""

from __future__ import annotations

__all__ = ["DATA_HASHES"]

DATA_HASHES: dict[str, dict[str, str]] = {
    "suite-cpu-v0": {
        "AR-synthetic": "978af5a2227cc0816f8412d0157efded39b3248940d8e0b5d7e20b53c087290b",
        "TTL-synthetic": "7b93880c0dd51d16b425279655578e6fbee84722f3b71eafaed13b703e6308c3",
        "LRU-synthetic": "8a8689160354e3c65540cfdfb752940890e1df14ef849b4316c4d0f3472c8264",
        "CR-synthetic": "7a79a4892fef754c246ad65d2fd3da26c6413da0de331cc12add4eab1a7d7d98",
        "squad": "411c344fa2763dce04ea5f089e70628ad25bcddd8cee005a7d9bc4f730576af4",
        "hotpotqa": "ab3c4b81ccf49d189d8ab2b3cf5124f5df397ed46c02f241c73cc93ea2345317",
        "banking77": "2c0aa78fb59af4366d3cfd5a3317e75e05630e5414cc19160b5718be71e00729",
        "fairytaleqa": "f67299160db90744dc21478fcb6790cc0972098132a6b9c69484e6ec9bad30d7",
        "mquake": "4d67f911c748b063ef04221ccb84c8ebb1e2342b83a3618d39f141229ebc883f",
    }
}
