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
        "squad": "b02acc0e9446a05512f26085234ec338e7c553dfa30676bfd8e36aee14a66284",
        "hotpotqa": "e821fc4a83b9b7520ed9de83d383cd183e99ab46fc44d69769b2fc1017a694a1",
        "banking77": "da7028cdae9a98a363b88da3a81a8c927206a65931d2182689ab9fa81b2da59a",
        "fairytaleqa": "1d06f55576d89655ed8981dc8275d20bf8117663ac4285391df5a4805d95e7a4",
        "mquake": "4e063e63b76012336029a20a0608c30951ff8056b4bed6f0d987d7eca188b480",
    },
    "suite-long-v0": {
        "AR-synthetic": "30a14108cb42ee6ad83ea4e657e1cf37761e1da54f3da741d4cf00ec1f5205ad",
        "TTL-synthetic": "0022a3775fd4aea6581f84281eea9dd0b9bd83ee5c94563297bdc3cab37c6b18",
        "LRU-synthetic": "8ad15453eba5b7df211b2959e50be330d12ac9ec4c0d37a5be545b8821d7356a",
        "CR-synthetic": "1eb705e7ed22599b2633ab7c07409d80fb377dd25c9b3d7293fd33479d5405b1",
        "factconsolidation": "437eccbe9d999f4a1af54e55f819eca3d4c0ad9c211498b339202a62d8a4a858",
    },
    "suite-ood-v0": {
        "squad": "fa7a5a7907df7f46211eb269b2f6b3186fdb757a369fb6a5904121435a2eddaf",
        "clinc150": "9fc4fae603cfc6ccd9704ef696e104738040b30ef2f270aa96422b7e3bd325d6",
        "csabstruct": "071b6e8700e5d4aaea26e249796b02d70a36be7e26fe68f3bbe706694978a84c",
        "squality": "1694f8ccd463b30470523d3428d9257bb6da71b5d713fdfcb41cb99ca95fc72c",
        "factconsolidation": "bc1955c37b7114128f8e7382c5bba45cf74ff6598666f0f68d15dae9d3f71efb",
    },
}
