"""The networks of the papers and the modern ones beside them, as facts: where each comes from, what it is built with,
what was published. Read through `models.registry`; no torch here.

Papers: K Khorrami et al. 2016; P poster on categorical to continuous emotion prediction; T "Touchy Feely"; A poster on
AffectNet; V shallow and deep CNNs on FER2013; VGG Khaireddin, Chen 2021; "here" what stands beside them.
"""

from __future__ import annotations

from collections.abc import Mapping

from models.registry import NetworkEntry, Published

_RATERS = ("FM1", "FM2", "FM3", "FF1", "FF2", "FF3")
_EMOTIONS = ("anger", "disgust", "fear", "happy", "sad", "surprise", "neutral")


def _accuracy(value: float, data: str, split: str, where: str, note: str = "") -> Published:
    """Accuracy over all classes, per cent."""
    return Published(data=data, split=split, metric="accuracy", value=value, where=where, note=note)


def _recola(where: str, note: str, **metrics: float) -> tuple[Published, ...]:
    """Scores of valence on RECOLA's development recordings."""
    return tuple(
        Published(data="RECOLA", split="dev", metric=metric, value=value, where=where, note=note)
        for metric, value in metrics.items()
    )


def _per_rater(rmse: float, cc: tuple[float, ...], ccc: tuple[float, ...], note: str) -> tuple[Published, ...]:
    """P's results for raters FM1-3 and FF1-3; its CCC came from pooled statistics, its RMSE is of single raters."""
    found = [*_recola("P, table 2", note, rmse=rmse)]
    for rater, one_cc, one_ccc in zip(_RATERS, cc, ccc, strict=True):
        found += _recola("P, table 2", f"{note}; rater {rater}", cc=one_cc, ccc=one_ccc)
    return tuple(found)


def _touchy(split: str, value: float, note: str = "") -> Published:
    return _accuracy(value, "FER2013", split, "T, experiments", note)


def _affectnet(value: float, note: str = "") -> Published:
    return _accuracy(value, "AffectNet", "validation", "A, results", note or "11 classes, a 5 % split")


def _shallow_deep(overall: float, classes: tuple[float, ...]) -> tuple[Published, ...]:
    """V's accuracies; its class percentages fit neither official split."""
    split, note = "unstated split", "fits neither official one"
    per_class = tuple(
        Published(
            data="FER2013", split=split, metric=f"accuracy of {emotion}", value=value, where="V, results", note=note
        )
        for emotion, value in zip(_EMOTIONS, classes, strict=True)
    )
    return (_accuracy(overall, "FER2013", split, "V, results", note), *per_class)


_KHORRAMI_CNN = (
    NetworkEntry(
        name="khorrami-cnn",
        paper="K",
        constructor="models.khorrami:KhorramiCNN",
        input_size=96,
        channels=3,
        num_features=300,
        num_outputs=1,
        task="values",
        num_parameters=1_336_601,
        count_source="paper",
        published=(
            *_recola("K, table 1", "CNN+D: dropout", rmse=0.114, cc=0.468, ccc=0.363),
            *_recola("K, table 1", "CNN+AD: augmentation and dropout", rmse=0.116, cc=0.452, ccc=0.361),
            *_recola("K, table 1", "CNN+A: augmentation", rmse=0.121, cc=0.422, ccc=0.336),
            *_recola("K, table 1", "CNN", rmse=0.119, cc=0.389, ccc=0.290),
        ),
    ),
    NetworkEntry(
        name="khorrami-cnn-gray",
        paper="K",
        constructor="models.khorrami:KhorramiCNN",
        input_size=96,
        channels=1,
        num_features=300,
        num_outputs=1,
        task="values",
        num_parameters=1_333_401,
        count_source="paper",
    ),
)


def _recurrent(
    name: str, num_parameters: int, options: Mapping[str, object], rmse: float, cc: float, ccc: float, where: str
) -> NetworkEntry:
    """K's RNN over the 300 features of each of 100 frames."""
    return NetworkEntry(
        name=name,
        paper="K",
        constructor="models.recurrent:RecurrentNetwork",
        reads="features",
        input_size=300,
        channels=0,
        num_features=100 if name != "khorrami-rnn-3-layers" else 50,
        num_outputs=1,
        task="values",
        num_parameters=num_parameters,
        count_source="here",
        options=options,
        published=_recola(where, "W = 100", rmse=rmse, cc=cc, ccc=ccc),
    )


_KHORRAMI_RNN = (
    _recurrent("khorrami-rnn", 40_301, {}, 0.107, 0.553, 0.481, "K, table 1"),
    _recurrent("khorrami-rnn-tanh", 40_301, {"nonlinearity": "tanh"}, 0.112, 0.517, 0.476, "K, table 1"),
    _recurrent("khorrami-rnn-2-layers", 60_501, {"hidden_sizes": (100, 100)}, 0.111, 0.514, 0.459, "K, table 4"),
    _recurrent("khorrami-rnn-3-layers", 68_051, {"hidden_sizes": (100, 100, 50)}, 0.106, 0.565, 0.489, "K, table 4"),
)

_POSTER = (
    NetworkEntry(
        name="poster-small",
        paper="P",
        constructor="models.poster:PosterSmall",
        input_size=48,
        channels=1,
        num_features=200,
        num_outputs=4,
        task="classes",
        num_parameters=575_468,
        count_source="paper",
        published=(
            _accuracy(69.69, "FER2013, 4 classes", "test", "P, table 1"),
            *_per_rater(
                0.187,
                (0.273, 0.169, 0.265, 0.169, 0.154, 0.082),
                (0.220, 0.136, 0.213, 0.136, 0.124, 0.066),
                "CNN + fine-tuning",
            ),
        ),
    ),
    NetworkEntry(
        name="poster-large",
        paper="P",
        constructor="models.poster:PosterLarge",
        input_size=48,
        channels=1,
        num_features=64,
        num_outputs=4,
        task="classes",
        num_parameters=779_588,
        count_source="here",
        published=(
            _accuracy(68.45, "FER2013, 4 classes", "test", "P, table 1", '"Kaggle\'s EmoNets"'),
            *_per_rater(
                0.189,
                (0.292, 0.193, 0.325, 0.201, 0.048, 0.152),
                (0.221, 0.146, 0.246, 0.152, 0.036, 0.115),
                "CNN + fine-tuned Kaggle EmoNets",
            ),
        ),
    ),
)


def _touchy_entry(
    name: str, num_parameters: int, num_features: int, options: Mapping[str, object], *published: Published
) -> NetworkEntry:
    return NetworkEntry(
        name=name,
        paper="T",
        constructor="models.touchy:TouchyCNN",
        input_size=48,
        channels=1,
        num_features=num_features,
        num_outputs=7,
        task="classes",
        num_parameters=num_parameters,
        count_source="here",
        options=options,
        published=published,
    )


_FINAL = {
    "convolutions": "conv bn relu drop" + 3 * " conv bn relu conv bn relu mp drop",
    "hidden": "fc bn relu drop fc bn relu drop",
    "kernel_size": 4,
    "paddings": (3, 1),
}

_TOUCHY = (
    _touchy_entry(
        "touchy-baseline",
        100_391,
        14_112,
        {"convolutions": "conv relu", "widths": (32,), "kernel_size": 7, "stride": 2, "paddings": (0,)},
        _touchy("validation", 39.82, "training accuracy 63.21"),
    ),
    _touchy_entry(
        "touchy-conv3",
        9_533_095,
        256,
        {
            "convolutions": "conv relu conv relu conv relu mp",
            "hidden": "fc relu fc relu",
            "widths": (32, 32, 64),
            "hidden_size": 256,
        },
        _touchy("validation", 51.0),
    ),
    _touchy_entry(
        "touchy-conv4",
        4_855_495,
        1024,
        {
            "convolutions": " ".join(4 * ["conv relu bn mp"]),
            "hidden": " ".join(3 * ["fc relu drop"]),
            "widths": (32, 64, 128, 256),
        },
        _touchy("validation", 55.42, "training accuracy 63.05"),
    ),
    _touchy_entry(
        "touchy-conv8",
        1_946_567,
        9216,
        {
            "convolutions": "conv relu conv mp bn" + 2 * " conv relu conv conv mp",
            "widths": (64, 64, 128, 128, 128, 256, 256, 256),
        },
        _touchy("validation", 56.5),
    ),
    _touchy_entry(
        "touchy-final",
        5_651_783,
        1024,
        {**_FINAL, "widths": 7 * (64,)},
        _touchy("test", 61.05, "one run of four"),
        _touchy("validation", 60.37, "mean of four runs; training accuracy 78.49"),
    ),
    _touchy_entry(
        "touchy-tapered",
        9_976_743,
        1024,
        {**_FINAL, "widths": (32, 32, 32, 64, 64, 128, 128)},
        _touchy("validation", 59.5, "the final network with tapered filters"),
    ),
)


def _affectnet_entry(
    name: str,
    constructor: str,
    num_parameters: int,
    num_features: int,
    *published: Published,
    input_size: int = 128,
    options: Mapping[str, object] | None = None,
) -> NetworkEntry:
    return NetworkEntry(
        name=name,
        paper="A",
        constructor=f"models.affectnet:{constructor}",
        input_size=input_size,
        channels=3,
        num_features=num_features,
        num_outputs=11,
        task="classes",
        num_parameters=num_parameters,
        count_source="paper",
        options=options or {},
        published=published,
    )


_RESIDUAL = {"widths": (48, 96, 192), "num_features": 192, "residual_blocks": 1}

_AFFECTNET = (
    _affectnet_entry(
        "affectnet-baseline-64",
        "AffectNetCNN",
        1_143_307,
        128,
        _affectnet(60.2),
        input_size=64,
        options={"first_kernel": 1},
    ),
    _affectnet_entry(
        "affectnet-baseline-128",
        "AffectNetCNN",
        4_289_803,
        128,
        _affectnet(60.7),
        _affectnet(60.2, "with augmentation"),
    ),
    _affectnet_entry(
        "affectnet-resnet-64", "AffectNetCNN", 2_613_227, 192, _affectnet(60.7), input_size=64, options=_RESIDUAL
    ),
    _affectnet_entry("affectnet-resnet-128", "AffectNetCNN", 9_691_115, 192, _affectnet(61.1), options=_RESIDUAL),
    _affectnet_entry("affectnet-densenet-128", "AffectNetDenseNet", 22_320_971, 288, _affectnet(63.2)),
    _affectnet_entry("affectnet-hybrid-128", "AffectNetHybrid", 11_961_579, 160, _affectnet(63.4)),
)

_SHALLOW_DEEP = (
    NetworkEntry(
        name="shallow",
        paper="V",
        constructor="models.shallow_deep:ShallowDeepCNN",
        input_size=48,
        channels=1,
        num_features=256,
        num_outputs=7,
        task="classes",
        num_parameters=4_927_111,
        count_source="paper",
        published=_shallow_deep(56.31, (40.70, 37.5, 28.49, 77.71, 63.61, 67.87, 48.46)),
    ),
    NetworkEntry(
        name="deep",
        paper="V",
        constructor="models.shallow_deep:ShallowDeepCNN",
        input_size=48,
        channels=1,
        num_features=512,
        num_outputs=7,
        task="classes",
        num_parameters=4_474_759,
        count_source="paper",
        options={"widths": (64, 128, 512, 512), "kernels": (3, 5, 3, 3), "hidden_sizes": (256, 512)},
        published=_shallow_deep(65.55, (51.24, 57.14, 47.41, 86.63, 54.92, 76.7, 62.45)),
    ),
)


def _modern(
    name: str,
    constructor: str,
    num_parameters: int,
    num_features: int,
    *published: Published,
    paper: str = "here",
    input_size: int = 48,
    options: Mapping[str, object] | None = None,
) -> NetworkEntry:
    return NetworkEntry(
        name=name,
        paper=paper,
        constructor=constructor,
        input_size=input_size,
        channels=1,
        num_features=num_features,
        num_outputs=7,
        task="classes",
        num_parameters=num_parameters,
        count_source="here",
        options=options or {},
        published=published,
    )


_SLIM = {"widths": (32, 64, 128, 256)}

_MODERN = (
    _modern(
        "vgg-face-48",
        "models.vgg:FaceVGG",
        40_376_519,
        4096,
        _accuracy(73.28, "FER2013", "PrivateTest", "Khaireddin, Chen 2021", "single network, ten crops"),
        paper="VGG",
    ),
    _modern("vgg-slim-48", "models.vgg:FaceVGG", 2_357_351, 512, options={**_SLIM, "hidden_sizes": (512,)}),
    _modern("resnet18-48", "models.residual:FaceResNet", 11_171_271, 512),
    _modern("resnet-slim-48", "models.residual:FaceResNet", 2_796_263, 256, options=_SLIM),
    _modern(
        "resnet-slim-96",
        "models.residual:FaceResNet",
        2_796_263,
        256,
        input_size=96,
        options={**_SLIM, "stem_stride": 2},
    ),
)

ENTRIES = (*_KHORRAMI_CNN, *_KHORRAMI_RNN, *_POSTER, *_TOUCHY, *_AFFECTNET, *_SHALLOW_DEEP, *_MODERN)
