"""SHA-256 of the episodes of every task of every suite.

Printed by `python -m baselines.pin [SUITE …]`.
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
    },
    "suite-long-v0": {
        "AR-synthetic": "30a14108cb42ee6ad83ea4e657e1cf37761e1da54f3da741d4cf00ec1f5205ad",
        "TTL-synthetic": "0022a3775fd4aea6581f84281eea9dd0b9bd83ee5c94563297bdc3cab37c6b18",
        "LRU-synthetic": "8ad15453eba5b7df211b2959e50be330d12ac9ec4c0d37a5be545b8821d7356a",
        "CR-synthetic": "1eb705e7ed22599b2633ab7c07409d80fb377dd25c9b3d7293fd33479d5405b1",
        "factconsolidation": "a5cab4a377b3241e79231fd7238ceb0ddfa00cc07a1ce5e2955e42eec26eebfd",
    },
    "suite-ood-v0": {
        "squad": "14522507b771c8cfe256dd4822b5acf268e24737ccb314c910e1703ee50390f3",
        "clinc150": "392c8e1c564d800c0c2cb71fff626305b7fab4841976b174ace1a473a6d0bb3f",
        "csabstruct": "0e3620dd6c14b8adc6063e93b38a134815c5e3f960bb08a3014866d3029889ef",
        "squality": "e0ddf7427d50aa04ee39bbce7c47d85861842cf885faf9ebb78efc48092bec7b",
        "factconsolidation": "7b5fdae66b13dd331a0ae4ab60b1c465a9a56cbc4a6bff2bc3dbd30f94fc8ba6",
    },
}
