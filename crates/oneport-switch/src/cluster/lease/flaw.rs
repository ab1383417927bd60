//! Mistakes that somebody could make here, for tests that show that they would be found. None is ever in a program.

/// Declares mistakes, each a type that says whether it is made now.
macro_rules! flaws {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        $(
            $(#[$doc])*
            pub(super) struct $name;

            impl $name {
                #[cfg(not(test))]
                pub(super) const fn is_there(&self) -> bool {
                    false
                }

                #[cfg(test)]
                pub(super) fn is_there(&self) -> bool {
                    made::is(stringify!($name))
                }
            }
        )*

        /// All of them by name.
        #[cfg(test)]
        pub(in crate::cluster) const ALL: &[&str] = &[$(stringify!($name)),*];
    };
}

flaws! {
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

/// Which mistake is made on this thread.
#[cfg(test)]
pub(in crate::cluster) mod made {
    use std::cell::Cell;

    thread_local!(static MADE: Cell<Option<&'static str>> = const { Cell::new(None) });

    pub(in crate::cluster) fn is(name: &str) -> bool {
        MADE.get() == Some(name)
    }

    pub(in crate::cluster) fn make(name: Option<&'static str>) {
        MADE.set(name);
    }
}
