"""Where the published sets of tagged sentences come from: each file with its public address and its SHA-256.

It knows addresses alone; how the files are read stands in ``tagging_files``, what is made of them in ``tagging_sets``.
"""

from __future__ import annotations

from ebm_course.files import DataFile

_ARK = "https://raw.githubusercontent.com/brendano/ark-tweet-nlp"
_TWEETS = f"{_ARK}/master/data/twpos-data-v0.3"
_MASKED = "https://raw.githubusercontent.com/lifu-tu/TE_TweeboParser/d6e45d8d8bf342f9c6717b4b67954a7decd724ce"
_WNUT = "https://raw.githubusercontent.com/leondz/emerging_entities_17/master"


def _file(folder: str, url: str, sha256: str) -> DataFile:
    return DataFile(f"{folder}/{url.rpartition('/')[2]}", url, sha256)


RAW = {
    name: _file("twitter-pos", f"{_TWEETS}/{place}", digest)
    for name, place, digest in (
        ("oct27.train", "oct27.splits/oct27.train", "e55a63da62838a28b308bd1be0b5c903ac242ef208dc59838f4b39aa33b11948"),
        ("oct27.dev", "oct27.splits/oct27.dev", "046e9c57ed2549b4dec08a9a7bccf8ec7f742faaa7b55d840408f2dfd1356851"),
        ("oct27.test", "oct27.splits/oct27.test", "77f868fcd300d0acdd7bb8db28c961fcbe50d9cd0d48046e8fbec4b9f86bf814"),
        (
            "oct27.traindev",
            "oct27.splits/oct27.traindev",
            "f1daf7281ca3236592c23befd0ce65ca01d5d6811a47bb0db392098c5c17d589",
        ),
        ("daily547", "daily547.conll", "581862c4a7a05b62cb5c4d44119f11fc1fe55489862c9470120628cca8e4b080"),
    )
}
MASKED = {
    name: _file("twitter-pos/masked", f"{_MASKED}/TE_Parser/data/{name}.proc.cnn", digest)
    for name, digest in (
        ("oct27.train", "544c7a01b4a818d0987cdbd604444a6a4abca5130775d565949d350844a2dc04"),
        ("oct27.dev", "429e98256487c3e2157ee3674cf2041c983ae58d4626d83cbfd98c466b9a9570"),
        ("oct27.test", "907885a0588df72220cd1f2718e200b64a142a398b73b0745028ae22e94a8c99"),
        ("oct27.traindev", "f63c55b08bebb4b593a163895a6ddb7d56f5d1b542918aab71b158be79b8fbad"),
        ("daily547", "5fa81f776f2c3408e67118f2d2d572ac8f1f218fe2f784e795675bb2390ac2c5"),
    )
}
UNLABELLED = _file(
    "twitter-pos/masked",
    f"{_MASKED}/TE_Parser/data/tweets.procu.last3k",
    "2650b09cf72c675b247b216e132908014792a609dbac83ffd88fcf7549cf1c89",
)
CLUSTERS = _file(
    "twitter-pos",
    f"{_ARK}/0bbbb5c1e36f04ca9e8e0633f6ecd9b7b3566de3/ark-tweet-nlp/src/main/resources/edu/cmu/cs/lti/ark/ssl/pos/6mpaths",
    "63961360681878565b08906ff943491ae035496fc8d74fa669a2c35904f8cecc",
)
WNUT = tuple(
    _file("wnut17", f"{_WNUT}/{name}", digest)
    for name, digest in (
        ("wnut17train.conll", "731820e13f71af324c6b55a1575ec2ce59fbaa2a0806f8f0400b98d56cd6a7a5"),
        ("emerging.dev.conll", "e053b752b8155113ca66e7db08af5f2f5f43ab993694e4774f1ec5bad42312d8"),
        ("emerging.test.annotated", "2aa79b764e56ec9264a1b30fdd9b70195bd00ff400b62edd8f399d5f13c178f0"),
    )
)
