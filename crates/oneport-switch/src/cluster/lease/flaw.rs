//! Mistakes that somebody could make with leases ([`flaw`](crate::flaw)).

crate::flaw::flaws! {
    /// What is given back is used until the answer comes.
    GivesBackLate,
    /// Calls over the lease stay up when its time is over.
    KeepsCallsOverLease,
    /// Others take what is idle as soon as the time is over by their own clock.
    TakesTooEarly,
    /// A session that is missing after the database was away counts as a death.
    TrustsNewSession,
    /// A session that the database has given up counts as a death.
    TrustsLateEnd,
    /// A ledger counts as set whoever was first.
    SetsWhateverVersion,
    /// What was found out about another counts though it has renewed since.
    JudgesUnseen,
    /// Dead switches are never found dead.
    NeverFindsDead,
    /// Nobody gives what is idle to those who need it.
    GivesNothing,
    /// A connection that has failed is closed before the next one holds the lock of the run.
    ClosesFailed,
    /// One that may hold that lock is closed since nobody answers.
    ClosesUnanswered,
}
