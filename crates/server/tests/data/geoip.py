#!/usr/bin/env python3
"""Writes cities.mmdb and networks.mmdb, databases in the MaxMind DB format 2.0 with the locations of a few test networks."""
import ipaddress, os, struct

HERE = os.path.dirname(os.path.abspath(__file__))


class Unsigned(int):
    """Of a width that readers insist on."""


class U16(Unsigned):
    KIND = 5


class U32(Unsigned):
    KIND = 6


class U64(Unsigned):
    KIND = 9


def encode(value):
    def head(kind, size):
        first = (kind if kind <= 7 else 0) << 5
        more = b"" if kind <= 7 else bytes([kind - 7])
        if size < 29:
            return bytes([first | size]) + more
        assert size < 285
        return bytes([first | 29]) + more + bytes([size - 29])

    if isinstance(value, bool):
        return head(14, int(value))
    if isinstance(value, str):
        text = value.encode()
        return head(2, len(text)) + text
    if isinstance(value, float):
        return head(3, 8) + struct.pack(">d", value)
    if isinstance(value, Unsigned):
        data = value.to_bytes((value.bit_length() + 7) // 8, "big")
        return head(value.KIND, len(data)) + data
    if isinstance(value, list):
        return head(11, len(value)) + b"".join(map(encode, value))
    return head(7, len(value)) + b"".join(encode(k) + encode(v) for k, v in value.items())


def database(kind, networks):
    nodes = [[None, None]]
    data = b""
    for network, record in networks.items():
        network = ipaddress.ip_network(network)
        bits, length = int(network.network_address), network.prefixlen
        if network.version == 4:
            length += 96
        at = 0
        for depth in range(length):
            bit = bits >> (127 - depth) & 1
            if depth == length - 1:
                nodes[at][bit] = ("data", len(data))
            else:
                if nodes[at][bit] is None:
                    nodes.append([None, None])
                    nodes[at][bit] = len(nodes) - 1
                at = nodes[at][bit]
        data += encode(record)
    count = len(nodes)

    def pointer(side):
        if side is None:
            return count
        return count + 16 + side[1] if isinstance(side, tuple) else side

    tree = b"".join(pointer(side).to_bytes(3, "big") for node in nodes for side in node)
    metadata = {
        "binary_format_major_version": U16(2), "binary_format_minor_version": U16(0), "build_epoch": U64(1795305600),
        "database_type": kind, "description": {"en": "places of test networks"}, "ip_version": U16(6),
        "languages": ["en"], "node_count": U32(count), "record_size": U16(24),
    }
    return tree + bytes(16) + data + b"\xab\xcd\xefMaxMind.com" + encode(metadata)


BERLIN = {
    "city": {"names": {"en": "Berlin"}},
    "continent": {"code": "EU", "names": {"en": "Europe"}},
    "country": {"iso_code": "DE", "names": {"en": "Germany"}},
    "location": {"latitude": 52.5, "longitude": 13.4, "accuracy_radius": U16(20), "time_zone": "Europe/Berlin"},
    "postal": {"code": "10115"},
    "subdivisions": [{"iso_code": "BE", "names": {"en": "Land Berlin"}}],
}
with open(os.path.join(HERE, "cities.mmdb"), "wb") as file:
    file.write(database("Test-City", {
        "127.0.0.0/8": BERLIN,
        "192.0.2.0/24": {"country": {"iso_code": "FR", "names": {"en": "France"}}},
        "2001:db8::/32": BERLIN,
    }))
with open(os.path.join(HERE, "networks.mmdb"), "wb") as file:
    file.write(database("Test-ASN", {
        "127.0.0.0/8": {"autonomous_system_number": U32(64496), "autonomous_system_organization": "Example Networks"},
    }))
