"""Content as one CAR file, and back into another repository. The archive can also be read with no node."""

import cidery


def main() -> None:
    with cidery.open("example-repo", profile="test") as node:
        cid = node.add(b"to be carried on a stick\n", name="letter.txt", wrap=True)
        with open("letter.car", "wb") as file:
            for piece in node.car.export(cid):
                file.write(piece)

    with cidery.car.open("letter.car") as archive:
        print("roots:", *archive.roots)
        print("blocks:", archive.verify())

    with cidery.open("other-repo", profile="test") as node:
        done = node.car.import_("letter.car")
        print("imported:", done.blocks)
        print(node.read(f"{done.roots[0].cid}/letter.txt").decode(), end="")


if __name__ == "__main__":
    main()
