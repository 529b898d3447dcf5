"""Huffman tables that a JPEG without its own is meant to have (T.81, annex K.3).

Motion JPEG, as webcams send it, leaves them out, and libjpeg takes these for each that is missing.
"""

from __future__ import annotations

from typing import Final

# By the name of a table: how many codes of each length, and their symbols.
TYPICAL: Final = {
    0x00: (bytes.fromhex("00010501010101010100000000000000"), bytes(range(12))),
    0x01: (bytes.fromhex("00030101010101010101010000000000"), bytes(range(12))),
    0x10: (
        bytes.fromhex("0002010303020403050504040000017d"),
        bytes.fromhex(
            "01020300041105122131410613516107227114328191a1082342b1c11552d1f02433627282090a16"
            "1718191a25262728292a3435363738393a434445464748494a535455565758595a63646566676869"
            "6a737475767778797a838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6"
            "b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8"
            "f9fa"
        ),
    ),
    0x11: (
        bytes.fromhex("00020102040403040705040400010277"),
        bytes.fromhex(
            "000102031104052131061241510761711322328108144291a1b1c109233352f0156272d10a162434"
            "e125f11718191a262728292a35363738393a434445464748494a535455565758595a636465666768"
            "696a737475767778797a82838485868788898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4"
            "b5b6b7b8b9bac2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8"
            "f9fa"
        ),
    ),
}
