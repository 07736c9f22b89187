"""The list of committed shards while a set is made: saved often, at a bounded cost."""

import time
from collections.abc import Callable
from dataclasses import replace

from faceblend.store.manifest import Manifest, ShardEntry
from faceblend.store.place import Place

_SHARE = 10  # times as long as the last saving took, until the next one


class Listing:
    """Lists shards in a set's manifest as they are committed; leaving the block saves the rest.

    The whole manifest is written each time, 5 s of 100,000 shards: after every shard that is
    three days of saving for such a set. So saving waits until ten times as long as the last one
    took has passed, and takes an eleventh of the time at most; a small set's takes milliseconds,
    and is saved as often.

    What is listed here and not yet saved when the power fails lies in the folder under its own
    name, whole and synced. The next run takes it for missing and makes the same bytes again in
    its place, as it does with a shard that was committed and not listed: nothing that the
    manifest ever listed is lost, and time only beside it, ten savings' at most. (To adopt such
    files instead, their hash and counts would have to be worked out and believed.)

    Args:
        place: of the set.
        manifest: what is committed already, and saved.
        clock: seconds that only grow.
    """

    def __init__(
        self, place: Place, manifest: Manifest, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._place, self._before, self._clock = place, manifest, clock
        self._shards = {entry.first: entry for entry in manifest.shards}
        self._due = clock()
        self._saved = True

    @property
    def manifest(self) -> Manifest:
        """The manifest with every shard that was added, by ``first``."""
        shards = (self._shards[first] for first in sorted(self._shards))
        return replace(self._before, shards=tuple(shards))

    def add(self, entry: ShardEntry) -> None:
        """List one more committed shard, and save when it is time."""
        self._shards[entry.first] = entry
        self._saved = False
        if self._clock() >= self._due:
            self.save()

    def save(self) -> None:
        """Write the manifest if a shard was added since."""
        if self._saved:
            return
        start = self._clock()
        self._place.save(self.manifest)
        end = self._clock()
        self._due, self._saved = end + _SHARE * (end - start), True

    def __enter__(self) -> "Listing":
        return self

    def __exit__(self, *_: object) -> None:
        self.save()
