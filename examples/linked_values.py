"""Values with links, as dag-cbor: a list of songs whose entries are files, and a path through all of it."""

import cidery


def main() -> None:
    with cidery.open("example-repo", profile="test") as node:
        first = node.add(b"la la la\n")
        second = node.add(b"dum dum\n")
        album = node.dag.put(
            {"title": "Summer", "songs": [{"name": "One", "file": first}, {"name": "Two", "file": second}]}
        )
        print(album)
        print(node.dag.get(f"{album}/title"), node.dag.get(f"{album}/songs/1/name"))
        value = node.dag.get(album)
        assert isinstance(value, dict) and isinstance(value["songs"], list)
        for song in value["songs"]:
            assert isinstance(song, dict) and isinstance(song["file"], cidery.CID)  # a link is a CID
            print(song["name"], node.read(song["file"]).decode(), end="")
        node.pin.add(album, name="summer")  # keeps the songs too


if __name__ == "__main__":
    main()
