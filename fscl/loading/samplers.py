"""The order of photos in an epoch and how often each class is drawn: reproducible from (seed, epoch)."""

from abc import ABC, abstractmethod

import numpy as np

from fscl.errors import ConfigurationError

IntArray = np.ndarray[tuple[int], np.dtype[np.int64]]
FloatArray = np.ndarray[tuple[int], np.dtype[np.float64]]


def batches_per_epoch(photos: int, batch_size: int) -> int:
    """Return into how many batches `photos` ≥ 2 are cut: as few as `batch_size` ≥ 1 allows, none of one photo.

    BatchNorm fails on one photo, so 7 photos in batches of 2 become 3, 2 and 2.

    >>> batches_per_epoch(130, 64), batches_per_epoch(7, 2)
    (3, 3)
    """
    return min(-(-photos // batch_size), photos // 2)


class Sampler(ABC):
    """The order of rows in an epoch; what stands in `SAMPLERS`.

    An epoch is `batches_per_epoch` batches of nearly equal size: none of one photo, none dropped.

    Args:
        labels: class of each row, (n,) int64 in 0 … K − 1, n ≥ 2.
        batch_size: photos per batch at most, ≥ 2; one more where else a photo would be alone in its batch.
        seed: decides, together with the epoch, all that is random.
    """

    def __init__(self, labels: IntArray, batch_size: int, seed: int) -> None:
        if len(labels) < 2:
            raise ConfigurationError(f"training needs at least 2 photos, got {len(labels)}")
        self.labels, self.batch_size, self.seed = labels, batch_size, seed
        self.batches_per_epoch = batches_per_epoch(len(labels), batch_size)
        self.counts = np.bincount(labels)
        self.present = np.flatnonzero(self.counts)

    @abstractmethod
    def rows(self, epoch: int) -> IntArray:
        """Return the n rows of an epoch, in the order of training."""

    @property
    @abstractmethod
    def probabilities(self) -> FloatArray:
        """Expected share of each class 0 … K − 1 among the photos drawn; sums to 1."""

    def batches(self, epoch: int) -> list[IntArray]:
        """Return the rows of an epoch, cut into batches."""
        return np.array_split(self.rows(epoch), self.batches_per_epoch)

    def generator(self, epoch: int) -> np.random.Generator:
        """Return the generator of all that is random in the epoch."""
        return np.random.default_rng([self.seed, epoch])

    @property
    def equal(self) -> FloatArray:
        """1 / K⁺ for each of the K⁺ present classes."""
        return (self.counts > 0) / len(self.present)

    def with_replacement(self, probabilities: FloatArray, generator: np.random.Generator) -> IntArray:
        """Return n rows drawn with replacement: a class by its probability, the photos of a class alike."""
        per_photo = (probabilities / np.maximum(self.counts, 1))[self.labels]
        return generator.choice(len(self.labels), len(self.labels), p=per_photo)


class NaturalSampler(Sampler):
    """Every photo once an epoch, in random order: p_c = n_c / n.

    >>> sorted(NaturalSampler(np.array([0, 0, 0, 1]), batch_size=2, seed=0).rows(epoch=0).tolist())
    [0, 1, 2, 3]
    """

    def rows(self, epoch: int) -> IntArray:
        """Return a permutation of all rows."""
        return self.generator(epoch).permutation(len(self.labels))

    @property
    def probabilities(self) -> FloatArray:
        """n_c / n."""
        return self.counts / len(self.labels)


class PowerSampler(Sampler):
    """Photos drawn with replacement, each class by a power of its size: p_c = n_c^q / Σ_k n_k^q.

    q = 1 gives natural frequencies, ½ square-root sampling, 0 each class equally often, −1 the rare ones most.
    Source: Kang et al. 2020, Eq. 1; −1 is for partners of a mixture (Park et al. 2022). An epoch is as long
    as the data set.

    Args:
        exponent: q, −1 … 1.

    Raises:
        ConfigurationError: an exponent out of range.

    >>> PowerSampler(np.repeat([0, 1], [9, 1]), batch_size=5, seed=0, exponent=0.5).probabilities
    array([0.75, 0.25])
    """

    def __init__(self, labels: IntArray, batch_size: int, seed: int, *, exponent: float = 0.5) -> None:
        super().__init__(labels, batch_size, seed)
        if not -1 <= exponent <= 1:
            raise ConfigurationError(f"exponent must be −1 … 1, got {exponent}; 0.5 is square-root sampling")
        self.exponent = exponent

    def rows(self, epoch: int) -> IntArray:
        """Return n rows drawn independently."""
        return self.with_replacement(self.probabilities, self.generator(epoch))

    @property
    def probabilities(self) -> FloatArray:
        """n_c^q / Σ_k n_k^q over the present classes."""
        powers = np.zeros(len(self.counts))
        powers[self.present] = self.counts[self.present] ** float(self.exponent)
        shares: FloatArray = powers / powers.sum()
        return shares


class OversamplingSampler(PowerSampler):
    """Photos drawn with replacement, p ∝ 1 / n_c, so that each present class is drawn equally often.

    The study's WeightedRandomSampler: an epoch is as long as the data set.
    """

    def __init__(self, labels: IntArray, batch_size: int, seed: int) -> None:
        super().__init__(labels, batch_size, seed, exponent=0)


class ProgressiveSampler(Sampler):
    """From natural order to equally frequent classes: p_c(t) = (1 − t)·n_c / n + t / K⁺, t from 0 to 1.

    A place of the epoch shows the next photo in natural order, or with probability t one that is drawn so that
    each of the K⁺ present classes is as likely. Source: Kang et al. 2020, Eq. 2; there t grows from epoch to
    epoch, here from photo to photo, so that short runs go all the way, too.

    Args:
        epochs: where the stage begins and ends, in epochs of the run: t is 0 at the first and 1 at the last.
    """

    def __init__(self, labels: IntArray, batch_size: int, seed: int, epochs: tuple[float, float]) -> None:
        super().__init__(labels, batch_size, seed)
        self.epochs = epochs

    def rows(self, epoch: int) -> IntArray:
        """Return the rows, fewer of them in natural order the later the epoch."""
        generator = self.generator(epoch)
        first, last = self.epochs
        places = len(self.labels)
        progress = (epoch + np.arange(places) / places - first) / (last - first)
        rebalanced = self.with_replacement(self.equal, generator)
        return np.where(generator.random(places) < progress, rebalanced, generator.permutation(places))

    @property
    def probabilities(self) -> FloatArray:
        """The formula above at t = ½: the mean over the stage."""
        return (self.counts / len(self.labels) + self.equal) / 2


class EveryClassSampler(Sampler):
    """Natural order, but each batch holds at least `places` photos of every present class.

    Each class has `places` places of a batch, filled with replacement; the others follow the natural order:
    p_c = (places + (b − K⁺·places)·n_c / n) / b for a batch of b photos and K⁺ present classes. With two places a
    rare class has a positive pair in every batch, which natural order gives in 13 % of the batches of 64 at 1:0.01.

    Args:
        places: photos of each class in every batch, ≥ 1.

    Raises:
        ConfigurationError: places that are no whole number or do not fit into a batch.
    """

    def __init__(self, labels: IntArray, batch_size: int, seed: int, *, places: int = 2) -> None:
        super().__init__(labels, batch_size, seed)
        self.places = places
        smallest = len(labels) // self.batches_per_epoch
        if type(places) is not int or not 1 <= places * len(self.present) <= smallest:
            raise ConfigurationError(
                f"places must be a whole number >= 1 and {len(self.present)} classes · places fit a batch of "
                f"{smallest} photos, got {places}; raise --batch-size or lower places"
            )

    def rows(self, epoch: int) -> IntArray:
        """Return the rows, the reserved places spread over the batch at random."""
        generator = self.generator(epoch)
        natural = generator.permutation(len(self.labels))
        members = [np.flatnonzero(self.labels == label) for label in self.present]
        batches = []
        for batch in np.array_split(natural, self.batches_per_epoch):
            reserved = np.concatenate([generator.choice(rows, self.places) for rows in members])
            batches.append(generator.permutation(np.concatenate([reserved, batch[len(reserved) :]])))
        return np.concatenate(batches)

    @property
    def probabilities(self) -> FloatArray:
        """The formula above, over the batches of an epoch."""
        reserved = self.places * self.batches_per_epoch
        natural = len(self.labels) - reserved * len(self.present)
        return ((self.counts > 0) * reserved + natural * self.counts / len(self.labels)) / len(self.labels)


class MPerClassSampler(Sampler):
    """Each batch is shared equally by as many classes, drawn anew, as can have `m` photos each: p_c = 1 / K⁺.

    With few classes every batch holds all of them in equal parts; with many, the photos of a batch still have m − 1
    others of their class beside them, which photos drawn independently do not have. A photo comes twice in a batch
    only where its class has too few. Known from metric learning (Musgrave et al. 2020).

    Args:
        m: photos of a class in a batch at least, ≥ 1.

    Raises:
        ConfigurationError: an `m` that is no whole number or does not fit into a batch.
    """

    def __init__(self, labels: IntArray, batch_size: int, seed: int, *, m: int = 4) -> None:
        super().__init__(labels, batch_size, seed)
        smallest = len(labels) // self.batches_per_epoch
        if type(m) is not int or not 1 <= m <= smallest:
            raise ConfigurationError(
                f"m must be a whole number, 1 … {smallest}, the photos of a batch, got {m}; papers use 2–8"
            )
        self.m = m

    def rows(self, epoch: int) -> IntArray:
        """Return the rows, those of a class side by side in their batch."""
        generator = self.generator(epoch)
        members = {label: np.flatnonzero(self.labels == label) for label in self.present}
        groups = []
        for places in np.array_split(np.arange(len(self.labels)), self.batches_per_epoch):
            classes = generator.permutation(self.present)[: len(places) // self.m]
            for label, own in zip(classes, np.array_split(places, len(classes)), strict=True):
                again = len(members[label]) < len(own)
                groups.append(generator.choice(members[label], len(own), replace=again))
        return np.concatenate(groups)

    @property
    def probabilities(self) -> FloatArray:
        """1 / K⁺ for each of the K⁺ present classes."""
        return self.equal


SAMPLERS: dict[str, type[Sampler]] = {
    "natural": NaturalSampler,
    "oversampling": OversamplingSampler,
    "power": PowerSampler,
    "progressive": ProgressiveSampler,
    "every_class": EveryClassSampler,
    "m_per_class": MPerClassSampler,
}
