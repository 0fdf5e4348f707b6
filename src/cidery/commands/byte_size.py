"""Numbers of bytes for people, in powers of 1000 as Kubo prints them: 567 kB, 9.3 MB, 10 GB."""

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def human_size(size: int) -> str:
    """At least two digits: one after the decimal point below 10."""
    if size < 1000:
        return f"{size} B"
    step = 1
    while size >= 1000 ** (step + 1) and step + 1 < len(_UNITS):
        step += 1
    tenths = (size * 10 + 1000**step // 2) // 1000**step
    return f"{tenths / 10:.1f} {_UNITS[step]}" if tenths < 100 else f"{tenths / 10:.0f} {_UNITS[step]}"
