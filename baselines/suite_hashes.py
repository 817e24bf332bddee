"""SHA-256 of the episodes of every task of every suite.

Printed by `python -m baselines.pin [SUITE …]`.
"""

from __future__ import annotations

DATA_HASHES: dict[str, dict[str, str]] = {
    "suite-cpu-v1": {
        "AR-synthetic": "0163c407e4ae4d061471c02dbb6835653dcdac247c0aeb31556a7b9b1172a6eb",
        "TTL-synthetic": "7b93880c0dd51d16b425279655578e6fbee84722f3b71eafaed13b703e6308c3",
        "LRU-synthetic": "79170b6a6f721a97c8a3f98b3eccd7a4a7fe08578f3c23d7dc02a494541fe1a8",
        "CR-synthetic": "912a579d0110daac99a3e5d3b2dd12f3af4f70b7326f6f75a5459ad63e059153",
        "squad": "b02acc0e9446a05512f26085234ec338e7c553dfa30676bfd8e36aee14a66284",
        "hotpotqa": "e821fc4a83b9b7520ed9de83d383cd183e99ab46fc44d69769b2fc1017a694a1",
        "banking77": "da7028cdae9a98a363b88da3a81a8c927206a65931d2182689ab9fa81b2da59a",
        "fairytaleqa": "1d06f55576d89655ed8981dc8275d20bf8117663ac4285391df5a4805d95e7a4",
        "mquake": "766bd47d0922aa34875d989e93a5f2f1a87bc69b7c9f2cea7e48c47e35871eae",
    },
    "suite-long-v1": {
        "AR-synthetic": "c3d0931e952677686fb7d9b66b3a493de82f72e7f61f26f4af3256863c26bd08",
        "TTL-synthetic": "0022a3775fd4aea6581f84281eea9dd0b9bd83ee5c94563297bdc3cab37c6b18",
        "LRU-synthetic": "5b937b98130461915b6ed821cbca282336d8bb601c9227726337a495010aa462",
        "CR-synthetic": "8b94f0c5b78c38a83c1383183eb10dae6757c24afde64a1edc178ae8d3622ca5",
        "factconsolidation": "c5ff172d2031a363c1a4c75c489b26427d03f8a64a108096cd1769e8dd78f119",
    },
    "suite-ood-v1": {
        "squad": "fa7a5a7907df7f46211eb269b2f6b3186fdb757a369fb6a5904121435a2eddaf",
        "clinc150": "9fc4fae603cfc6ccd9704ef696e104738040b30ef2f270aa96422b7e3bd325d6",
        "csabstruct": "071b6e8700e5d4aaea26e249796b02d70a36be7e26fe68f3bbe706694978a84c",
        "squality": "776e411c06cf5405f5e53b2a2e239266f240a0ef26ebb94b47e3cef1fda3041a",
        "factconsolidation": "9c4bb8f672a9f2e03a2dc13a10e20b47ea083f077eaab1537c755ccbf11db773",
    },
}
