//! Mistakes that somebody could make around the code that decides, in what the simulation has in place of it.

crate::flaw::flaws! {
    /// Somebody is bound before that is durable.
    BindsEarly,
    /// An end counts for what was renewed meanwhile as well.
    EndsWhatIsRenewed,
    /// Of a registration and its end in one batch, the end alone is written.
    WritesTheEndAlone,
    /// What goes on in a switch that starts holds longer than it is known for.
    HoldsLongerAnew,
    /// What waits on the disk does not count for a switch that starts.
    ForgetsTheDisk,
    /// Something is written while older things wait on the disk.
    OvertakesTheDisk,
    /// Who reads anew hears nothing of what has ended.
    HearsNothingOfEnds,
    /// A reading is up to date with transactions that began before it and end after it.
    ReadsTooFar,
    /// A switch that is back does not look what is new.
    LooksAtNothingNew,
    /// The later of two registrations is the one that is written later.
    OrdersByArrival,
    /// Nobody is told that a registration has lost when it is written.
    LosesInSilence,
    /// What has expired before it was written is not written, though it has superseded others.
    LeavesOutExpired,
}
