"""A name that stays while what it points to changes; and its record, which anybody may check and pass on."""

import cidery


def main() -> None:
    with cidery.open("example-repo", profile="test") as node:
        names = [key.name for key in node.key.ls()]
        key = node.key.gen("site") if "site" not in names else next(key for key in node.key.ls() if key.name == "site")

        for text in (b"<h1>First</h1>", b"<h1>Second</h1>"):
            site = node.add(text, name="index.html", wrap=True)
            # allow_offline: this repository has no network, so the record is kept for when there is one
            node.name.publish(site, key="site", allow_offline=True)
            print(node.read(f"/ipns/{key.id}/index.html").decode())

        record = node.name.inspect(node.name.get(key.id), name=key.id)
        print("points to", record.value, "valid:", record.valid)


if __name__ == "__main__":
    main()
