"""What is known of each source's photographs, in words for venues (croissant.json).

From the papers and pages that are cited, and from what this package does with the pictures. Nobody
here has looked through all of them, and it says so: what nobody knows is left out, for whoever
publishes a dataset to fill in.
"""

from __future__ import annotations

from ..data.croissant import Origin
from ..data.manifest import Header
from . import protocols
from .source_models import FiveKSource

_USES = (
    "Training and measuring models that enhance photographs: from an input picture to a target of "
    "the same size. It was used for nothing else here."
)
_SOCIAL = (
    "Models that imitate these targets spread their taste, and change how people look in pictures, "
    "their skin's colour and brightness among it; whether they do so alike for all people was not "
    "measured. No decision about a person should rest on an enhanced picture, nor should one stand "
    "as evidence of what was photographed."
)
_COMPUTED = (
    "Targets are computed by one fixed operator, and show no person's taste: scores say how well a "
    "model imitates the operator, not how good its pictures look. "
)

_AUGMENTED = (
    "Among the inputs to train with are augmented versions of photographs, which the authors "
    "computed; their targets are those of the photographs."
)

FIVEK = Origin(
    title="MIT-Adobe FiveK",
    url="https://data.csail.mit.edu/graphics/fivek/",
    collection="5,000 raw photographs that various photographers had taken with SLR cameras, each "
    "retouched by five trained photographers, experts A to E. Inputs are renderings of the raw "
    "files, targets one expert's pictures, both as the protocol says.",
    limitations="One expert's edit is one of many good ones: a score is the distance from it, not "
    "quality. Scores compare within one protocol only, since renderings of the inputs differ. Some "
    "edits crop or turn the picture.",
    biases="The photographers' subjects and places, SLR cameras of about 2010 and before, and the "
    "taste of five retouchers. Who and what is shown was not counted by anybody known here.",
    personal="People who can be recognised are in some photographs; nothing names them but what "
    "file names may say.",
    uses=f"{_USES} Its licences allow research only.",
    social_impact=_SOCIAL,
    synthetic=False,
)
HDRPLUS = Origin(
    title="HDR+ burst photography dataset",
    url="https://hdrplusdata.org/",
    collection="Bursts of raw frames that were taken with mobile phones. Inputs are the merged raw "
    "frames, targets the JPEGs that the HDR+ pipeline of 2017 finished from them.",
    limitations="The target is what one camera pipeline made, not what a person chose. Pairs whose "
    "two pictures could not be laid over each other are left out (rejected.jsonl), so that hard "
    "geometry is rarer than in the source.",
    biases="A few phones' cameras, and the subjects and places of those who took the bursts. Who "
    "and what is shown was not counted by anybody known here.",
    personal="Photographs of daily life, in which people may be recognised; nothing names them.",
    uses=_USES,
    social_impact=_SOCIAL,
    synthetic=False,
)
PPR10K = Origin(
    title="PPR10K",
    url="https://github.com/csjliang/PPR10K",
    collection="11,161 raw portrait photographs in 1,681 groups, with masks of the people, each "
    "retouched by three experts, a to c, who gave a group one look. Inputs and targets as the "
    "protocol says.",
    limitations="One expert's edit is one of many good ones: a score is the distance from it, not "
    "quality. Portraits alone: nothing follows for other subjects.",
    biases="The people that were photographed, and three retouchers' taste in skin and light. Who "
    "is shown was not counted by anybody known here: models may serve other people worse.",
    personal="Portraits: people can be recognised in nearly every photograph. Nothing names them.",
    uses=f"{_USES} Its licence allows no commercial use.",
    social_impact=_SOCIAL,
    synthetic=False,
)
BSDS500 = Origin(
    title="Berkeley Segmentation Data Set (BSDS500)",
    url="https://www2.eecs.berkeley.edu/Research/Projects/CS/vision/grouping/resources.html",
    paper="P. Arbelaez, M. Maire, C. Fowlkes, J. Malik: Contour Detection and Hierarchical Image "
    "Segmentation. TPAMI 2011.",
    collection="500 photographs of a stock photo library, chosen by the data set's authors for "
    "segmentation and stored as JPEG. They are the inputs; targets are computed from them.",
    limitations=f"{_COMPUTED}Photographs are of 481 x 321 pixels and finished: neither raw data "
    "nor what large pictures need is in them. Their JPEG artefacts are in inputs and targets.",
    biases="A commercial stock library of before 2001: animals, landscapes, travel and posed "
    "people. Who and what is shown was not counted here.",
    personal="People who can be recognised are in some photographs; nothing names them.",
    uses=f"{_USES} Its terms allow research and teaching that is not commercial.",
    social_impact=_SOCIAL,
    synthetic=True,
)
DEMO = Origin(
    title="Sample photographs of scikit-image, scikit-learn and matplotlib",
    url="https://scikit-image.org/docs/stable/api/skimage.data.html",
    collection="Photographs that Python packages carry as samples, chosen by hand. They are the "
    "inputs; targets are computed from them.",
    limitations=f"{_COMPUTED}Too few pictures for any conclusion about a method: they show that "
    "everything runs.",
    biases="What the packages happen to carry. A handful of pictures stands for nothing.",
    personal="Portraits of two public persons, an astronaut and an admiral, and one photograph of "
    "a retina; all are published with the packages.",
    uses=f"{_USES} It is for first steps and tests of the software.",
    social_impact="None is expected of so few pictures, which are public already.",
    synthetic=True,
)
SYNTHETIC_HDRPLUS = DEMO._replace(
    collection="Photographs that Python packages carry as samples, chosen by hand. Inputs are made "
    "of them: linear, darker, with noise and highlights over white. Targets are computed.",
    limitations=f"{DEMO.limitations} Noise and highlights are simulated, and not a camera's.",
)
_ORIGINS = {
    "fivek": FIVEK,
    "hdrplus": HDRPLUS,
    "ppr10k": PPR10K,
    "bsds500": BSDS500,
    "demo": DEMO,
    "synthetic-hdrplus": SYNTHETIC_HDRPLUS,
}


def origin_of(header: Header) -> Origin:
    """Of the photographs that a dataset was made of. Of a user's own nothing is known but whether
    pictures were computed."""
    if header.source == "synthetic-hdrplus" and "files_sha256" in header.settings:
        return Origin(synthetic=True)
    if header.source == "folder":
        return Origin(synthetic=True if header.settings.get("pairing") == "computed" else None)
    origin = _ORIGINS.get(header.source, Origin())
    if header.source not in protocols.SOURCES:
        return origin
    if header.source == "ppr10k" and header.settings.get("augmented"):
        origin = origin._replace(collection=f"{origin.collection} {_AUGMENTED}", synthetic=True)
    source = protocols.load_source(header.source)
    urls = (
        {each.id: f"{source.base_url}{each.text}" for each in source.licences}
        if isinstance(source, FiveKSource)
        else {}
    )
    return origin._replace(paper=source.paper, licence_urls=urls)
