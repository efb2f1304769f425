#!/usr/bin/env python3
"""drain.py ADAPTER K: how many of K orphans that died at once are still zombies after 0.2, 1, 2 … 120 s."""

import sys
import time

from box import Box


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    name, count = sys.argv[1], int(sys.argv[2])
    with Box(name, [("o", "burst", count)]) as box:
        if not box.wait("done", 1, 60):
            sys.exit("no orphans came: " + box.last_words())
        began = time.monotonic()
        for at in (0.2, 1, 2, 5, 10, 30, 60, 120):
            time.sleep(max(0, began + at - time.monotonic()))
            zombies = box.zombies()
            print(f"{name}: {zombies} after {at} s", flush=True)
            if zombies == 0:
                break


if __name__ == "__main__":
    main()
