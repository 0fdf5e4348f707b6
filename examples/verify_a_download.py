"""Check that a file on disk is the content of a CID, however it came here: with no node, and no network.

python verify_a_download.py FILE CID
"""

import sys

import cidery
from cidery.content.verifying import CannotVerify, ContentDiffers


def main(path: str, cid: str) -> int:
    try:
        how = cidery.verify(path, cid)
    except ContentDiffers as exc:
        print(f"not the same: {exc}")
        return 1
    except CannotVerify as exc:
        print(f"cannot tell: {exc}")
        return 2
    except cidery.errors.CideryError as exc:
        print(exc)
        return 2
    print(f"the same: {how}")
    return 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(sys.argv[1], sys.argv[2]))
