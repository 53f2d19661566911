import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageCms
from tests.support.memory import at_most

from clonecost.data.pictures import Background, decode
from clonecost.errors import DataError

Pixels = NDArray[Any]


def seen(image: Image.Image, kind: str, background: Background | None = None, **how: Any) -> Pixels:
    """What is decoded from a file of the image, (C, H, W)."""
    stream = io.BytesIO()
    image.save(stream, kind, **how)
    stream.seek(0)
    return decode(stream, "it", background).numpy()


def refused(image: Image.Image, kind: str, **how: Any) -> str:
    with pytest.raises(DataError) as error:
        seen(image, kind, **how)
    return str(error.value)


def test_the_cases_are_seen_as_a_person_sees_them(cases: Path) -> None:
    turned = decode(cases / "rotated.jpg", "it", None).numpy()[0].astype(int)
    assert turned[0].mean() < 10  # the ramp runs down, not to the right
    assert turned[-1].mean() > 245
    assert (abs(np.diff(turned, axis=1)) < 9).all()
    grey = decode(cases / "grey16.png", "it", None).numpy()
    assert (grey[0] == np.arange(256)).all()
    with pytest.raises(DataError, match=r"white_alpha.png has transparent .*`background='white'`"):
        decode(cases / "white_alpha.png", "white_alpha.png", None)
    ramp = np.linspace(0, 255, 16, dtype="uint8")
    assert (decode(cases / "white_alpha.png", "it", "black").numpy() == ramp).all()
    assert (decode(cases / "white_alpha.png", "it", "white").numpy() == 255).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_turned(orientation: int) -> None:
    there = np.arange(6, dtype=np.uint8).reshape(2, 3) * 40
    exif = Image.Exif()
    exif[0x0112] = orientation
    turned = {
        1: there, 2: there[:, ::-1], 3: there[::-1, ::-1], 4: there[::-1], 5: there.T,
        6: np.rot90(there, -1), 7: np.rot90(there, 2).T, 8: np.rot90(there),
    }  # fmt: skip
    assert (seen(Image.fromarray(there), "PNG", exif=exif)[0] == turned[orientation]).all()


def a_png(values: Pixels, bits: int, colour: int, palette: bytes = b"") -> bytes:
    """A PNG file written by hand: (H, W, channels) values of some bits a sample."""
    height, width, _ = values.shape
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in values]
    else:
        flat = values.reshape(height, -1).astype(np.uint8)
        unpacked = np.unpackbits(flat[..., None], axis=2)[..., 8 - bits :]
        rows = [np.packbits(row).tobytes() for row in unpacked.reshape(height, -1)]
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))]
    if palette:
        chunks.append((b"PLTE", palette))
    chunks += [(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows))), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(content)) + name + content
        + struct.pack(">I", zlib.crc32(name + content))
        for name, content in chunks
    )  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + body


KINDS = {
    0: (1, (1, 2, 4, 8, 16)), 2: (3, (8, 16)), 3: (1, (1, 2, 4, 8)), 4: (2, (8, 16)),
    6: (4, (8, 16)),
}  # fmt: skip


@settings(max_examples=120)
@given(data=st.data(), seed=st.integers(0, 9), behind=st.sampled_from(["white", "black", None]))
def test_any_png_is_decoded_as_the_standard_says(
    data: st.DataObject, seed: int, behind: Background | None
) -> None:
    colour = data.draw(st.sampled_from(sorted(KINDS)))
    channels, depths = KINDS[colour]
    bits = data.draw(st.sampled_from(depths))
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 2**bits, (3, 5, channels))
    if data.draw(st.booleans()) and colour in (4, 6):
        values[..., -1] = 2**bits - 1  # opaque
    palette = rng.integers(0, 256, (2**bits, 3), dtype=np.uint8) if colour == 3 else None
    content = a_png(values, bits, colour, b"" if palette is None else palette.tobytes())
    shares = values / (2**bits - 1)
    if palette is not None:
        want = palette[values[..., 0]] / 255
    elif colour in (4, 6):
        opacity = shares[..., -1:]
        if behind is None and (opacity < 1).any():
            with pytest.raises(DataError, match="transparent"):
                decode(io.BytesIO(content), "it", None)
            return
        want = shares[..., :-1] * opacity + (behind == "white") * (1 - opacity)
    else:
        want = shares
    found = decode(io.BytesIO(content), "it", behind).numpy()
    # Pillow opens 16 bits of grey with opacity as three equal channels
    in_colour = colour in (2, 3, 6) or (colour, bits) == (4, 16)
    assert found.shape == (3 if in_colour else 1, 3, 5)
    # Pillow cuts 16 bits of colour and opacity to 8; grey is rounded here
    most = 2.6 if bits == 16 and colour else 0.51
    assert abs(found - want.transpose(2, 0, 1) * 255).max() < most


def test_inks_are_colours() -> None:
    inks = Image.merge("CMYK", [Image.new("L", (8, 8), ink) for ink in (255, 0, 255, 0)])
    for kind in ("JPEG", "TIFF"):  # JPEG has them inverted, as Adobe writes them
        red, green, blue = seen(inks, kind).reshape(3, -1).mean(1)
        assert (red < 5, green > 250, blue < 5) == (True, True, True)
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    assert "cannot be decoded" in refused(inks, "TIFF", icc_profile=profile)  # no profile of inks


def test_a_jpeg_of_inks_without_adobes_mark_is_refused() -> None:
    stream = io.BytesIO()
    Image.new("CMYK", (8, 8)).save(stream, "JPEG")
    content = stream.getvalue()
    at = content.index(b"\xff\xee")
    length = int.from_bytes(content[at + 2 : at + 4], "big")
    bare = io.BytesIO(content[:at] + content[at + 2 + length :])
    with pytest.raises(DataError, match="whether its inks are inverted"):
        decode(bare, "it", None)


def test_other_modes_are_decoded_or_refused_by_name() -> None:
    ramp = np.linspace(0, 255, 16, dtype=np.uint8).reshape(4, 4)
    grey, deep = Image.fromarray(ramp), Image.fromarray(ramp.astype(np.uint16) * 257)
    for image, kind in ((grey, "TIFF"), (deep, "TIFF"), (deep, "PNG"), (grey, "BMP")):
        assert (seen(image, kind) == ramp).all()
    assert (seen(deep, "TIFF", tiffinfo={262: 0}) == 255 - ramp).all()  # white is zero
    assert (
        seen(grey.convert("1", dither=Image.Dither.NONE), "TIFF")[0] == 255 * (ramp > 127)
    ).all()
    assert (seen(grey.convert("P"), "GIF") == ramp).all()
    assert seen(Image.new("YCbCr", (4, 4), (128, 128, 128)), "TIFF").shape == (3, 4, 4)
    assert "float pixels" in refused(grey.convert("F"), "TIFF")
    assert "pixels of I" in refused(grey.convert("I"), "TIFF")
    assert "LAB colours" in refused(Image.new("LAB", (4, 4)), "TIFF")
    keyed = Image.new("RGB", (2, 1), (9, 9, 9))
    keyed.putpixel((0, 0), (200, 0, 0))
    assert "transparent" in refused(keyed, "PNG", transparency=(9, 9, 9))
    white = seen(keyed, "PNG", "white", transparency=(9, 9, 9))
    assert white[:, 0].T.tolist() == [[200, 0, 0], [255] * 3]


@pytest.mark.parametrize("kind", ["GIF", "PNG", "WEBP", "TIFF"])
def test_several_frames_are_refused(kind: str) -> None:
    frames = [Image.new("L", (4, 4), value) for value in (0, 200)]
    said = refused(frames[0], kind, save_all=True, append_images=frames[1:])
    assert "several frames" in said


@settings(max_examples=40)
@example(width=10_000, height=9_000)  # Pillow itself refuses twice as many
@given(width=st.integers(0, 2**31 - 1), height=st.integers(0, 2**31 - 1))
def test_a_size_in_a_header_takes_no_memory(width: int, height: int) -> None:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n\0\0\0\x0d" + head + struct.pack(">I", zlib.crc32(head))
    content += b"\0\0\0\1IDAT\0" + struct.pack(">I", zlib.crc32(b"IDAT\0"))
    if width * height <= 89_478_485:
        return  # small enough to be decoded
    with at_most(1_000_000), pytest.raises(DataError, match="too many pixels"):
        decode(io.BytesIO(content), "it", None)


@settings(max_examples=100)
@given(content=st.binary(max_size=200), start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"GIF89a",
       b"\xff\xd8\xff", b"II*\0", b"RIFF", b"BM", b"P5 4 4 255\n"]))  # fmt: skip
def test_any_bytes_are_pixels_or_a_refusal(content: bytes, start: bytes) -> None:
    try:
        pixels = decode(io.BytesIO(start + content), "it", "white")
    except DataError:
        return
    assert pixels.ndim == 3


def test_the_second_view_of_a_phones_jpeg_is_not_shown() -> None:
    views = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    red, _, blue = seen(views[0], "MPO", save_all=True, append_images=views[1:])
    assert (red.min() > 250, blue.max() < 5) == (True, True)
