"""One picture as a person sees it, or a refusal that names what cannot be decided.

| file | pixels |
|---|---|
| EXIF orientation | turned as a viewer turns it |
| 16 bits a pixel | 65535 becomes 255 |
| palette, 1 bit, YCbCr | colours, or grey |
| CMYK | by the file's own colour profile to sRGB, else 255 (1 - ink) (1 - black) |
| opaque alpha | dropped |
| transparency | on the background that is given; refused without one |
| several frames or pages | refused by name; of a pool, the first |
| float, 32-bit integer, Lab | refused by name |
"""

import io
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np
import torch
from torch import Tensor

from clonecost.errors import Advice, DataError, SetKey
from clonecost.persistence.file_limits import PICTURE_PIXELS

if TYPE_CHECKING:
    from PIL.Image import Image

Background = Literal["white", "black"]
SUFFIXES = (
    ".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm", ".gif",
)  # fmt: skip
# Pictures in a format that is not read here: they are refused, because skipping them drops rows.
OTHER_SUFFIXES = (
    ".avif", ".heic", ".heif", ".jxl", ".jp2", ".j2k", ".exr", ".hdr", ".tga", ".psd", ".svg",
    ".dng", ".cr2", ".nef", ".arw", ".apng", ".pfm", ".dcm", ".ico",
)  # fmt: skip
# What operating systems and servers leave in folders; names that start with a dot are left out too.
LEFT_BEHIND = ("__macosx", "thumbs.db", "desktop.ini", "@eadir", "$recycle.bin")
# Pillow's other formats start programs (EPS), or are rare. A phone's MPO is opened as JPEG.
FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "TIFF", "PPM", "GIF")
_GREY = ("1", "L", "LA", "La")
_SCALE = 257  # from 16 bits to 8: 65535 / 255
_PHOTOMETRIC, _BITS = 262, 258  # tags of TIFF
_AT_ONCE = 1 << 20  # pixels that are laid over a background at a time
_REMEDY = Advice("remove or replace the picture")


def decode(
    source: Path | BinaryIO, where: str, background: Background | None, *,
    first_frame: bool = False,
) -> Tensor:  # fmt: skip
    """(C, H, W) uint8, with 1 channel if the picture is stored as grey, else 3 (RGB).

    Args:
        source: the file; its size in pixels is checked before it is decoded.
        where: its name, for messages.
        background: what is seen behind transparent pixels; None: such a picture is refused.
        first_frame: take the first frame or page of several, which are else refused.

    Raises:
        DataError: the picture is damaged, too large, or has no one meaning.

    Example:
        >>> decode(Path("cat.jpg"), "cat.jpg", None).shape  # doctest: +SKIP
        torch.Size([3, 480, 640])
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on odd metadata: the pixels decide
        return decode_aloud(source, where, background, first_frame=first_frame)


def decode_aloud(
    source: Path | BinaryIO, where: str, background: Background | None, *, first_frame: bool
) -> Tensor:
    """As `decode`, with Pillow's warnings, which no thread can silence for itself alone."""
    from PIL import Image, ImageOps  # imported for pictures only

    try:
        with Image.open(source, formats=FORMATS) as image:
            _must_be_of_this_size(image, where)
            if not first_frame:
                _must_be_one(image, where)
            pixels = _pixels(ImageOps.exif_transpose(image), image, where, background)
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise _too_large(where) from error
    except Exception as error:  # Pillow raises many unrelated types on broken bytes
        raise DataError(f"{where} cannot be decoded.", _REMEDY) from error
    return torch.from_numpy(pixels.copy() if not pixels.flags.owndata else pixels)


def _must_be_of_this_size(image: "Image", where: str) -> None:
    width, height = image.size
    if width * height > PICTURE_PIXELS:
        raise _too_large(where, f"{width:,} x {height:,}")


def _must_be_one(image: "Image", where: str) -> None:
    # a phone's JPEG may hold a second view, which no viewer shows
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise DataError(
            f"{where} has several frames or pages, and a row is one picture.",
            Advice("save the one that is meant"),
        )


def _too_large(where: str, got: str | None = None) -> DataError:
    return DataError(
        f"{where} has too many pixels", Advice("make the picture smaller"),
        got=got, want=f"at most {PICTURE_PIXELS:,} pixels",
    )  # fmt: skip


def _pixels(
    image: "Image", opened: "Image", where: str, background: Background | None
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """(C, H, W): the pixels of `image`, which `opened` is before it was turned."""
    if image.mode.startswith("I"):
        return _deep_grey(image, opened, where)[None]
    if image.mode in ("F", "LAB", "HSV"):
        what = {"F": "float pixels without a range"}.get(image.mode, f"{image.mode} colours")
        raise DataError(f"{where} has {what}.", Advice("save it as an 8-bit picture"))
    if image.mode == "CMYK":
        image = _from_inks(image, opened, where)
    grey = image.mode in _GREY
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        return _on(background, image, where, grey=grey)
    if grey:
        return np.asarray(image.convert("L"))[None]
    return np.ascontiguousarray(np.asarray(image.convert("RGB")).transpose(2, 0, 1))


def _deep_grey(image: "Image", opened: "Image", where: str) -> np.ndarray[Any, Any]:
    """More than 8 bits of grey, as 8."""
    values = np.asarray(image)
    tags = getattr(opened, "tag_v2", {})
    bits = int(tags.get(_BITS, (16,))[0])
    deep = image.mode.startswith("I;16") or opened.format in ("PPM", "PNG")
    if "transparency" in opened.info or not deep or not 8 < bits <= 16:
        raise DataError(
            f"{where} has pixels of {opened.mode}, whose range or transparency is unknown.",
            Advice("save it as an 8-bit picture"),
        )
    scaled = np.rint(values.astype(np.float32) * (255 / (2**bits - 1))).clip(0, 255)
    if tags.get(_PHOTOMETRIC) == 0:  # white is zero
        scaled = 255 - scaled
    return scaled.astype(np.uint8)


def _from_inks(image: "Image", opened: "Image", where: str) -> "Image":
    """CMYK as RGB."""
    if opened.format in ("JPEG", "MPO") and "adobe" not in opened.info:
        raise DataError(
            f"{where} is a CMYK JPEG that does not say whether its inks are inverted.",
            Advice("save it as RGB"),
        )
    profile = opened.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    from PIL import ImageCms

    turned = ImageCms.profileToProfile(
        image, ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"),
        outputMode="RGB",
    )  # fmt: skip
    assert turned is not None  # only in place is there nothing to return
    turned.info.pop("transparency", None)
    return turned


def _on(
    background: Background | None, image: "Image", where: str, *, grey: bool
) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A picture with transparency over a background; an opaque one as it is."""
    layers = np.asarray(image.convert("RGBA")).transpose(2, 0, 1)
    colours, opacity = layers[: 1 if grey else 3], layers[3:]
    if opacity.min(initial=255) == 255:
        return np.ascontiguousarray(colours)
    if background is None:
        raise DataError(
            f"{where} has transparent pixels, and what is seen behind them is unknown",
            SetKey("background", "white"), SetKey("background", "black"),
        )  # fmt: skip
    behind = 255.0 if background == "white" else 0.0
    mixed = np.empty_like(colours)
    lines = max(1, _AT_ONCE // colours.shape[2])
    for top in range(0, colours.shape[1], lines):  # float32 takes sixteen times the memory
        part = np.s_[:, top : top + lines]
        share = opacity[part].astype(np.float32) / 255
        mixed[part] = np.rint(colours[part] * share + behind * (1 - share))
    return mixed
