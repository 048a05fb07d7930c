"""What bytes are that are none of what is read, told by how they begin."""

from __future__ import annotations

import re

# What the bytes begin with, and what to say of them; the first that fits.
KINDS: tuple[tuple[bytes, str], ...] = (
    (rb"\Z", "the file is empty"),
    (rb"PK\x03\x04.{26}[^/]{0,200}\.npy", "a .npz, which may hold several arrays; send one of them, as .npy"),
    (rb"PK(\x03\x04|\x05\x06)", "a zip archive; send one image, or one array as .npy or .safetensors"),
    (rb"\x80[\x02-\x05]|c[\w.]+\n[\w.]+\n|\(([ld]p\d|i[\w.]+\n)",
     "a pickle, and nothing is unpickled here; send an image, .npy or .safetensors"),
    (rb"\x1f\x8b", "compressed by gzip; send it unpacked"),
    (rb"(BZh|\xfd7zXZ\0|\x28\xb5\x2f\xfd|7z\xbc\xaf|Rar!)", "compressed; send it unpacked"),
    (rb".{4}ftyp(avif|avis)", "an AVIF, which is not read; save it as PNG or JPEG"),
    (rb".{4}ftyp(heic|heix|mif1|msf1|heim|hevc)", "a HEIC photo, which is not read; save it as JPEG"),
    (rb"(\0\0\0\x0cjP  |\xff\x4f\xff\x51|\0\0\0\x0cJXL |\xff\x0a)",
     "a JPEG 2000 or JPEG XL, which is not read; save it as PNG"),
    (rb"%PDF", "a PDF, which is not read; save the page as PNG"),
    (rb"%!PS", "a PostScript file, which is not read; save it as PNG"),
    (rb"\s*(<\?xml[^>]*>\s*)?<svg", "an SVG, which is not read; save it as PNG"),
    (rb"\s*<(!doctype|html)", "a page of HTML; was the image's address an error page?"),
    (rb".{128}DICM", "a DICOM file, which is not read; save it as PNG or as an array"),
    (rb"\x89HDF", "an HDF5 file, which is not read; save the array as .npy"),
    (rb"\x93NUMPY", "an array in .npy, which is a tensor and no image"),
    (rb".{2,4}\0{4,6}\{", "a safetensors file, which is a tensor and no image"),
    (rb"version https://git-lfs", "a pointer of Git LFS, not the file itself; fetch it with git lfs pull"),
    (rb"(data:[^,]{0,100};base64,|iVBORw0KGgo|/9j/)", "in base64; send the bytes themselves, or base64 within JSON"),
    (rb"\s*[{\[]", "JSON; send it with Content-Type: application/json"),
)  # fmt: skip

# Formats that are read, of which these bytes are none that can be.
IMAGES: tuple[tuple[bytes, str], ...] = (
    (rb"(II\*\0|MM\0\*|II\+\0|MM\0\+)",
     "a TIFF that is damaged, or of a kind that is not read: read are grey of 1 to 16 bits, 32 bits and floats of "
     "32 bits, palettes, and RGB, CMYK, YCbCr and Lab of 8 bits, RGB and CMYK of 16"),
    (rb"\x89PNG\r\n\x1a\n", "a PNG that is damaged or cut off"),
    (rb"\x89PNG|.PNG\n\x1a", "a PNG that was sent as text, which changed its line ends; send it as binary"),
    (rb"\xff\xd8\xff", "a JPEG that is damaged, cut off, or of a kind that is not read (12 bits, lossless)"),
    (rb"GIF8[79]a", "a GIF that is damaged or cut off"),
    (rb"RIFF.{4}WEBP", "a WebP that is damaged or cut off"),
    (rb"BM.{12}", "a BMP that is damaged or cut off, or of a kind that is not read"),
    (rb"P[1-6]\s", "a PNM that is damaged or cut off"),
    (rb"P7\s|PF\s", "a PNM of a kind that is not read: read are P1 to P6 and Pf"),
)  # fmt: skip


def describe_image_file(data: bytes) -> str | None:
    """What is wrong with an image that cannot be opened, by the format that it begins as; else as `describe_file`."""
    return _first(data, IMAGES) or describe_file(data)


def describe_file(data: bytes) -> str | None:
    """What the bytes seem to be, and what to send instead; None where nothing is known of them."""
    return _first(data, KINDS)


def _first(data: bytes, kinds: tuple[tuple[bytes, str], ...]) -> str | None:
    head = data[:512]
    return next((text for pattern, text in kinds if re.match(pattern, head, re.DOTALL | re.IGNORECASE)), None)
